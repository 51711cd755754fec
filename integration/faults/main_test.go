package faults

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"
)

// roleEnv makes the test binary play a part in a test instead of running tests.
const roleEnv = "CENOTE_FAULT_ROLE"

func TestMain(m *testing.M) {
	serveIfChild()
	switch os.Getenv(roleEnv) {
	case "worker":
		os.Exit(playing("worker", runWorker))
	case "producer":
		os.Exit(playing("producer", runProducer))
	}
	flag.Parse()
	// The tests wait for leases far more than they compute.
	if n := flag.Lookup("test.parallel"); n.Value.String() == n.DefValue {
		if err := n.Value.Set(strconv.Itoa(max(runtime.GOMAXPROCS(0), 4))); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	table.print(os.Stdout)
	os.Exit(code)
}
