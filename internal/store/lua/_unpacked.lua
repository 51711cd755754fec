local function listed(ok, ...)
  if ok then return {...} end
end

-- unpacked(e): the producer, the number and the tasks (id, message, id, message, ...) of
-- an entry that came without a script, see arrivals.go. Of one that was cut off they are
-- those in front; it must not stop who comes upon it.
local function unpacked(e)
  local byte, sub = string.byte, string.sub
  local space = #e > 18 and string.find(e, ' ', 19, true) or #e
  local from, number = sub(e, 19, space - 1), (tonumber(sub(e, 1, 16)) or 1e15) - 1e15
  local n, at = tonumber(sub(e, 17, 18), 16) or 0, space + 1
  local struct = rawget(_G, 'struct') -- miniredis has none
  local tasks = struct and n > 0 and listed(pcall(struct.unpack, '>' .. string.rep('c16Hc0', n), e, at))
  if tasks then
    tasks[2 * n + 1] = nil
    return from, number, tasks
  end
  tasks = {}
  for i = 1, 2 * n, 2 do
    local high, low = byte(e, at + 16, at + 17)
    local last = low and at + 17 + 256 * high + low
    if not low or last > #e then break end
    tasks[i], tasks[i + 1] = sub(e, at, at + 15), sub(e, at + 18, last)
    at = last + 1
  end
  return from, number, tasks
end
