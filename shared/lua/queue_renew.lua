-- queue_renew: renews leases of reservations, or of the ends of a pipe, that are good.
-- KEYS see _queue
-- ARGV 1 the lease in ms, then tickets
-- Returns the ms until the first lease lapses, then for each ticket '1', or '' if its
-- lease has lapsed.
-- Replay: a lease is renewed once more.
-- It works on a Redis that is full.
redis.call('ZREM', KEYS[1] .. ':alive', '')
--@include _now
local dir, most, keep = '', '', redis.call('HGET', KEYS[1], 'keep') or redis.call('HGET', KEYS[1] .. ':a', 'keep') or '0'
--@include _queue
sweep(now)
local out = {}
for i = 2, #ARGV do
  out[i] = ''
  if redis.call('ZSCORE', alive, ARGV[i]) then
    redis.call('ZADD', alive, now + ARGV[1], ARGV[i])
    out[i] = '1'
  end
end
touch(alive)
for _, d in ipairs({'', ':a', ':b'}) do touch(base .. d, base .. d .. ':items', base .. d .. ':held') end
out[1] = lapse(now)
return out
