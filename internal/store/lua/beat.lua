-- beat: a consumer renews its lease, and takes over from those that let theirs lapse.
-- KEYS 1 the line
-- ARGV 1 consumer  2 lease ms  3 '1' to sign on, '' to renew
--      4 how long dead tasks are kept, ms; '' to leave them alone this time
--      5 who the consumer was before, '' for nobody: that name is struck off first,
--        as a lapsed one, also if the line does not know it any more
--      6... the numbers of its lanes' last turns, as far as they were answered
-- Returns {'ok', ms until the next lease lapses unless it is renewed, 1 if a claim
--   would find something, tasks taken over, consumers taken over from, w * (id, wish)} or {'lapsed'}.
-- Moves: running -> ready, of consumers whose lease has lapsed; dead -> unknown, of
-- tasks that were kept long enough.
-- Replay: renewing twice is renewing once.
--@include _now
--@include _note
--@include _mark
--@include _ring
--@include _inbox
--@include _outlive
--@include _unpacked
--@include _lots
--@include _spread
--@include _restore
local line, me = KEYS[1], ARGV[1]
local alive = line .. 'alive'
redis.call('ZREM', alive, '') -- allowed on a full Redis, and allows the rest
local back, from = 0, 0
-- A Redis that lost its memory knows no such consumer, but may have moved a task
-- from the bell to it since; and its wait at the bell may not be over.
if ARGV[5] ~= '' then back = restore(line, ARGV[5], true) end
local jumped = ARGV[3] == '1' -- the clock was put back, or may have been
if ARGV[3] == '1' then
  -- A name that was struck off is burnt: a sign-on that comes late, by a connection that
  -- was given up, must not bring back a consumer that nobody is.
  if redis.call('TYPE', line .. 'taken:' .. me).ok == 'string' then return {'lapsed'} end
  redis.call('ZADD', alive, now + tonumber(ARGV[2]), me)
  -- A value of more than hash-max-listpack-value bytes makes it a table from the
  -- start: as a listpack it would be searched from end to end for every task.
  redis.call('HSET', line .. 'run:' .. me, '#', string.format('%-65s', string.format('%.0f %s', now, ARGV[2])))
elseif redis.call('ZADD', alive, 'XX', 'GT', 'CH', now + tonumber(ARGV[2]), me) == 0 then
  if not redis.call('ZSCORE', alive, me) then return {'lapsed'} end
  redis.call('ZADD', alive, now + tonumber(ARGV[2]), me)
  jumped = true
end
-- A master that was elected without knowing of a turn takes tasks to be in flight of
-- which the consumer has told already, and would do so for ever.
if #ARGV > 5 then
  local lanes = {}
  for i = 6, #ARGV do lanes[i - 5] = '#' .. (i - 6) end
  for i, known in ipairs(redis.call('HMGET', line .. 'run:' .. me, unpack(lanes))) do
    if tonumber(known or 0) < tonumber(ARGV[5 + i]) then return {'lapsed'} end
  end
end

-- A clock that was put back leaves leases that end later than they may: whoever
-- has one and is lost would keep its tasks until then. A heartbeat sees it by its own lease.
for _ = 1, jumped and redis.call('ZCOUNT', alive, '(' .. string.format('%.0f', now + tonumber(ARGV[2])), '+inf') or 0 do
  local top = redis.call('ZRANGE', alive, -1, -1, 'WITHSCORES')
  local most = tonumber(string.match(redis.call('HGET', line .. 'run:' .. top[1], '#') or '', '^%d+ (%d+)'))
  if not most or tonumber(top[2]) <= now + most then break end -- its lease is a long one
  redis.call('ZADD', alive, now + most, top[1])
end

local first = redis.call('ZRANGE', alive, 0, 0, 'WITHSCORES')
while first[2] and tonumber(first[2]) <= now and from < 10 do
  back = back + restore(line, first[1], true)
  from = from + 1
  first = redis.call('ZRANGE', alive, 0, 0, 'WITHSCORES')
end

if ARGV[4] ~= '' then
  local old = redis.call('ZRANGEBYSCORE', line .. 'dead', '-inf', now - tonumber(ARGV[4]), 'LIMIT', 0, 1000)
  if #old > 0 then
    redis.call('ZREM', line .. 'dead', unpack(old))
    for _, h in ipairs({'tasks', 'notes', 'faults'}) do redis.call('HDEL', line .. h, unpack(old)) end
  end
end

-- Wishes that it may not have heard. They are told once: who wishes does so again.
local stops, wishes = line .. 'stops:' .. me, {}
local waits = redis.call('EXISTS', line .. 'bell', line .. 'ready:0', line .. 'ready:1', line .. 'ready:2',
  line .. 'arrivals', line .. 'alone', line .. 'due', stops)
if waits > 0 then wishes = redis.call('HGETALL', stops) end
if #wishes > 0 then waits = waits - redis.call('DEL', stops) end
if waits == 1 and redis.call('EXISTS', line .. 'due') == 1 then
  waits = 1 - redis.call('EXISTS', line .. 'clock') -- somebody gets up for what is due
end
local out = {'ok', string.format('%.0f', math.max(tonumber(first[2] or now) - now, 0)), waits > 0 and 1 or 0, back, from}
for _, v in ipairs(wishes) do out[#out + 1] = v end
return out
