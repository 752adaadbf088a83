package node

import (
	"slices"
	"time"

	"qkv/index"
)

// historyAges measures the ages of revisions by this process's own clock. Compaction by age uses it instead of the revisions' times: a
// clock that jumps ahead, this member's or an earlier leader's, would make all history old at once, and all watches would have to begin
// anew.
//
// Revisions written before the process began have the age that their times say. But times without writes, or without a running member,
// count for at most one part in historyPauses of the age: a jump looks the same. An error therefore keeps too much history rather
// than too little.
//
// Invariants:
//
//  1. samples rise in both fields, and are a step apart at least; each revision up to a sample's was written before its time.
type historyAges struct {
	samples []historySample
	stays   time.Duration // the age bound that the samples are for
}

type historySample struct {
	at       time.Duration // by the driver's clock; negative for revisions of an earlier process
	revision int64
}

const (
	// historySamples is the number of steps into which the retention age is divided. At a start, a pause counts for at most one part in
	// historyPauses of that age. Only members' clocks tell how long they were down or without writes, and a wrong clock costs at most one
	// such part of history.
	historySamples = 64
	historyPauses  = 8
)

// look samples the present revision, if history has an age bound.
func (h *historyAges) look(view *index.View, now time.Duration, wall int64, stays time.Duration) {
	if stays == 0 {
		return
	}
	if h.samples == nil || stays > h.stays { // a longer bound begins as after a restart: older revisions count again
		h.begin(view, now, wall, stays)
		return
	}
	h.stays = stays
	if now-h.samples[len(h.samples)-1].at >= stays/historySamples {
		h.samples = append(h.samples, historySample{now, view.Revision()})
	}
	for len(h.samples) > 1 && h.samples[1].at <= now-stays {
		h.samples = h.samples[1:]
	}
}

// begin takes the ages of earlier revisions from their times.
func (h *historyAges) begin(view *index.View, now time.Duration, wall int64, stays time.Duration) {
	h.samples, h.stays = []historySample{{now, view.Revision()}}, stays
	at, later := now, wall
	for revision, wall := range view.Times() {
		at -= min(max(time.Duration(later-wall), 0), stays/historyPauses)
		later = wall
		if h.samples[len(h.samples)-1].at-at >= stays/historySamples {
			h.samples = append(h.samples, historySample{at, revision - 1})
		}
		if now-at >= stays {
			break
		}
	}
	slices.Reverse(h.samples)
}

// older returns the newest revision known to be older than a duration; 0 if there is none.
func (h *historyAges) older(than, now time.Duration) int64 {
	for _, s := range slices.Backward(h.samples) {
		if s.at <= now-than {
			return s.revision
		}
	}
	return 0
}
