-- A note is what the store must know of a task that is not an ordinary fresh
-- one: 'priority attempts crashes expires', where priority is 0 (high), 1, or 2,
-- and expires is a time in ms or 0. Ordinary tasks have none.
local function read_note(s)
  if not s then return 1, 0, 0, 0 end
  local p, a, c, e = string.match(s, '^(%d+) (%d+) (%d+) (%d+)')
  return tonumber(p), tonumber(a), tonumber(c), tonumber(e)
end

local function write_note(p, a, c, e)
  return string.format('%d %d %d %.0f', p, a, c, e)
end
