package client

import (
	"math/rand/v2"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/wire"
)

// The window of a write begins at the oldest one that is not over, whatever order they end in, and never has more than it may.
func TestNaming(t *testing.T) {
	testlong.Skip(t)
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := &link{}
		if w, ok := c.newWrite().name(&c.naming); !ok || w.Session != 0 {
			t.Fatalf("without a clock the name is %+v", w)
		}
		c.naming.clock.Store(7)
		var open []*call // by sequence
		next, full := uint64(1), 0
		for range 300_000 {
			if grow := r.IntN(100) < 52; grow || len(open) == 0 {
				x := c.newWrite()
				w, ok := x.name(&c.naming)
				first := next
				if len(open) > 0 {
					first = open[0].sequence
				}
				if most := next-first >= limits.SessionWindow; ok == most {
					t.Fatalf("write %d, of %d that may come again, is named: %v", next, next-first, ok)
				}
				if !ok {
					full++
					open[0].releaseName(true)
					open = open[1:]
					continue
				}
				if w.Sequence != next || w.Window != next+1-first || w.Session == 0 || (w.Opened == 0) != (next > 1 && c.naming.current.opened == 0) {
					t.Fatalf("the name is %+v, want sequence %d, window %d", w, next, next+1-first)
				}
				next++
				open = append(open, x)
				continue
			}
			i := r.IntN(len(open))
			if seed%2 == 0 && i == 0 && r.IntN(1000) > 0 { // the oldest one stays
				i = len(open) - 1
			}
			if again, ok := open[i].name(&c.naming); !ok || again.Sequence != open[i].sequence || again.Sequence+1-again.Window != open[0].sequence {
				t.Fatalf("sent again it is %+v, and the oldest is %d", again, open[0].sequence)
			}
			if n := min(r.IntN(4), len(open)-i); n > 0 && r.IntN(50) == 0 { // some that are answered together, one of them with a refusal
				came := make([]arrival, n)
				for j := range came {
					came[j].call = open[i+j]
				}
				refused := open[i]
				came[0].answer.Code = kv.Unavailable
				c.naming.releaseAnswered(came)
				if refused.session == nil {
					t.Fatal("a write that is refused has lost its name")
				}
				open = append(open[:i+1], open[i+n:]...)
			}
			open[i].releaseName(r.IntN(2) == 0)
			open = append(open[:i], open[i+1:]...)
		}
		t.Logf("%d writes, %d open, full %d times", next-1, len(open), full)
	}
}

// A session is there once a member has answered a write of it: until then each write says when it was opened, or it would not begin.
func TestSessionIsThereWhenAnswered(t *testing.T) {
	c := &link{}
	c.naming.clock.Store(7)
	for i, answered := range []bool{false, false, true, false} {
		x := c.newWrite()
		if w, ok := x.name(&c.naming); !ok || w.Opened != []int64{7, 7, 7, 0}[i] {
			t.Errorf("write %d: %+v, %v", i, w, ok)
		}
		x.releaseName(answered)
	}
}

func (l *link) newWrite() *call {
	x := newCall(wire.OpPut)
	x.link = l
	return x
}

// A write that is sent again has its name already. It goes before writes that may wait until its name is over.
func TestWriteThatIsSentAgainGoesFirst(t *testing.T) {
	l := &link{dialing: true}
	l.naming.clock.Store(7)
	again, later := l.newWrite(), l.newWrite()
	if _, ok := again.name(&l.naming); !ok {
		t.Fatal("it has no name")
	}
	l.park(later)
	l.park(again)
	if len(l.waiting) != 2 || l.waiting[0] != again || l.waiting[1] != later {
		t.Errorf("of %d writes that wait, the one that is sent again is not the first", len(l.waiting))
	}
}

// A session in which nothing is under way is given up after a pause, before a member may have ended it; one in which something
// is keeps its names.
func TestSessionAfterAPause(t *testing.T) {
	c := &link{}
	c.naming.clock.Store(7)
	at := time.Now()
	name := func(after time.Duration) (*call, uint64) {
		at = at.Add(after)
		x := c.newWrite()
		x.begun = at
		w, ok := x.name(&c.naming)
		if !ok {
			t.Fatal("it has no name")
		}
		return x, w.Session
	}
	a, first := name(0)
	a.releaseName(true)
	b, second := name(sessionIdle)
	d, third := name(sessionIdle + 1)
	if second != first || third != first {
		t.Errorf("sessions %x, %x after a short pause, %x while a write is under way", first, second, third)
	}
	b.releaseName(true)
	d.releaseName(true)
	if _, fourth := name(sessionIdle + 1); fourth == first {
		t.Error("the same session after a pause in which it may have ended")
	}
}

// A member that is behind tells an older session clock, which says nothing.
func TestSessionClockNeverGoesBack(t *testing.T) {
	c := &link{}
	for _, told := range []struct{ clock, want int64 }{{7, 7}, {5, 7}, {0, 7}, {8, 8}} {
		if c.learnClock(&kv.Status{Values: figures.Values{int64(figures.SessionClock), told.clock}}); c.naming.clock.Load() != told.want {
			t.Errorf("told %d it keeps %d, want %d", told.clock, c.naming.clock.Load(), told.want)
		}
	}
}
