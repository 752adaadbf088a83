package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"path"
	"slices"

	"qkv/internal/codec"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/snapshot/backup/store"
)

// listsKept is how many lists stay. The older ones serve if the newest one is damaged.
const listsKept = 4

// newestList reads the newest list that is intact, and returns the number of the newest one of all; 0: there is none. Damage of newer ones is
// among the faults, and with every, that of older ones. A cluster of 0 is that of the list.
func newestList(ctx context.Context, s store.Store, cluster uint64, every bool) (l list, newest uint64, faults []error, err error) {
	names, faults, err := listKnown(ctx, s, listsDir, isList)
	for _, one := range slices.Backward(names) {
		if err != nil || l.Number > 0 && !every {
			break
		}
		number, _ := parseList(one.Name)
		got, failed := loadList(ctx, s, number, cmp.Or(cluster, l.Cluster))
		switch {
		case errors.Is(failed, iofs.ErrNotExist): // it was removed since
			continue
		case failed != nil && !damaged(failed):
			err = failed
		case failed != nil:
			faults = append(faults, failed)
		case l.Number == 0:
			l = got
		}
		newest = max(newest, number)
	}
	return l, newest, faults, err
}

// loadList reads a list.
func loadList(ctx context.Context, s store.Store, number, cluster uint64) (l list, err error) {
	path := s.Path(listName(number))
	if err = single(ctx, s, listName(number), &listFormat, &l); err != nil {
		return l, err
	}
	switch {
	case l.Number != number:
		err = damage.At(path, 0, "it is list %d, and its name says %d", l.Number, number)
	case cluster != 0 && l.Cluster != cluster:
		err = foreign(path, l.Cluster, cluster)
	}
	for _, f := range l.Files {
		if f.Bytes < 0 || f.Bytes > limits.BackupFileMost || f.Stored < 0 || f.Stored > backupStoredMost {
			err = cmp.Or[error](err, damage.At(path, 0, "it lists a file of %d bytes, stored in %d: the limit is %d", f.Bytes, f.Stored, limits.BackupFileMost))
		}
	}
	all := 0
	for i := range l.Bases {
		base := &l.Bases[i]
		all += len(base.At)
		for _, at := range base.At {
			if err == nil && at >= uint64(len(l.Files)) {
				err = damage.At(path, 0, "a base lists file %d of %d", at, len(l.Files))
			}
			if err == nil {
				base.Files = append(base.Files, l.Files[at])
			}
		}
		if err == nil && (len(base.Files) == 0 || i > 0 && l.Bases[i-1].Index >= base.Index) {
			err = damage.At(path, 0, "the base of entry %d lists no file, or follows a later one", base.Index)
		}
		base.At = nil
	}
	if err == nil && all > basesFiles {
		err = fmt.Errorf("%s: its bases list more than %d files", path, basesFiles)
	}
	return l, err
}

// encode returns the list of these bases with the next number.
func (w *Writer) encode(bases []Base) (l list, b []byte) {
	l = list{Cluster: w.cluster.ID, Number: w.number + 1, Term: w.term, Writer: w.nonce}
	at := map[string]uint64{}
	for _, base := range bases {
		one := base
		one.At = nil
		for _, f := range base.Files {
			n, is := at[fileName(f)]
			if !is {
				n = uint64(len(l.Files))
				at[fileName(f)], l.Files = n, append(l.Files, f)
			}
			one.At = append(one.At, n)
		}
		l.Bases = append(l.Bases, one)
	}
	return l, listFormat.Append(nil, 0, 0, codec.Append(nil, &l))
}

// publish makes the list with the next number, of these bases. It fails if another Writer has made one meanwhile.
func (w *Writer) publish(ctx context.Context, bases []Base) error {
	l, b := w.encode(bases)
	if len(b) > limits.BackupListMost { // it could not be read
		return fmt.Errorf("the list of %d bases has %d bytes, the limit is %d: make bases less often, or keep moments for a shorter time (--backup-keep)",
			len(bases), len(b), limits.BackupListMost)
	}
	name := listName(l.Number)
	err := w.store.Create(ctx, name, b)
	if errors.Is(err, iofs.ErrExist) {
		err = fmt.Errorf("%w: %s", ErrOvertaken, w.store.Path(name))
	} else if err == nil { // a Writer that slept for long may have been given a number that was removed
		err = w.newest(ctx, l.Number)
	}
	if err != nil {
		w.err = err
		return err
	}
	w.number, w.published, w.bases, w.stored = l.Number, true, bases, map[[32]byte]File{}
	return nil
}

