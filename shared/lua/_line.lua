-- line: who holds a lock or a permit, and who waits for one, first come first served.
--   :alive  ZSET  the tickets of both, by the end of their lease
--   :line   ZSET  those that wait, in the order they came
--   :held   HASH  those that hold, ticket -> token
--   :size   STR   how many may hold at a time, of a semaphore
--   :token  STR   the last token; it outlives them all
--   :freed  ZSET  tickets that were given back, or with '!' before them given up, for as
--                 long as a script may be sent again
-- now and alive are there already.
local line, held, freed = KEYS[1] .. ':line', KEYS[1] .. ':held', KEYS[1] .. ':freed'

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
  local us = clock[1] * 1000000 + clock[2]
  local token = string.format('%.0f', math.max(us, (tonumber(redis.call('GET', KEYS[1] .. ':token')) or 0) + 1))
  redis.call('SET', KEYS[1] .. ':token', token, 'PX', 2592000000) -- 30 days
  return token
end

-- grant lets those in, in their order, for whom there is room, and tells them, but for
-- who asks.
local function grant(size, me)
  local room = size - redis.call('HLEN', held)
  while room > 0 do
    local ticket = redis.call('ZRANGE', line, 0, 0)[1]
    if not ticket then return end
    redis.call('ZREM', line, ticket)
    if redis.call('ZSCORE', alive, ticket) then
      local token = new_token()
      redis.call('HSET', held, ticket, token)
      room = room - 1
      if ticket ~= me then
        redis.pcall('PUBLISH', 'cenote:shared:to:{' .. string.match(ticket, '^[^/]*') .. '}', ticket .. ' ' .. token)
      end
    end
  end
end

-- size is how many may hold at a time.
local function size()
  return tonumber(redis.call('GET', KEYS[1] .. ':size')) or 1
end

local function last_all(lease)
  for _, key in ipairs({alive, line, held, KEYS[1] .. ':size'}) do last(key, lease) end
end
