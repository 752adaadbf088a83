package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

	"qkv/log/disk"
)

// writer writes the files. lumberjack rotates them; it is closed after each batch, because it would write on into a file that another
// program has removed or renamed.
type writer struct {
	log   *Log
	files lumberjack.Logger
	lock  io.Closer // nil: not locked yet
	batch []byte    // lines that are not durable yet
}

// write writes the batch of a failed attempt, and then the waiting lines.
func (w *writer) write(now time.Time, last bool) error {
	if err := w.open(); err != nil {
		return err
	}
	if len(w.batch) > 0 {
		if err := w.attempt(); err != nil {
			return err
		}
	}
	w.batch = w.log.take(now, w.batch, last)
	return w.attempt()
}

// open makes the folder, and locks it.
func (w *writer) open() error {
	if w.lock != nil {
		return nil
	}
	on, name := w.log.config.FS, w.log.config.File
	if err := on.MkdirAll(path.Dir(name)); err != nil {
		return fmt.Errorf("make its folder: %w", err)
	}
	lock, err := on.Lock(name + ".lock")
	if err != nil {
		return fmt.Errorf("lock its folder %s, which no other member may use: %w", path.Dir(name), err)
	}
	w.lock = lock
	if err := disk.SyncAbove(on, path.Dir(name)); err != nil {
		return fmt.Errorf("make its folder durable: %w", err)
	}
	within, err := w.endsWithinLine() // FILE can be written
	if err != nil {
		return err
	}
	if within {
		w.log.config.Logger.Warn("a crash has torn the last line of the audit log", "file", name)
	}
	_, err = w.files.Write(nil) // from now on there is a FILE
	return errors.Join(err, w.files.Close())
}

// attempt writes the batch, and makes it durable.
func (w *writer) attempt() error {
	if len(w.batch) == 0 {
		return nil
	}
	on, name := w.log.config.FS, w.log.config.File
	within, err := w.endsWithinLine()
	if err != nil {
		return err
	}
	if within {
		_, err = w.files.Write([]byte{'\n'})
	}
	if err == nil {
		_, err = w.files.Write(w.batch)
	}
	if err = errors.Join(err, w.files.Close()); err != nil {
		return err
	}
	file, err := on.OpenWritable(name)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Datasync(), file.Close(), on.SyncDir(path.Dir(name))); err != nil {
		return fmt.Errorf("sync it: %w", err)
	}
	w.batch = w.batch[:0]
	return nil
}

// endsWithinLine reports whether a crash or a failed write has torn the last line of FILE. Without FILE there is none.
func (w *writer) endsWithinLine() (bool, error) {
	file, err := w.log.config.FS.OpenWritable(w.log.config.File)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil || size == 0 {
		return false, err
	}
	last := make([]byte, 1)
	_, err = file.ReadAt(last, size-1)
	return last[0] != '\n', err
}

// close releases the lock.
func (w *writer) close() error {
	if w.lock == nil {
		return nil
	}
	return w.lock.Close()
}
