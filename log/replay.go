package log

import (
	"cmp"
	"errors"
	"fmt"
	"path"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/internal/damage"
)

// replay is the state of the log after reading its frames in order.
type replay struct {
	chain  []*logFile // the segments that hold the log, oldest first
	needs  []uint64   // needs[i] is the highest valid index in chain[i]
	window *Window
	marker Marker     // the newest marker; Index is 0 if there is none
	hard   HardState  // from the newest valid header
	end    int64      // where the newest segment ends: behind its last intact frame
	sum    uint32     // chain value at end
	fenced bool       // the last frame is a fence
	torn   *Torn      // bytes behind the end that were never synced
	spares []*logFile // files behind the newest segment that hold nothing of the log
	buf    []byte     // for scanners

	covered uint64 // Options.Covered
	skipped error  // the first damage that Options.Covered made harmless
}

// replay reads all segments (steps 4 to 6).
func (s *inventory) replay() (*replay, error) {
	chain, err := s.chain()
	if err != nil {
		return nil, err
	}
	oldest := &chain[0].header
	r := &replay{chain: chain, needs: make([]uint64, len(chain)), hard: oldest.hard, covered: s.o.Covered, skipped: s.skipped}
	r.window = newWindow(oldest.next-1, oldest.lastTerm)
	r.window.baseKnown = oldest.knowsTerm()
	r.window.most = s.o.WindowBytes
	for i, f := range chain {
		if err := r.header(i); err != nil {
			return nil, err
		}
		err := s.scan(f, &r.buf, func(sc *scanner) error {
			if i < len(chain)-1 {
				return r.sealed(i, sc)
			}
			return r.newest(i, sc)
		})
		if err != nil {
			return nil, err
		}
	}
	if err := r.decideNext(s); err != nil {
		return nil, err
	}
	r.hard.Commit = min(r.hard.Commit, r.window.last())
	return r, nil
}

// scan opens a file to read its frames. One file is open at a time.
func (s *inventory) scan(f *logFile, buf *[]byte, read func(sc *scanner) error) error {
	file, err := s.o.FS.Open(f.name)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	sc := newScanner(f, file, *buf)
	err = read(sc)
	*buf = sc.buf
	_ = file.Close() // read only: Close loses nothing
	return err
}

// header checks a segment's header against the log before it, and takes over its state.
func (r *replay) header(i int) error {
	h := &r.chain[i].header
	known := r.window.knowsLastTerm()
	switch {
	case i == 0:
	case h.next != r.window.last()+1 || known && h.knowsTerm() && h.lastTerm != r.window.lastTerm():
		err := damage.At(r.chain[i].name, 0, "the segment begins after entry %d/%d, but the segment before it ends with %d/%d",
			h.next-1, h.lastTerm, r.window.last(), r.window.lastTerm())
		if err := r.skipTo(i, err); err != nil {
			return err
		}
	case !known:
		r.window.rebase(h.next-1, h.lastTerm, h.knowsTerm())
	}
	return r.takeHard(i, 0, h.hard)
}

// sealed reads a segment before the newest one. All of it was synced, up to the end that the next segment's header
// gives.
func (r *replay) sealed(i int, s *scanner) error {
	after := r.chain[i+1]
	s.size = min(s.size, after.header.prevEnd)
	for s.next < after.header.prevEnd {
		h, payload, bad := s.frame()
		var err error
		if bad != nil {
			err = s.synced(bad, after)
		} else {
			err = r.frame(i, s, &h, payload)
		}
		if err == nil || r.skip(i, s, err) {
			continue
		}
		return r.skipTo(i+1, err)
	}
	if err := s.endsAs(after); err != nil {
		return r.skipTo(i+1, err)
	}
	return nil
}

// skip continues behind damage in segment i, if a snapshot covers everything that is damaged.
func (r *replay) skip(i int, s *scanner, err error) bool {
	var fault *damage.Error
	if r.covered == 0 || !errors.As(err, &fault) {
		return false
	}
	first, ok := s.resume(fault.Offset, r.covered)
	if ok {
		r.skipped, r.chain[i].damaged = cmp.Or(r.skipped, err), true
		r.window.rebase(first-1, 0, false)
	}
	return ok
}

