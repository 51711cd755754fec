-- join: makes a consumer group of a stream partition, which sees everything that
-- is still in the stream. Safe to repeat.
-- KEYS 1 the partition's root
-- ARGV 1 group
-- Returns 1.
-- Moves no task.
local known = redis.call('SISMEMBER', KEYS[1] .. 'groups', ARGV[1])
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1] .. 'stream', ARGV[1], '0', 'MKSTREAM')
if type(made) == 'table' and made.err and not string.find(made.err, 'BUSYGROUP') then
  if known == 0 or not string.find(made.err, 'OOM') then return redis.error_reply(made.err) end
end
if known == 0 then redis.call('SADD', KEYS[1] .. 'groups', ARGV[1]) end
return 1
