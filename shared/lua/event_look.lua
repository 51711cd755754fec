-- event_look: looks whether an event is set.
-- KEYS 1 the root
-- Returns '1' if it is, and its turn.
-- Replay: changes nothing.
local e = redis.call('HMGET', KEYS[1], 'on', 'turn')
return {e[1] or '0', e[2] or '0'}
