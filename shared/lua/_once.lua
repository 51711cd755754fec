-- once: a client's last batch is remembered, so that one that is sent again, because its
-- reply was lost, is answered and not done again. A client has one batch an object under
-- way.
-- ARGV 1 the client  2 the number of the batch, which grows  3 how long the object is
--      kept, in ms, or 0  4 '1' if the batch frees memory: it then begins with a write
--      that a full Redis allows  5 the verbs: for each its name, n, and n arguments
local root = KEYS[1]
local from = root .. ':from:' .. ARGV[1]

-- before returns the replies of the batch if it was done before.
local function before()
  local known = redis.call('GET', from)
  if known then
    local at = string.find(known, ' ', 1, true)
    local last = tonumber(string.sub(known, 1, at - 1))
    if last > tonumber(ARGV[2]) then return {} end -- nobody waits for it any more
    if last == tonumber(ARGV[2]) then
      local replies = {}
      at = at + 1
      while at <= #known do
        local colon = string.find(known, ':', at, true)
        local n = tonumber(string.sub(known, at, colon - 1))
        replies[#replies + 1] = string.sub(known, colon + 1, colon + n)
        at = colon + n + 1
      end
      return replies
    end
  end
  if ARGV[4] == '1' then redis.call('DEL', from) end
end

-- each does the verbs by a table of functions, which get the position of their first
-- argument and their number and return a reply: '=' and a value, '-', or '!' and an error.
local function each(verbs)
  local replies = {}
  local at = 5
  while at <= #ARGV do
    local n = tonumber(ARGV[at + 1])
    replies[#replies + 1] = verbs[ARGV[at]](at + 2, n)
    at = at + 2 + n
  end
  return replies
end

-- after remembers what came of the batch, and keeps the object's keys for as long as they
-- are to be kept.
local function after(replies, keys)
  for _, key in ipairs(keys) do
    if ARGV[3] == '0' then
      redis.call('PERSIST', key)
    else
      redis.call('PEXPIRE', key, ARGV[3])
    end
  end
  local all = {ARGV[2], ' '}
  for _, r in ipairs(replies) do
    all[#all + 1] = #r
    all[#all + 1] = ':'
    all[#all + 1] = r
  end
  redis.call('SET', from, table.concat(all), 'PX', 600000)
  return replies
end
