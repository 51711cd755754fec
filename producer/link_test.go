package producer_test

import (
	"errors"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

func TestALinkIsHeldAsLongAsTheClientIsOpen(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		submit(b, double, 1)
		links := func() []string { return b.rdb.Keys(b.ctx, "cenote:link:*").Val() }
		if n := len(links()); n != 0 {
			t.Fatalf("%d links without a linked task", n)
		}
		submit(b, double, 2, queue.Linked(), queue.On("other"))
		submit(b, double, 3, queue.Linked(), queue.NoReply())
		link := links()
		if len(link) != 1 {
			t.Fatalf("links: %q, want one", link)
		}
		least := time.Hour
		b.until("the link to be renewed", func() bool {
			left := b.rdb.PTTL(b.ctx, link[0]).Val()
			least = min(least, left)
			return left > least+time.Second
		})
		if err := b.x.Close(); err != nil {
			t.Error(err)
		}
		if v := b.rdb.Get(b.ctx, link[0]).Val(); v != "off" {
			t.Errorf("a closed client's link is %q", v)
		}
	})
}

func TestWithoutALinkNoLinkedTaskIsAccepted(t *testing.T) {
	t.Parallel()
	b := onRedis(t)
	if err := b.rdb.Do(b.ctx, "ACL", "SETUSER", "default", "resetkeys", "~cenote:{*").Err(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.rdb.Do(b.ctx, "ACL", "SETUSER", "default", "allkeys").Err() }()
	if _, err := double.Submit(b.ctx, b.x, 1, queue.Linked()); !errors.Is(err, queue.ErrDenied) {
		t.Errorf("error %v, want ErrDenied", err)
	}
	if n := must[int64](b)(b.rdb.HLen(b.ctx, root+"tasks").Result()); n != 0 {
		t.Errorf("%d tasks were stored", n)
	}
}
