package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"qkv/index"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// TestMain makes savers write little at a time, so that a small file takes many writes, each of which may fail.
func TestMain(m *testing.M) {
	bufferBytes = 8 * disk.DirectBytes
	os.Exit(m.Run())
}

// full asks for the whole of each sweep; the share that is run otherwise takes seconds.
var full = os.Getenv("QKV_FULL") != ""

// fake is a Source that is written down.
type fake struct {
	applied, term uint64
	revision      int64
	digest        uint64
	state         []byte
	keys          []fakeKey
	redone        []index.KeyedVersion // the changes of a file; they are not saved
}

type fakeKey struct {
	key      []byte
	versions []index.Version
}

func (s *fake) Applied() (uint64, uint64)    { return s.applied, s.term }
func (s *fake) Revision() int64              { return s.revision }
func (s *fake) Digest() uint64               { return s.digest }
func (s *fake) LiveBytes() int64             { return 0 }
func (s *fake) AppendMeta(dst []byte) []byte { return append(dst, s.state...) }
func (s *fake) open(m Meta, state []byte) error {
	*s = fake{applied: m.Index, term: m.Term, revision: m.Revision, digest: m.Digest, state: bytes.Clone(state)}
	return nil
}

// key makes a fake the content of a file: what is read becomes what could be saved.
func (s *fake) key(key []byte, versions []index.Version) error {
	k := fakeKey{key: bytes.Clone(key), versions: slices.Clone(versions)}
	for i := range k.versions {
		k.versions[i].Value = bytes.Clone(k.versions[i].Value)
	}
	s.keys = append(s.keys, k)
	return nil
}

func (s *fake) changes(all []index.KeyedVersion) error {
	for _, one := range all {
		s.redone = append(s.redone, index.KeyedVersion{Key: bytes.Clone(one.Key), Version: one.Version})
		s.redone[len(s.redone)-1].Value = bytes.Clone(one.Value)
	}
	return nil
}

// Proof is none: no load takes the state of a fake.
func (s *fake) Proof() *index.Proof { return nil }

// OpenChanges is for a state: a fake has keys.
func (s *fake) OpenChanges() index.Changes { panic("a fake has no changes") }

// beginFake begins a file with the meta data and the keys of a fake, as no member has one: it has blocks of every kind but changes.
func beginFake(fs disk.FS, dir string, m Meta, s *fake) (*Saver, error) {
	m.Digest, m.Revision = s.digest, s.revision
	return begin(&Saver{fs: fs, dir: dir, name: Name(m.Index, m.Term), meta: m, state: s.AppendMeta(nil), keys: s})
}

// Scan hands out copies that it spoils afterwards, as an index may that reuses its buffers.
func (s *fake) Scan(from []byte, f func(key []byte, versions []index.Version) bool) {
	i, _ := slices.BinarySearchFunc(s.keys, from, func(k fakeKey, from []byte) int { return bytes.Compare(k.key, from) })
	for _, k := range s.keys[i:] {
		key, versions := bytes.Clone(k.key), slices.Clone(k.versions)
		on := f(key, versions)
		clear(key)
		clear(versions)
		if !on {
			return
		}
	}
}

func (s *fake) meta() Meta {
	return Meta{Cluster: 0xc1, Member: 0x4d, Index: s.applied, Term: s.term, ConfState: []byte{8, 77}, Version: "0.1.0"}
}

// put adds a key with versions at these revisions; a negative one is a tombstone.
func (s *fake) put(key string, value func(rev int64) []byte, revisions ...int64) {
	k := fakeKey{key: []byte(key)}
	create, version := int64(0), int64(0)
	for _, rev := range revisions {
		if rev < 0 {
			k.versions = append(k.versions, index.Version{Mod: -rev, Tombstone: true})
			create, version = 0, 0
			continue
		}
		if version++; create == 0 {
			create = rev
		}
		k.versions = append(k.versions, index.Version{Mod: rev, Sub: rev % 3, Create: create, Version: version, Value: value(rev)})
	}
	at, found := slices.BinarySearchFunc(s.keys, k, func(a, b fakeKey) int { return bytes.Compare(a.key, b.key) })
	if found {
		panic("key " + key + " twice")
	}
	s.keys = slices.Insert(s.keys, at, k)
}

// text is a value that says where it belongs.
func text(rev int64) []byte { return fmt.Appendf(nil, "value of revision %d", rev) }

// sized is a value of n bytes that a mix-up would show in.
func sized(n int) func(rev int64) []byte {
	return func(rev int64) []byte {
		b := make([]byte, n)
		rand.NewChaCha8([32]byte{byte(rev), byte(rev >> 8), byte(rev >> 16), byte(n), byte(n >> 8)}).Read(b)
		return b
	}
}

// small is a state with every shape of key.
func small() *fake {
	s := &fake{applied: 42, term: 3, revision: 17, digest: 0x0123456789abcdef, state: []byte("all that is not a key")}
	s.put("created", text, 2)
	s.put("updated", text, 3, 4, 7)
	s.put("deleted", text, 5, -6)
	s.put("again", text, 8, -9, 10, 11)
	s.put("empty", func(int64) []byte { return []byte{} }, 12)
	s.put("\x00\xff", func(int64) []byte { return []byte{0, 255, 10} }, 13)
	s.keys[2].versions[0].Lease = 0x7fffffffffffffff
	return s
}

