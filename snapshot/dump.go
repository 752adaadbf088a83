package snapshot

import (
	"crypto/sha256"
	"fmt"
	"io"

	"qkv/index"
	"qkv/internal/damage"
	"qkv/internal/pack"
	"qkv/log/disk"
)

// Dump writes a snapshot or a part as text: its head, a line for each block, its tail, and all damage. With asJSON it
// writes one object a line. It continues behind a damaged payload. A snapshot without one of its parts is damaged; the
// content of a part is in the part's own dump. Dump only reads; its error is the first damage, or a failure to read or
// write.
func Dump(fs disk.FS, path string, to io.Writer, asJSON bool) error {
	f, err := fs.Open(path)
	if err != nil {
		return fmt.Errorf("dump snapshot: %w", err)
	}
	defer f.Close()
	d := dump{damage.NewDump(to, asJSON)}
	d.file(path, f)
	m, t, whole := read(path, f, sha256.New(), ignore{})
	if id, ok := parsePart(fileName(path)); ok && whole == nil && t.sha != id.sha {
		whole = damage.At(path, 0, "its SHA-256 is %x, not what its name says", t.sha)
	}
	if d.First == nil {
		d.wrong(whole)
	}
	for _, p := range m.Parts {
		d.wrong(missing(fs, path, p))
	}
	if d.First == nil {
		d.Line(dumpLine{Kind: "sound"}, "sound\n")
	}
	return d.End()
}

// missing returns an error if a part of a snapshot is not there, or has another size.
func missing(fs disk.FS, path string, p Part) error {
	found, err := PartAt(fs, join(parent(path), p.Name()))
	if err == nil && found.Bytes != p.Bytes {
		return damage.At(path, preludeBytes, "its part %s has %d bytes, not %d", p.Name(), found.Bytes, p.Bytes)
	}
	return missingIsDamage(join(parent(path), p.Name()), err)
}

type dump struct{ *damage.Dump }

// dumpLine is a line of a JSON dump. Fields that are 0 or empty are left out. Users may rely on the names and their
// order.
type dumpLine struct {
	Kind   string  `json:"kind"` // snapshot (also for a part), block, corrupt, or sound
	File   string  `json:"file,omitempty"`
	Format int     `json:"format,omitempty"`
	Block  *uint32 `json:"block,omitempty"` // its number
	Holds  string  `json:"holds,omitempty"` // kind of the block: head, stat, keys, chgs or tail
	Offset int64   `json:"offset,omitempty"`
	Bytes  int64   `json:"bytes,omitempty"` // of the file, or of the block's payload

	Cluster       string `json:"cluster,omitempty"`
	Member        string `json:"member,omitempty"`
	Version       string `json:"version,omitempty"` // of the qkv that saved the snapshot
	Index         uint64 `json:"index,omitempty"`
	Term          uint64 `json:"term,omitempty"`
	Revision      int64  `json:"revision,omitempty"`
	Digest        string `json:"digest,omitempty"`
	Configuration string `json:"configuration,omitempty"` // raft's, in hexadecimal digits
	StateBytes    uint64 `json:"state_bytes,omitempty"`   // all state except keys
	FileBytes     uint64 `json:"file_bytes,omitempty"`    // as the tail states it
	Blocks        uint64 `json:"blocks,omitempty"`
	Keys          uint64 `json:"keys,omitempty"`
	Versions      uint64 `json:"versions,omitempty"`
	FirstKey      []byte `json:"first_key_base64,omitempty"`
	LastKey       []byte `json:"last_key_base64,omitempty"`
	SHA256        string `json:"sha256,omitempty"`
	Reason        string `json:"reason,omitempty"` // why it is corrupt

	Parts   []dumpPart `json:"parts,omitempty"` // that the snapshot lists
	Part    *uint64    `json:"part,omitempty"`  // of a part: its number
	Changes uint32     `json:"changes,omitempty"`

	file prelude
}

