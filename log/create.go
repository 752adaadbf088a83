package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// Create makes a log that begins after a marker, for Open to open. It builds the log in a temporary folder and renames
// the folder when everything in it is durable: after a crash the log exists completely or not at all. It returns
// fs.ErrExist when the log already exists.
func Create(o Options, founding Marker) error {
	o = o.withDefaults()
	if _, err := o.FS.List(o.Dir); err == nil {
		return fmt.Errorf("making a log in %s: %w", o.Dir, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("making a log in %s: %w", o.Dir, err)
	}
	if err := create(o, founding); err != nil {
		return fmt.Errorf("making a log in %s: %w", o.Dir, err)
	}
	return nil
}

func create(o Options, founding Marker) error {
	final := o.Dir
	o.Dir += ".tmp"
	if err := removeAll(o); err != nil {
		return err
	}
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return err
	}
	if err := writeFounding(o, founding); err != nil {
		return err
	}
	if err := o.FS.Rename(o.Dir, final); err != nil {
		return err
	}
	return o.FS.SyncDir(path.Dir(final))
}

// removeAll removes the remains of an earlier attempt.
func removeAll(o Options) error {
	names, err := o.FS.List(o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := o.FS.Remove(o.path(name)); err != nil {
			return err
		}
	}
	return o.FS.Remove(o.Dir)
}

// writeFounding makes the first segment: the marker, and a fence that says that the marker is synced. The segment is
// only as large as that, since nothing is added to it later.
func writeFounding(o Options, founding Marker) error {
	l := &Log{o: o, segments: []*segment{{}}, hard: HardState{Term: founding.Term}, fresh: true, writeAt: pageBytes}
	l.Reset(founding)
	l.group.close()
	b, err := createZeroed(o, 1, int64(len(l.group.buf))+keptBytes)
	if err != nil {
		return err
	}
	h := segmentHeader{
		compat: compatZeroed, cluster: o.Cluster, member: o.Member, seq: b.seq, size: b.size,
		salt: o.Salt(), nextSalt: o.Salt(), next: 1, hard: l.hard,
	}
	l.segments[0] = &segment{seq: b.seq, name: b.file.Name(), size: b.size, header: h}
	l.file, l.seed = b.file, seed(h.salt)
	err = l.write(0, 1, nil)
	l.group.reset()
	if err == nil {
		err = l.Fence(true)
	}
	return errors.Join(err, l.Close())
}
