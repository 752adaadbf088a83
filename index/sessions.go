package index

import (
	"maps"
	"math"
	"math/bits"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// sessionNumbers are the clock, the floor and the counts of all sessions. Every View has them.
type sessionNumbers struct {
	// clock is the session clock in nanoseconds: the elapsed time without the pauses in which nothing was written. It
	// begins at 1.
	clock int64
	// clocks are the clocks of the proposing members.
	clocks [sessionClocks]memberClock
	// floor is the lowest Opened of a write that may begin a session. All ended sessions began below it, so none of them
	// can begin again.
	floor int64
	// sessions is the number of sessions, and outcomes the number of their outcomes.
	sessions, outcomes int64
	// sessionSum is the sum of session.sum of all sessions, and of outcome.sum of all their outcomes.
	sessionSum uint64
}

// sessionClocks is the number of members whose entries the session clock follows: every possible member, and a few that were removed
// recently. It is part of feature level 1.
const sessionClocks = limits.Members + limits.Learners + 2

// sessions are all sessions. Their counts are in replicated.numbers.
//
// Invariants:
//
//  1. byID and the list from oldest to newest have the same sessions. The list is in ascending order of session.used.
//  2. Each session began at or after the floor of that time, and at or before its used. floor is above the used of each
//     ended session, so a copy of its first write does not begin it again.
//  3. session.outcomes has no sequence below first, and none beyond the largest window of a write.
//  4. sessions, outcomes and sessionSum equal those of the existing sessions. shares has the sessions and outcomes of each user with
//     sessions.
//  5. all has the same sessions as byID, all[i].at is i, and session.order rises from oldest to newest.
type sessions struct {
	*replicated                        // of the same State
	rules          limits.SessionRules // constant
	byID           map[uint64]*session
	oldest, newest *session
	last           *session   // the session that was found last, or nil: a session's commands often come in a row
	all            []*session // unordered: its elements can be loaded independently of each other
	linked         uint64     // the newest order
	shares         map[uint32]*share
}

// share is the sessions and outcomes of the sessions that one user has begun.
type share struct{ sessions, outcomes int64 }

// session is the state of a series of a client's writes, which have one kv.WriteName.Session. Users read "series" and "write name".
type session struct {
	id           uint64
	by           uint32 // the author who began it, as in authors; 0: none
	used         int64  // the session clock when its newest write was applied
	first        uint64 // the lowest sequence that may still come; all lower ones are answered
	outcomes     outcomes
	user         *share
	at           int    // index in sessions.all
	order        uint64 // a counter, set when the session becomes the newest one
	older, newer *session
}

// outcome is the outcome of a write without the bodies of its answer. If kind is 0 there is none.
type outcome struct {
	revision, deleted int64
	kind, code        uint8
	succeeded         bool // a transaction's comparisons held
	changed           bool // the write made the revision
}

// userShare times the free sessions or outcomes is how many one user may have, while authentication is enabled: a user alone has at
// most three quarters of all, and each further user finds free ones.
const userShare = 3

func newSessions(r *replicated, rules limits.SessionRules) sessions {
	return sessions{replicated: r, rules: rules, byID: map[uint64]*session{}, shares: map[uint32]*share{}}
}

// mixHash returns a hash of x and y.
func mixHash(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x^0x9e3779b97f4a7c15, y^0xd1b54a32d192ed03)
	return hi ^ lo
}

func (one *session) sum() uint64 {
	return mixHash(mixHash(one.id^uint64(one.by)<<32, uint64(one.used)), one.first)
}

func (o *outcome) sum(id, sequence uint64) uint64 {
	what := uint64(o.kind) | uint64(o.code)<<8
	if o.succeeded {
		what |= 1 << 16
	}
	if o.changed {
		what |= 1 << 17
	}
	return mixHash(mixHash(id, sequence), mixHash(uint64(o.revision)^what<<40, uint64(o.deleted)+what))
}

