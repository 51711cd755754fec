-- place: where tasks stand, all in one look.
-- KEYS 1 the line
-- ARGV 1 '1' to look into the lists and bundles, too, '' for the rest, which costs next to nothing
--      2 n: n * consumer, besides those that are alive
--      then m * (id, when a bundle is due that it may be in or '', where it was
--      in lists, counted from the end, with spaces between)
-- Returns m times the letters of _places and the consumers, with spaces between.
-- Moves no task.
--@include _places
local line, lists, n = KEYS[1], ARGV[1] == '1', tonumber(ARGV[2])
local consumers = holders(line, {unpack(ARGV, 3, 2 + n)})
local inbox = inboxes(line, consumers)
local out = {}
for i = 3 + n, #ARGV, 3 do
  local at, who = places(line, ARGV[i], consumers, inbox, lists, ARGV[i + 1], ARGV[i + 2])
  out[#out + 1] = table.concat({at, unpack(who)}, ' ')
end
return out
