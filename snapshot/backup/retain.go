package backup

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Retention removes what no moment within Keep needs. The zero value of the rest is for a process that begins. It is for one goroutine.
type Retention struct {
	Keep time.Duration
	// unlisted says when a file that no base lists was first seen, by a steady clock: another writer may be about to list it.
	unlisted map[string]time.Duration
}

const (
	// backupGrace is the time for which a file stays that no base lists: another runner may be about to list it, and its upload takes less.
	backupGrace = time.Hour
	// backupBasesRemoved is how many bases one retention removes. It runs with each new base, so the number of bases falls even if too many
	// are there. A leader whose clock is years ahead makes all bases old at once: few are gone before an operator looks.
	backupBasesRemoved = 2
)

// Remove removes the objects that no moment since Keep before now needs: the bases before the newest whole one
// of that moment or earlier, the log before the oldest base, and files that no base has listed for backupGrace. At least one whole base
// stays. It returns the paths of the removed objects. After an interruption the next call removes the rest. steady is a clock that
// never jumps.
// A clock of this host that is ahead removes nothing more: the newest time in the backup bounds now. If the cluster's clock is
// ahead as well, each call removes few bases (backupBasesRemoved), and none once the clocks are right again.
func (r *Retention) Remove(ctx context.Context, w *Writer, now time.Time, steady time.Duration) (removed []string, err error) {
	if w.err != nil || len(w.bases) == 0 {
		return nil, w.err
	}
	sizes, _, err := listSizes(ctx, w.store)
	if err != nil {
		return nil, err
	}
	at := min(now.UnixNano(), w.Newest().UnixNano())
	oldest := min(w.oldestKept(at-int64(r.Keep), sizes), backupBasesRemoved)
	finds := []func(context.Context) ([]string, error){
		func(ctx context.Context) ([]string, error) { return w.oldBases(ctx, w.bases[oldest].Index) },
		w.oldLog,
		func(ctx context.Context) ([]string, error) { return r.oldFiles(ctx, w, sizes, steady) },
	}
	if oldest < 0 { // all bases stay, and all of the log
		finds, oldest = finds[2:], 0
	}
	for _, find := range finds {
		names, err := find(ctx)
		if err == nil {
			// all of them, before the next ones: a base must not come back without its files
			err = w.store.Delete(ctx, names...)
		}
		if err != nil {
			return removed, err
		}
		for _, name := range names {
			removed = append(removed, w.store.Path(name))
		}
		w.bases, oldest = w.bases[oldest:], 0
	}
	return removed, nil
}

// oldestKept returns the position of the oldest base that stays, -1 if all stay.
func (w *Writer) oldestKept(from int64, sizes map[string]int64) int {
	for i := len(w.bases) - 1; i >= 0; i-- {
		if w.bases[i].Wall > from {
			continue
		}
		// otherwise an older base replaces it
		if !slices.ContainsFunc(w.bases[i].Files, func(of File) bool { return lacks(w.store, sizes, of) != nil }) {
			return i
		}
	}
	return -1
}

// oldBases returns the bases before an index, damaged ones included.
func (w *Writer) oldBases(ctx context.Context, before uint64) (names []string, err error) {
	all, _, err := listKnown(ctx, w.store, baseDir, isBase)
	for _, one := range all {
		if index, _, _ := parseBase(one.Name); index < before {
			names = append(names, baseDir+"/"+one.Name)
		}
	}
	return names, err
}

// oldFiles returns the files that no base has listed for a while, and not the next base. It fails while a manifest is damaged or renamed: it may
// name some of them.
func (r *Retention) oldFiles(ctx context.Context, w *Writer, sizes map[string]int64, steady time.Duration) (names []string, err error) {
	bases, faults, err := listBases(ctx, w.store, w.cluster.ID)
	if err = errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	needed := map[string]bool{}
	for _, b := range append(bases, Base{Files: w.wanted}) {
		for _, f := range b.Files {
			needed[fileName(f)] = true
		}
	}
	unlisted := map[string]time.Duration{}
	for name := range sizes {
		if needed[name] {
			continue
		}
		since, known := r.unlisted[name]
		if !known {
			since = steady
		}
		if unlisted[name] = since; steady-since >= backupGrace {
			names = append(names, name)
		}
	}
	r.unlisted = unlisted
	slices.Sort(names)
	return names, nil
}

// oldLog returns the objects of the log whose entries all lie in the oldest base. The newest object stays.
func (w *Writer) oldLog(ctx context.Context) (names []string, err error) {
	spans, _, _, err := listLog(ctx, w.store)
	for _, of := range spans {
		if of.last <= w.bases[0].Index && of.last < w.end.index {
			names = append(names, of.name())
		}
	}
	return names, err
}
