package main

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/embedded"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// diagnose examines the Redis that rdb is a client of.
func diagnose(t *testing.T, rdb redis.UniversalClient) diagnosis {
	t.Helper()
	s, err := store.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	var d diagnosis
	if err := d.examine(t.Context(), &link{rdb: rdb, store: s}); err != nil {
		t.Fatal(err)
	}
	return d
}

// bad returns the checks that are not ok, without the latency, which a busy machine
// spoils.
func (d *diagnosis) bad() []string {
	var out []string
	for _, c := range d.Checks {
		if c.Level != levelOK && c.Name != "latency" {
			out = append(out, c.Level+" "+c.Name)
		}
	}
	return out
}

func (d *diagnosis) want(t *testing.T, bad ...string) {
	t.Helper()
	if got := d.bad(); !slices.Equal(got, bad) {
		t.Errorf("it says %v, want %v:", got, bad)
		for _, c := range d.Checks {
			t.Logf("  %s %s: %s (%s)", c.Level, c.Name, c.Text, c.Fix)
		}
	}
	for _, c := range d.Checks {
		if (c.Level == levelOK) != (c.Fix == "") {
			t.Errorf("%s %s: the fix is %q", c.Level, c.Name, c.Fix)
		}
	}
}

// freePort is for what the servers of a cluster say to each other: it would be that
// of the clients and 10,000, which need not be a port.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func TestDoctorOnServers(t *testing.T) {
	t.Parallel()
	good := []string{"--maxmemory", "100mb", "--appendonly", "yes"}
	for name, c := range map[string]struct {
		args []string
		bad  []string
	}{
		"as it should be":   {good, nil},
		"as it comes":       {nil, []string{"warning eviction", "warning persistence"}},
		"evicts":            {append(good, "--maxmemory-policy", "allkeys-lru"), []string{"wrong eviction"}},
		"would evict":       {[]string{"--maxmemory-policy", "volatile-ttl", "--appendonly", "yes"}, []string{"warning eviction"}},
		"snapshots":         {[]string{"--maxmemory", "100mb", "--save", "60 1"}, []string{"warning persistence"}},
		"full":              {[]string{"--maxmemory", "900kb", "--appendonly", "yes"}, []string{"wrong memory", "wrong trial tasks"}},
		"without replicas":  {append(good, "--min-replicas-to-write", "1"), []string{"wrong replication", "wrong trial tasks"}},
		"impatient":         {append(good, "--timeout", "60", "--hash-max-listpack-value", "1000"), []string{"warning timeout", "warning hashes"}},
		"a node, alone":     {append(good, "--cluster-enabled", "yes", "--cluster-port", freePort(t)), []string{"wrong form", "wrong trial tasks", "wrong queues", "wrong keys"}},
		"few connections":   {append(good, "--maxclients", "1"), []string{"wrong clients"}},
		"kernel's own time": {append(good, "--appendfsync", "no"), []string{"warning persistence"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := redistest.Start(t, c.args...)
			o := r.Options()
			if name == "few connections" { // the trial needs more
				s, err := store.New(r.Client())
				if err != nil {
					t.Fatal(err)
				}
				nodes, err := s.Nodes(t.Context(), time.Second)
				if err != nil {
					t.Fatal(err)
				}
				var d diagnosis
				d.add(serverChecks(&nodes[0], false)...)
				d.want(t, c.bad...)
				return
			}
			rdb := redis.NewClient(o)
			defer func() { _ = rdb.Close() }()
			d := diagnose(t, rdb)
			d.want(t, c.bad...)
			if name != "a node, alone" {
				if keys := rdb.Keys(t.Context(), "*").Val(); len(keys) > 0 {
					t.Errorf("it left %q behind", keys)
				}
			}
		})
	}
}

// The user that docs/operations.md gives may do all that the trial does; one without
// scripts may not.
func TestDoctorAsAUser(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t, "--maxmemory", "100mb", "--appendonly", "yes")
	admin := r.Client()
	documented := strings.Fields("on >pw ~cenote:* &cenote:* +@read +@write +@scripting +@pubsub +@connection +@blocking +time +publish -@dangerous")
	for user, rights := range map[string][]string{"cenote": documented, "reader": append(slices.Clone(documented), "-@scripting")} {
		args := []any{"ACL", "SETUSER", user}
		for _, a := range rights {
			args = append(args, a)
		}
		if err := admin.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	as := func(user string) diagnosis {
		o := r.Options()
		o.Username, o.Password = user, "pw"
		rdb := redis.NewClient(o)
		t.Cleanup(func() { _ = rdb.Close() })
		return diagnose(t, rdb)
	}
	d := as("cenote")
	d.want(t)
	s, err := store.New(func() redis.UniversalClient {
		o := r.Options()
		o.Username, o.Password = "reader", "pw"
		rdb := redis.NewClient(o)
		t.Cleanup(func() { _ = rdb.Close() })
		return rdb
	}())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Try(t.Context()); err == nil || !strings.Contains(err.Error(), "sign on: ") || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("without scripts the trial says %v", err)
	}
}

