package faults

import (
	"os"
	"testing"
)

// roleEnv makes the test binary play a part in a test instead of running tests.
const roleEnv = "CENOTE_FAULT_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleEnv) == "worker" {
		os.Exit(workerMain())
	}
	os.Exit(m.Run())
}
