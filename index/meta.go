package index

import (
	"encoding/binary"
	"fmt"

	"qkv/log/limits"
	"qkv/log/pack"
)

const (
	// metaVersion is the format version of what AppendMeta writes, and the only one that is known.
	metaVersion = 1
	metaFields  = 16
)

// AppendMeta appends all of the state that is not a key; doc.go has the format.
func (v *View) AppendMeta(dst []byte) []byte {
	dst = pack.AppendArray(dst, metaFields)
	dst = pack.AppendUint(dst, metaVersion)
	dst = pack.AppendUint(dst, v.applied)
	dst = pack.AppendUint(dst, v.term)
	dst = pack.AppendInt(dst, v.revision)
	dst = pack.AppendInt(dst, v.compacted)
	dst = pack.AppendInt(dst, v.history.slots.first)
	dst = pack.AppendInt(dst, v.history.sub)
	dst = pack.AppendInt(dst, v.wall)
	dst = pack.AppendUint(dst, v.level)
	dst = appendSum(dst, v.sum)
	dst = appendSum(dst, v.pastSum)
	dst = pack.AppendInt(dst, v.live)
	dst = pack.AppendInt(dst, v.liveBytes)
	dst = pack.AppendInt(dst, v.historyBytes)
	dst = pack.AppendArray(dst, len(v.members))
	for i := range v.members {
		dst = appendAnnouncement(dst, &v.members[i])
	}
	points := &v.times.points
	dst = pack.AppendArray(dst, 2*int(points.len()))
	var before point
	for n := points.first; n < points.end; n++ {
		p := *points.at(n)
		dst = pack.AppendInt(dst, p.revision-before.revision)
		dst = pack.AppendInt(dst, p.wall-before.wall)
		before = p
	}
	return dst
}

func appendSum(dst []byte, sum uint64) []byte {
	return binary.BigEndian.AppendUint64(pack.AppendBytesHeader(dst, 8), sum)
}

func readSum(r *pack.Reader) uint64 {
	b := r.Bytes()
	if len(b) != 8 {
		r.Fail("a sum has 8 bytes")
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// metaNumbers are those of the state's numbers that the keys must agree with.
type metaNumbers struct {
	sum, pastSum                  uint64
	live, liveBytes, historyBytes int64
}

// readMeta sets all of the state that is not a key.
func (s *State) readMeta(meta []byte) (want metaNumbers, err error) {
	r := pack.NewReader(meta)
	n := r.Array()
	if v := r.Uint(); r.Err() == nil && v != metaVersion {
		return want, fmt.Errorf("the state has format version %d, this qkv knows %d: it was written by a newer one, upgrade this member", v, metaVersion)
	}
	if r.Err() == nil && n != metaFields {
		r.Fail("a state of another number of fields")
	}
	s.applied, s.term = r.Uint(), r.Uint()
	s.revision, s.compacted = r.Int(), r.Int()
	first, sub := r.Int(), r.Int()
	s.wall, s.level = r.Int(), r.Uint()
	want.sum, want.pastSum = readSum(&r), readSum(&r)
	want.live, want.liveBytes, want.historyBytes = r.Int(), r.Int(), r.Int()
	for range r.Array() {
		var a Announcement
		readAnnouncement(&r, &a)
		s.members = append(s.members, a)
	}
	s.readTimes(&r)
	if err := r.Done(); err != nil {
		return want, fmt.Errorf("read the state: %w", err)
	}
	if s.level > MaxLevel {
		return want, fmt.Errorf("the state has feature level %d, this qkv knows %d: upgrade this member", s.level, MaxLevel)
	}
	return want, s.beginHistory(first, sub)
}

func (s *State) readTimes(r *pack.Reader) {
	n := r.Array()
	if n%2 != 0 {
		r.Fail("a time without its revision, or the other way round")
		return
	}
	var p point
	for range n / 2 {
		p.revision += r.Int()
		p.wall += r.Int()
		*s.times.points.push() = p
	}
}

// beginHistory makes room for all changes from the first one on.
func (s *State) beginHistory(first, sub int64) error {
	pending := s.compacted == first+1
	room := s.revision - first
	switch {
	case first < 2 || sub < 0 || room < -1 || room > 16*limits.HistoryRevisions,
		s.compacted != first && !pending && (s.compacted != 0 || first != 2), sub > 0 && !pending:
		return fmt.Errorf("the state has revision %d, compacted %d and a history from %d.%d", s.revision, s.compacted, first, sub)
	}
	s.history.slots.startAt(first)
	for range room + 1 {
		s.history.slots.push()
	}
	s.history.sub = sub
	return nil
}
