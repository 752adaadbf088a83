package snapshot

import (
	"fmt"

	"qkv/index"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// loading builds a state from a file's content.
type loading struct {
	limits  limits.Index
	reserve *index.Reserve
	builder *index.Builder
	fs      disk.FS
	files   disk.FS // reads whole files; fs, or a file system that reads ahead
	dir     string  // of the parts
	whole   bool    // all values are loaded into memory
}

func (l *loading) open(m Meta, state []byte) (err error) {
	l.builder, err = index.NewBuilder(l.reserve, state, l.limits)
	if err == nil {
		err = checkGaps(m.Parts, l.builder.OpenFrom())
	}
	if err != nil {
		return err
	}
	shelf := NewShelf(nil)
	if !l.whole {
		l.builder.ReadFrom(shelf)
	}
	for _, p := range m.Parts {
		v, err := loadPart(l.files, l.dir, p, l.builder)
		if err != nil {
			return err
		}
		v.fs = l.fs
		if p.Number == 0 {
			*shelf = *newShelf(shelf.reads, append(shelf.base, v), nil)
		} else {
			*shelf = *shelf.With(v)
		}
	}
	return nil
}

func (l *loading) key(key []byte, versions []index.Version) error {
	return l.builder.Add(key, versions)
}

func (l *loading) changes(all []index.KeyedVersion) error { return l.builder.Replay(all) }

// finish returns the state, after comparing it with the head.
func (l *loading) finish(path string, m Meta) (*index.State, error) {
	state, err := l.builder.Finish()
	if err != nil {
		return nil, damage.At(path, preludeBytes, "all checksums are right, but the state is not: %v", err)
	}
	if err := compareHead(m, state.View()); err != nil {
		return nil, damage.At(path, preludeBytes, "all checksums are right, but %v", err)
	}
	return state, nil
}

// LoadIn reads a file and builds its state, within these limits, in memory from a reserve. It reads whole files through the file system
// files, which may read ahead; single values are read later through fs. It verifies every checksum, and that the state has the
// digest, revision and applied index of the head. It does not check the SHA-256 (doc.go says why).
//
// After an error that wraps damage.ErrDamaged, the caller needs an older snapshot and the log behind it. After an error that
// wraps damage.ErrFormat, it needs a newer qkv. Any other error comes from the disk, or from the index refusing unknown
// content, and does not mean damage.
func LoadIn(r *index.Reserve, fs, files disk.FS, path string, l limits.Index) (*index.State, Meta, error) {
	return load(path, &loading{limits: l, reserve: r, fs: fs, files: files, dir: parent(path)})
}

// LoadWhole is LoadIn with all values in memory: the files may be gone afterwards.
func LoadWhole(r *index.Reserve, fs disk.FS, path string, l limits.Index) (*index.State, Meta, error) {
	return load(path, &loading{limits: l, reserve: r, fs: fs, files: fs, dir: parent(path), whole: true})
}

func load(path string, content *loading) (*index.State, Meta, error) {
	f, err := content.files.Open(path)
	if err != nil {
		return nil, Meta{}, fmt.Errorf("load snapshot: %w", err)
	}
	defer f.Close()
	m, _, err := read(path, f, nil, content)
	if err != nil {
		return nil, Meta{}, err
	}
	state, err := content.finish(path, m)
	if err != nil {
		return nil, Meta{}, err
	}
	return state, m, nil
}

// proven is the content of a file that is proven.
type proven struct{ *index.Proof }

func (p proven) open(_ Meta, state []byte) error { return p.Open(state) }

func (p proven) key(key []byte, versions []index.Version) error { return p.Key(key, versions) }

func (p proven) changes(all []index.KeyedVersion) error { return p.Changes(all) }

// finish returns why the file cannot be loaded, or is not what its head says.
func (p proven) finish(path string, m Meta, part bool) (err error) {
	if part {
		err = p.Finish()
	} else if err = p.FinishSnapshot(); err == nil {
		err = compareHead(m, p)
	}
	if err != nil {
		err = damage.At(path, preludeBytes, "all checksums are right, but the content is not: %v", err)
	}
	return err
}

// compareHead returns the difference between the head of a file and its state, nil if there is none.
func compareHead(m Meta, v interface {
	Applied() (index, term uint64)
	Revision() int64
	Digest() uint64
},
) error {
	if applied, term := v.Applied(); applied != m.Index || term != m.Term {
		return fmt.Errorf("the head is of index %d, term %d, and the state of index %d, term %d", m.Index, m.Term, applied, term)
	}
	if v.Revision() != m.Revision {
		return fmt.Errorf("the head is of revision %d, the state of %d", m.Revision, v.Revision())
	}
	if v.Digest() != m.Digest {
		return fmt.Errorf("the head's digest is %016x, the state's %016x", m.Digest, v.Digest())
	}
	return nil
}