// blocks is a state of some blocks of every kind, and with a key that needs several.
func blocks() *fake {
	s := &fake{applied: 1 << 40, term: 9, revision: 1 << 33, digest: 1, state: sized(600_000)(1)}
	for i := range int64(1000) {
		s.put(fmt.Sprintf("key %04d", i), sized(256+int(i%7)), 2+i)
	}
	long := make([]int64, 3000)
	for i := range long {
		long[i] = int64(10_000 + i)
	}
	s.put("key 0500 has a history", sized(200), long...)
	s.put("key 0700 is large", sized(1_500_000), 5, 6)
	for i := range s.keys {
		if i%3 > 0 {
			s.keys[i].versions[0].Author = uint32(i * i)
		}
	}
	return s
}

// save writes a whole snapshot in steps of n bytes and returns its path.
func save(t testing.TB, fs disk.FS, dir string, s *fake, n int) string {
	t.Helper()
	path, err := trySave(fs, dir, s, n)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func trySave(fs disk.FS, dir string, s *fake, n int) (string, error) {
	sv, err := beginFake(fs, dir, s.meta(), s)
	if err != nil {
		return "", err
	}
	sv.CallBytes = 3 * disk.DirectBytes // so that a write, or a read, may fail between two of one room
	for {
		if done, err := sv.Step(n); done || err != nil {
			return sv.Info().Path, err
		}
	}
}

// contents reads a file back, by the path that Load takes.
func contents(fs disk.FS, path string) (*fake, Meta, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, Meta{}, err
	}
	defer f.Close()
	var s fake
	m, _, err := read(path, f, nil, &s)
	return &s, m, err
}

// equal fails unless both states are the same, nil and empty values told apart by the tombstone alone.
func equal(t testing.TB, got, want *fake) {
	t.Helper()
	if err := difference(got, want); err != nil {
		t.Fatal(err)
	}
}

func difference(got, want *fake) error {
	if got.applied != want.applied || got.term != want.term || got.revision != want.revision || got.digest != want.digest {
		return fmt.Errorf("head of %d %d %d %x, want %d %d %d %x", got.applied, got.term, got.revision, got.digest,
			want.applied, want.term, want.revision, want.digest)
	}
	if !bytes.Equal(got.state, want.state) {
		return fmt.Errorf("state of %d bytes differs from that of %d", len(got.state), len(want.state))
	}
	if len(got.keys) != len(want.keys) {
		return fmt.Errorf("%d keys, want %d", len(got.keys), len(want.keys))
	}
	for i, k := range got.keys {
		w := want.keys[i]
		if !bytes.Equal(k.key, w.key) || !slices.EqualFunc(k.versions, w.versions, sameVersion) {
			return fmt.Errorf("key %q with %d versions, want %q with %d", k.key, len(k.versions), w.key, len(w.versions))
		}
	}
	return nil
}

func sameVersion(a, b index.Version) bool {
	return a.Mod == b.Mod && a.Sub == b.Sub && a.Create == b.Create && a.Version == b.Version &&
		a.Lease == b.Lease && a.Author == b.Author && a.Tombstone == b.Tombstone && bytes.Equal(a.Value, b.Value)
}

// slurp returns all bytes of a file.
func slurp(t testing.TB, fs disk.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// inMemory is a read-only disk of one file, cheap enough to be made for every bit.
type inMemory struct {
	disk.FS
	b []byte
}

type bytesFile struct {
	disk.File
	*bytes.Reader
}

func (f bytesFile) ReadMedium(p []byte, off int64) (int, error) { return f.ReadAt(p, off) }

func (m inMemory) Open(string) (disk.File, error) {
	return bytesFile{Reader: bytes.NewReader(m.b)}, nil
}

func (f bytesFile) ReadAt(p []byte, off int64) (int, error) { return f.Reader.ReadAt(p, off) }
func (f bytesFile) Size() (int64, error)                    { return f.Reader.Size(), nil }
func (f bytesFile) Close() error                            { return nil }

// fileOf returns the bytes of a saved state.
func fileOf(t testing.TB, s *fake) []byte {
	t.Helper()
	fs := newDisk(t)
	return slurp(t, fs, save(t, fs, "d", s, 1))
}

// version is one version with a value of n bytes.
func version(n int) []index.Version {
	return []index.Version{{Mod: 2, Create: 2, Version: 1, Value: make([]byte, n)}}
}

// wantFiles fails unless the folder has exactly these files.
func wantFiles(t testing.TB, fs disk.FS, dir string, want ...string) {
	t.Helper()
	got, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s has the files %q, want %q", dir, got, want)
	}
}

// newDisk is an empty disk with the folder d, durable. In the end nothing may be open on it.
func newDisk(t testing.TB) *simdisk.Disk {
	t.Helper()
	fs := simdisk.New(1)
	if err := errors.Join(fs.MkdirAll("d"), fs.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left := fs.OpenFiles(); len(left) > 0 {
			t.Errorf("files that were not closed: %q", left)
		}
	})
	return fs
}

// Verify reads a snapshot and its parts.
func Verify(fs disk.FS, path string) (Meta, error) {
	v, err := BeginVerify(fs, path)
	if err != nil {
		return Meta{}, err
	}
	err = v.finish()
	for _, p := range v.reading.meta.Parts {
		part := join(parent(path), p.Name())
		err = errors.Join(err, missingIsDamage(part, VerifyPart(fs, part, p)))
	}
	return v.reading.meta, err
}

// Load is LoadIn with memory of its own.
func Load(fs disk.FS, path string, l limits.Index) (*index.State, Meta, error) {
	return LoadIn(index.NewReserve(), fs, fs, path, l)
}
