-- counter: adds to a counter, and sets it.
-- KEYS 1 the root, which is the counter: a whole number
-- ARGV see _once; add delta -> what it is now, or !overflow; set n -> what it was; del
-- Returns a reply a verb.
-- Replay: see _once.

--@include _once
local done = before()
if done then return done end
return after(each({
  add = function(at)
    local r = redis.pcall('INCRBY', root, ARGV[at])
    if type(r) == 'table' then
      if string.find(r.err, 'overflow', 1, true) then return '!overflow' end
      return '!' .. r.err
    end
    if r > -9007199254740992 and r < 9007199254740992 then return '=' .. string.format('%.0f', r) end
    return '=' .. redis.call('GET', root) -- Lua's numbers are not exact beyond
  end,
  set = function(at)
    local old = redis.call('GET', root)
    redis.call('SET', root, ARGV[at])
    return '=' .. (old or '0')
  end,
  del = function()
    redis.call('UNLINK', root)
    return '='
  end,
}), {root})
