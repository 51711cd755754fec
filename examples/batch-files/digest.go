package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"

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
