-- record: a consumer puts on record what a task that it runs has come to so far.
-- KEYS 1 the line
-- ARGV 1 consumer  2 id  3 how many bytes the consumer takes to be on record
--      4 what is added  5 ms to keep it
-- Returns 1, or 0 if the task is not this consumer's (any more), or -1 if another
-- number of bytes is on record.
-- Moves no task.
-- Replay: what was added is not added again.
--@include _unpacked
--@include _lots
--@include _spread
local line, me, id, had, part = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
spread(line, me)
local mine = redis.call('HEXISTS', line .. 'run:' .. me, id) == 1
local taken = line .. 'taken:' .. me
if not mine and redis.call('TYPE', taken).ok == 'list' then -- it may have come over the bell
  for _, e in ipairs(redis.call('LRANGE', taken, 0, -1)) do
    mine = mine or string.sub(e, 2, 17) == id
  end
end
if not mine then return 0 end
local key = line .. 'part:' .. id
local has = redis.call('STRLEN', key)
if has == had then
  redis.call('APPEND', key, part)
elseif has ~= had + #part or redis.call('GETRANGE', key, had, -1) ~= part then
  return -1
end
redis.call('PEXPIRE', key, ARGV[5])
return 1
