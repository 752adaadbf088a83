package backup

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"qkv/internal/damage"
)

// listBases reads the manifests of the bases, and returns them in order of their index. A damaged manifest, or one of
// another cluster, is left out, and its error is among the faults. A cluster of 0 is that of the newest manifest.
func listBases(s store, cluster uint64) (bases []Base, faults []error, err error) {
	names, err := s.list(baseDir)
	if err != nil {
		return nil, nil, err
	}
	slices.Reverse(names)
	for _, name := range names {
		index, term, ok := parseBase(name)
		if !ok {
			if !strings.HasSuffix(name, temporary) {
				faults = append(faults, fmt.Errorf("%w: %s is no name of a base", damage.ErrDamaged, s.path(baseDir+"/"+name)))
			}
			continue
		}
		b, err := loadBase(s, index, term, cluster)
		switch {
		case err == nil:
			bases, cluster = append(bases, b), b.Cluster
		case damaged(err):
			faults = append(faults, err)
		default:
			return nil, nil, err
		}
	}
	slices.SortFunc(bases, compareBases)
	return bases, faults, nil
}

// loadBase reads a manifest.
func loadBase(s store, index, term, cluster uint64) (b Base, err error) {
	name := baseName(index, term)
	path := s.path(name)
	if err := single(s, name, &baseFormat, &b); err != nil {
		return b, err
	}
	switch {
	case b.Index != index || b.Term != term:
		return b, damage.At(path, 0, "it is of entry %d of term %d, and its name says %d of term %d", b.Index, b.Term, index, term)
	case cluster != 0 && b.Cluster != cluster:
		return b, foreign(path, b.Cluster, cluster)
	case len(b.Files) == 0:
		return b, damage.At(path, 0, "it lists no file")
	}
	return b, nil
}

func compareBases(a, b Base) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Term, b.Term))
}
