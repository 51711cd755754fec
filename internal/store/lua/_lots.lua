-- A lot is a claim of arrivals that is in flight as it came: its messages are in the
-- consumer's hash and nowhere else, until all of its tasks are done or somebody has to do
-- with one of them. `#l` lists the lots, each with how many tasks it has.

-- packed(entries): the entries of arrivals in one text.
local function packed(entries)
  local out = {}
  for i, e in ipairs(entries) do
    out[2 * i - 1], out[2 * i] = string.rep('0', 8 - #tostring(#e)) .. #e, e
  end
  return table.concat(out)
end

-- each(text, f): calls f with the tasks (id, message, id, message, ...) of each entry.
local function each(text, f)
  local at = 1
  while at < #text do
    local last = at + 7 + tonumber(string.sub(text, at, at + 7))
    local _, _, tasks = unpacked(string.sub(text, at + 8, last))
    f(tasks)
    at = last + 1
  end
end

-- in_lots(line, consumers, wanted): by id, of those in `wanted`, who has it in a lot, and its
-- message.
local function in_lots(line, consumers, wanted)
  local who, msgs = {}, {}
  for _, c in ipairs(consumers) do
    local run = line .. 'run:' .. c
    for name in string.gmatch(redis.call('HGET', run, '#l') or '', '(%S+) %d+') do
      each(redis.call('HGET', run, '#l' .. name), function(tasks)
        for i = 1, #tasks, 2 do
          if wanted[tasks[i]] then who[tasks[i]], msgs[tasks[i]] = c, tasks[i + 1] end
        end
      end)
    end
  end
  return who, msgs
end
