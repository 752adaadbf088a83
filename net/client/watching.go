package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// watching holds all watches of a client. They share one stream of the current connection; when it is over, they begin again on the
// next one, each after its last delivery.
//
//  1. One goroutine, run, delivers to the watches. It has one stream after the other: frames of an ended stream are never seen.
//  2. A watch gets a new id each time it begins at a member, which identifies late frames of its earlier beginning.
//  3. A watch with unread deliveries does not block the others: it ends at the member until its caller has read them.
type watching struct {
	link *link
	wake chan struct{} // a token: there are watches without a stream

	mu      sync.Mutex
	all     []*Watcher // in no order
	ids     map[uint64]*Watcher
	next    uint64
	stream  *watchStream // nil: there is none
	running bool
	closed  bool
}

// watchStream is a stream of watches.
type watchStream struct {
	conn   *conn
	qs     *quic.Stream
	frames *wire.FrameReader
	wake   chan struct{} // a token: out is not empty
	done   chan struct{} // closed when it is over
	heard  wire.Moment   // of the last received frame
	moved  atomic.Bool   // it was ended because the connection is not the client's any more

	out []byte // guarded by watching.mu
}

func (ws *watching) add(w *Watcher) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		return false
	}
	if !ws.running {
		ws.running = true
		ws.link.start(ws.run)
	}
	ws.all = append(ws.all, w)
	ws.createLocked(w)
	return true
}

// createLocked begins a watch on the current stream.
func (ws *watching) createLocked(w *Watcher) {
	if ws.stream == nil {
		signal(ws.wake)
		return
	}
	ws.next++
	w.id = ws.next
	ws.ids[w.id] = w
	request := w.request
	w.mu.Lock()
	request.Revision, w.beginning = w.next, true
	w.mu.Unlock()
	ws.stream.out = wire.AppendWatch(ws.stream.out, w.id, &request)
	signal(ws.stream.wake)
}

func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// remove ends a watch.
func (ws *watching) remove(w *Watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.leaveLocked(w)
	if i := slices.Index(ws.all, w); i >= 0 {
		ws.all = slices.Delete(ws.all, i, i+1)
	}
}

// leaveLocked ends a watch at the member.
func (ws *watching) leaveLocked(w *Watcher) {
	if w.id == 0 {
		return
	}
	delete(ws.ids, w.id)
	if ws.stream != nil {
		ws.stream.out = wire.AppendCancelWatch(ws.stream.out, w.id)
		signal(ws.stream.wake)
	}
	w.id = 0
}

// pause ends a watch at the member until all queued deliveries are read.
func (ws *watching) pause(w *Watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w.mu.Lock()
	w.paused = len(w.queue) > 0 && w.err == nil
	is := w.paused
	w.mu.Unlock()
	if is {
		ws.leaveLocked(w)
	}
}

// resume begins a paused watch again.
func (ws *watching) resume(w *Watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w.id == 0 && slices.Contains(ws.all, w) {
		ws.createLocked(w)
	}
}

func (ws *watching) requestProgress() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.stream != nil {
		ws.stream.out = wire.AppendWatchProgress(ws.stream.out)
		signal(ws.stream.wake)
	}
}

// close ends all watches: the client is closed.
func (ws *watching) close() {
	ws.mu.Lock()
	ws.closed = true
	ws.mu.Unlock()
	ws.endAll(ErrClosed)
}

// endAll ends all watches with the reason.
func (ws *watching) endAll(why error) {
	ws.mu.Lock()
	all := slices.Clone(ws.all)
	ws.mu.Unlock()
	for _, w := range all {
		w.end(why)
	}
}

// run serves watches until the client is closed.
func (ws *watching) run() {
	l := ws.link
	for attempts := 0; l.ctx.Err() == nil; {
		if ws.none() {
			select {
			case <-ws.wake:
			case <-l.ctx.Done():
			}
			continue
		}
		began := time.Now()
		err := ws.serveOnce()
		if replaced, is := errors.AsType[*ClusterError](err); is && errors.Is(replaced, ErrClusterReplaced) {
			ws.endAll(replaced)
		}
		if time.Since(began) > backoffMost {
			attempts = 0
		}
		attempts++
		select {
		case <-time.After(watchPause(attempts, err)):
		case <-l.ctx.Done():
		}
	}
}

// watchPause is the pause before all watches begin again. If no member serves any, as without a leader, the pause grows up to two
// seconds: each beginning costs the members as much as there are watches.
func watchPause(attempts int, err error) time.Duration {
	return backoff(attempts, err) * time.Duration(min(max(attempts-6, 1), 8))
}

func (ws *watching) none() bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return len(ws.all) == 0
}

// serveOnce serves all watches on one connection until it is over.
func (ws *watching) serveOnce() error {
	l := ws.link
	k := l.current.Load()
	if k == nil || k.retired.Load() {
		ctx, cancel := context.WithTimeout(l.ctx, l.config.Timeout)
		err := l.connect(ctx)
		cancel()
		if err != nil {
			return err
		}
		if k = l.current.Load(); k == nil {
			return errDone
		}
	}
	qs, err := k.qc.OpenStream()
	if err != nil {
		k.retire(err)
		return err
	}
	s := &watchStream{
		conn: k, qs: qs, frames: wire.NewFrameReader(qs, limits.ResponseBytes), wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	s.heard.Set(time.Now())
	ws.begin(s)
	l.start(func() { ws.write(s) })
	err = ws.read(s)
	ws.over(s)
	ws.judge(s, err)
	return err
}

// begin begins all watches on a stream.
func (ws *watching) begin(s *watchStream) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.stream, ws.ids = s, map[uint64]*Watcher{}
	for _, w := range ws.all {
		w.mu.Lock()
		paused := w.paused
		w.mu.Unlock()
		if !paused {
			ws.createLocked(w)
		}
	}
}

