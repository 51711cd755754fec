-- sift: one step through what a key of a line holds.
-- KEYS 1 the line
-- ARGV 1 the key, without the line  2 its type: hash, zset or list
--      3 the cursor of the step before, '0' at first; in a list how many entries, from
--        its end, are done
--      4 about how many entries
-- Returns {cursor, '0' when all is done; bytes of a hash's values; then an entry
--   each: '+' if its message is there, '-' if not, and the id; of a bundle '*' or '~'
--   for these; '=' for an id whose message is in the entry; '?' and what it is, if that
--   is no id}. Of `tasks` every entry is '+'.
-- Moves no task.
--@include _page
--@include _unpacked
local line, name, kind, cursor, count = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local key = line .. name
if redis.call('TYPE', key).ok ~= kind then return {'0', '0'} end
local out = {'0', '0'}
local function add(id, yes, no)
  if #id ~= 16 then
    yes = '?'
  elseif name ~= 'tasks' and redis.call('HEXISTS', line .. 'tasks', id) == 0 then
    yes = no
  end
  out[#out + 1] = yes .. id
end
if kind == 'list' then
  local got, _, after = page(key, tonumber(cursor), count)
  out[1] = after
  for i = #got, 1, -1 do
    local e = got[i]
    if name == 'arrivals' and #e > 16 then
      local _, _, tasks = unpacked(e)
      for k = 1, #tasks, 2 do out[#out + 1] = '=' .. tasks[k] end
      e = ''
    end
    if name == 'bell' or string.sub(name, 1, 6) == 'taken:' then e = #e > 16 and string.sub(e, 2, 17) or '' end
    if e ~= '' then add(e, '+', '-') end
  end
  return out
end
local got = kind == 'hash' and redis.call('HSCAN', key, cursor, 'COUNT', count) or redis.call('ZSCAN', key, cursor, 'COUNT', count)
out[1] = got[1]
local bytes = 0
for i = 1, #got[2], 2 do
  local m = got[2][i]
  if kind == 'hash' then
    bytes = bytes + #got[2][i + 1]
    if string.sub(m, 1, 1) ~= '#' or #m == 16 then add(m, '+', '-') end
  elseif name == 'due' and #m > 16 and #m % 16 == 0 then
    for k = 1, #m, 16 do add(string.sub(m, k, k + 15), '*', '~') end
  else
    add(m, '+', '-')
  end
end
out[2] = tostring(bytes)
return out