// newest fails if there is a later list than one.
func (w *Writer) newest(ctx context.Context, number uint64) error {
	_, newest, _, err := newestList(ctx, w.store, w.cluster.ID, false)
	if err == nil && newest > number {
		err = fmt.Errorf("%w: list %d follows %s", ErrOvertaken, newest, w.store.Path(listName(number)))
	}
	return err
}

// Sweep deletes what the newest list has condemned, and returns the paths. It deletes nothing before this Writer has made a list. After an
// error or an interruption, the next call deletes the rest.
func (w *Writer) Sweep(ctx context.Context) (removed []string, err error) {
	if !w.published || w.err != nil {
		return nil, w.err
	}
	finds := []func(context.Context) ([]string, error){w.condemnedFiles, w.condemnedLog, w.condemnedLists}
	for _, find := range finds {
		names, err := find(ctx)
		if err == nil {
			err = w.store.Delete(ctx, names...)
		}
		if err != nil {
			return removed, err
		}
		removed = append(removed, names...)
	}
	for i, name := range removed {
		removed[i] = w.store.Path(name)
	}
	return removed, err
}

// condemnedLists returns the lists that nothing needs.
func (w *Writer) condemnedLists(ctx context.Context) (names []string, err error) {
	all, _, err := listKnown(ctx, w.store, listsDir, isList)
	for _, one := range all {
		if number, _ := parseList(one.Name); number+listsKept <= w.number {
			names = append(names, path.Join(listsDir, one.Name))
		}
	}
	return names, err
}

func (w *Writer) condemnedFiles(ctx context.Context) (names []string, err error) {
	listed := listedFiles(w.bases)
	all, _, err := listKnown(ctx, w.store, filesDir, isFile)
	for _, one := range all {
		of, _ := parseFile(one.Name)
		name := path.Join(filesDir, one.Name)
		if _, is := listed[name]; !is && of.Number <= w.number {
			names = append(names, name)
		}
	}
	return names, err
}

// condemnedLog returns the slices whose entries all lie in the oldest base. The newest slice stays.
func (w *Writer) condemnedLog(ctx context.Context) (names []string, err error) {
	if len(w.bases) == 0 {
		return nil, nil
	}
	spans, _, _, err := listLog(ctx, w.store)
	for _, of := range spans {
		if of.last <= w.bases[0].Index && of.last < w.end.index {
			names = append(names, of.name())
		}
	}
	return names, err
}

// backupBasesRemoved is how many bases one list leaves out. A leader whose clock is years ahead makes all bases old at once: few are gone
// before an operator looks.
const backupBasesRemoved = 2

// kept returns the bases without those that no moment within Keep of the newest one needs: those before the newest whole one of that time or
// earlier. The clock is the state's.
func (w *Writer) kept(bases []Base, sizes map[string]int64) []Base {
	newest := w.Newest().UnixNano()
	for _, b := range bases {
		newest = max(newest, b.Wall)
	}
	for i, b := range slices.Backward(bases) {
		if b.Wall <= newest-int64(w.Keep) && !slices.ContainsFunc(b.Files, func(of File) bool { return lacks(w.store, sizes, of) != nil }) {
			return bases[min(i, backupBasesRemoved):] // otherwise an older base replaces it
		}
	}
	return bases
}

// Retain leaves out the old bases without a new one, which may have had no room, and sweeps.
func (w *Writer) Retain(ctx context.Context) (removed []string, err error) {
	sizes, _, err := listSizes(ctx, w.store)
	if err == nil && w.err == nil {
		if left := w.kept(w.bases, sizes); len(left) < len(w.bases) {
			err = w.publish(ctx, left)
		}
	}
	if err != nil {
		return nil, err
	}
	return w.Sweep(ctx)
}
