package log

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/log/disk"
)

// Dump prints the segments and frames of a log's directory as text, with verbose also the entries, each with what
// describe says of its data (nil: its first bytes). It reads only and goes on behind damage where it can. Damage is
// marked CORRUPT, and the error is the first of it; what recovery would make of the log, Open says.
func Dump(d disk.FS, dir string, w io.Writer, verbose bool, describe func(data []byte) string) error {
	s := &inventory{o: Options{FS: d, Dir: dir}, anyone: true}
	if err := s.open(); err != nil {
		return err
	}
	if len(s.files) == 0 {
		return noSegments(d, dir)
	}
	p := dumper{w: w, verbose: verbose, describe: describe}
	if describe == nil {
		p.describe = describeData
	}
	broken := s.brokenChain()
	for i, f := range s.files {
		if f.valid {
			p.segment(s, f, s.files[i+1:])
		} else if broken == nil || broken.File != f.name {
			p.line("%s  no segment, %d bytes", path.Base(f.name), f.size)
		}
		if broken != nil && broken.File == f.name {
			p.line("%s  CORRUPT: %s", path.Base(f.name), broken.Reason)
			p.damaged(broken)
			broken = nil
		}
	}
	if broken != nil { // of a file that is gone
		p.line("%s  CORRUPT: %s", path.Base(broken.File), broken.Reason)
		p.damaged(broken)
	}
	if s.newest() < 0 {
		_, err := s.chain()
		return errors.Join(p.err, err)
	}
	return cmp.Or(p.err, p.damage)
}

// noSegments says that a directory is none of a log, and which one may be meant.
func noSegments(d disk.FS, dir string) error {
	inside := path.Join(dir, "wal")
	if _, err := d.List(inside); err == nil {
		return fmt.Errorf("no *%s in %s; did you mean %s?", nameSuffix, dir, inside)
	}
	return fmt.Errorf("no *%s in %s", nameSuffix, dir)
}

// brokenChain is what is wrong with the order of the segments, nil for nothing: what chain says, and a segment that
// another one names and that is gone although an older one is there, since released ones go the oldest first.
func (s *inventory) brokenChain() *CorruptError {
	chain, err := s.chain()
	var broken *CorruptError
	if errors.As(err, &broken) || len(chain) == 0 {
		return broken
	}
	prev := chain[0].header.prev
	for _, f := range s.files {
		if f.valid && f.number < prev {
			return &CorruptError{
				File:   chain[0].name,
				Reason: fmt.Sprintf("the segment follows %s, which is gone, while the older %s is there", nameOf(prev), path.Base(f.name)),
				Cause:  fs.ErrNotExist,
			}
		}
	}
	return nil
}

type dumper struct {
	w        io.Writer
	verbose  bool
	describe func(data []byte) string
	buf      []byte // for scanners
	err      error  // of writing
	damage   error  // the first
}

// damaged notes damage; the line that marks it is the caller's.
func (p *dumper) damaged(err error) {
	if p.damage == nil {
		p.damage = err
	}
}

func (p *dumper) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// segment prints a segment: its header, its frames, and how it ends.
func (p *dumper) segment(s *inventory, f *logFile, later []*logFile) {
	h := &f.header
	p.line("%s  segment %d, %d bytes, cluster %x, member %x, after entry %d/%d, %s",
		path.Base(f.name), h.seq, f.size, h.cluster, h.member, h.next-1, h.lastTerm, describeHard(h.hard))
	if h.prev != 0 {
		p.line("%10s  follows segment %d, which ends at %d with %08x", "", h.prev, h.prevEnd, h.prevChain)
	}
	var follower *logFile
	for _, l := range later {
		if l.valid && l.header.prev == h.seq {
			follower = l
		}
	}
	err := s.scan(f, &p.buf, func(sc *scanner) error {
		p.frames(sc, follower)
		return nil
	})
	if err != nil {
		p.corrupt(f.name, 0, "the segment cannot be read", err)
	}
}

// frames prints frames up to the end that the next segment knows, or to the first bad one, and then what is behind it.
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
		p.corrupt(s.name, s.next, fmt.Sprintf("the segment ends here with %08x, but %s says with %08x", s.chain, by, follower.header.prevChain), nil)
		return
	}
	p.line("%10d  end, says %s", s.next, by)
}

func (p *dumper) bad(s *scanner, bad *badFrame, follower *logFile) {
	b, _ := s.scanAhead(bad.offset, s.size)
	switch {
	case follower != nil:
		p.corrupt(s.name, bad.offset, fmt.Sprintf("%s; %s says that the segment ends at %d", bad.reason, path.Base(follower.name), follower.header.prevEnd), bad.cause)
	case bad.certain:
		p.corrupt(s.name, bad.offset, bad.reason, bad.cause)
	case b.proof != nil:
		p.corrupt(s.name, bad.offset, fmt.Sprintf("%s; the frame at %d proves that it was synced", bad.reason, b.proof.offset), bad.cause)
	case b.newest != nil:
		p.line("%10d  torn: %s", bad.offset, bad.reason)
	default:
		p.line("%10d  end", bad.offset)
	}
	for at := bad.offset; b.newest != nil && at <= b.newest.offset; at += pageBytes {
		if h, none := s.headerAt(at); none == nil {
			p.header(&h)
		}
	}
}

// corrupt marks damage of a file; cause is that of a read that failed.
func (p *dumper) corrupt(file string, at int64, reason string, cause error) {
	said := reason
	if cause != nil {
		said += ": " + cause.Error()
	}
	p.line("%10d  CORRUPT: %s", at, said)
	p.damaged(&CorruptError{File: file, Offset: at, Reason: reason, Cause: cause})
}

func (p *dumper) frame(s *scanner, h *frameHeader, payload []byte) {
	p.header(h)
	err := readPayload(h, payload, s.header.longerRecords(), func(r record, at Position) {
		switch {
		case r.kind == kindMarker:
			p.line("%10d    marker %d/%d %s", at.Offset, r.index, r.term, describeConf(r.data))
		case p.verbose && raftpb.EntryType(r.kind) != raftpb.EntryNormal:
			p.entry(r, at, describeData(r.data))
		case p.verbose:
			p.entry(r, at, p.describe(r.data))
		}
	})
	if err != nil {
		p.corrupt(s.name, h.offset, err.Error(), nil)
	}
}

func (p *dumper) entry(r record, at Position, what string) {
	p.line("%10d    entry %d/%d %s, %d bytes, crc %08x%s", at.Offset, r.index, r.term,
		strings.TrimPrefix(raftpb.EntryType(r.kind).String(), "Entry"), len(r.data), at.CRC, what)
}

func (p *dumper) header(h *frameHeader) {
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
	p.line("%10d  %v%s; %s, synced to %d, %08x", h.offset, h.kind, what, describeHard(h.hard), h.synced, h.sum)
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

// describeData shows the beginning of an entry.
func describeData(data []byte) string {
	const most = 32
	if len(data) == 0 {
		return ""
	}
	if len(data) > most {
		return fmt.Sprintf(" %q...", data[:most])
	}
	return fmt.Sprintf(" %q", data)
}
