package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/cenote-go/cenote/internal/store"
)

// serverChecks judges what a server says of itself. What it does not say is not
// judged.
func serverChecks(n *store.Node, clusterClient bool) []check {
	var out []check
	for _, look := range []func(*store.Node) []check{
		checkVersion, checkEviction, checkMemory, checkPersistence, checkReplication, checkClients, checkLibraries, checkSettings, checkLatency, checkClock,
	} {
		out = append(out, look(n)...)
	}
	return slices.Concat(checkForm(n, clusterClient), out)
}

// checkForm compares the kind of the server with the kind of the address.
func checkForm(n *store.Node, clusterClient bool) []check {
	mode, clustered := n.Info["redis_mode"], n.Info["cluster_enabled"] == "1"
	switch {
	case mode == "sentinel":
		return []check{wrong("form", "connect through it: redis+sentinel://host:26379/master-name", "this is a Sentinel, which keeps no data")}
	case clustered && !clusterClient:
		return []check{wrong("form", "use redis+cluster://host:port", "this is a node of a cluster, and the address is of a single server: most queues are elsewhere")}
	case !clustered && clusterClient && mode != "":
		return []check{wrong("form", "use redis://host:port", "the address is of a cluster, and this server is none")}
	case n.Info["role"] == "slave":
		return []check{wrong("form", "connect to "+n.Info["master_host"]+":"+n.Info["master_port"]+", or through Sentinel", "this is a replica, which takes no writes")}
	case clustered:
		return []check{fine("form", "a node of a cluster; each partition of a queue is in one slot")}
	case mode != "":
		return []check{fine("form", "a single server, %s", cmp.Or(n.Info["role"], "master"))}
	}
	return nil
}

// The first version that has all that the scripts use.
var oldest = []int{7, 0, 0}

// mended are first versions, by series, without a known hole through which a
// script's author can take the server over.
var mended = map[string][]int{"7.0": {7, 0, 12}, "7.2": {7, 2, 11}, "7.4": {7, 4, 6}, "8.0": {8, 0, 4}, "8.2": {8, 2, 2}}

func checkVersion(n *store.Node) []check {
	text := n.Info["redis_version"]
	v := versionOf(text)
	switch {
	case n.Info["valkey_version"] != "":
		return []check{fine("version", "Valkey %s, which speaks as Redis %s", n.Info["valkey_version"], text)}
	case v == nil:
		return []check{fine("version", "the server does not tell: the embedded store does not, and some managed ones")}
	case slices.Compare(v, oldest) < 0:
		return []check{wrong("version", "upgrade to 7.0 or newer", "Redis %s is too old for the scripts", text)}
	}
	if first := mended[fmt.Sprintf("%d.%d", v[0], v[1])]; first != nil && slices.Compare(v, first) < 0 {
		return []check{warning("version", fmt.Sprintf("upgrade to %d.%d.%d or newer, unless your distribution has mended its own", first[0], first[1], first[2]),
			"Redis %s has known holes in its script engine (CVE-2022-24834, CVE-2025-49844)", text)}
	}
	return []check{fine("version", "Redis %s", text)}
}

// versionOf returns the numbers of a version, nil if it is none.
func versionOf(s string) []int {
	var v []int
	for part := range strings.SplitSeq(s, ".") {
		i, err := strconv.Atoi(part)
		if err != nil {
			return nil
		}
		v = append(v, i)
	}
	if len(v) < 3 {
		return nil
	}
	return v
}

func checkEviction(n *store.Node) []check {
	policy, most := cmp.Or(n.Info["maxmemory_policy"], n.Config["maxmemory-policy"]), cmp.Or(n.Info["maxmemory"], n.Config["maxmemory"])
	switch {
	case policy == "":
		return nil
	case policy != "noeviction" && most != "0":
		return []check{wrong("eviction", "CONFIG SET maxmemory-policy noeviction, and in redis.conf", "the policy is %s: tasks are thrown away without a word", policy)}
	case policy != "noeviction":
		return []check{warning("eviction", "CONFIG SET maxmemory-policy noeviction, and in redis.conf", "the policy is %s: as soon as there is a maxmemory, tasks are thrown away", policy)}
	case most == "0":
		return []check{warning("eviction", "set maxmemory below what the machine has: a full Redis then refuses submissions and is drained",
			"noeviction, but no maxmemory: before Redis refuses anything, the kernel may kill it")}
	}
	return []check{fine("eviction", "noeviction, maxmemory %s", bytesText(most))}
}

