package conformance

import (
	"os"
	"testing"

	"github.com/cenote-go/cenote/pool"
)

func TestMain(m *testing.M) {
	pool.NewChild(pool.ProcessConfig{Initializer: initialize}, kidRoutes()...)
	if text := os.Getenv(scriptEnv); text != "" {
		os.Exit(play(text))
	}
	code := m.Run()
	report.print(os.Stdout)
	os.Exit(code)
}
