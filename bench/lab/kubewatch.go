package main

import (
	"context"
	"errors"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/bench"
)

// kubeDeliveries measures the time from a write's answer to its event on each API server. It is a ring by revision, so
// its memory is bounded; an entry that is overwritten before all events have come counts as missed.
type kubeDeliveries struct {
	meter *meter

	mu     sync.Mutex
	slots  [1 << 17]kubeDelivery
	open   int   // answered writes with events that have not come
	missed int64 // events of overwritten entries
}

// kubeDelivery is one write.
type kubeDelivery struct {
	revision int64
	answered time.Time
	seen     uint8 // bit for each API server
}

const kubeAllSeen = 1<<kubeServers - 1

// slot returns the entry of a revision. It is called with the lock.
func (d *kubeDeliveries) slot(revision int64) *kubeDelivery {
	s := &d.slots[revision%int64(len(d.slots))]
	if s.revision != revision {
		if !s.answered.IsZero() && s.seen != kubeAllSeen {
			d.open--
			d.missed += int64(kubeServers - bits.OnesCount8(s.seen))
		}
		*s = kubeDelivery{revision: revision}
	}
	return s
}

// answered records a write's answer. Events before the answer count as delivered at once.
func (d *kubeDeliveries) answered(revision int64, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.slot(revision)
	if !s.answered.IsZero() {
		return
	}
	s.answered = now
	for range bits.OnesCount8(s.seen) {
		d.meter.end(now, now, nil)
	}
	if s.seen != kubeAllSeen {
		d.open++
	}
}

// event records an event on an API server.
func (d *kubeDeliveries) event(revision int64, server int, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.slot(revision)
	if s.seen&(1<<server) != 0 {
		return // a watch that was created anew
	}
	s.seen |= 1 << server
	if s.answered.IsZero() {
		return
	}
	d.meter.end(s.answered, now, nil)
	if s.seen == kubeAllSeen {
		d.open--
	}
}

// await waits until all events have come, at most for a time, and returns the number of missed ones.
func (d *kubeDeliveries) await(ctx context.Context, most time.Duration) int64 {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		d.mu.Lock()
		open := d.open
		d.mu.Unlock()
		if open == 0 || bench.Pause(ctx, 10*time.Millisecond) != nil {
			break
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	missed := d.missed
	for i := range d.slots {
		if s := &d.slots[i]; !s.answered.IsZero() {
			missed += int64(kubeServers - bits.OnesCount8(s.seen))
		}
	}
	return missed
}

// kubeWatcher is one API server's watch of one resource.
type kubeWatcher struct {
	run      *kubeRun
	server   int
	resource kubeResource
	client   etcdserverpb.WatchClient

	mu      sync.Mutex
	stream  etcdserverpb.Watch_WatchClient // nil while there is none
	seen    int64                          // the newest revision of an answer
	changed chan struct{}                  // closed when seen grows
	renewed atomic.Int64                   // how often the watch was created anew
	created atomic.Bool
}

// follow receives events until ctx ends. A broken watch is created anew after the last revision that was seen. ready is
// called once, when the watch exists.
func (w *kubeWatcher) follow(ctx context.Context, ready func()) {
	for ctx.Err() == nil {
		_ = w.once(ctx, ready)
		if bench.Pause(ctx, errorPause) == nil {
			w.renewed.Add(1)
		}
	}
}

// once receives events from one stream until it breaks.
func (w *kubeWatcher) once(ctx context.Context, first func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.client.Watch(ctx, largeAnswers)
	if err != nil {
		return err
	}
	from := int64(0)
	if w.seen > 0 {
		from = w.seen + 1
	}
	prefix := w.run.prefix(w.resource)
	create := &etcdserverpb.WatchCreateRequest{
		Key: []byte(prefix), RangeEnd: prefixEnd(prefix), StartRevision: from, ProgressNotify: true, PrevKv: true,
	}
	union := &etcdserverpb.WatchRequest_CreateRequest{CreateRequest: create}
	if err := stream.Send(&etcdserverpb.WatchRequest{RequestUnion: union}); err != nil {
		return err
	}
	w.mu.Lock()
	w.stream = stream
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.stream = nil
		w.mu.Unlock()
	}()
	for {
		r, err := stream.Recv()
		switch {
		case err != nil:
			return err
		case r.Canceled:
			return errors.New("the watch was cancelled: " + r.CancelReason)
		case r.Created:
			if !w.created.Swap(true) {
				first()
			}
		}
		now := time.Now()
		revision := int64(0)
		for _, e := range r.Events {
			revision = e.Kv.ModRevision
			w.run.deliveries.event(revision, w.server, now)
		}
		if len(r.Events) == 0 && !r.Created {
			revision = r.Header.Revision // of a progress notification
		}
		w.advance(revision)
	}
}

func (w *kubeWatcher) advance(revision int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if revision > w.seen {
		w.seen = revision
		close(w.changed)
		w.changed = make(chan struct{})
	}
}

// await waits until the watch has reached a revision, and requests progress meanwhile, as a consistent read from the
// cache of kube-apiserver does.
func (w *kubeWatcher) await(ctx context.Context, revision int64) error {
	ticker := time.NewTicker(kubeAskEvery)
	defer ticker.Stop()
	for {
		w.mu.Lock()
		seen, changed := w.seen, w.changed
		w.mu.Unlock()
		if seen >= revision {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-ticker.C:
			w.mu.Lock()
			if w.stream != nil { // a broken stream is noticed by the receiver
				var asks etcdserverpb.WatchRequest_ProgressRequest
				asks.ProgressRequest = &etcdserverpb.WatchProgressRequest{}
				_ = w.stream.Send(&etcdserverpb.WatchRequest{RequestUnion: &asks})
			}
			w.mu.Unlock()
		}
	}
}

// prefixEnd is the end of the range of all keys with a prefix, whose last byte is not 0xff.
func prefixEnd(prefix string) []byte {
	end := []byte(prefix)
	end[len(end)-1]++
	return end
}
