-- accept(root, entries): stores the messages that came without a script, in the order in
-- which they came. The entry of each becomes its id, like those of the tasks that
-- stand between them; or '' if it was sent twice, or comes late by a connection that was given up.
local function accept(root, entries)
  local last, stored, settled = {}, {}, nil
  for i, e in ipairs(entries) do
    if #e > 16 then
      local id, from, number, msg = unpacked(e)
      if settled == nil then settled = redis.call('EXISTS', root .. 'settled') == 1 end
      entries[i] = ''
      if number > (last[from] or came(root, from)) then
        last[from] = number
        if not settled or redis.call('SISMEMBER', root .. 'settled', id) == 0 then
          entries[i], stored[#stored + 1], stored[#stored + 2] = id, id, msg
        end
      end
    end
  end
  for i = 1, #stored, 1000 do
    redis.call('HSET', root .. 'tasks', unpack(stored, i, math.min(i + 999, #stored)))
  end
  for from, number in pairs(last) do
    redis.call('HSET', root .. 'came', from, string.format('%.0f', number))
  end
  if redis.call('EXISTS', root .. 'arrivals') == 0 then outlive(root) end
end
