-- queue_put: puts items into a queue, as many of them as there is room for.
-- KEYS see _queue
-- ARGV 1 dir  2 most  3 keep, see _queue
--      4 the caller, as no other calls itself
--      5 the number of this batch among the caller's
--      6 since when the caller waits in the line, 0 if it does not
--      7 1 if it will wait in the line with what does not fit in
--      8 the ticket of the end that sends, for a pipe
--      then the items
-- Returns state, since when the caller waits, how many were put. The state is 'ok',
-- 'closed', 'lost' (the end is another's), 'stale', or 'size' and then the size there is.
-- Replay: the number is that of the last batch, and the same is returned; a smaller one
-- comes late by a connection that was given up, and does nothing.
-- A Redis that is full refuses it, before anything has happened.
--@include _now
local dir, most, keep, me = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
--@include _queue
local number, since, waits = ARGV[5], ARGV[6], ARGV[7] == '1'
local first, n = 9, #ARGV - 8
local put, line = root .. ':put:' .. me, ':putters'
local conf = redis.call('HMGET', root, 'size', 'keep', 'closed')
local size = missized(conf[1], conf[2])
if size then return {'size', size, '0'} end
local last = redis.call('GET', put)
if last then
  local was, state, from, k = string.match(last, '^(%d+) (%a+) (%d+) (%d+)$')
  if was == number then return {state, from, k} end
  if tonumber(was) > tonumber(number) then return {'stale', '0', '0'} end
end
if dir ~= '' then
  sweep(now)
  if redis.call('HGET', base, dir) ~= ARGV[8] then return {'lost', '0', '0'} end
  conf[3] = redis.call('HGET', root, 'closed')
end
local state, k, room = 'ok', 0, n
if conf[3] then
  state = 'closed'
else
  if most ~= '0' then room = math.max(most - redis.call('LLEN', items), 0) end
  k = math.min(room, n)
end
if k > 0 then
  redis.call('HINCRBY', root, 'open', k)
  redis.call('RPUSH', items, unpack(ARGV, first, first + k - 1))
  ring(root, ':getters', k)
end
local from = '0'
if k < n and waits and state == 'ok' then
  from = since == '0' and string.format('%.0f', now) or since
  redis.call('ZADD', root .. line, from, me)
  touch(root .. line)
elseif since ~= '0' then
  redis.call('ZREM', root .. line, me)
  if room > k and state == 'ok' then ring(root, line, 1) end -- it was perhaps rung for nothing
end
touch(base, root, items)
redis.call('SET', put, number .. ' ' .. state .. ' ' .. from .. ' ' .. k, 'PX', 3600000)
return {state, from, tostring(k)}
