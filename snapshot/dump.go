package snapshot

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"

	"qkv/index"
	"qkv/internal/pack"
	"qkv/log/disk"
)

// Dump writes a snapshot as text: its head, a line for each block, its tail, and everything that is wrong with it.
// It goes on behind a damaged payload. It only reads; its error is the first damage, or a failure to read or write.
func Dump(fs disk.FS, path string, to io.Writer) error {
	f, err := fs.Open(path)
	if err != nil {
		return fmt.Errorf("dump snapshot: %w", err)
	}
	defer f.Close()
	out := bufio.NewWriter(to)
	d := dump{out: out}
	d.file(path, f)
	_, _, whole := read(path, f, sha256.New(), ignore{})
	if d.first == nil {
		d.wrong(whole)
	}
	if d.first == nil {
		fmt.Fprintf(out, "sound\n")
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("dump snapshot: %w", err)
	}
	return d.first
}

type dump struct {
	out   io.Writer
	first error
}

func (d *dump) wrong(err error) {
	if err == nil {
		return
	}
	fmt.Fprintf(d.out, "! %v\n", err)
	if d.first == nil {
		d.first = err
	}
}

func (d *dump) file(path string, f disk.File) {
	w, err := walk(path, f, nil, readWindow)
	if err != nil {
		d.wrong(err)
		return
	}
	fmt.Fprintf(d.out, "snapshot %s: format %d, %d bytes\n", base(path), formatVersion, w.size)
	for w.next < w.size {
		b, err := w.block()
		d.wrong(err)
		if b.kind == 0 {
			return
		}
		fmt.Fprintf(d.out, "%10d  %4d %s  %7d bytes", b.at, b.number, b.kind, b.length)
		if err == nil {
			d.payload(b)
		}
		fmt.Fprintln(d.out)
	}
}

// payload ends a block's line with what it holds.
func (d *dump) payload(b block) {
	switch b.kind {
	case kindHead:
		m, state, err := readHead(b.payload, true)
		if err != nil {
			return // the pass that checks everything names it
		}
		fmt.Fprintf(d.out, "\n%18scluster %016x, member %016x, qkv %s\n", "", m.Cluster, m.Member, m.Version)
		fmt.Fprintf(d.out, "%18sindex %d, term %d, revision %d, digest %016x\n", "", m.Index, m.Term, m.Revision, m.Digest)
		fmt.Fprintf(d.out, "%18sconfiguration %x, %d bytes of state", "", m.ConfState, state)
	case kindKeys:
		d.keys(b)
	case kindTail:
		t := readTail(b.payload)
		fmt.Fprintf(d.out, "  %d bytes, %d blocks, %d keys, %d versions, SHA-256 %x", t.bytes, t.blocks, t.keys, t.versions, t.sha)
	}
}

func (d *dump) keys(b block) {
	var first, last []byte
	versions := 0
	r := pack.NewReader(b.payload)
	for i := uint32(0); i < b.records; i++ {
		more := r.ArrayFrom(2)
		if last = r.Bytes(); i == 0 {
			first = last
		}
		n := r.Array()
		versions += n
		for range n {
			var v index.Version
			readVersion(&r, &v, true)
		}
		for range more {
			r.Skip()
		}
	}
	if r.Err() != nil {
		return
	}
	fmt.Fprintf(d.out, "  %d keys, %d versions, %.64q to %.64q", b.records, versions, first, last)
	if b.flags&goesOn != 0 {
		fmt.Fprint(d.out, " and on")
	}
}
