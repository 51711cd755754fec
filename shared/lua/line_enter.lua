-- line_enter: asks for a lock or a permit.
-- KEYS 1 the root
-- ARGV 1 ticket  2 lease ms  3 '1' to wait for it  4 how many permits there are; '' for a
--      lock
-- Returns the token, or '' if it is not this one's turn, and the ms until the first
-- lease lapses; or only the number of permits, if it is another one.
-- Replay: it keeps its place, or what it has.
--@include _now
--@include _alive
--@include _line
local me = ARGV[1]
sweep()
local n = 1
if ARGV[4] ~= '' then
  n = tonumber(ARGV[4])
  local was = redis.call('GET', KEYS[1] .. ':size')
  if not was or redis.call('EXISTS', alive) == 0 then
    redis.call('SET', KEYS[1] .. ':size', ARGV[4])
  elseif was ~= ARGV[4] then
    return {was}
  end
end
if not redis.call('HGET', held, me) then
  grant(n, me) -- those before it
  local gone = redis.call('ZSCORE', freed, me) or redis.call('ZSCORE', freed, '!' .. me) -- before this came
  if gone or ARGV[3] ~= '1' and redis.call('HLEN', held) >= n then
    last_all(ARGV[2])
    return {'', lapse()}
  end
  if not redis.call('ZSCORE', line, me) then
    local behind = redis.call('ZRANGE', line, -1, -1, 'WITHSCORES')
    redis.call('ZADD', line, (behind[2] or 0) + 1, me)
  end
end
redis.call('ZADD', alive, now + ARGV[2], me)
grant(n, me)
last_all(ARGV[2])
return {redis.call('HGET', held, me) or '', lapse()}
