// Command batch-files prints the SHA-256 of every file below a directory, the
// current one unless it is named: each file is a task, the values come back in
// the order of the files, and never more than a window of them is in flight.
//
// The paths travel, not the files, so worker and producer share a file system.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"text/tabwriter"

	"github.com/cenote-go/cenote/consumer"
	"github.com/cenote-go/cenote/examples/internal/local"
	"github.com/cenote-go/cenote/producer"
	"github.com/cenote-go/cenote/queue"
)

// Sum is what the worker finds out about a file.
type Sum struct {
	SHA256 string
	Bytes  int64
}

// Digest reads one file.
var Digest = queue.NewTask[string, Sum]("file.digest", queue.On("files"))

func digest(_ context.Context, path string) (Sum, error) {
	f, err := os.Open(path)
	if err != nil {
		return Sum{}, queue.NoRetry(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	h := sha256.New()
	n, err := io.Copy(h, f)
	return Sum{SHA256: hex.EncodeToString(h.Sum(nil)), Bytes: n}, err
}

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
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

	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for it := range Digest.Stream(ctx, c, files(root), queue.Window(64)) {
		if it.Err != nil {
			fmt.Fprintf(out, "%s\t-\t%v\n", it.In, it.Err)
			continue
		}
		fmt.Fprintf(out, "%s\t%d\t%s\n", it.In, it.Out.Bytes, it.Out.SHA256)
	}
	check(out.Flush())
	check(c.Close())
	stop()
	check(<-stopped)
}
