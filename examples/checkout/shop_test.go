package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/queue"
	"github.com/cenote-go/cenote/queue/queuetest"
)

var order = Order{ID: "7", Email: "ada@example.org", Cents: 1990}

// Which tasks does Checkout submit?
func TestCheckoutMailsNowAndInAWeek(t *testing.T) {
	x := queuetest.Record(t)
	queuetest.Answer(x, Charge, "R007", nil)

	receipt, err := Shop{x}.Checkout(t.Context(), order)
	if receipt != "R007" || err != nil {
		t.Errorf("Checkout returned %q, %v", receipt, err)
	}
	queuetest.RequireSubmitted(t, x, Charge, order, queue.ID("charge-7"))
	queuetest.RequireSubmitted(t, x, Mail, Letter{"ada@example.org", "Thank you! Receipt: R007"})
	queuetest.RequireSubmitted(t, x, Mail, Letter{"ada@example.org", "How do you like it?"}, queue.Delay(week))
}

// What does it do when a task fails?
func TestCheckoutOfADeclinedCard(t *testing.T) {
	x := queuetest.Record(t)
	queuetest.Answer(x, Charge, "", ErrDeclined)

	if _, err := (Shop{x}).Checkout(t.Context(), order); !errors.Is(err, ErrDeclined) {
		t.Errorf("Checkout returned %v", err)
	}
	if l := queuetest.RequireOne(t, x, Mail).In; l.Text != "Your card was declined." {
		t.Errorf("the customer is told %q", l.Text)
	}
}

// And when Redis is away?
func TestCheckoutWithoutAQueue(t *testing.T) {
	x := queuetest.Record(t)
	x.Refuse(queue.ErrUnavailable)

	if _, err := (Shop{x}).Checkout(t.Context(), order); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Checkout returned %v", err)
	}
}

// Do the parts fit together?
func TestShopAsAWhole(t *testing.T) {
	bank := &Bank{Limit: 5000}
	var letters []Letter
	x := queuetest.Inline(t, Charge.Handler(bank.Charge), Mail.Handler(func(_ context.Context, l Letter) (struct{}, error) {
		letters = append(letters, l)
		return struct{}{}, nil
	}))

	if receipt, err := (Shop{x}).Checkout(t.Context(), order); receipt != "R001" || err != nil {
		t.Errorf("Checkout returned %q, %v", receipt, err)
	}
	if len(letters) != 2 {
		t.Errorf("the customer got %v", letters)
	}
	dear := Order{ID: "8", Cents: 5001}
	if _, err := (Shop{x}).Checkout(t.Context(), dear); !errors.Is(err, ErrDeclined) {
		t.Errorf("Checkout of what is too dear returned %v", err)
	}
}

// When does the second letter go out?
func TestTheSecondLetterIsAWeekLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var sent []time.Duration
		p := queuetest.Local(t, 1, Charge.Handler((&Bank{Limit: 5000}).Charge), Mail.Handler(func(context.Context, Letter) (struct{}, error) {
			sent = append(sent, time.Since(began))
			return struct{}{}, nil
		}))

		if _, err := (Shop{p}).Checkout(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		time.Sleep(week)
		synctest.Wait()
		if len(sent) != 2 || sent[0] != 0 || sent[1] != week {
			t.Errorf("the letters were sent after %v", sent)
		}
	})
}

// Is anybody charged twice when a worker dies after the bank has taken the money?
func TestADeadWorkerDoesNotChargeTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bank := &Bank{Limit: 5000}
		f := queuetest.NewFleet(t)
		charged := 0
		var w *queuetest.Worker
		charge := Charge.Handler(func(ctx context.Context, o Order) (string, error) {
			receipt, err := bank.Charge(ctx, o)
			if charged++; charged == 1 {
				w.Kill() // the receipt never arrives
			}
			return receipt, err
		})
		w = f.Work(consumer.Config{}, charge)
		time.AfterFunc(time.Minute, func() { f.Work(consumer.Config{}, charge) })

		receipt, err := Shop{f.Client()}.Checkout(t.Context(), order)
		if receipt != "R001" || err != nil {
			t.Errorf("Checkout returned %q, %v", receipt, err)
		}
		if charged != 2 || len(bank.receipts) != 1 {
			t.Errorf("the bank was asked %d times and has taken money %d times", charged, len(bank.receipts))
		}
	})
}
