package queue

import "time"

// AppendItem adds an argument to the payload of a chunk.
var AppendItem = appendBin

// ParseChunk takes the value of a chunk of n items apart.
func ParseChunk(value []byte, n int) (took time.Duration, items []chunkItem, err error) {
	r := &reader{data: value}
	took = r.took()
	for range n {
		items = append(items, r.item())
	}
	return took, items, r.end()
}

// ChunkItem takes the result of one item apart.
func ChunkItem(i chunkItem) ([]byte, *TaskError) { return i.value, i.err }
