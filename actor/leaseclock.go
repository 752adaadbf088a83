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

// All leases of one TTL come due together after an election. leaseDuesPerTick bounds how many of them a tick looks at, about 0.7 us each.
// leaseCheckpointsInflight bounds their checkpoints in flight, two entries: puts behind these wait until they are applied, about 2 us each.
const leaseDuesPerTick, leaseCheckpointsInflight = 4 * limits.LeaseCheckpoints, 2 * limits.LeaseCheckpoints

// leaseClock tracks the remaining time of each lease, by the clock of a leader. The package's page lists its guarantees.
//
// It runs from when the state holds an entry of the leader's term until leader or term change. raft takes its proposals at once or not at
// all: none of them is lost while it runs, and they are in the log in the order of proposal.
//
// Invariants, while it runs:
//
//  1. leases has the state's leases as of the newest leasesChanged.
//  2. Each lease that is not being revoked is in due, in expired or in revocable. due is a heap by at, which is never later than
//     the next action for the lease. expired has expired leases without proof yet that this member led when they expired.
//     revocable has leases that may be revoked. Some in these two may have been renewed or revoked since.
//  3. A renewal is answered when neither the applied checkpoint nor a proposed one is less than the TTL:
//     the next leader begins with the newest checkpoint in the log.
//  4. rounds are of this leadership, at most readAttemptsInflight. confirmed are the rounds that a quorum has answered, and that
//     wait for the state.
type leaseClock struct {
	running         bool
	leases          map[int64]*timedLease
	due             leaseHeap
	expired         []*timedLease
	revocable       revocable
	pace            revocationPace
	checkpointQueue []*timedLease // the checkpoint of their remaining time is due
	checkpoints     int           // in flight: the sum of the leases' pendingCheckpoints
	revoking        int           // revocations under way
	retryFirst      bool          // raft had no space for the last proposals: they come before any other
	// for how long this process was stopped since the clock was started: no renewal was possible then
	stopped   time.Duration
	unproven  []clockAsk // queries that wait for a round to begin
	rounds    []leaseRound
	confirmed []leaseRound
	proven    time.Duration   // when the newest confirmed round began
	unsent    []memberAnswers // since the end of the last turn
	openAsks  int             // unanswered queries
	renewals  uint64          // granted since the last tick of consensus
}

// timedLease is a lease by the clock. Times are of [leaseClock.time].
type timedLease struct {
	id, ttl            int64
	granted            uint64 // the entry that granted it
	deadline           time.Duration
	heapIndex          int   // in due; -1 when it is not there
	checkpointed       int64 // remaining seconds by the newest applied checkpoint
	proposedCheckpoint int64 // remaining seconds by the newest checkpoint that is not applied yet
	pendingCheckpoints int   // proposed and not applied
	queued             bool  // in checkpointQueue
	revoking           bool
	revoked            bool
	work               int        // of its revocation, once proposed
	asks               []clockAsk // renewals that wait for its revocation, or for a checkpoint
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
	index uint64 // the commit index when it began
}

// memberAnswers collects the answers to one member.
type memberAnswers struct {
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
	h[i].lease.heapIndex, h[j].lease.heapIndex = i, j
}

func (h *leaseHeap) Push(x any) {
	one := x.(*dueLease)
	one.lease.heapIndex = len(*h)
	*h = append(*h, *one)
}

func (h *leaseHeap) Pop() any {
	old := *h
	l := old[len(old)-1].lease
	old[len(old)-1] = dueLease{}
	l.heapIndex = -1
	*h = old[:len(old)-1]
	return l
}

// add adds a lease; postpone changes the time of a lease in the heap.
func (h *leaseHeap) add(l *timedLease, at time.Duration) { heap.Push(h, &dueLease{at, l}) }

func (h *leaseHeap) postpone(l *timedLease, at time.Duration) {
	(*h)[l.heapIndex].at = at
	heap.Fix(h, l.heapIndex)
}

// leaseTiming holds a lease clock's parameters besides the TTLs.
type leaseTiming struct{ election, lengthening time.Duration }

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// time is now without the times for which this process was stopped.
func (k *leaseClock) time(now time.Duration) time.Duration { return now - k.stopped }

// start begins with the state's leases. The times of the last renewals are unknown. Each lease therefore has its checkpointed time, and an
// election timeout in which its client finds the new leader.
func (k *leaseClock) start(view *index.View, now time.Duration, t leaseTiming) {
	*k = leaseClock{running: true, leases: make(map[int64]*timedLease, view.LeaseCount()), proven: -1, revocable: newRevocable()}
	view.Leases(math.MinInt64, func(l kv.Lease) bool {
		one := timed(l)
		one.deadline = now + seconds(one.checkpointed) + t.election
		one.heapIndex = len(k.due)
		k.leases[l.ID] = one
		k.due = append(k.due, dueLease{one.next(t), one})
		return true
	})
	heap.Init(&k.due)
}

