package security_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// work does all that the API does with queues, as users of the roles. It may be called
// again.
func (w *town) work() {
	w.t.Helper()
	w.round++
	entered := make(chan struct{}, 10)
	cfg := serving()
	c, err := producer.New(w.as(store.RoleProducer))
	w.ok(err)
	_, err = c.Declare(w.ctx, "second", queue.Layout{Partitions: 3})
	w.ok(err)
	_, stop := w.serve(cfg, entered)

	// submit, bulk, delay, priority, keys, streams
	if v := get[int](w)(double.Submit(w.ctx, c, 4)); v != 8 {
		w.t.Errorf("value %d", v)
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
		w.t.Error(err)
	}
	if _, err := slow.MapAll(w.ctx, c, slices.Values(make([]int, 3)), queue.Chunk(3)); err != nil { // long enough to be put on record
		w.t.Error(err)
	}
	for _, then := range []queue.Option{queue.Then(double), queue.Then(other), queue.Then(double, queue.ID("next 7"))} {
		get[int](w)(double.Submit(w.ctx, c, 1, then))
	}
	if v := get[int](w)(add.Submit(w.ctx, c, 1, queue.Sharing(41))); v != 42 {
		w.t.Errorf("with a common argument %d", v)
	}
	get[int](w)(add.Submit(w.ctx, c, 1, queue.Sharing(41)))
	get[int](w)(double.Submit(w.ctx, c, 1, queue.Linked()))
	ef, err := slow.Submit(w.ctx, c, 1)
	w.ok(err)
	for range ef.Events(w.ctx) {
	}
	if _, err := fail.Call(w.ctx, c, 1); !queue.IsTaskError(err) {
		w.t.Errorf("a failure is %v", err)
	}

	// cancelling: what waits, what runs
	later, err := double.Submit(w.ctx, c, 1, queue.Delay(time.Hour))
	w.ok(err)
	if r, err := later.Cancel(w.ctx); err != nil || r != queue.CancelBeforeStart {
		w.t.Errorf("cancelled %v, %v", r, err)
	}
	running, err := wait.Submit(w.ctx, c, 1)
	w.ok(err)
	<-entered
	if r, err := running.Cancel(w.ctx, queue.Interrupt()); err != nil || r != queue.CancelInterrupted {
		w.t.Errorf("cancelled %v, %v", r, err)
	}

	// a pool over it
	dp, err := pool.Distributed(c)
	w.ok(err)
	get[int](w)(double.Submit(w.ctx, dp, 1))
	dp.Close()
	w.ok(dp.Join(w.ctx))

	// recovery: somebody is lost with a task in flight
	lost, name := w.storeOf(store.RoleConsumer), fmt.Sprint("lost", w.round)
	stop()
	line := store.NewLine("default", 0, "")
	w.ok(lost.SignOn(w.ctx, line, name, "", 50*time.Millisecond))
	taken, err := double.Submit(w.ctx, c, 21)
	w.ok(err)
	r, err := lost.Take(w.ctx, &store.Turn{Line: line, Consumer: name, Number: 1, Want: 1, Lease: 50 * time.Millisecond})
	w.ok(err)
	// a long backlog, with tasks that come without a script
	var piled []*queue.Future[int]
	for range 106 {
		f, err := double.Submit(w.ctx, c, 2)
		w.ok(err)
		piled = append(piled, f)
	}
	for _, role := range []store.Role{store.RoleDashboard, store.RoleAdmin} {
		k, err := w.storeOf(role).Look(w.ctx, line, piled[103].ID())
		w.ok(err)
		if k.State != queue.StateReady {
			w.t.Errorf("%s sees a task that waits as %v", role, k.State)
		}
	}
	opened, err := double.Open(w.ctx, c, piled[104].ID())
	w.ok(err)
	if r, err := piled[105].Cancel(w.ctx); err != nil || r != queue.CancelBeforeStart {
		w.t.Errorf("cancelled %v, %v", r, err)
	}
	again, stop := w.serve(cfg, entered)
	for _, f := range append(piled[:105], opened) {
		if v := get[int](w)(f, nil); v != 4 {
			w.t.Errorf("after a long wait %d", v)
		}
	}
	if v := get[int](w)(taken, nil); v != 42 {
		w.t.Errorf("after a loss %d", v)
	}
	if len(r.Tasks) == 1 && again.Stats().Claimed == 0 {
		w.t.Error("nothing was taken over")
	}
	// forgotten scripts
	for _, n := range w.nodes {
		w.ok(n.ScriptFlush(w.ctx).Err())
	}
	get[int](w)(double.Submit(w.ctx, c, 1))

	// a subscription that was cut: the log is read
	before := w.calls("xrange")
	for _, n := range w.nodes {
		w.ok(n.ClientKillByFilter(w.ctx, "TYPE", "pubsub").Err())
	}
	get[int](w)(double.Submit(w.ctx, c, 1))
	w.eventually("the log to be read", func() bool { return w.calls("xrange") > before })

	// looking, as the dashboard and as the admin
	for _, role := range []store.Role{store.RoleDashboard, store.RoleAdmin} {
		s := w.storeOf(role)
		names, err := s.Queues(w.ctx)
		w.ok(err)
		if len(names) != 3 {
			w.t.Errorf("%s sees the queues %v", role, names)
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
	admin := w.storeOf(store.RoleAdmin)
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
	forever := []string{"cenote:link:gone", store.SharedRoot("value", "gone") + ":from:me", "cenote:stray"}
	for _, key := range forever {
		w.ok(w.root.Set(w.ctx, key, "x", 0).Err())
	}
	audit, err := admin.Audit(w.ctx, store.AuditOptions{Repair: true})
	w.ok(err)
	if audit.Mended != 4 {
		w.t.Errorf("the admin has repaired %+v, want four things", audit)
	}
	for _, key := range forever {
		w.ok(w.root.Del(w.ctx, key).Err())
	}
	w.ok(admin.Drop(w.ctx, "second"))
}

// replicated submits and claims a task as who waits for a replica.
func (w *town) replicated(name string) {
	w.t.Helper()
	waiting := func(role store.Role) *store.Store {
		s, err := w.storeOf(role).Replicated(1)
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
