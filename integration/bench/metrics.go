package main

// The metrics of results.json.
const (
	rate          = "tasks_per_s"
	redisCPU      = "redis_cpu_us_per_task"
	redisCommands = "redis_commands_per_task"    // calls inside scripts included
	redisReads    = "redis_round_trips_per_task" // socket reads of the server
	steadyRate    = "tasks_per_s_from_first_start"
	startP50      = "submit_to_start_p50_us"
	startP99      = "submit_to_start_p99_us"
	resultP50     = "submit_to_result_p50_us"
	resultP99     = "submit_to_result_p99_us"
	resultMax     = "submit_to_result_max_us"
	bytesWaiting  = "bytes_per_waiting_task"
	idleCommands  = "redis_commands_per_s"
	idleReads     = "redis_round_trips_per_s"
	smallBacklog  = "tasks_per_s_small_backlog"
	largeBacklog  = "tasks_per_s_large_backlog"
	firstStart    = "due_to_first_start_ms"
	plainRate     = "tasks_per_s_plain_drain"
	memoryFirst   = "mib_of_the_submitter_in_the_first_tenth"
	memoryLast    = "mib_of_the_submitter_in_the_last_tenth"
	handOverP50   = "release_to_acquired_p50_us"
	handOverP99   = "release_to_acquired_p99_us"
	tripP50       = "bare_round_trip_p50_us"
	tripP99       = "bare_round_trip_p99_us"
	isolationCost = "us_per_task_above_a_goroutine"
	taskCount     = "tasks" // how many tasks were used
)

// measures is what one case found out about one system.
type measures map[string]float64

// metricKind says how a metric is shown and compared.
type metricKind struct {
	name        string
	unit        string
	lowerBetter bool
}

// shown lists the metrics of the table, in its order.
var shown = []metricKind{
	{rate, "tasks/s", false},
	{steadyRate, "tasks/s from first start", false},
	{plainRate, "tasks/s, plain drain beside it", false},
	{firstStart, "ms, due -> first start", true},
	{smallBacklog, "tasks/s, small backlog", false},
	{largeBacklog, "tasks/s, large backlog", false},
	{redisCPU, "Redis CPU us/task", true},
	{redisCommands, "Redis calls/task", true},
	{redisReads, "round trips/task", true},
	{startP50, "us, submit -> start p50", true},
	{startP99, "us, submit -> start p99", true},
	{resultP50, "us, submit -> result p50", true},
	{resultP99, "us, submit -> result p99", true},
	{resultMax, "us, submit -> result max", true},
	{bytesWaiting, "bytes/waiting task", true},
	{idleCommands, "Redis calls/s", true},
	{idleReads, "round trips/s", true},
	{isolationCost, "us/task above a goroutine", true},
	{memoryFirst, "MiB of the submitter, in the first tenth", true},
	{memoryLast, "MiB of the submitter, in the last tenth", true},
	{handOverP50, "us, release -> acquired p50", true},
	{handOverP99, "us, release -> acquired p99", true},
	{tripP50, "us, bare round trip beside it p50", true},
	{tripP99, "us, bare round trip beside it p99", true},
}
