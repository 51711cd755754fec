-- ring(line, n): wakes up to n consumers that listen to the line's bell, never
-- leaving more on the bell than there are consumers to take it. Something waits
-- in the line, so whoever wakes claims.
local function ring(line, n)
  local most = redis.call('ZCARD', line .. 'alive')
  if most == 0 then return end
  local room = most - redis.call('LLEN', line .. 'bell')
  for _ = 1, math.min(n, room) do
    redis.call('RPUSH', line .. 'bell', '')
  end
  if room <= 0 then mark(line) end
end
