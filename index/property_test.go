package index

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// machine drives a state and the model beside each other.
type machine struct {
	state   *State
	model   *model
	wall    int64
	held    []heldView
	seen    map[uint64]uint64 // digests by applied index
	letters int
	limits  limits.Index
	sent    map[[2]uint64]sentWrite // by session and sequence
	stored  int64                   // the last revision that is in files
	unread  bool                    // no file gives a value
}

// heldView is a View and its expected content, which must never change.
type heldView struct {
	view   *View
	model  *model
	digest uint64
}

func newMachine(t *rapid.T) *machine {
	l := limits.Index{
		CompactionWork:  rapid.SampledFrom([]int64{1, 40, 200, defaults.CompactionWork}).Draw(t, "step"),
		SlabBytes:       rapid.SampledFrom([]int{1 << 10, 4 << 10, 16 << 10}).Draw(t, "slab"),
		EvacuationBytes: rapid.SampledFrom([]int64{1, 200, defaults.EvacuationBytes}).Draw(t, "evacuation step"),
		CountedRows:     rapid.SampledFrom([]int{0, 3, defaults.CountedRows}).Draw(t, "walk"),
		Sessions:        testRules,
		ColdBytes:       rapid.SampledFrom([]int{1, 20, 64}).Draw(t, "cold"),
		MemoryBytes:     rapid.SampledFrom([]int64{0, 1, 1, 20_000}).Draw(t, "memory"),
	}
	l.Reached = func(bound string) { made[bound]++ }
	state := NewState(l)
	state.Found(Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3}))
	m := &machine{
		state: state, model: newModel(), seen: map[uint64]uint64{}, limits: l, sent: map[[2]uint64]sentWrite{},
		letters: rapid.IntRange(1, 4).Draw(t, "letters"),
	}
	return m
}

func (m *machine) key(t *rapid.T) string {
	k := rapid.StringOfN(rapid.RuneFrom([]rune("abcd")[:m.letters]), 1, 3, -1).Draw(t, "key")
	if rapid.IntRange(0, 19).Draw(t, "long") == 0 {
		k += string(bytes.Repeat([]byte{k[0]}, rapid.IntRange(0, 300).Draw(t, "length")))
	}
	return k
}

func (m *machine) value(t *rapid.T) []byte {
	n := rapid.IntRange(0, 40).Draw(t, "bytes")
	if rapid.IntRange(0, 9).Draw(t, "large") == 0 {
		n = rapid.IntRange(0, 3000).Draw(t, "bytes")
	}
	return bytes.Repeat([]byte{byte('A' + m.model.revision%26)}, n)
}

// granted is the entry that granted a lease, or another one.
func (m *machine) granted(t *rapid.T, lease int64) uint64 {
	return m.model.leases[lease].Granted + uint64(rapid.IntRange(0, 4).Draw(t, "granted")/4)
}

// made counts the commands of all machines and their outcomes: a kind that never occurs is not tested.
var made = map[string]int{}

// drawn is a command, with the model's result.
type drawn struct {
	command []byte
	result  kv.Result
	reader  func(r *kv.Result) *AnswerReader // nil: there is no answer beside the result
	answer  *kv.TxnResult

	kind  uint64
	once  bool // it has a session
	vague bool // of an error only the code is compared
	txn   *kv.Txn
	path  []bool // of a transaction that was sent again
}

func (m *machine) batch(t *rapid.T) {
	if rapid.IntRange(0, 19).Draw(t, "stored") == 0 {
		m.store(t)
	}
	if rapid.Bool().Draw(t, "later") {
		m.wall += rapid.Int64Range(-3e6, 9e6).Draw(t, "by")
	}
	wall := max(m.wall, 1)
	proposer := rapid.Uint64Range(1, 3).Draw(t, "proposer")
	begun := m.model.begin(proposer, wall+int64(proposer)*1e6)
	var all []drawn
	var commands [][]byte
	var want []kv.Result
	for range rapid.IntRange(0, 30).Draw(t, "commands") {
		one := m.command(t)
		all = append(all, one)
		commands, want = append(commands, one.command), append(want, one.result)
		made["commands"]++
	}
	m.model.end(begun)
	m.model.clients.expire(len(commands))
	entry := AppendEnvelope(nil, Envelope{Level: 1, Member: proposer, Wall: wall + int64(proposer)*1e6}, commands)
	m.unread = rapid.IntRange(0, 3).Draw(t, "read") > 0
	got, err := m.state.Apply(m.model.applied, 1, entry, nil)
	if m.unread = false; errors.Is(err, ErrUnread) {
		made["unread"]++
		got, err = m.state.Apply(m.model.applied, 1, entry, nil)
	}
	for i := range min(len(got), len(all)) {
		if e := got[i].Err; all[i].vague && e != nil {
			got[i].Err = &kv.Error{Code: e.Code, Message: ""}
			want[i].Err = &kv.Error{Code: want[i].Err.Code}
		}
	}
	if err != nil || describe(got) != describe(want) {
		t.Fatalf("results %v %v, want %v", describe(got), err, describe(want))
	}
	v := m.state.View()
	for i := range all {
		m.answered(t, v, &all[i], &got[i])
	}
}

