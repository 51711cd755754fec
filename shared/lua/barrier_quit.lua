-- barrier_quit: an arrival waits no longer, which breaks the barrier if they have not met.
-- KEYS 1 the root
-- ARGV 1 the arrival  2 its round, or '' if it does not know
-- Returns what became of it.
-- Replay: it is broken already.
--@include _now
--@include _alive
--@include _barrier
free_first()
sweep()
redis.call('SET', KEYS[1] .. ':quit:' .. ARGV[1], '1', 'PX', 60000) -- its barrier_wait may be on its way yet
local of = ARGV[2] ~= '' and ARGV[2] or number()
local out = outcome(ARGV[1], of)
if out == 'broken' and ARGV[2] == '' then out = outcome(ARGV[1], string.format('%.0f', of - 1)) end
if out ~= '-' and out ~= 'broken' then return {out} end
if of == number() and not broken() then break_it() end
last(round, 15000)
return {'broken'}
