package snapshot

import (
	"bytes"

	"qkv/index"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

const (
	recordFields  = 2
	versionFields = 7
	// versionOverhead bounds a version's bytes without its value; keyOverhead bounds a record's bytes without its key
	// and versions: array headers, integers of nine bytes, lengths and numbers of authors of five.
	versionOverhead = 1 + 5*9 + 5 + 5
	keyOverhead     = 1 + 5 + 5
)

// appendVersion appends a version. Without an author it has one field less: a qkv that knows no authors can read it.
func appendVersion(dst []byte, v *index.Version) []byte {
	fields := versionFields
	if v.Author == 0 {
		fields--
	}
	dst = pack.AppendArray(dst, fields)
	dst = pack.AppendInt(dst, v.Mod)
	dst = pack.AppendInt(dst, v.Sub)
	dst = pack.AppendInt(dst, v.Create)
	dst = pack.AppendInt(dst, v.Version)
	dst = pack.AppendInt(dst, v.Lease)
	if v.Tombstone {
		dst = pack.AppendNil(dst)
	} else {
		dst = pack.AppendBytes(dst, v.Value)
	}
	if v.Author == 0 {
		return dst
	}
	return pack.AppendUint(dst, uint64(v.Author))
}

// readVersion reads one version into v; its value is part of the block.
func readVersion(r *pack.Reader, v *index.Version) {
	s := r.Struct(versionFields)
	v.Mod = r.Int()
	v.Sub = r.Int()
	v.Create = r.Int()
	v.Version = r.Int()
	v.Lease = r.Int()
	v.Value = nil
	if v.Tombstone = r.Nil(); !v.Tombstone {
		v.Value = r.Bytes()
	}
	author := r.Uint()
	if v.Author = uint32(author); uint64(v.Author) != author {
		r.Fail("the number of an author has more than 32 bits")
	}
	r.End(s)
}

// decoder turns keys blocks back into keys with all their versions. It checks the promised order of keys and versions,
// across blocks. Nearly every key lies in one block and is handed out as slices of that block. Only a key that
// continues in the next block is copied.
type decoder struct {
	add        func(key []byte, versions []index.Version) error
	replay     func(all []index.KeyedVersion) error
	chunkIndex *chunkIndex // of a part file; nil: none

	keys, count uint64          // handed out: keys, versions
	last        []byte          // the previous key, a copy
	versions    []index.Version // of the current key, reused
	split       bool            // the current key continues in the next block
	held        int             // how many of its versions are copies

	all []index.KeyedVersion // of the current block, reused
}

// noteRecord adds a record to the index of chunks. rest is the number of the block's bytes from the record on. key is nil for a change.
func (d *decoder) noteRecord(b *block, rest int, key []byte, first *index.Version) {
	if d.chunkIndex != nil {
		d.chunkIndex.add(key, first, b.at+headerBytes+int64(len(b.payload)-rest))
	}
}

func (d *decoder) noteEnd(b *block) {
	if d.chunkIndex != nil {
		d.chunkIndex.end(b.at + headerBytes + int64(len(b.payload)))
	}
}

// block hands out all keys that end in this block. A failure of add ends it and is returned as refused; err describes
// records that violate the format.
func (d *decoder) block(h *block) (err, refused error) {
	defer d.noteEnd(h)
	r := pack.NewExactReader(h.payload)
	for i := uint32(0); i < h.records; i++ {
		rest, before := len(r.Rest()), len(d.versions)
		if !d.split {
			before = 0
		}
		key := d.record(&r, i == 0)
		if r.Err() != nil {
			return r.Err(), nil
		}
		d.noteRecord(h, rest, key, &d.versions[before])
		if i == h.records-1 && h.flags&continues != 0 {
			d.copyVersions()
			continue
		}
		if refused = d.add(key, d.versions); refused != nil {
			return nil, refused
		}
		d.keys++
		d.count += uint64(len(d.versions))
	}
	if h.flags&continues != 0 && !d.split {
		r.Fail("a key continues in the next block, but the block has no record")
	}
	return r.Done(), nil
}

// record reads one record. It also stores the key in d.last. d.versions then holds its versions, including those of
// earlier blocks.
func (d *decoder) record(r *pack.Reader, first bool) []byte {
	s := r.Struct(recordFields)
	key := r.Bytes()
	n := r.Array()
	switch order := bytes.Compare(key, d.last); {
	case r.Err() != nil:
		return nil
	case len(key) == 0 || len(key) > limits.KeyBytes:
		r.Fail("a key's length is 0 or over the limit")
		return nil
	case first && d.split && order != 0:
		r.Fail("the block before says that its last key continues, but another key follows")
		return nil
	case !(first && d.split) && order <= 0:
		r.Fail("a key does not come after the key before it")
		return nil
	case n == 0:
		r.Fail("a key has no version")
		return nil
	}
	if !d.split {
		d.versions, d.held = d.versions[:0], 0
	}
	d.split = false
	d.last = append(d.last[:0], key...)
	for range n {
		d.versions = append(d.versions, index.Version{})
		v := &d.versions[len(d.versions)-1]
		if readVersion(r, v); r.Err() != nil {
			return nil
		}
		if len(d.versions) > 1 && !d.versions[len(d.versions)-2].Before(v) {
			r.Fail("a version is not newer than the one before it")
			return nil
		}
	}
	r.End(s)
	return key
}

// copyVersions keeps the current key until its next record: it copies the values out of the block, whose memory is reused.
func (d *decoder) copyVersions() {
	for ; d.held < len(d.versions); d.held++ {
		d.versions[d.held].Value = bytes.Clone(d.versions[d.held].Value)
	}
	d.split = true
}

// changes hands out the changes of a block. The positions must ascend, across blocks.
func (d *decoder) changes(h *block) (err, refused error) {
	defer d.noteEnd(h)
	r, last := pack.NewExactReader(h.payload), index.Version{}
	if len(d.all) > 0 {
		last = d.all[len(d.all)-1].Version
	}
	d.all = d.all[:0]
	for range h.records {
		d.all = append(d.all, index.KeyedVersion{})
		one := &d.all[len(d.all)-1]
		rest := len(r.Rest())
		s := r.Struct(recordFields)
		one.Key = r.Bytes()
		n := r.Array()
		readVersion(&r, &one.Version)
		switch {
		case r.Err() != nil:
			return r.Err(), nil
		case n != 1 || len(one.Key) == 0 || len(one.Key) > limits.KeyBytes:
			r.Fail("a change has not one version, or its key's length is 0 or over the limit")
		case !last.Before(&one.Version):
			r.Fail("a change does not come after the change before it")
		}
		r.End(s)
		last = one.Version
		d.noteRecord(h, rest, nil, &last)
	}
	if err := r.Done(); err != nil {
		return err, nil
	}
	d.keys += uint64(len(d.all))
	d.count += uint64(len(d.all))
	return nil, d.replay(d.all)
}