// burst applies many batches, and compares their results and answers, and the state after the last one. With bursts, a
// test makes about a million commands.
func (m *machine) burst(t *rapid.T) {
	most := 2200
	if testing.Short() {
		most = 30
	}
	for range rapid.IntRange(1, most).Draw(t, "batches") {
		m.batch(t)
	}
}

func describe(results []kv.Result) string {
	var out strings.Builder
	for _, r := range results {
		fmt.Fprintf(&out, "%d %d", r.Revision, r.Deleted)
		// A nil *kv.Error given to %v panics in Error, and fmt recovers: a third of this test's time.
		if r.Err != nil {
			fmt.Fprintf(&out, " %v", r.Err)
		}
		if r.Txn != nil {
			fmt.Fprintf(&out, " %v", *r.Txn)
		}
		if r.Resent {
			fmt.Fprintf(&out, " resent %v", r.Changed)
		}
		out.WriteString("; ")
	}
	return out.String()
}

// answered reads a write's answer in steps, and compares it with the model's.
func (m *machine) answered(t *rapid.T, v *View, d *drawn, r *kv.Result) {
	if d.reader == nil || r.Err != nil {
		return
	}
	if r.Resent {
		err := v.RecoverAnswer(d.txn, r)
		if gone := m.model.gone(d); gone != (err != nil) || gone && err.(*kv.Error).Code != kv.AnswerGone {
			t.Fatalf("what was read is gone: %v, want %v", err, gone)
		} else if gone {
			made["answer gone"]++
			return
		}
		made["answer read again"]++
	}
	reader := d.reader(r)
	rows := rapid.IntRange(1, 10).Draw(t, "rows")
	for {
		answer, done, err := reader.Step(v, rows)
		if err != nil {
			t.Fatalf("answer: %v", err)
		}
		if !done {
			continue
		}
		if got, want := answerText(answer), answerText(d.answer); got != want {
			t.Fatalf("answer\n%s, want\n%s", got, want)
		}
		return
	}
}

func answerText(a *kv.TxnResult) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%v(", a.Succeeded)
	pairs := func(all []kv.KeyValue) {
		for i := range all {
			fmt.Fprintf(&out, "%.20q ", line(&all[i]))
		}
	}
	for _, one := range a.Answers {
		switch {
		case one.Put != nil:
			out.WriteString("put ")
			if one.Put.Prev != nil {
				pairs([]kv.KeyValue{*one.Put.Prev})
			}
		case one.Delete != nil:
			fmt.Fprintf(&out, "delete %d ", one.Delete.Deleted)
			pairs(one.Delete.Prev)
		case one.Range != nil:
			fmt.Fprintf(&out, "range %d %v ", one.Range.Count, one.Range.More)
			pairs(one.Range.KVs)
		case one.Txn != nil:
			out.WriteString(answerText(one.Txn))
		}
	}
	return out.String() + ")"
}

func (m *machine) command(t *rapid.T) (d drawn) {
	kind := rapid.SampledFrom([]string{"put", "put", "put", "put", "del", "range", "all", "txn", "txn", "compact", "grant", "revoke", "checkpoint", "alarm", "check", "digest", "digest", "bad"}).Draw(t, "command")
	write := m.write(t, kind)
	if !slices.Contains([]string{"checkpoint", "alarm", "check", "digest", "bad"}, kind) && rapid.IntRange(0, 2).Draw(t, "in a session") == 0 {
		return m.once(t, write)
	}
	d = write.make(&Head{})
	write.result(&d)
	return d
}

