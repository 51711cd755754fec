package shared

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// modelled runs steps on objects that two programs have opened under a new name, one of
// which loses replies.
func modelled(t *testing.T, check func(rt *rapid.T, b *bed, name string, managers []*Manager)) {
	everywhere(t, func(t *testing.T, b *bed) {
		managers := []*Manager{b.manager(), b.forgetful()}
		var n atomic.Int64
		rapid.Check(t, func(rt *rapid.T) { check(rt, b, fmt.Sprint("o", n.Add(1)), managers) })
	})
}

func opened[O any](rt *rapid.T, managers []*Manager, open func(m *Manager) (O, error)) func() O {
	var all []O
	for _, m := range managers {
		o, err := open(m)
		if err != nil {
			rt.Fatal(err)
		}
		all = append(all, o)
	}
	return func() O { return rapid.SampledFrom(all).Draw(rt, "program") }
}

// same compares what an object came to with what its model did.
func same[T any](rt *rapid.T, what string, got, want T, err, wantErr error) {
	if !errors.Is(err, wantErr) || wantErr == nil && err != nil {
		rt.Fatalf("%s: error %v, want %v", what, err, wantErr)
	}
	if g, w := fmt.Sprint(got), fmt.Sprint(want); wantErr == nil && g != w {
		rt.Fatalf("%s: %s, want %s", what, g, w)
	}
}

func TestListIsLikeASlice(t *testing.T) {
	modelled(t, func(rt *rapid.T, b *bed, name string, managers []*Manager) {
		l := opened(rt, managers, func(m *Manager) (*List[int], error) { return OpenList[int](m, name) })
		var model []int
		index := func() (int, error) {
			i := rapid.IntRange(-1, len(model)).Draw(rt, "index")
			if i < 0 || i >= len(model) {
				return i, ErrIndex
			}
			return i, nil
		}
		element := rapid.Int()
		several := rapid.SliceOfN(element, 0, 5)
		none := struct{}{}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				vs := several.Draw(rt, "elements")
				same(rt, "append", none, none, l().Append(b.ctx, vs...), nil)
				model = append(model, vs...)
			},
			"prepend": func(rt *rapid.T) {
				vs := several.Draw(rt, "elements")
				same(rt, "prepend", none, none, l().Prepend(b.ctx, vs...), nil)
				model = slices.Concat(vs, model)
			},
			"insert": func(rt *rapid.T) {
				i, v := rapid.IntRange(-1, len(model)+1).Draw(rt, "index"), element.Draw(rt, "element")
				var want error
				if i < 0 || i > len(model) {
					want = ErrIndex
				} else {
					model = slices.Insert(model, i, v)
				}
				same(rt, "insert", none, none, l().Insert(b.ctx, i, v), want)
			},
			"set": func(rt *rapid.T) {
				i, want := index()
				v := element.Draw(rt, "element")
				same(rt, "set", none, none, l().Set(b.ctx, i, v), want)
				if want == nil {
					model[i] = v
				}
			},
			"update": func(rt *rapid.T) {
				i, want := index()
				got, err := l().Update(b.ctx, i, func(v int) (int, error) { return v + 1, nil })
				if want == nil {
					model[i]++
					same(rt, "update", got, model[i], err, nil)
				} else {
					same(rt, "update", 0, 0, err, want)
				}
			},
			"remove": func(rt *rapid.T) {
				i, want := index()
				v := 0
				if want == nil {
					v = model[i]
					model = slices.Delete(model, i, i+1)
				}
				got, err := l().Remove(b.ctx, i)
				same(rt, "remove", got, v, err, want)
			},
			"pop": func(rt *rapid.T) {
				got, err := l().Pop(b.ctx)
				if len(model) == 0 {
					same(rt, "pop", 0, 0, err, ErrEmpty)
					return
				}
				same(rt, "pop", got, model[len(model)-1], err, nil)
				model = model[:len(model)-1]
			},
			"pop front": func(rt *rapid.T) {
				got, err := l().PopFront(b.ctx)
				if len(model) == 0 {
					same(rt, "pop front", 0, 0, err, ErrEmpty)
					return
				}
				same(rt, "pop front", got, model[0], err, nil)
				model = model[1:]
			},
			"get": func(rt *rapid.T) {
				i, want := index()
				got, err := l().Get(b.ctx, i)
				if want != nil {
					same(rt, "get", 0, 0, err, want)
					return
				}
				same(rt, "get", got, model[i], err, nil)
			},
			"slice": func(rt *rapid.T) {
				i := rapid.IntRange(0, len(model)).Draw(rt, "from")
				j := rapid.IntRange(i, len(model)+1).Draw(rt, "to")
				got, err := l().Slice(b.ctx, i, j)
				same(rt, "slice", got, model[i:min(j, len(model))], err, nil)
			},
			"delete": func(rt *rapid.T) {
				same(rt, "delete", none, none, l().Delete(b.ctx), nil)
				model = nil
			},
			"": func(rt *rapid.T) {
				n, err := l().Len(b.ctx)
				same(rt, "len", n, len(model), err, nil)
				var all []int
				for v, err := range l().All(b.ctx) {
					same(rt, "all", none, none, err, nil)
					all = append(all, v)
				}
				same(rt, "all", all, model, nil, nil)
			},
		})
	})
}

