package shared

import (
	"math"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestFencedRefusesOldTokens(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		ctx := t.Context()
		f := sure[*Fenced[string]](t)(OpenFenced[string](managerOn(t, dial()), "f"))
		if _, token, ok, err := f.Read(ctx); token != 0 || ok || err != nil {
			t.Error(token, ok, err)
		}
		for i, step := range []struct {
			token uint64
			old   bool
		}{
			{9, false}, {9, false}, {10, false}, {9, true}, {99, false}, {100, false}, {99, true}, {1, true}, {0, true},
			{math.MaxUint64 - 1, false}, {math.MaxUint64, false}, {math.MaxUint64 - 1, true}, {math.MaxUint64, false},
		} {
			before, seen, _, _ := f.Read(ctx)
			v := string(rune('a' + i))
			err := f.Write(ctx, step.token, v)
			got, token, ok, rerr := f.Read(ctx)
			if rerr != nil || !ok {
				t.Fatal(ok, rerr)
			}
			if step.old {
				is(t, err, ErrStale)
				if got != before || token != seen {
					t.Errorf("token %d was refused and the value is %q of %d all the same", step.token, got, token)
				}
			} else if err != nil || got != v || token != step.token {
				t.Errorf("token %d: %v; the value is %q of %d", step.token, err, got, token)
			}
		}
	})
}

func TestFencedBars(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() redis.UniversalClient) {
		ctx := t.Context()
		f := sure[*Fenced[int]](t)(OpenFenced[int](managerOn(t, dial()), "f"))
		if err := f.Bar(ctx, 7); err != nil {
			t.Error(err)
		}
		is(t, f.Write(ctx, 6, 1), ErrStale)
		if _, token, ok, err := f.Read(ctx); token != 7 || ok || err != nil {
			t.Error(token, ok, err)
		}
		if err := f.Write(ctx, 7, 1); err != nil {
			t.Error(err)
		}
		is(t, f.Bar(ctx, 6), ErrStale)
		other := sure[*Fenced[string]](t)(OpenFenced[string](f.m, "f"))
		_, _, _, err := other.Read(ctx)
		is(t, err, ErrMismatch)
		if err := f.Delete(ctx); err != nil {
			t.Error(err)
		}
		if _, token, ok, err := f.Read(ctx); token != 0 || ok || err != nil {
			t.Error(token, ok, err)
		}
	})
}
