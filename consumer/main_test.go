package consumer_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/cenote-go/cenote/consumer"
)

// No test leaves a goroutine behind: a worker that has stopped is gone.
func TestMain(m *testing.M) {
	consumer.NewChild(consumer.Processes{Initializer: initialize}, isolated()...)
	goleak.VerifyTestMain(m)
}
