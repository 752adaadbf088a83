package backup

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"strings"
	"time"

	"qkv/internal/limits"
)

// Retain removes the files that no moment since keep before now needs: the bases before the newest whole one
// of that moment or earlier, and then the files and segments that no other base needs. At least one whole base stays. It
// returns the paths of the removed files. After an interruption the next call removes the rest.
// A clock of this host that is ahead removes nothing more: the newest time in the backup bounds now. If the cluster's clock is
// ahead as well, each call removes few bases (limits.BackupBasesRemoved), and none once the clocks are right again.
func (w *Writer) Retain(now time.Time, keep time.Duration) (removed []string, err error) {
	if w.err != nil {
		return nil, w.err
	}
	if len(w.bases) == 0 {
		return nil, nil
	}
	at := min(now.UnixNano(), w.Newest().UnixNano())
	oldest := w.oldestKept(at - int64(keep))
	if oldest < 0 {
		return nil, nil
	}
	oldest = min(oldest, limits.BackupBasesRemoved)
	remove := func(name string) error {
		path := w.folder.path(name)
		if err := w.folder.on.Remove(path); err != nil {
			return fmt.Errorf("remove %s: %w", path, err)
		}
		removed = append(removed, path)
		return nil
	}
	if err := w.removeBases(w.bases[oldest].Index, remove); err != nil {
		return removed, err
	}
	if len(removed) > 0 { // a base must not come back without its files
		if err := w.folder.on.SyncDir(w.folder.path(baseDir)); err != nil {
			return removed, fmt.Errorf("remove old bases: %w", err)
		}
	}
	w.bases = w.bases[oldest:]
	if err := w.removeFiles(remove); err != nil {
		return removed, err
	}
	return removed, w.removeSegments(remove)
}

// oldestKept returns the position of the oldest base that stays, -1 if all stay.
func (w *Writer) oldestKept(from int64) int {
	for i := len(w.bases) - 1; i >= 0; i-- {
		if w.bases[i].Wall > from {
			continue
		}
		if !slices.ContainsFunc(w.bases[i].Files, w.lacks) { // otherwise an older base replaces it
			return i
		}
	}
	return -1
}

// lacks reports whether a file of a base is missing, or was cut.
func (w *Writer) lacks(of File) bool {
	f, err := openFile(w.folder, of)
	if err == nil {
		f.Close()
	}
	return err != nil
}

// removeBases removes the bases before an index, damaged ones included.
func (w *Writer) removeBases(before uint64, remove func(name string) error) error {
	names, err := w.folder.list(baseDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if index, _, ok := parseBase(name); ok && index < before {
			if err := remove(baseDir + "/" + name); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeFiles removes the files that no base has, and not the next base. It removes none while a manifest is damaged: it may name some of
// them.
func (w *Writer) removeFiles(remove func(name string) error) error {
	_, faults, err := listBases(w.folder, w.cluster.ID)
	if err != nil || len(faults) > 0 {
		return err
	}
	needed := map[string]bool{}
	for _, b := range append(slices.Clip(w.bases), Base{Files: w.wanted}) {
		for _, f := range b.Files {
			needed[fileName(f)] = true
		}
	}
	names, err := w.folder.list(filesDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if isFile(name) && !needed[filesDir+"/"+name] {
			if err := remove(filesDir + "/" + name); err != nil && !errors.Is(err, iofs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// removeSegments removes the segments whose entries all lie in the oldest base, and the damaged segments before it. The newest segment stays.
func (w *Writer) removeSegments(remove func(name string) error) error {
	names, err := w.folder.list(logDir)
	if err != nil {
		return err
	}
	before, any := uint64(0), false
	for _, name := range names {
		first, ok := parseSegment(name)
		if aside, damaged := strings.CutSuffix(name, setAside); damaged {
			if first, ok := parseSegment(aside); ok && first <= w.bases[0].Index {
				if err := remove(logDir + "/" + name); err != nil {
					return err
				}
			}
		}
		if !ok {
			continue
		}
		if any && first <= w.bases[0].Index+1 {
			if err := remove(segmentName(before)); err != nil {
				return err
			}
		}
		before, any = first, true
	}
	return nil
}
