-- line: who holds a lock or a permit, and who waits for one, first come first served.
--   :alive  ZSET  the tickets of both, by the end of their lease
--   :line   ZSET  those that wait, in the order they came
--   :held   HASH  those that hold, ticket -> token
--   :size   STR   how many may hold at a time, of a semaphore
--   :token  STR   the last token; it outlives them all
--   :freed:<ticket>  STR  '1' if it was given back, '0' if it was given up, for as long as
--                 a script may be sent again
-- now and alive are there already.
-- A round trip with a lock waits for these scripts, so they make few calls.
local line, held, freed = KEYS[1] .. ':line', KEYS[1] .. ':held', KEYS[1] .. ':freed:'

-- sweep passes over those whose lease has lapsed.
local function sweep()
  local gone = lapsed()
  while #gone > 0 do
    redis.call('ZREM', line, unpack(gone))
    redis.call('HDEL', held, unpack(gone))
    gone = lapsed()
  end
end

-- new_token is larger than all before it: the time in microseconds, or one more than the
-- last if the clock has not moved on or was put back. Were the last one forgotten, the
-- time would still have moved on.
local function new_token()
  local key = KEYS[1] .. ':token'
  local us = clock[1] * 1000000 + clock[2]
  local token = string.format('%.0f', us)
  local last = tonumber(redis.call('SET', key, token, 'PX', 2592000000, 'GET') or 0) -- 30 days
  if last < us then return token end
  token = string.format('%.0f', last + 1)
  redis.call('SET', key, token, 'PX', 2592000000)
  return token
end

-- grant lets those in, in their order, for whom there is room, and tells them, but for
-- who asks. All in the line are alive: sweep comes first.
local function grant(size, me)
  local room = size - redis.call('HLEN', held)
  while room > 0 do
    local ticket = redis.call('ZPOPMIN', line)[1]
    if not ticket then return end
    local token = new_token()
    redis.call('HSET', held, ticket, token)
    room = room - 1
    if ticket ~= me then
      redis.pcall('PUBLISH', 'cenote:shared:to:{' .. string.match(ticket, '^[^/]*') .. '}', ticket .. ' ' .. token)
    end
  end
end

-- size is how many may hold at a time.
local is_lock = string.sub(KEYS[1], 1, 19) == 'cenote:shared:lock:'
local function size()
  if is_lock then return 1 end
  return tonumber(redis.call('GET', KEYS[1] .. ':size')) or 1
end

local function last_all(lease)
  for _, key in ipairs({alive, line, held}) do last(key, lease) end
  if not is_lock then last(KEYS[1] .. ':size', lease) end
end
