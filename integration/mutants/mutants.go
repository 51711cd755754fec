package main

// mutant is a bug to plant, and the tests that are to see it.
type mutant struct {
	name  string
	edits []edit
	tests string // what go test is told
}

// edit replaces a piece of a file that is there exactly once.
type edit struct{ file, old, new string }

// storeTests are the model and the tests of the single scripts.
const storeTests = "./internal/store -rapid.shrinktime=100ms"

// leaseTests are those about workers that lose their lease.
const leaseTests = "./consumer ./internal/bubble -run Lease|LostWorker|Late|ComesBack"

// replyTests are those about producers that lose their connection.
const replyTests = "./producer ./internal/bubble -run CutOff|Loss"

const lua = "internal/store/lua/"

// mutants are bugs that were made before, here or elsewhere, or that are easily made.
var mutants = []mutant{
	{
		name: "finish without a fence",
		edits: []edit{{
			lua + "turn.lua",
			"if not (held[k - i + 1] or fresh[id] and not again) then",
			"if false then",
		}},
		tests: storeTests,
	},
	{
		name: "finish with an outcome without a fence",
		edits: []edit{{
			lua + "turn.lua",
			"elseif not have[i] then",
			"elseif redis.call('HEXISTS', tasks, id) == 0 then",
		}},
		tests: storeTests,
	},
	{
		name: "a struck-off consumer may take turns",
		edits: []edit{{
			lua + "turn.lua",
			"if not signed[1] then return {'lapsed'} end",
			"",
		}},
		tests: storeTests,
	},
	{
		name: "the same name after a lost lease",
		edits: []edit{{
			"consumer/keep.go",
			"p.former, p.consumer = p.consumer, newConsumerName()",
			"p.former = \"\"",
		}},
		tests: leaseTests,
	},
	{
		name: "leases by the client's clock",
		edits: []edit{
			{lua + "beat.lua", "--@include _now", "local now = tonumber(ARGV[6])"},
			{"internal/store/lease.go", "on, drop, former)", "on, drop, former, time.Now().UnixMilli())"},
		},
		tests: storeTests,
	},
	{
		name: "a turn sent again is another turn",
		edits: []edit{{
			lua + "turn.lua",
			"local again = last == tonumber(seq)",
			"local again = false",
		}},
		tests: storeTests,
	},
	{
		name: "a turn sent again ends once more what is here again",
		edits: []edit{
			{lua + "turn.lua", "or fresh[id] and not again) then", "or fresh[id]) then"},
			{lua + "turn.lua", "if again then return false end", ""},
			{lua + "turn.lua", "local m = again and 0 or tonumber(ARGV[at])", "local m = tonumber(ARGV[at])"},
		},
		tests: storeTests,
	},
	{
		name: "a late turn is carried out",
		edits: []edit{{
			lua + "turn.lua",
			"if last > tonumber(seq) then return {'late'} end",
			"",
		}},
		tests: storeTests,
	},
	{
		name: "a lone submission sent again is stored again",
		edits: []edit{{
			lua + "submit.lua",
			"if sent(root .. 'from:' .. ARGV[1], ARGV[2]) then return 0 end",
			"sent(root .. 'from:' .. ARGV[1], ARGV[2])",
		}},
		tests: storeTests,
	},
	{
		name: "what came without a script and was claimed is submitted by one",
		edits: []edit{{
			lua + "_arrived.lua",
			"if came(root, from) >= 32 * number or ",
			"if false and ",
		}},
		tests: storeTests,
	},
	{
		name: "a late copy of what arrivals have refused runs",
		edits: []edit{{
			lua + "_arrived.lua",
			"passed(root, from, 32 * number + 31)\n",
			"\n",
		}},
		tests: storeTests,
	},
	{
		name: "a turn without room for a whole entry puts the rest of it behind all that waits",
		edits: []edit{{
			lua + "turn.lua",
			"redis.call('RPUSH', root .. 'ready:1', unpack(ids, want + 1))",
			"redis.call('RPUSH', root .. 'arrivals', unpack(ids, want + 1))",
		}},
		tests: storeTests,
	},
	{
		name: "places of tasks that were claimed stay among the arrivals",
		edits: []edit{{
			lua + "_accept.lua",
			"if places > 0 then redis.call('LPOP', root .. 'arrivals', places) end",
			"",
		}},
		tests: storeTests,
	},
	{
		name: "to wait for one task loses those that came in one entry with it",
		edits: []edit{{
			lua + "settle.lua",
			"        entry = id\n",
			"        entry = wanted[id] and id or ''\n",
		}},
		tests: storeTests,
	},
	{
		name: "what comes twice without a script runs twice",
		edits: []edit{{
			lua + "_accept.lua",
			"if #tasks > 0 and number > (last[from] or came(root, from)) then",
			"if #tasks > 0 then",
		}},
		tests: storeTests,
	},
	{
		name: "a copy of a message that was settled runs",
		edits: []edit{{
			lua + "_accept.lua",
			"        if settled then\n",
			"        if false then\n",
		}},
		tests: storeTests,
	},
	{
		name: "what a script submits overtakes what came without one",
		edits: []edit{{
			lua + "_behind.lua",
			"if p == 1 and",
			"if false and",
		}},
		tests: storeTests,
	},
	{
		name: "nobody is rung for what came without a script",
		edits: []edit{{
			lua + "turn.lua",
			"or redis.call('LLEN', line .. 'arrivals') > (redis.call('LINDEX', line .. 'arrivals', 0) == '' and 1 or 0)",
			"",
		}},
		tests: storeTests,
	},
	{
		name: "nobody is rung for what comes to open arrivals when a worker is to become empty",
		edits: []edit{{
			lua + "turn.lua",
			"elseif open and want > 0 then",
			"elseif false then",
		}},
		tests: storeTests,
	},
	{
		name: "nobody is rung for open arrivals when their worker is gone",
		edits: []edit{{
			lua + "_restore.lua",
			"if back + left > 0 then",
			"if back > 0 then",
		}},
		tests: storeTests,
	},
	{
		name: "the lots of a consumer that is struck off are lost",
		edits: []edit{{
			lua + "_restore.lua",
			"  spread(line, consumer)\n",
			"",
		}},
		tests: storeTests,
	},
	{
		name: "a lot ends although somebody waits for one of its tasks",
		edits: []edit{{
			lua + "turn.lua",
			"elseif lots[name] and watching then",
			"elseif false then",
		}},
		tests: storeTests,
	},
	{
		name: "a turn that is sent again knows of no lot that it did not find",
		edits: []edit{{
			lua + "turn.lua",
			"  if turn == seq then\n",
			"  if false then\n",
		}},
		tests: storeTests,
	},
	{
		name: "an entry that came twice is a lot",
		edits: []edit{{
			lua + "turn.lua",
			"if number <= (last[from] or came(root, from)) then return false end",
			"",
		}},
		tests: storeTests,
	},
	{
		name: "a task in a lot cannot be waited for",
		edits: []edit{{
			lua + "open.lua",
			"and not in_lots(line, redis.call('ZRANGE', line .. 'alive', 0, -1), {[id] = true})[id] then",
			"then",
		}},
		tests: storeTests,
	},
	{
		name: "that a lot is broken goes with one turn only",
		edits: []edit{{
			"consumer/lot.go",
			"	p.over = nil\n",
			"	p.over, p.broken = nil, nil\n",
		}},
		tests: "./consumer -run Lot",
	},
	{
		name: "a lot that Redis does not know any more is forgotten",
		edits: []edit{{
			"consumer/lot.go",
			"		if i < len(told) {\n",
			"		if false {\n",
		}},
		tests: "./consumer -run Lot",
	},
	{
		name: "a lot is over although one of its tasks has failed",
		edits: []edit{{
			"consumer/lot.go",
			"	if !e.Unwanted() {\n",
			"	if false {\n",
		}},
		tests: "./consumer -run Lot",
	},
	{
		name: "a worker does not come back to the arrivals that it keeps open",
		edits: []edit{{
			"consumer/port.go",
			"p.claimIn(back)",
			"",
		}},
		tests: "./consumer -run NobodyIsRung",
	},
	{
		name: "a batch sent again is stored again",
		edits: []edit{{
			lua + "submit.lua",
			"local again = sent(root .. 'from:' .. ARGV[1], ARGV[2], ARGV[3] == 'r') or known",
			"local again = sent(root .. 'from:' .. ARGV[1], ARGV[2], ARGV[3] == 'r') and false",
		}},
		tests: storeTests,
	},
	{
		name: "a batch that was sent again leaves the count too high, so that the next one is taken for it",
		edits: []edit{{
			lua + "_sent.lua",
			"count > n and string.format('%.0f', count - 1) or number",
			"string.format('%.0f', count)",
		}},
		tests: storeTests,
	},
	{
		name: "who takes the last entry of a full bell does not learn that more waits",
		edits: []edit{{
			lua + "_ring.lua",
			"if room <= 0 then mark(line) end",
			"",
		}},
		tests: storeTests,
	},
	{
		name: "a worker without a handler for a lonely task claims it again and again",
		edits: []edit{{
			lua + "turn.lua",
			"redis.call('HDEL', run, '#a') == 1 and",
			"false and",
		}},
		tests: storeTests,
	},
	{
		name: "a worker without a handler for a lonely task rings for nobody else",
		edits: []edit{{
			lua + "turn.lua",
			"passes = true",
			"",
		}},
		tests: storeTests,
	},
	{
		name: "the log is not read after a reconnect",
		edits: []edit{{
			"producer/mailbox.go",
			"if b.isUp {\n\t\t\t\tb.mark()\n\t\t\t\tpoke = true\n\t\t\t} else {",
			"if !b.isUp {",
		}, {
			"producer/mailbox.go",
			"case <-tick.C:\n\t\t\tm.catchUp(true)",
			"case <-tick.C:",
		}, {
			"producer/mailbox.go",
			"case <-tick.C:\n\t\t\tm.doubt()",
			"case <-tick.C:",
		}},
		tests: replyTests,
	},
	{
		name: "what came over the bell is not taken over",
		edits: []edit{{
			lua + "_restore.lua",
			"  drain_inbox(line, consumer)\n",
			"",
		}},
		tests: storeTests,
	},
	{
		name: "a wait at the bell outlives its consumer",
		edits: []edit{{
			lua + "_restore.lua",
			"redis.call('SET', line .. 'taken:' .. consumer, 'gone', 'PX', 120000)",
			"redis.call('DEL', line .. 'taken:' .. consumer)",
		}},
		tests: storeTests,
	},
	{
		name: "what came over the bell is not put on the books",
		edits: []edit{{
			lua + "turn.lua",
			"for id in pairs(fresh) do redis.call('HSET', run, id, 'b') end",
			"",
		}},
		tests: storeTests,
	},
	{
		name: "a retry loses the count of attempts",
		edits: []edit{{
			lua + "turn.lua",
			"      redis.call('HSET', notes, id, y)\n",
			"",
		}},
		tests: storeTests,
	},
	{
		name:  "crashes are not counted",
		edits: []edit{{lua + "_restore.lua", "c = c + 1", "c = c"}},
		tests: storeTests,
	},
	{
		name: "signing off counts as a crash",
		edits: []edit{{
			lua + "leave.lua",
			"restore(KEYS[1], ARGV[1], false)",
			"restore(KEYS[1], ARGV[1], true)",
		}},
		tests: storeTests,
	},
	{
		name: "a task that fell due is not rung for",
		edits: []edit{{
			lua + "turn.lua",
			"if more > 0 or passes then ring(line, math.max(more, 1)) end",
			"",
		}},
		tests: storeTests,
	},
	{
		name: "an earlier time is not rung for",
		edits: []edit{{
			lua + "submit.lua",
			"if tonumber(head[2]) >= soonest then",
			"if false then",
		}},
		tests: storeTests,
	},
	{
		name: "nobody keeps the time when the keeper is lost",
		edits: []edit{{
			lua + "_restore.lua",
			"    redis.call('DEL', line .. 'clock')\n    ring(line, 1)\n",
			"",
		}},
		tests: storeTests,
	},
	{
		name: "cancel does not look at who runs it",
		edits: []edit{{
			lua + "cancel.lua",
			"elseif holder[id] then",
			"elseif false then",
		}},
		tests: storeTests,
	},
	{
		name: "a consumer cancels what is another's",
		edits: []edit{{
			lua + "cancel.lua",
			"elseif msgs[i] and holder[id] == me and not is_off[id] then",
			"elseif msgs[i] and not is_off[id] then",
		}},
		tests: storeTests,
	},
	{
		name: "who was struck off answers",
		edits: []edit{{
			lua + "cancel.lua",
			"if not heard then",
			"if false then",
		}},
		tests: storeTests,
	},
	{
		name: "a task that cost two workers runs beside others when it is retried",
		edits: []edit{{
			lua + "turn.lua",
			"line .. (c >= 2 and 'alone' or p == 1 and last or 'ready:' .. p), due[k])",
			"line .. 'ready:' .. p, due[k])",
		}},
		tests: storeTests,
	},
	{
		name: "a token counts as a task",
		edits: []edit{{
			lua + "count.lua",
			"if #e > 16 then running = running + 1 end",
			"running = running + 1",
		}},
		tests: storeTests,
	},
	{
		name: "what follows is stored although the ending was refused",
		edits: []edit{{
			lua + "turn.lua",
			"if ended and redis.call('HSETNX', tasks, id, blob) == 1 then",
			"if redis.call('HSETNX', tasks, id, blob) == 1 then",
		}},
		tests: storeTests,
	},
	{
		name: "a task ends although somebody waits for its outcome",
		edits: []edit{{
			lua + "turn.lua",
			"elseif eyes and eyes[k - i + 1] then",
			"elseif false then",
		}},
		tests: storeTests,
	},
	{
		name: "a worker goes on when its lease is over",
		edits: []edit{{
			"consumer/keep.go",
			"n := p.cancelRunning(queue.ErrLeaseLost)",
			"n, _ := 0, queue.ErrLeaseLost",
		}},
		tests: leaseTests,
	},
}
