package index

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// model is the state in its simplest form: every version of every key is kept forever, and compaction only sets a number.
// It does not know the layout.
type model struct {
	applied   uint64
	revision  int64
	sub       int64 // changes of the revision that has begun
	compacted int64
	gaps      []gap // in ascending order
	wall      int64
	weight    int64                // of all that was ever superseded
	keys      map[string][]Version // oldest first
	names     []string             // of keys, sorted; adding one makes a new list
	leases    map[int64]kv.Lease
	alarms    map[kv.Alarm]bool
	checked   modelCheck
	events    []modelEvent
	points    []point // of every batch that made a revision
	clients   modelSessions
}

type modelEvent struct {
	Version
	key string
}

func newModel() *model {
	return &model{revision: 1, keys: map[string][]Version{}, leases: map[int64]kv.Lease{}, alarms: map[kv.Alarm]bool{}, clients: modelSessions{rules: testRules, clock: 1, clocks: map[uint64]memberClock{}}}
}

// frozen is a copy of the model at one moment. The model only grows, and a few numbers are enough.
func (m *model) frozen() *model {
	f := *m
	f.keys = map[string][]Version{}
	for k, versions := range m.keys {
		f.keys[k] = slices.Clip(versions)
	}
	f.leases, f.alarms, f.checked.said = maps.Clone(m.leases), maps.Clone(m.alarms), maps.Clone(m.checked.said)
	f.clients = m.clients.frozen()
	f.events, f.points = slices.Clip(m.events), slices.Clip(m.points)
	return &f
}

func (m *model) add(key string, v Version) {
	v.Mod, v.Sub = m.revision+1, m.sub
	m.sub++
	versions, known := m.keys[key]
	if !known {
		at, _ := slices.BinarySearch(m.names, key)
		m.names = slices.Insert(slices.Clip(m.names), at, key)
	}
	m.keys[key] = append(versions, v)
	m.events = append(m.events, modelEvent{v, key})
}

// gapOf returns the gap that a revision is in, unless it is compacted.
func (m *model) gapOf(revision int64) *gap {
	for _, one := range m.gaps {
		if one.after < revision && revision < one.next && revision > m.compacted {
			return &one
		}
	}
	return nil
}

// lost is the error of a revision in a gap.
func (one *gap) lost(revision int64) *kv.Error {
	return kv.Errorf(kv.Compacted, "revision %d is of a history that ended: the cluster was restored or recovered from revision %d, and went on at %d",
		revision, one.after, one.next)
}

// done ends the revision, if anything has changed.
func (m *model) done() kv.Result {
	if m.sub > 0 {
		m.revision, m.sub = m.revision+1, 0
	}
	return kv.Result{Revision: m.revision}
}

func (m *model) newest(key string) *Version {
	if versions := m.keys[key]; len(versions) > 0 && !versions[len(versions)-1].Tombstone {
		return &versions[len(versions)-1]
	}
	return nil
}

func (m *model) supersede(key string, v *Version) { m.weight += int64(64 + len(key) + len(v.Value)) }

func (m *model) change(p *kv.Put) {
	v := Version{Create: m.revision + 1, Version: 1, Value: p.Value, Lease: p.Lease}
	if old := m.newest(string(p.Key)); old != nil {
		v.Create, v.Version = old.Create, old.Version+1
		if p.IgnoreValue {
			v.Value = old.Value
		}
		if p.IgnoreLease {
			v.Lease = old.Lease
		}
		m.supersede(string(p.Key), old)
	}
	m.add(string(p.Key), v)
}

// full is the refusal of everything that grows, while there is an alarm that says so.
func (m *model) full() (r kv.Result, full bool) {
	for a := range m.alarms {
		full = full || a.Name == kv.NoSpaceAlarm
	}
	return kv.Result{Revision: m.revision, Err: errNoSpace}, full
}

// alarm raises or disarms alarms of members 1 to 3.
func (m *model) alarm(c kv.AlarmChange) kv.Result {
	r := kv.Result{Revision: m.revision}
	switch {
	case c.Raise && c.Member > 3:
		r.Err = kv.Errorf(kv.MemberNotFound, "the alarm names member %016x, which does not exist", c.Member)
	case c.Raise:
		m.alarms[kv.Alarm{Name: c.Name, Member: c.Member}] = true
	default:
		for a := range m.alarms {
			if (c.Member == 0 || c.Member == a.Member) && (c.Name == "" || c.Name == a.Name) {
				delete(m.alarms, a)
			}
		}
	}
	return r
}

