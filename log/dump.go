package log

import (
	"fmt"
	"io"
	"path"
	"strings"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/log/disk"
)

// Dump prints the segments and frames of a log's directory as text, with verbose also the entries. It reads only, goes
// on behind damage where it can, and does not say what recovery would: Open does.
func Dump(d disk.FS, dir string, w io.Writer, verbose bool) error {
	s := &survey{o: Options{FS: d, Dir: dir}, anyone: true}
	defer s.close()
	if err := s.open(); err != nil {
		return err
	}
	p := dumper{w: w, verbose: verbose}
	for i, f := range s.files {
		if f.valid {
			p.segment(f, s.files[i+1:])
		} else {
			p.line("%s  no segment, %d bytes", path.Base(f.name), f.size)
		}
	}
	return p.err
}

type dumper struct {
	w       io.Writer
	verbose bool
	err     error
}

func (p *dumper) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// segment prints a segment: its header, its frames, and how it ends.
func (p *dumper) segment(f *found, later []*found) {
	h := &f.header
	p.line("%s  segment %d, %d bytes, cluster %x, member %x, after entry %d/%d, %s",
		path.Base(f.name), h.seq, f.size, h.cluster, h.member, h.next-1, h.lastTerm, describeHard(h.hard))
	if h.prev != 0 {
		p.line("%10s  follows segment %d, which ends at %d with %08x", "", h.prev, h.prevEnd, h.prevChain)
	}
	end, by := int64(-1), ""
	for _, l := range later {
		if l.valid && l.header.prev == h.seq {
			end, by = l.header.prevEnd, path.Base(l.name)
		}
	}
	p.frames(newScanner(f, nil), end, by)
}

// frames prints frames up to a known end, or to the first bad one, and then what is behind it.
func (p *dumper) frames(s *scanner, end int64, by string) {
	for s.next != end {
		h, payload, bad := s.frame()
		if bad != nil {
			p.bad(s, bad, end, by)
			return
		}
		p.frame(&h, payload)
	}
	p.line("%10d  end, says %s", s.next, by)
}

func (p *dumper) bad(s *scanner, bad *badFrame, end int64, by string) {
	b, _ := s.lookBeyond(bad.offset, s.size)
	switch {
	case end > 0:
		p.line("%10d  CORRUPT: %s; %s says that the segment ends at %d", bad.offset, bad.reason, by, end)
	case bad.certain:
		p.line("%10d  CORRUPT: %s", bad.offset, bad.reason)
	case b.proof != nil:
		p.line("%10d  CORRUPT: %s; the frame at %d proves that it was synced", bad.offset, bad.reason, b.proof.offset)
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

func (p *dumper) frame(h *frameHeader, payload []byte) {
	p.header(h)
	err := readPayload(h, payload, func(r record, at Position) {
		switch {
		case r.kind == kindMarker:
			p.line("%10d    marker %d/%d %s", at.Offset, r.index, r.term, describeConf(r.data))
		case p.verbose:
			p.line("%10d    entry %d/%d %s, %d bytes, crc %08x%s", at.Offset, r.index, r.term,
				strings.TrimPrefix(raftpb.EntryType(r.kind).String(), "Entry"), len(r.data), at.CRC, describeData(r.data))
		}
	})
	if err != nil {
		p.line("%10d  CORRUPT: %v", h.offset, err)
	}
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
