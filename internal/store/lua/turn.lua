-- turn: a consumer says what became of some of its tasks and takes new ones.
-- KEYS 1 the line: the partition's root, or a group's place in a stream partition
--      2 the partition's root
-- ARGV 1 consumer  2 lane  3 the number of this turn among the lane's
--      4 how many tasks to claim  5 flags: 'e' nothing is in flight here,
--        'l' listens to the bell, 'q' takes no more tasks, 'o' takes its next turn in a
--        moment, so that the arrivals may stay open for it,
--        's' claim, besides, all that came over the bell and is in flight,
--        'w' claim arrivals as a lot
--      6 lease ms  7 group, '' for a list
--      8 f, lots: f * (name, 'f' when all of its tasks are done without an outcome for
--        anybody, 'u' when what else is told is about one of its tasks)
--      then n, done without an outcome for anybody: n * id
--      then r, rows of finished tasks whose outcomes are for one address and not
--      kept: r * (reply address, k, k * id, their outcomes one behind the other), each
--      of which is taken as a whole or put off
--      then m, other endings: m * (op, id, x, y, blob):
--        R finished: x reply address or '', y ms to keep the outcome, blob outcome
--        X dead: the same
--        T retry: x delay ms, y note, blob outcome of the attempt
--        G give back    P park: x delay ms
--      and what belongs to the R or X right before it, done only if this very run
--      accepted that:
--        N another task follows: id its own, fresh one, x delay ms, y its note, blob message
--        D drop what the task has on record
-- Returns {'ok', now (0 if it did not matter), ms until something is due or '', flags, k claimed, s stale,
--   w watched, u unknown, e entries, k * (id, message) or, if e is not 0, e entries of
--   arrivals that hold these, k notes if any has one, s ids, w ids, u numbers of lots} or
--   {'lapsed'}, or {'late'} to a turn that comes by a connection that was given up
--   and that a later turn has passed. The flags: 'a' the task is to run alone, 'w' a task waits for this
--   consumer to become empty, 'o' the arrivals are open for it, 'l' the tasks are a lot. Stale tasks were not this consumer's to finish. A
--   watched task was not finished: somebody waits for it, or one of its row was
--   stale or is waited for; send its outcome by itself.
-- Moves: ready, scheduled, retry -> running; running -> any; unknown -> ready or
-- scheduled, of a task that follows.
-- Replay: the last turn of a lane, sent again because its reply was lost, finishes
-- nothing twice and claims what it claimed before.
--@include _note
--@include _mark
--@include _ring
--@include _long
--@include _tell
--@include _came
--@include _outlive
--@include _unpacked
--@include _accept
--@include _lots
--@include _spread
--@include _behind
local many = 32 -- tasks in one claim, after which the arrivals stay open
local line, root, me, lane, seq = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local want, flags, group = tonumber(ARGV[4]), ARGV[5], ARGV[7]
local run, tasks, notes = line .. 'run:' .. me, line .. 'tasks', line .. 'notes'
local token = lane .. ':' .. seq

local signed = redis.call('HMGET', run, '#', '#' .. lane, '#l')
if not signed[1] then return {'lapsed'} end
local last = tonumber(signed[2] or 0)
if last > tonumber(seq) then return {'late'} end
if last < seq - 1 then return {'lapsed'} end -- a turn was forgotten, see beat
local again = last == tonumber(seq)

-- What came over the bell since the last turn. This is also the first write: one
-- that a full Redis allows, and after which it allows the others.
local fresh, inbox = {}, 0
for _, e in ipairs(redis.call('LPOP', line .. 'taken:' .. me, '100000') or {}) do
  if #e > 16 then
    fresh[string.sub(e, 2, 17)] = true
    inbox = inbox + 1
  end
end

-- Most turns find nothing of all this: ordinary tasks that are ready, or only have to
-- wait for their time, and nothing else to look for.
local there = group ~= '' and 9 or redis.call('EXISTS', line .. 'due', notes, line .. 'watch', line .. 'alone',
  line .. 'ready:0', line .. 'ready:2', line .. 'arrivals')
