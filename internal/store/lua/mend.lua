-- mend: repairs one thing, if it still is as it was found.
-- KEYS 1 the line  2 the partition's root
-- ARGV 1 what  2 which: an id, a key without the line, a consumer, a group
--      then of
--        orphan   3 when a bundle is due that it may be in or ''  4 'dead' if it was given up
--                 5 '1' for what waits in a stream queue for its time
--                 6 '1' if walks through long lists have not met it  7... consumers besides those alive
--        twice    3 the same moment  4 where it was in lists, from the end  5... those consumers
--        dangling, leftover   3 the key that refers to it
--        expiry   3 ms
--        bundled  2 the members  3 what `bundled` says  4 what it should say
-- Returns what was done, '' if there was nothing to do any more.
-- Moves: a task in no state -> ready or dead, or it is dropped because it has its
-- outcome; running -> ready, of a consumer that is not there.
-- Replay: what is mended is not as it was found.
--@include _now
--@include _note
--@include _mark
--@include _ring
--@include _inbox
--@include _outlive
--@include _unpacked
--@include _lots
--@include _spread
--@include _restore
--@include _places
local line, root, what, it = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
redis.call('ZREM', line .. 'alive', '') -- allowed on a full Redis, and allows the rest

local function drop(id)
  for _, h in ipairs({'tasks', 'notes', 'faults', 'watch'}) do redis.call('HDEL', line .. h, id) end
end

-- An entry of a list is blanked where it stands, since to take it out of a long list
-- takes long; claims pass over what is no task.
local function blank(list, index, len)
  redis.call('LSET', line .. list, index, 'blank')
  if len <= sight then redis.call('LREM', line .. list, 1, 'blank') end
  if list == 'arrivals' then outlive(line) end
end

if what == 'orphan' then
  local consumers = holders(line, {unpack(ARGV, 7)})
  local at = places(line, it, consumers, inboxes(line, consumers), true, ARGV[3], '')
  if at ~= 't' and not (at == 'lt' and ARGV[6] == '1') then return '' end
  if redis.call('EXISTS', root .. 'result:' .. it) == 1 then
    drop(it)
    return 'dropped: its outcome is there'
  elseif ARGV[4] == 'dead' then
    redis.call('ZADD', line .. 'dead', now, it)
    return 'is with the dead ones again'
  elseif ARGV[5] == '1' then
    redis.call('ZADD', line .. 'due', now, it)
    return 'goes into the stream next'
  end
  local p, _, crashes = read_note(redis.call('HGET', line .. 'notes', it))
  redis.call('RPUSH', line .. (crashes >= 2 and 'alone' or 'ready:' .. p), it)
  ring(line, 1)
  return 'is ready again'
elseif what == 'twice' then
  local consumers = holders(line, {unpack(ARGV, 5)})
  local inbox = inboxes(line, consumers)
  local at = places(line, it, consumers, inbox, true, ARGV[3], ARGV[4])
  at = string.gsub(at, 'l', '')
  if #at <= 2 or not string.find(at, 't', 1, true) then return '' end
  -- What runs goes on, what is dead stays so, and nothing runs before its time.
  local keep = false
  for _, letter in ipairs({'r', 'k', 'x', 'd', 'D', 'b', 'a', '0', '1', 'n', '2'}) do
    if not keep and string.find(at, letter, 1, true) then keep = letter end
  end
  local gone = 0
  for letter, list in pairs({['0'] = 'ready:0', ['1'] = 'ready:1', ['2'] = 'ready:2', n = 'arrivals', a = 'alone'}) do
    local found, len = in_list(line .. list, it, ARGV[4])
    table.sort(found)
    for i = #found, letter == keep and 2 or 1, -1 do -- from the end, so that the others stay where they are
      blank(list, found[i], len)
      gone = gone + 1
    end
  end
  if ARGV[3] ~= '' then
    for _, m in ipairs(redis.call('ZRANGEBYSCORE', line .. 'due', ARGV[3], ARGV[3])) do
      local rest, out = {}, 0
      for i = 1, #m > 16 and #m or 0, 16 do
        local id = string.sub(m, i, i + 15)
        if id == it and keep ~= 'D' then
          out = out + 1
        else
          rest[#rest + 1] = id
          if id == it then keep = 'kept' end
        end
      end
      if out > 0 then
        gone = gone + out
        redis.call('ZREM', line .. 'due', m)
        if #rest > 0 then redis.call('ZADD', line .. 'due', ARGV[3], table.concat(rest)) end
        if redis.call('DECRBY', line .. 'bundled', #rest > 0 and out or out - 1) <= 0 then redis.call('DEL', line .. 'bundled') end
      end
    end
  end
  if keep ~= 'd' then gone = gone + redis.call('ZREM', line .. 'due', it) end
  if keep ~= 'x' then gone = gone + redis.call('ZREM', line .. 'dead', it) end
  local bells = 0
  for i, e in ipairs(redis.call('LRANGE', line .. 'bell', 0, -1)) do
    if string.sub(e, 2, 17) == it then
      bells = bells + 1
      if keep ~= 'b' or bells > 1 then
        redis.call('LSET', line .. 'bell', i - 1, '')
        gone = gone + 1
      end
    end
  end
  return gone > 0 and 'is in one place again' or ''
elseif what == 'dangling' then
  if redis.call('HEXISTS', line .. 'tasks', it) == 1 then return '' end
  local n = 0
  if ARGV[3] == 'due' or ARGV[3] == 'dead' then
    n = redis.call('ZREM', line .. ARGV[3], it)
  elseif string.sub(ARGV[3], 1, 4) == 'run:' then
    n = redis.call('HDEL', line .. ARGV[3], it)
  end
  return n > 0 and 'dropped' or ''
elseif what == 'leftover' then
  if redis.call('HEXISTS', line .. 'tasks', it) == 1 then return '' end
  return redis.call('HDEL', line .. ARGV[3], it) > 0 and 'dropped' or ''
elseif what == 'consumer' then
  if redis.call('ZSCORE', line .. 'alive', it) then return '' end
  if redis.call('EXISTS', line .. 'run:' .. it) == 0 and redis.call('TYPE', line .. 'taken:' .. it).ok ~= 'list' then return '' end
  return 'struck off; tasks that are ready again: ' .. restore(line, it, true)
elseif what == 'expiry' then
  if redis.call('PTTL', line .. it) ~= -1 then return '' end
  redis.call('PEXPIRE', line .. it, ARGV[3])
  return 'expires now'
elseif what == 'bundled' then
  if redis.call('ZCARD', line .. 'due') ~= tonumber(it) or (redis.call('GET', line .. 'bundled') or '0') ~= ARGV[3] then return '' end
  if ARGV[4] == '0' then
    redis.call('DEL', line .. 'bundled')
  else
    redis.call('SET', line .. 'bundled', ARGV[4])
  end
  return 'set right'
elseif what == 'group' then
  return redis.call('SADD', root .. 'groups', it) == 1 and 'is on the list again' or ''
end
return redis.error_reply('ERR mend: ' .. what .. ' is nothing that can be mended')
