-- join: makes a consumer group of a stream partition, which sees everything that
-- is still in the stream. Safe to repeat.
-- KEYS 1 the partition's root
-- ARGV 1 group
-- Returns 1 if the group was not there, else 0.
-- Moves no task.
local known = redis.call('SISMEMBER', KEYS[1] .. 'groups', ARGV[1])
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1] .. 'stream', ARGV[1], '0', 'MKSTREAM')
local err = type(made) == 'table' and made.err
-- A full Redis can still be drained by who is on the list.
if err and not string.find(err, 'BUSYGROUP') and (known == 0 or not string.find(err, 'OOM')) then
  return redis.error_reply(err)
end
if known == 0 then redis.call('SADD', KEYS[1] .. 'groups', ARGV[1]) end
return err and 0 or 1
