-- hand(line, ready, ids, msgs): makes new tasks of the line available. Idle
-- consumers get one each over the bell, task and all, which saves them the round
-- trip of a claim; the rest waits in the list `ready`. The first byte of what is
-- handed over says whether more waits ('+') or not ('.').
local function hand(line, ready, ids, msgs)
  local n = #ids
  local handed = 0
  local idle = redis.call('SCARD', line .. 'idle')
  if idle > 0 then
    handed = math.min(n, idle - redis.call('LLEN', line .. 'bell'))
    if handed < 0 then handed = 0 end
    local more = handed < n and '+' or '.'
    for i = 1, handed do
      redis.call('RPUSH', line .. 'bell', more .. ids[i] .. msgs[i])
    end
  end
  for i = handed + 1, n, 1000 do
    redis.call('RPUSH', ready, unpack(ids, i, math.min(i + 999, n)))
  end
end
