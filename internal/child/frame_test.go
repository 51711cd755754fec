package child

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/cenote-go/cenote/internal/fuzztest"
)

func FuzzFrame(f *testing.F) {
	task, _ := endFrame(appendUint(appendBin(appendUint(beginFrame(nil, frameTask, 3), 1<<40), "wire"), 7))
	long, _ := endFrame(appendBin(beginFrame(nil, frameValue, 1), make([]byte, 1000)))
	fuzztest.Seeds(f, task, long, append(bytes.Clone(task), long...))
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzztest.Frugal(t, len(data), 8, func() {
			r := bufio.NewReaderSize(bytes.NewReader(data), 1<<10)
			for {
				_, body, _, err := readFrame(r, nil)
				if err != nil {
					return
				}
				g := open(body)
				for range 3 {
					g.uint()
					g.bin()
				}
				_ = g.end()
			}
		})
	})
}
