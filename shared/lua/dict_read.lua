-- dict_read: reads a dictionary.
-- KEYS 1 the root, see dict
-- ARGV 1 'len'; or 'get' and 2 a key; or 'scan', 2 a cursor and 3 about how many
-- Returns how many there are; the value, if there is one; the next cursor, which is 0 at
-- the end, and keys and values in turn.
local root = KEYS[1]
if ARGV[1] == 'len' then
  return {tostring(redis.call('HLEN', root))}
elseif ARGV[1] == 'get' then
  local v = redis.call('HGET', root, ARGV[2])
  return v and {v} or {}
end
local r = redis.call('HSCAN', root, ARGV[2], 'COUNT', ARGV[3])
table.insert(r[2], 1, r[1])
return r[2]