// skipTo continues with segment i after damage before it, if a snapshot covers that damage; otherwise it returns the
// error.
func (r *replay) skipTo(i int, err error) error {
	h := &r.chain[i].header
	if r.covered == 0 || !errors.Is(err, damage.ErrDamaged) || h.next-1 > r.covered {
		return err
	}
	r.skipped, r.chain[i-1].damaged = cmp.Or(r.skipped, err), true
	r.window.rebase(h.next-1, h.lastTerm, h.knowsTerm())
	return nil
}

// newest reads the newest segment up to its first bad frame.
func (r *replay) newest(i int, s *scanner) error {
	for {
		h, payload, bad := s.frame()
		var err error
		if bad != nil {
			err = r.decide(s, bad)
		} else {
			err = r.frame(i, s, &h, payload)
			r.fenced = h.kind == kindFence
		}
		if err != nil && !r.skip(i, s, err) {
			return err
		}
		if bad != nil && err == nil {
			r.end, r.sum = s.next, s.chain
			return nil
		}
	}
}

// decide is the only function that distinguishes a torn end from a damaged one (step 6). A bad frame is damage if no
// torn write can produce it, or if a later header says that it was synced. Otherwise it was never synced or
// acknowledged.
func (r *replay) decide(s *scanner, bad *badFrame) error {
	if bad.certain {
		return bad.damage(s.name)
	}
	if bad.cut && s.size < s.header.size { // the file had its full size before its name: no torn write shortens it
		bad.reason = fmt.Errorf("the file ends after %d bytes, but its header says that it has %d", s.size, s.header.size)
		return bad.damage(s.name)
	}
	b, worse := s.findIntactHeaders(bad.offset, s.size)
	if worse != nil {
		return worse.damage(s.name)
	}
	if b.proof != nil {
		bad.reason = fmt.Errorf("%w, and the frame at byte %d proves that it was synced", bad.reason, b.proof.offset)
		return bad.damage(s.name)
	}
	if b.newest != nil {
		r.torn = &Torn{File: s.name, Offset: bad.offset, Bytes: b.end - bad.offset, Reason: bad.reason.Error()}
		r.keepVote(b.newest.hard)
	} else if s.header.compat&compatZeroed != 0 {
		r.torn = s.tornTail(bad)
	}
	return nil
}