// write draws a write, which may be made later, or never, and be sent more than once.
func (m *machine) write(t *rapid.T, kind string) (w sentWrite) {
	w = m.writeOf(t, kind)
	made[kind]++
	result := w.result
	w.result = func(d *drawn) {
		result(d)
		if d.result.Err != nil {
			made[fmt.Sprintf("%s: %v", kind, d.result.Err.Code)]++
		}
	}
	return w
}

func (m *machine) writeOf(t *rapid.T, kind string) (w sentWrite) {
	w.kind = kind
	alone := func(answer kv.Answer) *kv.TxnResult {
		return &kv.TxnResult{Succeeded: true, Answers: []kv.Answer{answer}}
	}
	switch kind {
	case "put":
		p := m.put(t)
		w.make = func(h *Head) drawn {
			return drawn{kind: kindPut, command: h.AppendPut(nil, p).Bytes, reader: func(r *kv.Result) *AnswerReader { return NewPutReader(p, r, 1<<30) }}
		}
		w.result = func(d *drawn) {
			d.answer = alone(kv.Answer{Put: &kv.PutResult{}})
			if old := m.model.newest(string(p.Key)); p.PrevKV && old != nil {
				pair := pairOf(string(p.Key), old)
				d.answer.Answers[0].Put.Prev = &pair
			}
			d.result = m.model.put(p)
		}
	case "del", "range", "all":
		q := m.delete(t, kind)
		w.make = func(h *Head) drawn {
			return drawn{kind: kindDelete, command: h.AppendDelete(nil, q).Bytes, reader: func(r *kv.Result) *AnswerReader { return NewDeleteReader(q, r, 1<<30) }}
		}
		w.result = func(d *drawn) {
			d.answer = alone(kv.Answer{Delete: &kv.DeleteResult{}})
			if q.PrevKV {
				d.answer.Answers[0].Delete.Prev = m.model.at(string(q.Key), string(q.End), math.MaxInt64)
			}
			d.result = m.model.delete(string(q.Key), string(q.End))
			d.answer.Answers[0].Delete.Deleted = d.result.Deleted
		}
	case "txn":
		q := m.txn(t, 0)
		w.make = func(h *Head) drawn {
			return drawn{kind: kindTxn, txn: q, command: h.AppendTxn(nil, q).Bytes, reader: func(r *kv.Result) *AnswerReader { return NewAnswerReader(q, r, 1<<30) }}
		}
		w.result = func(d *drawn) { d.result, d.answer = m.model.txn(q) }
	case "grant":
		l := kv.Lease{ID: m.lease(t), TTL: rapid.Int64Range(1, 100).Draw(t, "ttl")}
		w.make = func(h *Head) drawn { return drawn{kind: kindGrant, command: h.AppendGrant(nil, l).Bytes} }
		w.result = func(d *drawn) { d.result = m.model.grant(l) }
	case "revoke":
		id, term := m.lease(t), uint64(rapid.IntRange(0, 2).Draw(t, "term"))
		granted := m.granted(t, id)
		w.make = func(h *Head) drawn {
			if h.Once.Session != 0 {
				return drawn{kind: kindRevoke, once: true, command: h.AppendRevoke(nil, id).Bytes}
			}
			return drawn{kind: kindRevoke, command: AppendRevoke(nil, id, term, granted).Bytes}
		}
		w.result = func(d *drawn) {
			if d.once {
				d.result = m.model.revoke(id, 0, 0)
			} else {
				d.result = m.model.revoke(id, term, granted)
			}
		}
	case "checkpoint":
		left := []kv.Lease{{ID: m.lease(t), Remaining: rapid.Int64Range(0, 101).Draw(t, "left")}, {ID: m.lease(t), Remaining: 1}}
		for i := range left {
			left[i].Granted = m.granted(t, left[i].ID)
		}
		w.make = func(*Head) drawn { return drawn{kind: kindCheckpoint, command: AppendCheckpoint(nil, left, 1).Bytes} }
		w.result = func(d *drawn) { d.result = m.model.checkpoint(left) }
	case "alarm":
		c := kv.AlarmChange{Raise: rapid.IntRange(0, 3).Draw(t, "raise") == 0} // an alarm is rarely raised
		c.Name = rapid.SampledFrom([]kv.AlarmName{"", kv.NoSpaceAlarm, kv.CorruptAlarm}).Draw(t, "name")
		if c.Member = uint64(rapid.IntRange(0, 3).Draw(t, "member")); c.Raise {
			c.Member, c.Name = c.Member+1, cmp.Or(c.Name, kv.NoSpaceAlarm)
		} else if rapid.Bool().Draw(t, "all") {
			c = kv.AlarmChange{}
		}
		w.make = func(*Head) drawn { return drawn{kind: kindAlarm, command: new(Head).AppendAlarm(nil, c).Bytes} }
		w.result = func(d *drawn) { d.result = m.model.alarm(c) }
	case "check":
		w.make = func(*Head) drawn { return drawn{kind: kindCheck, command: AppendCheck(nil).Bytes} }
		w.result = func(d *drawn) { d.result = m.model.check() }
	case "digest":
		member, digest := uint64(rapid.IntRange(1, 4).Draw(t, "member")), uint64(rapid.IntRange(0, 4).Draw(t, "digest")/4)
		entry := m.model.checked.entry - uint64(rapid.IntRange(0, 6).Draw(t, "older")/6)
		w.make = func(*Head) drawn {
			return drawn{kind: kindDigest, command: AppendDigest(nil, member, entry, digest).Bytes}
		}
		w.result = func(d *drawn) { d.result = m.model.digest(member, entry, digest) }
	case "bad":
		one := bad[rapid.IntRange(0, len(bad)-1).Draw(t, "what")]
		w.make = func(*Head) drawn { return drawn{command: one.command, vague: true} }
		w.result = func(d *drawn) { d.result = kv.Result{Revision: m.model.revision, Err: &kv.Error{Code: one.code}} }
	case "compact":
		revision := m.revision(t)
		w.make = func(h *Head) drawn { return drawn{kind: kindCompact, command: h.AppendCompact(nil, revision).Bytes} }
		w.result = func(d *drawn) { d.result = m.model.compact(revision) }
	}
	return w
}

