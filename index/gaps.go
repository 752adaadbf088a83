package index

import (
	"slices"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// gap is a range of revisions that a state leaves out when it begins another cluster: the history that was thrown away made some of them.
// after is the newest revision before the gap, and next the first one behind it. next has no changes: it reads as after does.
type gap struct{ after, next int64 }

// gaps are in ascending order. They are never changed in place.
type gaps []gap

// CutDistance is how far at least above its newest revision, and above its auth revision, a state goes on in another cluster: the history
// that was thrown away has made fewer.
const CutDistance = 1 << 30

// cutDistance is how far above a number a state goes on in another cluster that is made at a time, in nanoseconds since 1970. An earlier
// restore of the same backup may have been thrown away, too: no cluster makes a million changes in a second, so each goes on above all that
// were made before it. 0: the time is unknown.
func cutDistance(from, wall int64) int64 {
	return max(CutDistance, ((wall>>10-from)/chunkLen+1)*chunkLen)
}

// IsCut reports whether a state can leave out this number of revisions.
func IsCut(left int64) bool { return left >= CutDistance && left%chunkLen == 0 }

// SkipRevisions makes the state go on far above its newest revision. A client that has seen later revisions in a history that was thrown
// away never takes a new revision for one of them. It is no command: only the maker of a new data folder may call it. wall is the present,
// in nanoseconds since 1970, or 0.
func (s *State) SkipRevisions(wall int64) { s.skipTo(s.revision + cutDistance(s.revision, wall)) }

// skipTo leaves out the revisions before one.
func (s *State) skipTo(next int64) {
	s.gaps = append(slices.Clip(s.gaps), gap{s.revision, next})
	s.history.gaps = s.gaps
	s.history.slots.first += next - s.revision
	s.history.slots.end += next - s.revision
	s.revision = next
}

// of returns the gap that a revision is in, or nil.
func (g gaps) of(revision int64) *gap {
	for i := range g {
		if g[i].after < revision && revision < g[i].next {
			return &g[i]
		}
	}
	return nil
}

// skip returns the first revision from one on that has changes, or that will be made.
func (g gaps) skip(revision int64) int64 {
	for _, one := range g {
		if one.after < revision && revision <= one.next {
			revision = one.next + 1
		}
	}
	return revision
}

// slot returns the number of a revision in the history, which is without gaps: revisions before a gap move up to it.
func (g gaps) slot(revision int64) int64 {
	for _, one := range g {
		if revision <= one.after {
			revision += one.next - one.after
		}
	}
	return revision
}

// revision is the inverse of slot.
func (g gaps) revision(slot int64) int64 {
	for _, one := range slices.Backward(g) {
		if slot <= one.next {
			slot -= one.next - one.after
		}
	}
	return slot
}

// valid reports whether a state with this newest revision can have these gaps.
func (g gaps) valid(newest int64) bool {
	last := int64(EmptyBase)
	for _, one := range g {
		if one.after < last || one.next <= one.after {
			return false
		}
		last = one.next
	}
	return last <= newest
}

// append appends the gaps, if there are any, to the numbers of the meta data and of the digest.
func (g gaps) append(dst []byte) []byte {
	if len(g) == 0 {
		return dst
	}
	dst = pack.AppendArray(dst, 2*len(g))
	for _, one := range g {
		dst = pack.AppendInt(pack.AppendInt(dst, one.after), one.next)
	}
	return dst
}

func readGaps(r *pack.Reader) (g gaps) {
	for range r.Array() / 2 {
		g = append(g, gap{r.Int(), r.Int()})
	}
	return g
}

// Watchable returns why no watch can begin at a revision, or nil, and the first revision from there on at which a watch can begin.
func (r *replicated) Watchable(revision int64) (oldest int64, err *kv.Error) {
	switch one := r.gaps.of(revision); {
	case revision < r.compacted:
		return r.compacted, r.compactedError(revision)
	case one != nil:
		return one.next, r.compactedError(revision)
	}
	return revision, nil
}
