package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// ErrFile is wrapped by every error about a file's content.
var ErrFile = errors.New("the file is no snapshot that can be taken")

func fileError(format string, values ...any) error {
	return fmt.Errorf("%w: %w", ErrFile, fmt.Errorf(format, values...))
}

// File is an open snapshot file of etcd. It is not safe for concurrent use.
type File struct {
	Path string
	Size int64
	Sum  [sha256.Size]byte
	// Compacted is the oldest readable revision, 0 before the first compaction; Revision is the newest one.
	Compacted, Revision int64
	Version             string // of the schema; empty before 3.6
	Records             int64  // kept records
	Leases              []kv.Lease
	Auth                index.AuthContent
	Notes               []string // content that is left out without harm

	db *bbolt.DB
	// last is the newest version at or below the compacted revision, for each key with several versions there.
	last map[string]int64
}

const (
	blockBytes    = 512 // unit of bbolt's pages, and of the bytes before a sum
	revisionBytes = 17
	openTimeout   = 5 * time.Second
	problemsMost  = 20
)

// OpenFile opens a snapshot's file after a check of its sum. A file without a sum, such as a data folder's member/snap/db, is opened only
// with unchecked.
func OpenFile(path string, unchecked bool) (f *File, err error) {
	f = &File{Path: path}
	if err := f.readSum(unchecked); err != nil {
		return nil, err
	}
	defer guard(&err)()
	f.db, err = bbolt.Open(path, 0o400, &bbolt.Options{ReadOnly: true, Timeout: openTimeout})
	if err != nil {
		return nil, fileError("%s cannot be opened as etcd's database: %w", path, err)
	}
	if err := f.db.View(f.readTrees); err != nil {
		return nil, errors.Join(err, f.db.Close())
	}
	return f, nil
}

// readTrees reads everything except the keys, after a check of all pages.
func (f *File) readTrees(tx *bbolt.Tx) error {
	file, err := os.Open(f.Path)
	if err != nil {
		return fmt.Errorf("open the snapshot: %w", err)
	}
	defer file.Close()
	if err := checkPages(file, f.Size, f.db, tx); err != nil {
		return fileError("%s is damaged: %w", f.Path, err)
	}
	return f.readMeta(tx)
}

// Close closes the file.
func (f *File) Close() error { return f.db.Close() }

// guard converts a panic to an error: bbolt follows damaged pages, even beyond its map.
func guard(err *error) func() {
	debug.SetPanicOnFault(true)
	return func() {
		if p := recover(); p != nil {
			*err = fileError("it is damaged: %v", p)
		}
	}
}

// readSum reads the whole file once and verifies its sum.
func (f *File) readSum(unchecked bool) error {
	file, err := os.Open(f.Path)
	if err != nil {
		return fmt.Errorf("open the snapshot: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, fileError("%s is no regular file", f.Path))
	}
	f.Size = info.Size()
	summed := f.Size%blockBytes == sha256.Size
	body := f.Size
	if summed {
		body -= sha256.Size
	}
	switch {
	case f.Size < 4*blockBytes:
		return fileError("%s has %d bytes: it is cut, or no snapshot", f.Path, f.Size)
	case !summed && !unchecked:
		return fileError("%s has no SHA-256 at its end, as `etcdctl snapshot save` writes it: it is cut, or a copy of member/snap/db, which --skip-hash-check takes", f.Path)
	}
	hash := sha256.New()
	if _, err := io.CopyN(hash, file, body); err != nil {
		return fmt.Errorf("read the snapshot %s: %w", f.Path, err)
	}
	hash.Sum(f.Sum[:0])
	if !summed {
		return nil
	}
	var said [sha256.Size]byte
	if _, err := io.ReadFull(file, said[:]); err != nil {
		return fmt.Errorf("read the snapshot %s: %w", f.Path, err)
	}
	if said != f.Sum && !unchecked {
		return fileError("%s is damaged: its SHA-256 is %x, and %x stands at its end; take the snapshot again", f.Path, f.Sum[:8], said[:8])
	}
	return nil
}

// readMeta reads everything except the keys.
func (f *File) readMeta(tx *bbolt.Tx) error {
	meta, keys := tx.Bucket([]byte("meta")), tx.Bucket([]byte("key"))
	if meta == nil || keys == nil || tx.Bucket([]byte("lease")) == nil {
		return fileError("%s is a database of something else: it lacks the buckets meta, key and lease", f.Path)
	}
	f.Version = string(meta.Get([]byte("storageVersion")))
	if f.Version != "" && !knownSchema(f.Version) {
		return fileError("%s has etcd's schema %s, and this qkv knows those up to 3.7: use a newer qkv", f.Path, f.Version)
	}
	for _, name := range []string{"scheduledCompactRev", "finishedCompactRev"} {
		at := meta.Get([]byte(name))
		if at == nil {
			continue
		}
		revision, _, err := readRevision(at)
		if err != nil {
			return fileError("%s: %s %w", f.Path, name, err)
		}
		f.Compacted = max(f.Compacted, revision)
	}
	f.Revision = max(f.Compacted, 1)
	if last, _ := keys.Cursor().Last(); last != nil {
		revision, _, err := readRevision(last)
		if err != nil {
			return fileError("%s: its last record %w", f.Path, err)
		}
		f.Revision = max(f.Revision, revision)
	}
	return errors.Join(f.readLeases(tx.Bucket([]byte("lease"))), f.readAuth(tx), f.readOthers(tx))
}

func knownSchema(version string) bool {
	var major, minor, patch int
	n, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch)
	return n == 3 && err == nil && major == 3 && minor <= 7
}

