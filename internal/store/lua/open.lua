-- open: asks for the outcome of a task, now or when it comes.
-- KEYS 1 the partition's root
-- ARGV 1 id  2 reply address, '' to ask and not to wait
-- Returns {'kept', outcome}, {'dead', outcome}, {'waits', ''} or {'gone', ''}.
-- Moves no task.
-- Replay: an address that is told twice is told the same.
local root, id = KEYS[1], ARGV[1]
local kept = redis.call('GET', root .. 'result:' .. id)
if kept then return {'kept', kept} end
if redis.call('HEXISTS', root .. 'tasks', id) == 0 then return {'gone', ''} end
if redis.call('ZSCORE', root .. 'dead', id) then
  return {'dead', redis.call('HGET', root .. 'faults', id) or ''}
end
if ARGV[2] == '' then return {'waits', ''} end
local w = redis.call('HGET', root .. 'watch', id)
if not w then
  redis.call('HSET', root .. 'watch', id, ARGV[2])
elseif not string.find(' ' .. w .. ' ', ' ' .. ARGV[2] .. ' ', 1, true) then
  redis.call('HSET', root .. 'watch', id, w .. ' ' .. ARGV[2])
end
return {'waits', ''}
