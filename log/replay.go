package log

import (
	"cmp"
	"errors"
	"fmt"
	"path"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// replay is what the frames of a log say, read in their order.
type replay struct {
	chain  []*logFile // the segments that hold the log, the oldest first
	needs  []uint64   // needs[i] is the highest index that is still valid and in chain[i]
	window *Window
	marker Marker     // the newest; its Index is 0 when there is none
	hard   HardState  // the newest in a header that counts
	end    int64      // where the newest segment ends: behind its last whole frame
	sum    uint32     // the chain value there
	fenced bool       // its last frame is a fence
	torn   *Torn      // what lies behind the end and was never synced
	spares []*logFile // behind the newest segment, and of nothing that was begun
	buf    []byte     // for scanners

	covered uint64 // Options.Covered
	skipped error  // the first damage that covered made harmless
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
	_ = file.Close() // opened to read
	return err
}

// header takes over what a segment's header says.
func (r *replay) header(i int) error {
	h := &r.chain[i].header
	known := r.window.knowsLastTerm()
	switch {
	case i == 0:
	case h.next != r.window.last()+1 || known && h.knowsTerm() && h.lastTerm != r.window.lastTerm():
		err := &CorruptError{File: r.chain[i].name, Reason: fmt.Sprintf("the segment begins after entry %d/%d, the one before it ends with %d/%d",
			h.next-1, h.lastTerm, r.window.last(), r.window.lastTerm())}
		if err := r.skipTo(i, err); err != nil {
			return err
		}
	case !known:
		r.window.rebase(h.next-1, h.lastTerm, h.knowsTerm())
	}
	return r.takeHard(i, 0, h.hard)
}

// sealed reads a segment that is not the newest: all of it was synced, to where the next one says.
func (r *replay) sealed(i int, s *scanner) error {
	after := r.chain[i+1]
	s.size = min(s.size, after.header.prevEnd)
	for s.next < after.header.prevEnd {
		h, payload, bad := s.frame()
		var err error
		if bad != nil {
			bad.reason += ", and " + path.Base(after.name) + " proves that it was synced"
			err = bad.damage(s.name)
		} else {
			err = r.frame(i, s, &h, payload)
		}
		if err == nil || r.skip(i, s, err) {
			continue
		}
		return r.skipTo(i+1, err)
	}
	if s.next != after.header.prevEnd || s.chain != after.header.prevChain {
		return r.skipTo(i+1, &CorruptError{File: s.name, Offset: s.next, Reason: fmt.Sprintf("the segment ends here with %#08x, but %s says at %d with %#08x",
			s.chain, path.Base(after.name), after.header.prevEnd, after.header.prevChain)})
	}
	return nil
}

// skip goes on behind damage in segment i, if a snapshot covers all that is damaged.
func (r *replay) skip(i int, s *scanner, err error) bool {
	var damage *CorruptError
	if r.covered == 0 || !errors.As(err, &damage) {
		return false
	}
	first, ok := s.resume(damage.Offset, r.covered)
	if ok {
		r.skipped, r.chain[i].damaged = cmp.Or(r.skipped, err), true
		r.window.rebase(first-1, 0, false)
	}
	return ok
}

// skipTo goes on with a segment behind damage in what is before it, if a snapshot covers that; otherwise it returns
// the error.
func (r *replay) skipTo(i int, err error) error {
	h := &r.chain[i].header
	if r.covered == 0 || !errors.Is(err, ErrCorrupt) || h.next-1 > r.covered {
		return err
	}
	r.skipped, r.chain[i-1].damaged = cmp.Or(r.skipped, err), true
	r.window.rebase(h.next-1, h.lastTerm, h.knowsTerm())
	return nil
}

// newest reads the segment that was written last, to its first bad frame.
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

// decide is the one place that tells a torn end from a damaged one (step 6): a bad frame is damage when no tear can
// make it, or when a later header says that it was synced; otherwise it was never synced, and nobody was told of it.
func (r *replay) decide(s *scanner, bad *badFrame) error {
	if bad.certain {
		return bad.damage(s.name)
	}
	if bad.cut && s.size < s.header.size { // it had its size before it had its name: no tear makes it shorter
		bad.reason = fmt.Sprintf("the file ends after %d bytes, and its header says that it has %d", s.size, s.header.size)
		return bad.damage(s.name)
	}
	b, worse := s.scanAhead(bad.offset, s.size)
	if worse != nil {
		return worse.damage(s.name)
	}
	if b.proof != nil {
		bad.reason += fmt.Sprintf(", and the frame at byte %d proves that it was synced", b.proof.offset)
		return bad.damage(s.name)
	}
	if b.newest != nil {
		r.torn = &Torn{File: s.name, Offset: bad.offset, Bytes: b.end - bad.offset, Reason: bad.reason}
		r.keepVote(b.newest.hard)
	} else if s.header.compat&compatZeroed != 0 {
		r.torn = s.tornTail(bad)
	}
	return nil
}

// decideNext decides the same of the files behind the newest segment, in one of which the next may have been begun
// without a whole header. Its frames are known by the salt that the newest segment has chosen for it, and each says where
// the newest segment ends: all before that was synced. Every file is searched whole: the log takes its spares in the
// order of their numbers, but makes a segment itself while some are still on their way to it.
func (r *replay) decideNext(s *inventory) error {
	newest := r.chain[len(r.chain)-1]
	for _, f := range s.after(newest.number) {
		err := s.scan(f, &r.buf, func(sc *scanner) error {
			sc.header, sc.seed = segmentHeader{seq: f.number}, seed(newest.header.nextSalt)
			b, worse := sc.scanAhead(0, sc.size)
			switch {
			case worse != nil && worse.cause != nil:
				return worse.damage(f.name)
			case b.prevEnd > r.end:
				return &CorruptError{File: newest.name, Offset: r.end, Reason: fmt.Sprintf("no whole frame is here, and the frame at byte %d of %s proves that the segment was synced up to byte %d",
					b.newest.offset, path.Base(f.name), b.prevEnd)}
			case worse != nil || b.proof != nil:
				return &CorruptError{File: f.name, Reason: "the segment's header is damaged, and a frame in it proves that it was synced"}
			case b.newest != nil:
				r.torn = &Torn{File: f.name, Bytes: b.end, Reason: "the segment has no whole header"}
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

// tornTail returns what a torn write without a whole header left in a segment that was all zeros.
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
	return &Torn{File: s.name, Offset: bad.offset, Bytes: end - bad.offset, Reason: bad.reason}
}

// takeHard takes over the hard state of a header that is in its place. Terms and votes never go back.
func (r *replay) takeHard(i int, at int64, hs HardState) error {
	if hs.Term < r.hard.Term || hs.Term == r.hard.Term && r.hard.Vote != 0 && hs.Vote != r.hard.Vote {
		return &CorruptError{File: r.chain[i].name, Offset: at, Reason: fmt.Sprintf("term %d vote %d after term %d vote %d",
			hs.Term, hs.Vote, r.hard.Term, r.hard.Vote)}
	}
	r.hard = hs
	return nil
}

// keepVote takes over the vote of a header behind a bad frame. Whether it was synced or not, a vote that is kept
// although nobody was told of it does no harm; one that was told and is forgotten does. Its commit index would do
// harm: it may be of entries in the bad frame, in whose places older ones are found.
func (r *replay) keepVote(hs HardState) {
	if hs.Term > r.hard.Term || hs.Term == r.hard.Term && r.hard.Vote == 0 {
		r.hard.Term, r.hard.Vote = hs.Term, hs.Vote
	}
}

// frame takes over a whole frame of segment i.
func (r *replay) frame(i int, s *scanner, h *frameHeader, payload []byte) error {
	if err := r.takeHard(i, h.offset, h.hard); err != nil {
		return err
	}
	if h.kind == kindEntries {
		if err := r.follows(h); err != nil {
			return wrong(s.name, h.offset, err)
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
		return wrong(s.name, h.offset, err)
	}
	if h.kind == kindEntries {
		r.needs[i] = r.window.last()
	}
	return nil
}

// follows holds a frame of entries against the log before it.
func (r *replay) follows(h *frameHeader) error {
	last, term := r.window.last(), r.window.lastTerm()
	if h.first > last+1 {
		return fmt.Errorf("the frame begins with entry %d, the log ends with %d", h.first, last)
	}
	if h.first <= last {
		term = 0 // overlaps: the terms before it may be older than the last one
	}
	for _, run := range h.runs {
		if run.term < term {
			return fmt.Errorf("entries of term %d follow term %d", run.term, term)
		}
		term = run.term
	}
	return nil
}

// keep notes that entries above one are superseded by a frame of segment i.
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

// recovered is the report.
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
