// Package faults breaks things under Cenote and proves from outside that nothing
// was lost and nothing was completed twice.
//
// Every test starts a redis-server and worker processes of its own (the test
// binary again, see TestMain), puts load on them and lets something go wrong.
// Meanwhile everybody keeps a history, one JSON line an event in a file of its
// own: the producer (what was submitted, what was accepted, what each future
// said), every worker process (which run of which task began and ended), and a
// witness that listens to every completion that Redis announces. Afterwards the
// checker reads all histories, in one pass, and holds them against the
// invariants:
//
//	I1  an accepted task has an outcome: none is lost
//	I2  it has one: every future and every announcement names the same run
//	I3  the run that completed it is one that a worker has really made
//	I4  no task is delivered again after more crashes than MaxCrashes
//	I5  nothing runs that was not submitted, and nothing under two ids; what was
//	    submitted together is there as a whole or not at all
//	I6  a future says what became of its task, and not too late
//	I7  a task runs again only where a fault explains it
//	I8  Redis keeps nothing that is not owned or does not expire
//	I9  a worker that ends leaves no goroutine, file or connection behind
//	I10 what follows a task is there once if the task succeeded, with its value
//	I11 every task in Redis is in exactly one state: "cenote fsck" finds nothing
//
// A value says which run made it, so a completion by another run is another
// value and cannot pass for the first.
//
// To add a row: enter the test into the table (inTable), make a bench (newBench),
// start workers (bench.fleet), submit (bench.load), break something, and let
// bench.finish drain and check. A proxy understands what goes through it and can lose
// one reply; a wire only carries bytes, badly. A test waits for events in the
// histories and never for a time to pass; a test that chooses at random logs its seed,
// and CENOTE_FAULT_SEED makes it choose the same again. -chaos runs the long forms
// (see size), -soak goes on with TestSoak; docs/faults.md lists what there is.
package faults
