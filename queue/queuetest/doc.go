// Package queuetest is for the tests of programs that use Cenote. They need no Redis
// and no sleeping.
//
//	x := queuetest.Inline(t, tasks.Resize.Handler(resize)) // runs a task in the call that submits it
//	x := queuetest.Record(t)                               // only notes what is submitted
//	img := queuetest.RequireOne(t, x, tasks.Resize).In     // and this is what
//
//	f := queuetest.NewFleet(t)                             // a store, producers, workers that can be killed
//	w := f.Work(consumer.Config{}, tasks.Resize.Handler(resize))
//	w.Kill()
//
// Let the code that is to be tested take a [queue.Executor]: it gets a
// producer.Client in production and a [Recorder] or the [Fleet]'s client in a test.
//
// All of it works inside a bubble of testing/synctest, where time is virtual: a task
// that is to run tomorrow runs at once, and so does one whose worker was killed.
// docs/testing.md says what to use for what.
package queuetest
