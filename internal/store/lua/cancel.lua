-- cancel: calls tasks of a list off, for somebody who asks or for the consumer that
-- has them.
-- KEYS 1 the line
-- ARGV 1 the consumer that answers, '' for somebody who asks
--      then n * (id, wish or answer, reply address or '', ms to keep the outcome,
--      outcome or '' if the message is not known)
-- A wish is 'c' (unless it has begun), 'i' (interrupt it, too) or 'k' (and kill its
-- process), an answer is 'B' (had not begun and never will), 'I' (interrupted), 'L' (too
-- late) or 'N' (cannot be killed); the token of who asks follows: address, dot, number,
-- and for 'k' a dot and the ms of grace.
-- Returns n letters: to who asks an answer, or 'W' (a consumer has the task: the
-- wish was put down for it, ask again), or 'M' (read the message and ask again); to a
-- consumer its answer, or '' if the task is not its own any more.
-- Moves: ready, scheduled, retry -> cancelled; running -> cancelled, of tasks whose
-- consumer says that it has not begun them.
-- Replay: the answer was written down the first time.
--@include _note
--@include _long
--@include _tell
--@include _outlive
--@include _unpacked
--@include _lots
--@include _spread
local line, me = KEYS[1], ARGV[1]
redis.call('ZREM', line .. 'alive', '') -- allowed on a full Redis, and allows the rest
if me ~= '' then spread(line, me) end
local n = (#ARGV - 1) / 5
local ids = {}
for i = 1, n do ids[i] = ARGV[5 * i - 3] end
local msgs = redis.call('HMGET', line .. 'tasks', unpack(ids))

-- Who has them: in flight, or taken off the bell.
local everybody = me ~= '' and {me} or redis.call('ZRANGE', line .. 'alive', 0, -1)
local wanted = {}
for i = 1, n do
  if not msgs[i] then wanted[ids[i]] = true end
end
local holder, inbox = in_lots(line, next(wanted) and everybody or {}, wanted), {}
for i = 1, n do
  if holder[ids[i]] then msgs[i] = '' end
end
for _, c in ipairs(everybody) do
  local held = redis.call('HMGET', line .. 'run:' .. c, unpack(ids))
  for i = 1, n do
    if held[i] then holder[ids[i]] = c end
  end
  if redis.call('TYPE', line .. 'taken:' .. c).ok == 'list' then
    for _, e in ipairs(redis.call('LRANGE', line .. 'taken:' .. c, 0, -1)) do
      if #e > 16 then
        holder[string.sub(e, 2, 17)] = c
        inbox[string.sub(e, 2, 17)] = e
      end
    end
  end
end

local keys = {}
for i = 1, n do keys[i] = line .. 'answer:' .. ids[i] end
local answers = redis.call('MGET', unpack(keys))
local dead = redis.call('EXISTS', line .. 'dead') == 1
local off, is_off = {}, {} -- positions and ids of what is cancelled here
local out, wishes, answered = {}, {}, {}
-- Who was struck off knows nothing any more: another one has the task, or will.
local heard = me == '' or redis.call('ZSCORE', line .. 'alive', me)
for i = 1, n do
  local o = 5 * i - 3
  local id, x, blob = ids[i], ARGV[o + 1], ARGV[o + 4]
  local letter, token = string.sub(x, 1, 1), string.sub(x, 2)
  if me ~= '' then
    redis.call('HDEL', line .. 'stops:' .. me, id)
    if not heard then
      letter = ''
    elseif letter ~= 'B' then
      redis.call('SET', keys[i], x, 'PX', 60000)
    elseif msgs[i] and holder[id] == me and not is_off[id] then
      off[#off + 1], is_off[id] = i, true
    else
      letter = ''
    end
    if letter ~= '' then answered[token] = true end
    out[i] = letter
  else
    local told = answers[i]
    if is_off[id] then
      out[i] = 'B'
    elseif told and ((told == 'B' and not msgs[i]) or string.sub(told, 2) == token) then
      out[i] = string.sub(told, 1, 1)
    elseif not msgs[i] or (dead and redis.call('ZSCORE', line .. 'dead', id)) then
      out[i] = 'L'
    elseif holder[id] then
      local stops = line .. 'stops:' .. holder[id]
      redis.call('HSET', stops, id, x)
      redis.call('PEXPIRE', stops, 3000) -- who asks does so again, as long as it matters
      wishes[stops] = wishes[stops] or {}
      table.insert(wishes[stops], id .. string.char(#x) .. x)
      out[i] = 'W'
    elseif blob == '' then
      out[i] = 'M'
    else
      off[#off + 1], is_off[id] = i, true
      out[i] = 'B'
    end
  end
end

local replies = {}
if #off > 0 then
  local gone = {}
  for k, i in ipairs(off) do gone[k] = ids[i] end
  local notes = redis.call('HMGET', line .. 'notes', unpack(gone))
  local eyes = redis.call('HMGET', line .. 'watch', unpack(gone))
  for _, h in ipairs({'tasks', 'notes', 'faults', 'watch'}) do redis.call('HDEL', line .. h, unpack(gone)) end
  if me ~= '' then
    redis.call('HDEL', line .. 'run:' .. me, unpack(gone))
    for _, id in ipairs(gone) do
      if inbox[id] then redis.call('LREM', line .. 'taken:' .. me, 1, inbox[id]) end
    end
  else
    redis.call('ZREM', line .. 'due', unpack(gone))
    -- What is on the bell is run by who takes it: a mere token stands in for it.
    for at, e in ipairs(redis.call('LRANGE', line .. 'bell', 0, -1)) do
      if #e > 16 and is_off[string.sub(e, 2, 17)] then redis.call('LSET', line .. 'bell', at - 1, '') end
    end
    -- Whoever claims passes over an id that is no task. It is taken out all the same
    -- where that is cheap, so that it is not counted.
    local lens = {}
    for k, id in ipairs(gone) do
      local p, _, crashes = read_note(notes[k])
      for _, list in ipairs(crashes >= 2 and {'alone'} or p == 1 and {'ready:1', 'arrivals'} or {'ready:' .. p}) do
        list = line .. list
        lens[list] = lens[list] or redis.call('LLEN', list)
        if #gone * lens[list] <= 100000 and redis.call('LREM', list, 1, id) > 0 and list == line .. 'arrivals' then
          outlive(line)
        end
      end
    end
  end
  for k, i in ipairs(off) do
    local o = 5 * i - 3
    local keep, blob = ARGV[o + 3], ARGV[o + 4]
    for addr in string.gmatch(ARGV[o + 2] .. ' ' .. (eyes[k] or ''), '%S+') do
      replies[addr] = replies[addr] or {}
      table.insert(replies[addr], blob)
    end
    if keep ~= '0' then redis.call('SET', line .. 'result:' .. gone[k], blob, 'PX', keep) end
    redis.call('SET', keys[i], 'B', 'PX', 60000)
  end
end
tell(line, replies)
for stops, all in pairs(wishes) do redis.pcall('PUBLISH', stops, table.concat(all)) end
for token in pairs(answered) do
  redis.pcall('PUBLISH', line .. 'reply:' .. string.match(token, '^[^.]*'), '!' .. token)
end
return out
