// Package shared is what the processes of one machine share in memory, for processes on
// many machines: values, counters, arrays, dictionaries, lists, queues, pipes, locks,
// semaphores, events and barriers, kept in Redis. docs/shared.md says what they promise.
//
// A [Manager] opens them by name, with a function a kind that begins with Open:
//
//	m, err := shared.New(rdb)
//	hits, err := shared.OpenCounter(m, "hits")
//	best, err := shared.OpenValue[Route](m, "best")
//
// Go has no generic methods, hence functions. To open costs no round trip, and fails
// only for a bad name or option. Whoever opens the same name of the same kind has the
// same object. It comes to be when it is first written, and is gone after Delete, or when
// it was not written for its [TTL].
//
// Every object has Ref, its reference: a string that travels in a task's argument, or
// anywhere else, and that Open takes in place of the name. It says the kind as well, so
// that a reference to another kind is refused with [ErrMismatch].
//
// What an object holds travels as [queue.Msgpack], with a word for the Go type before it.
// Whoever opens it with another type gets [ErrMismatch] and never garbage.
//
// Every verb happens once or not at all, even if its reply is lost and it is sent again. A
// Redis that is away makes it wait, for as long as its context allows. When a context
// ends while the verb is on its way, it may have happened.
package shared
