package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// snapshot is what Redis says about itself at one moment.
type snapshot struct {
	at       time.Time
	cpu      float64 // seconds of CPU, user and system, of the whole server process
	commands int64   // calls processed, those inside scripts included
	reads    int64   // times the server read from a socket: about one a client round trip
	memory   int64   // bytes, without the clients' buffers
	own      int64   // commands the harness had sent when it was taken
}

// snap asks Redis for a snapshot.
func (s *server) snap(ctx context.Context) (snapshot, error) {
	own := s.sent.Load() // before this INFO: total_commands_processed does not count it yet
	text, err := s.admin.Info(ctx, "all").Result()
	if err != nil {
		return snapshot{}, fmt.Errorf("redis INFO: %w", err)
	}
	f := infoFields(text)
	return snapshot{
		at:       time.Now(),
		cpu:      number(f["used_cpu_sys"]) + number(f["used_cpu_user"]),
		commands: int64(number(f["total_commands_processed"])),
		reads:    int64(number(f["total_reads_processed"])),
		memory:   int64(number(f["used_memory"]) - number(f["mem_clients_normal"])),
		own:      own,
	}, nil
}

// spent is what Redis did between two snapshots, the harness's own part taken out.
type spent struct {
	elapsed  time.Duration
	cpu      time.Duration
	commands float64
	reads    float64
	memory   float64
}

// since returns what was spent from before to s.
func (s snapshot) since(before snapshot) spent {
	own := float64(s.own - before.own)
	return spent{
		elapsed:  s.at.Sub(before.at),
		cpu:      time.Duration((s.cpu - before.cpu) * float64(time.Second)),
		commands: float64(s.commands-before.commands) - own,
		reads:    float64(s.reads-before.reads) - own,
		memory:   float64(s.memory - before.memory),
	}
}

// perTask adds the Redis costs of n tasks to m.
func (d spent) perTask(m measures, n int) {
	m[redisCPU] = float64(d.cpu.Nanoseconds()) / 1e3 / float64(n)
	m[redisCommands] = d.commands / float64(n)
	m[redisReads] = d.reads / float64(n)
}

// infoFields splits the text of INFO into its fields.
func infoFields(text string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

func number(s string) float64 {
	f, _ := strconv.ParseFloat(s, 64) // a field that an older server lacks counts as 0
	return f
}
