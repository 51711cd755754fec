-- leave: a consumer signs off. What it still holds goes back at once and counts
-- as no crash.
-- KEYS 1 the line
-- ARGV 1 consumer
-- Returns how many tasks went back.
-- Moves: running -> ready.
-- Replay: there is nothing left to give back.
--@include _note
--@include _mark
--@include _ring
--@include _inbox
--@include _outlive
--@include _unpacked
--@include _lots
--@include _spread
--@include _restore
redis.call('ZREM', KEYS[1] .. 'alive', '') -- allowed on a full Redis, and allows the rest
if not redis.call('ZSCORE', KEYS[1] .. 'alive', ARGV[1])
  and redis.call('TYPE', KEYS[1] .. 'taken:' .. ARGV[1]).ok ~= 'list' then
  redis.call('DEL', KEYS[1] .. 'run:' .. ARGV[1]) -- it is there if the queue was dropped
  redis.call('SET', KEYS[1] .. 'taken:' .. ARGV[1], 'gone', 'PX', 120000) -- its sign-on may be on its way yet, see beat
  return 0
end
return restore(KEYS[1], ARGV[1], false)
