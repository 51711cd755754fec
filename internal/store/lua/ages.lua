-- ages: what keys are, and when they expire.
-- KEYS 1 the partition's root
-- ARGV n * key, without the root
-- Returns n * (type, 'none' for a key that is gone; ms to live, -1 for ever).
-- Moves no task.
local out = {}
for _, k in ipairs(ARGV) do
  out[#out + 1] = redis.call('TYPE', KEYS[1] .. k).ok
  out[#out + 1] = string.format('%.0f', redis.call('PTTL', KEYS[1] .. k))
end
return out
