package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/queue"
)

// Answer is what became of the wish to cancel a task.
type Answer byte

// The answers.
const (
	AnswerNone    Answer = 0   // to a consumer: the task is not its own any more
	AnswerBefore  Answer = 'B' // it has not begun and never will
	AnswerStopped Answer = 'I' // it runs and was interrupted
	AnswerLate    Answer = 'L' // it has finished, or runs and is left alone
	AnswerDeaf    Answer = 'N' // it runs where nobody can kill it, and is left alone
	AnswerWait    Answer = 'W' // a consumer has it and was told: ask again
	answerRead    Answer = 'M' // it came after its message was looked for
)

// Wish is the wish to cancel a task that a consumer has.
type Wish struct {
	ID queue.TaskID
	queue.Cancellation
	Token string // of who asks
}

func parseWish(id, x string) (Wish, bool) {
	w := Wish{}
	if len(id) != len(w.ID) || len(x) < 1 {
		return w, false
	}
	copy(w.ID[:], id)
	w.Token = x[1:]
	switch x[0] {
	case 'i':
		w.Interrupt = true
	case 'k':
		w.Interrupt, w.Kill = true, true
		at := strings.LastIndexByte(w.Token, '.')
		ms, err := strconv.ParseUint(w.Token[at+1:], 10, 32)
		if err != nil {
			return w, false
		}
		w.Grace = time.Duration(ms) * time.Millisecond //nolint:gosec // 32 bits
	}
	return w, true
}

// Token makes the token of the n-th ask of the asker at addr. The grace of a kill is a part
// of it, so that scripts need not know of that.
func Token(addr string, n uint64, how queue.Cancellation) string {
	token := addr + "." + strconv.FormatUint(n, 36)
	if how.Kill {
		token += "." + strconv.FormatInt(min(ceilMillis(how.Grace), math.MaxUint32), 10)
	}
	return token
}

// wishOf is what is put down for a consumer.
func wishOf(token string, how queue.Cancellation) string {
	switch {
	case how.Kill:
		return "k" + token
	case how.Interrupt:
		return "i" + token
	}
	return "c" + token
}

// cancelled is the outcome of a task of the named queue that is called off.
func (s *Store) cancelled(name string, id queue.TaskID, sealed bool) []byte {
	o := queue.Failure(id, queue.StateCancelled, 0, queue.ErrCancelled)
	if sealed {
		o = s.seal.Outcome(name, o)
	}
	return o.AppendWire(nil)
}

// Cancel calls tasks of a partition of a list queue off, at most MaxBatch. Those
// that wait are removed, and their outcome is kept and sent as their submitters
// asked. For those that a consumer has, the wish is put down; asking again with the
// same token, which [Token] has made, tells what it answered. After an error, some may have been
// cancelled or not; asking again with the same token is safe.
func (s *Store) Cancel(ctx context.Context, name string, partition uint16, token string, how queue.Cancellation, ids []queue.TaskID) ([]Answer, error) {
	root := Root(name, partition)
	fields := make([]string, len(ids))
	for i := range ids {
		fields[i] = string(ids[i][:])
	}
	wish := wishOf(token, how)
	for {
		msgs, err := s.messages(ctx, root, fields)
		if err != nil {
			return nil, err
		}
		args := append(cancelScript.args(root), "")
		for i, id := range ids {
			wire, ok := msgs[i].(string)
			if !ok {
				args = append(args, id[:], wish, "", 0, "")
				continue
			}
			var m queue.Message
			if err := m.ParseWire([]byte(wire)); err != nil {
				m = queue.Message{} // nobody can run it, nor say who waits for it
			}
			args = append(args, id[:], wish, m.ReplyTo, ceilMillis(m.Keep), s.cancelled(name, id, m.Sealed != nil))
		}
		answers, err := s.cancel(ctx, args, len(ids))
		if err != nil {
			return nil, err
		}
		again := false
		for _, a := range answers {
			again = again || a == answerRead
		}
		if !again {
			return answers, nil
		}
	}
}

