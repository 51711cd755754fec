-- lotted(line, c): how many tasks the consumer has in flight in lots.
local function lotted(line, c)
  local n = 0
  for k in string.gmatch(redis.call('HGET', line .. 'run:' .. c, '#l') or '', '%S+ (%d+)') do n = n + k end
  return n
end
