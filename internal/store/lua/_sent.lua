-- sent(from, number, renew): whether the batch with this number was sent before; from is
-- where its producer's last number is. Numbers grow by one, so that counting on is all
-- there is to do most of the time: a SET with a time to live takes three times as
-- long. That time begins anew if renew is set, which the producer does once in a while,
-- and wherever the count does not fit.
local function sent(from, number, renew)
  local count, n = redis.call('INCR', from), tonumber(number)
  if count == n and n > 1 and not renew then return false end
  redis.call('SET', from, count > n and string.format('%.0f', count - 1) or number, 'PX', '600000')
  return count > n
end