local coming = group == '' and there > 0 and redis.call('EXISTS', line .. 'arrivals') == 1
if coming then there = there - 1 end
local timed = there > 0
local rare = there > 1 or timed and redis.call('EXISTS', line .. 'due') == 0
local noted = rare and redis.call('EXISTS', notes) == 1
local watching = rare and redis.call('EXISTS', line .. 'watch') == 1
local now = 0
local function clock()
  if now == 0 then
    local t = redis.call('TIME')
    now = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  return now
end

-- 1. What became of the tasks in flight. A turn that is sent again has done all this:
-- what it ended may be here once more, claimed by the other lane meanwhile. It only
-- repeats whom it has put off.
local stale, watched = {}, {}

local function forget(ids, first, last)
  for i = first, last, 1000 do
    local j = math.min(i + 999, last)
    redis.call('HDEL', run, unpack(ids, i, j))
    redis.call('HDEL', tasks, unpack(ids, i, j))
    if noted then
      redis.call('HDEL', notes, unpack(ids, i, j))
      redis.call('HDEL', line .. 'faults', unpack(ids, i, j))
    end
  end
end

-- all(list, n): none of the first n is missing, as nearly always. Then there is nothing to
-- sort out one by one.
local function all(list, n)
  for k = 1, n do
    if not list[k] then return false end
  end
  return true
end

