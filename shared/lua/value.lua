-- value: reads a value.
-- KEYS 1 the root, see swap
-- ARGV 1 the version that the reader knows, or ''
-- Returns the version and the value, or nothing if it has that version.
local cell = redis.call('HMGET', KEYS[1], 'n', 'v')
local n = cell[1] or '0'
if n == ARGV[1] then return {} end
return {n, cell[2] or ''}
