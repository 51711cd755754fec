package pool

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/cenote-go/cenote/internal/child"
	"github.com/cenote-go/cenote/queue"
)

// serving is set when this process serves as a child: whatever a handler does then, it
// gets no children.
var serving atomic.Bool

func serve(mux *queue.Mux, init func(ctx context.Context) error) {
	serving.Store(true)
	child.Serve(mux, init)
}

// Child is for a program that has a pool of [Processes], as the first thing in main,
// and for its tests in TestMain: a process that is a child of such a pool runs tasks
// with the handlers of the routes there and never returns. In any other process Child
// does nothing.
func Child(routes ...queue.Route) { NewChild(ProcessConfig{}, routes...) }

// NewChild is [Child] with the Initializer of cfg, whose other fields are not looked
// at.
func NewChild(cfg ProcessConfig, routes ...queue.Route) {
	if !child.Is() || serving.Load() {
		return
	}
	mux, err := queue.NewMux(routes)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pool.Child:", err)
		os.Exit(2)
	}
	serve(mux, cfg.Initializer)
}
