package log

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/internal/damage"
	"qkv/log/disk"
)

// DumpOptions configure Dump.
type DumpOptions struct {
	Entries  bool                     // also print the entries
	Describe func(data []byte) string // returns the text of an entry's data; nil: its first bytes
	JSON     bool                     // print one JSON object a line instead of text
	Segment  string                   // the name of the only file to print; empty: all
}

// Dump prints the segments and frames of a log's directory. It only reads, and continues behind damage where it can. Damage is marked
// CORRUPT, and Dump returns the first damage as its error. Only Open decides how recovery treats the damage.
func Dump(d disk.FS, dir string, w io.Writer, o DumpOptions) error {
	s := &inventory{o: Options{FS: d, Dir: dir}, anyone: true}
	if err := s.open(); err != nil {
		return advised(err)
	}
	if len(s.files) == 0 {
		return noSegments(d, dir)
	}
	other := func(name string) bool { return o.Segment != "" && path.Base(name) != o.Segment }
	if !slices.ContainsFunc(s.files, func(f *logFile) bool { return !other(f.name) }) {
		return fmt.Errorf("%s: the name of a segment is its number, as in %s", path.Join(dir, o.Segment), path.Base(nameOf(1)))
	}
	p := dumper{Dump: damage.NewDump(w, o.JSON), o: o}
	if o.Describe == nil {
		p.o.Describe = describeData
	}
	broken := s.brokenChain()
	if broken != nil && other(broken.File) {
		broken = nil
	}
	for _, f := range s.files {
		if other(f.name) {
			continue
		}
		if f.valid {
			p.segment(s, f)
		} else if broken == nil || broken.File != f.name {
			p.Line(dumpLine{Kind: "unknown", File: path.Base(f.name), Bytes: f.size}, "%s  not a segment, %d bytes\n", path.Base(f.name), f.size)
		}
		if broken != nil && broken.File == f.name {
			p.brokenChain(broken)
			broken = nil
		}
	}
	if broken != nil { // the damaged file is missing
		p.brokenChain(broken)
	}
	if s.newest() < 0 && o.Segment == "" {
		_, p.First = s.chain()
	}
	return advised(p.End())
}

// noSegments is the error for a directory without segments. It names the likely log directory.
func noSegments(d disk.FS, dir string) error {
	inside := path.Join(dir, "wal")
	if _, err := d.List(inside); err == nil {
		return fmt.Errorf("no *%s in %s; did you mean %s?", nameSuffix, dir, inside)
	}
	return fmt.Errorf("no *%s in %s", nameSuffix, dir)
}

// brokenChain returns a fault in the order of the segments, nil if there is none. A fault is an error of chain, or a
// missing segment that another one names while an older one still exists: released segments are removed oldest first.
func (s *inventory) brokenChain() *damage.Error {
	chain, err := s.chain()
	var broken *damage.Error
	if errors.As(err, &broken) || len(chain) == 0 {
		return broken
	}
	prev := chain[0].header.prev
	for _, f := range s.files {
		if f.valid && f.number < prev {
			return damage.At(chain[0].name, 0, "the segment follows %s, which is gone, while the older %s is there: %w", nameOf(prev), path.Base(f.name), fs.ErrNotExist)
		}
	}
	return nil
}

type dumper struct {
	*damage.Dump
	o   DumpOptions
	buf []byte // for scanners
}

// dumpLine is a line of a JSON dump. Fields that are 0 or empty are left out. Users may rely on the names and their
// order.
type dumpLine struct {
	Kind   string `json:"kind"` // segment, frame, entry, marker, end, torn, corrupt, or unknown: the file is no segment
	File   string `json:"file"`
	Offset int64  `json:"offset,omitempty"` // in the file
	Bytes  int64  `json:"bytes,omitempty"`  // of the file, a frame's payload, or an entry's data

	Segment uint64 `json:"segment,omitempty"` // in a frame of kind next: the next segment
	Follows uint64 `json:"follows,omitempty"` // the segment before
	Cluster string `json:"cluster,omitempty"`
	Member  string `json:"member,omitempty"`
	Frame   string `json:"frame,omitempty"` // kind of the frame
	// of an entry or marker; in a frame, field first; in a segment, the last entry before it
	Index    uint64    `json:"index,omitempty"`
	Count    uint32    `json:"count,omitempty"` // of the frame's entries or markers
	Term     uint64    `json:"term,omitempty"`  // of the entry or marker, or of the last entry before the segment
	Hard     *hardLine `json:"hard_state,omitempty"`
	Synced   int64     `json:"synced,omitempty"` // the segment was synced up to this offset when the frame was written
	CRC      string    `json:"crc,omitempty"`
	Type     string    `json:"type,omitempty"`     // of the entry
	Commands string    `json:"commands,omitempty"` // of the entry, as Describe returns them
	Config   string    `json:"configuration,omitempty"`
	Reason   string    `json:"reason,omitempty"` // why it is torn or corrupt
}

