// Command leader elects one of many programs to do what only one may do: here, to count
// on. Start some, kill the one that leads, or stop it with Ctrl-Z and have it go on
// later: another one leads after two seconds, and the old one's writes are refused.
//
//	REDIS_URL=redis://localhost:6379 go run ./examples/leader -name ada -writes 100
//	REDIS_URL=redis://localhost:6379 go run ./examples/leader -name bob -writes 100
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/cenote-go/cenote/examples/internal/local"
	"github.com/cenote-go/cenote/shared"
)

var (
	name   = flag.String("name", "ada", "who this is")
	writes = flag.Int("writes", 3, "how often to write before stepping down")
)

// lead counts on from where the leader before has stopped, as long as this one leads.
func lead(held *shared.Held, count *shared.Fenced[int]) error {
	ctx, token := held.Context(), held.Token() // ctx ends when the lead is lost
	// From here on nothing of a leader before can come between what is read and written.
	if err := count.Bar(ctx, token); err != nil {
		return err
	}
	n, _, _, err := count.Read(ctx)
	for range *writes {
		if err != nil {
			return err
		}
		n++
		if err = count.Write(ctx, token, n); err == nil {
			fmt.Printf("%s wrote %d\n", *name, n)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return err
}

func main() {
	flag.Parse()
	ctx := context.Background()
	m, err := shared.New(local.Redis(), shared.Lease(2*time.Second))
	check(err)
	lock, err := shared.OpenLock(m, "leader")
	check(err)
	count, err := shared.OpenFenced[int](m, "count")
	check(err)

	fmt.Println(*name, "would lead")
	held, err := lock.Acquire(ctx)
	check(err)
	fmt.Println(*name, "leads")
	check(lead(held, count))
	check(held.Release(ctx)) // the next who waits leads at once
	fmt.Println(*name, "steps down")
	check(m.Close(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
