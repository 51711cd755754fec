-- event_turn: sets an event, or clears it.
--   root  HASH  on: '1' if it is set; turn: grows whenever it is set
-- KEYS 1 the root, also the channel that rings when it is set
-- ARGV 1 '1' to set it, '0' to clear it  2 how long it is kept in ms, or 0
-- Returns '1' if that changed it.
-- Replay: it is so already. If somebody has cleared it between, it is set once more: the
-- same as if that had come first.
--@include _now
redis.call('HDEL', KEYS[1], '') -- allowed on a full Redis, and allows the rest
local changed = (redis.call('HGET', KEYS[1], 'on') or '0') ~= ARGV[1]
if changed then
  if ARGV[1] == '1' then
    -- The time, so that it grows even if Redis has forgotten the event.
    local turn = math.max(clock[1] * 1000000 + clock[2], (tonumber(redis.call('HGET', KEYS[1], 'turn')) or 0) + 1)
    redis.call('HSET', KEYS[1], 'on', '1', 'turn', string.format('%.0f', turn))
    redis.pcall('PUBLISH', KEYS[1], '')
  else
    redis.call('HSET', KEYS[1], 'on', '0')
  end
end
if ARGV[2] == '0' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return {changed and '1' or '0'}
