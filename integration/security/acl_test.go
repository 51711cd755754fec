package security_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// within bounds every wait.
const within = time.Minute

// town is a server on which everybody is a user of one role.
type town struct {
	t      *testing.T
	ctx    context.Context
	root   *redis.Client // may do anything
	addr   string
	server *redistest.Server
}

const password = "open-the-gate"

func found(t *testing.T, queues ...string) *town {
	t.Helper()
	var lines []string
	for _, r := range store.Roles {
		words, err := store.Rights(r, queues, "7.0")
		if err != nil {
			t.Fatal(err)
		}
		words = slices.Insert(words[1:], 1, ">"+password) // after "on"
		lines = append(lines, "user "+string(r)+" "+strings.Join(words, " "))
	}
	lines = append(lines, "user default on nopass ~* &* +@all")
	file := filepath.Join(t.TempDir(), "users.acl")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := redistest.Start(t, "--aclfile", file)
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	return &town{t: t, ctx: ctx, root: s.Client(), addr: s.Addr(), server: s}
}

// as is a client of the user of a role.
func (w *town) as(r store.Role) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: w.addr, Username: string(r), Password: password, DisableIdentity: true})
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *town) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// denials are the commands and keys that were denied to anybody since the last call.
func (w *town) denials() []string {
	w.t.Helper()
	entries, err := w.root.ACLLog(w.ctx, 1000).Result()
	w.ok(err)
	w.ok(w.root.ACLLogReset(w.ctx).Err())
	var all []string
	for _, e := range entries {
		all = append(all, fmt.Sprintf("%s: %s %s (%s)", e.Username, e.Reason, e.Object, e.Context))
	}
	return all
}

// tolerated are denials that Cenote expects: what a Redis client says of itself, and
// the question for the eviction policy, see docs/operations.md; and that for disks, to who
// has the rights of an older version.
func tolerated(denial string) bool {
	return strings.Contains(denial, "client|setinfo") || strings.Contains(denial, "client|maint_notifications") || strings.Contains(denial, "waitaof") ||
		strings.HasPrefix(denial, "consumer: command config|get") || strings.Contains(denial, "command client ")
}

var (
	double = queue.NewTask[int, int]("double")
	add    = queue.NewTask[int, int]("add")
	fail   = queue.NewTask[int, int]("fail", queue.Retries(1), queue.Spaced(queue.Backoff{Base: time.Millisecond}))
	wait   = queue.NewTask[int, int]("wait")
	other  = queue.NewTask[int, int]("double", queue.On("second"))
	event  = queue.NewTask[int, int]("double", queue.OnStream("events"), queue.ReplyFrom("billing"))
	slow   = queue.NewTask[int, int]("slow")
)

func get[T any](w *town) func(f *queue.Future[T], err error) T {
	return func(f *queue.Future[T], err error) T {
		w.t.Helper()
		w.ok(err)
		v, err := f.Get(w.ctx)
		w.ok(err)
		return v
	}
}

// rare are commands that users may run and that this test does not.
var rare = map[string]string{
	"select": "of a database other than 0", "client|setname": "of a client with a name",
	"script|load": "by an admin, after a failover", "unsubscribe": "when a lease was lost",
	"lpos": "by an audit of long lists", "lset": "when a message on the bell is not the last any more", "getrange": "when a reply was lost",
}

// allUsed fails for rights that nobody needs.
func (w *town) allUsed(queues []string) {
	w.t.Helper()
	stats, err := w.root.Info(w.ctx, "commandstats").Result()
	w.ok(err)
	for _, r := range store.Roles {
		words, err := store.Rights(r, queues, "7.0")
		w.ok(err)
		for _, word := range words {
			if c, ok := strings.CutPrefix(word, "+"); ok && rare[c] == "" && !strings.Contains(stats, "cmdstat_"+c+":") {
				w.t.Errorf("%s may run %s, which nothing here does", r, c)
			}
		}
	}
}

