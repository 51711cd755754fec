-- ring(line, n): wakes up to n consumers that listen to the line's bell, never
-- leaving more on the bell than there are consumers to take it. Something waits
-- in the line, so whoever wakes claims.
local function ring(line, n)
  local most = redis.call('ZCARD', line .. 'alive')
  if most == 0 then return end
  for _ = 1, math.min(n, most - redis.call('LLEN', line .. 'bell')) do
    redis.call('RPUSH', line .. 'bell', '')
  end
end
