-- arrived(root, from, number, id): whether a batch, of which this is the first task, was among
-- the arrivals all the same when they had ended for who sent it. The numbers of its
-- entries begin with 32 times its own.
local function arrived(root, from, number, id)
  return came(root, from) >= 32 * number or redis.call('SISMEMBER', root .. 'settled', id) == 1
end

-- refused(root, from, number): it was not, and is stored now: a copy of it that comes late must
-- find that it was.
local function refused(root, from, number)
  passed(root, from, 32 * number + 31)
  outlive(root)
end
