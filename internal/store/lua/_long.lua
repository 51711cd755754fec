-- long: above how many bytes a message or an outcome goes through Lua as seldom as
-- can be, since Lua hashes every byte of every string that is made.
local long = 1024