// TestUsersCanDoTheirWork runs all that the API does as users of the roles. Nothing of it
// may be denied.
func TestUsersCanDoTheirWork(t *testing.T) {
	for name, queues := range map[string][]string{"all queues": nil, "named queues": {"default", "second", "events"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := found(t, queues...)
			entered := make(chan struct{}, 10)
			routes := []queue.Route{
				double.Handler(func(_ context.Context, n int) (int, error) { return 2 * n, nil }),
				add.Handler(func(ctx context.Context, n int) (int, error) { c, err := queue.Common[int](ctx); return n + c, err }),
				fail.Handler(func(context.Context, int) (int, error) { return 0, errors.New("no") }),
				slow.Handler(func(ctx context.Context, n int) (int, error) {
					queue.Logf(ctx, "line")
					select {
					case <-time.After(300 * time.Millisecond):
					case <-ctx.Done():
					}
					return n, nil
				}),
				wait.Handler(func(ctx context.Context, _ int) (int, error) {
					entered <- struct{}{}
					<-ctx.Done()
					return 0, context.Cause(ctx)
				}),
			}
			work := func(cfg consumer.Config) (*consumer.Worker, func()) {
				cw, err := consumer.New(w.as(store.RoleConsumer), cfg, routes...)
				w.ok(err)
				ctx, stop := context.WithCancel(context.Background())
				ended := make(chan error, 1)
				go func() { ended <- cw.Run(ctx) }()
				return cw, func() { stop(); w.ok(<-ended) }
			}
			cfg := consumer.Config{
				Concurrency: 4, Lease: time.Second, Sweep: 100 * time.Millisecond,
				Queues: []consumer.Queue{{Name: "default"}, {Name: "second"}, {Name: "events", Group: "billing"}},
			}
			c, err := producer.New(w.as(store.RoleProducer))
			w.ok(err)
			_, err = c.Declare(w.ctx, "second", queue.Layout{Partitions: 3})
			w.ok(err)
			_, stop := work(cfg)

			// submit, bulk, delay, priority, keys, streams
			if v := get[int](w)(double.Submit(w.ctx, c, 4)); v != 8 {
				t.Errorf("value %d", v)
			}
			futs, err := double.SubmitAll(w.ctx, c, []int{1, 2, 3})
			w.ok(err)
			for _, f := range futs {
				get[int](w)(f, nil)
			}
			at := time.Now().Add(time.Second) // ahead, so that they are bundled
			many, err := double.SubmitAll(w.ctx, c, make([]int, 100), queue.At(at))
			w.ok(err)
			get[int](w)(many[99], nil)
			get[int](w)(double.Submit(w.ctx, c, 1, queue.Delay(10*time.Millisecond), queue.Prioritized(queue.High), queue.Expire(time.Minute)))
			f, err := double.Submit(w.ctx, c, 1, queue.ID("order 7"), queue.Keep(time.Minute))
			get[int](w)(f, err)
			get[int](w)(double.Submit(w.ctx, c, 1, queue.ID("order 7")))
			get[int](w)(double.Open(w.ctx, c, f.ID()))
			w.ok(f.Forget(w.ctx))
			get[int](w)(other.Submit(w.ctx, c, 1))
			get[int](w)(event.Submit(w.ctx, c, 1))
			get[int](w)(event.Submit(w.ctx, c, 1, queue.Delay(10*time.Millisecond)))
			get[int](w)(event.Submit(w.ctx, c, 1, queue.ID("event 7")))

			// maps, what follows, what is shared, links, events, failures
			if _, err := double.MapAll(w.ctx, c, slices.Values(make([]int, 500))); err != nil {
				t.Error(err)
			}
			if _, err := slow.MapAll(w.ctx, c, slices.Values(make([]int, 3)), queue.Chunk(3)); err != nil { // long enough to be put on record
				t.Error(err)
			}
			for _, then := range []queue.Option{queue.Then(double), queue.Then(other), queue.Then(double, queue.ID("next 7"))} {
				get[int](w)(double.Submit(w.ctx, c, 1, then))
			}
			if v := get[int](w)(add.Submit(w.ctx, c, 1, queue.Sharing(41))); v != 42 {
				t.Errorf("with a common argument %d", v)
			}
			get[int](w)(add.Submit(w.ctx, c, 1, queue.Sharing(41)))
			get[int](w)(double.Submit(w.ctx, c, 1, queue.Linked()))
			ef, err := slow.Submit(w.ctx, c, 1)
			w.ok(err)
			for range ef.Events(w.ctx) {
			}
			if _, err := fail.Call(w.ctx, c, 1); !queue.IsTaskError(err) {
				t.Errorf("a failure is %v", err)
			}

			// cancelling: what waits, what runs
			later, err := double.Submit(w.ctx, c, 1, queue.Delay(time.Hour))
			w.ok(err)
			if r, err := later.Cancel(w.ctx); err != nil || r != queue.CancelBeforeStart {
				t.Errorf("cancelled %v, %v", r, err)
			}
			running, err := wait.Submit(w.ctx, c, 1)
			w.ok(err)
			<-entered
			if r, err := running.Cancel(w.ctx, queue.Interrupt()); err != nil || r != queue.CancelInterrupted {
				t.Errorf("cancelled %v, %v", r, err)
			}

			// a pool over it
			dp, err := pool.Distributed(c)
			w.ok(err)
			get[int](w)(double.Submit(w.ctx, dp, 1))
			dp.Close()
			w.ok(dp.Join(w.ctx))

			// recovery: somebody is lost with a task in flight
			lost, err := store.New(w.as(store.RoleConsumer))
			w.ok(err)
			stop()
			line := store.NewLine("default", 0, "")
			w.ok(lost.SignOn(w.ctx, line, "lost", "", 50*time.Millisecond))
			taken, err := double.Submit(w.ctx, c, 21)
			w.ok(err)
			r, err := lost.Take(w.ctx, &store.Turn{Line: line, Consumer: "lost", Number: 1, Want: 1, Lease: 50 * time.Millisecond})
			w.ok(err)
			again, stop := work(cfg)
			if v := get[int](w)(taken, nil); v != 42 {
				t.Errorf("after a loss %d", v)
			}
			if len(r.Tasks) == 1 && again.Stats().Claimed == 0 {
				t.Error("nothing was taken over")
			}
			// forgotten scripts
			w.ok(w.root.ScriptFlush(w.ctx).Err())
			get[int](w)(double.Submit(w.ctx, c, 1))

			// a subscription that was cut: the log is read
			w.ok(w.root.ClientKillByFilter(w.ctx, "TYPE", "pubsub").Err())
			get[int](w)(double.Submit(w.ctx, c, 1))
			for !strings.Contains(w.root.Info(w.ctx, "commandstats").Val(), "cmdstat_xrange:") {
				w.ok(w.ctx.Err())
				time.Sleep(5 * time.Millisecond)
			}

			// looking, as the dashboard and as the admin
			for _, role := range []store.Role{store.RoleDashboard, store.RoleAdmin} {
				s, err := store.New(w.as(role))
				w.ok(err)
				names, err := s.Queues(w.ctx)
				w.ok(err)
				if len(names) != 3 {
					t.Errorf("%s sees the queues %v", role, names)
				}
				for _, name := range []string{"default", "second"} {
					_, _, err := s.Lookup(w.ctx, name)
					w.ok(err)
					_, err = s.Count(w.ctx, store.NewLine(name, 0, ""))
					w.ok(err)
				}
				_, err = s.Groups(w.ctx, "events")
				w.ok(err)
				_, err = s.Count(w.ctx, store.NewLine("events", 0, "billing"))
				w.ok(err)
				_, err = s.Look(w.ctx, line, queue.NewTaskID(0))
				w.ok(err)
			}
			stop()
			w.ok(c.Close())
			admin, err := store.New(w.as(store.RoleAdmin))
			w.ok(err)
			_, err = admin.Declare(w.ctx, "second", queue.Layout{Kind: queue.KindList, Partitions: 4})
			w.ok(err)
			_, err = admin.Cancel(w.ctx, "default", 0, "me.1", queue.Cancellation{}, []queue.TaskID{queue.NewTaskID(0)})
			w.ok(err)
			_, err = admin.Version(w.ctx)
			w.ok(err)
			w.ok(admin.CheckEviction(w.ctx))
			orphan := queue.NewTaskID(0)
			w.ok(w.root.HSet(w.ctx, "cenote:{second}:tasks", string(orphan[:]), "an orphan").Err())
			w.ok(w.root.ZAdd(w.ctx, "cenote:{second}:due", redis.Z{Score: 1, Member: "0123456789abcdef"}).Err())
			audit, err := admin.Audit(w.ctx, store.AuditOptions{Repair: true})
			w.ok(err)
			if audit.Mended != 2 {
				t.Errorf("the admin has repaired %+v, want two things", audit)
			}
			w.ok(admin.Drop(w.ctx, "second"))

			w.replicated("default")
			w.allUsed(queues)
			if denied := slices.DeleteFunc(w.denials(), tolerated); len(denied) > 0 {
				t.Errorf("denied:\n%s", strings.Join(denied, "\n"))
			}
		})
	}
}

