-- submit: stores a batch of new tasks. All or nothing.
-- KEYS 1 the partition's root
-- ARGV 1 producer  2 the number of this batch among the producer's to this
--      partition  3 'r' if the time for which that is known begins anew, 'a' if the producer
--      knows of arrivals, 'e' if the batch was to be among them and they had ended
--      4 'list' or 'stream'  5 n, plain tasks: n * (id, message)
--      then m, other tasks: m * (id, message, priority, delay ms, run-at ms,
--      expire ms, 1 if the id stands for a key, reply address or '',
--      group whose outcome is replied or '')
--      or, for a lone plain task of a list: 1 producer  2 number  3 id  4 message, and
--      if the producer knows of arrivals 5 'a' or 'e' as in 3 above
-- Returns the others that were there before: k * (position from 1, outcome or ''), and '1'
-- after them if the producer knows of arrivals and the next batch may be among them, see
-- arrivals.go; to a lone task 1 if the next one may, else 0.
-- Moves: unknown -> ready (or running, over the bell), unknown -> scheduled.
-- Replay: a batch whose number is not above the last one's was sent again because
-- its reply was lost, or comes late by a connection that was given up; nothing is
-- stored twice.

--@include _long
--@include _sent
--@include _came
--@include _outlive
--@include _arrived
--@include _begin
-- A lone plain task of a list comes first and does without what the rest needs:
-- defining it would take longer than storing the task. It returns a number, which
-- takes a third of the time of an empty table.
local lone, waiting = #ARGV <= 5, 0
if lone then
  local root, id = KEYS[1], ARGV[3]
  if ARGV[5] == 'e' and arrived(root, ARGV[1], tonumber(ARGV[2]), id) then return 0 end
  if sent(root .. 'from:' .. ARGV[1], ARGV[2]) then return 0 end
  redis.call('HSET', root .. 'tasks', id, ARGV[4])
  -- Where something waits already, whoever is to hear of it has.
  if redis.call('RPUSHX', root .. 'arrivals', id) > 0 then return 1 end
  waiting = redis.call('RPUSH', root .. 'ready:1', id)
  if waiting > 100 and ARGV[5] then -- they would not last long where less waits
    begin(root)
    return 1
  end
  if waiting > 1 and #ARGV[4] <= long then return 0 end
end
--@include _mark
if lone then
  local root, id, msg = KEYS[1], ARGV[3], ARGV[4]
  local most = redis.call('ZCARD', root .. 'alive')
  if most == 0 then return 0 end
  if waiting == 1 and #msg <= long and redis.call('LLEN', root .. 'bell') < most
    and redis.call('EXISTS', root .. 'ready:0', root .. 'ready:2') == 0 then
    redis.call('RPOP', root .. 'ready:1')
    redis.call('RPUSH', root .. 'bell', '.' .. id .. msg)
  elseif not mark(root) and #msg > long then
    redis.call('RPUSH', root .. 'bell', '')
  end
  return 0
end
--@include _now
--@include _note
--@include _ring
--@include _behind
--@include _hand
--@include _watch
local root, knows, stream = KEYS[1], ARGV[3] == 'a' or ARGV[3] == 'e', ARGV[4] == 'stream'
local known = ARGV[3] == 'e' and arrived(root, ARGV[1], tonumber(ARGV[2]), ARGV[6])
local again = sent(root .. 'from:' .. ARGV[1], ARGV[2], ARGV[3] == 'r') or known
local tasks = root .. 'tasks'

local ids, msgs = {}, {}
local plain = tonumber(ARGV[5])
local at = 6 + 2 * plain
if not again then
  for i = 1, plain do
    ids[i] = ARGV[4 + 2 * i]
    msgs[i] = ARGV[5 + 2 * i]
  end
  if not stream then
    for i = 6, at - 1, 1000 do
      redis.call('HSET', tasks, unpack(ARGV, i, math.min(i + 999, at - 1)))
    end
  end
end

local there = {}
local soonest, listed = false, 0

