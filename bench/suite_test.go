package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"qkv/bench/result"
	"qkv/internal/testretry"
)

// slowStore answers each request after a time; while it stalls, none.
type slowStore struct {
	mu    sync.Mutex
	takes time.Duration
	until time.Time // of the stall
	gone  bool      // it answers no more than errors
}

func (s *slowStore) Do(r *Request) {
	s.mu.Lock()
	at := time.Now().Add(s.takes)
	if at.Before(s.until) {
		at = s.until
	}
	var err error
	if s.gone {
		err = errors.New("nobody leads")
	}
	s.mu.Unlock()
	time.AfterFunc(time.Until(at), func() { r.Done(err) })
}

func (s *slowStore) stall(d time.Duration) {
	s.mu.Lock()
	s.until = time.Now().Add(d)
	s.mu.Unlock()
}

// TestOpenLoop: a stall is in the latencies of all requests that were due in it, where a closed loop sees one for each
// request in flight.
func TestOpenLoop(t *testing.T) {
	testretry.Longer(t, 300*time.Millisecond, func(t testing.TB, stall time.Duration) {
		share := func(rate float64) float64 {
			s := &slowStore{takes: time.Millisecond}
			timer := time.AfterFunc(stall, func() { s.stall(stall) })
			defer timer.Stop()
			r, err := Load(t.Context(), Config{Stores: []Store{s}, InFlight: 10, Duration: 3 * stall, Rate: rate})
			if err != nil || r.Done == 0 || r.Failed > 0 {
				t.Fatalf("%v %+v", err, r)
			}
			slow := int64(0)
			for _, bar := range r.Latencies.Histogram.Distribution() {
				if bar.From > int64(stall/5) {
					slow += bar.Count
				}
			}
			return float64(slow) / float64(r.Done)
		}
		// A third of the requests were due in the stall, four fifths of those more than a fifth of it before its end.
		if open, closed := share(500), share(0); open < 0.2 || closed > open/2 {
			t.Errorf("open loop: %.3f of the requests were slow; closed loop: %.3f", open, closed)
		}
	})
}

