-- page(key, done, count): up to count entries of a list, of which done from its end
-- have been looked at. Entries come in there, and none is passed over because
-- others leave at the front. Returns them, the index of the first, and how many are done
-- then, 0 if all.
local function page(key, done, count)
  local len = redis.call('LLEN', key)
  local first = math.max(len - done - count, 0)
  local got = len > done and redis.call('LRANGE', key, first, len - done - 1) or {}
  return got, first, string.format('%.0f', len - done > count and done + count or 0)
end
