-- behind(line, p): the list at whose end a task of a level waits that comes now.
local function behind(line, p)
  if p == 1 and redis.call('EXISTS', line .. 'arrivals') == 1 then return 'arrivals' end
  return 'ready:' .. p
end
