package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"qkv/bench/result"
)

// failing is a cluster whose puts wait while its leader is dead, and for as long as it takes others to notice.
type failing struct {
	name string
	mu   sync.Mutex
	down chan struct{} // closed when puts go on
	did  []string
}

const failingFor = 300 * time.Millisecond

func (c *failing) Healthy(context.Context) (int, error) { return 1, nil }

func (c *failing) Clients(_ context.Context, first int) ([]FailoverClient, error) {
	c.note("client at " + string(rune('0'+first)))
	put := func(ctx context.Context, _, _ []byte) error {
		c.mu.Lock()
		down := c.down
		c.mu.Unlock()
		select {
		case <-down:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return []FailoverClient{{Side: c.name, Put: put, Close: func() error { return nil }}}, nil
}

func (c *failing) note(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.did = append(c.did, what)
}

func (c *failing) Signal(member int, s syscall.Signal) error {
	c.note(s.String() + " " + string(rune('0'+member)))
	if c.name == "b" {
		c.stall()
	}
	return nil
}

// stall lets puts wait for failingFor.
func (c *failing) stall() {
	down := make(chan struct{})
	c.mu.Lock()
	c.down = down
	c.mu.Unlock()
	time.AfterFunc(failingFor, func() { close(down) })
}

func (c *failing) Start(member int) error {
	c.note("start " + string(rune('0'+member)))
	if c.name == "a" {
		c.stall()
	}
	return nil
}

func (c *failing) Cut(member int, outgoing, incoming bool) error {
	c.note(fmt.Sprintf("cut %d, outgoing %v, incoming %v", member, outgoing, incoming))
	return nil
}

func (c *failing) Move(context.Context, int, int) error { return errors.New("no failure moves") }

func (c *failing) Stop() error { c.note("stop"); return nil }

// TestFailover: the sides take turns, each failure has its end, clients begin at the leader and at a follower. Side b's puts wait when the
// leader fails, and side a's when it returns: each has that gap.
func TestFailover(t *testing.T) {
	up := make(chan struct{})
	close(up)
	sides := []*failing{{name: "a", down: up}, {name: "b", down: up}}
	var order []string
	f := &Failover{Failures: Failures()[:1], Tries: 2, rest: 50 * time.Millisecond}
	f.Progress = func(what string) { order = append(order, what) }
	for _, s := range sides {
		f.Sides = append(f.Sides, FailoverSide{s.name, func(context.Context, int) (FailoverCluster, error) { return s, nil }})
	}
	rows, _, err := f.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a: leader killed", "b: leader killed", "b: leader killed", "a: leader killed"}; !slices.Equal(order, want) {
		t.Errorf("the order is %q", order)
	}
	want := []string{"client at 1", "client at 2", "killed 1", "start 1"}
	if did := sides[1].did; !slices.Equal(did, append(slices.Concat(want, want), "stop")) {
		t.Errorf("what happened to b is %q", did)
	}
	if len(rows) != 4 {
		t.Fatalf("%d rows of two sides with two clients each", len(rows))
	}
	for _, row := range rows {
		for _, run := range row.Runs {
			gap := time.Duration(run.Values[result.WriteGap] * float64(time.Second))
			back := time.Duration(run.Values["gap_at_the_return_seconds"] * float64(time.Second))
			longer, shorter := gap, back
			if row.Side == "a" {
				longer, shorter = back, gap
			}
			if len(row.Runs) != 2 || run.Count == 0 || longer < failingFor/2 || shorter >= longer {
				t.Errorf("%s, client at %s: %d puts, a gap of %v, and of %v at the return, in %d runs",
					row.Side, row.Parameters["client at"], run.Count, gap, back, len(row.Runs))
			}
		}
	}
}

// TestFailures: each failure does what its name says, to the leader, and its end undoes that.
func TestFailures(t *testing.T) {
	all := map[string][]string{
		"leader killed":                  {"killed 1", "start 1"},
		"leader stopped":                 {"stopped (signal) 1", "continued 1"},
		"leader's host lost":             {"cut 1, outgoing true, incoming true", "cut 1, outgoing false, incoming false"},
		"leader's outgoing packets lost": {"cut 1, outgoing true, incoming false", "cut 1, outgoing false, incoming false"},
		"leader's incoming packets lost": {"cut 1, outgoing false, incoming true", "cut 1, outgoing false, incoming false"},
	}
	for _, f := range Failures() {
		want, ok := all[f.Name]
		if !ok {
			continue // no failure of one member
		}
		delete(all, f.Name)
		c := &failing{}
		if err := errors.Join(f.cause(t.Context(), c, 1), f.undo(c, 1)); err != nil || !slices.Equal(c.did, want) {
			t.Errorf("%s: %v, %q", f.Name, err, c.did)
		}
	}
	if len(all) > 0 {
		t.Errorf("not measured: %v", all)
	}
}

// TestGap: a gap begins at the last acknowledgement before the event, ends at the first one after it, and counts up to the end if there is
// none.
func TestGap(t *testing.T) {
	begun := time.Now()
	at := func(ms int) time.Time { return begun.Add(time.Duration(ms) * time.Millisecond) }
	p := &gapProbe{acks: []time.Time{at(0), at(90), at(100), at(400), at(405), at(1000)}}
	for _, c := range []struct{ from, to, want int }{{110, 410, 300}, {110, 900, 495}, {402, 1001, 595}, {1001, 3000, 2000}, {0, 99, 90}} {
		if gap := p.gap(at(c.from), at(c.to)); gap != time.Duration(c.want)*time.Millisecond {
			t.Errorf("from %d to %d ms the gap is %v, not %d ms", c.from, c.to, gap, c.want)
		}
	}
}

// TestWatchedGapStillOpen: a gap that lasts to the end of the watch is in the result as well as in the report.
func TestWatchedGapStillOpen(t *testing.T) {
	c := &failing{name: "a", down: make(chan struct{})} // no put is ever acknowledged
	ctx, cancel := context.WithTimeout(t.Context(), 3*watchedGap)
	defer cancel()
	var reported []time.Duration
	clients, err := c.Clients(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	rows := new(Failover).WatchGaps(ctx, clients[0], func(_ time.Time, gap time.Duration) { reported = append(reported, gap) })
	if len(rows) != 1 || len(rows[0].Runs) != 1 || len(reported) != 1 {
		t.Fatalf("%d gaps are reported, and the result is %+v", len(reported), rows)
	}
	if run := rows[0].Runs[0]; run.Values[result.WriteGap] != reported[0].Seconds() || run.Seconds != reported[0].Seconds() {
		t.Errorf("a gap of %v is reported, and the result is %+v", reported[0], run)
	}
}
