package actor

import (
	"container/heap"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// leaseClock tracks the remaining time of each lease, by the clock of a leader. The package's page lists its guarantees.
//
// It runs from when the state holds an entry of the leader's term until leader or term change. raft takes its proposals at once or not at
// all: none of them is lost while it runs, and they are in the log in the order of proposal.
//
// Invariants, while it runs:
//
//  1. leases has the state's leases as of the newest LeasesChanged.
//  2. Each lease that is not being revoked is in due, in expired or in revocable. due is a heap by at, which is never later than
//     the next action for the lease. expired has expired leases without proof yet that this member led when they expired.
//     revocable has leases that may be revoked. Some in these two may have been renewed or revoked since.
//  3. A renewal is answered when neither the log nor this leader's proposals note less than the TTL:
//     the next leader uses the time noted in the log.
//  4. rounds are of this leadership, at most readAttemptsInflight. confirmed are the rounds that a quorum has answered, and that
//     wait for the state.
type leaseClock struct {
	running   bool
	leases    map[int64]*timedLease
	due       leaseHeap
	expired   []*timedLease
	revocable revocable
	pace      revocationPace
	unnoted   []*timedLease // were renewed, while the log notes less
	revoking  int           // revocations under way
	waits     bool          // raft had no space for the last proposals
	still     time.Duration // total time for which this process was stopped since the clock was started: no renewal was possible then
	ticked    time.Duration // the last tick
	asked     []clockAsk    // wait for a round
	rounds    []leaseRound
	confirmed []leaseRound
	proven    time.Duration // when the newest confirmed round began
	told      []toldMember  // since the end of the last turn
	waiting   int           // asks of all kinds
	renewals  uint64        // granted since the last tick of consensus
}

// timedLease is a lease by the clock. Times are of [leaseClock.time].
type timedLease struct {
	id, ttl  int64
	granted  uint64 // the entry that granted it
	deadline time.Duration
	place    int   // in due; -1 when it is not there
	noted    int64 // remaining seconds, as the state says
	noting   int64 // by the newest note that is not applied yet
	notes    int   // number of notes not applied yet
	queued   bool  // in unnoted
	revoking bool
	gone     bool
	work     int        // of its revocation, once proposed
	asks     []clockAsk // renewals that wait for its end, or for a note
}

// clockAsk is a member's query.
type clockAsk struct {
	peerframe.LeaseAsk
	from uint64
	at   time.Duration // when it arrived
}

// leaseRound is a round of heartbeats that shows that this member still leads.
type leaseRound struct {
	id    uint64
	since time.Duration // when it began
	asks  []clockAsk
	index uint64 // the commit index of that time
}

// toldMember collects the answers to one member.
type toldMember struct {
	member uint64
	peerframe.LeaseTimes
}

// leaseHeap has the next lease to check on top. It holds the times itself, and is ordered without access to the leases, which are
// scattered in memory.
type leaseHeap []dueLease

type dueLease struct {
	at    time.Duration // when it is checked next
	lease *timedLease
}

func (h leaseHeap) Len() int           { return len(h) }
func (h leaseHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h leaseHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].lease.place, h[j].lease.place = i, j
}

func (h *leaseHeap) Push(x any) {
	one := x.(*dueLease)
	one.lease.place = len(*h)
	*h = append(*h, *one)
}

func (h *leaseHeap) Pop() any {
	old := *h
	l := old[len(old)-1].lease
	old[len(old)-1] = dueLease{}
	l.place = -1
	*h = old[:len(old)-1]
	return l
}

// add adds a lease; postpone changes the time of a lease in the heap.
func (h *leaseHeap) add(l *timedLease, at time.Duration) { heap.Push(h, &dueLease{at, l}) }

func (h *leaseHeap) postpone(l *timedLease, at time.Duration) {
	(*h)[l.place].at = at
	heap.Fix(h, l.place)
}

// leaseTiming holds a lease clock's parameters besides the TTLs.
type leaseTiming struct{ election, lengthening time.Duration }

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// time is now without the times for which this process was stopped.
func (k *leaseClock) time(now time.Duration) time.Duration { return now - k.still }