// modelCheck is the newest comparison of the members' states.
type modelCheck struct {
	entry uint64
	said  map[uint64]uint64 // digests by member
}

func (m *model) check() kv.Result {
	m.checked = modelCheck{entry: m.applied, said: map[uint64]uint64{}}
	return kv.Result{Revision: m.revision}
}

// digest convicts who differs from two of the members 1 to 3, and acquits the others.
func (m *model) digest(member, entry, digest uint64) kv.Result {
	r := kv.Result{Revision: m.revision}
	if _, again := m.checked.said[member]; entry != m.checked.entry || again {
		return r
	}
	if m.checked.said == nil {
		m.checked.said = map[uint64]uint64{}
	}
	m.checked.said[member] = digest
	alike := map[uint64]int{}
	for of, said := range m.checked.said {
		if of <= 3 {
			alike[said]++
		}
	}
	for of, said := range m.checked.said {
		corrupt := kv.Alarm{Member: of, Name: kv.CorruptAlarm}
		switch before := m.alarms[corrupt]; {
		case alike[said] >= 2 && alike[1-said] < 2:
			delete(m.alarms, corrupt)
			if before {
				made["a member acquitted"]++
			}
		case alike[1-said] >= 2 && alike[said] < 2 && of <= 3:
			m.alarms[corrupt] = true
			if !before {
				made["a member convicted"]++
			}
		}
	}
	return r
}

func (m *model) compareAlarms(v *View) error {
	for _, a := range v.Alarms() {
		if !m.alarms[a] {
			return fmt.Errorf("the alarm %v is raised, want %v", a, m.alarms)
		}
	}
	if _, full := m.full(); len(v.Alarms()) != len(m.alarms) || v.NoSpace() != full {
		return fmt.Errorf("the alarms are %v, want %v", v.Alarms(), m.alarms)
	}
	return nil
}

func (m *model) put(p *kv.Put) kv.Result {
	if r, full := m.full(); full {
		return r
	}
	if err := m.checkPut(p); err != nil {
		return kv.Result{Revision: m.revision, Err: err}
	}
	m.change(p)
	return m.done()
}

func (m *model) checkPut(p *kv.Put) *kv.Error {
	if _, ok := m.leases[p.Lease]; p.Lease != 0 && !ok {
		return leaseNotFound(p.Lease)
	}
	if (p.IgnoreValue || p.IgnoreLease) && m.newest(string(p.Key)) == nil {
		return keyNotFound(p.Key)
	}
	return nil
}

func (m *model) grant(l kv.Lease) kv.Result {
	if r, full := m.full(); full {
		return r
	}
	r := kv.Result{Revision: m.revision}
	if _, had := m.leases[l.ID]; had {
		r.Err = kv.Errorf(kv.LeaseExists, "there is a lease %016x already", uint64(l.ID))
		return r
	}
	l.Granted = m.applied
	m.leases[l.ID] = l
	return r
}

func (m *model) revoke(id int64, term, granted uint64) kv.Result {
	if term > 1 { // the model's is 1
		return kv.Result{Revision: m.revision, Err: kv.Errorf(kv.Unavailable, "lease %016x expired in term %d, but this is term 1", uint64(id), term)}
	}
	if l, had := m.leases[id]; !had || term != 0 && l.Granted != granted {
		return kv.Result{Revision: m.revision, Err: leaseNotFound(id)}
	}
	delete(m.leases, id)
	deleted := int64(0)
	for _, k := range m.names {
		if old := m.newest(k); old != nil && old.Lease == id {
			deleted += m.remove(k, "")
		}
	}
	r := m.done()
	r.Deleted = deleted
	return r
}

func (m *model) checkpoint(left []kv.Lease) kv.Result {
	for _, one := range left {
		if l, had := m.leases[one.ID]; had && l.Granted == one.Granted && one.Remaining > 0 && one.Remaining <= l.TTL {
			l.Remaining = one.Remaining
			m.leases[one.ID] = l
		}
	}
	return kv.Result{Revision: m.revision}
}

