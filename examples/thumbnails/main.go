// Command thumbnails makes small copies of the PNG images of a directory, each in a child
// process that may use 64 MB: an image that needs more takes nobody along.
//
//	go run ./examples/thumbnails                  # samples of its own, one of them a bomb
//	go run ./examples/thumbnails photos small     # those of one directory, into another
//
// The one line that isolates is pool.NewProcesses, where pool.Local would run the same
// handler on goroutines.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"

	"github.com/cenote-go/cenote/pool"
	"github.com/cenote-go/cenote/queue"
)

// Job is an image and where its thumbnail goes.
type Job struct{ From, To string }

// Size is a width and a height in pixels.
type Size struct{ W, H int }

// Shrink is the task: it returns the size that the image had.
var Shrink = queue.NewTask[Job, Size]("thumbnails.shrink")

func main() {
	p, err := pool.NewProcesses(pool.ProcessConfig{MaxMemory: 64 << 20, MaxCrashes: 1}, Shrink.Handler(shrink))
	check(err) // in a child that was the last line: it serves, and does not return
	from, to := directories()
	paths, err := filepath.Glob(filepath.Join(from, "*.png"))
	check(err)

	jobs := func(yield func(Job) bool) {
		for _, path := range paths {
			if !yield(Job{path, filepath.Join(to, filepath.Base(path))}) {
				return
			}
		}
	}
	for it := range Shrink.Stream(context.Background(), p, jobs, queue.Chunk(1)) {
		name := filepath.Base(it.In.From)
		switch {
		case errors.Is(it.Err, queue.ErrOutOfMemory):
			fmt.Printf("%-12s needs too much memory: its process was killed\n", name)
		case it.Err != nil:
			fmt.Printf("%-12s failed: %v\n", name, it.Err)
		default:
			fmt.Printf("%-12s %dx%d\n", name, it.Out.W, it.Out.H)
		}
	}
	check(p.Shutdown(context.Background()))
	made, err := filepath.Glob(filepath.Join(to, "*.png"))
	check(err)
	fmt.Printf("%d of %d images have a thumbnail\n", len(made), len(paths))
}

// directories are those that the command line names, or new ones with samples.
func directories() (from, to string) {
	if args := slices.Clone(os.Args[1:]); len(args) == 2 {
		return args[0], args[1]
	}
	from, err := os.MkdirTemp("", "thumbnails")
	check(err)
	to = filepath.Join(from, "small")
	check(os.Mkdir(to, 0o700))
	check(samples(from))
	return from, to
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
