package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"qkv/index/kv"
	"qkv/net/wire"
)

// WatchResponse is one delivery to a watch. It is read-only: equal watches share it.
type WatchResponse struct {
	// Revision is the revision up to which the watch has all events: a later watch with [kv.Watch.Revision] one above misses no event
	// and gets none twice.
	Revision int64
	// Events are in the order of their revisions, and all events of one revision come together. A progress notice has none.
	Events []kv.WatchEvent

	bytes int64
}

// ErrWatchClosed is the error of a watch that its owner has closed, with [Watcher.Close].
var ErrWatchClosed = errors.New("the watch is closed")

// CompactedError is the error of a watch whose undelivered events are compacted: it began too far in the past, or was not read for long.
// Read the current state, and watch from the revision after it.
type CompactedError struct {
	Oldest int64     // the oldest revision that can be watched
	Cause  *kv.Error // the member's answer, whose code is Compacted
}

func (e *CompactedError) Error() string { return e.Cause.Error() }

// Unwrap returns the member's answer, whose code is Compacted.
func (e *CompactedError) Unwrap() error { return e.Cause }

// Watcher is a watch in progress. Next and All are for one goroutine at a time, the other methods for any number.
type Watcher struct {
	// Constant.
	client  *Client
	request kv.Watch
	wake    chan struct{} // a token: Next has something to see

	// Guarded by client.watching.mu.
	id uint64 // on the current stream; 0: on none

	mu        sync.Mutex
	queue     []*WatchResponse
	bytes     int64           // of queue
	partial   []kv.WatchEvent // of a revision that is not complete yet
	parts     int64           // bytes of partial
	begun     bool
	beginning bool  // the member has not confirmed it: the progress of a stream's other watches is not its own
	revision  int64 // the member's revision when the watch began
	next      int64 // the first revision without delivered events; 0: the one after the newest
	paused    bool  // queue was too long: the watch is resumed when it is empty
	err       error // why it is over
	release   func() bool
}

// Watch begins a watch, and returns when a member has it: it delivers all changes from request.Revision on. If that is 0, it delivers all
// changes after [Watcher.Revision]. If the connection is lost, or the member cannot serve, the watch is resumed at another member by
// itself: each event comes once, in order.
//
// The watch ends with ctx, with [Watcher.Close] or with the client; until then it holds memory here and at the member. If ctx has no
// deadline, the beginning may take Config.Timeout: then the result is an UnavailableError. A revision that is compacted is reported by
// [Watcher.Next].
func (c *Client) Watch(ctx context.Context, request kv.Watch) (*Watcher, error) {
	request.Key, request.End = append([]byte(nil), request.Key...), append([]byte(nil), request.End...)
	w := &Watcher{client: c, request: request, next: request.Revision, wake: make(chan struct{}, 1)}
	begun := time.Now()
	if ctx.Err() != nil {
		return nil, c.notSent(ctx, wire.OpWatch, begun, nil)
	}
	if !c.watching.add(w) {
		return nil, ErrClosed
	}
	w.mu.Lock()
	w.release = context.AfterFunc(ctx, func() { w.end(context.Cause(ctx)) })
	w.mu.Unlock()
	timeout := time.Until(c.until(ctx, begun))
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		w.mu.Lock()
		is, err := w.begun, w.err
		w.mu.Unlock()
		switch {
		case is:
			w.signal() // the token was meant for Next
			return w, nil
		case err != nil:
			w.Close()
			if errors.Is(err, context.Cause(ctx)) {
				return nil, c.notSent(ctx, wire.OpWatch, begun, nil)
			}
			return nil, err
		}
		select {
		case <-w.wake:
		case <-timer.C:
			w.Close()
			return nil, c.unavailable(wire.OpWatch, begun, nil, &timeoutError{timeout.Round(time.Millisecond).String()})
		}
	}
}

// Revision returns the newest revision of the member when the watch was begun. That member may lag the others.
func (w *Watcher) Revision() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.revision
}

