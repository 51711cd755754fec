package queue

// What the golden vectors are compared with.
var (
	AppendItem = appendItem
	ParseChunk = parseChunk
)

// ChunkItem takes the result of one item apart.
func ChunkItem(i chunkItem) ([]byte, *TaskError) { return i.value, i.err }