// TestStallOfALoad: where what was begun in the warm-up is answered when the time is over, one more request is made, and counts.
func TestStallOfALoad(t *testing.T) {
	const stall = 50 * time.Millisecond
	s := &slowStore{}
	config := Config{Stores: []Store{s}, InFlight: 10, WarmUp: stall / 10, Duration: stall / 10}
	s.stall(stall)
	if r, err := Load(t.Context(), config); err != nil || r.Done == 0 || r.Rate == 0 {
		t.Errorf("a load by one request: %v %+v", err, r)
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(config.complete())
	j := &job{Config: config, ctx: t.Context()}
	s.stall(stall)
	must(j.closed(10, func(*rand.Rand, int) error { return put(t.Context(), s, []byte("k"), nil) }))
	if j.run.Count == 0 {
		t.Errorf("a special load: %+v", j.run)
	}
}

// TestWarmUpIsNotRecorded: what was begun in the warm-up is in no figure, also where it ends behind it.
func TestWarmUpIsNotRecorded(t *testing.T) {
	testretry.Longer(t, 100*time.Millisecond, func(t testing.TB, stall time.Duration) {
		s := &slowStore{takes: time.Millisecond}
		s.stall(stall)
		r, err := Load(t.Context(), Config{Stores: []Store{s}, InFlight: 10, WarmUp: stall / 2, Duration: 2 * stall})
		if err != nil || r.Done == 0 || r.Latencies.Max >= stall/2 {
			t.Errorf("%v %+v", err, r)
		}
	})
}

// TestOpenLoopRate: what is begun is what was asked for.
func TestOpenLoopRate(t *testing.T) {
	r, err := Load(t.Context(), Config{Stores: []Store{&slowStore{}}, InFlight: 100, Duration: 500 * time.Millisecond, Rate: 400})
	if err != nil || r.Done != 200 {
		t.Errorf("%v: %d requests, not 200", err, r.Done)
	}
}

// fakeSide is a side of a suite that notes what becomes of it.
type fakeSide struct {
	name   string
	store  *slowStore
	story  *[]string
	fails  bool
	killed time.Duration // how long its store stalls when the leader is killed
}

// killStall is for how long a killed leader is away.
const killStall = 200 * time.Millisecond

type fakeCluster struct{ *fakeSide }

func (s *fakeSide) Describe() result.Side { return result.Side{Name: s.name} }

func (s *fakeSide) Start(_ context.Context, members int) (Cluster, error) {
	*s.story = append(*s.story, fmt.Sprintf("%s starts %d", s.name, members))
	if s.fails {
		return nil, errors.New("no space left")
	}
	return fakeCluster{s}, nil
}

func (c fakeCluster) Stores() []Store { return []Store{c.store} }

func (c fakeCluster) KillLeader(context.Context) error {
	if c.name == "b" {
		return ErrNotPossible
	}
	c.store.stall(c.killed)
	return nil
}

func (c fakeCluster) Stop() error {
	*c.story = append(*c.story, c.name+" stops")
	return nil
}

// TestSuite: sides are measured in turns, each time anew; rows have a run each time; and what one cannot do is a note.
func TestSuite(t *testing.T) {
	works := []Work{
		{Name: "put", Mode: result.Closed, Op: Put, InFlight: 4},
		{Name: "killed", Mode: result.Event, Op: Put, InFlight: 4, Least: 3, kind: killWork},
	}
	suite := func(story *[]string, slower, duration time.Duration) *Suite {
		return &Suite{
			Sides:   []Side{&fakeSide{"a", &slowStore{takes: time.Millisecond}, story, false, killStall}, &fakeSide{"b", &slowStore{takes: slower}, story, false, killStall}},
			Members: []int{1}, Works: works, Runs: 4, Duration: duration, WarmUp: time.Millisecond,
		}
	}
	// A machine that does something else for a while makes any side slow: then there is more time.
	testretry.Longer(t, 50*time.Millisecond, func(t testing.TB, duration time.Duration) {
		var story []string
		s := suite(&story, 20*time.Millisecond, duration)
		steps := 0
		s.Progress = func(string, int, int) { steps++ }
		rows, notes, err := s.Run(t.Context())
		if err != nil || len(rows) != 2 || len(rows[0].Runs) != 4 || len(notes) != 0 || steps != s.Steps() {
			t.Fatalf("%v: %d rows, notes %v, %d steps of %d", err, len(rows), notes, steps, s.Steps())
		}
		want := "a starts 1, a stops, b starts 1, b stops, b starts 1, b stops, a starts 1, a stops"
		if got := strings.Join(story[:8], ", "); got != want {
			t.Errorf("the order is %s, not %s", got, want)
		}
		f := result.File{Sides: []result.Side{{Name: "a"}, {Name: "b"}}, Rows: rows}
		table := f.Tables()[0]
		if claim := table.Lines[0][4]; !strings.HasPrefix(claim, "0.") { // b takes twenty times as long
			t.Errorf("the rate of b differs from a's by %s: %v", claim, table.Lines)
		}
	})
	testretry.Longer(t, killStall, func(t testing.TB, limit time.Duration) { // what was asked before the stall may be answered late in it
		var story []string
		s := suite(&story, 4*time.Millisecond, limit/4)
		for _, side := range s.Sides {
			side.(*fakeSide).killed = limit
		}
		s.Members, s.Runs, s.Works, s.KillRest = []int{3}, 1, works[1:], limit*5/2
		rows, notes, err := s.Run(t.Context())
		if err != nil || len(rows) != 1 || rows[0].Runs[0].Values["write_gap_seconds"] < limit.Seconds()*3/4 || !slices.Contains(notes, "b: killed is not possible there") {
			t.Errorf("%v %+v %v", err, rows, notes)
		}
	})
}

// goneSide has a store that never comes back when its leader is killed.
type goneSide struct{ fakeSide }

func (s *goneSide) Start(context.Context, int) (Cluster, error) {
	return goneCluster{fakeCluster{&s.fakeSide}}, nil
}

type goneCluster struct{ fakeCluster }

func (c goneCluster) KillLeader(context.Context) error {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	c.store.gone = true
	return nil
}

// TestGapWithoutEnd: what does not come back when its leader is killed has a gap as long as one waited for it, at least.
func TestGapWithoutEnd(t *testing.T) {
	const rest = 300 * time.Millisecond
	var story []string
	side := &goneSide{fakeSide{"a", &slowStore{takes: time.Millisecond}, &story, false, 0}}
	s := Suite{
		Sides: []Side{side}, Members: []int{3}, Runs: 1, KillRest: rest, Duration: time.Second,
		Works: []Work{{Name: "killed", Mode: result.Event, Op: Put, InFlight: 4, Least: 3, kind: killWork}},
	}
	rows, _, err := s.Run(t.Context())
	if err != nil || len(rows) != 1 || rows[0].Runs[0].Values["write_gap_seconds"] < rest.Seconds()*3/4 {
		t.Errorf("%v %+v", err, rows)
	}
}

// endingSide has a member that ends under the load.
type endingSide struct{ fakeSide }

func (s *endingSide) Start(context.Context, int) (Cluster, error) {
	return endingCluster{fakeCluster{&s.fakeSide}}, nil
}

type endingCluster struct{ fakeCluster }

func (endingCluster) Ended() error { return errors.New("m2 ended: signal: killed") }

// TestMemberEnds: a load under which a member ended is no figure; the suite ends with the member's name, and stops the rest.
func TestMemberEnds(t *testing.T) {
	var story []string
	s := Suite{
		Sides: []Side{&endingSide{fakeSide{"b", &slowStore{}, &story, false, 0}}}, Members: []int{3}, Runs: 1, Duration: 20 * time.Millisecond,
		Works: []Work{
			{Name: "put", Mode: result.Closed, Op: Put, InFlight: 1},
			{Name: "killed", Mode: result.Event, Op: Put, InFlight: 1, kind: killWork}, // which that side cannot
		},
	}
	for range s.Works {
		rows, _, err := s.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), s.Works[0].Name+": m2 ended: signal: killed") || len(rows) > 0 {
			t.Errorf("%v %+v", err, rows)
		}
		s.Works = s.Works[1:]
	}
	if !slices.Contains(story, "b stops") {
		t.Errorf("the rest is not stopped: %v", story)
	}
}

