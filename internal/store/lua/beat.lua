-- beat: a consumer renews its lease, and takes over from one that let its own lapse.
-- KEYS 1 the line
-- ARGV 1 consumer  2 lease ms  3 '1' to sign on, '' to renew
--      4 how long dead tasks are kept, ms
-- Returns {'ok', now, 1 if a claim would find something, tasks taken over,
--   consumers taken over from} or {'lapsed'}.
-- Moves: running -> ready, of consumers whose lease has lapsed; dead -> unknown, of
-- tasks that were kept long enough.
-- Replay: renewing twice is renewing once.
--@include _now
--@include _note
--@include _ring
--@include _inbox
--@include _restore
local line, me = KEYS[1], ARGV[1]
local alive = line .. 'alive'
redis.call('ZREM', alive, '') -- allowed on a full Redis, and allows the rest
if ARGV[3] == '' and not redis.call('ZSCORE', alive, me) then return {'lapsed'} end
redis.call('ZADD', alive, now + tonumber(ARGV[2]), me)
if ARGV[3] == '1' then redis.call('HSET', line .. 'run:' .. me, '#', now) end

local back, from = 0, 0
for _, lapsed in ipairs(redis.call('ZRANGEBYSCORE', alive, '-inf', now, 'LIMIT', 0, 10)) do
  back = back + restore(line, lapsed, true)
  from = from + 1
end

local old = redis.call('ZRANGEBYSCORE', line .. 'dead', '-inf', now - tonumber(ARGV[4]), 'LIMIT', 0, 100)
if #old > 0 then
  redis.call('ZREM', line .. 'dead', unpack(old))
  for _, h in ipairs({'tasks', 'notes', 'faults'}) do redis.call('HDEL', line .. h, unpack(old)) end
end

local some = redis.call('EXISTS', line .. 'bell', line .. 'ready:0', line .. 'ready:1', line .. 'ready:2', line .. 'alone')
if some == 0 and redis.call('EXISTS', line .. 'clock') == 0 then some = redis.call('EXISTS', line .. 'due') end
return {'ok', string.format('%.0f', now), some > 0 and 1 or 0, back, from}