func timed(l kv.Lease) *timedLease {
	one := &timedLease{id: l.ID, ttl: l.TTL, granted: l.Granted, checkpointed: l.Remaining, heapIndex: -1}
	if one.checkpointed == 0 {
		one.checkpointed = l.TTL
	}
	return one
}

// stop ends the clock: another leader's clock takes over, or this one starts again.
func (k *leaseClock) stop() { *k = leaseClock{} }

// next returns when the lease expires, or when its remaining time must be checkpointed. A failover extends a lease by the time since its
// last checkpoint: at most limits.LeaseLengthening or a tenth of the TTL, whichever is more, and never more than the TTL. Two thirds of
// that bound always pass without a checkpoint: a client that renews its lease twice in each TTL causes none, and clientv3 renews a lease of
// 2 s after 0.7 to 1.1 s.
func (l *timedLease) next(t leaseTiming) time.Duration {
	most := min(max(t.lengthening, seconds(l.ttl)/10), seconds(l.ttl))
	// a checkpoint is rounded up, and under way for a moment
	uncovered := max(most-2*t.election-2*time.Second, most*2/3)
	checkpoint := seconds(l.newestCheckpoint())
	if checkpoint <= uncovered {
		return l.deadline
	}
	return l.deadline - checkpoint + uncovered
}

// newestCheckpoint returns the remaining seconds by the newest checkpoint, applied or not.
func (l *timedLease) newestCheckpoint() int64 {
	if l.pendingCheckpoints > 0 {
		return l.proposedCheckpoint
	}
	return l.checkpointed
}

// remaining returns the remaining seconds of a lease, rounded up; 0 if it has expired.
func (l *timedLease) remaining(now time.Duration) int64 {
	return int64((max(l.deadline-now, 0) + time.Second - 1) / time.Second)
}

// lacksFullCheckpoint reports that the applied or the newest checkpoint is less than the TTL.
func (l *timedLease) lacksFullCheckpoint() bool {
	return l.checkpointed != l.ttl || l.newestCheckpoint() != l.ttl
}

// queueCheckpoint makes a checkpoint of a lease's remaining time due.
func (k *leaseClock) queueCheckpoint(l *timedLease) {
	if !l.queued {
		l.queued = true
		k.checkpointQueue = append(k.checkpointQueue, l)
	}
}

// queueCheckpoints makes checkpoints due of the leases that have lost time since their newest one: of as many as may be in flight, and
// mostly of those that end first.
func (k *leaseClock) queueCheckpoints(now time.Duration) {
	for i := 0; i < len(k.due) && len(k.checkpointQueue) < leaseCheckpointsInflight; i++ {
		if l := k.due[i].lease; l.remaining(now) < l.newestCheckpoint() {
			k.queueCheckpoint(l)
		}
	}
}

// renew sets a lease's remaining time to its TTL.
func (k *leaseClock) renew(l *timedLease, now time.Duration) { l.deadline = now + seconds(l.ttl) }

// applyChanges takes over changes of leases in the state. Changes already contained in the clock's initial state are reported again, in
// order to their end, and so have no effect.
func (k *leaseClock) applyChanges(changes []index.LeaseChange, now time.Duration, t leaseTiming) {
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
			applied := min(l.pendingCheckpoints, 1)
			l.checkpointed, l.pendingCheckpoints, k.checkpoints = timed(change.Lease).checkpointed, l.pendingCheckpoints-applied, k.checkpoints-applied
			k.answerCheckpointed(l, now)
		}
	}
}

// remove forgets a lease that was revoked, by any member.
func (k *leaseClock) remove(l *timedLease) {
	delete(k.leases, l.id)
	if l.heapIndex >= 0 {
		heap.Remove(&k.due, l.heapIndex)
	}
	if l.revoking {
		k.revoking--
	}
	k.checkpoints -= l.pendingCheckpoints
	l.revoked = true
	for _, ask := range l.asks {
		k.addAnswer(ask, kv.LeaseTime{}, 0)
	}
	l.asks = nil
}

// answerCheckpointed answers the renewals that waited for a checkpoint of the full TTL.
func (k *leaseClock) answerCheckpointed(l *timedLease, now time.Duration) {
	if len(l.asks) == 0 || l.revoking || l.deadline <= now {
		return // it has expired meanwhile, and they wait for its revocation
	}
	if l.lacksFullCheckpoint() {
		k.queueCheckpoint(l)
		return
	}
	k.renew(l, now)
	for _, ask := range l.asks {
		k.renewals++
		k.addAnswer(ask, kv.LeaseTime{TTL: l.ttl, Granted: l.ttl}, 0)
	}
	l.asks = nil
}