// hardLine is raft's hard state as JSON.
type hardLine struct {
	Term   uint64 `json:"term"`
	Vote   string `json:"vote"`
	Commit uint64 `json:"commit"`
}

func hardLineOf(hs HardState) *hardLine { return &hardLine{hs.Term, hexID(hs.Vote), hs.Commit} }

func hexID(id uint64) string { return fmt.Sprintf("%016x", id) }

// brokenChain prints a fault in the order of the segments.
func (p *dumper) brokenChain(broken *damage.Error) {
	name := path.Base(broken.File)
	p.Found(broken, dumpLine{Kind: "corrupt", File: name, Reason: broken.Reason.Error()}, "%s  CORRUPT: %v\n", name, broken.Reason)
}

// segment prints a segment: its header, its frames, and how it ends.
func (p *dumper) segment(s *inventory, f *logFile) {
	h := &f.header
	text := fmt.Sprintf("%s  segment %d, %d bytes, cluster %x, member %x, after entry %d/%d, %s",
		path.Base(f.name), h.seq, f.size, h.cluster, h.member, h.next-1, h.lastTerm, describeHard(h.hard))
	if h.prev != 0 {
		text += fmt.Sprintf("\n%10s  follows segment %d, which ends at %d with %08x", "", h.prev, h.prevEnd, h.prevChain)
	}
	p.Line(dumpLine{
		Kind: "segment", File: path.Base(f.name), Bytes: f.size, Segment: h.seq, Follows: h.prev, Cluster: hexID(h.cluster), Member: hexID(h.member),
		Index: h.next - 1, Term: h.lastTerm, Hard: hardLineOf(h.hard),
	}, "%s\n", text)
	err := s.scan(f, &p.buf, func(sc *scanner) error {
		p.frames(sc, s.follower(f))
		return nil
	})
	if err != nil {
		p.corrupt(f.name, 0, fmt.Errorf("the segment cannot be read: %w", err))
	}
}

// frames prints frames up to the end that the next segment states, or to the first bad frame, and then the rest behind
// it.
func (p *dumper) frames(s *scanner, follower *logFile) {
	for follower == nil || s.next != follower.header.prevEnd {
		h, payload, bad := s.frame()
		if bad != nil {
			p.bad(s, bad, follower)
			return
		}
		p.frame(s, &h, payload)
	}
	by := path.Base(follower.name)
	if s.chain != follower.header.prevChain {
		p.corrupt(s.name, s.next, fmt.Errorf("the segment ends here with %08x, but %s says with %08x", s.chain, by, follower.header.prevChain))
		return
	}
	p.Line(dumpLine{Kind: "end", File: path.Base(s.name), Offset: s.next}, "%10d  end, according to %s\n", s.next, by)
}

func (p *dumper) bad(s *scanner, bad *badFrame, follower *logFile) {
	b, _ := s.findIntactHeaders(bad.offset, s.size)
	switch {
	case follower != nil:
		p.corrupt(s.name, bad.offset, fmt.Errorf("%w; %s says that the segment ends at %d", bad.reason, path.Base(follower.name), follower.header.prevEnd))
	case bad.certain:
		p.corrupt(s.name, bad.offset, bad.reason)
	case b.proof != nil:
		p.corrupt(s.name, bad.offset, fmt.Errorf("%w; the frame at %d proves that it was synced", bad.reason, b.proof.offset))
	case b.newest != nil:
		p.Line(dumpLine{Kind: "torn", File: path.Base(s.name), Offset: bad.offset, Reason: bad.reason.Error()}, "%10d  torn: %v\n", bad.offset, bad.reason)
	default:
		p.Line(dumpLine{Kind: "end", File: path.Base(s.name), Offset: bad.offset}, "%10d  end\n", bad.offset)
	}
	for at := bad.offset; b.newest != nil && at <= b.newest.offset; at += pageBytes {
		if h, none := s.headerAt(at); none == nil {
			p.header(s.name, &h)
		}
	}
}

