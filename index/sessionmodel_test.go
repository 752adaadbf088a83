package index

import (
	"fmt"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// modelSession is a session as one would write it down.
type modelSession struct {
	id       uint64
	used     int64
	first    uint64
	outcomes map[uint64]modelOutcome
}

// modelOutcome is what became of a write, with its answer.
type modelOutcome struct {
	kind    uint64
	result  kv.Result
	changed bool
	answer  *kv.TxnResult
}

// modelSessions are all sessions, by when they wrote last.
type modelSessions struct {
	rules        limits.SessionRules
	clock, floor int64
	clocks       map[uint64]memberClock
	all          []*modelSession
}

// move lets the clock follow the member that is furthest.
func (m *modelSessions) move(member uint64, wall int64) {
	one, known := m.clocks[member]
	if !known {
		one = memberClock{member, wall, m.clock}
	}
	passed := min(max(wall-one.wall, 0), int64(m.rules.Pause))
	behind := min(m.clock-one.at, int64(m.rules.Pause))
	if back := one.wall - wall; back > 0 && back <= int64(m.rules.Pause) {
		wall = one.wall
	}
	m.clocks[member] = memberClock{member, wall, m.clock - behind + passed}
	m.clock = max(m.clock, m.clock-behind+passed)
}

func (m *modelSessions) frozen() modelSessions {
	f := *m
	f.all, f.clocks = nil, maps.Clone(m.clocks)
	for _, one := range m.all {
		same := *one
		same.outcomes = map[uint64]modelOutcome{}
		for n, o := range one.outcomes {
			same.outcomes[n] = o
		}
		f.all = append(f.all, &same)
	}
	return f
}

func (m *modelSessions) places() (n int64) {
	for _, one := range m.all {
		n += int64(len(one.outcomes))
	}
	return n
}

func (m *modelSessions) end(one *modelSession) {
	m.floor = max(m.floor, one.used+1)
	m.all = slices.DeleteFunc(m.all, func(x *modelSession) bool { return x == one })
}

// room ends idle sessions until there is room, and says whether there is.
func (m *modelSessions) room(sessions int, places int64, keep *modelSession) bool {
	for int64(len(m.all)+sessions) > m.rules.Sessions || m.places()+places > m.rules.Outcomes {
		if len(m.all) == 0 || m.all[0] == keep || m.clock-m.all[0].used < int64(m.rules.Idle) {
			return false
		}
		m.end(m.all[0])
	}
	return true
}

func (m *modelSessions) expire(most int) {
	for range most {
		if len(m.all) > 0 && m.clock-m.all[0].used >= int64(m.rules.TTL) {
			m.end(m.all[0])
		}
	}
}

// find returns the session of a write and its outcome, or why it is refused.
func (m *modelSessions) find(w *kv.WriteName) (one *modelSession, was modelOutcome, code kv.Code) {
	switch {
	case w.Check() != nil:
		return nil, was, kv.BadRequest
	case w.Window > uint64(m.rules.Window):
		return nil, was, kv.Overloaded
	}
	if i := slices.IndexFunc(m.all, func(x *modelSession) bool { return x.id == w.Session }); i >= 0 {
		one = m.all[i]
	}
	switch {
	case one != nil:
	case w.Opened == 0 || w.Opened < m.floor:
		return nil, was, kv.NameEnded
	case w.Opened > m.clock:
		return nil, was, kv.BadRequest
	case !m.room(1, 0, nil):
		return nil, was, kv.Overloaded
	default:
		one = &modelSession{id: w.Session, used: m.clock, first: 1, outcomes: map[uint64]modelOutcome{}}
		m.all = append(m.all, one)
	}
	if one.used != m.clock {
		one.used = m.clock
		m.all = append(slices.DeleteFunc(m.all, func(x *modelSession) bool { return x == one }), one)
	}
	one.first = max(one.first, w.Sequence+1-w.Window)
	for n := range one.outcomes {
		if n < one.first {
			delete(one.outcomes, n)
		}
	}
	if w.Sequence < one.first {
		return nil, was, kv.NameEnded
	}
	if was, had := one.outcomes[w.Sequence]; had {
		return one, was, kv.OK
	}
	if !m.room(0, 1, one) {
		return nil, was, kv.Overloaded
	}
	return one, was, kv.OK
}

// compare says how the sessions of a View differ.
func (m *modelSessions) compare(v *View) error {
	got := []int64{v.numbers.clock, v.numbers.floor, v.numbers.sessions, v.numbers.outcomes}
	want := []int64{m.clock, m.floor, int64(len(m.all)), m.places()}
	if !slices.Equal(got, want) {
		return fmt.Errorf("clock, floor, sessions, outcomes are %d, want %d", got, want)
	}
	if v.saved == nil {
		return nil
	}
	places, begin := v.saved.ordered()
	for i, place := range places {
		a, b := &v.saved.sessions[place], m.all[i]
		if a.id != b.id || a.used != b.used || a.first != b.first || int(a.held) != len(b.outcomes) {
			return fmt.Errorf("session %d is %+v, want %+v", i, a, b)
		}
		is := map[uint64]outcome{}
		for _, o := range v.saved.outcomes[begin[place]:][:a.held] {
			is[a.first+o.offset] = o.outcome
		}
		for n, o := range b.outcomes {
			if is := is[n]; is.revision != o.result.Revision || uint64(is.kind) != o.kind || is.changed != o.changed {
				return fmt.Errorf("outcome %d of session %d is %+v, want %+v", n, a.id, is, o)
			}
		}
	}
	return nil
}

// sentWrite is a write that may be sent again.
type sentWrite struct {
	kind   string
	make   func(h *Head) drawn // with the command only
	result func(d *drawn)      // lets the model make it
}

// testRules are so small that all of them are met.
var testRules = limits.SessionRules{Sessions: 3, Outcomes: 12, Window: 24, TTL: 40e6, Idle: 12e6, Pause: 6e6}

// once adds a write to a session: a new one, or a copy of an earlier one, perhaps an old one.
func (m *machine) once(t *rapid.T, fresh sentWrite) (d drawn) {
	id := rapid.Uint64Range(1, 5).Draw(t, "session")
	first := uint64(1)
	known := false
	for _, one := range m.model.clients.all {
		if one.id == id {
			first, known = one.first, true
		}
	}
	most := first + 10
	if rapid.IntRange(0, 20).Draw(t, "far") == 0 {
		most += 20
	}
	w := kv.WriteName{Session: id, Sequence: rapid.Uint64Range(first-min(first, 3), most).Draw(t, "sequence")}
	if w.Window = 1; w.Sequence >= first {
		w.Window = w.Sequence - first + 1 // nothing is forgotten
	}
	switch rapid.IntRange(0, 11).Draw(t, "window") {
	case 0:
		w.Window = rapid.Uint64Range(0, w.Window+2).Draw(t, "of")
	case 1, 2, 3:
		w.Window = rapid.Uint64Range(1, w.Window).Draw(t, "of")
	}
	switch n := rapid.IntRange(0, 9).Draw(t, "opened"); {
	case n == 0:
		w.Opened = m.model.clients.clock + 1
	case n < 3:
		w.Opened = max(m.model.clients.clock-rapid.Int64Range(0, 60e6).Draw(t, "earlier"), 0)
	case n < 8 || !known:
		w.Opened = m.model.clients.clock
	}
	name := [2]uint64{w.Session, w.Sequence}
	write, sent := m.sent[name]
	if !sent {
		write = fresh
		m.sent[name] = fresh
	}
	d = write.make(&Head{Once: w})
	one, was, code := m.model.clients.find(&w)
	switch {
	case code != kv.OK:
		d.result = kv.Result{Revision: m.model.revision, Err: &kv.Error{Code: code}}
		d.vague = true
	case was.kind != 0 && was.kind != d.kind:
		d.result = kv.Result{Revision: m.model.revision, Err: &kv.Error{Code: kv.BadRequest}}
		d.vague = true
	case was.kind != 0:
		made["resent "+write.kind]++
		d.result, d.answer, d.vague = was.result, was.answer, true
		d.result.Resent, d.result.Changed = true, was.changed
		if was.result.Txn != nil {
			d.result.Txn = &kv.TxnOutcome{Path: was.result.Txn.Path[:1]}
			d.path = was.result.Txn.Path
		}
	default:
		before := m.model.revision
		write.result(&d)
		one.outcomes[w.Sequence] = modelOutcome{d.kind, d.result, m.model.revision != before, d.answer}
	}
	if d.vague && d.result.Err != nil && !d.result.Resent {
		made[fmt.Sprintf("in a session: %v", d.result.Err.Code)]++
	}
	return d
}

// gone returns why the data that a write read when it was first applied are compacted.
func (m *model) gone(d *drawn) bool {
	if d.result.Revision < m.compacted {
		return true
	}
	gone := false
	var look func(t *kv.Txn)
	path := d.path
	look = func(t *kv.Txn) {
		ops := branch(t, path[0])
		path = path[1:]
		for _, o := range ops {
			if o.Txn != nil {
				look(o.Txn)
			}
			gone = gone || o.Range != nil && o.Range.Revision != 0 && o.Range.Revision < m.compacted
		}
	}
	if d.txn != nil {
		look(d.txn)
	}
	return gone
}