func TestDoctorOnAFleet(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t, "--maxmemory", "100mb", "--appendonly", "yes")
	rdb := r.Client()
	s, err := store.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	l := store.NewLine("q", 0, "")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = s.Declare(ctx, "q", queue.Layout{Kind: queue.KindList})
	check(err)
	d := diagnose(t, rdb)
	d.want(t)
	batch := &store.Batch{Queue: "q", Kind: queue.KindList, From: "p", Number: 1}
	for range 3 {
		m := &queue.Message{ID: queue.NewTaskID(0), Type: "t", Queue: "q"}
		batch.Items = append(batch.Items, store.Item{Msg: m, Wire: m.AppendWire(nil)})
	}
	_, err = s.Submit(ctx, batch)
	check(err)
	d = diagnose(t, rdb)
	d.want(t, "warning queue q") // nobody runs them

	check(s.SignOn(ctx, l, "w1", "", time.Hour))
	d = diagnose(t, rdb)
	d.want(t)
	turn := &store.Turn{Line: l, Consumer: "w1", Number: 1, Want: 2, Lease: time.Hour}
	taken, err := s.Take(ctx, turn)
	check(err)
	turn.Number, turn.Want = 2, 0
	turn.Ends = []store.End{{ID: taken.Tasks[0].ID, Verdict: queue.VerdictDead, Outcome: queue.Failure(taken.Tasks[0].ID, queue.StateDead, 1, queue.ErrPanic)}}
	_, err = s.Take(ctx, turn)
	check(err)
	d = diagnose(t, rdb)
	d.want(t, "warning queue q") // one is dead
	if c := d.of("queue q"); !strings.Contains(c.Text, "1 task died within the last hour") {
		t.Errorf("it says %q", c.Text)
	}
	check(rdb.ZAdd(ctx, store.Root("q", 0)+"dead", redis.Z{Score: 1, Member: string(taken.Tasks[0].ID[:])}).Err())

	// A lease that lapsed long ago: nobody is there, then somebody who should have looked.
	lapse := func(at time.Duration) {
		check(rdb.ZAdd(ctx, store.Root("q", 0)+"alive", redis.Z{Score: float64(time.Now().Add(-at).UnixMilli()), Member: "w1"}).Err())
	}
	lapse(time.Hour)
	d = diagnose(t, rdb)
	d.want(t, "warning queue q", "warning queue q")
	if c := d.of("queue q"); !strings.Contains(c.Text, "1 worker with a lease that lapsed up to 1h0m0s ago, and 1 task in flight") {
		t.Errorf("it says %q", c.Text)
	}
	check(rdb.ZAdd(ctx, store.Root("q", 0)+"alive", redis.Z{Score: float64(time.Now().Add(time.Hour).UnixMilli()), Member: "w2"}).Err())
	check(rdb.HSet(ctx, store.Root("q", 0)+"run:w2", "#", "1").Err())
	d = diagnose(t, rdb)
	d.want(t, "wrong queue q")
	lapse(time.Second) // somebody is about to
	d = diagnose(t, rdb)
	d.want(t)

	check(rdb.ZRem(ctx, store.Root("q", 0)+"alive", "w1").Err())
	check(rdb.Set(ctx, store.Root("q", 0)+"nonsense", "x", 0).Err())
	d = diagnose(t, rdb)
	d.want(t, "warning keys", "wrong keys")
}

// of returns the first check of the name.
func (d *diagnosis) of(name string) check {
	for _, c := range d.Checks {
		if c.Name == name {
			return c
		}
	}
	return check{}
}

