-- holds: whether a consumer that has something in flight is there.
-- KEYS 1 the line
-- ARGV 1 consumer
-- Returns {'alive' or 'gone', or '' if it has nothing, how many tasks}.
-- Moves no task.
--@include _lotted
local run, taken = KEYS[1] .. 'run:' .. ARGV[1], KEYS[1] .. 'taken:' .. ARGV[1]
local n = 0
if redis.call('TYPE', taken).ok == 'list' then
  n = redis.call('LLEN', taken)
elseif redis.call('EXISTS', run) == 0 then
  return {'', '0'}
end
if redis.call('ZSCORE', KEYS[1] .. 'alive', ARGV[1]) then return {'alive', '0'} end
for _, id in ipairs(redis.call('HKEYS', run)) do
  if #id == 16 then n = n + 1 end
end
return {'gone', tostring(n + lotted(KEYS[1], ARGV[1]))}
