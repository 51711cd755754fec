package stepback_test

import (
	"sync/atomic"
	"testing"

	"github.com/cenote-go/cenote/internal/stepback"
)

// TestOthersGoFirst: goroutines that are ready have run when it returns, however many steps
// that takes, as long as each brings something.
func TestOthersGoFirst(t *testing.T) {
	var n atomic.Int32
	for range 50 {
		go n.Add(1)
	}
	looks, last := 0, 0
	stepback.While(func() int {
		looks++
		last = int(n.Load())
		return last
	})
	if last == 0 || looks < 5 {
		t.Errorf("after %d looks %d of 50 goroutines have run", looks, last)
	}
}

func TestNobodyIsReady(t *testing.T) {
	looks := 0
	stepback.While(func() int { looks++; return 0 })
	if looks > 5 {
		t.Errorf("it looked %d times for what does not come", looks)
	}
}

func TestItEnds(t *testing.T) {
	looks := 0
	stepback.While(func() int { looks++; return looks }) // there is always more
	if looks == 0 {
		t.Error("it did not look")
	}
}