// replicated submits and claims a task as who waits for a replica.
func (w *town) replicated(name string) {
	w.t.Helper()
	redistest.StartReplica(w.t, w.server)
	waiting := func(role store.Role) *store.Store {
		s, err := store.New(w.as(role))
		w.ok(err)
		s, err = s.Replicated(1)
		w.ok(err)
		return s
	}
	m := &queue.Message{ID: queue.NewTaskID(0), Type: "t", Queue: name}
	_, err := waiting(store.RoleProducer).Submit(w.ctx, &store.Batch{Queue: name, Kind: queue.KindList, From: "p", Number: 1, Items: []store.Item{{Msg: m, Wire: m.AppendWire(nil)}}})
	w.ok(err)
	c, line := waiting(store.RoleConsumer), store.NewLine(name, 0, "")
	w.ok(c.SignOn(w.ctx, line, "c", "", time.Minute))
	got, err := c.Take(w.ctx, &store.Turn{Line: line, Consumer: "c", Number: 1, Want: 1, Lease: time.Minute})
	w.ok(err)
	if len(got.Tasks) != 1 {
		w.t.Errorf("%d tasks are claimed, want the one that was submitted", len(got.Tasks))
	}
}

// denied is how the server says so, in a script and outside.
var denied = regexp.MustCompile("^NOPERM|The user executing the script can't|ACL failure in script|Write commands are not allowed from read-only")

