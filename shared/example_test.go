package shared_test

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/embedded"
	"github.com/cenote-go/cenote/shared"
)

// begin makes a manager over a Redis inside this process, in place of
// redis.NewClient with the address of one.
func begin() (m *shared.Manager, end func()) {
	redis, err := embedded.StartPrivate()
	if err != nil {
		panic(err)
	}
	rdb := redis.Client()
	return manage(rdb), func() { _ = rdb.Close(); redis.Close() }
}

func manage(rdb *redis.Client) *shared.Manager {
	m, err := shared.New(rdb)
	if err != nil {
		panic(err)
	}
	return m
}

func ExampleOpenValue() {
	ctx := context.Background()
	m, end := begin()
	defer end()
	defer m.Close(ctx)

	type Route struct {
		By     string
		Meters int
	}
	best, err := shared.OpenValue[Route](m, "best-route")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, found := range []Route{{"bus", 900}, {"foot", 700}, {"car", 1200}} {
		_, err := best.Update(ctx, func(now Route) (Route, error) {
			if now.By == "" || found.Meters < now.Meters {
				return found, nil
			}
			return now, nil
		})
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(best.Get(ctx))
	// Output: {foot 700} <nil>
}

func ExampleOpenCounter() {
	ctx := context.Background()
	m, end := begin()
	defer end()
	defer m.Close(ctx)

	hits, _ := shared.OpenCounter(m, "hits")
	n, err := hits.Add(ctx, 2)
	fmt.Println(n, err)
	n, err = hits.Reset(ctx) // what was counted since the last time
	fmt.Println(n, err)
	// Output:
	// 2 <nil>
	// 2 <nil>
}

func ExampleOpenArray() {
	ctx := context.Background()
	m, end := begin()
	defer end()
	defer m.Close(ctx)

	pixels, _ := shared.OpenArray[uint8](m, "pixels", 8)
	_ = pixels.SetSlice(ctx, 2, []uint8{10, 20, 30})
	_, err := pixels.Add(ctx, 3, 250)
	fmt.Println(err)
	fmt.Println(pixels.Slice(ctx, 0, pixels.Len()))
	// Output:
	// shared array "pixels": the number would overflow
	// [0 0 10 20 30 0 0 0] <nil>
}

func ExampleOpenDict() {
	ctx := context.Background()
	m, end := begin()
	defer end()
	defer m.Close(ctx)

	words, _ := shared.OpenDict[string, int](m, "words")
	for _, w := range []string{"to", "be", "or", "not", "to", "be"} {
		_, _ = words.Update(ctx, w, func(n int, _ bool) (int, error) { return n + 1, nil })
	}
	n, ok, err := words.Get(ctx, "be")
	fmt.Println(n, ok, err)
	// Output: 2 true <nil>
}

func ExampleOpenList() {
	ctx := context.Background()
	m, end := begin()
	defer end()
	defer m.Close(ctx)

	todo, _ := shared.OpenList[string](m, "todo")
	_ = todo.Append(ctx, "wash", "rinse", "repeat")
	first, err := todo.PopFront(ctx)
	fmt.Println(first, err)
	for v, err := range todo.All(ctx) {
		fmt.Println(v, err)
	}
	// Output:
	// wash <nil>
	// rinse <nil>
	// repeat <nil>
}

func ExampleValue_Watch() {
	ctx := context.Background()
	m, end := begin()
	defer end()
	defer m.Close(ctx)

	speed, _ := shared.OpenValue[int](m, "speed")
	_ = speed.Set(ctx, 1)
	for now, err := range speed.Watch(ctx) {
		fmt.Println(now, err)
		if now == 3 {
			break
		}
		_ = speed.Set(ctx, now+1)
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 3 <nil>
}

// A reference travels in a task's argument, or anywhere else.
func ExampleCounter_Ref() {
	ctx := context.Background()
	m, end := begin()
	defer end()
	defer m.Close(ctx)

	hits, _ := shared.OpenCounter(m, "hits")
	ref := hits.Ref()
	_, _ = hits.Add(ctx, 1)

	same, _ := shared.OpenCounter(m, ref)
	fmt.Println(same.Get(ctx))
	_, err := shared.OpenValue[int](m, ref)
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// the shared object is of another type: "counter/hits" refers to a counter, not to a value
}
