-- line_leave: gives up what is held, or the place in the line, and lets the next in.
-- KEYS 1 the root
-- ARGV tickets
-- Returns for each '1', or '' if it held nothing: its lease has lapsed, or it waited.
-- Replay: it is known for a while what was given back, and the answer is the same.
--@include _now
--@include _alive
--@include _line
sweep()
local out = {}
for i = 1, #ARGV do
  local ticket = ARGV[i]
  if redis.call('HDEL', held, ticket) == 1 then -- allowed on a full Redis, and allows the rest
    redis.call('SET', freed .. ticket, '1', 'PX', 30000)
    out[i] = '1'
  elseif redis.call('GET', freed .. ticket) == '1' then
    out[i] = '1'
  else
    redis.call('ZREM', line, ticket)
    redis.call('SET', freed .. ticket, '0', 'PX', 30000) -- its line_enter may be on its way yet
    out[i] = ''
  end
  redis.call('ZREM', alive, ticket)
end
grant(size(), '')
if not is_lock and redis.call('EXISTS', alive) == 0 then redis.call('DEL', KEYS[1] .. ':size') end
return out
