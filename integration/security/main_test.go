package security_test

import (
	"os"
	"testing"

	"github.com/redis/go-redis/v9"

	"context"
)

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // of connections that are meant to fail
	os.Exit(m.Run())
}
