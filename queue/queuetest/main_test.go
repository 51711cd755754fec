package queuetest_test

import (
	"testing"

	"go.uber.org/goleak"
)

// No test leaves a goroutine behind, whatever it has killed.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