// start begins with the state's leases. The times of the last renewals are unknown. Each lease therefore has the remaining time that the
// log notes, and an election timeout in which its client finds the new leader.
func (k *leaseClock) start(view *index.View, now time.Duration, t leaseTiming) {
	*k = leaseClock{running: true, leases: make(map[int64]*timedLease, view.LeaseCount()), ticked: now, proven: -1, revocable: newRevocable()}
	view.Leases(math.MinInt64, func(l kv.Lease) bool {
		one := timed(l)
		one.deadline = now + seconds(one.noted) + t.election
		one.place = len(k.due)
		k.leases[l.ID] = one
		k.due = append(k.due, dueLease{one.next(t), one})
		return true
	})
	heap.Init(&k.due)
}

func timed(l kv.Lease) *timedLease {
	one := &timedLease{id: l.ID, ttl: l.TTL, granted: l.Granted, noted: l.Remaining, place: -1}
	if one.noted == 0 {
		one.noted = l.TTL
	}
	return one
}

// stop ends the clock: another leader's clock takes over, or this one starts again.
func (k *leaseClock) stop() { *k = leaseClock{} }

// next returns when the lease expires, or when its remaining time must be noted in the log. After a failover a lease has the last noted
// time, and an election timeout. The lengthening is at most limits.LeaseLengthening or a tenth of the TTL, whichever is more, and never
// more than the TTL. Two thirds of that bound always pass without a note: a client that renews its lease twice in each TTL causes none,
// and clientv3 renews a lease of 2 s after 0.7 to 1.1 s.
func (l *timedLease) next(t leaseTiming) time.Duration {
	most := min(max(t.lengthening, seconds(l.ttl)/10), seconds(l.ttl))
	lacks := max(most-2*t.election-2*time.Second, most*2/3) // a note is rounded up, and under way for a moment
	said := seconds(l.said())
	if said <= lacks {
		return l.deadline
	}
	return l.deadline - said + lacks
}

// said returns the remaining time by the newest note, applied or not.
func (l *timedLease) said() int64 {
	if l.notes > 0 {
		return l.noting
	}
	return l.noted
}

// left returns the remaining seconds of a lease, rounded up; 0 if it has expired.
func (l *timedLease) left(now time.Duration) int64 {
	return int64((max(l.deadline-now, 0) + time.Second - 1) / time.Second)
}

// unnoted reports that the log does not note the full TTL, or will not.
func (l *timedLease) unnoted() bool { return l.noted != l.ttl || l.said() != l.ttl }

// note queues a note of the remaining time of a lease.
func (k *leaseClock) note(l *timedLease) {
	if !l.queued {
		l.queued = true
		k.unnoted = append(k.unnoted, l)
	}
}

// renew sets a lease's remaining time to its TTL.
func (k *leaseClock) renew(l *timedLease, now time.Duration) { l.deadline = now + seconds(l.ttl) }

// changed follows the state's changes. Changes already contained in the clock's initial state are reported again, in order to their end,
// and so have no effect.
func (k *leaseClock) changed(changes []index.LeaseChange, now time.Duration, t leaseTiming) {
	for _, change := range changes {
		l := k.leases[change.Lease.ID]
		switch {
		case change.Gone && l != nil:
			k.remove(l)
		case change.Gone:
		case l == nil:
			l = timed(change.Lease)
			k.renew(l, now)
			k.leases[l.id] = l
			k.due.add(l, l.next(t))
		default:
			l.noted, l.notes = timed(change.Lease).noted, max(l.notes-1, 0)
			k.answerNoted(l, now)
		}
	}
}

// remove forgets a lease that was revoked, by any member.
func (k *leaseClock) remove(l *timedLease) {
	delete(k.leases, l.id)
	if l.place >= 0 {
		heap.Remove(&k.due, l.place)
	}
	if l.revoking {
		k.revoking--
	}
	l.gone = true
	for _, ask := range l.asks {
		k.tell(ask, kv.LeaseTime{}, 0)
	}
	l.asks = nil
}

// answerNoted answers the renewals that waited for a note.
func (k *leaseClock) answerNoted(l *timedLease, now time.Duration) {
	if len(l.asks) == 0 || l.revoking || l.deadline <= now {
		return // it has expired meanwhile, and they wait for its end
	}
	if l.unnoted() {
		k.note(l)
		return
	}
	k.renew(l, now)
	for _, ask := range l.asks {
		k.renewals++
		k.tell(ask, kv.LeaseTime{TTL: l.ttl, Granted: l.ttl}, 0)
	}
	l.asks = nil
}

