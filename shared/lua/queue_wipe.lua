-- queue_wipe: deletes a queue or a pipe, with all that is in it.
-- KEYS see _queue
-- Returns {'ok'}.
-- Replay: it is deleted once more.
-- It works on a Redis that is full.
local dir, most, keep = '', '0', '0'
--@include _queue
redis.call('DEL', base, alive)
for _, d in ipairs({'', ':a', ':b'}) do
  local at = base .. d
  redis.call('DEL', at, at .. ':items', at .. ':held')
  for _, line in ipairs({':getters', ':putters', ':joiners'}) do ring(at, line, 1e6) end
end
return {'ok'}
