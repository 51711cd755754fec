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
  if #e > 16 and string.sub(e, 1, 16) == ARGV[3] then
    local id, from, number, msg = unpacked(e)
    if number > came(KEYS[1], from) and redis.call('SISMEMBER', KEYS[1] .. 'settled', id) == 0 then return {'0', msg} end
  end
end
return {cursor, ''}
