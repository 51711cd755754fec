-- array: changes an array.
-- KEYS 1 the root: a string of a head, which says type and length, and the elements,
--      big-endian. What it is too short for is zero.
-- ARGV see _once; set head offset bytes; add head offset delta '1' if the numbers are
--      signed -> what it is now, or !overflow; swap head offset old bytes -> '1' and what
--      is there, if it is not old; del
-- Returns a reply a verb; '!' and the head that is there, if it is another.
-- Replay: see _once.

--@include _once
local done = before()
if done then return done end

-- differs returns the head that is there instead of this one.
local function differs(head)
  local there = redis.call('GETRANGE', root, 0, #head - 1)
  if there == '' then
    redis.call('SETRANGE', root, 0, head)
  elseif there ~= head then
    return '!' .. there
  end
end

local function read(at, n)
  local v = redis.call('GETRANGE', root, at, at + n - 1)
  return v .. string.rep('\0', n - #v)
end

-- plus adds two numbers of as many bytes. Lua's own are not exact beyond 2^53.
local function plus(a, b, signed)
  local sum, carry = {}, 0
  for i = #a, 1, -1 do
    local s = string.byte(a, i) + string.byte(b, i) + carry
    carry = s > 255 and 1 or 0
    sum[i] = string.char(s % 256)
  end
  local r = table.concat(sum)
  if not signed then return carry == 0 and r end
  local function minus(x) return string.byte(x, 1) > 127 end
  return (minus(a) ~= minus(b) or minus(r) == minus(a)) and r
end

return after(each({
  set = function(at)
    local wrong = differs(ARGV[at])
    if wrong then return wrong end
    redis.call('SETRANGE', root, ARGV[at + 1], ARGV[at + 2])
    return '='
  end,
  add = function(at)
    local wrong = differs(ARGV[at])
    if wrong then return wrong end
    local pos, delta = tonumber(ARGV[at + 1]), ARGV[at + 2]
    local r = plus(read(pos, #delta), delta, ARGV[at + 3] == '1')
    if not r then return '!overflow' end
    redis.call('SETRANGE', root, pos, r)
    return '=' .. r
  end,
  swap = function(at)
    local wrong = differs(ARGV[at])
    if wrong then return wrong end
    local pos, old = tonumber(ARGV[at + 1]), ARGV[at + 2]
    local there = read(pos, #old)
    if there ~= old then return '=1' .. there end
    redis.call('SETRANGE', root, pos, ARGV[at + 3])
    return '-'
  end,
  del = function()
    redis.call('UNLINK', root)
    return '='
  end,
}), {root})
