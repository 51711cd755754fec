-- arrived(root, from, number, id): whether a batch, of which this is the first task, was among
-- the arrivals all the same when they had ended for who sent it. If not it is stored now
-- instead, and a copy of it that comes late must find that it was. The numbers of its
-- entries begin with 32 times its own.
local function arrived(root, from, number, id)
  if came(root, from) >= 32 * number or redis.call('SISMEMBER', root .. 'settled', id) == 1 then return true end
  passed(root, from, 32 * number + 31)
  outlive(root)
  return false
end
