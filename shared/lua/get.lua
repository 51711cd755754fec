-- get: reads a string.
-- KEYS 1 the root, which is the key
-- Returns its value, if there is one.
local v = redis.call('GET', KEYS[1])
return v and {v} or {}
