-- hand(line, ids, msgs): makes new ordinary tasks of the line available. While
-- nothing waits, consumers that listen get one each over the bell, task and all,
-- which saves them the round trip of a claim; the rest waits in `ready:1`, or behind the
-- arrivals if there are any. What is on the bell is older than that, and claimed before it. The first
-- byte of what is handed over says whether more waits ('+') or not ('.'). A long
-- message is claimed. Returns how many wait where the rest does, 0 if there is none.
local function hand(line, ids, msgs)
  local n = #ids
  local handed, room = 0, 0
  local most = redis.call('ZCARD', line .. 'alive')
  if most > 0 and redis.call('EXISTS', line .. 'ready:0', line .. 'ready:1', line .. 'ready:2', line .. 'arrivals') == 0 then
    room = math.max(math.min(n, most - redis.call('LLEN', line .. 'bell')), 0)
    while handed < room and #msgs[handed + 1] <= long do handed = handed + 1 end
    local more = handed < n and '+' or '.'
    for i = 1, handed do
      redis.call('RPUSH', line .. 'bell', more .. ids[i] .. msgs[i])
    end
  end
  local list, waiting = handed < n and behind(line, 1), 0
  for i = handed + 1, n, 1000 do
    waiting = redis.call('RPUSH', line .. list, unpack(ids, i, math.min(i + 999, n)))
  end
  if most > 0 and handed < n then mark(line) end
  if handed < room then ring(line, room - handed) end
  return waiting
end
