-- ring(line, n): wakes up to n of the line's idle consumers, never leaving more
-- tokens on the bell than there are consumers to take them. Something waits in
-- the line, so whoever wakes claims.
local function ring(line, n)
  local idle = redis.call('SCARD', line .. 'idle')
  if idle == 0 then return end
  for _ = 1, math.min(n, idle - redis.call('LLEN', line .. 'bell')) do
    redis.call('RPUSH', line .. 'bell', '')
  end
end
