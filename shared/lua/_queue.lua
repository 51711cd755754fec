-- queue: what every script has that works on a queue, or on one direction of a pipe, which
-- is a queue whose ends are owned. Before it stand `dir`, '' or the direction of a pipe
-- (':a' is what end a sends, ':b' what b sends), `most`, how many items fit in, as a text
-- ('0': any number), and `keep`, how long the object is kept unused, in ms, as a text
-- ('0': for ever).
-- KEYS 1 the object's root; of a pipe a HASH: `:a` and `:b`, the tickets of its ends while
--      they are owned, `was:a` and `was:b` those that released them last, `shut:a` and
--      `shut:b` once they are no more
-- The root of a queue or direction is a HASH: `size`, `closed`, `keep`, `open` (items put
-- and not done), `ids` (the number of the last reservation).
local base, root = KEYS[1], KEYS[1] .. dir
local items, held, alive = root .. ':items', root .. ':held', base .. ':alive'

-- touch(key, ...): the keys are kept for another while.
local function touch(...)
  for _, key in ipairs({...}) do
    if keep == '0' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, keep) end
  end
end

-- ring(at, line, n): wakes up to n callers who wait in the line, those who came first. Who
-- is rung is out of the line, and gets back into it if there is nothing for it. Whom
-- nobody hears for is gone; in a cluster it may be heard elsewhere, and then one too many
-- is woken. The dead are cleared away a hundred at a time.
local function ring(at, line, n)
  for _ = 1, math.max(n, 100) do
    if n <= 0 then return end
    local first = redis.call('ZPOPMIN', at .. line)
    if not first[1] then return end
    local heard = redis.pcall('PUBLISH', at .. line .. ':' .. first[1], '')
    if type(heard) ~= 'number' or heard > 0 then n = n - 1 end
  end
end

-- other(end): the other end of a pipe.
local function other(e) return e == ':a' and ':b' or ':a' end

-- shut(end): an end of the pipe is no more. Its peer reads what is left; what was sent to
-- it is read by nobody.
local function shut(e)
  local out, back = base .. e, base .. other(e)
  redis.call('HDEL', base, e)
  redis.call('HSET', base, 'shut' .. e, 1)
  redis.call('DEL', back .. ':items')
  redis.call('HSET', out, 'closed', 1)
  redis.call('HSET', back, 'closed', 1)
  touch(base, out, back)
  ring(out, ':getters', 1)
  ring(back, ':putters', 1)
end

-- lose(tickets): whose tickets these are holds nothing any more. What was reserved goes
-- back to the front, in its order; returns how many items that are.
local function lose(tickets)
  local came = {}
  for _, ticket in ipairs(tickets) do
    local item = redis.call('HGET', held, ticket)
    if item then
      local n, rest = string.match(item, '^(%d+):()')
      came[#came + 1] = {tonumber(n), string.sub(item, rest)}
      redis.call('HDEL', held, ticket)
    end
    for _, e in ipairs({':a', ':b'}) do
      if redis.call('HGET', base, e) == ticket then shut(e) end
    end
  end
  table.sort(came, function(x, y) return x[1] > y[1] end)
  for _, c in ipairs(came) do redis.call('LPUSH', items, c[2]) end
  if #came > 0 then
    touch(root, items)
    ring(root, ':getters', #came)
  end
  return #came
end

-- sweep(now): sees to those whose lease has lapsed, at most so many at a time that they
-- can be unpacked.
local function sweep(now)
  local gone = redis.call('ZRANGEBYSCORE', alive, '-inf', now, 'LIMIT', 0, 500)
  if #gone == 0 then return end
  redis.call('ZREM', alive, unpack(gone))
  lose(gone)
end

-- lapse(now): in how many ms the first lease lapses, 0 if there is none.
local function lapse(now)
  local first = redis.call('ZRANGE', alive, 0, 0, 'WITHSCORES')
  if not first[2] then return '0' end
  return string.format('%.0f', math.max(first[2] - now, 0) + 1)
end

-- missized(size, keep): how many items fit in by the object, if somebody has said so
-- before and said otherwise.
local function missized(size, kept)
  if size and size ~= most then return size end
  if not size or kept ~= keep then redis.call('HSET', root, 'size', most, 'keep', keep) end
end