// TestUsersCannotDoMore tries what each role must not do.
func TestUsersCannotDoMore(t *testing.T) {
	w := found(t, "mine")
	root := "cenote:{mine}:"
	w.ok(w.root.HSet(w.ctx, root+"tasks", "x", "y").Err())
	w.ok(w.root.RPush(w.ctx, root+"ready:1", "x").Err())
	line := store.NewLine("mine", 0, "")
	claim := func(s *store.Store) error {
		_, err := s.Take(w.ctx, &store.Turn{Line: line, Consumer: "c", Number: 1, Want: 1, Lease: time.Minute})
		return err
	}
	dangerous := []string{
		"FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG SET maxmemory 1", "SHUTDOWN NOSAVE", "ACL LIST", "ACL WHOAMI", "MONITOR", "CLIENT LIST", "CLIENT KILL TYPE normal",
		"REPLICAOF NO ONE", "MODULE LIST", "SCRIPT FLUSH", "FUNCTION LIST", "SAVE", "LATENCY RESET", "SWAPDB 0 1", "RESTORE " + root + "x 0 y", "DUMP " + root + "tasks", "MIGRATE h 1 k 0 1",
		"RENAME " + root + "tasks " + root + "t", "EVAL return(redis.call('FLUSHALL')) 0",
		"GET cenote:{yours}:conf", "SET cenote:{yours}:conf x", "HGETALL cenote:{yours}:tasks", "GET anything", "SET anything x", "SUBSCRIBE cenote:{yours}:reply:x", "PUBLISH cenote:{yours}:reply:x y",
		"EVAL return(redis.call('GET','anything')) 0",
	}
	tries := map[store.Role][]string{
		store.RoleProducer:  {"BLMOVE " + root + "bell " + root + "taken:c LEFT RIGHT 0.01", "LPOP " + root + "ready:1", "HDEL " + root + "run:c x", "HSET " + root + "run:c # 1", "RPUSH " + root + "taken:c x", "ZADD " + root + "dead 1 x", "CONFIG GET *", "SMEMBERS cenote:queues", "GET cenote:link:x", "DEL cenote:queues", "INFO", "SCAN 0"},
		store.RoleConsumer:  {"SCAN 0", "CONFIG GET *", "SMEMBERS cenote:queues", "SET cenote:link:x off", "DEL cenote:queues", "INFO", "SCRIPT LOAD x"},
		store.RoleDashboard: {"SCAN 0", "SET " + root + "conf x", "DEL " + root + "tasks", "HSET " + root + "tasks x y", "EVAL return(redis.call('DEL',KEYS[1])) 1 " + root + "tasks", "EVAL_RO return(redis.call('DEL',KEYS[1])) 1 " + root + "tasks", "PUBLISH " + root + "reply:x y", "SUBSCRIBE " + root + "reply:x", "CONFIG GET *", "SADD cenote:queues x"},
		store.RoleAdmin:     {"BLMOVE " + root + "bell " + root + "taken:c LEFT RIGHT 0.01", "LPOP " + root + "ready:1"},
	}
	for _, role := range store.Roles {
		c := w.as(role)
		for _, text := range append(slices.Clone(dangerous), tries[role]...) {
			var args []any
			for _, word := range strings.Fields(text) {
				args = append(args, word)
			}
			if _, err := c.Do(w.ctx, args...).Result(); err == nil || !denied.MatchString(err.Error()) {
				t.Errorf("%s: %s: %v; want it denied", role, text, err)
			}
		}
		s, err := store.New(c)
		w.ok(err)
		if role == store.RoleConsumer {
			w.ok(s.SignOn(w.ctx, line, "c", "", time.Minute))
			continue
		}
		if err := claim(s); !errors.Is(err, queue.ErrDenied) && !errors.Is(err, store.ErrLapsed) {
			t.Errorf("%s: a claim: %v", role, err)
		}
		if err := s.SignOn(w.ctx, line, "c", "", time.Minute); !errors.Is(err, queue.ErrDenied) {
			t.Errorf("%s: signs on: %v", role, err)
		}
		if role == store.RoleDashboard {
			if _, err := s.Declare(w.ctx, "mine", queue.Layout{Kind: queue.KindList}); !errors.Is(err, queue.ErrDenied) {
				t.Errorf("%s: declares: %v", role, err)
			}
			if _, err := s.Submit(w.ctx, &store.Batch{Queue: "mine", Kind: queue.KindList, From: "p", Number: 1}); !errors.Is(err, queue.ErrDenied) {
				t.Errorf("%s: submits: %v", role, err)
			}
		}
	}
	// In the name of a consumer that is signed on.
	for _, role := range []store.Role{store.RoleProducer, store.RoleDashboard, store.RoleAdmin} {
		s, err := store.New(w.as(role))
		w.ok(err)
		if err := claim(s); !errors.Is(err, queue.ErrDenied) {
			t.Errorf("%s: a claim as somebody else: %v", role, err)
		}
		if role == store.RoleAdmin { // who repairs may strike a consumer off
			continue
		}
		if _, err := s.Leave(w.ctx, line, "c"); !errors.Is(err, queue.ErrDenied) {
			t.Errorf("%s: signs somebody off: %v", role, err)
		}
	}
	if n := w.root.LLen(w.ctx, root+"ready:1").Val(); n != 1 {
		t.Errorf("%d tasks are ready, want 1", n)
	}
}
