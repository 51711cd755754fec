-- queue_look: what there is at this instant. It changes nothing.
-- KEYS 1 the queue's root
-- ARGV 1 how many items fit in
-- Returns 'ok', how many wait, how many are reserved, how many are not done, and whether
-- the queue is closed ('1' or ''); or 'size' and the size there is.
local conf = redis.call('HMGET', KEYS[1], 'size', 'open', 'closed')
if conf[1] and conf[1] ~= ARGV[1] then return {'size', conf[1]} end
local waiting, held = redis.call('LLEN', KEYS[1] .. ':items'), redis.call('HLEN', KEYS[1] .. ':held')
return {'ok', tostring(waiting), tostring(held), conf[2] or '0', conf[3] or ''}
