-- free: ends leases.
-- KEYS 1 the object's root
-- ARGV tickets
-- Returns for each ticket '1', or '' if it had no lease.
-- Replay: the second time nobody has one.
--@include _now
--@include _alive
local out = {}
for i = 1, #ARGV do
  out[i] = redis.call('ZREM', alive, ARGV[i]) == 1 and '1' or ''
end
return out