// dumpPart is a part that a snapshot lists.
type dumpPart struct {
	File         string `json:"file"`
	LastRevision int64  `json:"last_revision"`
	Bytes        int64  `json:"bytes"`
}

func (d *dump) wrong(err error) {
	if err != nil {
		d.Found(err, dumpLine{Kind: "corrupt", Reason: err.Error()}, "! %v\n", err)
	}
}

func (d *dump) file(path string, f disk.File) {
	w, err := walk(path, f, nil, readWindow)
	if err != nil {
		d.wrong(err)
		return
	}
	name := fileName(path)
	d.Line(dumpLine{Kind: "snapshot", File: name, Format: int(format.Version), Bytes: w.size},
		"snapshot %s: format %d, %d bytes\n", name, format.Version, w.size)
	for w.next < w.size {
		b, err := w.block()
		d.wrong(err)
		if b.kind == 0 {
			return
		}
		l, text := dumpLine{file: w.prelude, Kind: "block", Block: &b.number, Holds: b.kind.String(), Offset: b.at, Bytes: int64(b.length)}, ""
		if err == nil {
			text = l.payload(b)
		}
		d.Line(l, "%10d  %4d %s  %7d bytes%s\n", b.at, b.number, b.kind, b.length, text)
	}
}

// payload adds the content of a block, and returns it as text.
func (l *dumpLine) payload(b block) string {
	switch b.kind {
	case kindHead:
		m, err := readHead(b.payload, l.file.part)
		if err != nil {
			return "" // the checking pass in Dump reports it
		}
		if l.file.part {
			l.Part = &m.Index
			return fmt.Sprintf("  part %d", m.Index)
		}
		l.Cluster, l.Member, l.Version = fmt.Sprintf("%016x", m.Cluster), fmt.Sprintf("%016x", m.Member), m.Version
		l.Index, l.Term, l.Revision, l.Digest = m.Index, m.Term, m.Revision, fmt.Sprintf("%016x", m.Digest)
		l.Configuration, l.StateBytes = fmt.Sprintf("%x", m.ConfState), m.State
		text := fmt.Sprintf("\n%18scluster %s, member %s, qkv %s\n%18sindex %d, term %d, revision %d, digest %s\n%18sconfiguration %s, %d bytes of state",
			"", l.Cluster, l.Member, l.Version, "", l.Index, l.Term, l.Revision, l.Digest, "", l.Configuration, l.StateBytes)
		for _, p := range m.Parts {
			l.Parts = append(l.Parts, dumpPart{p.Name(), p.To, p.Bytes})
			text += fmt.Sprintf("\n%18s%s up to revision %d, %d bytes", "", p.Name(), p.To, p.Bytes)
		}
		return text
	case kindKeys:
		return l.keys(b)
	case kindChanges:
		l.Changes = b.records
		return fmt.Sprintf("  %d changes", b.records)
	case kindTail:
		t := readTail(b.payload)
		l.FileBytes, l.Blocks, l.Keys, l.Versions, l.SHA256 = t.bytes, t.blocks, t.keys, t.versions, fmt.Sprintf("%x", t.sha)
		return fmt.Sprintf("  %d bytes, %d blocks, %d keys, %d versions, SHA-256 %s", t.bytes, t.blocks, t.keys, t.versions, l.SHA256)
	}
	return ""
}

func (l *dumpLine) keys(b block) string {
	var first, last []byte
	versions := 0
	r := pack.NewReader(b.payload)
	for i := uint32(0); i < b.records; i++ {
		s := r.Struct(recordFields)
		if last = r.Bytes(); i == 0 {
			first = last
		}
		n := r.Array()
		versions += n
		for range n {
			var v index.Version
			readVersion(&r, &v)
		}
		r.End(s)
	}
	if r.Err() != nil {
		return ""
	}
	l.Keys, l.Versions, l.FirstKey, l.LastKey = uint64(b.records), uint64(versions), first, last
	text := fmt.Sprintf("  %d keys, %d versions, %.64q to %.64q", b.records, versions, first, last)
	if b.flags&continues != 0 {
		text += " and on"
	}
	return text
}
