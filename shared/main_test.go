package shared

import (
	"context"
	"flag"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	_ "pgregory.net/rapid" // its flags
)

// silence keeps what go-redis says of cut connections to itself.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// init sets what a run without flags does: give -rapid.checks for more of the models.
func init() {
	for name, value := range map[string]string{"rapid.checks": "12", "rapid.nofailfile": "true", "rapid.shrinktime": "10s"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
}

// No test leaves a goroutine behind.
func TestMain(m *testing.M) {
	redis.SetLogger(silence{})
	goleak.VerifyTestMain(m)
}
