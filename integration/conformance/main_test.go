package conformance

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(scriptEnv); text != "" {
		os.Exit(play(text))
	}
	code := m.Run()
	report.print(os.Stdout)
	os.Exit(code)
}
