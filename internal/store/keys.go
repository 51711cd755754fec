package store

import (
	"strconv"

	"github.com/cenote-go/cenote/queue"
)

// prefix begins every key.
const prefix = "cenote:"

// queuesKey is the set of all queues' names, for people who list them.
const queuesKey = prefix + "queues"

// linkKey says whether the program is there that tasks are linked to. It is of no
// queue, as tasks of many may have the same link, and no script uses it.
func linkKey(name string) string { return prefix + "link:" + name }

// Root is what the keys of one partition of a queue begin with. Its braces are
// the hash tag that keeps them on one node of a cluster. Partition 0 bears the
// bare name, so that a queue that is split later keeps what it has; no name has
// a slash in it.
//
// The keys below a root, and what they hold:
//
//	conf            HASH  kind, partitions, retention (partition 0 only)
//	tasks           HASH  id -> message: a task exists if and only if it is here
//	notes           HASH  id -> priority, attempts, crashes, expiry; fresh ordinary tasks have none
//	faults          HASH  id -> outcome of the last failed attempt
//	ready:<p>       LIST  ids that wait; p is 0 (high), 1 or 2
//	arrivals        LIST  ids that wait behind ready:1, and entries with messages that came without a script
//	due             ZSET  ids by ms: scheduled and retrying; several in one member are a bundle
//	bundled         STR   how many more ids than members due has
//	dead            ZSET  ids by ms: given up
//	alone           LIST  ids that wait to be run without neighbours
//	bell            LIST  what consumers with room listen to: tasks handed over, or mere tokens
//	taken:<c>       LIST  what consumer c took off the bell, until its next turn
//	run:<c>         HASH  id -> turn: what consumer c has in flight; "#" since when it is signed on and how long its lease is, "#<lane>" its last turn, "#l" its lots and "#l<lot>" their messages, see _lots.lua, "#u<lane>" of which of them it was told that there are none, "#p" that it parked a task, "#a" one that is to run alone
//	alive           ZSET  consumers by the end of their lease
//	clock           STR   when something is due, and who gets up for it
//	turn            STR   the consumer that empties itself for `alone`
//	watch           HASH  id -> addresses that wait for it besides its submitter
//	part:<id>       STR   what a running chunk has come to so far; expires
//	result:<id>     STR   a kept outcome
//	stops:<c>       HASH  id -> wish to cancel it, for consumer c; also the channel that tells c
//	answer:<id>     STR   what became of such a wish, for a minute
//	reply:<p>       STREAM outcomes for producer p; also the channel that hints at them
//	from:<p>        STR   the number of producer p's last batch
//	came            HASH  producer -> number of its last entry that came without a script; expires after the arrivals
//	settled         SET   ids of tasks that came so and were stored before their turn; expires after the arrivals
//	common:<hash>   STR   an argument that many tasks share (partition 0 only); expires
//	stream, groups  STREAM, SET  a stream queue's tasks and consumer groups
//	seen:<id>       STR   a keyed task of a stream was submitted
//
// A stream queue's groups have a line each, with the keys from tasks to part of
// their own, below Root + "@" + group + "/".
func Root(name string, partition uint16) string {
	if partition == 0 {
		return prefix + "{" + name + "}:"
	}
	return prefix + "{" + name + "/" + strconv.Itoa(int(partition)) + "}:"
}

// SharedRoot is what the keys of an object begin with that programs share, and the name
// of the channel that hints at its changes. Its braces are the hash tag.
//
// The keys of an object, which expire all at once when it is not written for its time, and
// what they hold; the scripts of the room above have more of each:
//
//   - the root itself: of a value a HASH of v, the value, and n, its version; of a counter
//     a STR, the number; of an array a STR, its head and its elements; of a dictionary a
//     HASH key -> value; of a list a LIST
//   - :front STR, what place the first element of a list has, which moves as some leave there
//   - :turn STR, the manager that may change a value before all others; expires soon
//   - :line ZSET, managers by when they lined up for a turn; expires soon
//   - :from:<m> STR, the number of manager m's last batch, and what it came to; expires soon
//
// The keys of what is held, behind a root; all expire:
//   - :alive, a ZSET of tickets by the end of their lease: who holds or waits
//   - :line, a ZSET, and :held, a HASH ticket -> token, of a lock or semaphore
//   - :size, a STR, the permits of a semaphore that is in use
//   - :token, a STR, the last token that was given
//   - :freed:<ticket>, a STR, what was given back a moment ago
//   - :round and :in, HASHes, the state of a barrier and who has arrived at it
//   - :out:<n>, a HASH, who met in round n; :quit:<arrival>, a STR, who gave up
//
// The root itself is a HASH of an event (on, turn) and of a fenced value (token, value),
// which expires unless it is to be kept for ever.
//
// The keys of a queue, and of each direction of a pipe, which is :a or :b behind the root;
// all expire, as the object is told:
//   - the root itself, a HASH: size, closed, keep, open, ids; of a pipe the tickets of its ends
//   - :items, a LIST, what waits; :held, a HASH ticket -> what is reserved
//   - :alive, a ZSET of tickets by the end of their lease
//   - :getters, :putters, :joiners, ZSETs of callers by when they came: who waits to be rung,
//     each over the channel of the line's name, a colon and its own
//   - :put:<c> and :took:<c>, a STR and a LIST, what caller c's last batch came to, for an hour
func SharedRoot(kind, name string) string { return prefix + "shared:" + kind + ":{" + name + "}" }

// Line is where the tasks of one consumer group wait and run: a partition of a
// list queue, or a group's place in a partition of a stream queue.
type Line struct {
	Queue     string
	Partition uint16
	Group     string // "" for a list queue

	root, base string
}

// NewLine names a line.
func NewLine(name string, partition uint16, group string) Line {
	l := Line{Queue: name, Partition: partition, Group: group, root: Root(name, partition)}
	l.base = l.root
	if group != "" {
		l.base += "@" + group + "/"
	}
	return l
}

func (l Line) bell() string                 { return l.base + "bell" }
func (l Line) taken(consumer string) string { return l.base + "taken:" + consumer }

// ReplyKey is the stream of outcomes for the producer at addr, and the channel
// that hints at new ones.
func ReplyKey(name string, partition uint16, addr string) string {
	return Root(name, partition) + "reply:" + addr
}

// level is the number of the ready list that a priority waits in.
func level(p queue.Priority) int {
	switch p {
	case queue.High:
		return 0
	case queue.Low:
		return 2
	}
	return 1
}

func priority(level int) queue.Priority {
	switch level {
	case 0:
		return queue.High
	case 2:
		return queue.Low
	}
	return queue.Normal
}
