-- fence_read: reads a fenced value.
-- KEYS 1 the root
-- Returns the largest token seen, and the value if there is one.
-- Replay: changes nothing.
local f = redis.call('HMGET', KEYS[1], 'token', 'value')
return {f[1] or '0', f[2] or nil}
