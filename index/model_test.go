package index

import (
	"bytes"
	"fmt"
	"slices"
	"sort"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// model is the state as one would write it down: every version of every key is kept for ever, and what is compacted
// is a number. It knows nothing of the layout.
type model struct {
	limits    limits.Index
	applied   uint64
	revision  int64
	compacted int64
	wall      int64
	keys      map[string][]Version // oldest first
	events    []modelEvent
	first     int     // event that is compacted next
	points    []point // of every batch that made a revision
}

type modelEvent struct {
	Version
	key string
}

func newModel(l limits.Index) *model {
	return &model{limits: l, revision: 1, keys: map[string][]Version{}}
}

// frozen is the model at one moment: it only ever grows, so that a few numbers are enough.
func (m *model) frozen() *model {
	f := *m
	f.keys = map[string][]Version{}
	for k, versions := range m.keys {
		f.keys[k] = slices.Clip(versions)
	}
	f.events, f.points = slices.Clip(m.events), slices.Clip(m.points)
	return &f
}

func (m *model) add(key string, v Version) {
	m.keys[key] = append(m.keys[key], v)
	m.events = append(m.events, modelEvent{v, key})
}

func (m *model) newest(key string) *Version {
	if versions := m.keys[key]; len(versions) > 0 && !versions[len(versions)-1].Tombstone {
		return &versions[len(versions)-1]
	}
	return nil
}

func (m *model) put(key string, value []byte) kv.Result {
	m.revision++
	v := Version{Mod: m.revision, Create: m.revision, Version: 1, Value: value}
	if old := m.newest(key); old != nil {
		v.Create, v.Version = old.Create, old.Version+1
	}
	m.add(key, v)
	return kv.Result{Revision: m.revision}
}

func (m *model) delete(key, end string) kv.Result {
	var found []string
	for _, k := range m.sorted() {
		if in(k, key, end) && m.newest(k) != nil {
			found = append(found, k)
		}
	}
	if len(found) == 0 {
		return kv.Result{Revision: m.revision}
	}
	m.revision++
	for i, k := range found {
		m.add(k, Version{Mod: m.revision, Sub: int64(i), Tombstone: true})
	}
	return kv.Result{Revision: m.revision, Deleted: int64(len(found))}
}

func in(k, key, end string) bool {
	switch end {
	case "":
		return k == key
	case "\x00":
		return k >= key
	}
	return k >= key && k < end
}

func (m *model) sorted() []string {
	keys := make([]string, 0, len(m.keys))
	for k := range m.keys {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// begin and end stand around the commands of one batch.
func (m *model) begin(wall int64) (revision, history int64) {
	m.applied++
	m.wall = max(m.wall, wall)
	return m.revision, m.historyBytes()
}

func (m *model) end(commands int, revision, history int64) {
	if m.revision != revision {
		m.points = append(m.points, point{revision + 1, m.wall})
	}
	work := m.limits.CompactionWork + 32*int64(commands) + max(0, m.historyBytes()-history)/4
	for work > 0 && m.first < len(m.events) {
		e := m.events[m.first]
		over := e.Mod < m.revision && (m.historyBytes() > m.limits.HistoryBytes || m.revision-e.Mod >= m.limits.HistoryRevisions)
		if e.Mod >= m.compacted && !over {
			break
		}
		m.compacted = e.Mod + 1
		m.first++
		switch {
		case e.Tombstone:
			work -= 32
		case e.Version.Version > 1:
			work -= 16
		default:
			work--
		}
	}
}

func (m *model) position() (mod, sub int64) {
	if m.first == len(m.events) {
		return m.revision + 1, 0
	}
	return m.events[m.first].Mod, m.events[m.first].Sub
}

// kept is what Scan must give of a key.
func (m *model) kept(key string) []Version {
	mod, sub := m.position()
	versions := m.keys[key]
	from := 0
	for i, v := range versions {
		if v.Mod < mod || v.Mod == mod && v.Sub < sub {
			from = i
			if v.Tombstone {
				from = i + 1
			}
		}
	}
	return versions[from:]
}

func (m *model) historyBytes() (n int64) {
	for k := range m.keys {
		kept := m.kept(k)
		for i, v := range kept {
			if v.Tombstone || i < len(kept)-1 {
				n += int64(64 + len(k) + len(v.Value))
			}
		}
	}
	return n
}

func (m *model) live() (keys, size int64) {
	for k := range m.keys {
		if v := m.newest(k); v != nil {
			keys++
			size += int64(len(k) + len(v.Value))
		}
	}
	return keys, size
}

// at is a range at a revision, without limits.
func (m *model) at(key, end string, revision int64) (kvs []kv.KeyValue) {
	for _, k := range m.sorted() {
		if !in(k, key, end) {
			continue
		}
		var seen *Version
		for i, v := range m.keys[k] {
			if v.Mod <= revision {
				seen = &m.keys[k][i]
			}
		}
		if seen != nil && !seen.Tombstone {
			kvs = append(kvs, kv.KeyValue{
				Key: []byte(k), Value: seen.Value,
				CreateRevision: seen.Create, ModRevision: seen.Mod, Version: seen.Version, Lease: seen.Lease,
			})
		}
	}
	return kvs
}

// compare says how a View differs from the model, by everything that can be read.
func (m *model) compare(v *View) error {
	keys, size := m.live()
	got := []int64{v.Revision(), v.Compacted(), v.Keys(), v.LiveBytes(), v.HistoryBytes()}
	want := []int64{m.revision, m.compacted, keys, size, m.historyBytes()}
	if !slices.Equal(got, want) {
		return fmt.Errorf("revision, compacted, keys, bytes, history are %d, want %d", got, want)
	}
	if applied, _ := v.Applied(); applied != m.applied {
		return fmt.Errorf("applied is %d, want %d", applied, m.applied)
	}
	if err := m.compareScan(v); err != nil {
		return err
	}
	if err := m.compareEvents(v); err != nil {
		return err
	}
	for revision := max(m.compacted, 1); revision <= m.revision; revision++ {
		if err := m.compareRange(v, "\x00", "\x00", revision); err != nil {
			return err
		}
		if err := m.compareRange(v, "ab", "c", revision); err != nil {
			return err
		}
		if err := m.compareTime(v, revision); err != nil {
			return err
		}
	}
	return nil
}

func (m *model) compareScan(v *View) (err error) {
	var want []string
	for _, k := range m.sorted() {
		if len(m.kept(k)) > 0 {
			want = append(want, k)
		}
	}
	i := 0
	v.Scan(nil, func(key []byte, versions []Version) bool {
		if i == len(want) || string(key) != want[i] {
			err = fmt.Errorf("scan gives %q at %d of %q", key, i, want)
		} else if kept := m.kept(want[i]); !slices.EqualFunc(versions, kept, sameVersion) {
			err = fmt.Errorf("scan gives for %q\n%+v, want\n%+v", key, versions, kept)
		}
		i++
		return err == nil
	})
	if err == nil && i != len(want) {
		err = fmt.Errorf("scan gives %d keys, want %d", i, len(want))
	}
	return err
}

func sameVersion(a, b Version) bool {
	return a.Mod == b.Mod && a.Sub == b.Sub && a.Create == b.Create && a.Version == b.Version &&
		a.Lease == b.Lease && a.Tombstone == b.Tombstone && bytes.Equal(a.Value, b.Value)
}

func (m *model) compareEvents(v *View) (err error) {
	if m.compacted > 0 {
		if e, ok := v.Events(m.compacted-1, nil).(*kv.Error); !ok || e.Code != kv.Compacted {
			return fmt.Errorf("events before the compacted revision: %v", e)
		}
	}
	rest := m.events[m.first:]
	for len(rest) > 0 && rest[0].Mod < m.compacted {
		rest = rest[1:]
	}
	outcome := v.Events(m.compacted, func(e *kv.Event) bool {
		if len(rest) == 0 || !sameEvent(e, &rest[0]) {
			err = fmt.Errorf("event %+v, want %+v", e, rest)
			return false
		}
		rest = rest[1:]
		return true
	})
	if err == nil && (len(rest) > 0 || outcome != nil) {
		err = fmt.Errorf("%d events are missing, the first %+v: %v", len(rest), rest[0], outcome)
	}
	return err
}

func sameEvent(e *kv.Event, w *modelEvent) bool {
	return string(e.KV.Key) == w.key && e.Deleted == w.Tombstone && sameVersion(w.Version, Version{
		Mod: e.KV.ModRevision, Sub: e.Sub, Create: e.KV.CreateRevision, Version: e.KV.Version, Lease: e.KV.Lease,
		Tombstone: e.Deleted, Value: e.KV.Value,
	})
}

func (m *model) compareRange(v *View, key, end string, revision int64) error {
	want := m.at(key, end, revision)
	got, err := v.Range(kv.Range{Key: []byte(key), End: []byte(end), Revision: revision}, 0)
	if err != nil || got.Count != int64(len(want)) || got.More || got.Revision != m.revision ||
		!slices.EqualFunc(got.KVs, want, sameKeyValue) {
		return fmt.Errorf("range %q to %q at %d:\n%+v %v, want\n%+v", key, end, revision, got, err, want)
	}
	if err := compareLimits(v, kv.Range{Key: []byte(key), End: []byte(end), Revision: revision}, want); err != nil {
		return err
	}
	for _, pair := range want {
		if one, found, err := v.Get(pair.Key, revision); err != nil || !found || !sameKeyValue(one, pair) {
			return fmt.Errorf("get %q at %d: %+v %v %v, want %+v", pair.Key, revision, one, found, err, pair)
		}
	}
	return nil
}

// compareLimits asks for parts of a range, which is want.
func compareLimits(v *View, q kv.Range, want []kv.KeyValue) error {
	if q.Revision == v.Revision() {
		q.Revision = 0
	}
	counted := q
	counted.CountOnly = true
	if a, err := v.Range(counted, 0); err != nil || a.Count != int64(len(want)) || a.More || a.KVs != nil {
		return fmt.Errorf("count of %q to %q at %d: %+v %v, want %d", q.Key, q.End, q.Revision, a, err, len(want))
	}
	if len(want) == 0 {
		return nil
	}
	limited := q
	limited.Limit = q.Revision%3 + 1
	n := min(int(limited.Limit), len(want))
	a, err := v.Range(limited, 0)
	if err != nil || a.Count != int64(len(want)) || a.More != (n < len(want)) || !slices.EqualFunc(a.KVs, want[:n], sameKeyValue) {
		return fmt.Errorf("%d of %q to %q at %d: %+v %v, want %+v", n, q.Key, q.End, q.Revision, a, err, want)
	}
	paged := q
	paged.KeysOnly = true
	if a, err = v.Range(paged, int64(len(want[0].Key))); err != nil || a.Count != int64(len(want)) || a.More != (len(want) > 1) || len(a.KVs) != 1 || a.KVs[0].Value != nil {
		return fmt.Errorf("page of %q to %q at %d: %+v %v, want one of %+v", q.Key, q.End, q.Revision, a, err, want)
	}
	return nil
}

func sameKeyValue(a, b kv.KeyValue) bool {
	return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) && a.Value != nil &&
		a.CreateRevision == b.CreateRevision && a.ModRevision == b.ModRevision && a.Version == b.Version && a.Lease == b.Lease
}

// compareTime knows that a time is that of the first batch of its millisecond.
func (m *model) compareTime(v *View, revision int64) error {
	want := int64(-1)
	for _, p := range m.points {
		if p.revision <= revision && (want < 0 || p.wall/1e6 > want/1e6) {
			want = p.wall
		}
	}
	got, ok := v.TimeOf(revision)
	if ok != (want >= 0) || ok && got != want {
		return fmt.Errorf("time of revision %d: %d %v, want %d", revision, got, ok, want)
	}
	if !ok {
		return nil
	}
	if back, ok := v.RevisionAt(got); !ok || back < revision {
		return fmt.Errorf("revision %d was written at %d, at which revision %d was the newest", revision, got, back)
	}
	return nil
}

// tooLong is a key over the limit.
var tooLong = bytes.Repeat([]byte{'k'}, limits.KeyBytes+1)
