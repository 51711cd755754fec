package consumer_test

import (
	"bytes"
	"context"
	"encoding"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/seal"
)

func sealOf(t testing.TB, fill byte, change ...func(*seal.Config)) *seal.Seal {
	t.Helper()
	k, err := seal.NewKey(fmt.Sprint("k", fill), bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	cfg := seal.Config{Keys: []seal.Key{k}}
	for _, c := range change {
		c(&cfg)
	}
	s, err := seal.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sealed makes a producer that seals.
func (b *bed) sealed(s *seal.Seal) *producer.Client {
	b.t.Helper()
	x, err := producer.New(b.rdb, producer.Seal(s))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = x.Close() })
	return x
}

// eavesdropper looks for a text in all that a client sends and receives.
type eavesdropper struct {
	text string
	mu   sync.Mutex
	seen []string
	sent int
}

func (e *eavesdropper) look(at string, v any) {
	var text string
	switch v := v.(type) {
	case []byte:
		text = string(v)
	case encoding.BinaryMarshaler:
		data, _ := v.MarshalBinary()
		text = string(data)
	default:
		text = fmt.Sprint(v)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sent++
	if strings.Contains(text, e.text) {
		e.seen = append(e.seen, fmt.Sprintf("%s: %.80q", at, text))
	}
}

func (e *eavesdropper) DialHook(next redis.DialHook) redis.DialHook { return next }
func (e *eavesdropper) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (e *eavesdropper) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		for _, a := range cmd.Args() {
			e.look(cmd.Name(), a)
		}
		return next(ctx, cmd)
	}
}

const secret = "xyzzy-the-secret"

var errSecret = errors.New("failed with " + secret)

