package backup

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"qkv/internal/damage"
)

// DumpOptions are what Dump writes.
type DumpOptions struct {
	Entries  bool                     // also each entry of the log
	Describe func(data []byte) string // what an entry's envelope holds; needed for Entries
	JSON     bool                     // one object a line
}

// dumpLine is a line of a JSON dump. Fields that are 0 or empty are left out. Users may rely on the names and their
// order.
type dumpLine struct {
	Kind      string `json:"kind"` // backup, base, file, segment, entry, torn, corrupt or sound
	File      string `json:"file,omitempty"`
	Format    int    `json:"format,omitempty"`
	Cluster   string `json:"cluster,omitempty"`
	Name      string `json:"name,omitempty"` // of the cluster
	Version   string `json:"version,omitempty"`
	Index     uint64 `json:"index,omitempty"` // of an entry, or of a base's newest one
	Term      uint64 `json:"term,omitempty"`
	Revision  int64  `json:"revision,omitempty"`
	Time      string `json:"time,omitempty"`
	Digest    string `json:"digest,omitempty"`
	Level     uint64 `json:"level,omitempty"`
	SHA256    string `json:"sha256,omitempty"` // of a base's snapshot, or of a file
	First     uint64 `json:"first,omitempty"`  // entry of a segment
	Last      uint64 `json:"last,omitempty"`
	Continues uint64 `json:"continues,omitempty"` // first entry of the segment before
	Chunks    uint32 `json:"chunks,omitempty"`
	Bytes     int64  `json:"bytes,omitempty"` // of the file in the backup, or of an entry's data
	Clear     int64  `json:"clear_bytes,omitempty"`
	Files     int    `json:"files,omitempty"` // of a base
	Encrypted bool   `json:"encrypted,omitempty"`
	Holds     string `json:"holds,omitempty"` // the commands of an entry
	Reason    string `json:"reason,omitempty"`
}

type dump struct {
	*damage.Dump
	r *Reader
	o DumpOptions
}

// Dump writes the content of the backup: the bases, and the segments of the log. It reads all bytes, and continues behind
// damage. It builds no state. Its error is the first damage, or a failure to read or write.
func (r *Reader) Dump(to io.Writer, o DumpOptions) error {
	d := dump{damage.NewDump(to, o.JSON), r, o}
	c := &r.Cluster
	d.Line(dumpLine{Kind: "backup", Format: int(markFormat.Version), Cluster: fmt.Sprintf("%016x", c.ID), Name: c.Name, Version: c.Version},
		"backup of %s, %016x: format %d, made by qkv %s\n", c.Name, c.ID, markFormat.Version, c.Version)
	for _, fault := range r.Faults {
		d.wrong(fault)
	}
	err := d.bases()
	for i := 0; i < len(r.segments) && err == nil; i++ {
		err = d.segment(i)
	}
	if err == nil && d.First == nil {
		d.Line(dumpLine{Kind: "sound"}, "sound\n")
	}
	return cmp.Or(err, d.End())
}

// wrong writes damage, and returns any other error.
func (d *dump) wrong(err error) error {
	if err == nil || !damaged(err) {
		return err
	}
	d.Found(err, dumpLine{Kind: "corrupt", Reason: err.Error()}, "! %v\n", err)
	return nil
}

func (d *dump) bases() error {
	left := complete(d.r.Bases)
	for i := range d.r.Bases {
		b := &d.r.Bases[i]
		l := dumpLine{
			Kind: "base", File: path.Base(baseName(b.Index, b.Term)), Version: b.Version, Index: b.Index, Term: b.Term, Revision: b.Revision, Time: utc(b.Wall),
			Digest: fmt.Sprintf("%016x", b.Digest), Level: b.Level, SHA256: fmt.Sprintf("%x", b.Files[0].SHA), Files: len(b.Files), Clear: b.Bytes(),
		}
		d.Line(l, "base %s: revision %d, %s, digest %s, level %d, saved by qkv %s, %d files of %d bytes; these are new:\n",
			l.File, l.Revision, l.Time, l.Digest, l.Level, l.Version, l.Files, l.Clear)
		for _, f := range b.Files {
			of, is := left[fileName(f)]
			if !is {
				continue
			}
			delete(left, fileName(f))
			if err := d.wrong(d.file(of)); err != nil {
				return err
			}
		}
	}
	return nil
}

