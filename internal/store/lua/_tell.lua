-- tell(root, replies): appends outcomes to the logs of those who wait for them,
-- replies being address -> list of outcomes, and announces them. Long ones go as they
-- came, each an entry of its own.
local function log_outcomes(log, all)
  local entry = redis.call('XADD', log, 'MAXLEN', '~', '10000', '*', 'o', all)
  if #all <= long then
    redis.pcall('PUBLISH', log, entry .. ' ' .. all)
    return
  end
  local along = #all <= 65536
  if along then redis.pcall('PUBLISH', log, all) end
  redis.pcall('PUBLISH', log, along and entry or entry .. ' ')
end

-- tell_one(root, addr, all): the same with outcomes in a row for one address.
local function tell_one(root, addr, all)
  local log = root .. 'reply:' .. addr
  log_outcomes(log, all)
  redis.call('PEXPIRE', log, '3600000')
end

local function tell(root, replies)
  for addr, blobs in pairs(replies) do
    local short = {}
    for _, blob in ipairs(blobs) do
      if #blob > long then
        tell_one(root, addr, blob)
      else
        short[#short + 1] = blob
      end
    end
    if #short > 0 then tell_one(root, addr, #short == 1 and short[1] or table.concat(short)) end
  end
end
