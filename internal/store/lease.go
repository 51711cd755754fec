package store

import (
	"context"
	"strconv"
	"time"
)

// Beat is what a heartbeat brought.
type Beat struct {
	Next      time.Duration // until the next lease lapses, unless it is renewed
	Claim     bool          // a claim would find something
	Recovered int           // tasks taken over from consumers whose lease had lapsed
	Lapsed    int           // those consumers
	Wishes    []Wish        // to cancel tasks it has in flight
}

// SignOn gives the consumer its lease on the line. A consumer's name is good for
// one life: once it has left or lapsed, it needs another one; the error is [ErrLapsed].
// former is the name it had before, whose lease it gives up, or "".
func (s *Store) SignOn(ctx context.Context, l Line, consumer, former string, lease time.Duration) error {
	_, err := s.beat(ctx, l, consumer, lease, 0, "1", former, nil)
	return err
}

// Beat renews the lease of the consumer, which covers all it has in flight, takes
// over what lapsed consumers held, and, unless deadFor is 0, drops tasks that were
// dead for longer than that. The error is [ErrLapsed] if the consumer's own lease has lapsed.
//
// told are the numbers of the lanes' last turns that Redis has answered. A Redis that
// does not know of them has lost its memory of them, as after a failover, and takes
// tasks to be in flight that are not: the consumer is told that it has lapsed.
func (s *Store) Beat(ctx context.Context, l Line, consumer string, lease, deadFor time.Duration, told ...uint64) (Beat, error) {
	return s.beat(ctx, l, consumer, lease, deadFor, "", "", told)
}

func (s *Store) beat(ctx context.Context, l Line, consumer string, lease, deadFor time.Duration, on, former string, told []uint64) (Beat, error) {
	drop := ""
	if deadFor > 0 {
		drop = strconv.FormatInt(deadFor.Milliseconds(), 10)
	}
	args := append(beatScript.args(l.base), consumer, lease.Milliseconds(), on, drop, former)
	for _, n := range told {
		args = append(args, n)
	}
	r, err := s.run(ctx, beatScript, args)
	if err != nil {
		return Beat{}, err
	}
	return parseBeat(r)
}

func parseBeat(r []string) (Beat, error) {
	if len(r) == 1 && r[0] == "lapsed" {
		return Beat{}, ErrLapsed
	}
	if len(r) < 5 || len(r)%2 == 0 {
		return Beat{}, badReply("beat", r)
	}
	var n [3]int
	for i, at := range [...]int{1, 3, 4} {
		var err error
		if n[i], err = strconv.Atoi(r[at]); err != nil {
			return Beat{}, badReply("beat", r)
		}
	}
	var wishes []Wish
	for i := 5; i < len(r); i += 2 {
		if w, ok := parseWish(r[i], r[i+1]); ok {
			wishes = append(wishes, w)
		}
	}
	return Beat{Wishes: wishes, Next: time.Duration(n[0]) * time.Millisecond, Claim: r[2] == "1", Recovered: n[1], Lapsed: n[2]}, nil
}

// Leave signs the consumer off and gives back what it still holds. It returns
// how many tasks that were.
func (s *Store) Leave(ctx context.Context, l Line, consumer string) (int, error) {
	n, err := s.runInt(ctx, leaveScript, append(leaveScript.args(l.base), consumer))
	return int(n), err
}
