package backup

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
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
				faults = append(faults, fmt.Errorf("%w: %s is no name of a base", ErrCorrupt, s.path(baseDir+"/"+name)))
			}
			continue
		}
		b, err := loadBase(s, index, term, cluster)
		switch {
		case err == nil:
			bases, cluster = append(bases, b), b.Cluster
		case errors.Is(err, ErrCorrupt), errors.Is(err, ErrForeign):
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
	f, err := s.open(name)
	if err != nil {
		return b, err
	}
	defer f.Close()
	sc, err := single(s.path(name), f, kindBase, &b)
	if err != nil {
		return b, err
	}
	switch {
	case b.Index != index || b.Term != term || sc.first != index || sc.before != term:
		return b, corruptAt(sc.path, 0, "it is of entry %d of term %d, and its name says %d of term %d", b.Index, b.Term, index, term)
	case b.Cluster != sc.cluster:
		return b, corruptAt(sc.path, 0, "its header and its content name different clusters")
	case cluster != 0 && b.Cluster != cluster:
		return b, foreign(sc.path, b.Cluster, cluster)
	case len(b.Files) != 1:
		return b, formatOf(sc.path, "its state is in %d files", len(b.Files))
	}
	return b, nil
}

func compareBases(a, b Base) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Term, b.Term))
}
