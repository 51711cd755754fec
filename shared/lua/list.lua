-- list: changes a list.
-- KEYS 1 the root, which is the list; :front is how many elements have left it at the
--      front, less those that came there: what its first one's place is, see list_read
-- ARGV see _once; append v...; prepend v...; insert index v; set index v;
--      swap index old v -> '1' and what is there, if it is not old; remove index -> the
--      element; pop -> the last one; shift -> the first one; del
-- Returns a reply a verb; !index if there is no such element.
-- Replay: see _once.

--@include _once
local done = before()
if done then return done end
local front = root .. ':front'

-- mark is what no element is: each begins with a word for its type.
local mark = ''

local function out(index)
  return tonumber(index) >= redis.call('LLEN', root)
end

local function push(command, at, n)
  for i = at, at + n - 1, 1000 do
    redis.call(command, root, unpack(ARGV, i, math.min(i + 999, at + n - 1)))
  end
  return '='
end

return after(each({
  append = function(at, n) return push('RPUSH', at, n) end,
  prepend = function(at, n) -- the last first
    push('LPUSH', at, n)
    redis.call('DECRBY', front, n)
    return '='
  end,
  insert = function(at)
    local index, v = tonumber(ARGV[at]), ARGV[at + 1]
    local len = redis.call('LLEN', root)
    if index > len then return '!index' end
    if index == len then
      redis.call('RPUSH', root, v)
    elseif index == 0 then
      redis.call('LPUSH', root, v)
    else
      local there = redis.call('LINDEX', root, index)
      redis.call('LSET', root, index, mark)
      redis.call('LINSERT', root, 'BEFORE', mark, v)
      redis.call('LSET', root, index + 1, there)
    end
    return '='
  end,
  set = function(at)
    if out(ARGV[at]) then return '!index' end
    redis.call('LSET', root, ARGV[at], ARGV[at + 1])
    return '='
  end,
  swap = function(at)
    local there = redis.call('LINDEX', root, ARGV[at])
    if not there then return '!index' end
    if there ~= ARGV[at + 1] then return '=1' .. there end
    redis.call('LSET', root, ARGV[at], ARGV[at + 2])
    return '-'
  end,
  remove = function(at)
    local v = redis.call('LINDEX', root, ARGV[at])
    if not v then return '!index' end
    redis.call('LSET', root, ARGV[at], mark)
    redis.call('LREM', root, 1, mark)
    return '=' .. v
  end,
  pop = function()
    local v = redis.call('RPOP', root)
    return v and '=' .. v or '-'
  end,
  shift = function()
    local v = redis.call('LPOP', root)
    if not v then return '-' end
    redis.call('INCRBY', front, 1)
    return '=' .. v
  end,
  del = function()
    redis.call('UNLINK', root, front)
    return '='
  end,
}), {root, front})
