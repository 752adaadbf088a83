package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"qkv/internal/limits"
	"qkv/log/disk"
)

// writer writes the files.
//
//  1. The durable part of FILE are its first end bytes. chain is the position behind them.
//  2. A failed attempt changes nothing here but dirty. FILE may then have anything after end, and the next attempt overwrites it.
type writer struct {
	log  *Log
	lock io.Closer // nil: not locked yet

	resumed bool  // the fields below are known
	chain   chain // with torn bytes, a line about them is due
	number  int   // FILE will be FILE.number
	end     int64 // 0: FILE has no first line yet
	newline bool  // a newline is due: FILE ends within a line
	dirty   bool
	about   string // for the first line of FILE: what another program did to the file before it

	batch  []byte // bodies that are not written yet
	buffer []byte // their lines
}

// write writes the batch of a failed attempt, and then the waiting events.
func (w *writer) write(now time.Time, last bool) error {
	if err := w.resume(); err != nil {
		return err
	}
	if len(w.batch) > 0 {
		if err := w.attempt(now); err != nil {
			return err
		}
	}
	w.batch = w.log.take(now, w.batch, last)
	if len(w.batch) == 0 && w.chain.torn == 0 && !w.newline && w.end > 0 {
		return nil
	}
	return w.attempt(now)
}

// attempt writes the batch, and the lines that must come before it.
func (w *writer) attempt(now time.Time) error {
	file, err := w.open()
	if err != nil {
		return err
	}
	return errors.Join(w.append(file, now), file.Close())
}

// resume finds the end of the chain in the files of an earlier process.
func (w *writer) resume() error {
	if w.resumed {
		return nil
	}
	on, name := w.log.config.FS, w.log.config.File
	if err := on.MkdirAll(path.Dir(name)); err != nil {
		return fmt.Errorf("make its folder: %w", err)
	}
	if w.lock == nil {
		lock, err := on.Lock(name + ".lock")
		if err != nil {
			return fmt.Errorf("lock its folder %s, which no other member may use: %w", path.Dir(name), err)
		}
		w.lock = lock
	}
	if err := disk.SyncAbove(on, path.Dir(name)); err != nil {
		return fmt.Errorf("make its folder durable: %w", err)
	}
	numbers, err := rotated(on, name)
	if err != nil {
		return err
	}
	w.chain, w.number, w.end = chain{}, 1, 0
	if len(numbers) > 0 {
		w.number = numbers[len(numbers)-1] + 1
		if err := w.readTail(numbered(name, w.number-1)); err != nil {
			return err
		}
		w.chain.torn, w.chain.region, w.end, w.newline = 0, nil, 0, false
	}
	if err := w.readTail(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w.resumed = true
	if w.chain.torn > 0 {
		w.log.config.Logger.Warn("a crash has torn the end of the audit log: the chain of its lines continues behind it", "file", name, "bytes", w.chain.torn)
	}
	return nil
}

// readTail moves the chain to the last whole line of a file, and end to the end of that file.
func (w *writer) readTail(name string) error {
	file, err := w.log.config.FS.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	size, err := file.Size()
	if err == nil {
		err = file.DropCache(0, 0) // after a failed sync, the cache shows bytes that are not on the disk
	}
	if err != nil {
		return err
	}
	found := false
	if from := size - limits.AuditTailBytes; from > 0 {
		if found, err = w.readFrom(file, from, size); err != nil {
			return err
		}
	}
	if !found {
		_, err = w.readFrom(file, 0, size)
	}
	w.end = size
	return err
}

// readFrom moves the chain over the lines of a file from an offset on. It reports whether a line began it. A file whose first line is
// damaged continues the chain of the file before.
func (w *writer) readFrom(file disk.File, from, size int64) (found bool, err error) {
	next, lines := w.chain, lineReader{file: file, at: from}
	w.newline = false
	if from > 0 {
		if _, err := lines.next(); err != nil { // the rest of a line
			return false, err
		}
	}
	for {
		first := lines.at == 0
		raw, err := lines.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, err
		}
		if lines.at == size && raw[len(raw)-1] != '\n' { // the line may be whole but for that
			w.newline, raw = true, append(bytes.Clone(raw), '\n')
		}
		if one, whole := ParseLine(raw); whole && !found && (first || from > 0) {
			next.resumeAt(raw, one)
			found = true
		} else if found || from == 0 {
			next.add(raw)
		}
	}
	if found || from == 0 {
		w.chain = next
	}
	return found, nil
}

