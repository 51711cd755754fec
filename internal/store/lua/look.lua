-- look: everything about one task, for a person.
-- KEYS 1 the line  2 the partition's root
-- ARGV 1 id
-- Returns {state, message, note, last outcome, consumer, due ms}; state is '' for a task
-- that is not there, 'maybe' if its message may be among the arrivals. One that is ready
-- though its message has a time to run at that is to come is scheduled, in a bundle.
-- Moves no task.
--@include _note
--@include _unpacked
--@include _lots
local line, id = KEYS[1], ARGV[1]
local kept = redis.call('GET', KEYS[2] .. 'result:' .. id)
local msg = redis.call('HGET', line .. 'tasks', id)
if not msg then
  if kept then return {'kept', '', '', kept, '', ''} end
  local who, msgs = in_lots(line, redis.call('ZRANGE', line .. 'alive', 0, -1), {[id] = true})
  if who[id] then return {'running', msgs[id], '', '', who[id], ''} end
  return {redis.call('EXISTS', line .. 'arrivals') == 1 and 'maybe' or '', '', '', '', '', ''}
end
local note = redis.call('HGET', line .. 'notes', id) or ''
local fault = redis.call('HGET', line .. 'faults', id) or ''
local due = redis.call('ZSCORE', line .. 'due', id)
if due then
  local _, attempts = read_note(note ~= '' and note or false)
  return {attempts > 0 and 'retry' or 'scheduled', msg, note, fault, '', due}
end
if redis.call('ZSCORE', line .. 'dead', id) then return {'dead', msg, note, fault, '', ''} end
for _, c in ipairs(redis.call('ZRANGE', line .. 'alive', 0, -1)) do
  if redis.call('HEXISTS', line .. 'run:' .. c, id) == 1 then return {'running', msg, note, fault, c, ''} end
  for _, e in ipairs(redis.call('LRANGE', line .. 'taken:' .. c, 0, -1)) do
    if string.sub(e, 2, 17) == id then return {'running', msg, note, fault, c, ''} end
  end
end
return {'ready', msg, note, fault, '', ''}
