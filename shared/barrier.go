package shared

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

var (
	barrierWaitScript = store.LoadVerb(luaFiles, "barrier_wait")
	barrierQuitScript = store.LoadVerb(luaFiles, "barrier_quit")
	barrierTurnScript = store.LoadVerb(luaFiles, "barrier_turn")
)

var barrierLeases = &leaseKind{renew: store.LoadVerb(luaFiles, "barrier_keep"), free: store.LoadVerb(luaFiles, "barrier_leave")}

// Barrier has a number of parties wait for each other, again and again: nobody begins a
// round before all have arrived. A goroutine that calls Wait is a party, wherever it is.
//
// From its first Wait on a program is missed: if it is not heard of for its [Lease], the
// barrier breaks, whether it was waiting or on its way. [Barrier.Leave], or to close the manager,
// is to go without harm. A party that has not yet come to its first Wait is not known.
//
// Its methods may be called concurrently.
type Barrier struct {
	object
	parties int

	mu     sync.Mutex
	serial uint64   // of the last arrival
	party  *holding // of this program, since its first Wait
}

// MaxParties is how many may meet.
const MaxParties = 1 << 20

// OpenBarrier opens the barrier of that name, at which so many meet.
//
// While anybody is missed at it that number stays what it is: to wait at what was opened
// with another one fails with [ErrMismatch].
func OpenBarrier(m *Manager, name string, parties int, opts ...Option) (*Barrier, error) {
	if parties < 1 || parties > MaxParties {
		return nil, fmt.Errorf("%w: a barrier of %d parties; give 1 to %d", queue.ErrOption, parties, MaxParties)
	}
	o, err := m.open("barrier", name, opts)
	if err != nil {
		return nil, err
	}
	return &Barrier{object: o, parties: parties}, nil
}

// Wait arrives, and returns when all parties have. The index is another one for each, from 0
// to parties-1: whoever has 0 may do what is to be done once a round.
//
// The error is [ErrBroken] if the barrier is broken, or breaks while it waits; then it stays broken for
// all until it is reset. If ctx ends first, or the manager is closed, that breaks it, and
// the error is that of ctx, or [queue.ErrClosed], as well. A Redis that is away makes it wait.
func (b *Barrier) Wait(ctx context.Context) (index int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, b.about(err)
	}
	party, name, err := b.arrive()
	if err != nil {
		return 0, b.about(err)
	}
	a := &arrival{b: b, party: party, name: name}
	alive, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(party.ctx, func() { stop(party.cause()) })()
	err = b.m.await(alive, b.root, func() (bool, time.Duration, error) { return a.look(alive) })
	if err == nil || errors.Is(err, ErrBroken) || errors.Is(err, ErrMismatch) {
		return a.index, b.about(err)
	}
	if alive.Err() != nil {
		err = context.Cause(alive)
	}
	if a.quit() {
		return a.index, nil
	}
	return 0, b.about(fmt.Errorf("%w: %w", ErrBroken, err))
}

// arrive names an arrival.
func (b *Barrier) arrive() (*holding, string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.party == nil || b.party.cause() != nil {
		h, err := b.m.keeper.take(context.Background(), leased{barrierLeases, b.root, b.lease}, nil)
		if err != nil {
			return nil, "", err
		}
		b.party = h
	}
	b.serial++
	return b.party, b.party.ticket + "/" + strconv.FormatUint(b.serial, 36), nil
}

// arrival is one Wait.
type arrival struct {
	b     *Barrier
	party *holding
	name  string
	round string // "" until Redis has said
	index int
}

// look arrives, or looks what became of it.
func (a *arrival) look(ctx context.Context) (done bool, again time.Duration, err error) {
	b := a.b
	sent := time.Now()
	r, err := b.m.store.Do(ctx, barrierWaitScript, b.root, a.party.ticket, b.lease.Milliseconds(), a.name, b.parties, a.round)
	switch {
	case err != nil:
		return false, 0, err
	case len(r) == 1:
		return false, 0, fmt.Errorf("%w: %s meet at it while it is in use, and it is opened for %d; open it for as many everywhere, or under another name",
			ErrMismatch, r[0], b.parties)
	case len(r) != 3:
		return false, 0, fmt.Errorf("%w: a reply of %d elements to who arrives", queue.ErrMalformed, len(r))
	}
	if a.round == "" { // it is a party
		ms, _ := strconv.ParseInt(r[2], 10, 64)
		if !a.party.renewed(sent, time.Duration(ms)*time.Millisecond) {
			return false, 0, a.party.cause()
		}
		a.round = r[0]
	}
	done, err = a.became(r[1])
	return done, 0, err
}

func (a *arrival) became(text string) (done bool, err error) {
	switch text {
	case "-":
		return false, nil
	case "broken":
		return false, ErrBroken
	}
	a.index, err = strconv.Atoi(text)
	if err != nil {
		return false, fmt.Errorf("%w: the index %q", queue.ErrMalformed, text)
	}
	return true, nil
}

// quit waits no longer, which breaks the barrier. It reports whether they have met all the
// same. If Redis does not answer within a moment, it may do so later.
func (a *arrival) quit() bool {
	met := make(chan int, 1)
	k := a.b.m.keeper
	f := func(life context.Context) {
		ctx, stop := context.WithTimeout(life, MinLease)
		defer stop()
		r, err := a.b.m.store.Do(ctx, barrierQuitScript, a.b.root, a.name, a.round)
		if err == nil && len(r) == 1 && r[0] != "broken" {
			if i, err := strconv.Atoi(r[0]); err == nil {
				met <- i
			}
		}
		close(met)
	}
	if !k.back(f) {
		f(context.Background())
	}
	t := time.NewTimer(MinLease)
	defer t.Stop()
	select {
	case i, ok := <-met:
		a.index = i
		return ok
	case <-t.C:
		return false
	}
}

// Leave has this program not be missed any more, until it waits again. It breaks the
// barrier if one of its goroutines waits.
func (b *Barrier) Leave(ctx context.Context) error {
	b.mu.Lock()
	h := b.party
	b.party = nil
	b.mu.Unlock()
	if h == nil {
		return nil
	}
	h.end(context.Canceled)
	_, err := b.insist(ctx, barrierLeases.free, h.ticket)
	return err
}

// Abort breaks the barrier: all who wait, and all who come until it is reset, get
// [ErrBroken].
func (b *Barrier) Abort(ctx context.Context) error { return b.turn(ctx, "abort") }

// Reset makes the barrier whole again. Those who wait get [ErrBroken]; those who come
// later meet.
func (b *Barrier) Reset(ctx context.Context) error { return b.turn(ctx, "reset") }

func (b *Barrier) turn(ctx context.Context, what string) error {
	b.mu.Lock()
	b.serial++
	call := b.m.name + "/" + strconv.FormatUint(b.serial, 36)
	b.mu.Unlock()
	_, err := b.insist(ctx, barrierTurnScript, what, b.lease.Milliseconds(), call)
	return err
}