// TestNothingSucceeds: a load of which nothing succeeds is no figure, and says why.
func TestNothingSucceeds(t *testing.T) {
	var story []string
	s := Suite{
		Sides: []Side{&fakeSide{"a", &slowStore{gone: true}, &story, false, 0}}, Members: []int{1}, Runs: 1, Duration: 20 * time.Millisecond,
		Works: []Work{{Name: "put", Mode: result.Closed, Op: Put, InFlight: 1}},
	}
	if _, _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "none succeeded, first: nobody leads") {
		t.Error(err)
	}
}

// TestSlowRate: what is due after the end is not waited for, and neither is what is due after the context's.
func TestSlowRate(t *testing.T) {
	const seldom = 0.1 // ten seconds between
	begun := time.Now()
	if r, err := Load(t.Context(), Config{Stores: []Store{&slowStore{}}, Duration: 50 * time.Millisecond, Rate: seldom}); err != nil || r.Done == 0 {
		t.Errorf("%v %+v", err, r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Load(ctx, Config{Stores: []Store{&slowStore{}}, Duration: time.Hour, Rate: seldom}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestSuiteAlike: of sides that are one and the same no difference is claimed. By the test's level one in twenty comparisons
// claims one by chance, so that four in a row do once in 160,000.
func TestSuiteAlike(t *testing.T) {
	var story []string
	s := Suite{
		Sides:   []Side{&fakeSide{"a", &slowStore{takes: time.Millisecond}, &story, false, killStall}, &fakeSide{"b", &slowStore{takes: time.Millisecond}, &story, false, killStall}},
		Members: []int{1}, Works: []Work{{Name: "put", Mode: result.Closed, Op: Put, InFlight: 4}}, Runs: 20, Duration: 20 * time.Millisecond, WarmUp: time.Millisecond,
	}
	testretry.Again(t, 4, func(t testing.TB) {
		rows, _, err := s.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f := result.File{Sides: []result.Side{{Name: "a"}, {Name: "b"}}, Rows: rows}
		if line := f.Tables()[0].Lines[0]; line[4] != "~" {
			t.Errorf("alike, and the %s differs by %s", line[1], line[4])
		}
	})
}

// TestSuiteRounds: what there is so far is told after each run but the last, and whoever cannot keep it ends the suite, which
// returns it.
func TestSuiteRounds(t *testing.T) {
	var story []string
	var told []int
	full := errors.New("no space left")
	s := Suite{
		Sides:   []Side{&fakeSide{"a", &slowStore{}, &story, false, killStall}},
		Members: []int{1}, Works: []Work{{Name: "put", Mode: result.Closed, Op: Put, InFlight: 1}}, Runs: 3, Duration: time.Millisecond, WarmUp: time.Millisecond,
		Round: func(round int, rows []result.Row, _ []string) error {
			if len(rows) != 1 || len(rows[0].Runs) != round {
				t.Errorf("after run %d: %+v", round, rows)
			}
			told = append(told, round)
			return nil
		},
	}
	if _, _, err := s.Run(t.Context()); err != nil || !slices.Equal(told, []int{1, 2}) {
		t.Errorf("%v, told after %v", err, told)
	}
	s.Round = func(int, []result.Row, []string) error { return full }
	if rows, _, err := s.Run(t.Context()); !errors.Is(err, full) || len(rows) != 1 || len(rows[0].Runs) != 1 {
		t.Errorf("%v %+v", err, rows)
	}
}

func TestSuiteFails(t *testing.T) {
	var story []string
	s := Suite{Sides: []Side{&fakeSide{"a", &slowStore{}, &story, true, killStall}}, Members: []int{1}, Works: Works(10, 10), Runs: 1}
	if _, _, err := s.Run(t.Context()); err == nil || err.Error() != "a, 1 member, run 1: no space left" {
		t.Error(err)
	}
}

// stillStore is one that nothing is written to, and that refuses to compact a revision twice, as stores do.
type stillStore struct {
	API
	slowStore
	compacted []int64
}

func (s *stillStore) Do(r *Request) { s.slowStore.Do(r) }

func (s *stillStore) Read(context.Context, []byte, []byte) (Page, error) {
	return Page{Revision: 7}, nil
}

func (s *stillStore) Compact(_ context.Context, revision int64) error {
	if slices.Contains(s.compacted, revision) {
		return errors.New("compacted already")
	}
	s.compacted = append(s.compacted, revision)
	return nil
}

func (s *stillStore) Maintain(context.Context) error { return nil }

// TestNothingIsCompactedTwice: a store that stands, as with a full disk, has one compaction, and the load goes on to its end.
func TestNothingIsCompactedTwice(t *testing.T) {
	s := &stillStore{slowStore: slowStore{takes: time.Millisecond}}
	j := &job{Config: Config{Stores: []Store{s}, InFlight: 1, Duration: time.Millisecond, Scale: 0.001}, ctx: t.Context(), all: []API{s}}
	if err := j.maintenance(); err != nil || !slices.Equal(s.compacted, []int64{7}) {
		t.Errorf("%v, compacted %v", err, s.compacted)
	}
}
