package index

import "sort"

// times says when revisions were written: a point for the first revision of each millisecond in which there was one.
// A copy of the struct is a view of it.
type times struct{ points fifo[point] }

type point struct{ revision, wall int64 }

// timeStep is the resolution, in nanoseconds.
const timeStep = 1_000_000

// note remembers when revision was written, and all that follow until the next point.
func (t *times) note(revision, wall int64) {
	if n := t.points.end; n > t.points.first && wall/timeStep <= t.points.at(n-1).wall/timeStep {
		return
	}
	*t.points.push() = point{revision, wall}
}

// search returns the number of the first point for which after is true, or the end.
func (t *times) search(after func(p *point) bool) int64 {
	first := t.points.first
	return first + int64(sort.Search(int(t.points.len()), func(i int) bool { return after(t.points.at(first + int64(i))) }))
}

// trim drops the points that say nothing of revisions from oldest on.
func (t *times) trim(oldest int64) {
	for t.points.len() > 1 && t.points.at(t.points.first+1).revision <= oldest {
		t.points.trim(t.points.first + 1)
	}
}

// of returns when a revision was written.
func (t *times) of(revision int64) (wall int64, ok bool) {
	n := t.search(func(p *point) bool { return p.revision > revision })
	if n == t.points.first {
		return 0, false
	}
	return t.points.at(n - 1).wall, true
}

// before returns the first revision that was written later than wall, or false when none was.
func (t *times) after(wall int64) (revision int64, ok bool) {
	n := t.search(func(p *point) bool { return p.wall > wall })
	if n == t.points.end {
		return 0, false
	}
	return t.points.at(n).revision, true
}
