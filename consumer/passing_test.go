package consumer_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/queue"
)

// Whatever a Redis says that is busy with itself, a worker and a producer go on when
// it is over: their turns, their bells, their heartbeats and their subscriptions.
func TestWorkerOutlivesWhateverRedisSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		says string
		want error
	}{
		{"MOVED 3999 127.0.0.1:6381", queue.ErrUnavailable},
		{"ASK 3999 127.0.0.1:6381", queue.ErrUnavailable},
		{"TRYAGAIN Multiple keys request during rehashing of slot", queue.ErrUnavailable},
		{"CLUSTERDOWN The cluster is down", queue.ErrUnavailable},
		{"READONLY You can't write against a read only replica.", queue.ErrUnavailable},
		{"LOADING Redis is loading the dataset in memory", queue.ErrUnavailable},
		{"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", queue.ErrUnavailable},
		{"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", queue.ErrUnavailable},
		{"NOREPLICAS Not enough good replicas to write.", queue.ErrUnreplicated},
		{"MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist to disk.", queue.ErrStoreFull},
		{"OOM command not allowed when used memory > 'maxmemory'.", queue.ErrStoreFull},
		{"NOGROUP No such key or consumer group", nil},
		{"ERR something else", nil},
	} {
		code, _, _ := strings.Cut(c.says, " ")
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			m := redistest.Mini(t)
			b := newBed(t, nil, m.Client())
			w := b.work(consumer.Config{Concurrency: 2, Lease: time.Second}, double.Handler(twice))
			if got := value(b, submit(b, double, 1)); got != 2 {
				t.Errorf("value %d", got)
			}
			for range 2 {
				lapsed := w.Stats().Lapsed // before: a submission may take longer than a lease
				m.SetError(c.says)
				_, err := double.Submit(b.ctx, b.x, 5)
				if err == nil || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("a submission meanwhile: %v, want %v", err, c.want)
				}
				b.until("the worker to give its lease up", func() bool { return w.Stats().Lapsed > lapsed })
				m.SetError("")
				if got := value(b, submit(b, double, 21)); got != 42 {
					t.Errorf("value %d", got)
				}
			}
			w.stop()
		})
	}
}