// applyOnce applies a write that has a name, unless it was applied before: then it returns the recorded outcome. A refusal by applyOnce
// itself says that this copy did nothing, and is not recorded: another copy of the write may still be applied.
func (s *State) applyOnce(c *command) kv.Result {
	w := &c.once
	one, err := s.sessions.of(w, &s.accounts)
	if err != nil {
		return s.refused(err)
	}
	s.sessions.markUsed(one)
	s.sessions.forgetBelow(one, w.Sequence+1-w.Window)
	if w.Sequence < one.first {
		return s.refused(kv.Errorf(kv.NameEnded, "the write name %016x/%d is too old: its client has declared all writes before %d as answered",
			w.Session, w.Sequence, one.first))
	}
	if o := one.outcomes.find(w.Sequence); o != nil {
		return s.sessions.recordedResult(c, o)
	}
	if !s.sessions.evictIdle(0, 1, one.user, one) {
		return s.refused(kv.Errorf(kv.Overloaded, "the outcomes of named writes need more than the limit: %d are kept, %d of them for this user, "+
			"and no other series of write names is idle; the write certainly did not happen", s.numbers.outcomes, one.user.outcomes))
	}
	before := s.revision
	r := s.perform(c)
	o := outcome{revision: r.Revision, deleted: r.Deleted, kind: uint8(c.kind), changed: r.Revision != before}
	if r.Err != nil {
		o.code = uint8(r.Err.Code)
	}
	o.succeeded = r.Txn != nil && r.Txn.Path[0]
	one.outcomes.add(w.Sequence, o)
	one.user.outcomes++
	s.numbers.outcomes++
	s.numbers.sessionSum += o.sum(one.id, w.Sequence)
	return r
}

// ownsSession refuses a write of a session that another user has begun: its outcomes are not for others.
func (l *accounts) ownsSession(id uint64, by uint32) *kv.Error {
	if l.auth.Enabled() && (by == 0 || by != l.author.number) {
		return kv.Errorf(kv.NameEnded, "the series %016x of write names was begun by another user, or before users had numbers", id)
	}
	return nil
}

// recordedResult returns the result of a write that was applied before.
func (l *sessions) recordedResult(c *command, o *outcome) kv.Result {
	if c.kind != uint64(o.kind) {
		return l.refused(kv.Errorf(kv.BadRequest, "the write name %016x/%d was used for a write of another kind: "+
			"a retry must repeat the same write", c.once.Session, c.once.Sequence))
	}
	r := kv.Result{Revision: o.revision, Deleted: o.deleted, Resent: true, Changed: o.changed}
	if o.code != uint8(kv.OK) {
		r.Err = c.explain(kv.Code(o.code))
	} else if c.kind == kindTxn {
		r.Txn = &kv.TxnOutcome{Path: []bool{o.succeeded}}
	}
	return r
}

// AppliedBefore returns the result of a named write that was applied before, equal to the result of applying it
// again, or false. It changes nothing.
func (s *State) AppliedBefore(b []byte) (result kv.Result, ok bool) {
	r := pack.NewReader(b)
	var c command
	if c.read(&r) != nil || c.once.Session == 0 || c.once.Check() != nil {
		return result, false
	}
	one := s.sessions.byID[c.once.Session]
	if one != nil && s.auth.Enabled() {
		s.accounts.author.setAuthor(c.name) // for ownsSession
		defer s.accounts.author.setAuthor(nil)
		if s.accounts.permits(&c, s) != nil || s.accounts.ownsSession(one.id, one.by) != nil {
			return result, false
		}
	}
	if one == nil {
		return result, false
	}
	if o := one.outcomes.find(c.once.Sequence); o != nil {
		return s.sessions.recordedResult(&c, o), true
	}
	return result, false
}

