package snapshot

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	iofs "io/fs"

	"qkv/index"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/pack"
	"qkv/log/disk"
)

// Source is the immutable state that is saved: an *index.View.
type Source interface {
	Applied() (applied, term uint64)
	Revision() int64
	LiveBytes() int64
	Digest() uint64
	// AppendMeta appends all of the state that is not a key.
	AppendMeta(dst []byte) []byte
	// OpenChanges returns the changes behind the last extent.
	OpenChanges() index.Changes
}

// RangeContent is the content of a range file: an *index.BaseRange.
type RangeContent interface {
	// Scan calls f with each key from on, in key order, and all its versions, oldest first, until f returns false.
	Scan(from []byte, f func(key []byte, versions []index.Version) bool)
	Proof() *index.Proof
}

// Saver writes one file, proves it and publishes it, a bounded step at a time. A proof reads the file back from the medium, and checks all
// that a load checks. The Saver keeps its source until then.
//
// Invariants:
//
//  1. sum has been fed the prelude and the headers that were appended to the file; block comes next.
//  2. Every version of every key before from, and the first skip versions of from itself, are in the file or in block.
//  3. After the first error the file is gone and every step returns that error.
type Saver struct {
	// Set by Begin, then constant.
	fs      disk.FS
	dir     string
	name    string
	meta    Meta
	keys    RangeContent // of a range file; nil: the file has changes
	changes index.Changes
	part    bool
	first   int64 // of an extent
	to      int64 // the last revision of a part file

	// CallBytes bounds one write, and one read back: a multiple of disk.DirectBytes; 0: no limit. The caller sets it
	// before Step.
	CallBytes int
	// Synced says that the file is written and synced: its rest is to read it back. Set by Step.
	Synced bool

	// Owned by Step.
	file       *output // nil once it is published or abandoned
	sum        hash.Hash
	number     uint32
	chain      uint32
	state      []byte // the output of AppendMeta that is not written yet
	from       []byte
	skip       int
	at         index.Position // of the next change
	chunkIndex chunkIndex     // of a part file
	all        bool           // all keys or changes are written
	block      []byte         // the block being filled, after space for its header
	count      uint32         // its records
	tail       tail
	medium     medium   // of the file, for back
	back       *reading // reads the file back once everything is written
	size       int64    // of the published file
	err        error
}

// Begin creates the temporary file of a snapshot of source and writes its head. From m it takes Cluster, Member,
// ConfState, Version and Parts. The file has the changes behind the last extent. Index and Term must be those of the source, since ConfState
// belongs to that index. Digest, Revision and Live come from the source. If a snapshot of that name exists, Begin returns fs.ErrExist.
func Begin(fs disk.FS, dir string, m Meta, source Source) (*Saver, error) {
	if applied, term := source.Applied(); applied != m.Index || term != m.Term {
		panic(fmt.Sprintf("snapshot of index %d, term %d from a view of index %d, term %d", m.Index, m.Term, applied, term))
	}
	m.Digest, m.Revision, m.Live = source.Digest(), source.Revision(), source.LiveBytes()
	s := &Saver{fs: fs, dir: dir, name: Name(m.Index, m.Term), meta: m, state: source.AppendMeta(nil), changes: source.OpenChanges()}
	if err := checkGaps(m.Parts, s.changes.First()); err != nil {
		return nil, fmt.Errorf("begin snapshot %s: %w", s.path(), err)
	}
	return begin(s)
}

// BeginRangeFile creates the temporary file of a range of the base of a revision. The content alone decides the file's bytes, and so its
// name. If a file of that name exists, it may be damaged, and the last step replaces it.
func BeginRangeFile(fs disk.FS, dir string, base int64, content RangeContent) (*Saver, error) {
	return begin(&Saver{fs: fs, dir: dir, name: partName(0, [32]byte{}), to: base, keys: content, part: true})
}

// BeginExtent is BeginRangeFile for an extent, which v must have.
func BeginExtent(fs disk.FS, dir string, v *index.View, e index.Extent) (*Saver, error) {
	return begin(&Saver{
		fs: fs, dir: dir, name: partName(e.Number, [32]byte{}), meta: Meta{Index: e.Number}, first: e.From, to: e.To, changes: v.ChangesOf(e), part: true,
	})
}

