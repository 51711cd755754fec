-- trim: drops from a stream what every group has read and the retention no longer
-- keeps. What a group has read but not finished is in the group's own tasks.
-- KEYS 1 the partition's root
-- ARGV 1 retention ms
-- Returns how many entries were dropped.
-- Moves no task.
--@include _now
local stream = KEYS[1] .. 'stream'
if redis.call('EXISTS', stream) == 0 then return 0 end
local ms, seq = now, 0
for _, g in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local f = {}
  for i = 1, #g, 2 do f[g[i]] = g[i + 1] end
  local a, b = string.match(f['last-delivered-id'], '^(%d+)%-?(%d*)$') -- '0' of a new group on miniredis
  a, b = tonumber(a), tonumber(b) or 0
  if a < ms or (a == ms and b < seq) then ms, seq = a, b end
end
local oldest = now - tonumber(ARGV[1])
if oldest < ms then ms, seq = oldest, 0 end
-- The last entry that everybody has read may go as well; MINID keeps it, and the
-- next trim drops it.
return redis.call('XTRIM', stream, 'MINID', string.format('%.0f-%d', ms, seq))
