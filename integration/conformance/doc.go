// Package conformance shows that Cenote behaves as Python's multiprocessing.Pool
// and concurrent.futures do, and better where those have traps: one table of
// behaviours, each run on every executor it is about. A subtest is named by
// executor and row, so that
//
//	go test -run 'TestConformance/D/C27' ./integration/conformance
//
// runs one. L is a pool of goroutines, P one of child processes, D is Redis with workers in
// other processes.
package conformance