-- Ordinary tasks that are to run at one moment are scheduled in bundles, which costs
-- the less a task the more there are. Their messages tell that moment, see look. A
-- keyed task stands by itself: what is called off leaves its id in the bundle, and
-- must not come again under it.
local bundle, moment = {}, 0
local function schedule()
  if #bundle == 0 then return end
  if #bundle > 1 then redis.call('INCRBY', root .. 'bundled', #bundle - 1) end
  redis.call('ZADD', root .. 'due', moment, table.concat(bundle))
  bundle = {}
end
for k = 1, tonumber(ARGV[at]) do
  local o = at + 1 + (k - 1) * 9
  local id, msg, keyed = ARGV[o], ARGV[o + 1], ARGV[o + 6] == '1'
  local fresh = not again
  if keyed then
    local kept = redis.call('GET', root .. 'result:' .. id)
    if kept then
      fresh = false
      there[#there + 1] = k
      there[#there + 1] = kept
    elseif fresh then
      if stream then
        fresh = redis.call('SET', root .. 'seen:' .. id, '1', 'NX', 'PX', '3600000')
      else
        fresh = redis.call('HSETNX', tasks, id, msg) == 1
      end
      if not fresh then
        local line = root
        if ARGV[o + 8] ~= '' then line = root .. '@' .. ARGV[o + 8] .. '/' end
        local dead = redis.call('ZSCORE', line .. 'dead', id)
        there[#there + 1] = k
        there[#there + 1] = dead and redis.call('HGET', line .. 'faults', id) or ''
        if ARGV[o + 7] ~= '' and not dead then watch(line, id, ARGV[o + 7]) end
      end
    end
  elseif fresh and not stream then
    redis.call('HSET', tasks, id, msg)
  end
  if fresh then
    local p, expire = tonumber(ARGV[o + 2]), tonumber(ARGV[o + 5])
    if (p ~= 1 or expire > 0) and not stream then
      redis.call('HSET', root .. 'notes', id, write_note(p, 0, 0, expire > 0 and now + expire or 0))
    end
    local due = math.max(now + tonumber(ARGV[o + 3]), tonumber(ARGV[o + 4]))
    if due > now then
      if stream then redis.call('HSET', tasks, id, msg) end
      if keyed or p ~= 1 or expire > 0 or ARGV[o + 3] ~= '0' then
        redis.call('ZADD', root .. 'due', due, id)
      else
        if due ~= moment or #bundle == 256 then schedule() end
        moment = due
        bundle[#bundle + 1] = id
      end
      soonest = soonest and math.min(soonest, due) or due
    else
      if stream or (p == 1 and expire == 0) then
        ids[#ids + 1] = id
        msgs[#msgs + 1] = msg
      else -- it has a note, which does not go over the bell
        redis.call('RPUSH', root .. behind(root, p), id)
        listed = listed + 1
      end
    end
  end
end

schedule()

local lines = {root}
if stream then
  lines = {}
  for _, g in ipairs(redis.call('SMEMBERS', root .. 'groups')) do lines[#lines + 1] = root .. '@' .. g .. '/' end
  for i = 1, #ids do redis.call('XADD', root .. 'stream', '*', 't', ids[i] .. msgs[i]) end
  if #ids > 0 then
    for _, line in ipairs(lines) do ring(line, #ids) end
  end
else
  if #ids > 0 then waiting = hand(root, ids, msgs) end
  if listed > 0 then ring(root, listed) end
end
if soonest then
  -- Somebody idle must learn that there is now something to get up for earlier.
  local head = redis.call('ZRANGE', root .. 'due', 0, 0, 'WITHSCORES')
  if tonumber(head[2]) >= soonest then
    for _, line in ipairs(lines) do ring(line, 1) end
  end
end
if knows then
  local open = redis.call('EXISTS', root .. 'arrivals') == 1
  if not open and waiting > 100 then
    begin(root)
    open = true
  end
  if open then there[#there + 1] = '1' end
end
return there