func TestDictIsLikeAMap(t *testing.T) {
	modelled(t, func(rt *rapid.T, b *bed, name string, managers []*Manager) {
		d := opened(rt, managers, func(m *Manager) (*Dict[int16, string], error) { return OpenDict[int16, string](m, name) })
		model := map[int16]string{}
		keys := rapid.Int16Range(-2, 3)
		type found struct {
			v  string
			ok bool
		}
		there := func(k int16) found { v, ok := model[k]; return found{v, ok} }
		none := struct{}{}
		rt.Repeat(map[string]func(*rapid.T){
			"set": func(rt *rapid.T) {
				k, v := keys.Draw(rt, "key"), rapid.String().Draw(rt, "value")
				same(rt, "set", none, none, d().Set(b.ctx, k, v), nil)
				model[k] = v
			},
			"set default": func(rt *rapid.T) {
				k, v := keys.Draw(rt, "key"), rapid.String().Draw(rt, "value")
				want := there(k)
				if !want.ok {
					want.v, model[k] = v, v
				}
				got, was, err := d().SetDefault(b.ctx, k, v)
				same(rt, "set default", found{got, was}, want, err, nil)
			},
			"get": func(rt *rapid.T) {
				k := keys.Draw(rt, "key")
				v, ok, err := d().Get(b.ctx, k)
				same(rt, "get", found{v, ok}, there(k), err, nil)
			},
			"remove": func(rt *rapid.T) {
				k := keys.Draw(rt, "key")
				v, ok, err := d().Remove(b.ctx, k)
				same(rt, "remove", found{v, ok}, there(k), err, nil)
				delete(model, k)
			},
			"update": func(rt *rapid.T) {
				k := keys.Draw(rt, "key")
				got, err := d().Update(b.ctx, k, func(v string, ok bool) (string, error) { return fmt.Sprint(v, ok), nil })
				want := there(k)
				model[k] = fmt.Sprint(want.v, want.ok)
				same(rt, "update", got, model[k], err, nil)
			},
			"refuse": func(rt *rapid.T) {
				refused := errors.New("refused")
				_, err := d().Update(b.ctx, keys.Draw(rt, "key"), func(string, bool) (string, error) { return "", refused })
				same(rt, "update", none, none, err, refused)
			},
			"delete": func(rt *rapid.T) {
				same(rt, "delete", none, none, d().Delete(b.ctx), nil)
				clear(model)
			},
			"": func(rt *rapid.T) {
				n, err := d().Len(b.ctx)
				same(rt, "len", n, len(model), err, nil)
				all := map[int16]string{}
				for e, err := range d().All(b.ctx) {
					same(rt, "all", none, none, err, nil)
					all[e.Key] = e.Value
				}
				same(rt, "all", all, model, nil, nil)
				var ks []int16
				for k, err := range d().Keys(b.ctx) {
					same(rt, "keys", none, none, err, nil)
					ks = append(ks, k)
				}
				slices.Sort(ks)
				same(rt, "keys", ks, slices.Sorted(maps.Keys(model)), nil, nil)
			},
		})
	})
}

func TestCounterIsLikeANumber(t *testing.T) {
	modelled(t, func(rt *rapid.T, b *bed, name string, managers []*Manager) {
		c := opened(rt, managers, func(m *Manager) (*Counter, error) { return OpenCounter(m, name) })
		model := int64(0)
		numbers := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2, 2), rapid.SampledFrom([]int64{math.MaxInt64, math.MinInt64, 1<<53 + 1, -1<<53 - 1}))
		none := struct{}{}
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(rt *rapid.T) {
				n := numbers.Draw(rt, "n")
				got, err := c().Add(b.ctx, n)
				if sum := model + n; (n >= 0) == (sum >= model) {
					model = sum
					same(rt, "add", got, model, err, nil)
				} else {
					same(rt, "add", 0, 0, err, ErrOverflow)
				}
			},
			"set": func(rt *rapid.T) {
				n := numbers.Draw(rt, "n")
				same(rt, "set", none, none, c().Set(b.ctx, n), nil)
				model = n
			},
			"reset": func(rt *rapid.T) {
				got, err := c().Reset(b.ctx)
				same(rt, "reset", got, model, err, nil)
				model = 0
			},
			"delete": func(rt *rapid.T) {
				same(rt, "delete", none, none, c().Delete(b.ctx), nil)
				model = 0
			},
			"": func(rt *rapid.T) {
				got, err := c().Get(b.ctx)
				same(rt, "get", got, model, err, nil)
			},
		})
	})
}

