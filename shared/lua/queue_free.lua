-- queue_free: ends leases of reservations, which go back to the front, or of the ends of a
-- pipe, which are closed.
-- KEYS see _queue
-- ARGV tickets
-- Returns for each ticket '1', or '' if it had no lease.
-- Replay: the second time nobody has one.
-- It works on a Redis that is full.
redis.call('ZREM', KEYS[1] .. ':alive', '')
local dir, most, keep = '', '', redis.call('HGET', KEYS[1], 'keep') or redis.call('HGET', KEYS[1] .. ':a', 'keep') or '0'
--@include _queue
local out = {}
for i = 1, #ARGV do out[i] = redis.call('ZREM', alive, ARGV[i]) == 1 and '1' or '' end
lose(ARGV)
return out
