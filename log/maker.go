package log

import (
	"errors"
	"fmt"
	"syscall"

	"qkv/internal/limits"
	"qkv/log/disk"
)

// Maker prepares spares, the files of later segments: released files under a new name, or new files. A new file is
// filled with zeros, because in a file that is only reserved each first write also changes metadata, unless Reserve is
// set. The segment maker, an actor, owns the Maker. Only file names pass between it and the log writer.
//
// When a file is complete, it gets the number after the highest in the folder. So the log uses its spares in the order
// of their numbers. The numbers of all spares are above the log's own, except spares that the log overtakes by creating
// a segment itself.
type Maker struct {
	o     Options
	store []string // released files to be recycled

	// Quick says that the disk is quick: each step then fills more bytes, and more bytes between two syncs. It is set
	// between steps. The first step of a file is always small: the step before it wrote nothing, so its time says
	// nothing about the disk.
	Quick bool

	// Reserve says that the log is written so fast that zeros would take the disk from it: new files are then only
	// reserved. Each sync of such a segment commits the file system's journal, which is cheap beside the bytes of its
	// group, and each byte is written once. Reserving is as safe as filling. The size is synced before the file gets a
	// segment's name. A crash may lose unsynced writes into reserved space, which then reads as zeros. Recovery
	// meets zeros in a filled file, too: they are the log's end (rule 4 of package disk). A sync returns only when the
	// written blocks count as written.
	Reserve bool

	// Keeps is how many released files wait to be recycled, in addition to the ready spares: at least makerKeeps. It
	// takes effect with the next Recycle or Trim.
	Keeps int

	// The file that is being filled.
	file   disk.File
	at     int64
	synced int64
}

// makerKeeps is how many released files wait to be recycled while the log is written slowly.
const makerKeeps = limits.SparesMost - limits.SpareSegments

// NewMaker returns a maker of spares for the log with these options.
func NewMaker(o Options) *Maker { return &Maker{o: o.withDefaults()} }

// Recycle hands in a released file for reuse. If too many files wait, the oldest is removed. Released segments
// therefore leave the folder oldest first, and a missing segment between existing ones is a loss.
func (m *Maker) Recycle(name string) error {
	m.store = append(m.store, name)
	return m.Trim()
}

// Trim removes the oldest of the files that wait for reuse, until Keeps are left.
func (m *Maker) Trim() error {
	var failed error
	for len(m.store) > max(m.Keeps, makerKeeps) {
		failed = errors.Join(failed, m.o.FS.Remove(m.store[0]))
		m.store = m.store[1:]
	}
	if failed != nil {
		return fmt.Errorf("removing a released segment: %w", failed)
	}
	return nil
}

// Remove removes a released file that is damaged, after all files that wait for reuse: these may be older, and the
// oldest must go first. The removal is durable, so that a power loss does not bring the damage back.
func (m *Maker) Remove(name string) error {
	all := append(m.store, name)
	m.store = nil
	var failed error
	for _, one := range all {
		failed = errors.Join(failed, m.o.FS.Remove(one))
	}
	failed = errors.Join(failed, m.o.FS.SyncDir(m.o.Dir))
	if failed != nil {
		return fmt.Errorf("removing a damaged segment: %w", failed)
	}
	return nil
}

// Step does a bounded piece of work. If it returns done, the spare is ready and durable. The next step begins another
// file, also after an error.
func (m *Maker) Step() (spare string, done bool, err error) {
	switch {
	case m.file != nil:
		spare, err = m.fill()
	case len(m.store) > 0:
		spare, err = m.reuse()
	default:
		spare, err = m.start()
	}
	if err != nil {
		return "", false, fmt.Errorf("making a spare segment: %w", err)
	}
	return spare, spare != "", nil
}

// start begins a new file. If the file is only reserved, it is a spare at once.
func (m *Maker) start() (spare string, err error) {
	m.at, m.synced = 0, 0
	if m.file, err = createTemp(m.o, makerName, m.o.SegmentBytes); err != nil || !m.Reserve {
		return "", err
	}
	switch err = m.file.Reserve(m.o.SegmentBytes); {
	case err == nil:
		return m.finish()
	case errors.Is(err, errors.ErrUnsupported): // the next steps fill the file
		return "", nil
	default:
		m.Close()
		return "", err
	}
}

const (
	// spareStepBytes is how much of a spare is filled at a time: on a slow disk the log's sync waits for it. spareSyncBytes is how much is
	// filled between two syncs: a whole segment at once would delay the log's own.
	spareStepBytes = 256 << 10
	spareSyncBytes = 1 << 20
	// spareQuickTimes multiplies both after a quick step: a journal commit and two wake-ups for each MiB cost more than its zeros.
	spareQuickTimes = 4
)

// fill writes the next zeros. The last step makes the file durable, and a spare.
func (m *Maker) fill() (spare string, err error) {
	step, unsynced := int64(spareStepBytes), int64(spareSyncBytes)
	if m.Quick && m.at > 0 {
		step, unsynced = spareQuickTimes*step, spareQuickTimes*unsynced
	}
	n := min(step, m.o.SegmentBytes-m.at)
	if err = keepReserve(m.o, m.o.SegmentBytes-m.at); err == nil { // the log may have used that space meanwhile
		err = m.file.WriteZeros(int(n), m.at)
	}
	m.at += n
	switch {
	case err != nil:
	case m.at == m.o.SegmentBytes:
		return m.finish()
	case m.at-m.synced+step > unsynced:
		m.synced = m.at
		err = m.file.Datasync()
	}
	if err != nil {
		m.Close()
	}
	return "", err
}

// finish makes the new file durable, and a spare.
func (m *Maker) finish() (spare string, err error) {
	if err := m.file.Sync(); err != nil {
		m.Close()
		return "", err
	}
	file := m.file
	m.file = nil
	if err := file.Close(); err != nil {
		return "", err
	}
	return m.publish(file.Name())
}

// reuse gives a released file a new number. A file of another size is removed.
func (m *Maker) reuse() (spare string, err error) {
	old := m.store[0]
	fits, err := m.fits(old)
	switch {
	case err != nil:
	case fits:
		spare, err = m.publish(old)
	default:
		err = m.o.FS.Remove(old)
	}
	if err == nil || !errors.Is(err, syscall.ENOSPC) { // after a lack of space the file is tried again
		m.store = m.store[1:]
	}
	return spare, err
}

func (m *Maker) fits(name string) (bool, error) {
	file, err := m.o.FS.Open(name)
	if err != nil {
		return false, err
	}
	size, err := file.Size()
	return size == m.o.SegmentBytes, errors.Join(err, file.Close())
}

// publish makes a file a spare.
func (m *Maker) publish(name string) (string, error) {
	names, err := m.o.FS.List(m.o.Dir)
	if err != nil {
		return "", err
	}
	highest := uint64(0)
	for _, name := range names {
		if n, ok := numberOf(name); ok {
			highest = max(highest, n)
		}
	}
	spare, _, err := publish(m.o, name, highest+1)
	return spare, err
}

// Bytes is the size of the files that are not spares yet.
func (m *Maker) Bytes() int64 {
	n := int64(len(m.store)) * m.o.SegmentBytes
	if m.file != nil {
		n += m.at
	}
	return n
}

// Close abandons the file that is being filled.
func (m *Maker) Close() {
	if m.file != nil {
		discard(m.o.FS, m.file)
		m.file = nil
	}
}
