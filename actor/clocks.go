package actor

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"qkv/internal/limits"
)

// clocks compares this member's clock with those of the other voters. The state has one time for all writes, and this time never
// decreases: a leader whose clock is ahead, even for a moment, would move it forward. A member whose clock differs by more than
// limits.ClocksApart therefore writes by the median of all voters' clocks, and raises a notice. Of two voters the earlier clock counts:
// an hour without progress of the time does less harm than times in the future.
//
// A message may be delayed, in a stopped process or on the network. Its sender's clock then looks slow, never fast. A clock that falls
// below its known offset must therefore be reported twice.
//
// A lone voter has no clock to compare with. After its clock was set, its writes go on by the time before that plus monotonic time, until
// the clock was not set again for limits.ClockStable. index.View.RevisionAt detects a clock that was wrong at the start.
//
// Invariants:
//
//  1. others[m] is by how much m's clock was ahead of this one's at m's last report, less the transit time; also while m is away.
//  2. ahead is by how much this member's clock is ahead of the median if that exceeds limits.ClocksApart, otherwise 0.
//  3. doubts[m] is the monotonic time since when all reports of m are below others[m].
//  4. The clock was last set at the monotonic time setAt.
//  5. began is when the process's monotonic time began, by the wall clock at its last reading.
type clocks struct {
	others map[uint64]time.Duration
	doubts map[uint64]time.Duration
	ahead  time.Duration
	began  int64
	set    time.Duration // by how much the clock was set since the last judgement
	setAt  time.Duration

	lastExpire time.Duration // when the applier last got an expire
}

func newClocks() clocks {
	return clocks{others: map[uint64]time.Duration{}, doubts: map[uint64]time.Duration{}}
}

// record notes another member's clock, and reports whether its offset is new.
func (k *clocks) record(from uint64, its int64, own Time) bool {
	k.detectSet(own)
	before, known := k.others[from]
	if its == 0 {
		return false
	}
	by := time.Duration(its - own.Wall)
	if known && before-by > limits.ClocksApart/2 {
		// Delayed messages arrive together; a repeated report takes limits.SpaceCheck.
		since, doubted := k.doubts[from]
		if !doubted {
			k.doubts[from] = own.Now
		}
		if !doubted || own.Now-since < limits.SpaceCheck/2 {
			return false
		}
	}
	delete(k.doubts, from)
	k.others[from] = by
	return !known || max(by-before, before-by) > limits.ClocksApart/2
}

// wall returns the time of this member's writes.
func (k *clocks) wall(now Time) int64 {
	k.detectSet(now)
	return now.Wall - int64(k.ahead)
}

// detectSet detects that the clock was set since its last reading: the others' clocks were not, and the next writes use theirs.
func (k *clocks) detectSet(now Time) {
	began := now.Wall - int64(now.Now)
	set := time.Duration(began - k.began)
	first := k.began == 0
	k.began = began
	if first || max(set, -set) <= limits.ClocksApart {
		return
	}
	k.set, k.setAt = k.set+set, now.Now
	for _, id := range slices.Sorted(maps.Keys(k.others)) {
		k.others[id] -= set
	}
	if k.ahead += set; max(k.ahead, -k.ahead) <= limits.ClocksApart {
		k.ahead = 0 // it was set back
	}
}

// judge compares the clocks of the voters.
func (k *clocks) judge(c *core) {
	if k.detectSet(c.now); k.set != 0 {
		c.Logger.Warn("the clock was set, or the machine stood still", "by", k.set.Round(time.Second))
		k.set = 0
	}
	var all []time.Duration
	compared := false
	for _, id := range c.membership.confState.GetVoters() {
		by, known := k.others[id]
		if compared = compared || known; known || id == c.Member {
			all = append(all, by)
		}
	}
	if compared || c.now.Now-k.setAt >= limits.ClockStable {
		k.ahead = 0
	}
	text := ""
	if len(all) > 0 {
		slices.Sort(all)
		if middle := all[(len(all)-1)/2]; max(middle, -middle) > limits.ClocksApart {
			k.ahead = -middle
			text = fmt.Sprintf("this member's clock is %v %s the other members': it uses their time for writes; set the clock, and keep it synchronized by NTP",
				max(middle, -middle).Round(time.Second), map[bool]string{true: "ahead of", false: "behind"}[middle < 0])
		}
	}
	before := c.Status.clockText.Swap(&text)
	switch {
	case text != "" && (before == nil || *before == ""):
		c.Logger.Warn("the clock is wrong: " + text)
	case text == "" && before != nil && *before != "":
		c.Logger.Info("the clock agrees with the other members' again")
	}
}