// arrayLike compares an array with a slice. add is how T is added, and whether it
// overflows.
func arrayLike[T Fixed](gen *rapid.Generator[T], add func(a, b T) (T, bool)) func(rt *rapid.T, ctx context.Context, name string, managers []*Manager) {
	return func(rt *rapid.T, ctx context.Context, name string, managers []*Manager) {
		length := rapid.IntRange(1, 5).Draw(rt, "length")
		a := opened(rt, managers, func(m *Manager) (*Array[T], error) { return OpenArray[T](m, name, length) })
		model := make([]T, length)
		index := rapid.IntRange(0, length-1)
		none := struct{}{}
		actions := map[string]func(*rapid.T){
			"set": func(rt *rapid.T) {
				i, v := index.Draw(rt, "index"), gen.Draw(rt, "v")
				same(rt, "set", none, none, a().Set(ctx, i, v), nil)
				model[i] = v
			},
			"set slice": func(rt *rapid.T) {
				i := index.Draw(rt, "index")
				vs := rapid.SliceOfN(gen, 0, length-i).Draw(rt, "vs")
				same(rt, "set slice", none, none, a().SetSlice(ctx, i, vs), nil)
				copy(model[i:], vs)
			},
			"get": func(rt *rapid.T) {
				i := index.Draw(rt, "index")
				got, err := a().Get(ctx, i)
				same(rt, "get", got, model[i], err, nil)
			},
			"compare and swap": func(rt *rapid.T) {
				i, to := index.Draw(rt, "index"), gen.Draw(rt, "to")
				old := rapid.OneOf(rapid.Just(model[i]), gen).Draw(rt, "old")
				ok, err := a().CompareAndSwap(ctx, i, old, to)
				same(rt, "swap", ok, model[i] == old, err, nil)
				if ok {
					model[i] = to
				}
			},
			"out of range": func(rt *rapid.T) {
				i := rapid.SampledFrom([]int{-1, length}).Draw(rt, "index")
				_, err := a().Get(ctx, i)
				same(rt, "get", none, none, err, ErrIndex)
				same(rt, "set", none, none, a().Set(ctx, i, model[0]), ErrIndex)
				_, err = a().Slice(ctx, i, i+2)
				same(rt, "slice", none, none, err, ErrIndex)
			},
			"delete": func(rt *rapid.T) {
				same(rt, "delete", none, none, a().Delete(ctx), nil)
				clear(model)
			},
			"": func(rt *rapid.T) {
				got, err := a().Slice(ctx, 0, length)
				same(rt, "slice", got, model, err, nil)
				got = nil
				for v, err := range a().All(ctx) {
					same(rt, "all", none, none, err, nil)
					got = append(got, v)
				}
				same(rt, "all", got, model, nil, nil)
			},
		}
		if add != nil {
			actions["add"] = func(rt *rapid.T) {
				i, n := index.Draw(rt, "index"), gen.Draw(rt, "n")
				got, err := a().Add(ctx, i, n)
				sum, ok := add(model[i], n)
				if !ok {
					same(rt, "add", none, none, err, ErrOverflow)
					return
				}
				model[i] = sum
				same(rt, "add", got, sum, err, nil)
			}
		}
		rt.Repeat(actions)
	}
}

func signed[T int8 | int16 | int32 | int64](a, b T) (T, bool) {
	s := a + b
	return s, (b >= 0) == (s >= a)
}

func unsigned[T uint8 | uint16 | uint32 | uint64](a, b T) (T, bool) { s := a + b; return s, s >= a }

func float[T float32 | float64](a, b T) (T, bool) { return a + b, true }

func TestArrayIsLikeASlice(t *testing.T) {
	kinds := map[string]func(*rapid.T, context.Context, string, []*Manager){
		"int8":    arrayLike(rapid.Int8(), signed[int8]),
		"int16":   arrayLike(rapid.Int16(), signed[int16]),
		"int32":   arrayLike(rapid.Int32(), signed[int32]),
		"int64":   arrayLike(rapid.Int64(), signed[int64]),
		"uint8":   arrayLike(rapid.Uint8(), unsigned[uint8]),
		"uint16":  arrayLike(rapid.Uint16(), unsigned[uint16]),
		"uint32":  arrayLike(rapid.Uint32(), unsigned[uint32]),
		"uint64":  arrayLike(rapid.Uint64(), unsigned[uint64]),
		"float32": arrayLike(rapid.Float32(), float[float32]),
		"float64": arrayLike(rapid.Float64(), float[float64]),
		"bool":    arrayLike(rapid.Bool(), nil),
	}
	modelled(t, func(rt *rapid.T, b *bed, name string, managers []*Manager) {
		kind := rapid.SampledFrom(slices.Sorted(maps.Keys(kinds))).Draw(rt, "type")
		kinds[kind](rt, b.ctx, name, managers)
	})
}
