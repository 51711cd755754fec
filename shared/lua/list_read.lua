-- list_read: reads a list.
-- KEYS 1 the root, see list
-- ARGV 1 'len'; or 'get' and 2 an index; or 'slice', 2 the first index and 3 the last; or
--      'scan', 2 a place, 3 how many elements at most and 4 after how many bytes to stop
-- Returns the length; the element, if there is one; the elements; the place of the first
-- one at or behind that place, and the elements from there on. An element's place stays
-- the same while others come and go at both ends.
local root = KEYS[1]
if ARGV[1] == 'len' then
  return {tostring(redis.call('LLEN', root))}
elseif ARGV[1] == 'get' then
  local v = redis.call('LINDEX', root, ARGV[2])
  return v and {v} or {}
elseif ARGV[1] == 'slice' then
  return redis.call('LRANGE', root, ARGV[2], ARGV[3])
end
local front = tonumber(redis.call('GET', root .. ':front') or '0')
local index = math.max(tonumber(ARGV[2]) - front, 0)
local found = {string.format('%.0f', front + index)}
local bytes = 0
for _, v in ipairs(redis.call('LRANGE', root, index, index + ARGV[3] - 1)) do
  found[#found + 1] = v
  bytes = bytes + #v
  if bytes > tonumber(ARGV[4]) then break end
end
return found