// explain reconstructs the error with which a command was refused.
func (c *command) explain(code kv.Code) *kv.Error {
	switch {
	case code == kv.KeyNotFound && c.kind == kindPut:
		return keyNotFound(c.put.Key)
	case code == kv.LeaseNotFound && c.kind == kindPut:
		return leaseNotFound(c.put.Lease)
	case code == kv.LeaseNotFound && c.kind == kindRevoke:
		return leaseNotFound(c.lease.ID)
	case code == kv.LeaseExists:
		return leaseExists(c.lease.ID)
	}
	if err := c.refusal(); err != nil && err.Code == code {
		return err
	}
	return kv.Errorf(code, "%s: the write was refused with this error when it came first", code)
}

// of returns the session of a write, or begins it if the write may do so.
func (l *sessions) of(w *kv.WriteName, users *accounts) (*session, *kv.Error) {
	if int64(min(w.Window, 1<<62)) > l.rules.Window {
		return nil, kv.Errorf(kv.Overloaded, "the series %016x of write names has a window of %d writes, over the limit of %d",
			w.Session, w.Window, l.rules.Window)
	}
	if one := l.last; one != nil && one.id == w.Session {
		return one, users.ownsSession(one.id, one.by)
	}
	one := l.byID[w.Session]
	switch {
	case one != nil:
		if err := users.ownsSession(one.id, one.by); err != nil {
			return nil, err
		}
	case w.Opened == 0 || w.Opened < l.numbers.floor:
		return nil, kv.Errorf(kv.NameEnded, "the series %016x of write names is not known: it has ended, or the write is too old to begin it",
			w.Session)
	case w.Opened > l.numbers.clock:
		return nil, kv.Errorf(kv.BadRequest, "the series %016x of write names was opened in the future", w.Session)
	default:
		by := users.authorOfChange()
		if err := users.ownsSession(w.Session, by); err != nil {
			return nil, err
		}
		user := l.shareOf(by)
		if !l.evictIdle(1, 0, user, nil) {
			return nil, kv.Errorf(kv.Overloaded, "%d series of write names are open, %d of them by this user, which is the limit, "+
				"and none is idle; the write certainly did not happen", l.numbers.sessions, user.sessions)
		}
		one = &session{id: w.Session, by: by, used: l.numbers.clock, first: 1}
		l.add(one)
		l.numbers.sessions++
		l.numbers.sessionSum += one.sum()
	}
	l.last = one
	return one, nil
}

// evictIdle ends idle sessions until a user may have more sessions or outcomes, but never ends keep. It returns false if that is
// not possible.
func (l *sessions) evictIdle(sessions, outcomes int64, user *share, keep *session) bool {
	rules := &l.rules
	fits := func(more, has, all, limit int64) bool {
		free := limit - all - more
		return more == 0 || free >= 0 && (!l.auth.Enabled() || has+more <= userShare*free)
	}
	for !fits(sessions, user.sessions, l.numbers.sessions, rules.Sessions) ||
		!fits(outcomes, user.outcomes, l.numbers.outcomes, rules.Outcomes) {
		one := l.oldest
		if one == nil || one == keep || l.numbers.clock-one.used < int64(rules.Idle) {
			return false
		}
		l.end(one)
	}
	return true
}

// shareOf returns what a user has; nothing if the user has no session.
func (l *sessions) shareOf(by uint32) *share {
	if one := l.shares[by]; one != nil {
		return one
	}
	return &share{}
}

// endSilent ends at most the given number of sessions that have written nothing for their TTL.
func (l *sessions) endSilent(most int) {
	for range most {
		one := l.oldest
		if one == nil || l.numbers.clock-one.used < int64(l.rules.TTL) {
			return
		}
		l.end(one)
	}
}

func (l *sessions) end(one *session) {
	l.forgetBelow(one, math.MaxUint64)
	l.numbers.sessionSum -= one.sum()
	l.numbers.sessions--
	l.numbers.floor = max(l.numbers.floor, one.used+1)
	l.remove(one)
}