// messages returns the messages of these ids, nil for those that are no tasks (any more). Those
// that came without a script are stored.
func (s *Store) messages(ctx context.Context, root string, ids []string) ([]any, error) {
	msgs, err := s.rdb.HMGet(ctx, root+"tasks", ids...).Result()
	if err != nil {
		return nil, s.explain(err)
	}
	var missing []string
	for i, m := range msgs {
		if m == nil {
			missing = append(missing, ids[i])
		}
	}
	if len(missing) == 0 {
		return msgs, nil
	}
	if n, err := s.settle(ctx, root, false, missing...); err != nil || n == 0 {
		return msgs, err
	}
	msgs, err = s.rdb.HMGet(ctx, root+"tasks", ids...).Result()
	return msgs, s.explain(err)
}

func (s *Store) cancel(ctx context.Context, args []any, n int) ([]Answer, error) {
	r, err := s.run(ctx, cancelScript, args)
	if err != nil {
		return nil, err
	}
	if len(r) != n {
		return nil, badReply("cancel", r)
	}
	answers := make([]Answer, n)
	for i, l := range r {
		if l != "" {
			answers[i] = Answer(l[0])
		}
	}
	return answers, nil
}

// Reply is a consumer's answer to a wish.
type Reply struct {
	Wish
	Answer  Answer        // AnswerBefore, AnswerStopped, AnswerLate or AnswerDeaf
	ReplyTo string        // for AnswerBefore: who waits
	Keep    time.Duration // and how long the outcome is kept
	Sealed  bool          // and whether it is sealed
}

// Answer tells what became of wishes, at most MaxBatch. A task whose answer is
// AnswerBefore is cancelled by it; AnswerNone is returned for one that is not the
// consumer's any more. After an error it may have happened or not, and the call may
// be repeated.
func (s *Store) Answer(ctx context.Context, l Line, consumer string, rs []Reply) ([]Answer, error) {
	args := append(cancelScript.args(l.root), consumer)
	for i := range rs {
		r := &rs[i]
		args = append(args, r.ID[:], string(rune(r.Answer))+r.Token, r.ReplyTo, ceilMillis(r.Keep), s.cancelled(l.Queue, r.ID, r.Sealed))
	}
	return s.cancel(ctx, args, len(rs))
}

// Forget drops a task's kept outcome. A cancelled task's id that still stands in a
// list goes as well, or the task would be there twice if it were submitted again.
func (s *Store) Forget(ctx context.Context, name string, id queue.TaskID) error {
	root, field := Root(name, id.Partition()), string(id[:])
	if err := s.rdb.Unlink(ctx, root+"result:"+field).Err(); err != nil {
		return s.explain(err)
	}
	told, err := s.rdb.Get(ctx, root+"answer:"+field).Result()
	if errors.Is(err, redis.Nil) || err == nil && told != "B" {
		return nil
	}
	if err != nil {
		return s.explain(err)
	}
	there, err := s.rdb.HExists(ctx, root+"tasks", field).Result()
	if err != nil || there {
		return s.explain(err)
	}
	for p := range 3 {
		if err := s.rdb.LRem(ctx, fmt.Sprintf("%sready:%d", root, p), 0, field).Err(); err != nil {
			return s.explain(err)
		}
	}
	_, err = s.settle(ctx, root, true, field)
	return err
}

// Wishes is one subscription to the wishes that concern any number of consumers.
// It is a hint: heartbeats bring what it misses.
type Wishes struct {
	*subscription
}

// Wishes makes a subscription to nothing yet.
func (s *Store) Wishes(ctx context.Context) *Wishes { return &Wishes{s.subscription(ctx)} }

// WishChannel is where wishes that concern the consumer are told.
func WishChannel(l Line, consumer string) string { return l.base + "stops:" + consumer }

// Receive waits for wishes. After an error the subscription mends itself: call
// Receive again.
func (w *Wishes) Receive(ctx context.Context) (channel string, wishes []Wish, err error) {
	for {
		msg, err := w.receive(ctx)
		if err != nil {
			return "", nil, err
		}
		if m, ok := msg.(*redis.Message); ok {
			return m.Channel, parseWishes(m.Payload), nil
		}
	}
}

func parseWishes(data string) (wishes []Wish) {
	for len(data) > 16 && len(data) >= 17+int(data[16]) {
		end := 17 + int(data[16])
		if wish, ok := parseWish(data[:16], data[17:end]); ok {
			wishes = append(wishes, wish)
		}
		data = data[end:]
	}
	return wishes
}
