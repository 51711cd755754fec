-- barrier_keep: renews the leases of parties, and breaks the barrier if one has lapsed.
-- KEYS 1 the root
-- ARGV 1 lease ms, then parties
-- Returns the ms until the first lease lapses, then for each party '1', or '' if its lease
-- has lapsed.
-- Replay: a lease is renewed once more.
--@include _now
--@include _alive
--@include _barrier
free_first()
sweep()
local out = {''}
for i = 2, #ARGV do
  out[i] = ''
  if redis.call('ZSCORE', alive, ARGV[i]) then
    redis.call('ZADD', alive, now + ARGV[1], ARGV[i])
    out[i] = '1'
  end
end
last_all(ARGV[1])
out[1] = lapse()
return out
