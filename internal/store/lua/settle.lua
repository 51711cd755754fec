-- settle: one step through the arrivals, from their end: those of these ids whose
-- message came without a script are stored like the others. They do so out of turn, so
-- that the number of their producer's last one cannot tell when they come again:
-- their ids are kept for that.
-- KEYS 1 the partition's root
-- ARGV 1 the cursor of the step before, 0 at first  2 how many entries
--      3 '1' if the ids are of no tasks any more, and are blanked  4... ids
-- Returns {cursor, '0' when all is done; how many were stored}.
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
for k = #got, 1, -1 do
  if #got[k] > 16 and wanted[string.sub(got[k], 1, 16)] then
    local id, from, number, msg = unpacked(got[k])
    local entry = ''
    if number > came(root, from) and redis.call('SADD', root .. 'settled', id) == 1 then
      redis.call('HSET', root .. 'tasks', id, msg)
      entry, n = id, n + 1
    end
    redis.call('LSET', root .. 'arrivals', first + k - 1, entry)
  elseif ARGV[3] == '1' and wanted[got[k]] then
    redis.call('LSET', root .. 'arrivals', first + k - 1, '')
  end
end
return {cursor, tostring(n)}
