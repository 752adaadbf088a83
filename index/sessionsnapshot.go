package index

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"qkv/internal/limits"
	"qkv/internal/pack"
)

// savedSessions is a copy of the sessions at one moment, unordered.
type savedSessions struct {
	sessions []savedSession
	outcomes []savedOutcome // of the first session, then of the second, and so on
}

type savedSession struct {
	id           uint64
	by           uint32
	used         int64
	first, order uint64
	held         int32
}

// savedOutcome is the outcome of the sequence first+offset.
type savedOutcome struct {
	offset uint64
	outcome
}

// sessionsAhead is the number of sessions that are prefetched at once, as in keyspace.prefetch. The applier waits for the
// copy, so it must be fast.
const sessionsAhead = 64

func (l *sessions) copy() *savedSessions {
	saved := &savedSessions{sessions: make([]savedSession, 0, len(l.all)), outcomes: make([]savedOutcome, 0, len(l.all))}
	var slots [sessionsAhead]outcomes
	for rest := l.all; len(rest) > 0; {
		next := rest[:min(len(rest), sessionsAhead)]
		rest = rest[len(next):]
		for i, one := range next {
			slots[i] = one.outcomes
			saved.sessions = append(saved.sessions, savedSession{one.id, one.by, one.used, one.first, one.order, int32(one.outcomes.held)})
		}
		for i, one := range next {
			for n, o := range slots[i].all {
				saved.outcomes = append(saved.outcomes, savedOutcome{n - one.first, *o})
			}
		}
	}
	return saved
}

// ordered returns the indexes of the sessions, oldest session first, and the index of each session's first outcome.
func (s *savedSessions) ordered() (indexes, begin []int) {
	n := 0
	for i := range s.sessions {
		indexes = append(indexes, i)
		begin = append(begin, n)
		n += int(s.sessions[i].held)
	}
	slices.SortFunc(indexes, func(i, j int) int { return cmp.Compare(s.sessions[i].order, s.sessions[j].order) })
	return indexes, begin
}

const (
	clientFields  = 4
	sessionFields = 5
	outcomeFields = 6
)

// appendSessions appends the sessions in the format of a snapshot's meta data.
func (v *View) appendSessions(dst []byte) []byte {
	saved := v.saved
	switch {
	case saved != nil:
	case v.numbers.sessions > 0:
		panic(fmt.Sprintf("the View to be saved does not come from State.ViewToSave: %d sessions would be lost", v.numbers.sessions))
	default:
		saved = &savedSessions{}
	}
	dst = pack.AppendInt(v.numbers.appendClocks(pack.AppendArray(dst, clientFields)), v.numbers.floor)
	dst = pack.AppendArray(dst, len(saved.sessions))
	indexes, begin := saved.ordered()
	for _, i := range indexes {
		one := &saved.sessions[i]
		dst = pack.AppendUint(pack.AppendArray(dst, sessionFields), one.id)
		dst = pack.AppendUint(pack.AppendInt(dst, one.used), one.first)
		dst = pack.AppendUint(dst, uint64(one.by))
		outcomes := saved.outcomes[begin[i]:][:one.held]
		slices.SortFunc(outcomes, func(a, b savedOutcome) int { return cmp.Compare(a.offset, b.offset) })
		dst = pack.AppendArray(dst, len(outcomes))
		for n := range outcomes {
			dst = outcomes[n].append(pack.AppendUint(pack.AppendArray(dst, outcomeFields), outcomes[n].offset))
		}
	}
	return dst
}

func (o *outcome) append(dst []byte) []byte {
	dst = pack.AppendInt(pack.AppendInt(dst, o.revision), o.deleted)
	dst = pack.AppendUint(pack.AppendUint(dst, uint64(o.kind)), uint64(o.code))
	flags := uint64(0)
	if o.succeeded {
		flags |= 1
	}
	if o.changed {
		flags |= 2
	}
	return pack.AppendUint(dst, flags)
}

func (l *sessions) read(r *pack.Reader) {
	whole := r.Struct(clientFields)
	l.numbers.readClocks(r)
	l.numbers.floor = r.Int()
	if l.numbers.clock < 1 || l.numbers.floor < 0 || l.numbers.floor > l.numbers.clock {
		r.Fail("sessions without their clock")
		return
	}
	for range r.Array() {
		one := readSession(r)
		if r.Err() != nil {
			return
		}
		newest := l.newest
		if one.id == 0 || l.byID[one.id] != nil || one.used < 1 || one.used > l.numbers.clock ||
			newest != nil && one.used < newest.used {
			r.Fail(fmt.Sprintf("session %016x twice, or out of order", one.id))
			return
		}
		l.add(one)
		l.numbers.sessions++
		l.numbers.outcomes += int64(one.outcomes.held)
		one.user.outcomes += int64(one.outcomes.held)
		l.numbers.sessionSum += one.sum()
		for n, o := range one.outcomes.all {
			l.numbers.sessionSum += o.sum(one.id, n)
		}
	}
	r.End(whole)
	if l.numbers.sessions > l.rules.Sessions || l.numbers.outcomes > l.rules.Outcomes {
		r.Fail(fmt.Sprintf("%d sessions with %d outcomes", l.numbers.sessions, l.numbers.outcomes))
	}
}

func readSession(r *pack.Reader) *session {
	whole := r.Struct(sessionFields)
	one := &session{id: r.Uint(), used: r.Int(), first: r.Uint(), by: uint32(min(r.Uint(), math.MaxUint32))}
	if one.first == 0 || one.first > limits.SessionSequence {
		r.Fail(fmt.Sprintf("session %016x begins at sequence %d", one.id, one.first))
	}
	outcomes := r.Array()
	if r.Err() != nil {
		return one
	}
	next := uint64(0)
	for range outcomes {
		fields := r.Struct(outcomeFields)
		n := r.Uint()
		o := outcome{revision: r.Int(), deleted: r.Int()}
		kind, code, flags := r.Uint(), r.Uint(), r.Uint()
		r.End(fields)
		if n < next || n >= limits.SessionWindow || !declared(kind) || !kinds[kind].named || code > 255 || flags > 3 {
			r.Fail(fmt.Sprintf("outcome %d of session %016x, of a command of kind %d", n, one.id, kind))
		}
		if r.Err() != nil {
			return one
		}
		o.kind, o.code, o.succeeded, o.changed = uint8(kind), uint8(code), flags&1 != 0, flags&2 != 0
		one.outcomes.add(one.first+n, o)
		next = n + 1
	}
	r.End(whole)
	return one
}
