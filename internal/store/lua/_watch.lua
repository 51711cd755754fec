-- watch(line, id, addr): the outcome of the task is also sent to addr.
local function watch(line, id, addr)
  local w = redis.call('HGET', line .. 'watch', id)
  if not w then
    redis.call('HSET', line .. 'watch', id, addr)
  elseif not string.find(' ' .. w .. ' ', ' ' .. addr .. ' ', 1, true) then
    redis.call('HSET', line .. 'watch', id, w .. ' ' .. addr)
  end
end
