-- barrier_turn: breaks a barrier, or makes it whole.
-- KEYS 1 the root
-- ARGV 1 'abort' or 'reset'  2 lease ms  3 the call
-- Replay: a reset is known by its call, and not done again to those who have come since.
--@include _now
--@include _alive
--@include _barrier
free_first()
sweep()
if ARGV[1] == 'abort' then
  if not broken() then break_it() end
elseif redis.call('HGET', round, 'reset') ~= ARGV[3] then
  redis.call('DEL', arrived) -- for those who wait it is broken
  redis.call('HSET', round, 'broken', '0', 'number', string.format('%.0f', number() + 2), 'reset', ARGV[3])
  ring()
end
last_all(ARGV[2])
return {'1'}
