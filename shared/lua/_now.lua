-- now: the server's clock in milliseconds, the only clock that decides anything.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