// bad are commands that are refused whatever the state is.
var bad = []struct {
	command []byte
	code    kv.Code
}{
	{put("", "v"), kv.EmptyKey},
	{del("", "x"), kv.EmptyKey},
	{put(string(tooLong), ""), kv.KeyTooLarge},
	{new(Head).AppendPut(nil, &kv.Put{Key: []byte("a"), Value: []byte("v"), IgnoreValue: true}).Bytes, kv.ValueProvided},
	{new(Head).AppendPut(nil, &kv.Put{Key: []byte("a"), Lease: 1, IgnoreLease: true}).Bytes, kv.LeaseProvided},
	{new(Head).AppendGrant(nil, kv.Lease{ID: 1, TTL: limits.LeaseSeconds + 1}).Bytes, kv.LeaseTooLong},
	{AppendFeatureLevel(nil, 0).Bytes, kv.FeatureLevel},
	{new(Head).AppendAlarm(nil, kv.AlarmChange{Raise: true, Member: 1, Name: "OTHER"}).Bytes, kv.BadRequest},
}

func (m *machine) put(t *rapid.T) *kv.Put {
	p := &kv.Put{Key: []byte(m.key(t)), PrevKV: rapid.Bool().Draw(t, "prev")}
	if p.IgnoreValue = rapid.IntRange(0, 5).Draw(t, "ignore") == 0; !p.IgnoreValue {
		p.Value = m.value(t)
	}
	switch rapid.IntRange(0, 3).Draw(t, "lease") {
	case 0:
		p.Lease = m.lease(t)
	case 1:
		p.IgnoreLease = rapid.Bool().Draw(t, "ignore lease")
	}
	return p
}

// lease is one of a few ids; about half of the time it is granted.
func (m *machine) lease(t *rapid.T) int64 {
	return rapid.SampledFrom([]int64{-1, 1, 2, 3}).Draw(t, "lease")
}

func (m *machine) delete(t *rapid.T, kind string) *kv.Delete {
	d := &kv.Delete{Key: []byte(m.key(t)), PrevKV: rapid.Bool().Draw(t, "prev")}
	switch {
	case kind == "range":
		d.End = []byte(m.key(t))
	case kind == "all" && rapid.IntRange(0, 3).Draw(t, "really") == 0:
		d.End = []byte{0}
	}
	return d
}

// revision is mostly readable.
func (m *machine) revision(t *rapid.T) int64 {
	oldest, newest := max(m.model.compacted-1, 0), m.model.revision+1
	switch rapid.IntRange(0, 5).Draw(t, "which") {
	case 0:
		return oldest
	case 1:
		return newest
	}
	if n := len(m.model.gaps); n > 0 && rapid.IntRange(0, 9).Draw(t, "in a gap") == 0 {
		one := m.model.gaps[n-1]
		return rapid.Int64Range(one.after+1, one.next).Draw(t, "revision")
	}
	oldest = m.state.gaps.slot(m.state.gaps.skip(oldest))
	return m.state.gaps.revision(rapid.Int64Range(min(oldest, newest), newest).Draw(t, "slot"))
}

