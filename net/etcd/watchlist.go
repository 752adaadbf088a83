package etcd

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/web"
)

// watchStreams is the set of all streams of watches.
type watchStreams struct {
	mu  sync.Mutex
	all map[*watchStream]struct{}
}

func (l *watchStreams) add(w *watchStream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[*watchStream]struct{}{}
	}
	l.all[w] = struct{}{}
}

func (l *watchStreams) remove(w *watchStream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, w)
}

// each calls f for all streams, each locked.
func (l *watchStreams) each(f func(w *watchStream)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.all {
		w.mu.Lock()
		f(w)
		w.mu.Unlock()
	}
}

// Clients returns the connected clients of this endpoint, with the number of their watches.
func (s *Server) Clients() []kv.ClientLoad {
	all := s.port.Clients()
	watched := map[string]int64{}
	s.watching.each(func(w *watchStream) { watched[w.account.Name()] += int64(len(w.byID)) })
	for i := range all {
		all[i].Watches = watched[all[i].Name]
	}
	return all
}

// slowLocked records that the events up to a revision were refused to watches of the stream, or accepted again.
func (w *watchStream) slowLocked(hubs []uint64, revision int64, refused bool) {
	for _, hub := range hubs {
		one := w.byHub[hub]
		switch {
		case one == nil || refused != one.refusedAt.IsZero():
		case refused:
			one.refusedAt, one.refused = time.Now(), revision
			w.slow++
		default:
			one.refusedAt = time.Time{}
			w.slow--
		}
	}
}

// watchLag counts the watches whose events were refused, and the events that wait to be sent, once for each watch.
func (s *core) watchLag() (slow int, pending int64) {
	s.watching.each(func(w *watchStream) { slow, pending = slow+w.slow, pending+w.events })
	return slow, pending
}

// SlowWatches implements web.Endpoint.
func (d dashboard) SlowWatches() []web.SlowWatch {
	all := []web.SlowWatch{}
	newest := d.config.Member.View().Revision()
	d.watching.each(func(w *watchStream) {
		if w.slow == 0 {
			return
		}
		for _, one := range w.byID {
			if one.refusedAt.IsZero() || one.ended {
				continue
			}
			all = append(all, web.SlowWatch{
				Client: w.account.Name(), Key: one.key, End: one.end, For: int64(time.Since(one.refusedAt).Seconds()), Behind: max(newest-one.refused+1, 1), Unread: w.waiting,
			})
		}
	})
	slices.SortFunc(all, func(a, b web.SlowWatch) int {
		return cmp.Or(cmp.Compare(b.For, a.For), cmp.Compare(a.Client, b.Client), bytes.Compare(a.Key, b.Key))
	})
	return all[:min(len(all), limits.DashboardClients)]
}
