-- mark(line): who takes the last entry off the line's bell learns that more waits, and
-- passes the word on, see hand. Returns whether there is an entry.
local function mark(line)
  local last = redis.call('LINDEX', line .. 'bell', '-1')
  if last and string.byte(last) == 46 then redis.call('LSET', line .. 'bell', '-1', '+' .. string.sub(last, 2)) end
  return last
end
