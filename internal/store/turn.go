package store

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// MaxTurn is the most tasks that one turn finishes or claims.
const MaxTurn = 1000

// Turn is what a consumer tells about tasks in flight and asks for.
type Turn struct {
	Line     Line
	Consumer string
	Lane     int    // turns of one lane follow each other; lanes are independent
	Number   uint64 // counted by the lane: the same number is the same turn
	Ends     []End
	Lots     []LotEnd
	Want     int  // how many tasks to claim
	Whole    bool // what it claims may be a lot, which may be some tasks more than it wants
	Empty    bool // nothing is in flight here and nothing listens to the bell
	Listens  bool // it waits at the bell
	Returns  bool // it takes a turn again in a moment, whatever happens: it may be the only one to hear of what comes
	Quiet    bool // it takes no more tasks
	Resync   bool // something that came over the bell may have been lost: say all that did
	Lease    time.Duration

	scratch []byte // where the outcomes are written, one turn of a lane after the other
}

// LotEnd is what became of a lot: a claim that is in flight as a whole, which costs Redis
// next to nothing. Only plain tasks that nobody waits for stay in one.
type LotEnd struct {
	Lot    Lot
	Broken bool // something else has become of one of its tasks: those that are over are among the turn's Ends, from now on all are by themselves
}

// Lot names a lot: the turn that claimed it.
type Lot struct {
	Lane   int
	Number uint64
}

// name is that of the lot in its consumer's hash.
func (l Lot) name() string { return fmt.Sprintf("%d:%017d", l.Lane, l.Number) }

// End is what became of one task.
type End struct {
	ID      queue.TaskID
	Verdict queue.VerdictKind
	Delay   time.Duration  // for VerdictRetry and VerdictPark
	Note    Note           // for VerdictRetry
	ReplyTo string         // who waits, if anybody
	Keep    time.Duration  // how long the outcome is kept
	Outcome *queue.Outcome // nil if nobody wants it, or if it is Value
	Value   []byte         // of a task that is done, for ReplyTo or should somebody else want it after all
	Codec   string         // of that value
	Attempt int            // the attempt that ended it
	Next    *Next          // what follows it, if it is done; it then needs an Outcome
	Part    bool           // it may have something on record, which goes with it; it then needs an Outcome
	Apart   bool           // it was put off: its outcome must not share the fate of others
	inRow   bool           // of the turn, see appendRows
}

// Next is a task that is stored by the step that finishes the one before it, in
// the same line, and only if that step is accepted.
type Next struct {
	ID       queue.TaskID // a fresh one, of the line's partition
	Wire     []byte       // the message
	Priority queue.Priority
	Delay    time.Duration
}

// note is what the store must know of the task; nothing for an ordinary one.
func (n *Next) note() string {
	if n.Priority == queue.Normal {
		return ""
	}
	return Note{Level: level(n.Priority)}.String()
}

// Unwanted reports whether the task is done and nobody is to be told.
func (e *End) Unwanted() bool {
	return e.Verdict == queue.VerdictDone && e.Outcome == nil && e.ReplyTo == ""
}

// appendWire adds the outcome as it is stored and sent; nothing if there is none.
func (e *End) appendWire(b []byte) []byte {
	switch {
	case e.Outcome != nil:
		return e.Outcome.AppendWire(b)
	case e.Verdict == queue.VerdictDone:
		o := e.Success()
		return o.AppendWire(b)
	}
	return b
}

// Success is the outcome of a task that is done.
func (e *End) Success() queue.Outcome {
	return queue.Outcome{ID: e.ID, State: queue.StateSucceeded, Attempt: e.Attempt, Value: e.Value, Codec: e.Codec}
}

// mostScratch is how large a turn's scratch may be to be kept for the next one.
const mostScratch = 1 << 20

// wire is the outcome of e by itself. It is good until the next call of args.
func (t *Turn) wire(e *End) []byte {
	at := len(t.scratch)
	t.scratch = e.appendWire(t.scratch)
	return t.scratch[at:len(t.scratch):len(t.scratch)]
}

// Note is what the store knows of a task beyond its message.
type Note struct {
	Level    int   // of the ready list
	Attempts int   // failed attempts
	Crashes  int   // deliveries that ended with a lost worker
	Expires  int64 // ms; 0 for never
}

func (n Note) String() string {
	return fmt.Sprintf("%d %d %d %d", n.Level, n.Attempts, n.Crashes, n.Expires)
}

func parseNote(s string) (Note, error) {
	n := Note{Level: 1}
	if s == "" {
		return n, nil
	}
	if _, err := fmt.Sscanf(s, "%d %d %d %d", &n.Level, &n.Attempts, &n.Crashes, &n.Expires); err != nil {
		return n, fmt.Errorf("store: note %q of a task: %w", s, err)
	}
	return n, nil
}

// Priority is the priority that the note's level stands for.
func (n Note) Priority() queue.Priority { return priority(n.Level) }

