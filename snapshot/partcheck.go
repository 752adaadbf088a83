package snapshot

import (
	"errors"
	"fmt"
	iofs "io/fs"

	"qkv/index"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// IsFile reports whether a name is that of a snapshot or of a part. Such a name from a peer cannot be a path.
func IsFile(name string) bool {
	_, ok := parseName(name)
	return ok
}

// Defect is a part of a snapshot that is missing or damaged, or that cannot be read.
type Defect struct {
	Part
	Path    string
	Missing bool
	Err     error
}

// Defects verifies all parts of a snapshot. An error wraps damage.ErrFormat.
func Defects(fs disk.FS, info Info) (all []Defect, err error) {
	for _, p := range info.Parts {
		path := join(parent(info.Path), p.Name())
		err := VerifyPart(fs, path, p)
		if errors.Is(err, damage.ErrFormat) {
			return nil, err
		}
		if err != nil {
			all = append(all, Defect{p, path, errors.Is(err, iofs.ErrNotExist), err})
		}
	}
	return all, nil
}

// VerifyPart reads a part, and compares it with its name. Its error wraps damage.ErrDamaged if the part is damaged, and fs.ErrNotExist if it is
// missing.
func VerifyPart(fs disk.FS, path string, p Part) error {
	v, err := BeginVerifyPart(fs, path, p)
	if err != nil {
		return err
	}
	return v.finish()
}

// VerifyFile reads a snapshot without its parts.
func VerifyFile(fs disk.FS, path string) error {
	v, err := BeginVerify(fs, path)
	if err != nil {
		return err
	}
	return v.finish()
}

// Members returns the members in a snapshot's state. It reads no part.
func Members(fs disk.FS, path string, l limits.Index) (index.Members, error) {
	f, err := fs.Open(path)
	if err != nil {
		return index.Members{}, fmt.Errorf("read a snapshot's members: %w", err)
	}
	defer f.Close()
	content := membership{limits: l}
	if _, _, err := read(path, f, nil, &content); !errors.Is(err, errEnough) {
		return index.Members{}, err
	}
	return content.members, nil
}

// membership keeps the members of a state, and ends the reading.
type membership struct {
	ignore
	limits  limits.Index
	members index.Members
}

var errEnough = errors.New("the rest is not read")

func (m *membership) open(_ Meta, state []byte) error {
	reserve := index.NewReserve()
	defer reserve.Close()
	b, err := index.NewBuilder(reserve, state, m.limits)
	if err != nil {
		return err
	}
	m.members = b.Members()
	return errEnough
}
