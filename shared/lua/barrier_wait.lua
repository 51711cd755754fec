-- barrier_wait: arrives at a barrier, or looks again.
-- KEYS 1 the root
-- ARGV 1 the party  2 lease ms  3 the arrival, which is the party's  4 how many meet
--      5 the round in which it arrived, or '' to arrive now
-- Returns the round, what became of the arrival (an index, '-' or 'broken'), and the ms
-- until the first lease lapses; or only the number of those who meet if it is another one.
-- Replay: it has arrived already.
--@include _now
--@include _alive
--@include _barrier
free_first()
sweep()
local of, was = ARGV[5], redis.call('HGET', round, 'size')
if of ~= '' then
  return {of, outcome(ARGV[3], of), lapse()}
end
if was and was ~= ARGV[4] then
  if redis.call('EXISTS', alive) == 1 then return {was} end
  redis.call('DEL', arrived)
end
redis.call('ZADD', alive, now + ARGV[2], ARGV[1])
of = number()
redis.call('HSET', round, 'size', ARGV[4], 'number', of)
-- One that is sent again, after the round it arrived in was complete, was in the last one.
local before = string.format('%.0f', of - 1)
local met = redis.call('HGET', KEYS[1] .. ':out:' .. before, ARGV[3])
if met then of = before end
local out = met
if not met and (broken() or redis.call('EXISTS', KEYS[1] .. ':quit:' .. ARGV[3]) == 1) then out = 'broken' end
if not out then
  redis.call('HSETNX', arrived, ARGV[3], redis.call('HLEN', arrived))
  if redis.call('HLEN', arrived) == tonumber(ARGV[4]) then
    local key = KEYS[1] .. ':out:' .. of
    redis.call('RENAME', arrived, key)
    redis.call('PEXPIRE', key, 600000)
    redis.call('HSET', round, 'number', string.format('%.0f', of + 1))
    ring()
  end
  out = outcome(ARGV[3], of)
end
last_all(ARGV[2])
return {of, out, lapse()}
