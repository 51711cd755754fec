package queue_test

import (
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// sentAs is the message that a task with these options becomes.
func sentAs(t *testing.T, opts ...queue.Option) *queue.Message {
	t.Helper()
	f := newFake(t, double.Handler(doubling))
	if _, err := double.Submit(t.Context(), f, 1, opts...); err != nil {
		t.Fatal(err)
	}
	return f.sent[0]
}

func TestOptionsSetTheirFields(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		opts []queue.Option
		want queue.Message
	}{
		"none":        {nil, queue.Message{}},
		"On":          {[]queue.Option{queue.On("mail")}, queue.Message{Queue: "mail"}},
		"OnStream":    {[]queue.Option{queue.OnStream("events")}, queue.Message{Queue: "events", Stream: true, NoReply: true}},
		"ReplyFrom":   {[]queue.Option{queue.OnStream("events"), queue.ReplyFrom("billing")}, queue.Message{Queue: "events", Stream: true, Group: "billing"}},
		"On again":    {[]queue.Option{queue.OnStream("events"), queue.On("mail")}, queue.Message{Queue: "mail"}},
		"Retries":     {[]queue.Option{queue.Retries(5)}, queue.Message{Retries: 5}},
		"no Retries":  {[]queue.Option{queue.Retries(5), queue.Retries(0)}, queue.Message{}},
		"Spaced":      {[]queue.Option{queue.Spaced(queue.Backoff{Base: 1, Max: 2})}, queue.Message{Backoff: queue.Backoff{Base: 1, Max: 2}}},
		"Timeout":     {[]queue.Option{queue.Timeout(time.Minute)}, queue.Message{Timeout: time.Minute}},
		"Delay":       {[]queue.Option{queue.At(at), queue.Delay(time.Hour)}, queue.Message{Delay: time.Hour}},
		"At":          {[]queue.Option{queue.Delay(time.Hour), queue.At(at)}, queue.Message{RunAt: at}},
		"Expire":      {[]queue.Option{queue.Expire(time.Minute)}, queue.Message{Expire: time.Minute}},
		"Keep":        {[]queue.Option{queue.Keep(time.Minute)}, queue.Message{Keep: time.Minute}},
		"ID":          {[]queue.Option{queue.ID("k")}, queue.Message{Key: "k", Keep: queue.DefaultKeyKeep}},
		"ID and Keep": {[]queue.Option{queue.Keep(time.Minute), queue.ID("k")}, queue.Message{Key: "k", Keep: time.Minute}},
		"NoReply":     {[]queue.Option{queue.NoReply()}, queue.Message{NoReply: true}},
		"Prioritized": {[]queue.Option{queue.Prioritized(queue.High)}, queue.Message{Priority: queue.High}},
		"Header":      {[]queue.Option{queue.Header("a", "1"), queue.Header("b", "2"), queue.Header("a", "3")}, queue.Message{Headers: map[string]string{"a": "3", "b": "2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := *sentAs(t, c.opts...)
			got.ID, got.Payload = queue.TaskID{}, nil
			c.want.Type = "double"
			if c.want.Queue == "" {
				c.want.Queue = queue.DefaultQueue
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestWrongOptionsAreRefusedByEveryVerb(t *testing.T) {
	for name, c := range map[string]struct {
		opt  queue.Option
		want error
		says string
	}{
		"negative delay":    {queue.Delay(-1), queue.ErrOption, "Delay"},
		"negative timeout":  {queue.Timeout(-time.Second), queue.ErrOption, "Timeout is -1s"},
		"negative keep":     {queue.Keep(math.MinInt64), queue.ErrOption, "Keep"},
		"negative expire":   {queue.Expire(-1), queue.ErrOption, "Expire"},
		"negative base":     {queue.Spaced(queue.Backoff{Base: -1}), queue.ErrOption, "Backoff.Base"},
		"negative max":      {queue.Spaced(queue.Backoff{Max: -1}), queue.ErrOption, "Backoff.Max"},
		"negative retries":  {queue.Retries(-1), queue.ErrOption, "at least 0"},
		"nil codec":         {queue.Encoded(nil), queue.ErrOption, "codec"},
		"empty ID":          {queue.ID(""), queue.ErrOption, "fresh id"},
		"priority 3":        {queue.Prioritized(3), queue.ErrOption, "High, Normal or Low"},
		"empty queue":       {queue.On(""), queue.ErrName, "queue"},
		"wrong queue":       {queue.On("a b"), queue.ErrName, `"a b"`},
		"wrong stream":      {queue.OnStream("{a}"), queue.ErrName, `"{a}"`},
		"wrong group":       {queue.ReplyFrom("a/b"), queue.ErrName, "group"},
		"no window":         {queue.Window(0), queue.ErrOption, "at least 1"},
		"nil sentinel":      {queue.Sentinel("x", nil), queue.ErrOption, `"x" is nil`},
		"sentinel unnamed":  {queue.Sentinel("", errors.New("x")), queue.ErrName, "error code"},
		"error type braced": {queue.ErrorType[*quotaError]("{}"), queue.ErrName, "error code"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, double.Handler(doubling))
			bad := queue.NewTask[int, int]("double", c.opt)
			for verb, err := range map[string]error{
				"Submit": second(double.Submit(t.Context(), f, 1, c.opt)),
				"Call":   second(double.Call(t.Context(), f, 1, c.opt)),
				"Open":   second(double.Open(t.Context(), f, queue.NewTaskID(0), c.opt)),
				"task":   second(bad.Submit(t.Context(), f, 1)),
				"mux":    second(queue.NewMux([]queue.Route{bad.Handler(doubling)})),
			} {
				if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v; want %v that says %q", verb, err, c.want, c.says)
				}
			}
			futures, err := double.SubmitAll(t.Context(), f, []int{1, 2}, c.opt)
			if bulk, ok := errors.AsType[*queue.BulkError](err); !ok || len(bulk.Errs) != 2 || !errors.Is(err, c.want) || futures[0] != nil || futures[1] != nil {
				t.Errorf("SubmitAll: %v, %v", futures, err)
			}
			for it := range double.Stream(t.Context(), f, func(yield func(int) bool) { yield(1) }, c.opt) {
				if !errors.Is(it.Err, c.want) {
					t.Errorf("Stream: %v", it.Err)
				}
			}
			if f.count() != 0 {
				t.Errorf("%d tasks were submitted all the same", f.count())
			}
		})
	}
}

func TestOptionsThatContradictEachOtherAreRefused(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	many := make([]queue.Option, 1001)
	for i := range many {
		many[i] = queue.Header(strconv.Itoa(i), "")
	}
	for name, opts := range map[string][]queue.Option{
		"priority on a stream": {queue.OnStream("s"), queue.Prioritized(queue.High)},
		"expire on a stream":   {queue.OnStream("s"), queue.Expire(time.Second)},
		"group of a list":      {queue.On("l"), queue.ReplyFrom("g")},
		"1001 headers":         many,
	} {
		if _, err := double.Submit(t.Context(), f, 1, opts...); !errors.Is(err, queue.ErrOption) || f.count() != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := double.Submit(t.Context(), f, 1, many[:1000]...); err != nil {
		t.Errorf("1000 headers: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestWrongTaskNamesAreRefused(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	for _, name := range []string{"", "a b", strings.Repeat("x", 129)} {
		task := queue.NewTask[int, int](name)
		if _, err := task.Submit(t.Context(), f, 1); !errors.Is(err, queue.ErrName) {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := queue.NewMux([]queue.Route{task.Handler(doubling)}); !errors.Is(err, queue.ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestTheFirstMistakeIsTold(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	_, err := double.Submit(t.Context(), f, 1, queue.Retries(-7), queue.Delay(-9))
	if err == nil || !strings.Contains(err.Error(), "-7") {
		t.Errorf("got %v, want the one about Retries", err)
	}
}

func TestAVerbsOptionsWinAndDoNotStick(t *testing.T) {
	task := queue.NewTask[int, int]("double", queue.Retries(3), queue.Header("a", "task"))
	f := newFake(t, task.Handler(doubling))
	if _, err := task.Submit(t.Context(), f, 1, queue.Retries(1), queue.Header("a", "verb"), queue.Header("b", "verb")); err != nil {
		t.Fatal(err)
	}
	if _, err := task.Submit(t.Context(), f, 1); err != nil {
		t.Fatal(err)
	}
	if m := f.sent[0]; m.Retries != 1 || m.Headers["a"] != "verb" {
		t.Errorf("the verb's options do not win: %+v", m)
	}
	if m := f.sent[1]; m.Retries != 3 || !reflect.DeepEqual(m.Headers, map[string]string{"a": "task"}) {
		t.Errorf("one submission's options changed the task: %+v", m)
	}
}

func TestOneTaskSubmittedConcurrentlyWithOptions(t *testing.T) {
	e := errors.New("e")
	task := queue.NewTask[int, int]("double", queue.Header("a", "1"), queue.Sentinel("a", e), queue.Sentinel("b", e), queue.Sentinel("c", e))
	f := newFake(t, task.Handler(doubling))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			v, err := task.Call(t.Context(), f, i, queue.Header("b", "2"), queue.Sentinel("d", e))
			if v != 2*i || err != nil {
				t.Errorf("%d: %d, %v", i, v, err)
			}
		})
	}
	wg.Wait()
}

func TestPriorityNames(t *testing.T) {
	for p, want := range map[queue.Priority]string{queue.High: "high", queue.Normal: "normal", queue.Low: "low"} {
		if p.String() != want {
			t.Errorf("%d is %q, want %q", p, p, want)
		}
	}
}

func TestArgumentsThatCannotBeEncodedAreRefused(t *testing.T) {
	f := newFake(t, double.Handler(doubling))
	channels := queue.NewTask[chan int, int]("channels")
	if _, err := channels.Submit(t.Context(), f, make(chan int)); !errors.Is(err, queue.ErrEncode) || !strings.Contains(err.Error(), "chan int") {
		t.Errorf("got %v", err)
	}
	explosive := queue.NewTask[bomb, int]("explosive", queue.Encoded(queue.JSON))
	if _, err := explosive.Submit(t.Context(), f, bomb{}); !errors.Is(err, queue.ErrEncode) || !strings.Contains(err.Error(), "bang") {
		t.Errorf("an encoder that panics: %v", err)
	}
}

// bomb panics when it is encoded or decoded.
type bomb struct{}

func (bomb) MarshalJSON() ([]byte, error) { panic("bang") }
func (*bomb) UnmarshalJSON([]byte) error  { panic("bang") }