// decideNext applies the same rules to the files behind the newest segment. One of them may be a next segment without
// an intact header. The salt that the newest segment chose identifies its frames. Each frame says where the newest
// segment ends: everything before that was synced. Every file is searched completely: the log takes spares in the order
// of their numbers, but may make a segment itself while some spares are still on their way to it.
func (r *replay) decideNext(s *inventory) error {
	newest := r.chain[len(r.chain)-1]
	for _, f := range s.after(newest.number) {
		err := s.scan(f, &r.buf, func(sc *scanner) error {
			sc.header, sc.seed = segmentHeader{seq: f.number}, seed(newest.header.nextSalt)
			b, worse := sc.findIntactHeaders(0, sc.size)
			switch {
			case worse != nil && worse.unread:
				return worse.damage(f.name)
			case b.prevEnd > r.end:
				return damage.At(newest.name, r.end, "no intact frame is here, but the frame at byte %d of %s proves that the segment was synced up to byte %d",
					b.newest.offset, path.Base(f.name), b.prevEnd)
			case worse != nil || b.proof != nil:
				return damage.At(f.name, 0, "the segment's header is damaged, and a frame in it proves that it was synced")
			case b.newest != nil:
				r.torn = &Torn{File: f.name, Bytes: b.end, Reason: "the segment has no intact header"}
				r.keepVote(b.newest.hard)
			case f.size == s.o.SegmentBytes:
				r.spares = append(r.spares, f)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tornTail returns the remains of a torn write without an intact header, in a segment whose file was all zeros.
func (s *scanner) tornTail(bad *badFrame) *Torn {
	end := int64(0)
	for at := bad.offset; at+pageBytes <= s.size; at += pageBytes {
		page, err := s.read(at, pageBytes)
		if err != nil || isZero(page) {
			break
		}
		end = at + pageBytes
	}
	if end == 0 {
		return nil
	}
	return &Torn{File: s.name, Offset: bad.offset, Bytes: end - bad.offset, Reason: bad.reason.Error()}
}

// takeHard takes over the hard state of a header that is in its place. Terms and votes must not go back.
func (r *replay) takeHard(i int, at int64, hs HardState) error {
	if hs.Term < r.hard.Term || hs.Term == r.hard.Term && r.hard.Vote != 0 && hs.Vote != r.hard.Vote {
		return damage.At(r.chain[i].name, at, "term %d vote %d after term %d vote %d",
			hs.Term, hs.Vote, r.hard.Term, r.hard.Vote)
	}
	r.hard = hs
	return nil
}

// keepVote takes over the vote of a header behind a bad frame. A vote that was never sent may be kept without harm; a
// vote that was sent must not be forgotten. The header's commit index is dropped: it may cover entries of the bad
// frame, at whose indexes recovery finds older entries.
func (r *replay) keepVote(hs HardState) {
	if hs.Term > r.hard.Term || hs.Term == r.hard.Term && r.hard.Vote == 0 {
		r.hard.Term, r.hard.Vote = hs.Term, hs.Vote
	}
}

// frame takes over an intact frame of segment i.
func (r *replay) frame(i int, s *scanner, h *frameHeader, payload []byte) error {
	if err := r.takeHard(i, h.offset, h.hard); err != nil {
		return err
	}
	if h.kind == kindEntries {
		if err := r.follows(h); err != nil {
			return damage.Of(s.name, h.offset, err)
		}
		r.keep(i, h.first-1)
	}
	var failed error
	err := readPayload(h, payload, s.header.longerRecords(), func(rec record, at Position) {
		if h.kind == kindEntries {
			r.window.recall(rec, at)
		} else {
			failed = r.reset(i, rec)
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return damage.Of(s.name, h.offset, err)
	}
	if h.kind == kindEntries {
		r.needs[i] = r.window.last()
	}
	return nil
}

// follows checks that a frame of entries follows the log before it.
func (r *replay) follows(h *frameHeader) error {
	last, term := r.window.last(), r.window.lastTerm()
	if h.first > last+1 {
		return fmt.Errorf("the frame begins with entry %d, the log ends with %d", h.first, last)
	}
	if h.first <= last {
		term = 0 // the frame overlaps: terms before it may be older than the last entry's
	}
	for _, run := range h.runs {
		if run.term < term {
			return fmt.Errorf("entries of term %d follow term %d", run.term, term)
		}
		term = run.term
	}
	return nil
}

// keep records that a frame of segment i supersedes all entries above upTo.
func (r *replay) keep(i int, upTo uint64) {
	for k := range r.needs[:i+1] {
		r.needs[k] = min(r.needs[k], upTo)
	}
}

// reset takes over a marker.
func (r *replay) reset(i int, rec record) error {
	conf := &raftpb.ConfState{}
	if err := proto.Unmarshal(rec.data, conf); err != nil {
		return fmt.Errorf("the marker's ConfState: %w", err)
	}
	r.marker = Marker{Index: rec.index, Term: rec.term, ConfState: conf}
	r.window.Reset(r.marker)
	r.keep(i, 0)
	r.needs[i] = rec.index
	return nil
}

// recovered builds the report.
func (r *replay) recovered(l *Log) *Recovered {
	r.window.Publish(l.list)
	behind := ""
	if h := &r.chain[0].header; h.prev != 0 {
		behind = nameOf(h.prev)
	}
	return &Recovered{
		Behind: behind, HardState: r.hard, Marker: r.marker, Window: r.window, Torn: r.torn, Skipped: r.skipped,
		First: r.window.first(), Last: r.window.last(), LastTerm: r.window.lastTerm(),
		Bytes: l.Stats().Bytes,
	}
}
