package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/shared"
)

// What the two processes of the lock's case tell each other over.
const (
	lockName  = "bench"
	lockLine  = "cenote:shared:lock:{bench}:line"
	lockTimes = "bench:times" // LIST: when the child had the lock, in ns
	rawThere  = "bench:there"
	rawBack   = "bench:back"
)

// lockCase measures how long after the call of Release another process has the lock, and
// beside it, in turn, a bare round trip between the same processes: PUBLISH, and PUBLISH
// by who has received that.
func lockCase(ctx context.Context, e env, n int) (_ measures, err error) {
	s, ok := e.session.(*cenoteSession)
	if !ok {
		return nil, errNone
	}
	cmd, err := childCommand(childJob{Addr: e.srv.addr, Locks: n + warmSamples})
	if err != nil {
		return nil, err
	}
	if err := startBound(cmd); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = cmd.Process.Kill()
		}
		err = errors.Join(err, cmd.Wait())
	}()
	lock, done, err := openLock(s.rdb)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done(context.WithoutCancel(ctx))) }()
	back := s.rdb.Subscribe(ctx, rawBack)
	defer back.Close()
	if _, err := back.Receive(ctx); err != nil {
		return nil, err
	}
	var over, trip []time.Duration
	held, err := lock.Acquire(ctx)
	for i := 0; err == nil && i < n+warmSamples; i++ {
		if err = waits(ctx, e.srv.admin); err != nil {
			break
		}
		begin := time.Now()
		if err = s.rdb.Publish(ctx, rawThere, "").Err(); err != nil {
			break
		}
		if _, err = back.ReceiveMessage(ctx); err != nil {
			break
		}
		raw := time.Since(begin)
		time.Sleep(idlePause)
		begin = time.Now()
		if err = held.Release(ctx); err != nil {
			break
		}
		var had []string
		if had, err = s.rdb.BLPop(ctx, 10*time.Second, lockTimes).Result(); err != nil {
			break
		}
		at, perr := strconv.ParseInt(had[1], 10, 64)
		if perr != nil {
			return nil, perr
		}
		if i >= warmSamples {
			over, trip = append(over, time.Duration(at-begin.UnixNano())), append(trip, raw)
		}
		held, err = lock.Acquire(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("hand a lock over: %w", err)
	}
	if err := held.Release(ctx); err != nil {
		return nil, err
	}
	return measures{
		taskCount: float64(n), handOverP50: percentile(over, 50), handOverP99: percentile(over, 99),
		tripP50: percentile(trip, 50), tripP99: percentile(trip, 99),
	}, nil
}

// waits returns when the child is in the lock's line, and has been for a moment.
func waits(ctx context.Context, rdb *redis.Client) error {
	for {
		time.Sleep(idlePause)
		n, err := rdb.ZCard(ctx, lockLine).Result()
		if err != nil || n == 1 {
			return err
		}
	}
}

func openLock(rdb *redis.Client) (*shared.Lock, func(context.Context) error, error) {
	m, err := shared.New(rdb)
	if err != nil {
		return nil, nil, err
	}
	lock, err := shared.OpenLock(m, lockName)
	return lock, m.Close, err
}

// runLocks is the other process: it takes the lock so many times, and answers bare messages.
func runLocks(ctx context.Context, rdb *redis.Client, n int) (err error) {
	there := rdb.Subscribe(ctx, rawThere)
	defer there.Close()
	if _, err := there.Receive(ctx); err != nil {
		return err
	}
	go func() {
		for {
			if _, err := there.ReceiveMessage(ctx); err != nil {
				return
			}
			if rdb.Publish(ctx, rawBack, "").Err() != nil {
				return
			}
		}
	}()
	lock, done, err := openLock(rdb)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done(context.WithoutCancel(ctx))) }()
	for range n {
		held, err := lock.Acquire(ctx)
		if err != nil {
			return err
		}
		at := time.Now()
		if err := rdb.RPush(ctx, lockTimes, at.UnixNano()).Err(); err != nil {
			return err
		}
		for { // until the other one waits, so that it gets it and not this one
			if n, err := rdb.ZCard(ctx, lockLine).Result(); err != nil || n == 1 {
				break
			}
			time.Sleep(100 * time.Microsecond)
		}
		if err := held.Release(ctx); err != nil {
			return err
		}
	}
	return nil
}
