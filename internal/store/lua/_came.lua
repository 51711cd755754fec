-- came(root, from): the number of the producer's last message that came without a script, in
-- its turn, see arrivals.go.
local function came(root, from) return tonumber(redis.call('HGET', root .. 'came', from) or 0) end
