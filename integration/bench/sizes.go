package main

import "time"

// Sizes are smaller for slow systems, and in quick mode: it is rates and costs a
// task that are compared. Only what a target names by size keeps it for Cenote.

// scale divides n in quick mode by by, and in the harness's own test by much more.
func scale(n int, m mode, by int) int {
	switch {
	case m.tiny:
		return max(n/1000, batch)
	case m.quick:
		return n / by
	}
	return n
}

// submitSize is for submit-64; submitOneSize for submit-1, several times slower.
func submitSize(system string, m mode) int {
	switch system {
	case "asynq", "bullmq":
		return scale(60_000, m, 3)
	}
	return scale(100_000, m, 2)
}

func submitOneSize(system string, m mode) int {
	switch system {
	case "asynq", "bullmq":
		return scale(30_000, m, 10)
	}
	return scale(60_000, m, 6)
}

func bulkSize(system string, m mode) int {
	switch system {
	case "bullmq":
		return scale(60_000, m, 4)
	case "raw", "rawlist":
		return scale(500_000, m, 2)
	}
	return scale(200_000, m, 2)
}

func drainSize(system string, m mode) int {
	switch system {
	case "asynq", "bullmq":
		return scale(50_000, m, 8)
	}
	return scale(100_000, m, 1)
}

func awaitSize(system string, m mode) int {
	switch system {
	case "asynq", "bullmq":
		return scale(30_000, m, 6)
	}
	return scale(100_000, m, 1)
}

func latencySize(system string, m mode) int {
	switch {
	case m.tiny:
		return 5
	case system == "asynq" && m.quick:
		return 1 // it takes about a second
	case system == "asynq":
		return 20
	case m.quick:
		return 150
	}
	return 2000
}

// lockSize is in hand-overs.
func lockSize(system string, m mode) int {
	switch {
	case system != "cenote":
		return 0
	case m.tiny:
		return 5
	case m.quick:
		return 500
	}
	return 2000
}

// bytesSize: a quarter of 100,000 fills hash tables as well as 100,000 does.
func bytesSize(system string, m mode) int {
	switch {
	case m.tiny:
		return 20_000 // fewer drown in the server's own changes
	case m.quick && system != "cenote":
		return 25_000
	}
	return 100_000
}

// idleSize is in seconds; one round tells enough.
func idleSize(system string, m mode) int {
	switch {
	case m.round > 0, system == "raw", system == "rawlist":
		return 0
	case m.tiny:
		return 1
	case m.quick && system == "cenote":
		return 10
	case m.quick:
		return 3
	}
	return 20
}

// backlogSize leaves the slow peers out in quick mode, and out of all rounds but one.
func backlogSize(system string, m mode) int {
	switch system {
	case "cenote", "raw":
		if m.quick {
			return scale(150_000, m, 1)
		}
		return scale(1_000_000, m, 1)
	case "asynq", "bullmq":
		if !m.quick && m.round == 0 {
			return scale(300_000, m, 1)
		}
	}
	return 0
}

func dueSize(system string, m mode) int {
	switch system {
	case "cenote":
		return scale(100_000, m, 1)
	case "asynq", "bullmq":
		return scale(100_000, m, 16)
	}
	return 0
}

// mapSize: small chunks get fewer items in quick mode.
func mapSize(chunk int) func(string, mode) int {
	return func(_ string, m mode) int {
		switch chunk {
		case 1:
			return scale(1_000_000, m, 40)
		case 10:
			return scale(1_000_000, m, 5)
		}
		return scale(1_000_000, m, 2)
	}
}

func callsSize(_ string, m mode) int { return scale(100_000, m, 8) }

func memorySize(_ string, m mode) int { return scale(10_000_000, m, 10) }

func isolatedSize(_ string, m mode) int { return scale(200_000, m, 10) }

func localSize(_ string, m mode) int { return scale(1_000_000, m, 5) }

// dueLead is how long before they fall due n delayed tasks begin to be submitted.
func dueLead(system string, n int) time.Duration {
	perSecond := 100_000
	if system == "asynq" || system == "bullmq" {
		perSecond = 25_000
	}
	return time.Second + time.Duration(n)*time.Second/time.Duration(perSecond)
}
