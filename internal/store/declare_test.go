package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

func TestDeclare(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		list := func(parts int) queue.Layout {
			return queue.Layout{Kind: queue.KindList, Partitions: parts, Retention: -1}
		}
		stream := func(keep time.Duration) queue.Layout { return queue.Layout{Kind: queue.KindStream, Retention: keep} }
		for _, c := range []struct {
			what, name string
			ask        queue.Layout
			got        queue.Layout
			err        error
		}{
			{"first use", "a", list(0), queue.Layout{Kind: queue.KindList, Partitions: 1}, nil},
			{"partitions grow", "a", list(4), queue.Layout{Kind: queue.KindList, Partitions: 4}, nil},
			{"taken as they are", "a", list(0), queue.Layout{Kind: queue.KindList, Partitions: 4}, nil},
			{"partitions do not shrink", "a", list(2), queue.Layout{Kind: queue.KindList, Partitions: 4}, queue.ErrOption},
			{"another kind", "a", stream(0), queue.Layout{Kind: queue.KindList, Partitions: 4}, queue.ErrQueueKind},
			{"nothing changed", "a", list(4), queue.Layout{Kind: queue.KindList, Partitions: 4}, nil},
			{"a stream", "b", stream(time.Hour), queue.Layout{Kind: queue.KindStream, Partitions: 1, Retention: time.Hour}, nil},
			{"retention is kept", "b", stream(-1), queue.Layout{Kind: queue.KindStream, Partitions: 1, Retention: time.Hour}, nil},
			{"retention is changed", "b", stream(0), queue.Layout{Kind: queue.KindStream, Partitions: 1}, nil},
			{"a list of it", "b", list(0), queue.Layout{Kind: queue.KindStream, Partitions: 1}, queue.ErrQueueKind},
			{"a wrong name", "a b", list(0), queue.Layout{}, queue.ErrName},
			{"a name with a brace", "{a}", list(0), queue.Layout{}, queue.ErrName},
			{"too many partitions", "c", list(queue.MaxPartitions + 1), queue.Layout{}, queue.ErrOption},
			{"negative partitions", "c", list(-1), queue.Layout{}, queue.ErrOption},
		} {
			got, err := b.s.Declare(b.ctx(), c.name, c.ask)
			if got != c.got || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("%s: %+v, %v; want %+v, %v", c.what, got, err, c.got, c.err)
			}
		}
		names, err := b.s.Queues(b.ctx())
		slices.Sort(names)
		if err != nil || !slices.Equal(names, []string{"a", "b"}) {
			t.Errorf("queues: %v, %v", names, err)
		}
		l, ok, err := b.s.Lookup(b.ctx(), "a")
		if err != nil || !ok || l.Partitions != 4 || l.Kind != queue.KindList {
			t.Errorf("lookup: %+v, %v, %v", l, ok, err)
		}
		if _, ok, err := b.s.Lookup(b.ctx(), "c"); ok || err != nil {
			t.Errorf("lookup of a queue that nobody declared: %v, %v", ok, err)
		}
	})
}

func TestKindErrorsSayWhatToDo(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		if _, err := b.s.Declare(b.ctx(), "a", queue.Layout{Kind: queue.KindList}); err != nil {
			t.Fatal(err)
		}
		_, err := b.s.Declare(b.ctx(), "a", queue.Layout{Kind: queue.KindStream})
		for _, part := range []string{`"a"`, "list", "stream", "another name"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not say %q", err, part)
			}
		}
	})
}

func TestRootsHaveHashTagsOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range []string{"a", "b", "a:b"} {
		for part := range uint16(3) {
			r := store.Root(name, part)
			tag := r[strings.IndexByte(r, '{')+1 : strings.IndexByte(r, '}')]
			if seen[tag] || tag == "" {
				t.Errorf("%s shares its hash tag %q with another root", r, tag)
			}
			seen[tag] = true
		}
	}
}

func TestAStoreNeedsAClient(t *testing.T) {
	if _, err := store.New(nil); !errors.Is(err, queue.ErrOption) {
		t.Errorf("got %v", err)
	}
}

func TestDropLeavesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		if _, err := b.s.Declare(b.ctx(), "q", queue.Layout{Kind: queue.KindList, Partitions: 2}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.s.Declare(b.ctx(), "s", queue.Layout{Kind: queue.KindStream}); err != nil {
			t.Fatal(err)
		}
		other := msg()
		other.ID = queue.NewTaskID(1)
		ids := b.submit(msg(), msg(), msg())
		b.submit(other)
		b.publish(event())
		w := b.worker("w", long)
		w.claim(2)
		m := msg()
		m.Delay = time.Hour
		b.submit(m)
		w.take(0, ended(queue.VerdictDead, ids[0], queue.StateDead))
		if err := b.s.Drop(b.ctx(), "q"); err != nil {
			t.Fatal(err)
		}
		if n, err := b.s.Leave(b.ctx(), line, "w"); n != 0 || err != nil {
			t.Errorf("leaving a queue that is gone: %d, %v", n, err)
		}
		for _, k := range b.rdb.Keys(b.ctx(), "cenote:{q*").Val() {
			if b.rdb.PTTL(b.ctx(), k).Val() <= 0 {
				t.Errorf("%q is left for ever", k)
			}
		}
		names, err := b.s.Queues(b.ctx())
		if err != nil || !slices.Equal(names, []string{"s"}) {
			t.Errorf("queues: %v, %v", names, err)
		}
		wants(t, "the other queue", b.streamLen(), 1)
	})
}