// over releases a stream.
func (ws *watching) over(s *watchStream) {
	ws.mu.Lock()
	ws.stream, ws.ids = nil, nil
	for _, w := range ws.all {
		w.id = 0
	}
	ws.mu.Unlock()
	close(s.done)
	s.qs.CancelRead(quic.StreamErrorCode(wire.StreamEnded))
	s.qs.CancelWrite(quic.StreamErrorCode(wire.StreamEnded))
}

// judge decides what the end of a stream means for its connection.
func (ws *watching) judge(s *watchStream, err error) {
	var answer *kv.Error
	_, reset := errors.AsType[*quic.StreamError](err)
	switch {
	case s.moved.Load():
	case errors.Is(err, io.EOF):
		s.conn.retire(errStopping)
	case errors.As(err, &answer):
		ws.link.note(s.conn.endpoint, answer)
		s.conn.avoid(time.Now(), answer)
	case reset:
		ws.link.note(s.conn.endpoint, wire.Explain(err))
	default:
		s.conn.fail(wire.Explain(err))
	}
}

const (
	// watchTick is how often a stream of watches checks whether its connection is still the client's.
	watchTick = 200 * time.Millisecond
	// watchProbe is how long a stream of watches may be silent before the member is probed: a call under way makes the keeper check
	// it.
	watchProbe = 2 * time.Second
)

// write sends requests, and watches over the connection.
func (ws *watching) write(s *watchStream) {
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	probed := time.Now()
	for {
		select {
		case <-s.done:
			return
		case <-s.wake:
			ws.mu.Lock()
			out := s.out
			s.out = nil
			ws.mu.Unlock()
			if _, err := s.qs.Write(out); err != nil {
				return // the reader gets the same error
			}
		case now := <-tick.C:
			if s.conn.retired.Load() {
				s.moved.Store(true)
				s.qs.CancelRead(quic.StreamErrorCode(wire.StreamEnded))
			}
			if s.heard.Ago(now) >= watchProbe && now.Sub(probed) >= watchProbe {
				probed = now
				s.conn.probe()
				ws.link.watch()
			}
		}
	}
}

// read delivers frames to the watches, until the stream is over.
func (ws *watching) read(s *watchStream) error {
	for {
		if err := s.frames.Fill(); err != nil {
			return err
		}
		s.heard.Set(time.Now())
		for {
			frame, err := s.frames.Next()
			if err != nil {
				return err
			}
			if frame == nil {
				break
			}
			if err := ws.take(s.conn, bytes.Clone(frame)); err != nil {
				return err
			}
		}
	}
}

// take delivers a frame of a connection to its watches.
func (ws *watching) take(k *conn, frame []byte) error {
	f, err := wire.ReadWatchFrame(frame)
	if err != nil {
		return err
	}
	if f.Kind == kv.WatchEnded || f.Kind == kv.WatchCanceled && f.Err != nil && elsewhere(f.Err.Code) {
		if f.Err == nil {
			return io.EOF
		}
		return f.Err
	}
	if f.Kind == kv.WatchCanceled && len(f.IDs) == 0 {
		return errUnnamed
	}
	ws.mu.Lock()
	all := make([]*Watcher, 0, len(f.IDs))
	for _, id := range f.IDs {
		if w := ws.ids[id]; w != nil {
			all = append(all, w)
		}
	}
	if f.Kind == kv.WatchProgressed && len(f.IDs) == 0 {
		for _, w := range ws.ids {
			all = append(all, w)
		}
	}
	ws.mu.Unlock()
	response := &WatchResponse{Revision: f.Revision, Events: f.Events, bytes: int64(len(frame)) + 64}
	for _, w := range all {
		switch f.Kind {
		case kv.WatchCreated:
			w.created(f.Revision)
		case kv.WatchCanceled:
			if f.Err != nil {
				ws.refused(w, k, &f)
			}
		default:
			if w.told(&f, response) {
				ws.pause(w)
			}
		}
	}
	return nil
}

// refused ends a watch that a member has ended, unless it may begin again: because users or roles changed while it began, or after a new
// login.
func (ws *watching) refused(w *Watcher, k *conn, f *wire.WatchFrame) {
	again := f.Err.Code == kv.AuthOld
	renew := f.Err.Code == kv.BadToken && ws.link.config.User != ""
	if !again && !renew {
		w.end(canceled(f))
		return
	}
	ws.mu.Lock()
	delete(ws.ids, w.id)
	w.id = 0
	ws.mu.Unlock()
	if renew {
		ws.renewWatch(w, k)
	} else {
		ws.resume(w)
	}
}

// elsewhere reports whether another member may serve a watch that this one has ended.
func elsewhere(code kv.Code) bool {
	return code == kv.Unavailable || code == kv.Amnesia || code == kv.Corrupt || code == kv.Removed
}
