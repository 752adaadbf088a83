package bench

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/bench/result"
)

// reportOf is what an open loop finds whose requests take a time each.
func reportOf(done int64, takes time.Duration, failed int64) Report {
	h := newHistogram()
	for range done {
		record(h, takes)
	}
	return Report{Done: done, Failed: failed, Latencies: latencies(h)}
}

// TestRateNeedsSamples: a rate holds, or does not, where its p99 rests on a thousand requests; where it rests on fewer that
// cannot be said, unless requests failed or did not end in time.
func TestRateNeedsSamples(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		report Report
		due    float64
		want   rateFinder
	}{
		{reportOf(1000, time.Millisecond, 0), 1000, rateFinder{good: 500, low: 500, bad: inf}},
		{reportOf(999, time.Millisecond, 0), 999, rateFinder{low: 500, bad: inf, few: true}},
		{reportOf(999, time.Second, 0), 999, rateFinder{low: 500, bad: inf, few: true}},
		{reportOf(1000, time.Second, 0), 1000, rateFinder{bad: 500}},
		{reportOf(110, time.Millisecond, 1), 111, rateFinder{bad: 500}},
		{reportOf(110, time.Millisecond, 0), 200, rateFinder{bad: 500}},
	} {
		f := rateFinder{bad: inf}
		if f.note(500, c.report, c.due); f != c.want {
			t.Errorf("%d of %v: %+v, not %+v", c.report.Done, c.due, f, c.want)
		}
	}
}

// TestSweepOfTooFew: a suite that is too short for any rate's p99 says so and goes on, and has no figure.
func TestSweepOfTooFew(t *testing.T) {
	works := slices.DeleteFunc(Works(4000, 1000), func(w Work) bool { return w.kind != sweepWork })
	var story []string
	s := &Suite{
		Sides: []Side{&fakeSide{name: "a", store: &slowStore{takes: 50 * time.Millisecond}, story: &story}}, Members: []int{1}, Works: works,
		Runs: 1, Duration: 20 * time.Millisecond, WarmUp: time.Millisecond,
	}
	rows, notes, err := s.Run(t.Context())
	if err != nil || slices.ContainsFunc(rows, func(r result.Row) bool { return r.Name == works[0].Name }) {
		t.Errorf("%v: %+v", err, rows)
	}
	if all := strings.Join(notes, "\n"); !strings.Contains(all, "too few requests for its figure: p99 needs 1000 at a rate: --duration must be longer") {
		t.Errorf("notes: %s", all)
	}
	if _, err := sweep(t.Context(), Config{}); err == nil || errors.Is(err, errTooFew) {
		t.Errorf("a load that is not possible: %v", err)
	}
}
