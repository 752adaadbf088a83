package backup

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"qkv/internal/damage"
	"qkv/snapshot"
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
	Kind      string `json:"kind"` // backup, list, base, file, log, entry, corrupt or sound
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
	First     uint64 `json:"first,omitempty"`  // entry of an object of the log
	Last      uint64 `json:"last,omitempty"`
	Bytes     int64  `json:"bytes,omitempty"`       // of the object in the backup, or of an entry's data
	Clear     int64  `json:"clear_bytes,omitempty"` // before compression
	Files     int    `json:"files,omitempty"`       // of a base
	Encrypted bool   `json:"encrypted,omitempty"`
	Holds     string `json:"holds,omitempty"` // the commands of an entry
	Reason    string `json:"reason,omitempty"`
}

type dump struct {
	*damage.Dump
	r *Reader
	o DumpOptions
}

// Dump writes the content of the backup: the bases, and the objects of the log. It reads all bytes, and continues behind
// damage. It builds no state. Its error is the first damage, or a failure to read or write.
func (r *Reader) Dump(to io.Writer, o DumpOptions) error {
	d := dump{damage.NewDump(to, o.JSON), r, o}
	c := &r.Cluster
	d.Line(dumpLine{Kind: "backup", Format: int(markFormat.Version), Cluster: fmt.Sprintf("%016x", c.ID), Name: c.Name, Version: c.Version},
		"backup of %s, %016x: format %d, made by qkv %s\n", c.Name, c.ID, markFormat.Version, c.Version)
	if r.list != "" {
		name := path.Base(r.list)
		d.Line(dumpLine{Kind: "list", File: name}, "list %s: %d bases\n", name, len(r.Bases))
	}
	for _, fault := range r.Faults {
		d.wrong(fault)
	}
	err := d.bases()
	for i := 0; i < len(r.log) && err == nil; i++ {
		err = d.wrong(d.log(r.log[i]))
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
	left := listedFiles(d.r.Bases)
	for i := range d.r.Bases {
		b := &d.r.Bases[i]
		content, _ := b.Bytes()
		l := dumpLine{
			Kind: "base", File: strings.TrimSuffix(snapshot.Name(b.Index, b.Term), saveSuffix), Version: b.Version, Index: b.Index, Term: b.Term, Revision: b.Revision, Time: utc(b.Wall),
			Digest: fmt.Sprintf("%016x", b.Digest), Level: b.Level, SHA256: fmt.Sprintf("%x", b.Files[0].ID), Files: len(b.Files), Clear: content,
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
	l := dumpLine{Kind: "file", SHA256: fmt.Sprintf("%x", of.ID), Clear: of.Bytes, Bytes: of.Stored, Encrypted: of.Encrypted}
	d.Line(l, "  %s: %d bytes, compressed to %d%s\n", fileName(of), l.Clear, l.Bytes, encryptedText(l.Encrypted))
	path := d.r.store.Path(fileName(of))
	err := lacks(d.r.store, d.r.sizes, of)
	if err != nil {
		return err
	}
	_, sum, err := sumOf(d.r.ctx, d.r.store, fileName(of), of.Stored)
	if err == nil && sum != of.Sum {
		err = damage.At(path, 0, "its SHA-256 is %x, and that of its base is %x: its bytes are damaged", sum, of.Sum)
	}
	return err
}

func encryptedText(is bool) string {
	if is {
		return ", encrypted"
	}
	return ""
}

// log writes an object of the log, and returns its damage.
func (d *dump) log(of span) error {
	l := dumpLine{Kind: "log", File: path.Base(of.name()), First: of.first, Last: of.last, Bytes: d.r.bytes[of]}
	h, payload, err := readLog(d.r.ctx, d.r.store, of, d.r.Cluster.ID)
	if err == nil {
		l.Time, l.Encrypted = utc(h.Wall), h.Encrypted
	}
	d.Line(l, "log %s: entries %d to %d, up to %s: %d bytes%s\n", l.File, l.First, l.Last, l.Time, l.Bytes, encryptedText(l.Encrypted))
	if err != nil || !d.o.Entries {
		return err
	}
	entries, err := d.r.entries(of, &h, payload)
	for _, e := range entries {
		d.Line(dumpLine{Kind: "entry", Index: e.Index, Term: e.Term, Bytes: int64(len(e.Envelope)), Holds: d.o.Describe(e.Envelope)},
			"  entry %d, term %d, %d bytes%s\n", e.Index, e.Term, len(e.Envelope), d.o.Describe(e.Envelope))
	}
	return err
}

// utc formats a time of a state; a dump is the same on every host.
func utc(wall int64) string { return time.Unix(0, wall).UTC().Format(time.RFC3339) }