// Everything that the API does with contents works sealed, and none of them is ever
// sent to Redis as it is.
func TestSealedTasksWorkLikeOthers(t *testing.T) {
	echo := queue.NewTask[string, string]("echo")
	far := queue.NewTask[string, string]("far", queue.On("other"))
	fail := queue.NewTask[string, string]("fail", queue.Retries(1), queue.Spaced(queue.Backoff{Base: time.Millisecond}), queue.Sentinel("secret", errSecret))
	prefix := queue.NewTask[string, string]("prefix")
	talk := queue.NewTask[string, string]("talk")
	onBoth(t, func(t *testing.T, b *bed) {
		e := &eavesdropper{text: secret}
		b.rdb.AddHook(e)
		s := sealOf(t, 1)
		b.x = b.sealed(s)
		followed := make(chan string, 10)
		listening := make(chan struct{})
		b.work(consumer.Config{Concurrency: 4, Queues: both(), Seal: s},
			echo.Handler(func(_ context.Context, v string) (string, error) { return v + "!", nil }),
			far.Handler(func(_ context.Context, v string) (string, error) { followed <- v; return v, nil }),
			fail.Handler(func(context.Context, string) (string, error) { return "", errSecret }),
			prefix.Handler(func(ctx context.Context, v string) (string, error) {
				p, err := queue.Common[string](ctx)
				return p + v, err
			}),
			talk.Handler(func(ctx context.Context, v string) (string, error) {
				for { // until somebody listens
					queue.Logf(ctx, "%s", secret)
					select {
					case <-listening:
						return v, nil
					case <-ctx.Done():
						return "", context.Cause(ctx)
					case <-time.After(10 * time.Millisecond):
					}
				}
			}))
		if got := value(b, submit(b, echo, secret)); got != secret+"!" {
			t.Errorf("value %q", got)
		}
		if _, err := submit(b, fail, secret).Get(b.ctx); !errors.Is(err, errSecret) {
			t.Errorf("error %v", err)
		}
		items := make([]string, 100)
		for i := range items {
			items[i] = fmt.Sprint(secret, i)
		}
		got, err := echo.MapAll(b.ctx, b.x, slices.Values(items), queue.Chunk(10))
		if err != nil || len(got) != 100 || got[99] != secret+"99!" {
			t.Errorf("map %d, %v", len(got), err)
		}
		if got := value(b, submit(b, prefix, "-1", queue.Sharing(secret))); got != secret+"-1" {
			t.Errorf("with a common argument: %q", got)
		}
		submit(b, echo, secret, queue.Then(far, queue.NoReply()))
		submit(b, echo, secret, queue.Then(echo, queue.Then(far)))
		for _, want := range []string{"!", "!!"} {
			select {
			case got := <-followed:
				if !strings.HasPrefix(got, secret+"!") {
					t.Errorf("followed with %q, want %s%s", got, secret, want)
				}
			case <-b.ctx.Done():
				t.Fatal("nothing followed")
			}
		}
		f := submit(b, echo, secret, queue.ID("order-7"))
		value(b, f)
		again := must[*queue.Future[string]](b)(echo.Open(b.ctx, b.sealed(s), f.ID()))
		if got := value(b, again); got != secret+"!" {
			t.Errorf("opened %q", got)
		}
		if got := value(b, submit(b, echo, secret, queue.ID("order-7"))); got != secret+"!" {
			t.Errorf("submitted again: %q", got)
		}
		if got := value(b, submit(b, echo, secret, queue.Delay(20*time.Millisecond))); got != secret+"!" {
			t.Errorf("delayed: %q", got)
		}
		later := submit(b, echo, secret, queue.Delay(time.Hour))
		if ok, err := later.Cancel(b.ctx); err != nil || ok != queue.CancelBeforeStart {
			t.Errorf("cancelled: %v, %v", ok, err)
		}
		if _, err := later.Get(b.ctx); !errors.Is(err, queue.ErrCancelled) {
			t.Errorf("cancelled: %v", err)
		}
		tf := submit(b, talk, "x")
		var once sync.Once
		heard := ""
		for ev := range tf.Events(b.ctx) {
			heard = ev.Text
			once.Do(func() { close(listening) })
		}
		if heard != secret {
			t.Errorf("heard %q", heard)
		}
		look := must[store.Task](b)(must[*store.Store](b)(store.New(b.rdb)).Look(b.ctx, store.NewLine("default", 0, ""), f.ID()))
		if look.Outcome == nil || look.Outcome.Sealed == nil || bytes.Contains(look.Outcome.Value, []byte(secret)) {
			t.Errorf("the kept outcome is %+v", look.Outcome)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if len(e.seen) > 0 || e.sent < 100 {
			t.Errorf("of %d arguments that were sent these show the secret: %v", e.sent, e.seen)
		}
	})
}

// A worker with keys runs nothing that was not sealed for this task, tells whoever seems
// to wait, and goes on.
func TestWhatIsNotSealedAsItShouldIsSetAside(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		good, other := sealOf(t, 1), sealOf(t, 2)
		msg := func(name string) *queue.Message {
			return &queue.Message{ID: queue.NewTaskID(0), Queue: name, Type: "count", Payload: []byte{1}, Retries: 5, ReplyTo: "nobody", Headers: map[string]string{"tenant": "a"}}
		}
		own := func(m *queue.Message) (queue.TaskID, []byte) { return m.ID, good.Message(m).AppendWire(nil) }
		bad := map[queue.TaskID]string{}
		add := func(what string, id queue.TaskID, wire []byte) {
			bad[id] = what
			b.inject(id, string(wire))
		}
		m := msg("default")
		add("unsealed", m.ID, m.AppendWire(nil))
		m = msg("default")
		add("of another key", m.ID, other.Message(m).AppendWire(nil))
		_, wire := own(msg("default"))
		add("of another task", queue.NewTaskID(0), wire)
		id, wire := own(msg("other"))
		add("of another queue", id, wire)
		id, wire = own(msg("default"))
		add("of another type", id, bytes.Replace(wire, []byte("count"), []byte("coins"), 1))
		id, wire = own(msg("default"))
		add("of another header", id, bytes.Replace(wire, []byte("tenant\xa1a"), []byte("tenant\xa1b"), 1))
		id, wire = own(msg("default"))
		add("of another waiter", id, bytes.Replace(wire, []byte("nobody"), []byte("mallet"), 1))
		id, wire = own(msg("default"))
		add("without its version", id, append([]byte{1}, wire[1:]...))

		var ran atomic.Int32
		count := queue.NewTask[int, int]("count", queue.Retries(5))
		coins := queue.NewTask[int, int]("coins", queue.Retries(5))
		run := func(_ context.Context, n int) (int, error) { ran.Add(1); return n, nil }
		w := b.work(consumer.Config{Concurrency: 2, Seal: good}, count.Handler(run), coins.Handler(run))
		b.until("the bad ones to be dead", func() bool { return b.rdb.ZCard(b.ctx, root+"dead").Val() == int64(len(bad)) })
		for _, x := range []*producer.Client{b.x, b.sealed(other)} {
			if _, err := count.Call(b.ctx, x, 1); !errors.Is(err, queue.ErrUnauthenticated) {
				t.Errorf("a producer without the key got %v", err)
			}
		}
		if n := ran.Load(); n != 0 {
			t.Errorf("%d of them ran", n)
		}
		if n, err := count.Call(b.ctx, b.sealed(good), 4); n != 4 || err != nil {
			t.Errorf("after that: %d, %v", n, err)
		}
		if s := w.Stats(); s.Retried != 0 || s.Dead != int64(len(bad)+2) {
			t.Errorf("stats %+v", s)
		}
		st := must[*store.Store](b)(store.New(b.rdb))
		for id, what := range bad {
			task := must[store.Task](b)(st.Look(b.ctx, store.NewLine("default", 0, ""), id))
			if task.State != queue.StateDead || task.Outcome == nil {
				t.Fatalf("%s: %+v", what, task)
			}
			if task.Outcome.Sealed != nil {
				if err := good.OpenOutcome("default", task.Outcome); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
			}
			if task.Outcome.Err == nil || task.Outcome.Err.Kind != "unauthenticated" {
				t.Errorf("%s: %+v, %+v", what, task.Outcome, task.Outcome.Err)
			}
		}
	})
}

