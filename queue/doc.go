// Package queue is the vocabulary of Cenote: typed tasks, the messages they
// travel as, and the futures their values come back in.
//
// A task is a name, the type that goes in and the type that comes out. Both
// sides of a queue share its definition; a function never travels.
//
//	var Resize = queue.NewTask[Image, Thumb]("image.resize", queue.Retries(5))
//
//	fut, err := Resize.Submit(ctx, client, img) // a producer.Client, or any Executor
//	thumb, err := fut.Get(ctx)
//
//	route := Resize.Handler(func(ctx context.Context, img Image) (Thumb, error) { ... })
//
// Package queue knows neither Redis nor any other store: what runs messages is
// an [Executor], what handles them is a [Handler]. A file that only defines
// tasks imports this package alone.
package queue
