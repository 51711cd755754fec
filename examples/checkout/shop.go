package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// Shop takes orders. Its tasks go to any executor: over Redis in production, to one of
// queuetest's in a test.
type Shop struct{ Queue queue.Executor }

const week = 7 * 24 * time.Hour

// Checkout has the order paid and returns the receipt's number. The customer gets a
// letter at once, and another one a week after paying.
func (s Shop) Checkout(ctx context.Context, o Order) (receipt string, err error) {
	receipt, err = Charge.Call(ctx, s.Queue, o, queue.ID("charge-"+o.ID))
	if errors.Is(err, ErrDeclined) {
		return "", errors.Join(err, s.mail(ctx, o, "Your card was declined."))
	}
	if err != nil {
		return "", err
	}
	return receipt, errors.Join(
		s.mail(ctx, o, "Thank you! Receipt: "+receipt),
		s.mail(ctx, o, "How do you like it?", queue.Delay(week)))
}

func (s Shop) mail(ctx context.Context, o Order, text string, opts ...queue.Option) error {
	_, err := Mail.Submit(ctx, s.Queue, Letter{o.Email, text}, opts...)
	return err
}

// Bank handles Charge. A task may be run twice, when a worker dies in the middle of it:
// the bank knows an order again that was paid.
type Bank struct {
	Limit int // in cents

	mu       sync.Mutex
	receipts map[string]string // by order
}

// Charge takes the money for an order, once.
func (b *Bank) Charge(_ context.Context, o Order) (receipt string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r, paid := b.receipts[o.ID]; paid {
		return r, nil
	}
	if o.Cents > b.Limit {
		return "", queue.NoRetry(fmt.Errorf("order %s: %w", o.ID, ErrDeclined))
	}
	if b.receipts == nil {
		b.receipts = map[string]string{}
	}
	receipt = fmt.Sprintf("R%03d", len(b.receipts)+1)
	b.receipts[o.ID] = receipt
	return receipt, nil
}
