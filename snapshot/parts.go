package snapshot

import (
	"bytes"
	"container/heap"
	"encoding/hex"
	"fmt"

	"qkv/index"
	"qkv/internal/pack"
	"qkv/log/disk"
)

// Part names a file with a part of a state's older changes: an extent, or a piece of the base. Its content decides its name, so equal
// parts of two members have the same name, and are copied once.
type Part struct {
	Number uint64   // of the extent; 0: a piece of the base
	To     int64    // the extent's last revision, or the base's
	SHA    [32]byte // the tail's
	Bytes  int64
}

// Name is the part's published name.
func (p Part) Name() string { return partName(p.Number, p.SHA) }

func partName(number uint64, sha [32]byte) string {
	return fmt.Sprintf("%0*d-%s%s", digits, number, hex.EncodeToString(sha[:]), partSuffix)
}

func readParts(r *pack.Reader) (all []Part) {
	for range r.Array() {
		s := r.Struct(partFields)
		p := Part{Number: r.Uint()}
		if sha := r.Bytes(); len(sha) == len(p.SHA) {
			p.SHA = [32]byte(sha)
		} else {
			r.Fail("the name of a part has not 32 bytes")
			return nil
		}
		p.To, p.Bytes = r.Int(), r.Int()
		r.End(s)
		all = append(all, p)
	}
	return all
}

// partStream gives the keys of a part in key order.
type partStream struct {
	reading reading
	file    disk.File
	want    Part
	order   int // among the parts of the snapshot
	queue   []partKey
	next    int // in queue
	done    bool
}

type partKey struct {
	key      []byte
	versions []index.Version
}

func (s *partStream) open(Meta, []byte) error { return nil }

func (s *partStream) key(key []byte, versions []index.Version) error {
	s.queue = append(s.queue, partKey{bytes.Clone(key), append([]index.Version(nil), versions...)})
	return nil
}

// openPart opens a part, and reads its first keys.
func openPart(fs disk.FS, dir string, p Part, order int) (*partStream, error) {
	path := join(dir, p.Name())
	f, err := fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open a part of a snapshot: %w", err)
	}
	s := &partStream{file: f, want: p, order: order}
	w, err := walk(path, f, nil, partWindow)
	if err == nil && !w.part {
		err = corruptAt(path, 0, "it is no part of a snapshot")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	s.reading = newReading(w, w.size, s)
	if err := s.advance(); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

// partWindow is the size of one read of a part: there may be hundreds that are read side by side.
const partWindow = 256 << 10

// advance moves on to the next key. Its slices are valid until the next call.
func (s *partStream) advance() error {
	if s.next++; s.next < len(s.queue) {
		return nil
	}
	s.queue, s.next = s.queue[:0], 0
	for len(s.queue) == 0 && !s.done {
		t, done, err := s.reading.step()
		if err != nil {
			return err
		}
		if done {
			if s.done = true; t.sha != s.want.SHA || s.reading.meta.Index != s.want.Number {
				return corruptAt(s.reading.path, s.reading.size-tailPayload, "it is part %d with the SHA-256 %x, not what its name says", s.reading.meta.Index, t.sha)
			}
		}
	}
	return nil
}

func (s *partStream) head() *partKey { return &s.queue[s.next] }

// parts merges the keys of all parts of a snapshot.
type parts struct {
	streams  []*partStream // a heap, without those that are read
	all      []*partStream
	versions []index.Version
}

func openParts(fs disk.FS, dir string, of []Part) (*parts, error) {
	p := &parts{}
	for i, one := range of {
		s, err := openPart(fs, dir, one, i)
		if err != nil {
			p.close()
			return nil, err
		}
		p.all = append(p.all, s)
		if !s.done {
			p.streams = append(p.streams, s)
		}
	}
	heap.Init(p)
	return p, nil
}

func (p *parts) close() {
	for _, s := range p.all {
		s.file.Close()
	}
	p.all, p.streams = nil, nil
}

// The heap orders streams by key, and equal keys by the order of the parts.
func (p *parts) Len() int { return len(p.streams) }

func (p *parts) Less(i, j int) bool {
	a, b := p.streams[i], p.streams[j]
	order := bytes.Compare(a.head().key, b.head().key)
	return order < 0 || order == 0 && a.order < b.order
}
func (p *parts) Swap(i, j int) { p.streams[i], p.streams[j] = p.streams[j], p.streams[i] }
func (p *parts) Push(x any)    { p.streams = append(p.streams, x.(*partStream)) }

func (p *parts) Pop() any {
	last := p.streams[len(p.streams)-1]
	p.streams = p.streams[:len(p.streams)-1]
	return last
}

// until hands the keys before one to f, or all if it is nil, with their changes of all parts.
func (p *parts) until(key []byte, f func(key []byte, versions []index.Version) error) error {
	for len(p.streams) > 0 && (key == nil || bytes.Compare(p.streams[0].head().key, key) < 0) {
		first := p.streams[0].head().key
		versions, err := p.take(first)
		if err == nil {
			err = f(first, versions)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take returns the changes of a key, which is the next one if any part has it, and moves on behind it.
func (p *parts) take(key []byte) ([]index.Version, error) {
	p.versions = p.versions[:0]
	for len(p.streams) > 0 && bytes.Equal(p.streams[0].head().key, key) {
		s := p.streams[0]
		for _, v := range s.head().versions {
			if s.next+1 == len(s.queue) { // the next step reuses the block's memory
				v.Value = bytes.Clone(v.Value)
			}
			p.versions = append(p.versions, v)
		}
		if err := s.advance(); err != nil {
			return nil, err
		}
		if s.done {
			heap.Pop(p)
		} else {
			heap.Fix(p, 0)
		}
	}
	return p.versions, nil
}
