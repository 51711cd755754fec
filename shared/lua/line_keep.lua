-- line_keep: renews the leases of those who hold or wait, and looks after those that have
-- lapsed.
-- KEYS 1 the root
-- ARGV 1 lease ms, then tickets
-- Returns the ms until the first lease lapses, then for each ticket its token, '-' if it
-- waits, or '' if its lease has lapsed.
-- Replay: a lease is renewed once more.
--@include _now
--@include _alive
--@include _line
sweep()
local out = {''}
for i = 2, #ARGV do
  if redis.call('ZSCORE', alive, ARGV[i]) then redis.call('ZADD', alive, now + ARGV[1], ARGV[i]) end
end
grant(size(), '')
for i = 2, #ARGV do
  out[i] = ''
  if redis.call('ZSCORE', alive, ARGV[i]) then out[i] = redis.call('HGET', held, ARGV[i]) or '-' end
end
last_all(ARGV[1])
out[1] = lapse()
return out
