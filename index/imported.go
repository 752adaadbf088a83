package index

import (
	"time"

	"qkv/index/kv"
)

// unknownTime is the wall of a time point whose revisions were written at unknown times.
const unknownTime = 0

// ForgetTimes makes the times of all revisions unknown: they were taken from another store, which does not record times. The state is
// known from the present on: wall is the present, in nanoseconds since 1970. It is no command: only the maker of a new data folder may
// call it, after all commands.
//
// The points get an unknown time. The newest revision has a point of its own with the present: from then on it is the newest, and a
// point after an unknown one is no time of its first revision. A single revision keeps the present as its time: there is no point before
// it.
func (s *State) ForgetTimes(wall int64) {
	t := &s.times
	if t.points.len() == 0 {
		return
	}
	t.sum = 0
	for n := t.points.first; n < t.points.end; n++ {
		p := t.points.at(n)
		p.wall = unknownTime
		t.sum += p.digest()
	}
	s.wall = max(s.wall, wall)
	newest := t.points.at(t.points.end - 1)
	switch {
	case newest.revision < s.revision:
		t.push(point{revision: s.revision, wall: s.wall, weight: s.totals.weight})
	default:
		t.sum -= newest.digest()
		newest.wall = s.wall
		t.sum += newest.digest()
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