// readRevision parses a record's key, with or without a tombstone's mark.
func readRevision(b []byte) (mod, sub int64, err error) {
	if len(b) < revisionBytes || len(b) > revisionBytes+1 || b[8] != '_' || len(b) == revisionBytes+1 && b[revisionBytes] != 't' {
		return 0, 0, fmt.Errorf("has the revision %x, which is none", b[:min(len(b), 2*revisionBytes)])
	}
	return int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[9:])), nil
}

// Field numbers of etcd's lease.proto.
const (
	leaseID        = 1
	leaseTTL       = 2
	leaseRemaining = 3
)

func (f *File) readLeases(bucket *bbolt.Bucket) error {
	err := bucket.ForEach(func(k, v []byte) error {
		l, err := readLease(v)
		if err != nil || len(k) != 8 || binary.BigEndian.Uint64(k) != uint64(l.ID) {
			return fileError("%s: the lease %x cannot be read (%v)", f.Path, k, err)
		}
		f.Leases = append(f.Leases, l)
		return nil
	})
	slices.SortFunc(f.Leases, func(a, b kv.Lease) int { // etcd orders ids as unsigned
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
	return err
}

func readLease(b []byte) (l kv.Lease, err error) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return l, protowire.ParseError(n)
		}
		b = b[n:]
		if kind != protowire.VarintType {
			if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
				return l, protowire.ParseError(n)
			}
			b = b[n:]
			continue
		}
		value, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return l, protowire.ParseError(n)
		}
		b = b[n:]
		switch field {
		case leaseID:
			l.ID = int64(value)
		case leaseTTL:
			l.TTL = int64(value)
		case leaseRemaining:
			l.Remaining = int64(value)
		}
	}
	if l.Remaining < 0 || l.Remaining > l.TTL {
		l.Remaining = 0
	}
	return l, nil
}

// readOthers checks the content that has no place in qkv.
func (f *File) readOthers(tx *bbolt.Tx) error {
	count := func(name string) (n int) {
		if b := tx.Bucket([]byte(name)); b != nil {
			_ = b.ForEach(func([]byte, []byte) error {
				n++
				return nil
			})
		}
		return n
	}
	if n := count("alarm"); n > 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("%d alarms are left behind", n))
	}
	return nil
}