// compareLeases compares the leases, and the keys of each.
func (m *model) compareLeases(v *View) (err error) {
	got := map[int64]kv.Lease{}
	v.Leases(math.MinInt64, func(l kv.Lease) bool {
		got[l.ID] = l
		return true
	})
	if !maps.Equal(got, m.leases) || v.LeaseCount() != len(got) {
		return fmt.Errorf("the leases are %v, want %v", got, m.leases)
	}
	for id := range m.leases {
		var keys, want []string
		v.LeaseKeys(id, nil, func(key []byte) bool {
			keys = append(keys, string(key))
			return true
		})
		for _, k := range m.names {
			if at := m.newest(k); at != nil && at.Lease == id {
				want = append(want, k)
			}
		}
		if !slices.Equal(keys, want) {
			return fmt.Errorf("lease %d has %q, want %q", id, keys, want)
		}
	}
	return nil
}

func (m *model) remove(key, end string) (deleted int64) {
	for _, k := range m.names {
		if old := m.newest(k); in(k, key, end) && old != nil {
			m.supersede(k, old)
			m.supersede(k, &Version{})
			m.add(k, Version{Tombstone: true})
			deleted++
		}
	}
	return deleted
}

func (m *model) delete(key, end string) kv.Result {
	deleted := m.remove(key, end)
	r := m.done()
	r.Deleted = deleted
	return r
}

func (m *model) compact(revision int64) kv.Result {
	r := kv.Result{Revision: m.revision}
	switch {
	case revision <= m.compacted:
		r.Err = kv.Errorf(kv.Compacted, "revision %d is compacted already, the oldest that can be read is %d", revision, m.compacted)
	case m.gapOf(revision) != nil:
		r.Err = m.gapOf(revision).lost(revision)
	case revision > m.revision:
		r.Err = kv.Errorf(kv.FutureRevision, "revision %d is not there yet, the newest is %d", revision, m.revision)
	default:
		m.compacted = revision
	}
	return r
}

// holds is a comparison, written down once more.
func (m *model) holds(c *kv.Compare) bool {
	found := false
	for _, k := range m.names {
		v := m.newest(k)
		if v == nil || !in(k, string(c.Key), string(c.End)) {
			continue
		}
		found = true
		if !m.holdsFor(c, v) {
			return false
		}
	}
	return found || c.Target != kv.CompareValue && m.holdsFor(c, &Version{})
}

func (m *model) holdsFor(c *kv.Compare, v *Version) bool {
	number := map[kv.CompareTarget]int64{kv.CompareVersion: v.Version, kv.CompareCreate: v.Create, kv.CompareMod: v.Mod, kv.CompareLease: v.Lease}[c.Target]
	less, equal := number < c.Number, number == c.Number
	if c.Target == kv.CompareValue {
		less, equal = string(v.Value) < string(c.Value), string(v.Value) == string(c.Value)
	}
	return map[kv.CompareResult]bool{kv.Equal: equal, kv.Less: less, kv.Greater: !less && !equal, kv.NotEqual: !equal}[c.Result]
}

// txn applies a transaction to a copy first; a transaction that fails half-way then changes nothing. It also returns the
// answer: each read is made at its turn.
func (m *model) txn(t *kv.Txn) (kv.Result, *kv.TxnResult) {
	if r, full := m.full(); full && puts(t) {
		return r, nil
	}
	outcome := &kv.TxnOutcome{}
	m.path(t, outcome)
	try := m.frozen()
	try.events = nil // unused
	answer, err := try.operate(t, &kv.TxnOutcome{Path: outcome.Path}, m)
	if err != nil {
		return kv.Result{Revision: m.revision, Err: err}, nil
	}
	_, _ = m.operate(t, &kv.TxnOutcome{Path: outcome.Path}, nil)
	outcome.Deleted = deletedOf(answer)
	r := m.done()
	r.Txn = outcome
	answer.Revision = r.Revision
	return r, answer
}

// puts says whether there is a put anywhere in a transaction.
func puts(t *kv.Txn) (found bool) {
	for _, o := range slices.Concat(t.Success, t.Failure) {
		found = found || o.Put != nil || o.Txn != nil && puts(o.Txn)
	}
	return found
}