-- finish(first, last, whole): the tasks ARGV[first] to ARGV[last] have finished, all
-- together or not at all if whole is set. Returns whether any has.
local function finish(first, last, whole)
  local mine, off = {}, {}
  for i = first, last, 1000 do
    local j = math.min(i + 999, last)
    local held = first == last and fresh[ARGV[first]] and {} or redis.call('HMGET', run, unpack(ARGV, i, j))
    local eyes = watching and redis.call('HMGET', line .. 'watch', unpack(ARGV, i, j))
    if not (again or eyes) and i == first and j == last and all(held, j - i + 1) then
      if inbox > 0 then
        for k = i, j do fresh[ARGV[k]] = nil end
      end
      forget(ARGV, i, j)
      return true
    end
    for k = i, j do
      local id = ARGV[k]
      if not (held[k - i + 1] or fresh[id] and not again) then
        if not again then stale[#stale + 1] = id end
      elseif eyes and eyes[k - i + 1] then
        off[#off + 1] = id
      else
        mine[#mine + 1] = id
      end
    end
  end
  for _, id in ipairs(off) do watched[#watched + 1] = id end
  if whole and #mine <= last - first then
    for _, id in ipairs(mine) do watched[#watched + 1] = id end
    return false
  end
  if again then return false end
  if inbox > 0 then
    for _, id in ipairs(mine) do fresh[id] = nil end
  end
  forget(mine, 1, #mine)
  return #mine > 0
end

-- Lots. A turn that is sent again has not found the same ones as before.
local lots, listed_lots = {}, signed[3] or ''
for name, k in string.gmatch(listed_lots, '(%S+) (%d+)') do
  lots[#lots + 1] = name
  lots[name] = k
end
local unknown, over = {}, {}
local f = tonumber(ARGV[8])
if again and lots[1] then
  spread(line, me)
  lots, listed_lots = {}, ''
end
if again and f > 0 then
  local said = redis.call('HGET', run, '#u' .. lane) or ''
  local turn, which = string.match(said, '^(%d+) (.*)$')
  if turn == seq then
    for i in string.gmatch(which, '%d+') do unknown[#unknown + 1] = i end
  end
elseif f > 0 then
  for i = 1, f do
    local name = ARGV[7 + 2 * i]
    if ARGV[8 + 2 * i] == 'u' then
      spread_lot(line, me, name)
    elseif lots[name] and watching then -- maybe for one of them
      spread_lot(line, me, name)
      unknown[#unknown + 1] = i
    elseif lots[name] then
      over[#over + 1] = '#l' .. name
    else
      unknown[#unknown + 1] = i
    end
    lots[name] = nil
  end
  if #over > 0 then redis.call('HDEL', run, unpack(over)) end
  if #unknown > 0 then redis.call('HSET', run, '#u' .. lane, seq .. ' ' .. table.concat(unknown, ' ')) end
end
local at = 9 + 2 * f
local n = tonumber(ARGV[at])
at = at + 1 + n
if n > 0 then finish(at - n, at - 1, false) end
local r = tonumber(ARGV[at])
at = at + 1
for _ = 1, r do
  local k = tonumber(ARGV[at + 1])
  local blob = at + 2 + k
  if finish(at + 2, blob - 1, true) then tell_one(root, ARGV[at], ARGV[blob]) end
  at = blob + 1
end

local replies, gone = {}, {}
local freed, parked, added = 0, false, false
local born, ended = 0, false -- tasks that follow and are ready; whether the ending before was accepted
local m = again and 0 or tonumber(ARGV[at])
if m > 0 then
  local held = {}
  for i = 1, m do held[i] = ARGV[at + 5 * i - 3] end
  local have = {}
  if m == 1 and fresh[held[1]] then
    have[1] = true
  else
    for i = 1, m, 1000 do
      local j = math.min(i + 999, m)
      for k, v in ipairs(redis.call('HMGET', run, unpack(held, i, j))) do have[i + k - 1] = v end
    end
  end
  for i = 1, m do
    local o = at + 1 + (i - 1) * 5
    local op, id, x, y, blob = ARGV[o], ARGV[o + 1], ARGV[o + 2], ARGV[o + 3], ARGV[o + 4]
    if fresh[id] then
      have[i], fresh[id] = true, nil
    end
    if op == 'N' then
      if ended and redis.call('HSETNX', tasks, id, blob) == 1 then
        rare = true
        if y ~= '' then redis.call('HSET', notes, id, y) end
        if x ~= '0' then
          added = true
          redis.call('ZADD', line .. 'due', clock() + x, id)
        else
          redis.call('RPUSH', line .. behind(line, (read_note(y ~= '' and y))), id)
          born = born + 1
        end
      end
    elseif op == 'D' then
      if ended then redis.call('UNLINK', line .. 'part:' .. id) end
    elseif not have[i] then
      ended = false
      stale[#stale + 1] = id
    elseif op == 'R' or op == 'X' then
      ended = true
      local to = x
      if watching then
        local w = redis.call('HGET', line .. 'watch', id)
        if w then
          to = to == '' and w or (to .. ' ' .. w)
          redis.call('HDEL', line .. 'watch', id)
        end
      end
      for addr in string.gmatch(to, '%S+') do
        local r = replies[addr]
        if not r then
          r = {}
          replies[addr] = r
        end
        r[#r + 1] = blob
      end
      if y ~= '0' then redis.call('SET', root .. 'result:' .. id, blob, 'PX', y) end
      if op == 'R' then
        gone[#gone + 1] = id
      else
        redis.call('HDEL', run, id)
        redis.call('ZADD', line .. 'dead', clock(), id)
        redis.call('HSET', line .. 'faults', id, blob)
      end
    elseif op == 'T' then
      rare, added, ended = true, true, false
      redis.call('HDEL', run, id)
      redis.call('HSET', notes, id, y)
      redis.call('HSET', line .. 'faults', id, blob)
      redis.call('ZADD', line .. 'due', clock() + x, id)
    elseif op == 'P' then
      rare, parked, added, ended = true, true, true, false
      redis.call('HDEL', run, id)
      redis.call('HSET', run, '#p', '1')
      local _, _, c = read_note(redis.call('HGET', notes, id))
      if c >= 2 then -- the turn for such tasks is another's, who may have a handler
        redis.call('HSET', run, '#a', '1')
        if redis.call('GET', line .. 'turn') == me then redis.call('DEL', line .. 'turn') end
      end
      redis.call('ZADD', line .. 'due', clock() + x, id)
    else
      ended = false
      redis.call('HDEL', run, id)
      if redis.call('HEXISTS', tasks, id) == 1 then
        local p, _, c = read_note(redis.call('HGET', notes, id))
        redis.call('LPUSH', line .. (c >= 2 and 'alone' or 'ready:' .. p), id)
        freed = freed + 1
      end
    end
  end
  forget(gone, 1, #gone)
  tell(root, replies)
end
if freed > 0 then
  rare = true
  ring(line, freed)
end
for id in pairs(fresh) do redis.call('HSET', run, id, 'b') end

-- 2. What this consumer takes: a task that is to run alone, or else what is on the
-- bell, then what is ready, by level.
local ids, msgs, given = {}, {}, ''
local lot -- how many tasks were claimed as one
local whole, covered = {}, 0 -- entries of arrivals, and how many of the ids are theirs
local function take(list)
  local n = #ids
  for i = 1, #list, 1000 do
    local j = math.min(i + 999, #list)
    local found = redis.call('HMGET', tasks, unpack(list, i, j))
    if n == 0 and j == #list and i == 1 and all(found, j) then
      ids, msgs = list, found
      return
    end
    for k = i, j do
      local msg = found[k - i + 1]
      if msg then -- else it was cancelled or deleted while it waited
        n = n + 1
        ids[n], msgs[n] = list[k], msg
      end
    end
  end
end
local claims = want > 0 and not again
local returns = group == '' and string.find(flags, 'o', 1, true)
local passes = false -- it leaves the turn for a lonely task to another

if again then
  local mine = {}
  local all = redis.call('HGETALL', run)
  for i = 1, #all, 2 do
    if all[i + 1] == token and #all[i] == 16 then mine[#mine + 1] = all[i] end
  end
  take(mine)
  if #mine == 1 then
    -- The turn for such tasks is held beyond their end: it tells nothing of this one.
    local _, _, c = read_note(redis.call('HGET', notes, mine[1]))
    if c >= 2 then given = 'a' end
  end
elseif claims and rare and redis.call('LLEN', line .. 'alone') > 0 then
  local holder = redis.call('GET', line .. 'turn')
  if (not holder or holder == me) and redis.call('HDEL', run, '#a') == 1 and redis.call('ZCARD', line .. 'alive') > 1 then
    -- It had no handler for the last one: this time another may look first.
    if holder then redis.call('DEL', line .. 'turn') end
    passes = true
  elseif not holder or holder == me then
    redis.call('SET', line .. 'turn', me, 'PX', ARGV[6])
    given = 'w'
    if inbox == 0 and string.find(flags, 'e', 1, true) then
      while #ids == 0 and redis.call('LLEN', line .. 'alone') > 0 do
        take({redis.call('LPOP', line .. 'alone')})
      end
      given = #ids > 0 and 'a' or ''
    end
  end
end
claims = claims and given == ''
if claims then
  for _, e in ipairs(redis.call('LPOP', line .. 'bell', ARGV[4]) or {}) do
    if #e > 16 and redis.call('HEXISTS', tasks, string.sub(e, 2, 17)) == 1 then
      ids[#ids + 1] = string.sub(e, 2, 17)
      msgs[#msgs + 1] = string.sub(e, 18)
    end
  end
end

-- Takes entries of arrivals as a lot: nothing is made of them but one field. Returns false,
-- and has done nothing, if there is anything unusual about them.
local function take_lot(got)
  local byte, sub = string.byte, string.sub
  local last, n, places = {}, 0, 0
  if redis.call('EXISTS', root .. 'settled') == 1 then return false end
  for _, e in ipairs(got) do
    if #e > 18 then
      local space = string.find(e, ' ', 19, true)
      local number, tasks = tonumber(sub(e, 1, 16)), tonumber(sub(e, 17, 18), 16)
      if not (space and number and tasks) or tasks == 0 or places > 0 then return false end
      local from, at = sub(e, 19, space - 1), space + 1
      number = number - 1e15
      if number <= (last[from] or came(root, from)) then return false end
      last[from] = number
      for _ = 1, tasks do
        local high, low = byte(e, at + 16, at + 17)
        if not low then return false end
        at = at + 18 + 256 * high + low
      end
      if at ~= #e + 1 then return false end
      n, places = n + tasks, tasks - 1
      whole[#whole + 1] = e
    elseif e == '' then
      if places > 0 then places = places - 1 end
    else
      return false
    end
  end
  if n < 2 or n > want and (want < 2 * many or places == 0) then return false end
  if places > 0 then redis.call('LPOP', root .. 'arrivals', places) end
  for from, number in pairs(last) do passed(root, from, number) end
  if redis.call('EXISTS', root .. 'arrivals') == 0 then outlive(root) end
  lot = n
  return true
end

-- Of what came in one entry there may be more than there is room for: the rest goes
-- before all the others.
local function take_arrived(entries)
  local list, found, all_of = accept(root, entries)
  local n = #ids
  if all_of and covered == n then
    for i = 1, #all_of do whole[#whole + 1] = all_of[i] end
    covered = n + #list
  end
  if not found then
    take(list)
  elseif n == 0 then
    ids, msgs = list, found
  else
    for i = 1, #list do ids[n + i], msgs[n + i] = list[i], found[i] end
  end
  if #ids > want then
    redis.call('RPUSH', root .. 'ready:1', unpack(ids, want + 1))
    for i = #ids, want + 1, -1 do ids[i], msgs[i] = nil, nil end
  end
end

-- What is ready goes before what only now falls due.
local function pop(list)
  while #ids < want do
    local room = want - #ids
    -- as text if that is there: to make one of a number takes as long as a call
    local got = redis.call('LPOP', line .. list, room == want and ARGV[4] or room)
    if not got then return end
    if list == 'arrivals' then
      if returns and #got < room then redis.call('RPUSH', line .. 'arrivals', '') end
      if #ids == 0 and not (timed or rare) and string.find(flags, 'w', 1, true) and not string.find(flags, 's', 1, true) then
        if take_lot(got) then return end
        whole = {}
      end
      take_arrived(got)
    else
      take(got)
    end
    if #got < room then return end
  end
end
if rare then noted = redis.call('EXISTS', notes) == 1 end
if claims and not noted then
  if rare then pop('ready:0') end
  pop('ready:1')
  if coming then pop('arrivals') end
end

-- Removes what is due and returns the ids: about as many as there is room for, or at
-- most as many if cut is set, which leaves the rest of a bundle where it is.
local function fall_due(from, room, cut)
  local bundled = tonumber(redis.call('GET', from .. 'bundled') or 0)
  if bundled == 0 then
    local due = redis.call('ZRANGEBYSCORE', from .. 'due', '-inf', clock(), 'LIMIT', 0, room)
    if #due > 0 then redis.call('ZREMRANGEBYRANK', from .. 'due', 0, #due - 1) end
    return due
  end
  local sub = string.sub
  local members = math.max(redis.call('ZCARD', from .. 'due'), 1)
  local size = (members + bundled) / members
  local fell, n, out = {}, 0, 0
  while n < room do
    local most = math.min(math.ceil((room - n) / size), 64)
    local due = redis.call('ZRANGEBYSCORE', from .. 'due', '-inf', clock(), 'WITHSCORES', 'LIMIT', 0, most)
    local used, rest = 0, ''
    while n < room and 2 * used < #due do
      local ids = due[2 * used + 1]
      used = used + 1
      local last = #ids
      if cut and last > 16 * (room - n) then
        last = 16 * (room - n)
        rest = sub(ids, last + 1)
      end
      for i = 1, last, 16 do
        n = n + 1
        fell[n] = sub(ids, i, i + 15)
      end
    end
    if used > 0 then redis.call('ZREMRANGEBYRANK', from .. 'due', 0, used - 1) end
    out = out + used
    if rest ~= '' then
      redis.call('ZADD', from .. 'due', due[2 * used], rest)
      out = out - 1
    end
    if #due < 2 * most then break end
  end
  if n > out and redis.call('DECRBY', from .. 'bundled', n - out) <= 0 then redis.call('DEL', from .. 'bundled') end
  return fell
end

-- What is due becomes ready on the way; what there is room for is taken without
-- that detour.
local straight = false
local function promote(from)
  local room = from == line and claims and not noted and want - #ids or 0
  local last = coming and 'arrivals' or 'ready:1'
  local due = fall_due(from, room > 0 and room or math.max(want, 100), room > 0)
  if room > 0 then -- and no more has fallen due than that
    straight = #due > 0
    take(due)
    return 0
  end
  for i = 1, #due, 1000 do
    local j = math.min(i + 999, #due)
    if from ~= line then -- delayed tasks of a stream: from here on they are in it
      local msgs = redis.call('HMGET', from .. 'tasks', unpack(due, i, j))
      for k = i, j do
        if msgs[k - i + 1] then redis.call('XADD', from .. 'stream', '*', 't', due[k] .. msgs[k - i + 1]) end
      end
      redis.call('HDEL', from .. 'tasks', unpack(due, i, j))
    elseif noted then
      local ns = redis.call('HMGET', notes, unpack(due, i, j))
      for k = i, j do
        local p, _, c = read_note(ns[k - i + 1])
        redis.call('RPUSH', line .. (c >= 2 and 'alone' or p == 1 and last or 'ready:' .. p), due[k])
      end
    else
      redis.call('RPUSH', line .. last, unpack(due, i, j))
    end
  end
  return #due
end
local risen = 0
if timed or rare then risen = promote(line) end
if group ~= '' then risen = risen + promote(root) end

if claims and rare then
  pop('ready:0')
  pop('ready:1')
  if coming then pop('arrivals') end
  pop('ready:2')
  if group ~= '' and #ids < want then
    local got = redis.call('XREADGROUP', 'GROUP', group, 'cenote', 'COUNT', want - #ids, 'NOACK', 'STREAMS', root .. 'stream', '>')
    if got then
      local stored = {}
      for _, e in ipairs(got[1][2]) do
        local v = e[2][2]
        local id = string.sub(v, 1, 16)
        ids[#ids + 1] = id
        msgs[#msgs + 1] = string.sub(v, 17)
        stored[#stored + 1] = id
        stored[#stored + 1] = msgs[#msgs]
      end
      for i = 1, #stored, 1000 do redis.call('HSET', tasks, unpack(stored, i, math.min(i + 999, #stored))) end
    end
  end
end

-- Where much comes at once more will, and this consumer is there for it.
if returns and claims and not coming and #ids >= many then
  redis.call('RPUSH', line .. 'arrivals', '')
  outlive(line)
end

local k = lot or #ids
if string.find(flags, 's', 1, true) then
  local lost = {}
  local all = redis.call('HGETALL', run)
  for i = 1, #all, 2 do
    if all[i + 1] == 'b' then lost[#lost + 1] = all[i] end
  end
  take(lost)
end
if not again then
  local mark = {'#' .. lane, seq}
  for i = 1, lot and 0 or k do
    mark[2 * i + 1] = ids[i]
    mark[2 * i + 2] = token
  end
  local list = {}
  for _, name in ipairs(lots) do
    if lots[name] then list[#list + 1] = name .. ' ' .. lots[name] end
  end
  if lot then
    local name = lane .. ':' .. string.rep('0', 17 - #seq) .. seq
    list[#list + 1] = name .. ' ' .. lot
    mark[#mark + 1] = '#l' .. name
    mark[#mark + 1] = packed(whole)
  end
  list = table.concat(list, ' ')
  if list ~= listed_lots then
    mark[#mark + 1] = '#l'
    mark[#mark + 1] = list
  end
  for i = 1, #mark, 1000 do redis.call('HSET', run, unpack(mark, i, math.min(i + 999, #mark))) end
else
  redis.call('HSET', run, '#' .. lane, seq) -- who waits for replicas waits for a write of its own
end

-- 3. When to get up. One consumer that has room keeps the time for all, so that
-- the herd sleeps on; one that has none, or no handler, leaves it to another.
local wake = ''
local head = (timed or rare) and redis.call('ZRANGE', line .. 'due', 0, 0, 'WITHSCORES')[2]
if group ~= '' then
  local other = redis.call('ZRANGE', root .. 'due', 0, 0, 'WITHSCORES')[2]
  if other and (not head or tonumber(other) < tonumber(head)) then head = other end
end
if head then
  head = tonumber(head)
  local keeper = redis.call('GET', line .. 'clock')
  local mine = keeper and string.sub(keeper, -#me - 1) == ' ' .. me
  local at = keeper and tonumber(string.match(keeper, '^%d+'))
  -- A time that has passed is of what is gone from here: it was got up for.
  local untold = not keeper or at > head or at <= clock()
  local room = (want > 0 and k < want and given == '') or string.find(flags, 'l', 1, true)
  if string.find(flags, 'q', 1, true) then room = false end
  if room and (mine or untold)
    and (parked or redis.call('HDEL', run, '#p') == 1) and redis.call('ZCARD', line .. 'alive') > 1 then
    -- The bell may wake this very one, which then is the last in the row to hear it
    -- and rings again.
    room, added = false, true
  end
  if room then
    if mine or untold then
      local left = math.max(head - clock(), 0)
      redis.call('SET', line .. 'clock', string.format('%.0f %s', head, me), 'PX', math.min(left, 10000) + 5000)
      wake = tostring(left)
    end
  elseif mine or (added and untold) then
    if mine then redis.call('DEL', line .. 'clock') end
    ring(line, 1)
  end
end
local more = risen + born - k
if k >= want and (straight or risen > 0) then more = math.max(more, 1) end -- more may be due
-- Who took an entry off the bell passes the word on: it may have been meant for
-- one who listens, and there is more than this consumer took.
local function waits()
  return redis.call('EXISTS', line .. 'ready:0', line .. 'ready:1', line .. 'ready:2') > 0
    or redis.call('LLEN', line .. 'arrivals') > (redis.call('LINDEX', line .. 'arrivals', 0) == '' and 1 or 0)
end
if more <= 0 and k >= want and given == '' and redis.call('EXISTS', line .. 'bell') == 0 and waits() then more = 1 end
-- How much a stream still has for the group cannot be seen as cheaply: ring.
if more <= 0 and group ~= '' and want > 0 and k >= want and given == '' then more = 1 end
-- What came to arrivals that were open, and cannot be claimed now, is others'.
local open = group == '' and (returns or given ~= '') and redis.call('EXISTS', line .. 'arrivals') == 1
if open and given == '' then
  given = 'o'
elseif open and want > 0 then
  more = math.max(more, 1)
end
if more > 0 or passes then ring(line, math.max(more, 1)) end

k = lot or #ids
if not lot and (noted or covered ~= k) then whole = {} end
if lot then given = given .. 'l' end
local out = {'ok', (noted or now > 0) and string.format('%.0f', clock()) or '0', wake, given, k, #stale, #watched, #unknown, #whole}
if #whole > 0 then -- as they are: a few long strings cost less than two for each task
  for i = 1, #whole do out[9 + i] = whole[i] end
else
  for i = 1, k do
    out[8 + 2 * i], out[9 + 2 * i] = ids[i], msgs[i]
  end
end
if k > 0 and noted then
  for i = 1, k, 1000 do
    local ns = redis.call('HMGET', notes, unpack(ids, i, math.min(i + 999, k)))
    for j = 1, #ns do out[#out + 1] = ns[j] or '' end
  end
end
for _, id in ipairs(stale) do out[#out + 1] = id end
for _, id in ipairs(watched) do out[#out + 1] = id end
for _, i in ipairs(unknown) do out[#out + 1] = tostring(i) end
return out