func TestAWorkerWithoutKeysSetsSealedTasksAside(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		b.work(consumer.Config{Concurrency: 1}, double.Handler(twice))
		_, err := double.Call(b.ctx, b.sealed(sealOf(t, 1)), 1)
		if !errors.Is(err, queue.ErrUnauthenticated) {
			t.Errorf("error %v", err)
		}
		if got := value(b, submit(b, double, 4)); got != 8 {
			t.Errorf("value %d", got)
		}
	})
}

// A producer with keys believes nothing that no worker with keys has said of this task.
func TestForgedOutcomesAreRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		s := sealOf(t, 1)
		x := b.sealed(s)
		w := b.work(consumer.Config{Concurrency: 1, Seal: s}, double.Handler(twice))
		real := must[*queue.Future[int]](b)(double.Submit(b.ctx, x, 4, queue.Keep(time.Hour)))
		value(b, real)
		w.stop()
		kept := must[[]byte](b)(b.rdb.Get(b.ctx, root+"result:"+string(idOf(real.ID()))).Bytes())
		for what, forge := range map[string]func(id queue.TaskID) []byte{
			"plain": func(id queue.TaskID) []byte {
				return (&queue.Outcome{ID: id, State: queue.StateSucceeded, Attempt: 1, Value: []byte{1}}).AppendWire(nil)
			},
			"of another key": func(id queue.TaskID) []byte {
				return sealOf(t, 2).Outcome("default", &queue.Outcome{ID: id, State: queue.StateSucceeded, Attempt: 1, Value: []byte{1}}).AppendWire(nil)
			},
			"of another task": func(id queue.TaskID) []byte { return bytes.Replace(kept, idOf(real.ID()), idOf(id), 1) },
		} {
			f := must[*queue.Future[int]](b)(double.Submit(b.ctx, x, 4))
			var log string
			b.until("the reply address", func() bool {
				m, err := queue.ParseMessage([]byte(b.rdb.HGet(b.ctx, root+"tasks", string(idOf(f.ID()))).Val()))
				if err == nil {
					log = root + "reply:" + m.ReplyTo
				}
				return err == nil
			})
			if err := b.rdb.Publish(b.ctx, log, string(forge(f.ID()))).Err(); err != nil {
				t.Fatal(err)
			}
			if got, err := f.Get(b.ctx); !errors.Is(err, queue.ErrUnauthenticated) {
				t.Errorf("%s: %d, %v", what, got, err)
			}
			// One that is kept, of a task that is gone.
			gone := queue.NewTaskID(0)
			b.rdb.Set(b.ctx, root+"result:"+string(gone[:]), forge(gone), 0)
			if _, err := double.Open(b.ctx, x, gone); !errors.Is(err, queue.ErrUnauthenticated) {
				t.Errorf("%s, kept: %v", what, err)
			}
		}
		gone := queue.NewTaskID(0)
		b.rdb.Set(b.ctx, root+"result:"+string(gone[:]), kept, 0)
		if _, err := double.Open(b.ctx, x, gone); err == nil {
			t.Error("the outcome of one task was taken for that of another")
		}
	})
}

func idOf(id queue.TaskID) []byte { return id[:] }

// A sealed chunk that is handed on goes on where it was, and what is on record of it
// cannot be read.
func TestASealedChunkGoesOnWhereItWas(t *testing.T) {
	slow := queue.NewTask[string, string]("slow")
	onBoth(t, func(t *testing.T, b *bed) {
		s := sealOf(t, 1)
		x := b.sealed(s)
		var mu sync.Mutex
		runs := map[string]int{}
		hold := make(chan struct{})
		handler := slow.Handler(func(ctx context.Context, v string) (string, error) {
			mu.Lock()
			runs[v]++
			first := runs[v] == 1
			mu.Unlock()
			if v != secret+"9" {
				time.Sleep(60 * time.Millisecond)
				return v, nil
			}
			if first {
				close(hold)
				<-ctx.Done()
				return "", context.Cause(ctx)
			}
			return v, nil
		})
		cfg := consumer.Config{Concurrency: 1, Seal: s, Lease: time.Second, Sweep: 100 * time.Millisecond, Grace: -1}
		b.work(cfg, handler)
		items := make([]string, 10)
		for i := range items {
			items[i] = fmt.Sprint(secret, i)
		}
		got := make(chan error, 1)
		go func() {
			out, err := slow.MapAll(b.ctx, x, slices.Values(items), queue.Chunk(10))
			if err == nil && !slices.Equal(out, items) {
				err = fmt.Errorf("values %v", out)
			}
			got <- err
		}()
		b.wait("the last item", hold)
		parts := must[[]string](b)(b.rdb.Keys(b.ctx, root+"part:*").Result())
		if len(parts) != 1 || strings.Contains(b.rdb.Get(b.ctx, parts[0]).Val(), secret) {
			t.Errorf("on record is %q", parts)
		}
		name := b.consumers()[0]
		b.work(cfg, handler)
		b.until("the first worker to be taken for lost", func() bool {
			b.rdb.ZAddXX(b.ctx, root+"alive", redis.Z{Score: 1, Member: name})
			return !slices.Contains(b.consumers(), name)
		})
		if err := <-got; err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if runs[secret+"0"] != 1 {
			t.Errorf("the first item ran %d times: nothing was taken over", runs[secret+"0"])
		}
	})
}
