-- restore(line, consumer, crashed): everything the consumer has in flight goes
-- back to the front of where it waited, the consumer is struck off, and its name
-- is burnt: whatever it still says is refused. If it crashed, each task's crash
-- count grows; a task that was there for two crashes waits in `alone`, to be run
-- with no neighbour that it could take along. Returns how many tasks went back.
local function restore(line, consumer, crashed)
  drain_inbox(line, consumer)
  spread(line, consumer)
  local run = line .. 'run:' .. consumer
  local back = 0
  for _, id in ipairs(redis.call('HKEYS', run)) do
    if #id == 16 and redis.call('HEXISTS', line .. 'tasks', id) == 1 then
      local p, a, c, e = read_note(redis.call('HGET', line .. 'notes', id))
      if crashed then
        c = c + 1
        redis.call('HSET', line .. 'notes', id, write_note(p, a, c, e))
      end
      if c >= 2 then
        redis.call('RPUSH', line .. 'alone', id)
      else
        redis.call('LPUSH', line .. 'ready:' .. p, id)
      end
      back = back + 1
    end
  end
  redis.call('DEL', run)
  redis.call('ZREM', line .. 'alive', consumer)
  -- A blocked BLMOVE of this consumer may still be waiting in the server: a value
  -- of another type makes it fail instead of moving a task to nobody.
  redis.call('SET', line .. 'taken:' .. consumer, 'gone', 'PX', 120000)
  if redis.call('GET', line .. 'turn') == consumer then redis.call('DEL', line .. 'turn') end
  local holder = redis.call('GET', line .. 'clock')
  if holder and string.sub(holder, -#consumer - 1) == ' ' .. consumer then
    redis.call('DEL', line .. 'clock')
    ring(line, 1)
  end
  -- It may have been the one for whom the arrivals were open, and who would have heard.
  if redis.call('LINDEX', line .. 'arrivals', 0) == '' then
    redis.call('LREM', line .. 'arrivals', 1, '') -- no pop: who repairs has no right to claim
    outlive(line)
  end
  local left = redis.call('EXISTS', line .. 'arrivals')
  if back + left > 0 then ring(line, math.max(back, 1)) end
  return back
end