// file writes a file of a base, and returns its damage.
func (d *dump) file(of File) error {
	l := dumpLine{Kind: "file", SHA256: fmt.Sprintf("%x", of.SHA), Clear: of.Bytes, Bytes: of.Stored, Encrypted: of.Encrypted}
	d.Line(l, "  files/%s: %d bytes%s\n", l.SHA256, l.Bytes, encryptedText(l.Encrypted))
	f, err := openFile(d.r.store, of)
	if err != nil {
		return err
	}
	defer f.Close()
	sum, err := sumOfFile(f, of.Stored)
	if err == nil && sum != of.Sum {
		err = damage.At(d.r.store.path(fileName(of)), 0, "its SHA-256 is %x, and that of its base is %x: its bytes are damaged", sum, of.Sum)
	}
	return err
}

func encryptedText(is bool) string {
	if is {
		return ", encrypted"
	}
	return ""
}

func (d *dump) segment(i int) error {
	s := &d.r.segments[i]
	l := dumpLine{Kind: "segment", File: path.Base(s.name()), First: s.first, Continues: s.before, Bytes: s.bytes}
	if s.fault != nil {
		return d.wrong(s.fault)
	}
	sc, err := d.r.openSegment(s)
	if err != nil {
		return err
	}
	defer sc.f.Close()
	var entries []Entry
	var c chunk
	f := follower{r: d.r, scanner: sc}
	for err == nil {
		if c, err = sc.chunk(); err != nil {
			break
		}
		if d.o.Entries {
			var more []Entry
			if more, err = f.entries(&c); err == nil {
				entries = append(entries, cloned(more)...)
			}
		} else {
			f.raw, err = sc.payload(&c, f.raw)
		}
		if err == nil {
			l.Last, l.Chunks, l.Time, l.Encrypted = c.last, c.number+1, utc(c.wall), l.Encrypted || c.flags&flagEncrypted != 0
		}
	}
	continues := "begins the log"
	if l.Continues != 0 {
		continues = fmt.Sprintf("continues %d", l.Continues)
	}
	d.Line(l, "segment %s: entries %d to %d, up to %s, %s: %d bytes in %d chunks%s\n", l.File, l.First, l.Last, l.Time, continues, l.Bytes, l.Chunks, encryptedText(l.Encrypted))
	for _, e := range entries {
		d.Line(dumpLine{Kind: "entry", Index: e.Index, Term: e.Term, Bytes: int64(len(e.Envelope)), Holds: d.o.Describe(e.Envelope)},
			"  entry %d, term %d, %d bytes%s\n", e.Index, e.Term, len(e.Envelope), d.o.Describe(e.Envelope))
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return d.segmentEnd(i, &l, sc, err)
}

// segmentEnd writes why the rest of a segment cannot be read: an interruption, after which the next segment continues or
// the backup ends, or damage.
func (d *dump) segmentEnd(i int, l *dumpLine, sc *scanner, why error) error {
	continued := i+1 < len(d.r.segments) && d.r.segments[i+1].before == l.First && d.r.segments[i+1].first == l.Last+1
	ends := false
	if damaged(why) && i+1 == len(d.r.segments) {
		var err error
		if ends, err = (&follower{r: d.r}).tornEnd(sc); err != nil {
			return err
		}
	}
	if continued || ends {
		d.Line(dumpLine{Kind: "torn", Last: l.Last, Reason: why.Error()}, "  interrupted behind entry %d: %v\n", l.Last, why)
		return nil
	}
	return d.wrong(why)
}

// cloned copies the entries out of memory that is reused.
func cloned(entries []Entry) []Entry {
	for i := range entries {
		entries[i].Envelope = append([]byte(nil), entries[i].Envelope...)
	}
	return entries
}

// utc formats a time of a state; a dump is the same on every host.
func utc(wall int64) string { return time.Unix(0, wall).UTC().Format(time.RFC3339) }