// corrupt prints and records damage of a file.
func (p *dumper) corrupt(file string, at int64, reason error) {
	p.Found(&damage.Error{File: file, Offset: at, Reason: reason},
		dumpLine{Kind: "corrupt", File: path.Base(file), Offset: at, Reason: reason.Error()}, "%10d  CORRUPT: %v\n", at, reason)
}

func (p *dumper) frame(s *scanner, h *frameHeader, payload []byte) {
	p.header(s.name, h)
	err := readPayload(h, payload, s.header.longerRecords(), func(r record, at Position) {
		switch {
		case r.kind == kindMarker:
			p.Line(dumpLine{Kind: "marker", File: path.Base(s.name), Offset: at.Offset, Index: r.index, Term: r.term, Config: describeConf(r.data)},
				"%10d    marker %d/%d %s\n", at.Offset, r.index, r.term, describeConf(r.data))
		case p.o.Entries && raftpb.EntryType(r.kind) != raftpb.EntryNormal:
			p.entry(s.name, r, at, describeData(r.data))
		case p.o.Entries:
			p.entry(s.name, r, at, p.o.Describe(r.data))
		}
	})
	if err != nil {
		p.corrupt(s.name, h.offset, err)
	}
}

func (p *dumper) entry(file string, r record, at Position, what string) {
	kind := strings.TrimPrefix(raftpb.EntryType(r.kind).String(), "Entry")
	p.Line(dumpLine{
		Kind: "entry", File: path.Base(file), Offset: at.Offset, Bytes: int64(len(r.data)), Index: r.index, Term: r.term,
		CRC: fmt.Sprintf("%08x", at.CRC), Type: kind, Commands: strings.TrimLeft(what, ": "),
	}, "%10d    entry %d/%d %s, %d bytes, crc %08x%s\n", at.Offset, r.index, r.term, kind, len(r.data), at.CRC, what)
}

func (p *dumper) header(file string, h *frameHeader) {
	l := dumpLine{
		Kind: "frame", File: path.Base(file), Offset: h.offset, Bytes: int64(h.length), Frame: h.kind.String(), Index: h.first, Count: h.count, Segment: h.nextSeq,
		Hard: hardLineOf(h.hard), Synced: h.synced, CRC: fmt.Sprintf("%08x", h.sum),
	}
	what := ""
	if h.count > 0 && h.kind == kindEntries {
		what = fmt.Sprintf(" %d..%d", h.first, h.first+uint64(h.count)-1)
		for _, r := range h.runs {
			what += fmt.Sprintf(" %dx term %d,", r.count, r.term)
		}
		what = strings.TrimSuffix(what, ",") + fmt.Sprintf(", %d bytes", h.length)
	}
	if h.kind == kindNext {
		what = " " + nameOf(h.nextSeq)
	}
	p.Line(l, "%10d  %v%s; %s, synced to %d, %08x\n", h.offset, h.kind, what, describeHard(h.hard), h.synced, h.sum)
}

func describeHard(hs HardState) string {
	return fmt.Sprintf("term %d vote %x commit %d", hs.Term, hs.Vote, hs.Commit)
}

func describeConf(data []byte) string {
	conf := &raftpb.ConfState{}
	if err := proto.Unmarshal(data, conf); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("voters %x learners %x outgoing %x next %x", conf.Voters, conf.Learners, conf.VotersOutgoing, conf.LearnersNext)
}

// describeData returns the first bytes of an entry.
func describeData(data []byte) string {
	const most = 32 // a key and its command's head, in one line
	if len(data) == 0 {
		return ""
	}
	if len(data) > most {
		return fmt.Sprintf(" %q...", data[:most])
	}
	return fmt.Sprintf(" %q", data)
}