// A cluster of one node, through a client for clusters.
func TestDoctorAndFsckOnACluster(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t, "--maxmemory", "100mb", "--appendonly", "yes", "--cluster-enabled", "yes", "--cluster-port", freePort(t))
	node := r.Client()
	if err := node.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(node.ClusterInfo(t.Context()).Val(), "cluster_state:ok"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the cluster does not come up")
		}
	}
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{r.Addr()}})
	defer func() { _ = rdb.Close() }()
	d := diagnose(t, rdb)
	d.want(t)
	if c := d.of("form"); !strings.Contains(c.Text, "cluster") {
		t.Errorf("it says %+v", c)
	}

	s, err := store.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	const partitions = 4
	if _, err := s.Declare(t.Context(), "q", queue.Layout{Kind: queue.KindList, Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
	for part := range uint16(partitions) {
		m := &queue.Message{ID: queue.NewTaskID(part), Type: "t", Queue: "q"}
		b := &store.Batch{Queue: "q", Partition: part, Kind: queue.KindList, From: "p", Number: 1, Items: []store.Item{{Msg: m, Wire: m.AppendWire(nil)}}}
		if _, err := s.Submit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	audit := func(repair bool) store.Audited {
		t.Helper()
		a, err := s.Audit(t.Context(), store.AuditOptions{Repair: repair})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := audit(false); a.Findings != 0 || a.Tasks != partitions {
		t.Errorf("before: %+v", a)
	}
	for part := range uint16(partitions) {
		if err := rdb.Del(t.Context(), store.Root("q", part)+"ready:1").Err(); err != nil {
			t.Fatal(err)
		}
	}
	if a := audit(true); a.Findings != partitions || a.Mended != partitions {
		t.Errorf("repaired: %+v", a)
	}
	if a := audit(false); a.Findings != 0 {
		t.Errorf("afterwards: %+v", a)
	}
}

func TestDoctorOnTheEmbeddedStore(t *testing.T) {
	t.Parallel()
	inner, err := embedded.StartPrivate()
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	rdb := inner.Client()
	defer func() { _ = rdb.Close() }()
	d := diagnose(t, rdb)
	d.want(t)
}

// What no server here can be made to say.
func TestServerChecks(t *testing.T) {
	t.Parallel()
	info := func(pairs ...string) *store.Node {
		n := &store.Node{Info: map[string]string{}}
		for i := 0; i < len(pairs); i += 2 {
			n.Info[pairs[i]] = pairs[i+1]
		}
		return n
	}
	libs := func(libs map[string]int) *store.Node { return &store.Node{Libs: libs} }
	for name, c := range map[string]struct {
		node *store.Node
		bad  []string
	}{
		"too old":            {info("redis_version", "6.2.14"), []string{"wrong version"}},
		"with a hole":        {info("redis_version", "7.2.10"), []string{"warning version"}},
		"without it":         {info("redis_version", "7.2.11"), nil},
		"a new series":       {info("redis_version", "9.0.1"), nil},
		"Valkey":             {info("redis_version", "7.2.4", "valkey_version", "8.1.0"), nil},
		"a Sentinel":         {info("redis_version", "7.4.9", "redis_mode", "sentinel"), []string{"wrong form"}},
		"a replica":          {info("redis_mode", "standalone", "role", "slave"), []string{"wrong form"}},
		"a failed snapshot":  {info("aof_enabled", "1", "rdb_last_bgsave_status", "err"), []string{"wrong persistence"}},
		"a failed write":     {info("aof_enabled", "1", "aof_last_write_status", "err"), []string{"wrong persistence"}},
		"replicas, unminded": {&store.Node{Info: map[string]string{"role": "master", "connected_slaves": "1"}, Config: map[string]string{"min-replicas-to-write": "0"}}, []string{"warning replication"}},
		"replicas, minded":   {&store.Node{Info: map[string]string{"role": "master", "connected_slaves": "1"}, Config: map[string]string{"min-replicas-to-write": "1"}}, nil},
		"filling up":         {info("used_memory", "85", "maxmemory", "100"), []string{"warning memory"}},
		"busy":               {info("connected_clients", "85", "maxclients", "100"), []string{"warning clients"}},
		"an old library":     {libs(map[string]int{"go-redis 9.20.0": 2, "go-redis 9.23.0": 1}), []string{"warning libraries"}},
		"a good library":     {libs(map[string]int{"go-redis 9.23.0": 1, "redis-py 6.4.0": 1}), nil},
		"slow":               {&store.Node{Laps: slices.Repeat([]time.Duration{6 * time.Millisecond}, 300)}, []string{"warning latency"}},
		"seldom slow":        {&store.Node{Laps: append(slices.Repeat([]time.Duration{time.Millisecond}, 290), slices.Repeat([]time.Duration{time.Second}, 10)...)}, []string{"warning latency"}},
		"fast":               {&store.Node{Laps: slices.Repeat([]time.Duration{time.Millisecond}, 300)}, nil},
		"two seconds behind": {&store.Node{Offset: -2 * time.Second}, []string{"warning clock"}},
		"an hour ahead":      {&store.Node{Offset: time.Hour}, []string{"wrong clock"}},
		"hard to tell":       {&store.Node{Offset: 2 * time.Second, Doubt: 2 * time.Second}, nil},
	} {
		var got []string
		for _, c := range serverChecks(c.node, false) {
			if c.Level != levelOK {
				got = append(got, c.Level+" "+c.Name)
			}
			if c.Text == "" || (c.Level == levelOK) != (c.Fix == "") {
				t.Errorf("%s: %+v", name, c)
			}
		}
		if !slices.Equal(got, c.bad) {
			t.Errorf("%s: %v, want %v", name, got, c.bad)
		}
	}
	if c := checkForm(info("redis_mode", "standalone"), true); c[0].Level != levelWrong {
		t.Errorf("a cluster's address for a single server: %+v", c)
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	const words = "one two three four five six seven"
	if got, want := fold(words, 20, "> "), "one two three four\n> five six seven"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := fold(words, 10, "> "); got != words {
		t.Errorf("without room it is %q", got)
	}
}