// Claimed is a task that a consumer was given.
type Claimed struct {
	ID   queue.TaskID
	Wire []byte // the message
	Note Note
}

// TurnReply is what a turn brought.
type TurnReply struct {
	Now     int64         // the server's clock, Unix ms
	Wake    time.Duration // take another turn after this; negative for no need to
	Tasks   []Claimed
	Alone   bool           // the one task is to run without neighbours
	Drain   bool           // a task waits for this consumer to become empty
	Open    bool           // nobody else hears of what comes: the turn that was announced must be taken
	Lot     bool           // they are a lot, named by the turn
	Unknown []int          // Lots, by their index, that are none any more: tell of their tasks by Ends
	Stale   []queue.TaskID // Ends that were refused: not this consumer's tasks (any more)
	Watched []queue.TaskID // Ends that were put off: somebody waits, send the outcome
}

// Take carries out t. With [ErrLapsed] nothing was done, nor will be for this
// consumer ever again. After any other error the turn may have been carried out
// or not: take it again with the same Number and the same content.
func (s *Store) Take(ctx context.Context, t *Turn) (*TurnReply, error) {
	r, err := s.runConfirmed(ctx, turnScript, false, t.args())
	if err != nil {
		return nil, err
	}
	return parseTurn(r)
}

func (t *Turn) args() []any {
	if t.scratch = t.scratch[:0]; cap(t.scratch) > mostScratch {
		t.scratch = nil
	}
	flags := make([]byte, 0, 5)
	for _, f := range [...]struct {
		set  bool
		flag byte
	}{{t.Empty, 'e'}, {t.Listens, 'l'}, {t.Quiet, 'q'}, {t.Resync, 's'}, {t.Returns, 'o'}, {t.Whole, 'w'}} {
		if f.set {
			flags = append(flags, f.flag)
		}
	}
	l := t.Line
	args := make([]any, 0, 16+len(t.Ends)+2*len(t.Lots)+8)
	args = append(args, "EVALSHA", turnScript.sha, 2, l.base, l.root,
		t.Consumer, t.Lane, t.Number, t.Want, flags, t.Lease.Milliseconds(), l.Group, len(t.Lots))
	for _, e := range t.Lots {
		how := "f"
		if e.Broken {
			how = "u"
		}
		args = append(args, e.Lot.name(), how)
	}
	args = append(args, 0)
	countAt := len(args) - 1
	plain := 0
	for i := range t.Ends {
		if e := &t.Ends[i]; e.Unwanted() {
			args = append(args, (*idArg)(&e.ID))
			plain++
		}
	}
	args[countAt] = plain
	if plain == len(t.Ends) {
		return append(args, 0, 0)
	}
	args, joined := t.appendRows(args)
	args = append(args, len(t.Ends)-plain-joined)
	countAt = len(args) - 1
	ops := len(t.Ends) - plain - joined
	for i := range t.Ends {
		e := &t.Ends[i]
		switch e.Verdict {
		case queue.VerdictDone, queue.VerdictCancel, queue.VerdictExpire:
			if e.Unwanted() || e.inRow {
				continue
			}
			args = append(args, "R", e.ID[:], e.ReplyTo, ceilMillis(e.Keep), t.wire(e))
			if n := e.Next; n != nil {
				args = append(args, "N", n.ID[:], ceilMillis(n.Delay), n.note(), n.Wire)
				ops++
			}
		case queue.VerdictDead:
			args = append(args, "X", e.ID[:], e.ReplyTo, ceilMillis(e.Keep), t.wire(e))
		case queue.VerdictRetry:
			args = append(args, "T", e.ID[:], ceilMillis(e.Delay), e.Note.String(), t.wire(e))
		case queue.VerdictPark:
			args = append(args, "P", e.ID[:], ceilMillis(e.Delay), "", "")
		default: // VerdictGiveBack; VerdictDrop never gets here
			args = append(args, "G", e.ID[:], "", "", "")
		}
		if e.Part && e.Outcome != nil && e.Verdict != queue.VerdictRetry {
			args = append(args, "D", e.ID[:], "", "", "")
			ops++
		}
	}
	args[countAt] = ops
	return args
}

// mostRows is how many rows of outcomes a turn makes; what fits none of them goes by
// itself.
const mostRows = 8

// row is what some tasks' outcomes, which one address waits for, are sent as: a few
// long strings cost Redis less than many short ones.
type row struct {
	to       string
	first    *End
	ids      []any
	outcomes []byte
}

// longest is how long the outcomes of a row become, about, and longValue how long
// the value of one may be: a long outcome is better off by itself, see _long.lua.
const (
	longest   = 32 << 10
	longValue = 1 << 10
)

