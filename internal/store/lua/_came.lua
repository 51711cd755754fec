-- came(root, from): the number of the producer's last entry that came without a script, in
-- its turn, see arrivals.go.
local function came(root, from) return tonumber(redis.call('HGET', root .. 'came', from) or 0) end

-- passed(root, from, number): an entry with this number, or a lower one, counts no more.
local function passed(root, from, number)
  redis.call('HSET', root .. 'came', from, string.format('%.0f', number))
end