func begin(s *Saver) (*Saver, error) {
	err := checkAbsent(s.fs, s.path())
	s.sum = sha256.New()
	// it grows: many files are small, and clearing a whole block costs more than writing one
	s.block = make([]byte, headerBytes, 8<<10)
	if err == nil {
		err = s.create()
	}
	if err != nil {
		return nil, fmt.Errorf("begin snapshot %s: %w", s.path(), err)
	}
	return s, nil
}

// Save writes a snapshot of a View and those of its part files that there does not have. It returns the Shelf of all part files. If there
// is nil, no part file exists; otherwise there has the base of the View.
func Save(fs disk.FS, dir string, m Meta, v *index.View, there *Shelf) (*Shelf, error) {
	write := func(s *Saver, err error) (*Volume, error) {
		for done := false; err == nil && !done; {
			done, err = s.Step(limits.SnapshotStepBytes)
		}
		if err != nil {
			return nil, err
		}
		return s.Volume(), nil
	}
	if there == nil {
		var base []*Volume
		var content *index.BaseRange
		if v.Base() > index.EmptyBase {
			content = v.BaseRange(nil)
		}
		for ; content != nil; content = content.Next() {
			one, err := write(BeginRangeFile(fs, dir, v.Base(), content))
			if err != nil {
				return nil, err
			}
			base = append(base, one)
		}
		there = NewShelf(base)
	}
	for _, e := range v.Extents() {
		if e.To <= there.Last() {
			continue
		}
		one, err := write(BeginExtent(fs, dir, v, e))
		if err != nil {
			return nil, err
		}
		there = there.With(one)
	}
	m.Parts = there.Parts()
	_, err := write(Begin(fs, dir, m, v))
	return there, err
}

// Part names the part file. It is valid after the last step.
func (s *Saver) Part() Part {
	return Part{Number: s.meta.Index, From: s.first, To: s.to, SHA: s.tail.sha, Bytes: s.size}
}

// Volume returns the part file for reading values from it. It is valid after the last step.
func (s *Saver) Volume() *Volume {
	return &Volume{Part: s.Part(), fs: s.fs, path: join(s.dir, s.Part().Name()), chunkIndex: s.chunkIndex}
}

func (s *Saver) path() string { return join(s.dir, s.name) }

func (s *Saver) create() error {
	head := appendHead(s.meta, len(s.state), s.part)
	if len(head) > limits.SnapshotHeadBytes {
		return fmt.Errorf("the head has %d bytes, the limit is %d", len(head), limits.SnapshotHeadBytes)
	}
	tmp := join(s.dir, saving(s.name))
	if err := s.fs.Remove(tmp); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	f, err := s.fs.Create(tmp)
	if err != nil {
		return err
	}
	s.file = &output{File: f, buffer: newBuffer()}
	features := uint32(0)
	if s.part {
		features = isPart
	}
	first := format.Append(nil, features, 0, nil)
	s.chain, _ = damage.Sealed(first)
	if err = s.write(first); err == nil {
		s.block = append(s.block, head...)
		err = s.close(kindHead, 0)
	}
	if err != nil {
		s.abandon()
	}
	return err
}

// Step writes or reads back about n bytes, at least one block, and reports whether the snapshot is published.
// Publishing is a step of its own, the last one. An error is final, and the file is removed.
func (s *Saver) Step(n int) (done bool, err error) {
	if s.err != nil || s.file == nil {
		return s.err == nil, s.err
	}
	s.file.callBytes, s.medium.callBytes = s.CallBytes, s.CallBytes
	end := s.file.offset + int64(max(n, 1))
	switch {
	case len(s.state) > 0:
		err = s.stepState(end)
	case !s.all && s.keys != nil:
		err = s.stepKeys(end)
	case !s.all:
		err = s.stepChanges(end)
	case s.back == nil:
		err = s.finish()
	case s.back.next < s.back.size:
		err = s.stepBack(n)
	default:
		if err = s.publish(); err == nil {
			return true, nil
		}
	}
	if err != nil {
		s.err = fmt.Errorf("save snapshot %s: %w", s.path(), err)
		s.abandon()
	}
	return false, s.err
}

// snapshotBlockBytes is the size at which a snapshot block is closed: small enough to be checked and held at once, large enough to make its
// checksum and calls cheap.
const snapshotBlockBytes = 256 << 10

func (s *Saver) stepState(end int64) error {
	for len(s.state) > 0 && s.file.offset < end {
		n := min(len(s.state), snapshotBlockBytes)
		s.block = append(s.block, s.state[:n]...)
		s.state = s.state[n:]
		if err := s.close(kindStat, 0); err != nil {
			return err
		}
	}
	return nil
}

