package shared

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// silence keeps what go-redis says of cut connections to itself.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// No test leaves a goroutine behind.
func TestMain(m *testing.M) {
	redis.SetLogger(silence{})
	goleak.VerifyTestMain(m)
}
