package server

import (
	"math"
	"runtime"
	"testing"
	"time"

	"qkv/index"
	"qkv/internal/limits"
)

// TestTurnsAtATime: of eight processors two are for ranges, however many ask, and of one or two that one.
func TestTurnsAtATime(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for processors, want := range map[int]int{1: 1, 2: 1, 8: 2} {
		runtime.GOMAXPROCS(processors)
		all, got := newTurns(), 0
		for range 100 {
			if all.ask().has() {
				got++
			}
		}
		if got != want {
			t.Errorf("%d processors: %d of 100 ranges are read at a time, not %d", processors, got, want)
		}
	}
}

// has says that a turn has come, without taking its token.
func (one *turn) has() bool { return len(one.ready) > 0 }

func TestTurns(t *testing.T) {
	all := &turns{free: 1}
	a, b, c := all.ask(), all.ask(), all.ask()
	want := func(when string, of ...*turn) {
		t.Helper()
		for name, one := range map[string]*turn{"a": a, "b": b, "c": c} {
			is := false
			for _, other := range of {
				is = is || other == one
			}
			if one.has() != is {
				t.Fatalf("%s: %s has a turn: %v", when, name, one.has())
			}
		}
	}
	want("at first", a)
	a.pause()
	want("a does not use it", b)
	a.resume()
	want("a wants it again", b)
	<-b.ready
	b.done(0)
	want("b is done", a)
	a.cancel()
	<-a.ready
	want("a gives up", c)
	b = all.ask()
	b.cancel()
	<-c.ready
	c.done(0)
	if all.free != 1 || len(all.waiting) != 0 {
		t.Errorf("%d turns are free, %d wait", all.free, len(all.waiting))
	}
	a = all.ask()
	a.pause()
	b = all.ask()
	b.pause()
	want("nobody uses it")
	b.resume()
	want("b does", b)
	a.resume()
	b.pause()
	want("b does not", a)
}

// TestBodyHeldTooLong has an answer that takes long end when others' memory waits for what it reads.
func TestBodyHeldTooLong(t *testing.T) {
	now := time.Now()
	held := &body{view: &index.View{}, since: now.Add(-limits.ClientStall - 1)}
	for _, c := range []struct {
		name    string
		body    *body
		retired int64
		want    bool
	}{
		{"no body", nil, math.MaxInt64, false},
		{"one that has not begun", &body{}, math.MaxInt64, false},
		{"a short one", &body{view: &index.View{}, since: now.Add(-limits.ClientStall)}, math.MaxInt64, false},
		{"a long one", held, limits.PagesRetired + 1, true},
		{"one for which nothing waits", held, limits.PagesRetired, false},
	} {
		if got := c.body.heldTooLong(now, c.retired); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
