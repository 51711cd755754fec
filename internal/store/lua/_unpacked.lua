-- unpacked(e): id, producer, number and message of what came without a script, see
-- arrivals.go.
local function unpacked(e)
  local space = string.find(e, ' ', 33, true)
  return string.sub(e, 1, 16), string.sub(e, 33, space - 1), string.sub(e, 17, 32) - 1e15, string.sub(e, space + 1)
end
