-- queue_take: takes items out of a queue, and settles those that were taken before.
-- KEYS see _queue
-- ARGV 1 dir  2 most  3 keep, see _queue
--      4 the caller, as no other calls itself
--      5 the number of this batch among the caller's
--      6 since when the caller waits in the line, 0 if it does not
--      7 1 if it will wait in the line for what is not there
--      8 the ticket of the end that reads, for a pipe
--      9 how many items are done that were taken before
--      then n, and n tickets of reservations that are done
--      then n, and n tickets of reservations that go back to the front
--      then n, and n items that nobody waits for any more and that go back to the front
--      then, for each item that is wanted, how long its reservation holds without a
--      renewal, in ms, a colon and its ticket; or '' if it is not to be reserved
-- Returns state, since when the caller waits, in how many ms the next lease may lapse (0
-- for none), how many of the done ones were still open, how many tickets were settled,
-- and 1 or 0 for each: whether its lease was good; then the items. The state is 'ok',
-- 'more' (there may be more at once), 'closed' (there is nothing and never will be),
-- 'lost', 'stale', or 'size' and then the size there is.
-- Replay: as of queue_put. What is returned is kept until the caller's next batch says
-- that it has arrived.
-- It works on a Redis that is full.
redis.call('HDEL', KEYS[1], '')
--@include _now
local dir, most, keep, me = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
--@include _queue
local number, since, waits = tonumber(ARGV[5]), ARGV[6], ARGV[7] == '1'
local took, line = root .. ':took:' .. me, ':getters'
local conf = redis.call('HMGET', root, 'size', 'keep', 'open')
local size = missized(conf[1], conf[2])
if size then return {'size', size, '0', '0', '0'} end
local last = tonumber(redis.call('LINDEX', took, 0) or 0)
if last == number then return redis.call('LRANGE', took, 1, -1) end
if last > number then return {'stale', '0', '0', '0', '0'} end
redis.call('DEL', took)
sweep(now)
if dir ~= '' and redis.call('HGET', base, other(dir)) ~= ARGV[8] then return {'lost', '0', '0', '0', '0'} end

local open = tonumber(conf[3] or 0)
local done = math.min(open, tonumber(ARGV[9]))
local settled, mine, returned, at = done, {}, 0, 10
for _ = 1, tonumber(ARGV[at]) do
  at = at + 1
  redis.call('ZREM', alive, ARGV[at])
  local ok = redis.call('HDEL', held, ARGV[at])
  settled = math.min(settled + ok, open)
  mine[#mine + 1] = tostring(ok)
end
at = at + 1
local tickets = {}
for _ = 1, tonumber(ARGV[at]) do
  at = at + 1
  redis.call('ZREM', alive, ARGV[at])
  tickets[#tickets + 1] = ARGV[at]
  mine[#mine + 1] = tostring(redis.call('HEXISTS', held, ARGV[at]))
end
if #tickets > 0 then returned = lose(tickets) end
at = at + 1
local n = tonumber(ARGV[at])
for i = at + n, at + 1, -1 do redis.call('LPUSH', items, ARGV[i]) end
returned, at = returned + n, at + n
if settled > 0 and redis.call('HINCRBY', root, 'open', -settled) == 0 then ring(root, ':joiners', 1e6) end

local out, bytes, want = {}, 0, #ARGV - at
while #out < want and bytes < 1e6 do
  local some = redis.call('LPOP', items, math.min(want - #out, 64))
  if not some or #some == 0 then break end
  for _, item in ipairs(some) do
    out[#out + 1], bytes = item, bytes + #item
    local lease, ticket = string.match(ARGV[at + #out], '^(%d+):(.+)$')
    if lease then
      redis.call('HSET', held, ticket, string.format('%.0f:', redis.call('HINCRBY', root, 'ids', 1)) .. item)
      redis.call('ZADD', alive, now + lease, ticket)
    end
  end
end

local left = redis.call('LLEN', items)
local state, place = 'ok', '0'
if left > 0 then
  state = 'more'
elseif redis.call('HEXISTS', root, 'closed') == 1 and redis.call('EXISTS', held) == 0 then
  state = 'closed'
  ring(root, line, 1e6)
end
if #out < want and waits and state == 'ok' then
  place = since == '0' and string.format('%.0f', now) or since
  redis.call('ZADD', root .. line, place, me)
  touch(root .. line)
elseif since ~= '0' then
  redis.call('ZREM', root .. line, me)
  returned = math.max(returned, 1) -- it was perhaps rung for one that it leaves
end
if left > 0 then ring(root, line, returned) end
if #out > 0 and tonumber(most) > left then ring(root, ':putters', #out) end
touch(base, root, items, held, alive)
local reply = {state, place, lapse(now), tostring(done), tostring(#mine)}
for _, m in ipairs(mine) do reply[#reply + 1] = m end
for _, o in ipairs(out) do reply[#reply + 1] = o end
redis.call('RPUSH', took, number)
for i = 1, #reply, 1000 do redis.call('RPUSH', took, unpack(reply, i, math.min(i + 999, #reply))) end
redis.call('PEXPIRE', took, 3600000)
return reply
