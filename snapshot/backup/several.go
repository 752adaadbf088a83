package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/age"

	"qkv/internal/limits"
	"qkv/log/disk"
)

// Several are the backups of one cluster that several members have written, each in a folder of its own name. Each is complete in itself,
// and covers the time in which its member led.
type Several []*Reader

// OpenSeveral opens a backup, or a folder that holds nothing but backups of one cluster: then all of them, in order of their names.
func OpenSeveral(on disk.FS, path string, keys ...age.Identity) (all Several, err error) {
	for _, one := range inside(on, path) {
		r, err := Open(on, one, keys...)
		if err != nil && one != path {
			err = fmt.Errorf("%w; move this folder away, or give one of the others in %s", err, path)
		}
		if err == nil && len(all) > 0 && r.Cluster.ID != all[0].Cluster.ID {
			err = fmt.Errorf("%w: %s is of the cluster %016x, and %s of %016x: give one of these folders",
				ErrForeign, one, r.Cluster.ID, all[0].Path, all[0].Cluster.ID)
			r.Close()
		}
		if err != nil {
			all.Close()
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// inside returns the paths of the backups in a folder; the path itself if it is a backup, or holds none.
func inside(on disk.FS, path string) (all []string) {
	names, err := on.List(path)
	if err != nil || slices.Contains(names, markName) {
		return []string{path}
	}
	for _, name := range names {
		if one := path + "/" + name; holdsBackup(on, one) {
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		return []string{path}
	}
	return all
}

// holdsBackup reports whether a folder holds a backup, also if the marker or all bases are lost.
func holdsBackup(on disk.FS, path string) bool {
	if f, err := on.Open(path + "/" + markName); err == nil {
		f.Close()
		return true
	}
	bases, _ := on.List(path + "/" + baseDir)
	segments, _ := on.List(path + "/" + logDir)
	return slices.ContainsFunc(bases, func(name string) bool { _, _, ok := parseBase(name); return ok }) ||
		slices.ContainsFunc(segments, func(name string) bool { _, ok := parseSegment(name); return ok })
}

// Close closes all of them.
func (s Several) Close() error {
	var all []error
	for _, r := range s {
		all = append(all, r.Close())
	}
	return errors.Join(all...)
}

// Restore returns the state of a moment, and the backup from which it comes: see [Reader.Restore]. The backup that goes furthest is tried
// first. The end of a backup counts as a gap if another one has newer entries: the moment may lie behind it.
func (s Several) Restore(ctx context.Context, at At, l limits.Index, progress func(done, total int64)) (*Restored, *Reader, error) {
	if len(s) == 1 {
		got, err := s[0].Restore(ctx, at, l, progress)
		return got, s[0], err
	}
	ends := map[*Reader]uint64{}
	furthest := s[0]
	for _, r := range s {
		end, err := r.last()
		if err != nil {
			return nil, nil, err
		}
		if ends[r] = end; end > ends[furthest] {
			furthest = r
		}
	}
	order := slices.Clone(s)
	slices.SortStableFunc(order, func(a, b *Reader) int { return cmp.Compare(ends[b], ends[a]) })
	var best *Restored
	var from *Reader
	var faults []error
	for _, r := range order {
		got, err := r.Restore(ctx, at, l, progress)
		if err == nil && got.Lost == nil && got.Ends && at.Revision == 0 && got.Index < ends[furthest] {
			got.Lost = fmt.Errorf("%w: %s ends with entry %d, and %s goes on to entry %d", ErrGap, r.Path, got.Index, furthest.Path, ends[furthest])
			if !at.AcceptLoss {
				err = got.Lost
			}
		}
		switch {
		case err == nil && got.Lost == nil:
			return got, r, nil
		case err == nil:
			if best == nil || got.Index > best.Index {
				best, from = got, r
			}
		case ctx.Err() != nil:
			return nil, nil, err
		default:
			faults = append(faults, fmt.Errorf("%s: %w", r.Path, err))
		}
	}
	if best != nil {
		return best, from, nil
	}
	return nil, nil, errors.Join(faults...)
}

// last returns the newest entry that the backup has, or had: damage behind which intact chunks follow, and damaged manifests, count too.
func (r *Reader) last() (uint64, error) {
	names, err := r.store.list(baseDir)
	if err != nil {
		return 0, err
	}
	newest := uint64(0)
	for _, name := range names {
		if index, _, ok := parseBase(name); ok {
			newest = max(newest, index)
		}
	}
	if len(r.segments) == 0 {
		return newest, nil
	}
	segment := &r.segments[len(r.segments)-1]
	newest = max(newest, segment.first-1)
	s, err := r.openSegment(segment)
	if s == nil {
		return 0, err
	}
	defer s.f.Close()
	for err == nil {
		var c chunk
		if c, err = s.chunk(); err == nil {
			newest = max(newest, c.last)
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return newest, nil
	case !damaged(err):
		return 0, err
	}
	behind, err := s.intactBehind()
	return max(newest, behind.last), err
}
