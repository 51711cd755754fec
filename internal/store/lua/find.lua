-- find: one step through the arrivals, from their end, in search of a message that
-- came without a script.
-- KEYS 1 the partition's root
-- ARGV 1 the cursor of the step before, 0 at first  2 how many entries  3 id
-- Returns {cursor, '0' when all is done; message or ''}.
-- Moves no task.
--@include _page
--@include _came
--@include _unpacked
local got, _, cursor = page(KEYS[1] .. 'arrivals', tonumber(ARGV[1]), tonumber(ARGV[2]))
for _, e in ipairs(got) do
  if #e > 16 and string.find(e, ARGV[3], 1, true) then
    local from, number, tasks = unpacked(e)
    for i = 1, #tasks, 2 do
      if tasks[i] == ARGV[3] and number > came(KEYS[1], from) and redis.call('SISMEMBER', KEYS[1] .. 'settled', ARGV[3]) == 0 then
        return {'0', tasks[i + 1]}
      end
    end
  end
end
return {cursor, ''}