// Check reads all records, and returns one error that lists everything that qkv cannot hold. Call it before Load. progress is called
// occasionally with the number of records read.
func (f *File) Check(ctx context.Context, progress func(records int64)) (err error) {
	defer guard(&err)()
	p := problems{file: f.Path}
	for _, l := range f.Leases {
		if e := l.Check(); e != nil {
			p.add("lease %016x: %v", uint64(l.ID), e)
		}
	}
	for _, e := range f.Auth.Check() {
		p.add("%v", e)
	}
	err = f.db.View(func(tx *bbolt.Tx) error {
		if err := f.findLast(tx); err != nil {
			return err
		}
		return f.each(ctx, tx, func(r *record) error {
			f.Records++
			switch {
			case len(r.Key) == 0:
				p.add("revision %d has an empty key, as `etcdutl snapshot restore --bump-revision` writes it", r.Mod)
			case len(r.Key) > limits.KeyBytes:
				p.add("the key %.40q... of revision %d has %d bytes, the limit is %d", r.Key, r.Mod, len(r.Key), limits.KeyBytes)
			case len(r.Value) > limits.ValueBytes:
				p.add("the value of %q at revision %d has %d bytes, the limit is %d", r.Key, r.Mod, len(r.Value), limits.ValueBytes)
			}
			if r.gap && r.Mod == f.Compacted {
				p.add("the compacted revision %d has put and deleted one key, and etcd keeps the half of it: compact the source once more", r.Mod)
			} else if r.gap {
				return fileError("%s is damaged: before record %d.%d some are missing", f.Path, r.Mod, r.Sub)
			}
			if progress != nil && f.Records%progressRecords == 0 {
				progress(f.Records)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return p.err()
}

const progressRecords = 4096

// problems collects the content that qkv cannot hold.
type problems struct {
	file  string
	lines []string
	more  int
}

func (p *problems) add(format string, values ...any) {
	if len(p.lines) == problemsMost {
		p.more++
		return
	}
	p.lines = append(p.lines, fmt.Sprintf(format, values...))
}

func (p *problems) err() error {
	if len(p.lines) == 0 {
		return nil
	}
	if p.more > 0 {
		p.lines = append(p.lines, fmt.Sprintf("and %d more", p.more))
	}
	return fileError("qkv cannot hold all of %s:\n  %s\nnothing was changed", p.file, strings.Join(p.lines, "\n  "))
}

// findLast finds the keys with several versions at or below the compacted revision. They remain from an unfinished compaction, or the file
// is from an etcd before 3.5.16 and has tombstones there.
func (f *File) findLast(tx *bbolt.Tx) error {
	seed := maphash.MakeSeed()
	seen, twice := map[uint64]struct{}{}, map[uint64]struct{}{}
	collect := func(with func(sum uint64, r *record)) error {
		c := tx.Bucket([]byte("key")).Cursor()
		var r record
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if err := r.read(k, v); err != nil {
				return fileError("%s is damaged: %w", f.Path, err)
			}
			if r.Mod > f.Compacted {
				return nil
			}
			with(maphash.Bytes(seed, r.Key), &r)
		}
		return nil
	}
	err := collect(func(sum uint64, _ *record) {
		if _, again := seen[sum]; again {
			twice[sum] = struct{}{}
		}
		seen[sum] = struct{}{}
	})
	if err != nil || len(twice) == 0 {
		return err
	}
	f.last = map[string]int64{}
	return collect(func(sum uint64, r *record) {
		if _, again := twice[sum]; again {
			f.last[string(r.Key)] = r.Mod
		}
	})
}

// record is a record of the file. Its slices belong to the file.
type record struct {
	index.SourceRecord

	pair mvccpb.KeyValue
	gap  bool // records before it are missing
}

func (r *record) read(k, v []byte) (err error) {
	*r = record{}
	if r.Mod, r.Sub, err = readRevision(k); err != nil {
		return fmt.Errorf("a record %w", err)
	}
	if err := proto.Unmarshal(v, &r.pair); err != nil {
		return fmt.Errorf("record %d.%d: %w", r.Mod, r.Sub, err)
	}
	p := &r.pair
	r.Key, r.Tombstone = p.Key, len(k) > revisionBytes
	if !r.Tombstone {
		r.Value, r.Create, r.Version.Version, r.Lease = p.Value, p.CreateRevision, p.Version, p.Lease
		// `etcdutl snapshot restore --bump-revision` writes a record without a key
		if p.ModRevision != r.Mod && len(v) > 0 {
			return fmt.Errorf("record %d.%d says that it is of revision %d", r.Mod, r.Sub, p.ModRevision)
		}
	}
	return nil
}

// each calls hand with all records that etcd keeps, in order.
func (f *File) each(ctx context.Context, tx *bbolt.Tx, hand func(r *record) error) error {
	c := tx.Bucket([]byte("key")).Cursor()
	before := index.Position{Revision: f.Compacted, Sub: -1}
	read := 0
	for k, v := c.First(); k != nil; k, v = c.Next() {
		var r record
		if err := r.read(k, v); err != nil {
			return fileError("%s is damaged: %w", f.Path, err)
		}
		if read++; read%progressRecords == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if r.Mod <= f.Compacted && !f.keeps(&r) {
			continue
		}
		if r.Mod >= f.Compacted && r.Mod > 1 {
			left := r.Mod - max(before.Revision, 1) - 1
			r.gap = !(r.Sub == 0 && r.Mod > before.Revision && (left == 0 || index.IsCut(left))) && !(r.Mod == before.Revision && r.Sub == before.Sub+1)
			before = index.Position{Revision: r.Mod, Sub: r.Sub}
		}
		if err := hand(&r); err != nil {
			return err
		}
	}
	return nil
}

// keeps tells whether etcd keeps a record at or below the compacted revision. The record without a key that `--bump-revision
// --mark-compacted` leaves only says that revisions up to it are compacted.
func (f *File) keeps(r *record) bool {
	if last, several := f.last[string(r.Key)]; several && last != r.Mod {
		return false
	}
	return len(r.Key) > 0 && (!r.Tombstone || r.Mod == f.Compacted)
}

// Load makes an empty state equal to the file, apart from the leases and users. progress is called for each record.
func (f *File) Load(ctx context.Context, s *index.State, clock func() int64, progress func()) (m *index.Import, err error) {
	defer guard(&err)()
	if m, err = index.NewImport(s, f.Compacted, clock); err != nil {
		return nil, err
	}
	err = f.db.View(func(tx *bbolt.Tx) error {
		return f.each(ctx, tx, func(r *record) error {
			progress()
			return m.Add(&r.SourceRecord)
		})
	})
	if err == nil {
		err = m.End()
	}
	if revision := m.View().Revision(); err == nil && revision != f.Revision {
		err = fileError("%s is damaged: its newest revision is %d, and its records end at %d", f.Path, f.Revision, revision)
	}
	if err != nil {
		return nil, err
	}
	m.Loaded()
	return m, nil
}

// IsDatabase reports whether a file begins as a database of bbolt, the format of etcd's snapshots.
func IsDatabase(path string) bool {
	const pageHeader, magic = 16, 0xed0cdaed
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, pageHeader+4)
	_, err = io.ReadFull(f, b)
	return err == nil && binary.LittleEndian.Uint32(b[pageHeader:]) == magic
}
