// Package pool runs tasks as Python's multiprocessing.Pool and concurrent.futures
// do, with one life cycle wherever they run.
//
// [Local] makes a pool of goroutines of this process, [Distributed] a session over a
// producer.Client, whose tasks run on workers anywhere. Both are a [queue.Executor]:
// the verbs of [queue.Task] work on them as they do on the client, and a program can
// be moved from one to the other. [Go] runs a closure on a local pool.
//
// A pool is open until Close, Shutdown or Terminate. A local one keeps its goroutines
// until then, so every pool should be closed.
package pool
