-- queue_join: how many items are not done; if there are any, the caller waits in the line
-- of those who want to know when there are none.
-- KEYS see _queue
-- ARGV 1 dir  2 most  3 keep, see _queue  4 the caller
--      5 1 if the caller waits, 0 if it only leaves the line
-- Returns 'ok' and the number, or 'size' and the size there is.
-- Replay: the caller is in the line once.
-- It works on a Redis that is full.
redis.call('ZREM', KEYS[1] .. ':joiners', ARGV[4])
--@include _now
local dir, most, keep = ARGV[1], ARGV[2], ARGV[3]
--@include _queue
local conf = redis.call('HMGET', root, 'size', 'keep', 'open')
local size = missized(conf[1], conf[2])
if size then return {'size', size} end
local open = conf[3] or '0'
if open ~= '0' and ARGV[5] == '1' then
  redis.call('ZADD', root .. ':joiners', now, ARGV[4])
  touch(root, items, held, alive, root .. ':joiners')
end
return {'ok', open}