// skip makes the state that of another cluster, as after a restore.
func (m *machine) skip(t *rapid.T) {
	if len(m.model.gaps) == 3 {
		t.Skip("there are enough")
	}
	made["skipped"]++
	m.model.gaps = append(slices.Clip(m.model.gaps), gap{m.model.revision, m.model.revision + CutDistance})
	m.model.revision += CutDistance
	m.state.SkipRevisions(0)
	delete(m.seen, m.model.applied)
}

func (m *machine) txn(t *rapid.T, depth int) *kv.Txn {
	q := &kv.Txn{}
	for range rapid.IntRange(0, 2).Draw(t, "compares") {
		c := kv.Compare{
			Key:    []byte(m.key(t)),
			Target: kv.CompareTarget(rapid.IntRange(0, 4).Draw(t, "target")), Result: kv.CompareResult(rapid.IntRange(0, 3).Draw(t, "result")),
		}
		if rapid.IntRange(0, 3).Draw(t, "over a range") == 0 {
			c.End = []byte(m.key(t))
		}
		switch c.Target {
		case kv.CompareValue:
			c.Value = m.value(t)
		case kv.CompareVersion:
			c.Number = rapid.Int64Range(0, 3).Draw(t, "number")
		default:
			c.Number = rapid.Int64Range(0, m.model.revision).Draw(t, "number")
		}
		q.Compares = append(q.Compares, c)
	}
	q.Success, q.Failure = m.ops(t, depth), m.ops(t, depth)
	return q
}

// ops may change a key twice: the endpoint refuses most of that, the state does not need it.
func (m *machine) ops(t *rapid.T, depth int) (ops []kv.Op) {
	for range rapid.IntRange(0, 3).Draw(t, "operations") {
		switch kind := rapid.SampledFrom([]string{"put", "put", "del", "range", "read", "read", "txn"}).Draw(t, "operation"); {
		case kind == "put":
			ops = append(ops, kv.Op{Put: m.put(t)})
		case kind == "del" || kind == "range":
			ops = append(ops, kv.Op{Delete: m.delete(t, kind)})
		case kind == "txn" && depth < 2:
			ops = append(ops, kv.Op{Txn: m.txn(t, depth+1)})
		default:
			q := &kv.Range{Key: []byte(m.key(t)), Limit: rapid.Int64Range(0, 3).Draw(t, "limit")}
			if rapid.Bool().Draw(t, "more than one") {
				q.End = []byte(m.key(t))
			}
			if rapid.Bool().Draw(t, "of the past") {
				q.Revision = m.revision(t)
			}
			ops = append(ops, kv.Op{Range: q})
		}
	}
	return ops
}

func (m *machine) reclaim(*rapid.T) { m.state.Reclaim() }

func (m *machine) empty(t *rapid.T) {
	m.model.applied++
	if _, err := m.state.Apply(m.model.applied, 1, nil, nil); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) hold(t *rapid.T) {
	v := m.state.ViewToSave()
	m.held = append(m.held, heldView{v, m.model.frozen(), v.Digest()})
	if len(m.held) > 4 {
		m.held = m.held[1:]
	}
}

func (m *machine) collect(*rapid.T) { runtime.GC() }

// store says that files have all changes up to a revision: the state lets the values go that these superseded.
func (m *machine) store(t *rapid.T) {
	to := max(m.stored, m.model.revision-rapid.Int64Range(0, 3).Draw(t, "behind"))
	m.stored = to
	m.state.Stored(to, to, &archive{m.model.events[:len(m.model.events):len(m.model.events)], to, &m.unread})
	made["stored"]++
	for range rapid.IntRange(0, 40).Draw(t, "rest") {
		m.state.Reclaim()
	}
	if versions, bytes := m.state.View().Cold(); versions > 0 && bytes > 0 {
		made["cold"]++
	}
	if m.state.coldLive > 0 {
		made["cold live"]++
	}
}

// archive has the values of all changes up to a revision.
type archive struct {
	events []modelEvent
	to     int64
	unread *bool
}

func (a *archive) To() int64 { return a.to }

