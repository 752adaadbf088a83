package backup

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"strings"

	"filippo.io/age"

	"qkv/internal/damage"
	"qkv/log/disk"
)

// Reader reads a backup: a folder, or a single file. A Writer may write to the folder meanwhile. The Reader sees the
// backup as it was when it was opened. It is for one goroutine.
type Reader struct {
	Path    string
	Cluster Cluster // as the marker names it; without a name if the marker is damaged
	Bases   []Base  // of the intact manifests, in order of their index
	Faults  []error // damaged files that were found so far; a damaged segment is found when it is read

	store    store
	keys     []age.Identity
	segments []segment // in order of their first entry
}

// segment is the header of a segment of the log.
type segment struct {
	first, before uint64
	link          [32]byte
	bytes         int64
	fault         error // why the header cannot be used; nil if it can
}

func (s *segment) name() string { return segmentName(s.first) }

// Open opens a backup: the folder of a Writer, or its single file. The identities decrypt encrypted content. It
// refuses other folders and files (ErrNone), and the backup of a newer qkv (damage.ErrFormat). Damaged files are noted in Faults.
func Open(on disk.FS, path string, keys ...age.Identity) (*Reader, error) {
	s, err := openStore(on, path)
	if err != nil {
		return nil, err
	}
	r := &Reader{Path: path, store: s, keys: keys}
	if err := r.open(path); err != nil {
		s.close()
		return nil, err
	}
	return r, nil
}

// Close closes the backup.
func (r *Reader) Close() error { return r.store.close() }

func (r *Reader) open(path string) error {
	err := single(r.store, markName, &markFormat, &r.Cluster)
	absent := errors.Is(err, iofs.ErrNotExist)
	switch {
	case absent:
		err = fmt.Errorf("%w: %s: %w", damage.ErrDamaged, r.store.path(markName), err)
	case err != nil && !errors.Is(err, damage.ErrDamaged):
		return err
	}
	if err != nil {
		r.Faults = append(r.Faults, err)
	}
	if _, fault := r.store.final(); fault != nil {
		r.Faults = append(r.Faults, fault)
	}
	bases, faults, err := listBases(r.store, r.Cluster.ID)
	if err != nil {
		return err
	}
	if absent && len(bases) == 0 {
		return fmt.Errorf("%w: %s has neither the file %s nor a base", ErrNone, path, markName)
	}
	r.Bases, r.Faults = bases, append(r.Faults, faults...)
	if r.Cluster.ID == 0 && len(bases) > 0 {
		r.Cluster.ID = bases[0].Cluster
	}
	return r.listSegments()
}

// listSegments reads the headers of all segments.
func (r *Reader) listSegments() error {
	names, err := r.store.list(logDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		first, ok := parseSegment(name)
		if !ok {
			if strings.HasSuffix(name, setAside) {
				r.Faults = append(r.Faults, fmt.Errorf("%w: %s was moved aside by the backup", damage.ErrDamaged, r.store.path(logDir+"/"+name)))
			}
			continue
		}
		one, err := r.header(first)
		if err != nil {
			return err
		}
		r.segments = append(r.segments, one)
	}
	return nil
}

// header reads the header of a segment; damage is noted in it.
func (r *Reader) header(first uint64) (segment, error) {
	one := segment{first: first}
	sc, err := r.openSegment(&one)
	if err == nil || sc != nil {
		one.bytes = sc.size
		sc.f.Close()
	}
	switch {
	case err == nil:
		one.before, one.link = sc.before, sc.link
	case damaged(err):
		one.fault = err
	default:
		return one, err
	}
	return one, nil
}

// openSegment opens a segment to read its chunks. After an error of its header it returns the scanner, too.
func (r *Reader) openSegment(s *segment) (*scanner, error) {
	path := r.store.path(s.name())
	f, err := r.store.open(s.name())
	if err != nil {
		return nil, err
	}
	sc, err := scan(path, f)
	if sc == nil {
		f.Close()
		return nil, err
	}
	if err == nil {
		err = checkSegment(sc, s.first, r.Cluster.ID)
	}
	return sc, err
}

// Bytes returns the size of a base's files in the backup, which other bases may have, too, and whether one is encrypted.
func (r *Reader) Bytes(b *Base) (bytes int64, encrypted bool, err error) {
	for _, f := range b.Files {
		raw, err := openFile(r.store, f)
		if err != nil {
			return 0, false, err
		}
		raw.Close()
		bytes, encrypted = bytes+f.Stored, encrypted || f.Encrypted
	}
	return bytes, encrypted, nil
}

// Reach is how far the log goes behind a base.
type Reach struct {
	Index uint64 // of the newest entry that is behind the base without a gap; the base's own without any
	Wall  int64  // the state's clock there
	Bytes int64  // of the segments with these entries
	Fault error  // damage that ends it; nil if the log just ends
	end   int    // position behind the last segment
}

// Reaches returns how far the log goes behind each base. It reads the header of each chunk once, and no content.
func (r *Reader) Reaches() ([]Reach, error) {
	all := make([]Reach, len(r.Bases))
	for i := len(all) - 1; i >= 0; i-- {
		var err error
		if i+1 < len(all) {
			all[i], err = r.reach(&r.Bases[i], &r.Bases[i+1], &all[i+1])
		} else {
			all[i], err = r.reach(&r.Bases[i], nil, nil)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// reach is Reaches for one base. If the log leads to the next base, it goes on as behind that one.
func (r *Reader) reach(b, next *Base, further *Reach) (reach Reach, err error) {
	reach = Reach{Index: b.Index, Wall: b.Wall}
	l := r.follow(b.Index)
	l.headers = true
	defer l.close()
	first := l.at
	defer func() {
		for i := first; i < reach.end; i++ {
			reach.Bytes += r.segments[i].bytes
		}
	}()
	for {
		if next != nil && reach.Index >= next.Index {
			reach.Index, reach.Wall, reach.Fault, reach.end = max(reach.Index, further.Index), max(reach.Wall, further.Wall), further.Fault, max(reach.end, further.end)
			return reach, nil
		}
		c, _, err := l.next()
		switch {
		case damaged(err):
			reach.Fault = err
			return reach, nil
		case errors.Is(err, io.EOF), errors.Is(err, ErrGap):
			return reach, nil
		case err != nil:
			return reach, err
		}
		reach.Index, reach.Wall, reach.end = c.last, max(reach.Wall, c.wall), l.at+1
	}
}
