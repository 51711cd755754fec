-- open: asks for the outcome of a task, now or when it comes.
-- KEYS 1 the line  2 the partition's root
-- ARGV 1 id  2 reply address, '' to ask and not to wait
-- Returns {'kept', outcome}, {'dead', outcome}, {'waits', ''} or {'gone', ''}; or
-- {'maybe', ''} if it is not there and its message may be among the arrivals.
-- Moves no task.
-- Replay: an address that is told twice is told the same.
--@include _watch
--@include _unpacked
--@include _lots
local line, root, id, addr = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local kept = redis.call('GET', root .. 'result:' .. id)
if kept then return {'kept', kept} end
if redis.call('HEXISTS', line .. 'tasks', id) == 0 and redis.call('HEXISTS', root .. 'tasks', id) == 0
  and not in_lots(line, redis.call('ZRANGE', line .. 'alive', 0, -1), {[id] = true})[id] then
  return {redis.call('EXISTS', root .. 'arrivals') == 1 and 'maybe' or 'gone', ''}
end
if redis.call('ZSCORE', line .. 'dead', id) then
  return {'dead', redis.call('HGET', line .. 'faults', id) or ''}
end
if addr ~= '' then watch(line, id, addr) end
return {'waits', ''}
