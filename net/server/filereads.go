package server

import (
	"runtime"

	"qkv/index/kv"
)

// fileReads are the requests of a stream whose answers need values from files. Neither the stream's reader nor its writer waits for the
// disk: at most fileReadersMost goroutines read these answers and write them.
//
//  1. While requests wait, there is a goroutine.
//  2. The memory of an answer is reserved before its values are read. If the stream's share refuses that, the answer waits for the others.
type fileReads struct {
	waiting []fileRead // oldest first
	readers int        // goroutines
}

// fileRead is a request whose answer needs values from files.
type fileRead struct {
	slot
	outcome kv.Completion
	size    int // bytes of the answer
}

// fileReadersMost bounds the goroutines in which a stream's requests read files: a stream that asks for cold values on a slow disk keeps few.
// One disk serves about that many reads at once.
const fileReadersMost = 8

// readLater leaves a request to readFiles, if it needs values from files.
func (w *writer) readLater(x *slot, d *kv.Completion) bool {
	if w.unread == 0 {
		return false
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	f := &w.s.fileReads
	f.waiting = append(f.waiting, fileRead{*x, *d, w.unread})
	*x, w.unread = slot{}, 0
	if f.readers < fileReadersMost {
		f.readers++
		w.s.conn.server.running.Go(w.s.readFiles)
	}
	return true
}

// readFiles answers waiting requests.
func (s *stream) readFiles() {
	w := newWriter(s)
	w.waits = true
	for one := w.nextFileRead(); one != nil; one = w.nextFileRead() {
		v := s.conn.server.config.Member.View()
		w.encodeOne(v, &one.slot, &one.outcome)
		runtime.KeepAlive(v)
		s.conn.server.measured(&one.slot)
		s.endSlots([]slot{one.slot})
		if err := w.sendOut(); err != nil {
			s.fail(err)
		}
		one.read.recycle()
	}
}

// nextFileRead returns the next request, with memory for its answer. It returns nil when the goroutine has to end.
func (w *writer) nextFileRead() *fileRead {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	f := &w.s.fileReads
	if len(f.waiting) == 0 || !w.fit(f.waiting[0].size) && f.readers > 1 {
		f.readers--
		w.s.wakeWriter() // the stream may end
		return nil
	}
	one := f.waiting[0]
	f.waiting[0] = fileRead{}
	f.waiting = f.waiting[1:]
	return &one
}
