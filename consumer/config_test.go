package consumer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/queue"
)

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}) // New does not talk to it
	t.Cleanup(func() { _ = rdb.Close() })
	ok := []queue.Route{double.Handler(twice)}
	one := func(q consumer.Queue) consumer.Config {
		return consumer.Config{Concurrency: 1, Queues: []consumer.Queue{q}}
	}
	tests := []struct {
		name   string
		rdb    redis.UniversalClient
		cfg    consumer.Config
		routes []queue.Route
		want   error
	}{
		{"no concurrency", rdb, consumer.Config{}, ok, queue.ErrOption},
		{"negative concurrency", rdb, consumer.Config{Concurrency: -1}, ok, queue.ErrOption},
		{"no client", nil, consumer.Config{Concurrency: 1}, ok, queue.ErrOption},
		{"no handlers", rdb, consumer.Config{Concurrency: 1}, nil, queue.ErrOption},
		{"two handlers for one type", rdb, consumer.Config{Concurrency: 1}, append(ok, double.Handler(twice)), queue.ErrOption},
		{"nil handler", rdb, consumer.Config{Concurrency: 1}, []queue.Route{double.Handler(nil)}, queue.ErrOption},
		{"bad task type", rdb, consumer.Config{Concurrency: 1}, []queue.Route{queue.NewTask[int, int]("a b").Handler(twice)}, queue.ErrName},
		{"bad queue name", rdb, one(consumer.Queue{Name: "{a}"}), ok, queue.ErrName},
		{"empty queue name", rdb, one(consumer.Queue{}), ok, queue.ErrName},
		{"bad group name", rdb, one(consumer.Queue{Name: "a", Group: "g/h"}), ok, queue.ErrName},
		{"negative weight", rdb, one(consumer.Queue{Name: "a", Weight: -1}), ok, queue.ErrOption},
		{"queue twice", rdb, consumer.Config{Concurrency: 1, Queues: []consumer.Queue{{Name: "a"}, {Name: "a", Weight: 2}}}, ok, queue.ErrOption},
		{"short lease", rdb, consumer.Config{Concurrency: 1, Lease: 999 * time.Millisecond}, ok, queue.ErrOption},
		{"short sweep", rdb, consumer.Config{Concurrency: 1, Sweep: time.Millisecond}, ok, queue.ErrOption},
		{"negative crashes", rdb, consumer.Config{Concurrency: 1, MaxCrashes: -1}, ok, queue.ErrOption},
		{"negative dead time", rdb, consumer.Config{Concurrency: 1, KeepDead: -1}, ok, queue.ErrOption},
		{"negative message size", rdb, consumer.Config{Concurrency: 1, MaxMessage: -1}, ok, queue.ErrOption},
	}
	for _, test := range tests {
		if w, err := consumer.New(test.rdb, test.cfg, test.routes...); !errors.Is(err, test.want) || w != nil {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	if _, err := consumer.New(rdb, consumer.Config{Concurrency: 1}, ok...); err != nil {
		t.Errorf("the smallest configuration: %v", err)
	}
}

func TestRunSaysAtOnceWhatIsWrongWithRedis(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, o *redis.Options) error {
		t.Helper()
		rdb := redis.NewClient(o)
		t.Cleanup(func() { _ = rdb.Close() })
		w, err := consumer.New(rdb, consumer.Config{Concurrency: 1}, double.Handler(twice))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		return w.Run(ctx)
	}
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t)
		s.Kill()
		if err := run(t, s.Options()); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("error %v, want ErrUnavailable", err)
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		t.Parallel()
		o := redistest.Start(t, "--requirepass", "secret").Options()
		for _, p := range []string{"", "guess"} {
			o.Password = p
			if err := run(t, o); !errors.Is(err, queue.ErrUnauthorized) {
				t.Errorf("password %q: error %v, want ErrUnauthorized", p, err)
			}
		}
	})
	t.Run("queue of another kind", func(t *testing.T) {
		t.Parallel()
		b := onRedis(t)
		if _, err := b.x.Declare(b.ctx, "default", queue.Layout{Kind: queue.KindStream}); err != nil {
			t.Fatal(err)
		}
		if err := run(t, b.server.Options()); !errors.Is(err, queue.ErrQueueKind) {
			t.Errorf("error %v, want ErrQueueKind", err)
		}
	})
}

func TestRedisThatEvictsIsRefused(t *testing.T) {
	t.Parallel()
	b := onRedis(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	w, err := consumer.New(b.rdb, consumer.Config{Concurrency: 1}, double.Handler(twice))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(b.ctx); !errors.Is(err, queue.ErrEvicts) {
		t.Errorf("error %v, want ErrEvicts", err)
	}
	b.work(consumer.Config{Concurrency: 1, AllowEviction: true}, double.Handler(twice))
	if got := value(b, submit(b, double, 2)); got != 4 {
		t.Errorf("value %d", got)
	}
}