// addAnswer adds the answer to a query; it leaves at the end of the turn.
func (k *leaseClock) addAnswer(ask clockAsk, time kv.LeaseTime, index uint64) {
	k.openAsks--
	i := slices.IndexFunc(k.unsent, func(t memberAnswers) bool { return t.member == ask.from && len(t.Times) < limits.LeaseAsks })
	if i < 0 {
		i = len(k.unsent)
		k.unsent = append(k.unsent, memberAnswers{member: ask.from})
	}
	k.unsent[i].Index = max(k.unsent[i].Index, index)
	k.unsent[i].Times = append(k.unsent[i].Times, peerframe.LeaseTime{Number: ask.Number, LeaseTime: time})
}

// tick moves expired leases from due to expired, and queues checkpoints of the others. While an entry's checkpoints wait, the other due
// leases wait in their order: a renewal that needs a checkpoint does not wait for all of them.
func (k *leaseClock) tick(at time.Duration, t leaseTiming) {
	now := k.time(at)
	for n := 0; n < leaseDuesPerTick && len(k.due) > 0 && k.due[0].at <= now && len(k.checkpointQueue) < limits.LeaseCheckpoints; n++ {
		l := k.due[0].lease
		switch next := l.next(t); {
		case next > now: // it was renewed
			k.due.postpone(l, next)
		case l.deadline <= now:
			heap.Pop(&k.due)
			k.expire(l)
		default:
			k.queueCheckpoint(l)
			k.due.postpone(l, min(now+time.Second, l.deadline)) // the checkpoint is under way by then
		}
	}
}

// begin makes one round of all waiting queries and expired leases, and reports whether there were any.
func (k *leaseClock) begin(now time.Duration, id uint64) bool {
	if !k.running || len(k.unproven)+len(k.expired) == 0 || len(k.rounds) >= readAttemptsInflight {
		return false
	}
	k.rounds = append(k.rounds, leaseRound{id: id, since: k.time(now), asks: k.unproven})
	k.unproven = nil
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

// retry makes the queries of rounds wait again that a lost message may have ended.
func (k *leaseClock) retry(now, after time.Duration) {
	for len(k.rounds) > 0 && k.time(now)-k.rounds[0].since >= after {
		k.unproven = append(k.unproven, k.rounds[0].asks...)
		k.rounds = k.rounds[1:]
	}
}

// answer answers a query after two conditions: this member was shown to lead, and the state has everything committed when the query
// arrived. A lease that had expired by then is not renewed any more: its keys may be deleted at any moment.
func (k *leaseClock) answer(ask clockAsk, now time.Duration, index uint64) {
	l := k.leases[ask.Lease]
	switch {
	case l == nil && ask.Renew:
		k.addAnswer(ask, kv.LeaseTime{}, index)
	case l == nil:
		k.addAnswer(ask, kv.LeaseTime{TTL: -1}, index)
	case !ask.Renew:
		k.addAnswer(ask, kv.LeaseTime{TTL: min(int64(max(l.deadline-now, 0)/time.Second), l.ttl), Granted: l.ttl}, index)
	case l.revoking || l.deadline <= ask.at:
		l.asks = append(l.asks, ask)
	default:
		k.renew(l, now)
		l.asks = append(l.asks, ask)
		k.answerCheckpointed(l, now)
	}
}

// takeCheckpoints takes the next queued leases whose newest checkpoint differs, as many as an entry may checkpoint now, and returns their
// remaining times.
func (k *leaseClock) takeCheckpoints(now time.Duration) (all []kv.Lease) {
	n := 0
	for most := min(limits.LeaseCheckpoints, leaseCheckpointsInflight-k.checkpoints); len(all) < most && n < len(k.checkpointQueue); n++ {
		l := k.checkpointQueue[n]
		l.queued = false
		if l.revoked || l.revoking || l.deadline <= now {
			continue
		}
		left := min(l.remaining(now), l.ttl)
		if len(l.asks) > 0 {
			left = l.ttl // a waiting renewal is answered once this is checkpointed
		}
		if left != l.newestCheckpoint() {
			all = append(all, kv.Lease{ID: l.id, Remaining: left, Granted: l.granted})
		}
	}
	k.checkpointQueue = dropFirst(k.checkpointQueue, n)
	return all
}

// checkpointsProposed notes that these checkpoints are in raft's log.
func (k *leaseClock) checkpointsProposed(all []kv.Lease) {
	for _, one := range all {
		l := k.leases[one.ID]
		l.proposedCheckpoint = one.Remaining
		l.pendingCheckpoints++
	}
	k.checkpoints += len(all)
}