// markUsed records that a session has written.
func (l *sessions) markUsed(one *session) {
	if one.used == l.numbers.clock {
		return
	}
	l.numbers.sessionSum -= one.sum()
	one.used = l.numbers.clock
	l.numbers.sessionSum += one.sum()
	if one.newer != nil {
		l.unlink(one)
		l.link(one)
	}
}

// forgetBelow deletes the outcomes of sequences below first, which do not come again.
func (l *sessions) forgetBelow(one *session, first uint64) {
	if first <= one.first {
		return
	}
	l.numbers.sessionSum -= one.sum()
	one.outcomes.forget(one.first, first, func(n uint64, o *outcome) {
		l.numbers.sessionSum -= o.sum(one.id, n)
		l.numbers.outcomes--
		one.user.outcomes--
	})
	one.first = first
	l.numbers.sessionSum += one.sum()
}

// add adds a session as the newest one.
func (l *sessions) add(one *session) {
	l.byID[one.id] = one
	one.user = l.shareOf(one.by)
	one.user.sessions++
	l.shares[one.by] = one.user
	one.at = len(l.all)
	l.all = append(l.all, one)
	l.link(one)
}

func (l *sessions) remove(one *session) {
	l.unlink(one)
	delete(l.byID, one.id)
	if one.user.sessions--; one.user.sessions == 0 {
		delete(l.shares, one.by)
	}
	last := l.all[len(l.all)-1]
	l.all[one.at], last.at = last, one.at
	l.all[len(l.all)-1] = nil
	l.all = l.all[:len(l.all)-1]
	if l.last == one {
		l.last = nil
	}
}

func (l *sessions) link(one *session) {
	l.linked++
	one.order = l.linked
	one.older, one.newer = l.newest, nil
	if l.newest != nil {
		l.newest.newer = one
	} else {
		l.oldest = one
	}
	l.newest = one
}

func (l *sessions) unlink(one *session) {
	if one.older != nil {
		one.older.newer = one.newer
	} else {
		l.oldest = one.newer
	}
	if one.newer != nil {
		one.newer.older = one.older
	} else {
		l.newest = one.older
	}
	one.older, one.newer = nil, nil
}

// Sessions returns the number of sessions.
func (r *replicated) Sessions() int64 { return r.numbers.sessions }

func (w *walk) sessions() error {
	s, got := w.s, sessionNumbers{clock: w.s.numbers.clock, clocks: w.s.numbers.clocks, floor: w.s.numbers.floor}
	used, shares := int64(1), map[uint32]*share{}
	for one := s.sessions.oldest; one != nil; one = one.newer {
		if s.sessions.byID[one.id] != one || s.sessions.all[one.at] != one || one.older != nil && one.older.order >= one.order ||
			one.used < used || one.used > s.numbers.clock || one.newer == nil && one != s.sessions.newest {
			return broken(11, "session %016x, used at %d, comes after one that was used at %d", one.id, one.used, used)
		}
		used = one.used
		held := 0
		for n, o := range one.outcomes.all {
			if held++; n < one.first || one.outcomes.find(n) != o {
				return broken(11, "session %016x has the outcome %d, and begins at %d", one.id, n, one.first)
			}
			got.sessionSum += o.sum(one.id, n)
		}
		if held != one.outcomes.held {
			return broken(11, "session %016x has %d outcomes, counted were %d", one.id, one.outcomes.held, held)
		}
		if shares[one.by] == nil {
			shares[one.by] = &share{}
		}
		shares[one.by].sessions++
		shares[one.by].outcomes += int64(held)
		got.sessions++
		got.outcomes += int64(held)
		got.sessionSum += one.sum()
	}
	if n := int(got.sessions); got != s.numbers || len(s.sessions.byID) != n || len(s.sessions.all) != n || s.numbers.floor > s.numbers.clock {
		return broken(11, "the sessions' numbers are %+v, counted were %+v", s.numbers, got)
	}
	if !maps.EqualFunc(shares, s.sessions.shares, func(a, b *share) bool { return *a == *b }) {
		return broken(11, "the users' shares are not those of their sessions")
	}
	return nil
}
