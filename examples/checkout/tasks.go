package main

import (
	"errors"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// Order is what somebody wants to buy.
type Order struct {
	ID    string
	Email string
	Cents int
}

// Letter is a mail.
type Letter struct{ To, Text string }

// ErrDeclined is the bank's answer to a card that is not good for the sum.
var ErrDeclined = errors.New("the card was declined")

// The tasks. Charge's value is the number of the receipt.
var (
	Charge = queue.NewTask[Order, string]("charge", queue.Retries(5), queue.Timeout(time.Minute), queue.Sentinel("declined", ErrDeclined))
	Mail   = queue.NewTask[Letter, struct{}]("mail", queue.Retries(10), queue.NoReply())
)
