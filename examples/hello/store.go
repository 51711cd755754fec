// Command hello is the shortest whole program: a task, a worker, a producer.
package main

import (
	"log"
	"os"

	"github.com/cenote-go/cenote/examples/internal/local"
)

// Without a REDIS_URL the example brings its own store. main.go does without this
// file: copy it alone to begin a program of your own.
func init() {
	if err := os.Setenv("REDIS_URL", local.URL()); err != nil {
		log.Fatal(err)
	}
}