// stepKeys continues the scan where the previous step stopped.
func (s *Saver) stepKeys(end int64) (err error) {
	full := false
	s.keys.Scan(s.from, func(key []byte, versions []index.Version) bool {
		full, err = s.key(key, versions, end)
		return err == nil && !full
	})
	if err != nil || full {
		return err
	}
	return s.lastBlock(kindKeys)
}

// lastBlock closes the last block of keys or changes, if there is one.
func (s *Saver) lastBlock(k kind) error {
	s.all = true
	if s.count == 0 {
		return nil
	}
	return s.close(k, 0)
}

// stepChanges continues with the change where the previous step stopped.
func (s *Saver) stepChanges(end int64) (err error) {
	full := false
	var one [1]index.Version
	s.at = s.changes.Scan(s.at, func(key []byte, v *index.Version) bool {
		one[0] = *v
		if err = s.fits(key, one[:]); err != nil {
			return false
		}
		if _, err = s.record(key, one[:]); err != nil {
			return false
		}
		if len(s.block) < headerBytes+snapshotBlockBytes {
			return true
		}
		err = s.close(kindChanges, 0)
		full = s.file.offset >= end
		return err == nil && !full
	})
	if err != nil || full {
		return err
	}
	return s.lastBlock(kindChanges)
}

// key writes a key's versions, except those already written, and reports whether the step is over. Then from and skip
// say where the next step begins.
func (s *Saver) key(key []byte, versions []index.Version, end int64) (full bool, err error) {
	skip := s.skip
	s.skip = 0
	if skip > 0 && !bytes.Equal(key, s.from) {
		panic(fmt.Sprintf("scan from %q with %d versions written begins with %q", s.from, skip, key))
	}
	if err := s.fits(key, versions); err != nil {
		return false, err
	}
	for skip < len(versions) {
		n, err := s.record(key, versions[skip:])
		if err != nil {
			return false, err
		}
		skip += n
		flags := uint32(0)
		if skip < len(versions) {
			flags = continues
		} else if len(s.block) < headerBytes+snapshotBlockBytes {
			break
		}
		if err := s.close(kindKeys, flags); err != nil {
			return false, err
		}
		if s.file.offset >= end {
			s.resumeAt(key, skip, len(versions))
			return true, nil
		}
	}
	return false, nil
}

// resumeAt sets where the next scan begins: at the key if versions of it remain, otherwise right behind it.
func (s *Saver) resumeAt(key []byte, written, of int) {
	s.from = append(s.from[:0], key...)
	if s.skip = written; written == of {
		s.from, s.skip = append(s.from, 0), 0
	}
}

// fits checks the limits of a key and its versions, so that the file never holds anything that cannot be read.
func (s *Saver) fits(key []byte, versions []index.Version) error {
	if len(key) == 0 || len(key) > limits.KeyBytes {
		return fmt.Errorf("a key of %d bytes, the limit is %d", len(key), limits.KeyBytes)
	}
	for i := range versions {
		if n := versions[i].Size(); n > limits.EnvelopeBytes {
			return fmt.Errorf("the value of %q at revision %d has %d bytes, the limit is %d", key, versions[i].Mod, n, limits.EnvelopeBytes)
		}
	}
	return nil
}

// record appends one record: the key and as many of its versions as fill the block, at least one. It returns their
// number; if versions remain, the block must be closed. An error is that of a value that cannot be read.
func (s *Saver) record(key []byte, versions []index.Version) (n int, err error) {
	room := headerBytes + snapshotBlockBytes - len(s.block) - keyOverhead - len(key)
	for n < len(versions) && (n == 0 || room > 0) {
		room -= versionOverhead + versions[n].Size()
		if err := versions[n].Read(); err != nil {
			return 0, err
		}
		n++
	}
	if s.part {
		s.noteRecord(key, &versions[0])
	}
	s.block = pack.AppendArray(s.block, 2)
	s.block = pack.AppendBytes(s.block, key)
	s.block = pack.AppendArray(s.block, n)
	for i := range versions[:n] {
		s.block = appendVersion(s.block, &versions[i])
	}
	s.count++
	s.tail.versions += uint64(n)
	if n == len(versions) {
		s.tail.keys++
	}
	return n, nil
}

