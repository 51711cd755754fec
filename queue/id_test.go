package queue_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

func TestTaskIDsPrintAndParse(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		var id queue.TaskID
		for i := range id {
			id[i] = byte(r.Uint32())
		}
		s := id.String()
		if len(s) != 26 || strings.Trim(s, "0123456789abcdefghjkmnpqrstvwxyz") != "" {
			t.Fatalf("%x prints as %q", id[:], s)
		}
		if got, err := queue.ParseTaskID(s); err != nil || got != id {
			t.Fatalf("%q parses as %x, %v", s, got[:], err)
		}
	}
}

func TestTaskIDTextIsForEver(t *testing.T) {
	id := queue.TaskID{0x01, 0x8d, 0xf0, 0x3a, 0x1c, 0x20, 0x00, 0x05, 1, 2, 3, 4, 5, 6, 7, 8}
	if got := id.String(); got != "066z0egw4000a0820c20a1g710" {
		t.Errorf("the text is %q", got)
	}
	if id.Partition() != 5 {
		t.Errorf("partition %d, want 5", id.Partition())
	}
	if want := time.UnixMilli(0x018df03a1c20); !id.Time().Equal(want) {
		t.Errorf("made at %v, want %v", id.Time(), want)
	}
}

func TestWrongTaskIDsAreRefused(t *testing.T) {
	good := queue.NewTaskID(0).String()
	for _, s := range []string{
		"", "x", good[1:], good + "0", strings.ToUpper(good[:25]) + "Z", "i" + good[1:], "l" + good[1:], "o" + good[1:], "u" + good[1:],
		good[:25] + "1", good[:25] + "z", // bits that no id has: one id, one text
		" " + good[1:], good[:25] + "=", good[:24] + "\n\n", strings.Repeat("é", 13),
	} {
		if id, err := queue.ParseTaskID(s); !errors.Is(err, queue.ErrTaskID) || !id.IsZero() {
			t.Errorf("%q: %v, %v", s, id, err)
		}
	}
}

func TestTaskIDsSortByTheirTime(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	var ids []queue.TaskID
	for last := int64(0); len(ids) < 5; {
		id := queue.NewTaskID(uint16(5 - len(ids))) // the partition must not outweigh the time
		if ms := id.Time().UnixMilli(); ms > last {
			ids, last = append(ids, id), ms
		}
	}
	after := time.Now()
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
		if id.Time().Before(before) || id.Time().After(after) {
			t.Errorf("made at %v, not between %v and %v", id.Time(), before, after)
		}
	}
	if !slices.IsSorted(texts) || !slices.IsSortedFunc(ids, func(a, b queue.TaskID) int { return slices.Compare(a[:], b[:]) }) {
		t.Errorf("%v are in the order of their making and do not sort so", texts)
	}
}

func TestTaskIDsAreUnique(t *testing.T) {
	var mu sync.Mutex
	seen := map[queue.TaskID]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			own := make([]queue.TaskID, 5000)
			for i := range own {
				own[i] = queue.NewTaskID(7)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range own {
				if seen[id] || id.Partition() != 7 {
					t.Errorf("%v twice, or in partition %d", id, id.Partition())
				}
				seen[id] = true
			}
		})
	}
	wg.Wait()
}

func TestKeyTaskIDsAreDeterministic(t *testing.T) {
	if got := queue.KeyTaskID("invoice-7", 1).String(); got != queue.KeyTaskID("invoice-7", 1).String() || got == queue.KeyTaskID("invoice-8", 1).String() {
		t.Errorf("key ids do not follow from the key: %s", got)
	}
	used := map[uint16]int{}
	for i := range 4000 {
		key := strings.Repeat("k", i)
		id := queue.KeyTaskID(key, 4)
		if id != queue.KeyTaskID(key, 4) {
			t.Fatalf("key %d: two ids", i)
		}
		used[id.Partition()]++
	}
	for p := range uint16(4) {
		if used[p] < 800 {
			t.Errorf("partition %d has %d of 4000 keys, about 1000 are its share", p, used[p])
		}
	}
	if len(used) != 4 {
		t.Errorf("partitions used: %v, want 0 to 3", used)
	}
	for _, n := range []int{-1, 0, 1} {
		if p := queue.KeyTaskID("k", n).Partition(); p != 0 {
			t.Errorf("%d partitions: partition %d", n, p)
		}
	}
}

func TestZeroTaskID(t *testing.T) {
	if !(queue.TaskID{}).IsZero() || queue.NewTaskID(0).IsZero() {
		t.Error("IsZero is wrong")
	}
}
