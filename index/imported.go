package index

import (
	"time"

	"qkv/index/kv"
)

// unknownTime is the wall of a time point whose revisions were written at unknown times.
const unknownTime = 0

// ForgetTimes makes the times of all revisions unknown: they were taken from another store, which does not record times. The state is
// known from the present on: wall is the present, in nanoseconds since 1970. A state that follows a source does so when the source's data
// are loaded; the maker of a new data folder calls it after all commands.
//
// The points get an unknown time. The newest revision has a point of its own with the present: from then on it is the newest, and a
// point after an unknown one is no time of its first revision. A single revision keeps the present as its time: there is no point before
// it. The points are new ones, because views share the old ones.
func (s *State) ForgetTimes(wall int64) {
	old := s.times
	if old.points.len() == 0 {
		return
	}
	s.wall = max(s.wall, wall)
	t := &s.times
	t.sum = 0
	t.points.startAt(old.points.first)
	for n := old.points.first; n < old.points.end; n++ {
		p := *old.points.at(n)
		p.wall = unknownTime
		if n+1 == old.points.end && p.revision == s.revision {
			p.wall = s.wall
		}
		t.push(p)
	}
	if t.points.at(t.points.end-1).revision < s.revision {
		t.push(point{revision: s.revision, wall: s.wall, weight: s.totals.weight})
	}
}

// unknownAt reports whether the times of the revisions from point n on are unknown: of all until the next point, or of first alone.
func (t *times) unknownAt(n int64) (all, first bool) {
	all = t.points.at(n).wall == unknownTime
	return all, all || n > t.points.first && t.points.at(n-1).wall == unknownTime
}

// unknownTimeError explains why a time before point `later` determines no revision.
func (v *View) unknownTimeError(later int64) *kv.Error {
	last, from := v.revision, "the next write"
	if later < v.times.points.end {
		p := v.times.points.at(later)
		last, from = p.revision, time.Unix(0, p.wall).UTC().Format(time.RFC3339)
	}
	return kv.Errorf(kv.BadRequest, "the times of the revisions up to %d are not known: they were imported from another store. Times from %s on determine revisions. "+
		"Ask for a revision instead of a time: --rev, or its number where a time may stand", last, from)
}
