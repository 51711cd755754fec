-- drop: deletes an object that is one key.
-- KEYS 1 the root
-- Returns '1' if it was there.
-- Replay: it is gone.
return {redis.call('DEL', KEYS[1]) == 1 and '1' or '0'}
