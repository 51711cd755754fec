-- say: passes on what handlers say while they run, to whoever waits just then.
-- KEYS 1 the line  2 the partition's root
-- ARGV n * (id, reply address or '', text without a space)
-- Returns 1.
-- Moves no task.
local line, root = KEYS[1], KEYS[2]
for i = 1, #ARGV, 3 do
  local to = ARGV[i + 1] .. ' ' .. (redis.call('HGET', line .. 'watch', ARGV[i]) or '')
  for addr in string.gmatch(to, '%S+') do redis.pcall('PUBLISH', root .. 'reply:' .. addr, '?' .. ARGV[i + 2]) end
end
return 1
