// Command crawler walks a site over queues that programs on other machines could share:
// walkers take pages off a frontier and put the links they find back on it, a last stage
// takes the titles. Nobody knows beforehand how many pages there are: the frontier is done
// when every page that was put on it is, and only then the queues are closed.
//
//	go run ./examples/crawler
//	REDIS_URL=redis://localhost:6379 go run ./examples/crawler
package main

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"slices"
	"sync"

	"github.com/cenote-go/cenote/examples/internal/local"
	"github.com/cenote-go/cenote/shared"
)

const walkers = 3

func main() {
	ctx, site := context.Background(), httptest.NewServer(pages())
	defer site.Close()
	m, err := shared.New(local.Redis())
	check(err)
	defer func() { check(m.Close(ctx)) }()
	frontier, err := shared.OpenQueue[string](m, "frontier", 0) // a bound could stop all walkers at once
	check(err)
	titles, err := shared.OpenQueue[string](m, "titles", 4)
	check(err)
	var seen, all = sync.Map{}, sync.WaitGroup{}
	for range walkers {
		all.Go(func() { check(walk(ctx, site.URL, frontier, titles, &seen)) })
	}
	go func() {
		seen.Store("/", true)
		check(frontier.Put(ctx, "/"))
		check(frontier.Join(ctx)) // no page is left, nor being read
		check(frontier.CloseSend(ctx))
		all.Wait()
		check(titles.CloseSend(ctx))
	}()
	var found []string
	for title, err := range titles.All(ctx) {
		check(err)
		found = append(found, title)
	}
	slices.Sort(found)
	for _, line := range found {
		fmt.Println(line)
	}
	check(frontier.Delete(ctx))
	check(titles.Delete(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
