-- line_leave: gives up what is held, or the place in the line, and lets the next in.
-- KEYS 1 the root
-- ARGV tickets
-- Returns for each '1', or '' if it held nothing: its lease has lapsed, or it waited.
-- Replay: it is known for a while what was given back, and the answer is the same.
--@include _now
--@include _alive
--@include _line
sweep()
redis.call('ZREMRANGEBYSCORE', freed, '-inf', now - 60000)
local out = {}
for i = 1, #ARGV do
  out[i] = ''
  if redis.call('HDEL', held, ARGV[i]) == 1 then
    redis.call('ZADD', freed, now, ARGV[i])
    out[i] = '1'
  elseif redis.call('ZSCORE', freed, ARGV[i]) then
    out[i] = '1'
  else
    redis.call('ZREM', line, ARGV[i])
    redis.call('ZADD', freed, now, '!' .. ARGV[i]) -- its line_enter may be on its way yet
  end
  redis.call('ZREM', alive, ARGV[i])
end
redis.call('PEXPIRE', freed, 60000)
grant(size(), '')
if redis.call('EXISTS', alive) == 0 then redis.call('DEL', KEYS[1] .. ':size') end
return out
