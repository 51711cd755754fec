package pool

import (
	"github.com/cenote-go/cenote/internal/child"
	"github.com/cenote-go/cenote/queue"
)

// Child is for a program that has a pool of [Processes], as the first thing in main,
// and for its tests in TestMain: a process that is a child of such a pool runs tasks
// with the handlers of the routes there and never returns. In any other process Child
// does nothing.
func Child(routes ...queue.Route) { NewChild(ProcessConfig{}, routes...) }

// NewChild is [Child] with the Initializer of cfg, whose other fields are not looked
// at.
func NewChild(cfg ProcessConfig, routes ...queue.Route) {
	child.ServeIfChild("pool.Child", cfg.Initializer, routes)
}
