package actor

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"qkv/internal/limits"
)

// clocks compares this member's clock with those of the other voters. The state has one time for all that is written, which never
// goes back: a member whose clock is ahead, and leads for a moment, would take it along. So who differs from the others by more than
// limits.ClocksApart writes by their time, the middle one of all voters' clocks, and says so. Of two voters the earlier one counts,
// since an hour in which times stand still does less harm than one that they are ahead of.
//
// A message may have waited, in a process that was stopped or on its way: it says then that its sender's clock is behind, and never that
// it is ahead. So who is behind what was known of it must say so twice.
//
// A lone voter has nobody to ask: index.View.RevisionAt sees later that its clock was wrong.
//
// Invariants:
//
//  1. others[m] is by how much m's clock was ahead of this one's when m was heard last, less the way; also while m is away.
//  2. ahead is by how much this member's clock is ahead of the middle one, when that is more than limits.ClocksApart, and else 0.
//  3. doubts[m] is since when, by the monotonic time, all that was heard of m is behind others[m].
//  4. began is when the process' monotonic time began, by the clock as it was when it was looked at last.
type clocks struct {
	others map[uint64]time.Duration
	doubts map[uint64]time.Duration
	ahead  time.Duration
	began  int64
	set    time.Duration // by how much it was set since the last judgement
}

func newClocks() clocks {
	return clocks{others: map[uint64]time.Duration{}, doubts: map[uint64]time.Duration{}}
}

// heard notes what another member's clock was, and tells whether that is new.
func (k *clocks) heard(from uint64, its int64, own Time) bool {
	k.follow(own)
	before, known := k.others[from]
	if its == 0 {
		return false
	}
	by := time.Duration(its - own.Wall)
	if known && before-by > limits.ClocksApart/2 {
		// What waited together comes together, while what is told again takes limits.SpaceCheck.
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

// wall is the time by which this member writes.
func (k *clocks) wall(now Time) int64 {
	k.follow(now)
	return now.Wall - int64(k.ahead)
}

// follow notices that the clock was set since it was looked at last: the others' were not, and what is written next goes by theirs.
func (k *clocks) follow(now Time) {
	began := now.Wall - int64(now.Now)
	set := time.Duration(began - k.began)
	first := k.began == 0
	k.began = began
	if first || max(set, -set) <= limits.ClocksApart {
		return
	}
	k.set += set
	for _, id := range slices.Sorted(maps.Keys(k.others)) {
		k.others[id] -= set
	}
	if len(k.others) > 0 {
		k.ahead += set
	}
}

func (c *Consensus) judgeClocks() {
	c.clocks.judge(c.Member, c.membership.confState.GetVoters(), c.now, c.Status, c.Logger)
}

// judge compares the clocks of the voters.
func (k *clocks) judge(self uint64, voters []uint64, now Time, status *Status, logger *slog.Logger) {
	if k.follow(now); k.set != 0 {
		logger.Warn("the clock was set, or the machine stood still", "by", k.set.Round(time.Second))
		k.set = 0
	}
	var all []time.Duration
	for _, id := range voters {
		if by, known := k.others[id]; known || id == self {
			all = append(all, by)
		}
	}
	k.ahead = 0
	text := ""
	if len(all) > 0 {
		slices.Sort(all)
		if middle := all[(len(all)-1)/2]; max(middle, -middle) > limits.ClocksApart {
			k.ahead = -middle
			text = fmt.Sprintf("this member's clock is %v %s the other members': it writes by their time; set the clock, and keep it by NTP",
				max(middle, -middle).Round(time.Second), map[bool]string{true: "ahead of", false: "behind"}[middle < 0])
		}
	}
	before := status.clockText.Swap(&text)
	switch {
	case text != "" && (before == nil || *before == ""):
		logger.Warn("the clock is wrong: " + text)
	case text == "" && before != nil && *before != "":
		logger.Info("the clock agrees with the other members' again")
	}
}
