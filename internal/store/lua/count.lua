-- count: how many tasks of a line are in which state. Costs the same whatever
-- the numbers are, but for one look a consumer.
-- KEYS 1 the line  2 the partition's root
-- ARGV 1 group, '' for a list
-- Returns {ready, scheduled (with those to be retried), running, dead, consumers}.
-- Moves no task.
--@include _lotted
local line = KEYS[1]
local ready = 0
for _, e in ipairs(redis.call('LRANGE', line .. 'bell', 0, -1)) do
  if #e > 16 then ready = ready + 1 end -- else it is a mere token
end
for _, l in ipairs({'alone', 'ready:0', 'ready:1', 'arrivals', 'ready:2'}) do
  ready = ready + redis.call('LLEN', line .. l)
end
if redis.call('LINDEX', line .. 'arrivals', 0) == '' then ready = ready - 1 end -- it keeps them open
local function scheduled(at)
  return redis.call('ZCARD', at .. 'due') + tonumber(redis.call('GET', at .. 'bundled') or 0)
end
local due = scheduled(line)
if ARGV[1] ~= '' then
  due = due + scheduled(KEYS[2])
  for _, g in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2] .. 'stream')) do
    local f = {}
    for i = 1, #g, 2 do f[g[i]] = g[i + 1] end
    if f.name == ARGV[1] then
      local lag = f['entries-read'] and tonumber(f.lag) -- without the one the other is a guess
      if not lag then lag = #redis.call('XRANGE', KEYS[2] .. 'stream', '(' .. f['last-delivered-id'], '+', 'COUNT', 10000) end
      ready = ready + lag
    end
  end
end
local alive = redis.call('ZRANGE', line .. 'alive', 0, -1)
local running = 0
for _, c in ipairs(alive) do
  for _, k in ipairs(redis.call('HKEYS', line .. 'run:' .. c)) do
    if #k == 16 then running = running + 1 end
  end
  running = running + lotted(line, c)
  if redis.call('TYPE', line .. 'taken:' .. c).ok == 'list' then
    for _, e in ipairs(redis.call('LRANGE', line .. 'taken:' .. c, 0, -1)) do
      if #e > 16 then running = running + 1 end
    end
  end
end
return {ready, due, running, redis.call('ZCARD', line .. 'dead'), #alive}
