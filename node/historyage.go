package node

import (
	"slices"
	"time"

	"qkv/index"
	"qkv/internal/limits"
)

// historyAges says how old revisions are by what this process has measured itself. Compaction by age goes by it and not by the
// times of revisions: a clock that jumps ahead, this member's or that of another one that has led, would make all history old at
// once, and who watches had to begin anew.
//
// What was written before the process began is as old as its times say, but of the time in which nothing was written or no
// member ran one part in limits.HistoryPauses of the age counts at most: a jump looks the same. So too much stays rather than too
// little.
//
// Invariants:
//
//  1. samples rise in both fields, and are a step apart at least; each revision up to a sample's was written before its moment.
type historyAges struct{ samples []historySample }

type historySample struct {
	at       time.Duration // by the driver's clock; before 0, of what an earlier process wrote
	revision int64
}

// look takes note of what is there now, as far as history is to stay for a time.
func (h *historyAges) look(view *index.View, now time.Duration, wall int64, stays time.Duration) {
	if stays == 0 {
		return
	}
	if h.samples == nil {
		h.begin(view, now, wall, stays)
		return
	}
	if now-h.samples[len(h.samples)-1].at >= stays/limits.HistorySamples {
		h.samples = append(h.samples, historySample{now, view.Revision()})
	}
	for len(h.samples) > 1 && h.samples[1].at <= now-stays {
		h.samples = h.samples[1:]
	}
}

// begin takes what the times say for what was written before.
func (h *historyAges) begin(view *index.View, now time.Duration, wall int64, stays time.Duration) {
	h.samples = []historySample{{now, view.Revision()}}
	at, later := now, wall
	for revision, wall := range view.Times() {
		at -= min(max(time.Duration(later-wall), 0), stays/limits.HistoryPauses)
		later = wall
		if h.samples[len(h.samples)-1].at-at >= stays/limits.HistorySamples {
			h.samples = append(h.samples, historySample{at, revision - 1})
		}
		if now-at >= stays {
			break
		}
	}
	slices.Reverse(h.samples)
}

// older returns the newest revision that is known to be older than a time; none is 0.
func (h *historyAges) older(than, now time.Duration) int64 {
	for _, s := range slices.Backward(h.samples) {
		if s.at <= now-than {
			return s.revision
		}
	}
	return 0
}
