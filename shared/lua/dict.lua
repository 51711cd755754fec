-- dict: changes a dictionary.
-- KEYS 1 the root, which is a hash
-- ARGV see _once; set k v; keep k v -> what is there already; swap k '1' old v, or k '0' ''
--      v -> '1' and what is there, or '0', if it is not old or nothing; remove k -> the
--      value; del
-- Returns a reply a verb.
-- Replay: see _once.

--@include _once
local done = before()
if done then return done end
return after(each({
  set = function(at)
    redis.call('HSET', root, ARGV[at], ARGV[at + 1])
    return '='
  end,
  keep = function(at)
    if redis.call('HSETNX', root, ARGV[at], ARGV[at + 1]) == 1 then return '-' end
    return '=' .. redis.call('HGET', root, ARGV[at])
  end,
  swap = function(at)
    local v = redis.call('HGET', root, ARGV[at])
    if ARGV[at + 1] == '1' and v ~= ARGV[at + 2] or ARGV[at + 1] == '0' and v then
      return v and '=1' .. v or '=0'
    end
    redis.call('HSET', root, ARGV[at], ARGV[at + 3])
    return '-'
  end,
  remove = function(at)
    local v = redis.call('HGET', root, ARGV[at])
    if not v then return '-' end
    redis.call('HDEL', root, ARGV[at])
    return '=' .. v
  end,
  del = function()
    redis.call('UNLINK', root)
    return '='
  end,
}), {root})
