package faults

import (
	"github.com/cenote-go/cenote/queue"
)

// job is what a test task is asked to do.
type job struct {
	N       int    // names the submission: no other one has it
	Micros  int    // how long a run takes
	Gate    string // a run of the task's first delivery lasts until this file exists
	Heeding bool   // a run ends early when its context does
	Poison  string // how a run ends its whole process, see poisons
	Eats    bool   // the run of the first delivery takes memory until its process is killed
	Spawns  bool   // a run starts a process that would last
	Spins   bool   // a run computes and never ends
	Says    bool   // a run tells whoever waits
	Ballast []byte // makes the message large
}

// answer is the value of a run: what it was asked, and which run it was.
type answer struct {
	N   int
	Run string
}

var work = queue.NewTask[job, answer]("faults.work")

// slowly returns its argument, after a while. It is in no history.
var slowly = queue.NewTask[int, int]("faults.slowly")

// after follows work, if it is submitted so.
var after = queue.NewTask[answer, answer]("faults.after")
