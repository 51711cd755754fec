-- renew: renews leases that are good.
-- KEYS 1 the object's root
-- ARGV 1 the lease in ms, then tickets
-- Returns 0, as nothing is done when a lease lapses, then for each ticket '1', or '' if
-- its lease has lapsed.
-- Replay: a lease is renewed once more.
--@include _now
--@include _alive
local out = {'0'}
for i = 2, #ARGV do
  local ends = redis.call('ZSCORE', alive, ARGV[i])
  out[i] = ''
  if ends and tonumber(ends) > now then
    redis.call('ZADD', alive, now + ARGV[1], ARGV[i])
    out[i] = '1'
  end
end
last(alive, ARGV[1])
return out
