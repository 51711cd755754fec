-- barrier: those who meet.
--   :alive      ZSET  the parties that have come at least once and have not left, by the end
--                     of their lease
--   :round      HASH  number: of the round; size: how many meet; broken: '1' if it is;
--                     reset: the last call that made it whole
--   :in         HASH  who has arrived, arrival -> how many were there before
--   :out:<n>    HASH  those who met in round n, for ten minutes
--   :quit:<a>   STR   arrival a was given up, for a minute
-- The root is the channel that rings when they have met, and when the barrier breaks.
-- now and alive are there already.
local round, arrived = KEYS[1] .. ':round', KEYS[1] .. ':in'

local function number() return redis.call('HGET', round, 'number') or '1' end

local function broken() return redis.call('HGET', round, 'broken') == '1' end

local function ring() redis.pcall('PUBLISH', KEYS[1], '') end

-- break_it ends the round for all who wait and those who come, until a reset.
local function break_it()
  redis.call('HSET', round, 'broken', '1')
  redis.call('DEL', arrived)
  ring()
end

-- sweep breaks it if a party has died.
local function sweep()
  local gone = lapsed()
  local died = #gone > 0
  while #gone > 0 do gone = lapsed() end
  if died and not broken() then break_it() end
end

local function last_all(lease)
  for _, key in ipairs({alive, round, arrived}) do last(key, lease) end
end

-- what became of an arrival: its index, '-' while it waits, 'broken'.
local function outcome(arrival, of)
  local index = redis.call('HGET', KEYS[1] .. ':out:' .. of, arrival)
  if index then return index end
  if of == number() and not broken() and redis.call('HEXISTS', arrived, arrival) == 1 then return '-' end
  return 'broken'
end
