package pool_test

import (
	"testing"

	"go.uber.org/goleak"
)

// No test leaves a goroutine behind: a pool that was joined is gone.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
