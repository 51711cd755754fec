-- settle: one step through the arrivals, from their end: those of these ids whose
-- message came without a script are stored like the others, and so are those that came in
-- one entry with them: each id takes the place that was kept for it. They do so out of
-- turn, so that the number of their producer's last one cannot tell when they come
-- again: their ids are kept for that.
-- KEYS 1 the partition's root
-- ARGV 1 the cursor of the step before, 0 at first  2 how many entries
--      3 '1' if the ids are of no tasks any more, and are blanked  4... ids
-- Returns {cursor, '0' when all is done; how many of the ids were stored}.
-- Moves no task: it is ready before and afterwards.
-- Replay: what is stored stays so.
--@include _came
--@include _unpacked
--@include _page
local root = KEYS[1]
redis.call('ZREM', root .. 'alive', '') -- allowed on a full Redis, and allows the rest
local wanted = {}
for i = 4, #ARGV do wanted[ARGV[i]] = true end
local got, first, cursor = page(root .. 'arrivals', tonumber(ARGV[1]), tonumber(ARGV[2]))
local n = 0
local function put(index, entry) redis.call('LSET', root .. 'arrivals', first + index - 1, entry) end

-- may_have(e): a few ids are looked for in an entry before it is taken apart, which most
-- need not be.
local function may_have(e)
  for i = 4, #ARGV do
    if #ARGV > 12 or string.find(e, ARGV[i], 1, true) then return true end
  end
  return false
end

for k = #got, 1, -1 do
  if #got[k] > 16 and may_have(got[k]) then
    local from, number, tasks = unpacked(got[k])
    local hit = false
    for i = 1, #tasks, 2 do hit = hit or wanted[tasks[i]] end
    local live = hit and number > came(root, from)
    for i = 1, hit and #tasks or 0, 2 do
      local id, entry = tasks[i], ''
      if live and redis.call('SADD', root .. 'settled', id) == 1 then
        redis.call('HSET', root .. 'tasks', id, tasks[i + 1])
        entry = id
        if wanted[id] then n = n + 1 end
      end
      put(k + (i - 1) / 2, entry)
    end
  elseif ARGV[3] == '1' and wanted[got[k]] then
    put(k, '')
  end
end
return {cursor, tostring(n)}
