-- barrier_leave: parties leave. That breaks the barrier only if one of them has arrived
-- and waits.
-- KEYS 1 the root
-- ARGV parties; an arrival begins with its party and a slash
-- Returns for each '1'.
-- Replay: they have left.
--@include _now
--@include _alive
--@include _barrier
free_first()
sweep()
local out, left = {}, {}
for i = 1, #ARGV do
  redis.call('ZREM', alive, ARGV[i])
  left[ARGV[i]] = true
  out[i] = '1'
end
for _, arrival in ipairs(redis.call('HKEYS', arrived)) do
  if left[string.match(arrival, '^(.*)/')] then
    break_it()
    break
  end
end
if redis.call('EXISTS', alive) == 0 then redis.call('DEL', round, arrived) end
return out