// Next waits for the next delivery, for as long as none comes. After an error nothing follows, and further calls return the same error. It
// is the cause of Watch's context, [ErrWatchClosed], [ErrClosed], a [CompactedError], or a member's refusal, a [kv.Error], such as one with
// the code NotAllowed. A lost connection is not an error.
func (w *Watcher) Next() (WatchResponse, error) {
	for {
		w.mu.Lock()
		if len(w.queue) > 0 {
			first := w.queue[0]
			w.queue[0] = nil
			w.queue = w.queue[1:]
			w.bytes -= first.bytes
			resume := w.paused && len(w.queue) == 0
			w.paused = w.paused && !resume
			w.mu.Unlock()
			if resume {
				w.client.watching.resume(w)
			}
			return *first, nil
		}
		err := w.err
		w.mu.Unlock()
		if err != nil {
			return WatchResponse{}, err
		}
		<-w.wake
	}
}

// All yields the results of Next, until an error, which is the last. A loop that is left earlier does not end the watch: Close does.
func (w *Watcher) All() iter.Seq2[WatchResponse, error] {
	return func(yield func(WatchResponse, error) bool) {
		for {
			response, err := w.Next()
			if !yield(response, err) || err != nil {
				return
			}
		}
	}
}

// Close ends the watch, and a waiting Next. Earlier deliveries can still be read; then comes [ErrWatchClosed]. A second call does nothing.
func (w *Watcher) Close() { w.end(ErrWatchClosed) }

// end ends the watch; the first reason counts.
func (w *Watcher) end(why error) {
	w.client.watching.remove(w)
	w.mu.Lock()
	if w.err == nil {
		w.err = why
	}
	release := w.release
	w.mu.Unlock()
	w.signal()
	if release != nil {
		release()
	}
}

func (w *Watcher) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// created records that a member has the watch.
func (w *Watcher) created(revision int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.partial, w.parts, w.beginning = nil, 0, false // what came in part came on the previous stream
	if w.next == 0 {
		w.next = revision + 1
	}
	if !w.begun {
		w.begun, w.revision = true, revision
		w.signal()
	}
}

// clientWatchBytes bounds the events of one watch that wait in the client for its program. Beyond it the client cancels the watch at the
// member, and resumes it when its queue is read: other watches of the stream are not blocked.
const clientWatchBytes = 1 << 20

// told takes a delivery, and reports whether too many bytes wait in the queue.
func (w *Watcher) told(f *wire.WatchFrame, response *WatchResponse) (over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.begun || w.beginning || w.err != nil {
		return false
	}
	if f.Fragment || len(w.partial) > 0 {
		w.partial = append(w.partial, response.Events...)
		if w.parts += response.bytes; f.Fragment {
			return false
		}
		response = &WatchResponse{Revision: response.Revision, Events: w.partial, bytes: w.parts}
		w.partial, w.parts = nil, 0
	}
	if f.Revision < w.next-1 { // this member lags the previous one
		return false
	}
	w.next = f.Revision + 1
	if n := len(w.queue); f.Kind == kv.WatchProgressed && n > 0 && len(w.queue[n-1].Events) == 0 {
		w.queue[n-1] = response
		return false
	}
	if len(response.Events) == 0 && f.Kind == kv.WatchEvents {
		return false
	}
	w.queue = append(w.queue, response)
	w.bytes += response.bytes
	w.signal()
	return w.bytes > clientWatchBytes
}

// RequestProgress requests the member's progress, once, for all watches of this client. As soon as all of them are up to date, each gets a
// [WatchResponse] without events, whose Revision says up to where it has all events. RequestProgress does not wait for that, and does
// nothing without a connection. If the connection is lost meanwhile, it must be called again.
func (c *Client) RequestProgress() { c.watching.requestProgress() }

// canceled returns why a member has ended the watch by itself.
func canceled(f *wire.WatchFrame) error {
	if f.Err.Code == kv.Compacted {
		return &CompactedError{Oldest: f.Compacted, Cause: f.Err}
	}
	return f.Err
}

var errUnnamed = fmt.Errorf("%w: the refused watch request has the id of another watch", wire.ErrFrame)
