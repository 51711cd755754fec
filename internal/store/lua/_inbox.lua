-- drain_inbox(line, consumer): what the consumer took from the bell becomes what
-- it has in flight, so that everything after this looks in one place. Returns
-- how many tasks that were.
local function drain_inbox(line, consumer)
  local key = line .. 'taken:' .. consumer
  if redis.call('TYPE', key).ok ~= 'list' then return 0 end -- nothing, or struck off before
  local taken = redis.call('LRANGE', key, 0, -1)
  local n = 0
  for _, e in ipairs(taken) do
    if #e > 16 then
      redis.call('HSET', line .. 'run:' .. consumer, string.sub(e, 2, 17), 'b')
      n = n + 1
    end
  end
  redis.call('DEL', key)
  return n
end
