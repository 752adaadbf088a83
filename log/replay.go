package log

import (
	"fmt"
	"path"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// replay is what the frames of a log say, read in their order.
type replay struct {
	chain  []*found
	needs  []uint64 // by segment: the highest index that is still valid and in it
	window *Window
	marker Marker
	hard   HardState
	end    int64  // of the newest segment
	sum    uint32 // the chain value there
	torn   *Torn
	buf    []byte // for scanners
}

// replay reads all segments (steps 4 to 6).
func (s *survey) replay() (*replay, error) {
	chain, err := s.chain()
	if err != nil {
		return nil, err
	}
	oldest := &chain[0].header
	r := &replay{chain: chain, needs: make([]uint64, len(chain)), hard: oldest.hard}
	r.window = newWindow(s.o.FS, oldest.next-1, oldest.lastTerm)
	r.window.most = s.o.WindowBytes
	for i := range chain {
		if i < len(chain)-1 {
			err = r.sealed(i)
		} else {
			err = r.newest(i, s)
		}
		if err != nil {
			return nil, err
		}
	}
	r.hard.Commit = min(r.hard.Commit, r.window.last())
	return r, nil
}

// header takes over what a segment's header says.
func (r *replay) header(i int) error {
	h := &r.chain[i].header
	if i > 0 && (h.next != r.window.last()+1 || h.lastTerm != r.window.lastTerm()) {
		return &CorruptError{File: r.chain[i].name, Reason: fmt.Sprintf("the segment begins after entry %d/%d, the one before it ends with %d/%d",
			h.next-1, h.lastTerm, r.window.last(), r.window.lastTerm())}
	}
	return r.promise(i, 0, h.hard)
}

// sealed reads a segment that is not the newest: all of it was synced, to where the next one says.
func (r *replay) sealed(i int) error {
	f, after := r.chain[i], r.chain[i+1]
	if err := r.header(i); err != nil {
		return err
	}
	s := newScanner(f, r.buf)
	defer func() { r.buf = s.buf }()
	for s.next < after.header.prevEnd {
		h, payload, bad := s.frame()
		if bad != nil {
			bad.reason += ", and " + path.Base(after.name) + " proves that it was synced"
			return bad.corrupt(f.name)
		}
		if err := r.frame(i, &h, payload); err != nil {
			return err
		}
	}
	if s.next != after.header.prevEnd || s.chain != after.header.prevChain {
		return &CorruptError{File: f.name, Offset: s.next, Reason: fmt.Sprintf("the segment ends here with %#08x, but %s says at %d with %#08x",
			s.chain, path.Base(after.name), after.header.prevEnd, after.header.prevChain)}
	}
	return nil
}

// newest reads the segment that was written last, to its first bad frame.
func (r *replay) newest(i int, s *survey) error {
	f := r.chain[i]
	if err := r.header(i); err != nil {
		return err
	}
	sc := newScanner(f, r.buf)
	defer func() { r.buf = sc.buf }()
	for {
		h, payload, bad := sc.frame()
		if bad != nil {
			r.end, r.sum = sc.next, sc.chain
			if err := r.decide(sc, bad); err != nil {
				return err
			}
			return r.decideNext(s.after(f.number), f.header.heir)
		}
		if err := r.frame(i, &h, payload); err != nil {
			return err
		}
	}
}

// decide is the one place that tells a torn end from a damaged one (step 6): a bad frame is damage when no tear can
// make it, or when a later header says that it was synced; otherwise it was never synced, and nobody was told of it.
func (r *replay) decide(s *scanner, bad *badFrame) error {
	if bad.certain {
		return bad.corrupt(s.name)
	}
	b, worse := s.lookBeyond(bad.offset, s.size)
	if worse != nil {
		return worse.corrupt(s.name)
	}
	if b.proof != nil {
		bad.reason += fmt.Sprintf(", and the frame at byte %d proves that it was synced", b.proof.offset)
		return bad.corrupt(s.name)
	}
	if b.newest != nil {
		r.torn = &Torn{File: s.name, Offset: bad.offset, Bytes: b.end - bad.offset, Reason: bad.reason}
		r.promised(b.newest.hard)
	} else if s.header.compat&compatZeroed != 0 {
		r.torn = s.debris(bad)
	}
	return nil
}

// decideNext decides the same of segments that may have been begun without a whole header. Their frames are known by
// the salt that the newest segment has chosen for its heir. The log uses its spares in the order of their numbers, so
// the first file is looked through whole; another one can only follow when the log had to make a segment itself.
func (r *replay) decideNext(files []*found, salt uint64) error {
	for i, f := range files {
		s := newScanner(f, r.buf)
		s.header, s.seed = segmentHeader{seq: f.number}, seed(salt)
		limit := s.size
		if i > 0 {
			limit = min(limit, scanAhead)
		}
		b, worse := s.lookBeyond(0, limit)
		switch {
		case worse != nil && worse.cause != nil:
			return worse.corrupt(f.name)
		case worse != nil || b.proof != nil:
			return &CorruptError{File: f.name, Reason: "the segment's header is damaged, and a frame in it proves that it was synced"}
		case b.newest != nil:
			r.torn = &Torn{File: f.name, Bytes: b.end, Reason: "the segment has no whole header"}
			r.promised(b.newest.hard)
		}
	}
	return nil
}

// debris returns what a torn write without a whole header left in a segment that was all zeros.
func (s *scanner) debris(bad *badFrame) *Torn {
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

// promise takes over the hard state of a header that is in its place. Terms and votes never go back.
func (r *replay) promise(i int, at int64, hs HardState) error {
	if hs.Term < r.hard.Term || hs.Term == r.hard.Term && r.hard.Vote != 0 && hs.Vote != r.hard.Vote {
		return &CorruptError{File: r.chain[i].name, Offset: at, Reason: fmt.Sprintf("term %d vote %d after term %d vote %d",
			hs.Term, hs.Vote, r.hard.Term, r.hard.Vote)}
	}
	r.hard = hs
	return nil
}

// promised takes over the vote of a header behind a bad frame. Whether it was synced or not, a vote that is kept
// although nobody was told of it does no harm; one that was told and is forgotten does. Its commit index would do
// harm: it may be of entries in the bad frame, in whose places older ones are found.
func (r *replay) promised(hs HardState) {
	if hs.Term > r.hard.Term || hs.Term == r.hard.Term && r.hard.Vote == 0 {
		r.hard.Term, r.hard.Vote = hs.Term, hs.Vote
	}
}

// frame takes over a whole frame of segment i.
func (r *replay) frame(i int, h *frameHeader, payload []byte) error {
	if err := r.promise(i, h.offset, h.hard); err != nil {
		return err
	}
	corrupt := func(err error) error {
		return &CorruptError{File: r.chain[i].name, Offset: h.offset, Reason: err.Error()}
	}
	if h.kind == kindEntries {
		if err := r.follows(h); err != nil {
			return corrupt(err)
		}
		r.keep(i, h.first-1)
	}
	var failed error
	err := readPayload(h, payload, func(rec record, at Position) {
		if h.kind == kindEntries {
			r.window.recall(rec.index, rec.term, at)
		} else {
			failed = r.reset(i, rec)
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return corrupt(err)
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
	return &Recovered{
		HardState: r.hard, Marker: r.marker, Window: r.window, Torn: r.torn,
		First: r.window.first(), Last: r.window.last(), LastTerm: r.window.lastTerm(),
		Bytes: l.Stats().Bytes,
	}
}
