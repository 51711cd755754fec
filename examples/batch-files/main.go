// Command batch-files prints the SHA-256 of every file below a directory, the
// current one unless it is named: each file is a task, the values come back in
// the order of the files, and never more than a window of them is in flight.
//
//	go run ./examples/batch-files docs
//	go run ./examples/batch-files -callback docs   # in the order they are done
//
// The paths travel, not the files, so worker and producer share a file system.
package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"sync"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/examples/internal/local"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

func main() {
	callback := flag.Bool("callback", false, "submit all at once and print each file when it is done")
	flag.Parse()
	root := "."
	if flag.NArg() > 0 {
		root = flag.Arg(0)
	}
	ctx, stop := context.WithCancel(context.Background())
	rdb := local.Redis()
	w, err := consumer.New(rdb, consumer.Config{
		Concurrency: runtime.GOMAXPROCS(0), Queues: []consumer.Queue{{Name: "files"}},
	}, Digest.Handler(digest))
	check(err)
	stopped := make(chan error, 1)
	go func() { stopped <- w.Run(ctx) }()
	c, err := producer.New(rdb)
	check(err)

	if *callback {
		byCallback(ctx, c, root)
	} else {
		inOrder(ctx, c, root)
	}
	check(c.Close())
	stop()
	check(<-stopped)
}

func inOrder(ctx context.Context, c *producer.Client, root string) {
	for it := range Digest.Stream(ctx, c, files(root), queue.Window(64)) {
		show(it.In, it.Out, it.Err)
	}
}

// byCallback submits every file at once; their callbacks come one after the other
// or at the same time.
func byCallback(ctx context.Context, c *producer.Client, root string) {
	var all sync.WaitGroup
	for path := range files(root) {
		f, err := Digest.Submit(ctx, c, path)
		check(err)
		all.Add(1)
		f.OnDone(func(sum Sum, err error) {
			defer all.Done()
			show(path, sum, err)
		})
	}
	all.Wait()
}

func show(path string, sum Sum, err error) {
	if err != nil {
		fmt.Printf("%-50s failed: %v\n", path, err)
		return
	}
	fmt.Printf("%-50s %8d %s\n", path, sum.Bytes, sum.SHA256)
}
