package pool_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/cenote-go/cenote/pool"
)

// No test leaves a goroutine behind: a pool that was joined is gone.
func TestMain(m *testing.M) {
	pool.NewChild(pool.ProcessConfig{Initializer: readyChild}, childRoutes()...)
	if os.Getenv(parentEnv) != "" {
		bePoor()
	}
	goleak.VerifyTestMain(m)
}
