-- tally: counts, step by step, the ids that a line has in bundles beyond the members
-- of `due`.
-- KEYS 1 the line
-- ARGV 1 how many members were counted before  2 how many to count
-- Returns {count, members, what `bundled` says}. What several steps say holds only if
--   the last two did not change between them.
-- Moves no task.
local due, n = KEYS[1] .. 'due', 0
for _, m in ipairs(redis.call('ZRANGE', due, ARGV[1], ARGV[1] + ARGV[2] - 1)) do
  if #m > 16 and #m % 16 == 0 then n = n + #m / 16 - 1 end
end
return {tostring(n), tostring(redis.call('ZCARD', due)), redis.call('GET', KEYS[1] .. 'bundled') or '0'}
