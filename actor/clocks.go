package actor

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"qkv/internal/limits"
)

// clocks compares this member's clock with those of the other voters. The state has one time for all that is written, which never
// goes back: a member whose clock is ahead, and leads for a moment, would take it along. So who differs from the others by more than
// limits.ClocksApart writes by their time, the middle one of all voters' clocks, and says so. Of two voters the earlier one counts,
// since an hour in which times stand still does less harm than one that they are ahead of.
//
// A lone voter has nobody to ask: index.View.RevisionAt sees later that its clock was wrong.
//
// Invariants:
//
//  1. others[m] is by how much m's clock was ahead of this one's when m was heard last, less the way; also while m is away.
//  2. ahead is by how much this member's clock is ahead of the middle one, when that is more than limits.ClocksApart, and else 0.
type clocks struct {
	others map[uint64]time.Duration
	ahead  time.Duration
}

// heard notes what another member's clock was.
func (k *clocks) heard(from uint64, its, own int64) {
	if its != 0 {
		k.others[from] = time.Duration(its - own)
	}
}

// wall is the time by which this member writes, when its own clock says own.
func (k *clocks) wall(own int64) int64 { return own - int64(k.ahead) }

// judge compares the clocks of the voters.
func (k *clocks) judge(self uint64, voters []uint64, status *Status, logger *slog.Logger) {
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
