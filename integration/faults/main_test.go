package faults

import (
	"os"
	"testing"
)

// roleEnv makes the test binary play a part in a test instead of running tests.
const roleEnv = "CENOTE_FAULT_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "worker":
		os.Exit(playing("worker", runWorker))
	case "producer":
		os.Exit(playing("producer", runProducer))
	}
	code := m.Run()
	table.print(os.Stdout)
	os.Exit(code)
}
