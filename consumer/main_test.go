package consumer_test

import (
	"testing"

	"go.uber.org/goleak"
)

// No test leaves a goroutine behind: a worker that has stopped is gone.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