// noteRecord adds the record that begins here to the index of chunks.
func (s *Saver) noteRecord(key []byte, first *index.Version) {
	if s.keys == nil {
		key = nil
	}
	s.chunkIndex.add(key, first, s.file.offset+int64(len(s.block)))
}

// close writes the block.
func (s *Saver) close(k kind, flags uint32) error {
	payload := s.block[headerBytes:]
	s.chunkIndex.end(s.file.offset + int64(len(s.block)))
	s.chain = putHeader(s.block, header{
		kind: k, number: s.number, length: uint32(len(payload)), records: s.count,
		chain: s.chain, flags: flags, payload: damage.Sum(payload),
	})
	err := s.write(s.block)
	s.number++
	s.block, s.count = s.block[:headerBytes], 0
	return err
}

func (s *Saver) write(b []byte) error {
	s.sum.Write(b[:headerBytes]) // a prelude is as long as a header
	return s.file.append(b)
}

// finish writes the tail, and prepares to read back from the medium.
func (s *Saver) finish() error {
	s.tail.bytes = uint64(s.file.offset) + tailBytes
	s.tail.blocks = uint64(s.number) + 1
	s.sum.Sum(s.tail.sha[:0])
	s.block = appendTail(s.block, s.tail)
	if err := s.close(kindTail, 0); err != nil {
		return err
	}
	proof := s.changes.Proof
	if s.keys != nil {
		proof = s.keys.Proof
	}
	var checks content = ignore{}
	if p := proof(); p != nil {
		checks = proven{p}
	}
	s.keys, s.changes, s.block = nil, index.Changes{}, nil
	err := s.file.flush()
	s.file.releaseBuffer()
	if err == nil {
		err = s.file.Sync()
		s.Synced = err == nil
	}
	if err == nil {
		s.medium.File = s.file
		w, failed := walk(join(s.dir, saving(s.name)), &s.medium, nil, readWindow)
		if err = failed; err == nil {
			s.back = new(newReading(w, w.size, checks))
		}
	}
	return err
}

// stepBack reads back some blocks. They hold the checksums that were written, and each block is bound to all earlier
// ones, so comparing the last checksum is enough.
func (s *Saver) stepBack(n int) error {
	for end := s.back.next + int64(max(n, 1)); s.back.next < min(end, s.back.size); {
		if _, _, err := s.back.step(); err != nil {
			return err
		}
	}
	switch {
	case s.back.next < s.back.size:
		return nil
	case s.back.chain != s.chain:
		return damage.At(s.back.path, s.back.size, "the last block's checksum is %08x, %08x was written", s.back.chain, s.chain)
	}
	if p, is := s.back.to.(proven); is {
		return p.finish(s.back.path, s.meta, s.part)
	}
	return nil
}

// publish gives the file its published name.
func (s *Saver) publish() error {
	f := s.file
	s.file, s.size = nil, f.offset
	if s.part {
		name := partName(s.meta.Index, s.tail.sha)
		if checkAbsent(s.fs, join(s.dir, name)) != nil { // it may be damaged
			return replace(s.fs, f, s.dir, saving(s.name), name)
		}
		return publish(s.fs, f, s.dir, saving(s.name), name)
	}
	return publish(s.fs, f, s.dir, saving(s.name), s.name)
}

// Abort stops saving and removes the file. After the last step, or an error, it does nothing.
func (s *Saver) Abort() {
	if s.file != nil {
		s.err = fmt.Errorf("save snapshot %s: it was aborted", s.path())
		s.abandon()
	}
}

func (s *Saver) abandon() {
	if s.file != nil {
		s.file.releaseBuffer()
		s.file.Close()
		s.fs.Remove(join(s.dir, saving(s.name)))
	}
	s.file, s.keys, s.changes, s.block, s.state = nil, nil, index.Changes{}, nil, nil
}

// Done returns how many bytes are written and read back: twice the file's size at the end.
func (s *Saver) Done() int64 {
	switch {
	case s.file == nil:
		return 2 * s.size
	case s.back == nil:
		return s.file.offset
	}
	return s.file.offset + s.back.next
}

// Info describes the snapshot being saved. Its size counts the bytes written so far, and after the last step the whole
// file.
func (s *Saver) Info() Info {
	info := Info{Meta: s.meta, Path: s.path(), Bytes: s.size, Err: s.err}
	if s.file != nil {
		info.Bytes = s.file.offset
	}
	return info
}
