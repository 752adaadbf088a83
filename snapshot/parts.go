package snapshot

import (
	"encoding/hex"
	"errors"
	"fmt"
	iofs "io/fs"

	"qkv/index"
	"qkv/internal/damage"
	"qkv/log/disk"
)

// Part names a part file: an extent, or a range of the base. Its content decides its name, so equal part files of two members have the
// same name, and are copied once.
type Part struct {
	Number uint64   `msgpack:"n"` // of the extent; 0: a range file
	From   int64    `msgpack:"f"` // the extent's first revision
	To     int64    `msgpack:"t"` // the extent's last revision, or the base's
	SHA    [32]byte `msgpack:"s"` // the tail's
	Bytes  int64    `msgpack:"b"`
}

// Name is the part's published name.
func (p Part) Name() string { return partName(p.Number, p.SHA) }

func partName(number uint64, sha [32]byte) string {
	return fmt.Sprintf("%0*d-%s%s", digits, number, hex.EncodeToString(sha[:]), partSuffix)
}

// checkGaps returns an error if a list of part files does not have all changes before a revision: the range files of one base, and then the
// extents behind it.
func checkGaps(all []Part, before int64) error {
	next := int64(index.EmptyBase + 1)
	for i, p := range all {
		if p.Number == 0 && i > 0 && (all[i-1].Number > 0 || all[i-1].To != p.To) || p.Number > 0 && p.From != next {
			return fmt.Errorf("%w: the part %s does not follow the one before it, up to revision %d", damage.ErrDamaged, p.Name(), next-1)
		}
		next = p.To + 1
	}
	if next != before {
		return fmt.Errorf("%w: the parts end with revision %d, the changes behind them begin with revision %d", damage.ErrDamaged, next-1, before)
	}
	return nil
}

// PartError says which part file of a snapshot is missing, damaged or cannot be read. The snapshot's own file is sound: it can be loaded
// when the part file is there again.
type PartError struct {
	Part Part
	Err  error
}

func (e *PartError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *PartError) Unwrap() error { return e.Err }

// loadPart passes a part file to the builder of a state: the versions of a range of the base, or the changes of an extent. It returns the
// file's Volume.
func loadPart(fs disk.FS, dir string, p Part, b *index.Builder) (*Volume, error) {
	v, err := loadContent(fs, dir, p, b)
	if err != nil {
		return nil, &PartError{p, err}
	}
	return v, nil
}

func loadContent(fs disk.FS, dir string, p Part, b *index.Builder) (*Volume, error) {
	path := join(dir, p.Name())
	f, err := fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open a part of a snapshot: %w", missingIsDamage(shownPath(fs, path), err))
	}
	defer f.Close()
	v := &Volume{Part: p, fs: fs, path: path}
	_, t, err := readIndexed(v.shownPath(), f, nil, partContent{b}, &v.chunkIndex)
	if err == nil && t.sha != p.SHA {
		err = damage.At(v.shownPath(), 0, "its SHA-256 is %x, not what its name says", t.sha)
	}
	return v, err
}

// missingIsDamage makes the error of a file that does not exist one of damage.
func missingIsDamage(path string, err error) error {
	if errors.Is(err, iofs.ErrNotExist) {
		return damage.At(path, 0, "the file is missing")
	}
	return err
}

// partContent adds the content of a part to a state.
type partContent struct{ *index.Builder }

func (partContent) open(Meta, []byte) error { return nil }

func (c partContent) key(key []byte, versions []index.Version) error { return c.AddBase(key, versions) }

func (c partContent) changes(all []index.KeyedVersion) error { return c.Replay(all) }
