-- queue_close: nothing more is put into the queue.
-- KEYS see _queue
-- ARGV 1 dir  2 most  3 keep, see _queue
-- Returns 'ok', or 'size' and the size there is.
-- Replay: it is closed once.
-- It works on a Redis that is full.
redis.call('HDEL', KEYS[1], '')
local dir, most, keep = ARGV[1], ARGV[2], ARGV[3]
--@include _queue
local conf = redis.call('HMGET', root, 'size', 'keep')
local size = missized(conf[1], conf[2])
if size then return {'size', size} end
redis.call('HSET', root, 'closed', 1)
ring(root, ':getters', 1e6)
ring(root, ':putters', 1e6)
touch(root, items)
return {'ok'}
