package queue

import "time"

// Kind is how the tasks of a queue wait, and who gets them.
type Kind string

// The kinds of queues.
const (
	KindList   Kind = "list"   // each task goes to one worker
	KindStream Kind = "stream" // each task goes to one worker of every consumer group
)

// Layout is how a queue is laid out. It is stored with the queue; a queue that
// nobody declares is laid out by its first use, as a list in one partition.
type Layout struct {
	Kind Kind
	// Partitions is how many parts the queue is split into, so that it is not
	// bound to one node of a cluster. It can grow and cannot shrink; a producer
	// or worker that is running learns of it when it starts again.
	// 0 takes what is stored. Default: 1.
	Partitions int
	// Retention is how long a stream keeps tasks that all its groups have read,
	// for groups that join later. Negative takes what is stored. Default: 0.
	Retention time.Duration
}

// MaxPartitions bounds [Layout.Partitions].
const MaxPartitions = 1024