func (a *archive) Value(key []byte, at Position, sound func([]byte) bool) ([]byte, error) {
	i, found := slices.BinarySearchFunc(a.events, at, func(e modelEvent, at Position) int { return Position{e.Mod, e.Sub}.Compare(at) })
	switch {
	case *a.unread:
		return nil, errors.New("the disk fails")
	case !found || at.Revision > a.to:
		return nil, ErrElsewhere
	case a.events[i].key != string(key) || !sound(a.events[i].Value):
		return nil, errors.New("another version is wanted")
	}
	return a.events[i].Value, nil
}

func (a *archive) ReadTogether(all []*Unread) { offer(a, all) }

// restore continues from the snapshot of a View, perhaps of an older one: then the log is applied again.
func (m *machine) restore(t *rapid.T) {
	v := m.state.ViewToSave()
	digest := v.Digest()
	m.state = m.rebuild(t, v)
	if again := m.state.View().Digest(); again != digest {
		t.Fatalf("the digest is %x after a restore, it was %x", again, digest)
	}
}

func (m *machine) rebuild(t *rapid.T, v *View) *State {
	b, err := NewBuilder(NewReserve(), v.AppendMeta(nil), m.limits)
	if err != nil {
		t.Fatal(err)
	}
	v.Scan(nil, func(key []byte, versions []Version) bool {
		for i := range versions {
			if err = versions[i].Read(); err != nil {
				return false
			}
		}
		err = b.Add(key, versions)
		return err == nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Check is called after each action.
func (m *machine) Check(t *rapid.T) {
	if err := m.state.Check(); err != nil {
		t.Fatal(err)
	}
	v := m.state.ViewToSave()
	if err := m.model.compare(v); err != nil {
		t.Fatal(err)
	}
	if digest := v.Digest(); m.seen[m.model.applied] == 0 {
		m.seen[m.model.applied] = digest
	} else if m.seen[m.model.applied] != digest {
		t.Fatalf("digest %x at index %d, it was %x", digest, m.model.applied, m.seen[m.model.applied])
	}
	for i, h := range m.held {
		if err := h.model.compare(h.view); err != nil {
			t.Fatalf("view %d of %d has changed: %v", i, len(m.held), err)
		}
		if h.view.Digest() != h.digest {
			t.Fatalf("view %d of %d has another digest", i, len(m.held))
		}
	}
}

func (m *machine) restoreHeld(t *rapid.T) {
	if len(m.held) == 0 {
		t.Skip("no view is held")
	}
	h := m.held[rapid.IntRange(0, len(m.held)-1).Draw(t, "view")]
	s := m.rebuild(t, h.view)
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	if err := h.model.compare(s.ViewToSave()); err != nil {
		t.Fatal(err)
	}
}

// TestModel compares the state with the model after every action: ranges at each revision, counts, history, times,
// compaction, restores, and Views that were taken before.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(map[string]func(*rapid.T){
			"":        m.Check,
			"batch":   m.batch,
			"batch 2": m.batch,
			"batch 3": m.batch,
			"burst":   m.burst,
			"empty":   m.empty,
			"reclaim": m.reclaim,
			"store":   m.store,
			"hold":    m.hold,
			"collect": m.collect,
			"restore": m.restore,
			"skip":    m.skip,
			"again":   m.restoreHeld,
		})
	})
	t.Logf("%v", made)
	for _, kind := range []string{
		"stored", "cold", "cold live", "unread", "live values read", "skipped", "put", "del", "range", "all", "txn", "compact", "grant", "revoke", "checkpoint", "alarm", "check", "digest",
		"bad: empty key", "bad: key too large", "bad: value provided", "bad: lease provided", "bad: lease too long", "bad: feature level", "bad: bad request",
		"a member convicted", "a member acquitted",
		"put: no such lease", "txn: no such lease", "grant: lease exists", "revoke: no such lease", "revoke: unavailable",
		"resent put", "resent del", "resent range", "resent txn", "resent compact", "resent grant", "resent revoke",
		"in a session: name ended", "in a session: overloaded", "in a session: bad request", "answer gone", "answer read again",
		"put: no space", "txn: no space", "grant: no space", "alarm: no such member",
		"put: key not found", "txn: key not found", "txn: compacted", "txn: future revision", "compact: compacted", "compact: future revision",
	} {
		least := 100
		if kind == "skipped" { // one of many steps of the model's world, and no command
			least = 20
		}
		if !t.Failed() && !testing.Short() && made[kind] < least {
			t.Errorf("%q came %d times, and should at least %d", kind, made[kind], least)
		}
	}
}
