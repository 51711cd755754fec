// Package pool runs tasks in the process that submits them, as Python's
// multiprocessing.Pool and concurrent.futures do.
//
// [Local] makes a pool of goroutines. It is a [queue.Executor]: the verbs of
// [queue.Task] work on it as they do on a producer.Client, and a program can be
// moved from one to the other. [Go] runs a closure on it.
//
// A pool is open until [LocalPool.Close], [LocalPool.Shutdown] or
// [LocalPool.Terminate]. Its goroutines stay until then, so every pool should be
// closed.
package pool
