package queue

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// TaskID identifies a task: 6 bytes of Unix milliseconds, 2 bytes that say the
// queue's partition, 8 random bytes, all big-endian. Ids made later sort later,
// as bytes and as text; those that one process makes in one millisecond, too.
type TaskID [16]byte

// idText is Crockford's base32 in lower case: no i, l, o or u to misread, and in
// the order of the values, so that ids sort as text too.
var idText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// lastID is what the last fresh id of this process was made of.
var lastID struct {
	sync.Mutex
	ms, random uint64
	clock      time.Time // when the time of day was read last
}

// clockAge is how long ids are dated by the time that has passed since the time of
// day was read, which takes half as long to ask for.
const clockAge = time.Second

// NewTaskID makes a fresh id for a task in the given partition of its queue.
//
// Within a millisecond the random part only grows, by random steps: tasks that
// are due at the same time start in the order of their submission, and Redis
// finds them next to each other in memory.
func NewTaskID(partition uint16) TaskID {
	l := &lastID
	l.Lock()
	age := time.Since(l.clock)
	if age < 0 || age > clockAge {
		l.clock, age = time.Now(), 0
	}
	ms := uint64(l.clock.Add(age).UnixMilli())
	step := 1 + rand.Uint64N(1<<24)
	if ms > l.ms || l.random > math.MaxUint64-step {
		l.ms, l.random = max(ms, l.ms+1), rand.Uint64()>>1
	} else {
		l.random += step // also while the clock stands still or goes back
	}
	ms, random := l.ms, l.random
	l.Unlock()
	var id TaskID
	binary.BigEndian.PutUint64(id[:8], ms<<16|uint64(partition))
	binary.BigEndian.PutUint64(id[8:], random)
	return id
}

// KeyTaskID makes the id that stands for key in a queue of the given number of
// partitions: the same key always makes the same id.
func KeyTaskID(key string, partitions int) TaskID {
	sum := sha256.Sum256([]byte(key))
	id := TaskID(sum[:16])
	binary.BigEndian.PutUint16(id[6:8], uint16(binary.BigEndian.Uint64(sum[16:24])%uint64(max(partitions, 1))))
	return id
}

// ParseTaskID reads the text form that [TaskID.String] writes.
func ParseTaskID(s string) (TaskID, error) {
	var id TaskID
	if len(s) != idText.EncodedLen(len(id)) {
		return TaskID{}, fmt.Errorf("%w: %.40q has %d characters; a task id has %d", ErrTaskID, s, len(s), idText.EncodedLen(len(id)))
	}
	if _, err := idText.Decode(id[:], []byte(s)); err != nil {
		return TaskID{}, fmt.Errorf("%w: %q: %v", ErrTaskID, s, err)
	}
	if id.String() != s { // the decoder skips line ends and ignores the last bits
		return TaskID{}, fmt.Errorf("%w: %q is not how an id is written", ErrTaskID, s)
	}
	return id, nil
}

// String writes the id as 26 characters of lower-case base32.
func (id TaskID) String() string { return idText.EncodeToString(id[:]) }

// Partition says which partition of its queue the task is in.
func (id TaskID) Partition() uint16 { return binary.BigEndian.Uint16(id[6:8]) }

// Time is when the id was made, by its maker's clock. It is meaningless for an
// id that stands for a key.
func (id TaskID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16))
}

// IsZero reports whether id is the zero id, which no task has.
func (id TaskID) IsZero() bool { return id == TaskID{} }