func deletedOf(a *kv.TxnResult) (all []int64) {
	for _, one := range a.Answers {
		switch {
		case one.Delete != nil:
			all = append(all, one.Delete.Deleted)
		case one.Txn != nil:
			all = append(all, deletedOf(one.Txn)...)
		}
	}
	return all
}

func (m *model) path(t *kv.Txn, to *kv.TxnOutcome) {
	holds := true
	for i := range t.Compares {
		holds = holds && m.holds(&t.Compares[i])
	}
	to.Path = append(to.Path, holds)
	for _, o := range branch(t, holds) {
		if o.Txn != nil {
			m.path(o.Txn, to)
		}
	}
}

// operate makes the operations of a transaction; before is the state without any of them, nil where all is checked.
func (m *model) operate(t *kv.Txn, left *kv.TxnOutcome, before *model) (*kv.TxnResult, *kv.Error) {
	a := &kv.TxnResult{Succeeded: left.Path[0]}
	ops := branch(t, left.Path[0])
	left.Path = left.Path[1:]
	for _, o := range ops {
		var one kv.Answer
		switch {
		case o.Put != nil:
			old := m.newest(string(o.Put.Key))
			if before != nil {
				for _, at := range []*model{m, before} {
					if err := at.checkPut(o.Put); err != nil {
						return nil, err
					}
				}
			}
			one.Put = &kv.PutResult{}
			if o.Put.PrevKV && old != nil {
				pair := pairOf(string(o.Put.Key), old)
				one.Put.Prev = &pair
			}
			m.change(o.Put)
		case o.Delete != nil:
			one.Delete = &kv.DeleteResult{}
			if o.Delete.PrevKV {
				one.Delete.Prev = m.at(string(o.Delete.Key), string(o.Delete.End), math.MaxInt64)
			}
			one.Delete.Deleted = m.remove(string(o.Delete.Key), string(o.Delete.End))
		case o.Range != nil:
			revision := int64(math.MaxInt64)
			switch r := o.Range.Revision; {
			case before == nil && r != 0:
				revision = r
			case before == nil:
			case r > before.revision:
				return nil, kv.Errorf(kv.FutureRevision, "revision %d is not there yet, the newest is %d", r, before.revision)
			case r != 0 && r < before.compacted:
				return nil, kv.Errorf(kv.Compacted, "revision %d was compacted, the oldest that can be read is %d", r, before.compacted)
			case r != 0 && before.gapOf(r) != nil:
				return nil, before.gapOf(r).lost(r)
			case r != 0:
				revision = r
			}
			all := m.at(string(o.Range.Key), string(o.Range.End), revision)
			one.Range = &kv.RangeResult{Count: int64(len(all)), KVs: all}
			if n := int(o.Range.Limit); n > 0 && n < len(all) {
				one.Range.KVs, one.Range.More = all[:n], true
			}
		default:
			var err *kv.Error
			if one.Txn, err = m.operate(o.Txn, left, before); err != nil {
				return nil, err
			}
		}
		a.Answers = append(a.Answers, one)
	}
	return a, nil
}

