-- fence_write: writes a value, unless a newer token was seen.
--   root  HASH  token: the largest seen; value: what was written last
-- KEYS 1 the root, also the channel that rings when it is written
-- ARGV 1 token  2 how long it is kept in ms, or 0  3 the value; none to only show the token
-- Returns '1', or '' if the token is older, and the largest token.
-- Replay: the same is written once more, or is refused since a newer token came between.
local seen = redis.call('HGET', KEYS[1], 'token') or '0'
-- Tokens are decimals without zeros before them, and may be larger than what Lua can count.
if #seen > #ARGV[1] or #seen == #ARGV[1] and seen > ARGV[1] then return {'', seen} end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
if #ARGV > 2 then
  redis.call('HSET', KEYS[1], 'value', ARGV[3])
  redis.pcall('PUBLISH', KEYS[1], '')
end
if ARGV[2] == '0' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return {'1', ARGV[1]}
