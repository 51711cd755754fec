-- array_read: reads a part of an array.
-- KEYS 1 the root, see array
-- ARGV 1 the length of the head  2 the first byte  3 the last one
-- Returns the head, or '' if there is none, and the bytes that there are.
return {redis.call('GETRANGE', KEYS[1], 0, ARGV[1] - 1), redis.call('GETRANGE', KEYS[1], ARGV[2], ARGV[3])}