// open opens FILE, after its rotation if it is due. A file that another program has changed is put aside like a rotated one.
func (w *writer) open() (disk.File, error) {
	on, name := w.log.config.FS, w.log.config.File
	file, err := on.OpenWritable(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	switch why, err := w.changed(file); {
	case err != nil:
		return nil, errors.Join(err, file.Close())
	case why != "":
		w.log.config.Logger.Warn("AUDIT: another program has changed the audit log: a new file is begun", "file", name, "change", why)
		return w.begin(file, why)
	case w.end >= w.log.config.FileBytes && w.chain.torn == 0 && !w.newline:
		return w.begin(file, "")
	case file == nil:
		return w.create()
	}
	return file, nil
}

// changed tells what another program did to FILE; file is nil if it is missing.
func (w *writer) changed(file disk.File) (string, error) {
	if file == nil {
		if w.end == 0 {
			return "", nil
		}
		return fmt.Sprintf("%s had %d bytes, and was removed", numbered(path.Base(w.log.config.File), w.number), w.end), nil
	}
	size, err := file.Size()
	if err != nil || size == w.end || size > w.end && w.dirty {
		return "", err
	}
	return fmt.Sprintf("%s had %d bytes, and has %d", numbered(path.Base(w.log.config.File), w.number), w.end, size), nil
}

// begin rotates FILE, unless it is nil, and creates a new one.
func (w *writer) begin(file disk.File, about string) (disk.File, error) {
	on, name := w.log.config.FS, w.log.config.File
	if file != nil {
		if err := errors.Join(file.Close(), w.prune()); err != nil {
			return nil, err
		}
		if err := on.Rename(name, numbered(name, w.number)); err != nil {
			return nil, err
		}
	}
	w.number++
	w.end, w.chain.torn, w.chain.region, w.newline, w.about = 0, 0, nil, false, about
	return w.create()
}

// create makes a new FILE. The rename of the file before must be durable first: a crash that kept only the new name would lose that file.
func (w *writer) create() (disk.File, error) {
	if err := w.log.config.FS.SyncDir(path.Dir(w.log.config.File)); err != nil {
		return nil, fmt.Errorf("sync its folder: %w", err)
	}
	return w.log.config.FS.Create(w.log.config.File)
}

// prune removes the oldest rotated files: one more is coming.
func (w *writer) prune() error {
	on, name := w.log.config.FS, w.log.config.File
	numbers, err := rotated(on, name)
	if err != nil {
		return err
	}
	for _, n := range numbers[:max(len(numbers)-w.log.config.Files+1, 0)] {
		if err := on.Remove(numbered(name, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an old file: %w", err)
		}
	}
	return nil
}

// append writes the batch behind the durable part of FILE, and syncs it.
func (w *writer) append(file disk.File, now time.Time) error {
	next := w.encode(now)
	if w.dirty {
		if err := file.Truncate(w.end); err != nil {
			return err
		}
	}
	w.dirty = true
	if _, err := file.WriteAt(w.buffer, w.end); err != nil {
		return err
	}
	if err := file.Datasync(); err != nil {
		return fmt.Errorf("sync it: %w", err)
	}
	if w.end == 0 {
		if err := w.log.config.FS.SyncDir(path.Dir(w.log.config.File)); err != nil {
			return fmt.Errorf("sync its folder: %w", err)
		}
	}
	w.end += int64(len(w.buffer))
	w.chain, w.dirty, w.newline, w.about = next, false, false, ""
	w.batch = w.batch[:0]
	return nil
}

// encode puts the lines that are due into the buffer, and returns the chain behind them.
func (w *writer) encode(now time.Time) chain {
	next, lines := w.chain, w.buffer[:0]
	if w.newline {
		lines = append(lines, '\n')
	}
	if next.torn > 0 {
		one := w.log.line(opTorn, now)
		one.Torn, one.After = next.torn, next.last.String()
		one.Message = fmt.Sprintf("a crash has torn the %d bytes before this line", next.torn)
		lines = next.appendAfter(lines, appendBody(nil, &one), sum(next.region.Sum(nil)))
	}
	if w.end == 0 {
		one := w.log.line(opFile, now)
		one.Message = w.about
		if w.number > 1 {
			one.Previous = path.Base(numbered(w.log.config.File, w.number-1))
		}
		lines = next.appendLine(lines, appendBody(nil, &one))
	}
	for body := range bytes.Lines(w.batch) {
		lines = next.appendLine(lines, body[:len(body)-1])
	}
	w.buffer = lines
	return next
}

// close releases the lock.
func (w *writer) close() error {
	if w.lock == nil {
		return nil
	}
	return w.lock.Close()
}

// numbered returns the name of a rotated file.
func numbered(file string, n int) string { return file + "." + strconv.Itoa(n) }

// rotated returns the numbers of the rotated files, in order.
func rotated(on disk.FS, file string) (numbers []int, err error) {
	names, err := on.List(path.Dir(file))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, ok := strings.CutPrefix(name, path.Base(file)+".")
		if n, err := strconv.Atoi(text); ok && err == nil && n > 0 && numbered("", n) == "."+text {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}
