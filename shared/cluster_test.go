package shared

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/queue"
)

// Each object is in one slot, whatever its name. Three masters share the slots: a script
// that touched a key of another slot would be refused for two names of three.
func TestEveryObjectIsOnOneNodeOfACluster(t *testing.T) {
	g := redistest.StartCluster(t, 3)
	m, err := New(g.Client())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	for i := range 9 {
		name := fmt.Sprint("name-", i)
		value, err := OpenValue[int](m, name)
		ok(err)
		v, err := value.Update(ctx, func(n int) (int, error) { return n + 1, nil })
		if ok(err); v != 1 {
			t.Errorf("value %d", v)
		}
		counter, err := OpenCounter(m, name)
		ok(err)
		_, err = counter.Add(ctx, 2)
		ok(err)
		array, err := OpenArray[int64](m, name, 8)
		ok(err)
		_, err = array.Add(ctx, 3, 5)
		ok(err)
		dict, err := OpenDict[string, int](m, name)
		ok(err)
		_, err = dict.Update(ctx, "k", func(n int, _ bool) (int, error) { return n + 1, nil })
		ok(err)
		list, err := OpenList[string](m, name)
		ok(err)
		ok(list.Append(ctx, "a", "b"))
		_, err = list.PopFront(ctx)
		ok(err)

		lock, err := OpenLock(m, name)
		ok(err)
		held, err := lock.Acquire(ctx)
		ok(err)
		next := make(chan error, 1)
		go func() { // who waits is handed the lock
			held, err := lock.Acquire(ctx)
			if err == nil {
				err = held.Release(ctx)
			}
			next <- err
		}()
		fenced, err := OpenFenced[string](m, name)
		ok(err)
		ok(fenced.Write(ctx, held.Token(), "x"))
		ok(held.Release(ctx))
		ok(<-next)
		event, err := OpenEvent(m, name)
		ok(err)
		ok(event.Set(ctx))
		ok(event.Wait(ctx))
		barrier, err := OpenBarrier(m, name, 2)
		ok(err)
		met := make(chan error, 1)
		go func() { _, err := barrier.Wait(ctx); met <- err }()
		_, err = barrier.Wait(ctx)
		ok(err)
		ok(<-met)
		ok(barrier.Leave(ctx))

		q, err := OpenQueue[int](m, name, 4)
		ok(err)
		ok(q.Put(ctx, 1))
		r, err := q.Reserve(ctx)
		ok(err)
		ok(r.Ack(ctx))
		ok(q.Join(ctx))
		ok(q.CloseSend(ctx))
		if _, err := q.Get(ctx); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Get from a closed queue: %v", err)
		}
		pipe, err := OpenPipe[string](m, name)
		ok(err)
		a, err := pipe.A(ctx)
		ok(err)
		b, err := pipe.B(ctx)
		ok(err)
		ok(a.Send(ctx, "over"))
		_, err = b.Recv(ctx)
		ok(err)
		ok(a.Close(ctx))
		if _, err := b.Recv(ctx); !errors.Is(err, io.EOF) {
			t.Errorf("Recv from a closed end: %v", err)
		}
		ok(b.Close(ctx))
		if t.Failed() {
			t.Fatalf("with the name %q", name)
		}
	}
}
