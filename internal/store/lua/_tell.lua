-- tell(root, replies): appends outcomes to the logs of those who wait for them,
-- replies being address -> list of outcomes, and announces them. Long ones go as they
-- came, each an entry of its own.
local function log_outcomes(log, all)
  local entry = redis.call('XADD', log, 'MAXLEN', '~', 10000, '*', 'o', all)
  if #all <= long then
    redis.pcall('PUBLISH', log, entry .. ' ' .. all)
    return
  end
  local along = #all <= 65536
  if along then redis.pcall('PUBLISH', log, all) end
  redis.pcall('PUBLISH', log, along and entry or entry .. ' ')
end

local function tell(root, replies)
  for addr, blobs in pairs(replies) do
    local log = root .. 'reply:' .. addr
    local short = {}
    for _, blob in ipairs(blobs) do
      if #blob > long then
        log_outcomes(log, blob)
      else
        short[#short + 1] = blob
      end
    end
    if #short > 0 then log_outcomes(log, #short == 1 and short[1] or table.concat(short)) end
    redis.call('PEXPIRE', log, 3600000)
  end
end
