// Package local gives an example its Redis: the one that REDIS_URL names, or else
// a store inside the process, so that `go run` needs nothing but Go.
package local

import (
	"log"
	"os"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/embedded"
)

// URL returns REDIS_URL, or the address of a store that lives as long as the
// process.
func URL() string {
	if url := os.Getenv("REDIS_URL"); url != "" {
		return url
	}
	s, err := embedded.StartProtected()
	if err != nil {
		log.Fatalf("start the embedded store: %v", err)
	}
	return s.URL()
}

// Redis connects to [URL].
func Redis() redis.UniversalClient {
	o, err := redis.ParseURL(URL())
	if err != nil {
		log.Fatalf("REDIS_URL: %v; write it like redis://user:password@host:6379/0", err)
	}
	return redis.NewClient(o)
}
