package faults

import "flag"

var chaos = flag.Bool("chaos", false, "run the long forms: more kills, more tasks, more rounds")
