// Command cenote is the work queue on the command line: it shows itself, runs
// commands on many machines, serves as a worker, and looks into queues.
package main

import "os"

func main() { os.Exit(run(os.Args[1:])) }