func checkMemory(n *store.Node) []check {
	used, err1 := strconv.ParseFloat(n.Info["used_memory"], 64)
	most, err2 := strconv.ParseFloat(n.Info["maxmemory"], 64)
	of := "maxmemory"
	if most == 0 {
		of = "the machine's memory"
		most, err2 = strconv.ParseFloat(n.Info["total_system_memory"], 64)
	}
	if err1 != nil || err2 != nil || most == 0 {
		return nil
	}
	text := fmt.Sprintf("%s used, %.0f%% of %s", humanize.Bytes(uint64(used)), 100*used/most, of)
	const fix = "let workers drain the queues, raise maxmemory, or pass references instead of large arguments"
	switch {
	case used > 0.95*most:
		return []check{wrong("memory", fix, "%s: submissions are refused, or soon will be", text)}
	case used > 0.8*most:
		return []check{warning("memory", fix, "%s", text)}
	}
	return []check{fine("memory", "%s", text)}
}

func checkPersistence(n *store.Node) []check {
	const see = "; docs/guarantees.md says what each choice loses"
	aof, known := n.Info["aof_enabled"]
	if !known {
		return nil
	}
	var out []check
	if n.Info["aof_last_write_status"] == "err" {
		out = append(out, wrong("persistence", "look at Redis's log and at the disk", "the last write to the append-only file failed: Redis refuses submissions"))
	}
	if n.Info["rdb_last_bgsave_status"] == "err" {
		out = append(out, wrong("persistence", "look at Redis's log and at the disk", "the last snapshot failed: Redis refuses submissions, unless stop-writes-on-bgsave-error is off"))
	}
	save, told := n.Config["save"]
	switch {
	case aof == "1" && n.Config["appendfsync"] == "always":
		out = append(out, fine("persistence", "append-only file, written through: a crash loses nothing that was accepted"))
	case aof == "1" && n.Config["appendfsync"] == "no":
		out = append(out, warning("persistence", "set appendfsync everysec, or always"+see, "append-only file that the kernel writes when it likes: a lost machine loses up to half a minute"))
	case aof == "1":
		out = append(out, fine("persistence", "append-only file, every second: a killed Redis loses nothing, a lost machine about a second"+see))
	case told && save == "":
		out = append(out, warning("persistence", "set appendonly yes"+see, "none: a restart loses every task"))
	case told:
		out = append(out, warning("persistence", "set appendonly yes"+see, "snapshots only (save %s): a restart loses what came after the last one", save))
	default:
		out = append(out, warning("persistence", "set appendonly yes"+see, "no append-only file: a restart loses what came after the last snapshot, if there is one"))
	}
	return out
}

func checkReplication(n *store.Node) []check {
	replicas, err := strconv.Atoi(n.Info["connected_slaves"])
	if err != nil || n.Info["role"] != "master" {
		return nil
	}
	need, err := strconv.Atoi(n.Config["min-replicas-to-write"])
	good, goodErr := strconv.Atoi(cmp.Or(n.Info["min_slaves_good_slaves"], n.Info["connected_slaves"]))
	switch {
	case err == nil && goodErr == nil && need > good:
		return []check{wrong("replication", "bring the replicas back, or lower min-replicas-to-write", "%s of the %d that min-replicas-to-write asks for: Redis refuses submissions", plural(int64(good), "replica"), need)}
	case err == nil && replicas > 0 && need == 0:
		return []check{warning("replication", "set min-replicas-to-write 1 and min-replicas-max-lag 10, which bounds the loss; see docs/guarantees.md",
			"%s, and min-replicas-to-write is 0: a master that is cut off accepts what a failover loses", plural(int64(replicas), "replica"))}
	case replicas == 0:
		return []check{fine("replication", "no replicas: a lost machine takes what is on its disk along")}
	case err != nil:
		return []check{fine("replication", "%s", plural(int64(replicas), "replica"))}
	}
	return []check{fine("replication", "%s, min-replicas-to-write %d", plural(int64(replicas), "replica"), need)}
}

