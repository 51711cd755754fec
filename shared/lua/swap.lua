-- swap: writes a value, if it is still the one that the writer has seen.
-- KEYS 1 the root: a hash of v, the value, and n, its version
-- ARGV 1 the client  2 the number of the attempt, which grows  3 how long the value is
--      kept, in ms, or 0  4 what to do: 'w' write, 'd' delete, 'c' only compare
--      5 the version it must have, '0' for none, or '' for any  6 the value  7 '1' if the
--      client has lost so often that it wants a turn of its own  8 for how many ms, or 0
--      if it does not try again when it is told of another version
-- Returns 'ok' and the version now; or 'stale', the version and the value, if it is
-- another; or 'wait', the version, the value and how many ms at most, if it is
-- somebody's turn.
-- Replay: an attempt that was successful is remembered with its version.
--
-- A turn is held in :turn for a short time, and lined up for in :line. It ends with what
-- its holder writes; a holder that is gone is passed over when the time is over.

local root, me = KEYS[1], ARGV[1]
local from, turn, line = root .. ':from:' .. me, root .. ':turn', root .. ':line'
local known = redis.call('GET', from)
if known then
  local at = string.find(known, ' ', 1, true)
  local last = tonumber(string.sub(known, 1, at - 1))
  if last > tonumber(ARGV[2]) then return {'late'} end
  if last == tonumber(ARGV[2]) then return {'ok', string.sub(known, at + 1)} end
end
if ARGV[4] == 'd' then redis.call('DEL', from) end -- a full Redis allows it

-- pass gives the turn to the next in the line.
local function pass()
  local next = redis.call('ZPOPMIN', line)[1]
  if next then
    redis.call('SET', turn, next, 'PX', 250)
    redis.call('PUBLISH', root, '')
  end
  return next
end

local whose = false
if redis.call('EXISTS', turn, line) > 0 then
  whose = redis.call('GET', turn) or pass()
end
local cell = redis.call('HMGET', root, 'n', 'v')
local n, v = cell[1] or '0', cell[2] or ''
if whose and whose ~= me then
  if ARGV[7] == '1' then
    local clock = redis.call('TIME')
    redis.call('ZADD', line, 'NX', clock[1] * 1000000 + clock[2], me)
    redis.call('PEXPIRE', line, 60000)
  end
  return {'wait', n, v, tostring(redis.call('PTTL', turn))}
end
if ARGV[5] ~= '' and ARGV[5] ~= n then
  if ARGV[8] == '0' then
    if whose then
      redis.call('DEL', turn)
      pass()
    end
  elseif ARGV[7] == '1' then
    redis.call('SET', turn, me, 'PX', ARGV[8])
  end
  return {'stale', n, v}
end
if ARGV[4] == 'w' then
  if n == '0' then
    -- It grows over a deletion: so many are not written in a microsecond.
    local clock = redis.call('TIME')
    n = string.format('%.0f', clock[1] * 1000000 + clock[2])
    redis.call('HSET', root, 'n', n, 'v', ARGV[6])
  else
    redis.call('HSET', root, 'v', ARGV[6])
    n = string.format('%.0f', redis.call('HINCRBY', root, 'n', 1))
  end
  if ARGV[3] == '0' then
    redis.call('PERSIST', root)
  else
    redis.call('PEXPIRE', root, ARGV[3])
  end
elseif ARGV[4] == 'd' then
  redis.call('UNLINK', root)
  n = '0'
end
if ARGV[4] ~= 'c' then
  redis.call('SET', from, ARGV[2] .. ' ' .. n, 'PX', 600000)
  redis.call('PUBLISH', root, '')
end
if whose then
  redis.call('DEL', turn)
  pass()
end
return {'ok', n}
