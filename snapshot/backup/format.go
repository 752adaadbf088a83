package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	iofs "io/fs"

	"qkv/internal/codec"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/pack"
	"qkv/log"
	"qkv/snapshot/backup/store"
)

// older began all files of a backup in qkv 0.2.
const older = "qkvback\n"

// The formats of the objects in a backup.
var (
	markFormat = damage.Format{Magic: "qkvmark\n", Version: 5, Older: older}
	listFormat = damage.Format{Magic: "qkvlist\n", Version: 2, Older: older}
	logFormat  = damage.Format{Magic: "qkvlogs\n", Version: 4, Older: older}
)

// list is the content of a backup as of one number: the bases, and their files. doc.go says what it condemns.
type list struct {
	Cluster uint64 `msgpack:"c"`
	Number  uint64 `msgpack:"n"`
	Term    uint64 `msgpack:"t"` // of the leader that made it
	Writer  uint64 `msgpack:"w"` // a random number of the Writer: no two lists are alike
	Files   []File `msgpack:"f"`
	Bases   []Base `msgpack:"b"` // in order of their index
}

// Base describes a saved state in a backup: a snapshot, and the parts that it lists.
type Base struct {
	Index    uint64   `msgpack:"i"` // of the newest applied entry
	Term     uint64   `msgpack:"t"` // and its term
	Revision int64    `msgpack:"r"`
	Wall     int64    `msgpack:"w"` // the state's clock, in nanoseconds since 1970
	Digest   uint64   `msgpack:"d"`
	Level    uint64   `msgpack:"l"`
	Version  string   `msgpack:"v"` // of the qkv that saved it
	At       []uint64 `msgpack:"a"` // of its files among those of the list, when the list is encoded
	Files    []File   `msgpack:"-"` // the snapshot, and its parts in their order
}

// Bytes returns the sizes of the files: as members have them, and as they are stored.
func (b *Base) Bytes() (content, stored int64) {
	for _, f := range b.Files {
		content, stored = content+f.Bytes, stored+f.Stored
	}
	return content, stored
}

// File is one file of a base. It is stored compressed, or as an age stream of that.
type File struct {
	// its identity, as the saver computed it, or a keyed hash of that for an encrypted file
	ID        [32]byte `msgpack:"s"`
	Number    uint64   `msgpack:"l"` // of the list for which it was stored
	Bytes     int64    `msgpack:"b"` // as the member has it
	Sum       [32]byte `msgpack:"h"` // SHA-256 of the bytes that are stored
	Stored    int64    `msgpack:"n"` // how many these are
	Encrypted bool     `msgpack:"e"`
}

// stretch is the header of a slice of the log. Its entries follow, compressed.
type stretch struct {
	Cluster   uint64 `msgpack:"c"`
	First     uint64 `msgpack:"f"` // entry
	Last      uint64 `msgpack:"l"`
	Term      uint64 `msgpack:"t"` // of the last one
	Wall      int64  `msgpack:"w"` // newest time of the log up to it, in nanoseconds since 1970
	Writer    uint64 `msgpack:"p"` // a random number of the Writer: two Writers never give one name to their slices
	Bytes     int64  `msgpack:"b"` // of the entries, before compression
	Encrypted bool   `msgpack:"e"`
}

// Entry is one committed entry of the log, as the state applies it.
type Entry log.Record

// appendEntries appends entries as records of the log.
func appendEntries(dst []byte, entries []Entry) []byte {
	for _, e := range entries {
		dst = log.AppendRecord(dst, log.Record(e))
	}
	return dst
}

// put returns an object of the log, and its name. The payload is the stored form of the entries.
func (h *stretch) put(payload []byte) (of span, object []byte) {
	object = append(logFormat.Append(nil, 0, 0, codec.Append(nil, h)), payload...)
	return span{h.First, h.Last, sha256.Sum256(object)}, object
}

// readStretch reads the header of an object of the log, and returns the payload behind it.
func readStretch(path string, of span, b []byte) (h stretch, payload []byte, err error) {
	p, err := logFormat.Check(path, b)
	if err == nil {
		payload = b[damage.PreludeBytes+len(p.Content):]
		err = damage.Of(path, 0, codec.ReadFile(p.Content, &h))
	}
	if err == nil && (h.First != of.first || h.Last != of.last) {
		err = damage.At(path, 0, "it has the entries %d to %d, and its name says %d to %d", h.First, h.Last, of.first, of.last)
	}
	return h, payload, err
}

// readEntries reads the entries of an object, which must be those of its header. They share memory with b.
func readEntries(b []byte, h *stretch) (entries []Entry, err error) {
	for term := uint64(0); len(b) > 0; {
		var r log.Record
		if r, b, err = log.ReadRecord(b); err != nil {
			return nil, err
		}
		e := Entry(r)
		if e.Index != h.First+uint64(len(entries)) || e.Term < term {
			return nil, errForeignEntries
		}
		entries, term = append(entries, e), e.Term
	}
	if n := uint64(len(entries)); n == 0 || h.First+n-1 != h.Last || entries[n-1].Term != h.Term {
		return nil, errForeignEntries
	}
	return entries, nil
}

var errForeignEntries = fmt.Errorf("%w: its entries are not those of its header", pack.ErrMalformed)

// single reads the value of package codec that is an object's only content.
func single(ctx context.Context, s store.Store, name string, want *damage.Format, to any) error {
	path := s.Path(name)
	b, err := s.Get(ctx, name, 0, limits.BackupListMost)
	if err != nil {
		return err
	}
	p, err := want.Check(path, b)
	if errors.Is(err, damage.ErrOlder) {
		err = fmt.Errorf("%w. This is a backup: the qkv that made it restores it; give new backups an empty place", err)
	}
	if end := len(p.Content) + damage.PreludeBytes; err == nil && end != len(b) {
		err = damage.At(path, int64(end), "%d bytes follow its content", len(b)-end)
	}
	if err != nil {
		return err
	}
	return damage.Of(path, 0, codec.ReadFile(p.Content, to))
}

// get reads bytes of an object that a manifest or a name promises. Its absence is damage.
func get(ctx context.Context, s store.Store, name string, off, most int64) ([]byte, error) {
	b, err := s.Get(ctx, name, off, most)
	if errors.Is(err, iofs.ErrNotExist) {
		err = damage.Of(s.Path(name), 0, fmt.Errorf("it is missing: %w", err))
	}
	return b, err
}
