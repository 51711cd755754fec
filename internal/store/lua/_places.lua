-- How many ids of a list one look goes through: 50,000 take Redis two milliseconds.
local sight = 50000

-- holders(line, more): all consumers that may have something in flight: those that
-- are alive, and more.
local function holders(line, more)
  local all, known = {}, {}
  for _, list in ipairs({redis.call('ZRANGE', line .. 'alive', 0, -1), more}) do
    for _, c in ipairs(list) do
      if not known[c] then
        known[c] = true
        all[#all + 1] = c
      end
    end
  end
  return all
end

-- inboxes(line, consumers): id -> list of who has it: those who took it off the bell,
-- and '' for the bell itself.
local function inboxes(line, consumers)
  local of = {}
  local function add(key, who)
    if redis.call('TYPE', key).ok ~= 'list' then return end
    for _, e in ipairs(redis.call('LRANGE', key, 0, -1)) do
      if #e > 16 then
        local id = string.sub(e, 2, 17)
        of[id] = of[id] or {}
        table.insert(of[id], who)
      end
    end
  end
  add(line .. 'bell', '')
  for _, c in ipairs(consumers) do add(line .. 'taken:' .. c, c) end
  return of
end

-- in_list(key, id, hints): the indexes at which the id stands in a list. All of a
-- list is looked through if it is no longer than `sight`; of a longer one both ends,
-- and the surroundings of the hints, which are counted from the end.
local function in_list(key, id, hints)
  local len = redis.call('LLEN', key)
  local at, seen = {}, {}
  local function add(i)
    if not seen[i] then
      seen[i] = true
      at[#at + 1] = i
    end
  end
  if len <= sight then
    for _, i in ipairs(redis.call('LPOS', key, id, 'COUNT', 0)) do add(i) end
    return at, len
  end
  for _, rank in ipairs({1, -1}) do
    for _, i in ipairs(redis.call('LPOS', key, id, 'RANK', rank, 'COUNT', 0, 'MAXLEN', sight / 2)) do add(i) end
  end
  for hint in string.gmatch(hints, '%d+') do
    local from = math.max(len - hint - 1000, 0)
    for k, e in ipairs(redis.call('LRANGE', key, from, from + 1999)) do
      if e == id then add(from + k - 1) end
    end
  end
  return at, len
end

-- places(line, id, consumers, inbox, lists, moment, hints): where a task stands, one
-- letter a place: t its message is there, d due, D in a bundle, x dead, b on the
-- bell, k taken off it, r in flight; and, if lists says so, 0, 1 and 2 ready, n ready
-- among the arrivals, a alone, and l if a list is too long to be looked through as a whole. After a space
-- follows each k's and r's consumer. moment is when a bundle that it may be in is due,
-- or ''.
local function places(line, id, consumers, inbox, lists, moment, hints)
  local at, who = {}, {}
  if redis.call('HEXISTS', line .. 'tasks', id) == 1 then at[1] = 't' end
  if redis.call('ZSCORE', line .. 'due', id) then at[#at + 1] = 'd' end
  if redis.call('ZSCORE', line .. 'dead', id) then at[#at + 1] = 'x' end
  for _, c in ipairs(inbox[id] or {}) do
    at[#at + 1] = c == '' and 'b' or 'k'
    if c ~= '' then who[#who + 1] = c end
  end
  for _, c in ipairs(consumers) do
    if redis.call('HEXISTS', line .. 'run:' .. c, id) == 1 then
      at[#at + 1] = 'r'
      who[#who + 1] = c
    end
  end
  if lists then
    local long_list = false
    for letter, list in pairs({['0'] = 'ready:0', ['1'] = 'ready:1', ['2'] = 'ready:2', n = 'arrivals', a = 'alone'}) do
      local found, len = in_list(line .. list, id, hints)
      for _ = 1, #found do at[#at + 1] = letter end
      long_list = long_list or len > sight
    end
    if long_list then at[#at + 1] = 'l' end
    if moment ~= '' then
      for _, m in ipairs(redis.call('ZRANGEBYSCORE', line .. 'due', moment, moment)) do
        for i = 1, #m > 16 and #m or 0, 16 do
          if string.sub(m, i, i + 15) == id then at[#at + 1] = 'D' end
        end
      end
    end
  end
  table.sort(at)
  return table.concat(at), who
end
