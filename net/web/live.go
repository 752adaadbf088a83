package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// live sends the changes below a prefix as server-sent events, in batches: one each dashboardBatch, with at most
// dashboardEvents changes and the number of the others.
func (d *dashboard) live(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	s, _ := prefixScope(r.URL.Query())
	if err := d.Read(ctx, kv.AccessRead, &s, func(*index.View) (bool, error) { return true, nil }); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	out := &eventStream{w: w, way: http.NewResponseController(w)}
	if out.comment() != nil {
		return nil // the browser is gone
	}
	stop := make(chan struct{})
	var flushing sync.WaitGroup
	flushing.Go(func() { out.flush(stop) })
	err := d.Watch(ctx, s.key, s.end, out.add)
	close(stop)
	flushing.Wait()
	if err != nil && r.Context().Err() == nil {
		_ = out.send("end", map[string]string{"error": err.Error()})
	}
	return nil
}

// eventStream is the answer to a live request.
type eventStream struct {
	w   http.ResponseWriter
	way *http.ResponseController

	mu      sync.Mutex
	events  []Event
	skipped int
	failed  error
}

const (
	// dashboardBatch is the interval of the changes that are sent to a live page, with at most dashboardEvents of them: more cannot be
	// read. dashboardSilence is the longest time without a sign of life, and the time in which a browser must read.
	dashboardBatch   = 250 * time.Millisecond
	dashboardEvents  = 100
	dashboardSilence = 15 * time.Second
	// dashboardLeases and dashboardLeaseKeys bound the leases of a live page, and the keys of each. The leader's clock is asked for each.
	dashboardLeases    = 500
	dashboardLeaseKeys = 20
)

// add takes changes from the watch. It never waits for the browser.
func (o *eventStream) add(events []Event) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	fits := min(len(events), dashboardEvents-len(o.events))
	o.events = append(o.events, events[:fits]...)
	o.skipped += len(events) - fits
	return o.failed
}

// flush sends what has come, until stop is closed.
func (o *eventStream) flush(stop <-chan struct{}) {
	tick := time.NewTicker(dashboardBatch)
	defer tick.Stop()
	sent := time.Now()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		o.mu.Lock()
		events, skipped := o.events, o.skipped
		o.events, o.skipped = nil, 0
		o.mu.Unlock()
		var err error
		switch {
		case len(events) > 0:
			err = o.send("changes", map[string]any{"events": events, "skipped": skipped})
			sent = time.Now()
		case time.Since(sent) > dashboardSilence:
			err = o.comment()
			sent = time.Now()
		}
		if err != nil {
			o.mu.Lock()
			o.failed = err
			o.mu.Unlock()
			return
		}
	}
}

func (o *eventStream) send(event string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return o.write(fmt.Sprintf("event: %s\ndata: %s\n\n", event, text))
}

func (o *eventStream) comment() error { return o.write(": \n\n") }

func (o *eventStream) write(text string) error {
	_ = o.way.SetWriteDeadline(time.Now().Add(dashboardSilence))
	if _, err := o.w.Write([]byte(text)); err != nil {
		return err
	}
	return o.way.Flush()
}

// lease is a lease with its keys.
type lease struct {
	ID      string   `json:"id"`
	Granted int64    `json:"granted"` // in seconds
	Left    int64    `json:"left"`    // in seconds; negative: not known
	Keys    [][]byte `json:"keys"`
	Locks   []lock   `json:"locks"`
	More    bool     `json:"more"` // it has more keys

	id int64
}

// lock is a candidacy for a lock or an election: a key that ends with the id of its lease.
type lock struct {
	Name  []byte `json:"name"`
	Holds bool   `json:"holds"` // it is the oldest candidacy of the name
	Known bool   `json:"known"` // Holds is known: all candidacies of the name were looked at

	created int64
}

// leases lists the leases of [index.View.ListsLease], with the keys that the user may read. A step looks at
// limits.RangeRows leases and keys: there may be any number that the user may not read.
type leases struct {
	nothing
	user    string
	permits func(v *index.View, key []byte) bool
	from    lease  // the lease with which the next step begins, as far as it is known
	fromKey []byte // its next key; nil: the first one
	bytes   int    // of all keys so far
	locks   locks
	All     []lease `json:"leases"`
	More    bool    `json:"more"` // there are more leases
}

func newLeases(user string, permits func(v *index.View, key []byte) bool) *leases {
	return &leases{user: user, from: lease{id: math.MinInt64}, All: []lease{}, permits: permits}
}

