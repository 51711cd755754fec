-- spread_lot(line, c, name): each task of the lot is stored, and in flight, by itself from now on.
local function spread_lot(line, c, name)
  local run = line .. 'run:' .. c
  local text = redis.call('HGET', run, '#l' .. name)
  if not text then return end
  local lane, seq = string.match(name, '^(%d+):0*(%d+)$')
  local token = lane .. ':' .. seq
  each(text, function(tasks)
    redis.call('HSET', line .. 'tasks', unpack(tasks))
    for i = 2, #tasks, 2 do tasks[i] = token end
    redis.call('HSET', run, unpack(tasks))
  end)
  redis.call('HDEL', run, '#l' .. name)
end

-- spread(line, c): spread_lot for all lots of a consumer.
local function spread(line, c)
  local list = redis.call('HGET', line .. 'run:' .. c, '#l')
  if not list then return end
  for name in string.gmatch(list, '(%S+) %d+') do spread_lot(line, c, name) end
  redis.call('HDEL', line .. 'run:' .. c, '#l')
end
