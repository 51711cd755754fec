-- tell(root, replies): appends outcomes to the logs of those who wait for them,
-- replies being address -> list of outcomes, and announces them: small ones whole.
local function tell(root, replies)
  for addr, blobs in pairs(replies) do
    local log = root .. 'reply:' .. addr
    local all = table.concat(blobs)
    local entry = redis.call('XADD', log, 'MAXLEN', '~', 10000, '*', 'o', all)
    redis.call('PEXPIRE', log, 3600000)
    redis.call('PUBLISH', log, entry .. ' ' .. (#all <= 65536 and all or ''))
  end
end
