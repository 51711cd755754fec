package consumer

import (
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// lotPort is a port, whose lock the test has, with a lot of three tasks.
func lotPort(t *testing.T) (*port, *lot) {
	t.Helper()
	p := idlePort(t, make(chan int))
	p.w.slots.mu.Lock()
	t.Cleanup(p.w.slots.mu.Unlock)
	return p, p.newLot(&store.Turn{Lane: 1, Number: 7}, 3)
}

func succeeded() *store.End { return &store.End{ID: queue.NewTaskID(0), Verdict: queue.VerdictDone} }

// tells fails the test unless the next turn tells of just these lots.
func tells(t *testing.T, p *port, want ...store.LotEnd) (told []*lot) {
	t.Helper()
	var turn store.Turn
	told = p.tellLots(&turn)
	if len(turn.Lots) != len(want) || len(told) != len(want) {
		t.Fatalf("the turn tells of the lots %+v, want %+v", turn.Lots, want)
	}
	for i := range want {
		if turn.Lots[i] != want[i] {
			t.Errorf("the turn says %+v, want %+v", turn.Lots[i], want[i])
		}
	}
	return told
}

var (
	lotOver   = store.LotEnd{Lot: store.Lot{Lane: 1, Number: 7}}
	lotBroken = store.LotEnd{Lot: lotOver.Lot, Broken: true}
)

func TestALotIsToldOfWhenItsLastTaskIsDone(t *testing.T) {
	p, l := lotPort(t)
	for range 3 {
		tells(t, p)
		if !p.lotted(l, succeeded()) {
			t.Error("the end of a task is to be told by itself")
		}
	}
	p.reviewLots(tells(t, p, lotOver), nil)
	tells(t, p)
	if len(p.ends) > 0 || p.lots > 0 {
		t.Errorf("%d ends and %d lots are left", len(p.ends), p.lots)
	}
}

// TestALotThatIsUnknownIsToldTaskByTask: somebody had to do with one of its tasks.
func TestALotThatIsUnknownIsToldTaskByTask(t *testing.T) {
	p, l := lotPort(t)
	for range 3 {
		p.lotted(l, succeeded())
	}
	p.reviewLots(tells(t, p, lotOver), []int{0})
	tells(t, p)
	if len(p.ends) != 3 {
		t.Errorf("%d ends are told, want 3", len(p.ends))
	}
}

// TestABrokenLotGoesWithEachTurnUntilOneIsAnswered: turns of two lanes may overtake each
// other.
func TestABrokenLotGoesWithEachTurnUntilOneIsAnswered(t *testing.T) {
	for name, breakIt := range map[string]func(p *port, l *lot){
		"something else became of a task": func(p *port, l *lot) {
			if p.lotted(l, &store.End{ID: queue.NewTaskID(0), Verdict: queue.VerdictGiveBack}) {
				t.Error("what becomes of the task is not told")
			}
		},
		"a task takes long": func(p *port, l *lot) {
			p.w.slots.mu.Unlock()
			defer p.w.slots.mu.Lock()
			for {
				time.Sleep(time.Millisecond)
				p.w.slots.mu.Lock()
				open := l.open
				p.w.slots.mu.Unlock()
				if !open {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, l := lotPort(t)
			p.lotted(l, succeeded())
			breakIt(p, l)
			if p.lotted(l, succeeded()) {
				t.Error("the end of a broken lot's task is kept back")
			}
			if len(p.ends) != 1 {
				t.Errorf("%d ends are told, want the one from before", len(p.ends))
			}
			first := tells(t, p, lotBroken)
			tells(t, p, lotBroken)
			p.reviewLots(first, nil)
			tells(t, p)
		})
	}
}
