//go:build linux && cgroup

// "make cgroup" runs this in a virtual machine.

package pool_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

func TestCgroupOfAPool(t *testing.T) {
	p := processes(t, pool.ProcessConfig{Workers: 2, MaxMemory: 64 << 20, MaxCrashes: 1, Cgroup: os.Getenv("CENOTE_TEST_CGROUP")})
	ctx := soon(t)
	for range 3 {
		hungry, err := eatTask.Submit(ctx, p, 200)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if n, err := idleTask.Call(ctx, p, i); n != i || err != nil {
				t.Errorf("beside it: %d, %v", n, err)
			}
		}
		if _, err := hungry.Get(ctx); !errors.Is(err, queue.ErrOutOfMemory) {
			t.Errorf("error %v", err)
		}
	}
	if err := p.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/cenote-*"); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/work/cenote-*"); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}
