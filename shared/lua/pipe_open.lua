-- pipe_open: makes an end of a pipe somebody's.
-- KEYS see _queue
-- ARGV 1 the end, ':a' or ':b'  2 most  3 keep, see _queue
--      4 its ticket  5 its lease in ms
-- Returns the state and in how many ms the next lease may lapse. The state is 'ok',
-- 'taken', or 'closed' (this end was closed, and the other one was not).
-- Replay: the ticket has the end already.
--@include _now
local dir, most, keep = ARGV[1], ARGV[2], ARGV[3]
--@include _queue
sweep(now)
local owner = redis.call('HGET', base, dir)
if owner == ARGV[4] then return {'ok', lapse(now)} end
if owner then return {'taken', lapse(now)} end
if redis.call('HEXISTS', base, 'shut' .. dir) == 1 then
  if redis.call('HEXISTS', base, 'shut' .. other(dir)) == 0 then return {'closed', '0'} end
  for _, d in ipairs({':a', ':b'}) do redis.call('DEL', base .. d, base .. d .. ':items') end
  redis.call('HDEL', base, 'shut:a', 'shut:b')
end
redis.call('HSET', base, dir, ARGV[4])
redis.call('ZADD', alive, now + ARGV[5], ARGV[4])
missized(redis.call('HGET', root, 'size'), redis.call('HGET', root, 'keep'))
touch(base, alive, root, items)
return {'ok', lapse(now)}
