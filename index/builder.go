package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"qkv/log/pack"
)

// Builder builds a state from what AppendMeta and Scan of a View gave. It is not for several goroutines.
type Builder struct {
	s     *State
	first event
	last  []byte
	want  State
}

// NewBuilder begins with what AppendMeta wrote.
func NewBuilder(meta []byte) (*Builder, error) {
	b := &Builder{s: NewState()}
	r := pack.NewReader(meta)
	n := r.Array()
	if v := r.Uint(); r.Err() == nil && v != metaVersion {
		return nil, fmt.Errorf("the state has format version %d, this qkv knows %d: it was written by a newer one, upgrade this member", v, metaVersion)
	}
	if r.Err() == nil && n != metaFields {
		r.Fail("a state of another number of fields")
	}
	b.s.applied, b.s.term = r.Uint(), r.Uint()
	b.s.revision, b.s.compacted = r.Int(), r.Int()
	b.first.rev, b.first.sub = r.Int(), r.Int()
	b.s.wall, b.s.level = r.Int(), r.Uint()
	if sum := r.Bytes(); len(sum) == 8 {
		b.want.sum = binary.BigEndian.Uint64(sum)
	} else {
		r.Fail("a sum has 8 bytes")
	}
	b.want.live, b.want.liveBytes, b.want.historyBytes = r.Int(), r.Int(), r.Int()
	for range r.Array() {
		var a Announcement
		readAnnouncement(&r, &a)
		b.s.members = append(b.s.members, a)
	}
	var p point
	for i := r.Array(); i > 0; i -= 2 {
		p.rev += r.Int()
		p.wall += r.Int()
		b.s.points = append(b.s.points, p)
	}
	if err := r.Done(); err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	if b.s.level > MaxLevel {
		return nil, fmt.Errorf("the state has feature level %d, this qkv knows %d: upgrade this member", b.s.level, MaxLevel)
	}
	return b, nil
}

// Add adds a key with its versions, oldest first. Keys come in their order. Nothing of the slices is kept.
func (b *Builder) Add(key []byte, versions []Version) error {
	if len(key) == 0 || len(versions) == 0 || b.last != nil && bytes.Compare(key, b.last) <= 0 {
		return fmt.Errorf("key %q with %d versions cannot follow %q", key, len(versions), b.last)
	}
	b.last = append(b.last[:0], key...)
	s, k := b.s, string(key)
	kept := slices.Clone(versions)
	for i := range kept {
		v := &kept[i]
		if !v.Tombstone {
			v.Value = append([]byte{}, v.Value...)
		}
		if i < len(kept)-1 || v.Tombstone {
			s.historyBytes += weight(k, v)
		} else {
			s.live++
			s.liveBytes += int64(len(k) + len(v.Value))
			s.sum += s.digestOf(k, v)
		}
		if v.Mod > b.first.rev || v.Mod == b.first.rev && v.Sub >= b.first.sub {
			s.history = append(s.history, event{v.Mod, v.Sub, k})
		}
	}
	s.keys.Set(k, kept)
	return nil
}

// Finish returns the state, if it is the one that the meta data speak of.
func (b *Builder) Finish() (*State, error) {
	s := b.s
	if s.sum != b.want.sum || s.live != b.want.live || s.liveBytes != b.want.liveBytes || s.historyBytes != b.want.historyBytes {
		return nil, fmt.Errorf("%d keys of %d bytes, history of %d, sum %016x; the state has %d keys of %d, history of %d, sum %016x",
			s.live, s.liveBytes, s.historyBytes, s.sum, b.want.live, b.want.liveBytes, b.want.historyBytes, b.want.sum)
	}
	slices.SortFunc(s.history, func(a, b event) int {
		if a.rev != b.rev {
			return int(a.rev - b.rev)
		}
		return int(a.sub - b.sub)
	})
	return s, nil
}
