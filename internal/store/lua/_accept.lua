-- accept(root, entries): stores the messages that came without a script. Returns the ids of
-- the tasks that wait there, in the order in which they came, less those which were sent twice,
-- or come late by a connection that was given up; their messages, if it knows them all; and
-- then the entries that are these tasks, whole and in this order, if there are such.
local function accept(root, entries)
  local ids, msgs, n, known = {}, {}, 0, true
  local whole, w = {}, 0
  local last, settled, places = {}, nil, 0
  local stored, m = {}, 0
  for _, e in ipairs(entries) do
    if #e > 16 then
      local from, number, tasks = unpacked(e)
      places = math.max(#tasks / 2 - 1, 0)
      if settled == nil then settled = redis.call('EXISTS', root .. 'settled') == 1 end
      if #tasks > 0 and number > (last[from] or came(root, from)) then
        last[from] = number
        if settled then
          whole = nil
          for k = 1, #tasks, 2 do
            if redis.call('SISMEMBER', root .. 'settled', tasks[k]) == 0 then
              n = n + 1
              ids[n], msgs[n] = tasks[k], tasks[k + 1]
              redis.call('HSET', root .. 'tasks', ids[n], msgs[n])
            end
          end
        elseif #tasks == 2 then
          n, m, w = n + 1, m + 2, w + 1
          ids[n], msgs[n], whole[w] = tasks[1], tasks[2], e
          stored[m - 1], stored[m] = tasks[1], tasks[2]
        else
          w = w + 1
          whole[w] = e
          redis.call('HSET', root .. 'tasks', unpack(tasks))
          for k = 1, #tasks, 2 do
            n = n + 1
            ids[n], msgs[n] = tasks[k], tasks[k + 1]
          end
        end
      end
    elseif places > 0 then
      places = places - 1
    elseif e ~= '' then
      n = n + 1
      ids[n], msgs[n], known = e, '', false
    end
  end
  if places > 0 then redis.call('LPOP', root .. 'arrivals', places) end
  for i = 1, m, 1000 do
    redis.call('HSET', root .. 'tasks', unpack(stored, i, math.min(i + 999, m)))
  end
  for from, number in pairs(last) do passed(root, from, number) end
  if redis.call('EXISTS', root .. 'arrivals') == 0 then outlive(root) end
  return ids, known and msgs, known and whole
end
