-- outlive(root): what tells that something came twice is kept for as long as there are
-- arrivals, and for ten minutes more.
local function outlive(root)
  local there = redis.call('EXISTS', root .. 'arrivals') == 1
  for _, key in ipairs({root .. 'came', root .. 'settled'}) do
    if there then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, 600000) end
  end
end