// tell answers an ask at the end of the turn.
func (k *leaseClock) tell(ask clockAsk, time kv.LeaseTime, index uint64) {
	k.waiting--
	i := slices.IndexFunc(k.told, func(t toldMember) bool { return t.member == ask.from && len(t.Times) < limits.LeaseAsks })
	if i < 0 {
		i = len(k.told)
		k.told = append(k.told, toldMember{member: ask.from})
	}
	k.told[i].Index = max(k.told[i].Index, index)
	k.told[i].Times = append(k.told[i].Times, peerframe.LeaseTime{Number: ask.Number, LeaseTime: time})
}

// tick moves expired leases from due to expired, and queues notes for the others.
func (k *leaseClock) tick(at time.Duration, t leaseTiming) {
	if still := at - k.ticked; still >= t.election {
		k.still += still
	}
	k.ticked = at
	now := k.time(at)
	for len(k.due) > 0 && k.due[0].at <= now {
		l := k.due[0].lease
		switch next := l.next(t); {
		case next > now: // it was renewed
			k.due.postpone(l, next)
		case l.deadline <= now:
			heap.Pop(&k.due)
			k.expires(l)
		default:
			k.note(l)
			k.due.postpone(l, min(now+time.Second, l.deadline)) // the note is under way by then
		}
	}
}

// begin makes a round of everything that waits for one, and reports whether there was anything.
func (k *leaseClock) begin(now time.Duration, id uint64) bool {
	if !k.running || len(k.asked)+len(k.expired) == 0 || len(k.rounds) >= readAttemptsInflight {
		return false
	}
	k.rounds = append(k.rounds, leaseRound{id: id, since: k.time(now), asks: k.asked})
	k.asked = nil
	return true
}

// confirm handles a quorum's answer to a round, and reports whether the round was the clock's.
func (k *leaseClock) confirm(context []byte, index uint64) bool {
	if len(context) != 8 {
		return false
	}
	id := binary.BigEndian.Uint64(context)
	i := slices.IndexFunc(k.rounds, func(r leaseRound) bool { return r.id == id })
	if i < 0 {
		return false
	}
	round := k.rounds[i]
	k.rounds = slices.Delete(k.rounds, i, i+1)
	round.index = index
	k.confirmed = append(k.confirmed, round)
	return true
}

// retry makes the asks of rounds wait again that a lost message may have ended.
func (k *leaseClock) retry(now, after time.Duration) {
	for len(k.rounds) > 0 && k.time(now)-k.rounds[0].since >= after {
		k.asked = append(k.asked, k.rounds[0].asks...)
		k.rounds = k.rounds[1:]
	}
}

// answer answers a query after two conditions: this member was shown to lead, and the state has everything committed when the query
// arrived. A lease that had expired by then is not renewed any more: its keys may be deleted at any moment.
func (k *leaseClock) answer(ask clockAsk, now time.Duration, index uint64) {
	l := k.leases[ask.Lease]
	switch {
	case l == nil && ask.Renew:
		k.tell(ask, kv.LeaseTime{}, index)
	case l == nil:
		k.tell(ask, kv.LeaseTime{TTL: -1}, index)
	case !ask.Renew:
		k.tell(ask, kv.LeaseTime{TTL: min(int64(max(l.deadline-now, 0)/time.Second), l.ttl), Granted: l.ttl}, index)
	case l.revoking || l.deadline <= ask.at:
		l.asks = append(l.asks, ask)
	default:
		k.renew(l, now)
		l.asks = append(l.asks, ask)
		k.answerNoted(l, now)
	}
}

// notes returns the remaining times of the leases whose note is due.
func (k *leaseClock) notes(now time.Duration) (all []kv.Lease) {
	for _, l := range k.unnoted {
		if l.gone || l.revoking || l.deadline <= now {
			continue
		}
		left := min(l.left(now), l.ttl)
		if len(l.asks) > 0 {
			left = l.ttl // and will be when they are answered
		}
		if left != l.said() {
			all = append(all, kv.Lease{ID: l.id, Remaining: left, Granted: l.granted})
		}
	}
	return all
}

// noted records that notes are in the log, and that all due notes are done.
func (k *leaseClock) noted(notes []kv.Lease) {
	for _, one := range notes {
		l := k.leases[one.ID]
		l.noting = one.Remaining
		l.notes++
	}
	for _, l := range k.unnoted {
		l.queued = false
	}
	k.unnoted = nil
}
