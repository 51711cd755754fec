-- pipe_release: an end of a pipe is nobody's, and not closed.
-- KEYS see _queue
-- ARGV 1 the end, ':a' or ':b'  2 its ticket
-- Returns {'1'}, or {'0'} if the ticket had not got it.
-- Replay: whose end it was last is remembered.
-- It works on a Redis that is full.
redis.call('ZREM', KEYS[1] .. ':alive', ARGV[2])
if redis.call('HGET', KEYS[1], 'was' .. ARGV[1]) == ARGV[2] then return {'1'} end
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return {'0'} end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], 'was' .. ARGV[1], ARGV[2])
return {'1'}