// appendRows adds the rows of t's ends to args and marks those that are in one.
func (t *Turn) appendRows(args []any) (_ []any, joined int) {
	var rows [mostRows]row
	used := 0
	for i := range t.Ends {
		e := &t.Ends[i]
		if e.inRow = e.fitsRow(); !e.inRow {
			continue
		}
		var r *row
		for k := used - 1; k >= 0 && r == nil; k-- { // the last one first: it has room
			if rows[k].to == e.ReplyTo && len(rows[k].outcomes) < longest {
				r = &rows[k]
			}
		}
		if r == nil {
			if e.inRow = used < mostRows; !e.inRow {
				continue
			}
			r = &rows[used]
			used++
			r.to, r.first = e.ReplyTo, e
			r.ids = make([]any, 0, len(t.Ends)-i)
			r.outcomes = make([]byte, 0, min((len(t.Ends)-i)*(40+len(e.Value)), longest+longValue))
		}
		joined++
		r.ids = append(r.ids, (*idArg)(&e.ID))
		r.outcomes = e.appendWire(r.outcomes)
	}
	args = append(args, used)
	countAt := len(args) - 1
	for _, r := range rows[:used] {
		if len(r.ids) == 1 {
			r.first.inRow = false
			joined--
			used--
			continue
		}
		args = append(args, r.to, len(r.ids))
		args = append(args, r.ids...)
		args = append(args, r.outcomes)
	}
	args[countAt] = used
	return args, joined
}

// fitsRow reports whether e's outcome may be sent together with others.
func (e *End) fitsRow() bool {
	value := e.Value
	if e.Outcome != nil {
		value = e.Outcome.Value
	}
	if e.ReplyTo == "" || e.Keep > 0 || e.Next != nil || e.Part || e.Apart || len(value) > longValue {
		return false
	}
	return e.Verdict == queue.VerdictDone || e.Verdict == queue.VerdictCancel || e.Verdict == queue.VerdictExpire
}

func parseTurn(r []string) (*TurnReply, error) {
	if len(r) == 1 && r[0] == "lapsed" {
		return nil, ErrLapsed
	}
	if len(r) < 9 {
		return nil, badReply("turn", r)
	}
	given, lot := strings.CutSuffix(r[3], "l")
	reply := &TurnReply{Wake: -1, Alone: given == "a", Drain: given == "w", Open: given == "o", Lot: lot}
	var counts [6]int
	for i, at := range [...]int{1, 4, 5, 6, 7, 8} {
		v, err := strconv.Atoi(r[at])
		if err != nil || v < 0 || i > 1 && v > len(r)-9 {
			return nil, badReply("turn", r)
		}
		counts[i] = v
	}
	reply.Now = int64(counts[0])
	if r[2] != "" {
		ms, err := strconv.ParseInt(r[2], 10, 64)
		if err != nil {
			return nil, badReply("turn", r)
		}
		reply.Wake = time.Duration(ms) * time.Millisecond
	}
	claimed, stale, watched, unknown, entries := counts[1], counts[2], counts[3], counts[4], counts[5]
	told := len(r) - stale - watched - unknown
	if told < 9 {
		return nil, badReply("turn", r)
	}
	body, rest := r[9:told], r[told:]
	var err error
	if entries > 0 {
		reply.Tasks, err = arrived(body, entries, claimed)
	} else {
		reply.Tasks, err = inPairs(body, claimed)
	}
	if err != nil {
		return nil, err
	}
	reply.Stale = ids(rest[:stale])
	reply.Watched = ids(rest[stale : stale+watched])
	for _, s := range rest[stale+watched:] {
		i, err := strconv.Atoi(s)
		if err != nil || i < 1 {
			return nil, badReply("turn", r)
		}
		reply.Unknown = append(reply.Unknown, i-1)
	}
	return reply, nil
}

// inPairs reads n tasks, which are given as their ids and messages, and their notes if any
// has one.
func inPairs(body []string, n int) ([]Claimed, error) {
	noted := len(body) == 3*n && n > 0
	if !noted && len(body) != 2*n {
		return nil, badReply("turn", body)
	}
	tasks := make([]Claimed, n)
	for i := range tasks {
		c := &tasks[i]
		if len(body[2*i]) != len(c.ID) {
			return nil, badReply("turn", body)
		}
		copy(c.ID[:], body[2*i])
		c.Wire = bytesOf(body[2*i+1])
		c.Note.Level = 1
		if noted {
			note, err := parseNote(body[2*n+i])
			if err != nil {
				return nil, err
			}
			c.Note = note
		}
	}
	return tasks, nil
}

func ids(ss []string) []queue.TaskID {
	if len(ss) == 0 {
		return nil
	}
	out := make([]queue.TaskID, len(ss))
	for i, s := range ss {
		copy(out[i][:], s)
	}
	return out
}

// ceilMillis rounds up, so that a wait that was asked for never becomes none.
func ceilMillis(d time.Duration) int64 {
	ms := int64(max(d, 0) / time.Millisecond)                                  // adding first would overflow for the longest durations
	if d > 0 && d%time.Millisecond > 0 && d < math.MaxInt64-time.Millisecond { // the next would be no time.Duration
		ms++
	}
	return ms
}
