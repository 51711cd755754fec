-- alive: who holds something of an object or waits for it, by the end of their lease.
local alive = KEYS[1] .. ':alive'
redis.call('ZREM', alive, '') -- allowed on a full Redis, and allows the rest

-- last makes a key last as long as the leases do, and somewhat longer.
local function last(key, lease)
  local ms = 2 * lease + 60000
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms) end
end

-- lapsed takes the names off the list whose leases have lapsed, and returns them: at most
-- so many that they can be unpacked.
local function lapsed()
  local gone = redis.call('ZRANGEBYSCORE', alive, '-inf', now, 'LIMIT', 0, 500)
  if #gone > 0 then redis.call('ZREM', alive, unpack(gone)) end
  return gone
end

-- lapse is how many ms it takes until the first lease lapses; 0 if there is none.
local function lapse()
  local first = redis.call('ZRANGE', alive, 0, 0, 'WITHSCORES')
  if not first[1] then return '0' end
  return string.format('%.0f', math.max(first[2] - now, 1))
end
