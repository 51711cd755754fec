// Package seal protects what tasks carry from whoever else can read or write the
// Redis between their producers and their workers.
//
//	keys, err := seal.ParseKeys(os.Getenv("TASK_KEYS")) // "2026-05:<base64 of 32 bytes>"
//	s, err := seal.New(seal.Config{Keys: keys})
//	c, err := producer.New(rdb, producer.Seal(s))
//	w, err := consumer.New(rdb, consumer.Config{Concurrency: 8, Seal: s}, routes...)
//
// Arguments, values, errors, shared arguments and what handlers say are encrypted with
// AES-256-GCM, or only signed with HMAC-SHA256, and bound to their queue, their task
// and its type: nothing that was made for one task is good for another. What is
// not sealed as it should be is refused with [queue.ErrUnauthenticated] before anything
// of it is decoded.
//
// A seal does not hide that there is a task: its id, its type, its size, its headers and
// its timing can be seen. Who can write to the Redis can still delete, delay and repeat
// tasks and outcomes; see SECURITY.md.
package seal
