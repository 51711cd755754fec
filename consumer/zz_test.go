package consumer_test

import (
	"fmt"
	"sort"
	"testing"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/queue"
)

func (b *bed) dump() string {
	s := ""
	keys := b.rdb.Keys(b.ctx, "cenote:{default}:*").Val()
	sort.Strings(keys)
	for _, k := range keys {
		switch b.rdb.Type(b.ctx, k).Val() {
		case "list":
			s += fmt.Sprintf("%s %q\n", k, b.rdb.LRange(b.ctx, k, 0, 3).Val())
		case "hash":
			s += fmt.Sprintf("%s %d %q\n", k, b.rdb.HLen(b.ctx, k).Val(), b.rdb.HGetAll(b.ctx, k).Val())
		case "zset":
			s += fmt.Sprintf("%s %v\n", k, b.rdb.ZRangeWithScores(b.ctx, k, 0, 3).Val())
		case "string":
			s += fmt.Sprintf("%s %q %v\n", k, b.rdb.Get(b.ctx, k).Val(), b.rdb.PTTL(b.ctx, k).Val())
		}
	}
	return s
}

func TestZZ(t *testing.T) {
	for i := range 60 {
		b := newBed(t, nil, redistest.Mini(t).Client())
		g := newGate()
		var hands []*hand
		for range 2 {
			hands = append(hands, b.work(consumer.Config{Concurrency: 2, Lease: noHeartbeat, Grace: -1}, gated.Handler(g.handle)))
		}
		for range 3 {
			submit(b, gated, 1, queue.NoReply())
		}
		for range 3 {
			select {
			case <-g.entered:
			case <-time.After(7 * time.Second):
				t.Fatal(i, hands[0].Stats(), hands[1].Stats(), "\n", b.dump())
			}
		}
		close(g.open)
		for _, h := range hands {
			h.stop()
		}
	}
}