func pairOf(key string, v *Version) kv.KeyValue {
	return kv.KeyValue{
		Key: []byte(key), Value: v.Value, CreateRevision: v.Create, ModRevision: v.Mod, Version: v.Version, Lease: v.Lease,
	}
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

// begin and end stand around the commands of one batch.
func (m *model) begin(member uint64, wall int64) point {
	m.applied++
	m.clients.move(member, wall)
	m.wall = max(m.wall, wall)
	return point{revision: m.revision + 1, wall: m.wall, weight: m.weight}
}

func (m *model) end(begun point) {
	if m.revision >= begun.revision {
		m.points = append(m.points, begun)
	}
}

// kept is what Scan must give of a key, when all changes before a position were dropped.
func (m *model) kept(key string, mod, sub int64) []Version {
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

// historyBytes is the weight since the compacted revision: of the newest point at or before it that is the first one of
// its millisecond.
func (m *model) historyBytes() int64 {
	before, wall := int64(0), int64(-1)
	for _, p := range m.points {
		if p.revision <= m.compacted && (wall < 0 || p.wall/1e6 > wall/1e6) {
			before, wall = p.weight, p.wall
		}
	}
	return m.weight - before
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
	for _, k := range m.names {
		if !in(k, key, end) {
			continue
		}
		versions := m.keys[k]
		newer := sort.Search(len(versions), func(i int) bool { return versions[i].Mod > revision })
		if newer > 0 && !versions[newer-1].Tombstone {
			kvs = append(kvs, pairOf(k, &versions[newer-1]))
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
	if err := m.compareLeases(v); err != nil {
		return err
	}
	if err := m.clients.compare(v); err != nil {
		return err
	}
	if err := m.compareAlarms(v); err != nil {
		return err
	}
	if err := m.compareUsage(v); err != nil {
		return err
	}
	oldest := max(m.compacted, 1)
	from := v.gaps.slot(oldest)
	for slot := from; slot <= m.revision; slot += 1 + (m.revision-from)/16 {
		revision := max(v.gaps.revision(slot), oldest)
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
	return m.compareGaps(v)
}

// compareGaps checks that neither a read nor a watch begins in a gap, and that both begin behind it.
func (m *model) compareGaps(v *View) error {
	for _, one := range m.gaps {
		if one.next < m.compacted {
			continue
		}
		if err := m.compareRange(v, "\x00", "\x00", one.next); err != nil {
			return err
		}
		for _, revision := range []int64{one.after + 1, one.next - 1, one.next} {
			oldest, err := v.Watchable(revision)
			_, read := v.Range(kv.Range{Key: []byte("a"), Revision: revision}, 0)
			begins := revision == one.next
			if begins != (err == nil) || begins != (read == nil) || oldest != one.next && oldest != m.compacted || !begins && err.Code != kv.Compacted {
				return fmt.Errorf("revision %d of the gap %+v: %v, %v, from %d on", revision, one, err, read, oldest)
			}
		}
	}
	return nil
}

func (m *model) compareScan(v *View) (err error) {
	var want []string
	mod, sub := v.history.first(), v.history.sub // how far the member has come is its own business
	for _, k := range m.names {
		if len(m.kept(k, mod, sub)) > 0 {
			want = append(want, k)
		}
	}
	i, all := 0, 0
	v.Scan(nil, func(key []byte, versions []Version) bool {
		all += len(versions)
		for i := range versions {
			if err = versions[i].Read(); err != nil {
				return false
			}
		}
		if i == len(want) || string(key) != want[i] {
			err = fmt.Errorf("scan gives %q at %d of %q", key, i, want)
		} else if kept := m.kept(want[i], mod, sub); !slices.EqualFunc(versions, kept, sameVersion) {
			err = fmt.Errorf("scan gives for %q\n%+v, want\n%+v", key, versions, kept)
		}
		i++
		return err == nil
	})
	if err == nil && i != len(want) {
		err = fmt.Errorf("scan gives %d keys, want %d", i, len(want))
	}
	if err == nil {
		err = m.compareRecords(v, all)
	}
	return err
}

// compareRecords checks that the records are the versions that a scan has found, in the order in which they were made.
func (m *model) compareRecords(v *View, all int) (err error) {
	mod, sub := v.history.first(), v.history.sub
	last, n := position{}, 0
	v.Records(func(key []byte, one *Version) bool {
		n++
		if err = one.Read(); err != nil {
			return false
		}
		at := position{one.Mod, uint32(one.Sub)}
		if n > 1 && (at.mod < last.mod || at.mod == last.mod && at.sub <= last.sub) {
			err = fmt.Errorf("records: %v comes behind %v", at, last)
			return false
		}
		last = at
		if !slices.ContainsFunc(m.kept(string(key), mod, sub), func(other Version) bool { return sameVersion(other, *one) }) {
			err = fmt.Errorf("records: of %q there is %+v, which is not kept", key, *one)
		}
		return err == nil
	})
	if err == nil && n != all {
		err = fmt.Errorf("records gives %d versions, a scan %d", n, all)
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
	rest := m.events
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
	if back, err := v.RevisionAt(got, got); back < revision && (err == nil || err.Code != kv.BadRequest) {
		return fmt.Errorf("revision %d was written at %d, at which revision %d was the newest", revision, got, back)
	}
	return nil
}

// tooLong is a key over the limit.
var tooLong = bytes.Repeat([]byte{'k'}, limits.KeyBytes+1)