func (l *leases) step(v *index.View) (done bool, err error) {
	if l.locks.found != nil {
		return l.locks.step(v)
	}
	done = true
	left := limits.RangeRows
	v.Leases(l.from.id, func(one kv.Lease) bool {
		if len(l.All) == dashboardLeases || l.bytes > dashboardKeyBytes {
			l.More = true
			return false
		}
		if one.ID != l.from.id || l.from.Keys == nil {
			l.from = lease{ID: leaseText(one.ID), Granted: one.TTL, Left: -1, Keys: [][]byte{}, Locks: []lock{}, id: one.ID}
			l.fromKey = nil
		}
		if left--; left >= 0 {
			left = l.addKeys(v, left)
		}
		if done = left >= 0; !done {
			return false
		}
		if len(l.from.Keys) > 0 || v.ListsLease(l.user, one) {
			l.All = append(l.All, l.from)
		}
		return true
	})
	if done {
		l.locks.begin(l.All)
	}
	return false, nil
}

// addKeys looks at the keys of the lease from, and returns how many more may be looked at; negative: it has more keys.
func (l *leases) addKeys(v *index.View, left int) int {
	v.LeaseKeys(l.from.id, l.fromKey, func(key []byte) bool {
		if left--; left < 0 {
			l.fromKey = bytes.Clone(key)
			return false
		}
		switch {
		case !l.permits(v, key):
		case len(l.from.Keys) == dashboardLeaseKeys:
			l.from.More = true
			return false
		default:
			l.bytes += len(key)
			l.from.addKey(v, key)
		}
		return true
	})
	return left
}

func (l *lease) addKey(v *index.View, key []byte) {
	l.Keys = append(l.Keys, bytes.Clone(key))
	name, is := bytes.CutSuffix(key, []byte("/"+l.ID))
	if pair, found, err := v.Get(key, 0); is && found && err == nil {
		l.Locks = append(l.Locks, lock{Name: bytes.Clone(name), created: pair.CreateRevision})
	}
}

// locks finds the holders of locks: the candidacy with the lowest create revision. It looks at all keys below the name of a lock, because
// the list of leases may not have the oldest one. It looks at dashboardSearched keys at most.
type locks struct {
	found map[string][]*lock // by name
	names []string           // those whose candidacies are not all known yet
	from  []byte             // the next key below the first name; nil: the first key
	// create revision of the oldest candidacy of the first name, as far as it is known; 0: none
	oldest int64
	looked int
}

func (l *locks) begin(all []lease) {
	l.found = map[string][]*lock{}
	for i := range all {
		for k := range all[i].Locks {
			one := &all[i].Locks[k]
			l.found[string(one.Name)] = append(l.found[string(one.Name)], one)
		}
	}
	l.names = slices.Sorted(maps.Keys(l.found))
}

func (l *locks) step(v *index.View) (done bool, err error) {
	for left := limits.RangeRows; left > 0 && len(l.names) > 0 && l.looked < dashboardSearched; left-- {
		prefix := []byte(l.names[0] + "/")
		if l.from == nil {
			l.from = prefix
		}
		found, err := v.Range(kv.Range{Key: l.from, End: kv.PrefixEnd(prefix), Limit: int64(left), KeysOnly: true, Continued: true}, 0)
		if err != nil {
			return true, err
		}
		for i := range found.KVs {
			pair := &found.KVs[i]
			if pair.Lease != 0 && string(pair.Key[len(prefix):]) == leaseText(pair.Lease) && (l.oldest == 0 || pair.CreateRevision < l.oldest) {
				l.oldest = pair.CreateRevision
			}
			l.from = append(bytes.Clone(pair.Key), 0)
		}
		left -= len(found.KVs)
		l.looked += len(found.KVs)
		if found.More {
			continue
		}
		for _, one := range l.found[l.names[0]] {
			one.Holds, one.Known = one.created == l.oldest, true
		}
		l.names, l.from, l.oldest = l.names[1:], nil, 0
	}
	return len(l.names) == 0 || l.looked >= dashboardSearched, nil
}

func (l *leases) answer() any { return l }

// holders answers with leases, and with the locks and elections that belong to them.
func (d *dashboard) holders(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
	l := newLeases(d.User(ctx).Name, func(v *index.View, key []byte) bool {
		return d.Permits(ctx, v, kv.AccessRead, &scope{key: key}) == nil
	})
	if err := d.Read(ctx, kv.AccessNone, l, l.step); err != nil {
		return err
	}
	var ids []int64
	for i := range l.All {
		ids = append(ids, l.All[i].id)
	}
	if left, err := d.TimesLeft(ctx, ids); err == nil {
		for i := range left {
			l.All[i].Left = left[i].TTL
		}
	}
	writeJSON(w, http.StatusOK, l)
	return nil
}

// clients answers an administrator with the connected clients and their slow watches.
func (d *dashboard) clients(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
	if err := d.Read(ctx, kv.AccessAdmin, nothing{}, func(*index.View) (bool, error) { return true, nil }); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"clients": append([]Client{}, d.Clients()...), "slow": d.SlowWatches()})
	return nil
}