func checkClients(n *store.Node) []check {
	now, err := strconv.Atoi(n.Info["connected_clients"])
	if err != nil {
		return nil
	}
	most, err := strconv.Atoi(n.Info["maxclients"])
	text := plural(int64(now), "connection")
	if b := n.Info["blocked_clients"]; b != "" && b != "0" {
		text += ", " + b + " of them waiting"
	}
	if err != nil || most == 0 {
		return []check{fine("clients", "%s", text)}
	}
	text += fmt.Sprintf(", maxclients %d", most)
	const fix = "raise maxclients, and the limit on open files of Redis's process; or share clients within a program"
	switch {
	case now > most*95/100:
		return []check{wrong("clients", fix, "%s: others are turned away, or soon will be", text)}
	case now > most*80/100:
		return []check{warning("clients", fix, "%s", text)}
	}
	return []check{fine("clients", "%s", text)}
}

// goRedis is the first version of the client library that neither loses messages
// of a subscription (before 9.20.1) nor hangs in it (before 9.22).
var goRedis = []int{9, 22, 0}

// checkLibraries looks at what the connections' client libraries call themselves.
func checkLibraries(n *store.Node) []check {
	if len(n.Libs) == 0 {
		return nil
	}
	var all, old []string
	for _, lib := range slices.Sorted(maps.Keys(n.Libs)) {
		all = append(all, fmt.Sprintf("%s (%d)", lib, n.Libs[lib]))
		if version, ours := strings.CutPrefix(lib, "go-redis "); ours {
			if v := versionOf(version); v != nil && slices.Compare(v, goRedis) < 0 {
				old = append(old, lib)
			}
		}
	}
	if len(old) > 0 {
		return []check{warning("libraries", "build these programs with go-redis 9.22 or newer", "%s: subscriptions of that version may hang or lose messages", strings.Join(old, ", "))}
	}
	return []check{fine("libraries", "%s", strings.Join(all, ", "))}
}

// checkSettings looks at settings that are wrong seldom, and says nothing else.
func checkSettings(n *store.Node) []check {
	var out []check
	if s := n.Config["timeout"]; s != "" && s != "0" {
		out = append(out, warning("timeout", "CONFIG SET timeout 0, and in redis.conf", "idle connections are closed after %s s: workers at rest hold connections that wait", s))
	}
	if v, err := strconv.Atoi(n.Config["hash-max-listpack-value"]); err == nil && v > 64 {
		out = append(out, warning("hashes", "set hash-max-listpack-value to 64, the default", "hash-max-listpack-value is %d: what a worker has in flight is searched from end to end", v))
	}
	return out
}

// The round trips from which on a person should wonder.
const (
	slowMedian = 5 * time.Millisecond
	slowTail   = 25 * time.Millisecond
)

func checkLatency(n *store.Node) []check {
	if len(n.Laps) == 0 {
		return nil
	}
	p50, p99 := n.Laps[len(n.Laps)/2], n.Laps[len(n.Laps)*99/100]
	text := fmt.Sprintf("round trip p50 %v, p99 %v, of %d", brief(p50), brief(p99), len(n.Laps))
	if p50 > slowMedian || p99 > slowTail {
		return []check{warning("latency", fmt.Sprintf("expected are at most %v and %v: look at the network, at SLOWLOG GET and at what else runs on Redis's machine", slowMedian, slowTail), "%s", text)}
	}
	return []check{fine("latency", "%s", text)}
}

func checkClock(n *store.Node) []check {
	off, doubt := n.Offset.Abs(), max(n.Doubt, time.Millisecond)
	side := "ahead of"
	if n.Offset < 0 {
		side = "behind"
	}
	text := fmt.Sprintf("Redis's clock is %v %s this machine's, give or take %v", brief(off), side, brief(doubt))
	const fix = "run a time service (chrony, systemd-timesyncd) on both machines; what is submitted with a time of its own (queue.At) starts by Redis's clock"
	switch {
	case off <= doubt:
		return []check{fine("clock", "Redis's clock and this machine's agree within %v", brief(doubt))}
	case off-doubt > time.Minute:
		return []check{wrong("clock", fix, "%s", text)}
	case off-doubt > time.Second:
		return []check{warning("clock", fix, "%s", text)}
	}
	return []check{fine("clock", "%s", text)}
}

// brief is a duration with three digits.
func brief(d time.Duration) time.Duration {
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
}

func bytesText(s string) string {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return s
	}
	return humanize.IBytes(n)
}
