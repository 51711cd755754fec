package producer_test

import (
	"testing"

	"go.uber.org/goleak"
)

// No test leaves a goroutine behind: a client that is closed is gone.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
