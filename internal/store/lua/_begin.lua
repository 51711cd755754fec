-- begin(root): the arrivals begin, with the last of those that are ready.
local function begin(root)
  redis.call('RPOPLPUSH', root .. 'ready:1', root .. 'arrivals')
  outlive(root)
end
