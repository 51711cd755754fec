-- declare: says how a queue is laid out, or learns it.
-- KEYS 1 the root of the queue's partition 0
-- ARGV 1 kind: 'list' or 'stream'  2 partitions, 0 to take what is there
--      3 retention of a stream in ms, -1 to take what is there
-- Returns {kind, partitions, retention}, as stored now; a caller whose kind or
-- partitions differ was refused and nothing changed.
-- Moves no task.
local conf = KEYS[1] .. 'conf'
local kind = redis.call('HGET', conf, 'kind')
local parts = tonumber(redis.call('HGET', conf, 'partitions') or 0)
local keep = redis.call('HGET', conf, 'retention')
if not kind or kind == ARGV[1] then
  local want = tonumber(ARGV[2])
  if not kind then redis.call('HSET', conf, 'kind', ARGV[1]) end
  kind = ARGV[1]
  if want > parts or parts == 0 then
    parts = math.max(want, 1)
    redis.call('HSET', conf, 'partitions', parts)
  end
  if tonumber(ARGV[3]) >= 0 then
    keep = ARGV[3]
    redis.call('HSET', conf, 'retention', keep)
  end
end
return {kind, tostring(parts), keep or '0'}
