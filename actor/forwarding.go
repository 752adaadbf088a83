package actor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// A follower's batches travel to the leader of a term in the order of their numbers, and the leader accepts each once:
//
//	follower                                             leader
//	forward 5, 9, 12 ────────────────────────────────►   accepts 5; 9 is lost; 12 is not the next one: ignored
//	     5 need not be sent again                   ◄─   accepted up to 9, which is lost
//	forward 9 ───────────────────────────────────────►   accepts 9
//	     9 need not be sent again                   ◄─   accepted up to 12
//	forward 12, 15 ──────────────────────────────────►   accepts 12 and 15
//	connected anew, or no progress for a while:
//	forward 18 ──────────────────────────────────────►   accepts 18
//
// What is sent again begins with one batch, and for each that the leader accepts two more follow, as in TCP's slow start
// (RFC 5681, 3.1), until the leader has all. Batches that are on their way again are not sent a third time: where the leader's
// words come batch by batch, these would be all that follows, two in a round trip, however many the clients write meanwhile.
// A batch that comes ahead of its turn shows that one before it was lost, since they travel in order. The leader says so, and
// the follower goes back to the lost one, with half as many on their way. So a leader that drops what it has no room for is
// not sent more than it takes, and no timer is waited for as long as anything comes in.
//
// What the leader has accepted stands in its log, or will when raft has room, and a term that ends makes all of it void on
// both sides. So a connection that breaks while the leader stays costs a moment, and not the clients' time; and what the
// leader has is not sent again, however far behind it the follower's own log is.

// forwards are the batches that this member has sent to the leader of the present term and not seen in its log.
//
// Invariants:
//
//  1. inFlight is ordered by first, and all of it was packed in the present term.
//  2. bytes is the sum of inFlight[i].bytes.
//  3. The leader has accepted what is below next; inFlight[i].envelope is kept from there on.
//  4. tries counts the resends since a batch was added to none, accepted, or seen.
//  5. resending: something was sent again, and since then the leader never had all that is in flight. Meanwhile the first
//     sent of unaccepted are on their way, window of them at most; what is added waits for its turn. Else all are.
//  6. again: the first of unaccepted was sent again since it is the first, and since the last probe.
//  7. probes counts the probes since the leader took something last.
type forwards struct {
	inFlight  []forwardedBatch
	bytes     int64
	next      uint64
	since     time.Duration // of the last resend, or of what set tries to 0
	tries     int
	resending bool
	sent      int // batches
	window    int // batches
	again     bool
	probes    int
}

// forwardedBatch is a batch envelope; first is the number of its first command.
type forwardedBatch struct {
	first    uint64
	envelope []byte
	bytes    int64 // of the envelope
}

// reset forgets all: the term is over, or a snapshot was installed that does not say what it holds.
func (f *forwards) reset() { *f = forwards{} }

// add keeps a batch, and returns what is to be sent now.
func (f *forwards) add(first uint64, envelope []byte, now time.Duration) []forwardedBatch {
	if len(f.unaccepted()) == 0 {
		f.since, f.tries = now, 0
	}
	b := forwardedBatch{first, envelope, int64(len(envelope))}
	f.inFlight = append(f.inFlight, b)
	f.bytes += b.bytes
	if !f.resending {
		return f.inFlight[len(f.inFlight)-1:]
	}
	return f.send()
}

// accepted notes that the leader has what is below a number, and returns what is to be sent now.
func (f *forwards) accepted(next uint64, now time.Duration) []forwardedBatch {
	if next <= f.next {
		return nil
	}
	before := f.unaccepted()
	f.next = next
	rest := f.unaccepted()
	taken := len(before) - len(rest)
	for i := range before[:taken] {
		before[i].envelope = nil
	}
	f.since, f.tries = now, 0
	f.again = f.again && taken == 0
	f.probes = 0
	f.resending = f.resending && len(rest) > 0
	if !f.resending {
		return nil
	}
	f.sent = max(0, f.sent-taken)
	f.window += taken
	return f.send()
}

// lost notes the leader's word that a batch was not the one that begins with next, which it waits for, and returns what is
// to be sent now. All that it ignores until that one comes in says the same, so it is heard once.
func (f *forwards) lost(next uint64, now time.Duration) []forwardedBatch {
	rest := f.unaccepted()
	if next < f.next || f.again || len(rest) == 0 || f.resending && f.sent == 0 {
		return nil
	}
	if !f.resending {
		f.sent = len(rest)
	}
	return f.goBack(max(1, f.sent/2), now)
}

// goBack returns the batches that are sent again first.
func (f *forwards) goBack(window int, now time.Duration) []forwardedBatch {
	f.since, f.again, f.resending = now, true, true
	f.sent, f.window = 0, window
	return f.send()
}

// send returns the batches that the window lets follow what is on its way.
func (f *forwards) send() []forwardedBatch {
	rest := f.unaccepted()
	from := f.sent
	f.sent = max(from, min(f.window, len(rest)))
	return rest[from:f.sent]
}

// seen forgets the batch that begins with a number, and those before it: the leader has accepted them in their order, and
// the log may say so before its word does. It returns what is to be sent now.
func (f *forwards) seen(first uint64, now time.Duration) (next []forwardedBatch) {
	if len(f.inFlight) > 0 && f.inFlight[0].first <= first {
		next = f.accepted(first+1, now)
	}
	for len(f.inFlight) > 0 && f.inFlight[0].first <= first {
		f.bytes -= f.inFlight[0].bytes
		f.inFlight[0].envelope = nil
		f.inFlight = f.inFlight[1:]
		f.since, f.tries = now, 0
	}
	return next
}

// unaccepted are the batches that the leader may not have.
func (f *forwards) unaccepted() []forwardedBatch {
	i := sort.Search(len(f.inFlight), func(i int) bool { return f.inFlight[i].first >= f.next })
	return f.inFlight[i:]
}

const doublings = 4 // of an interval after which something is sent again

// due tells whether it is time to send again. The intervals double: on a slow way, or with a busy leader, what is sent
// again lies behind what was sent before, and makes it slower still.
func (f *forwards) due(now, electionTimeout time.Duration) bool {
	return len(f.unaccepted()) > 0 && now-f.since >= electionTimeout<<min(f.tries, doublings)
}

// probeDue tells whether it is time for a probe: batches were lost lately, the leader has accepted some since, and says no
// more. Two heartbeat intervals are more than a round trip as a rule, and where they are not, a probe is one batch too many
// and slows nothing down. The intervals double here, too, since a probe may be lost as well.
func (f *forwards) probeDue(now, heartbeatInterval time.Duration) bool {
	return f.resending && f.tries == 0 && len(f.unaccepted()) > 0 && now-f.since >= 2*heartbeatInterval<<min(f.probes, doublings)
}

// probe returns the last batch of those that are on their way, to be sent once more: where it was lost, no later one tells
// (RFC 8985, 7). The leader takes it, or says that one before it was lost, or has it already.
func (f *forwards) probe(now time.Duration) []forwardedBatch {
	f.since, f.again = now, false
	f.probes++
	return f.unaccepted()[f.sent-1 : f.sent]
}

// resend returns what is to be sent again where nothing tells what was lost, and counts that.
func (f *forwards) resend(now time.Duration) []forwardedBatch {
	f.tries++
	if len(f.unaccepted()) == 0 {
		f.since = now
		return nil
	}
	return f.goBack(1, now)
}

// accepted is what a leader has accepted of its followers in its term.
//
// Invariants:
//
//  1. next[f] is the number that f's next batch begins with; f's batches before it were proposed or are deferred.
//  2. deferred is in the order of acceptance.
//  3. unplaced are the members of the batches that were proposed since the last order to the log writer.
//  4. awaited[m] is the newest entry with commands of m's clients, until m is told that it is committed: their
//     answers wait for that, so it is told at once, not with the next frame to m.
//  5. unanswered are the processes, each once, that were not told yet what was accepted since they forwarded something, and
//     whether what came last of what was not there yet was ahead of its turn.
type accepted struct {
	next     map[forwarder]uint64
	deferred []deferredBatch
	unplaced []uint64
	awaited  map[uint64]uint64

	unanswered []unanswered
}

// unanswered is who is to be told what was accepted.
type unanswered struct {
	forwarder
	lost bool // what it waits for
}

// deferredBatch is an accepted batch that was not proposed yet.
type deferredBatch struct {
	from     uint64
	envelope []byte
	change   bool // its one command changes the membership
}

// forwarder is one process of a member.
type forwarder struct{ member, incarnation uint64 }

// reset forgets all: the term is over.
func (a *accepted) reset() {
	*a = accepted{next: map[forwarder]uint64{}, awaited: map[uint64]uint64{}}
}

// accept takes a batch if it is the next one, and tells whether it was. What is older than the oldest batch that its
// sender has in flight was accepted in this term or is not wanted any more, so the oldest is the next one of a process
// that this leader has not heard of.
func (a *accepted) accept(who forwarder, first uint64, commands int, oldest uint64) bool {
	i := slices.IndexFunc(a.unanswered, func(u unanswered) bool { return u.forwarder == who })
	if i < 0 {
		i = len(a.unanswered)
		a.unanswered = append(a.unanswered, unanswered{forwarder: who})
	}
	next := max(a.next[who], oldest)
	if first >= next {
		a.unanswered[i].lost = first > next
	}
	if first != next {
		return false
	}
	a.next[who] = first + uint64(commands)
	return true
}

func (a *accepted) add(b deferredBatch) { a.deferred = append(a.deferred, b) }

// proposed moves the oldest deferred batch on: raft has it.
func (a *accepted) proposed() {
	a.unplaced = append(a.unplaced, a.deferred[0].from)
	a.deferred[0] = deferredBatch{}
	if a.deferred = a.deferred[1:]; len(a.deferred) == 0 {
		a.deferred = nil
	}
}

// placed notes that what was proposed since the last time ends with an entry.
func (a *accepted) placed(last uint64) {
	for _, from := range a.unplaced {
		a.awaited[from] = last
	}
	a.unplaced = a.unplaced[:0]
}

// prompt tells whether a follower's clients wait for a commit index, and forgets it.
func (a *accepted) prompt(follower, commit uint64) bool {
	last := a.awaited[follower]
	if last == 0 || commit < last {
		return false
	}
	delete(a.awaited, follower)
	return true
}

// forward sends batches to the leader; what is older than the oldest in flight it has, or nobody wants it any more.
func (c *Consensus) forward(leader uint64, batches []forwardedBatch) {
	for _, b := range batches {
		c.Peers.Send(leader, Forward{Term: c.term, Oldest: c.forwards.inFlight[0].first, Envelope: b.envelope}, false)
	}
}

// forwardAgain begins to send again what the leader may not have.
func (c *Consensus) forwardAgain() {
	if c.mayForward() {
		c.forward(c.raft.BasicStatus().Lead, c.forwards.resend(c.now.Now))
	}
}

// mayForward tells whether this member takes part, and is connected to the leader of the term that its batches are of.
func (c *Consensus) mayForward() bool {
	status := c.raft.BasicStatus()
	return !c.quarantine.active() && status.GetTerm() == c.term && c.connected[status.Lead]
}

// seeForwarded forgets own batches that stand in the log.
func (c *Consensus) seeForwarded(entries []*raftpb.Entry) {
	for _, e := range entries {
		if len(c.forwards.inFlight) == 0 {
			return
		}
		data, err := EnvelopeOf(e)
		if err != nil || len(data) == 0 {
			continue // the applier looks at what cannot be read
		}
		envelope, err := index.ReadEnvelope(data)
		if err == nil && envelope.Member == c.Member && envelope.Incarnation == c.Incarnation {
			if next := c.forwards.seen(envelope.First, c.now.Now); c.mayForward() {
				c.forward(c.raft.BasicStatus().Lead, next)
			}
		}
	}
}

// forwardsAccepted hears from the leader what it has, and how far its log is committed.
func (c *Consensus) forwardsAccepted(from uint64, m Accepted) {
	if m.Term == c.term && m.Incarnation == c.Incarnation {
		c.forward(from, c.forwards.accepted(m.Next, c.now.Now))
		if m.Lost {
			c.forward(from, c.forwards.lost(m.Next, c.now.Now))
		}
		c.lag.heard(m.Commit)
	}
}

// answerForwards tells followers what was accepted of them, with the next frames to them.
func (c *Consensus) answerForwards() {
	for _, who := range c.accepted.unanswered {
		m := Accepted{Term: c.term, Incarnation: who.incarnation, Next: c.accepted.next[who.forwarder], Lost: who.lost, Commit: c.raft.BasicStatus().GetCommit()}
		c.Peers.Send(who.member, m, true)
	}
	c.accepted.unanswered = c.accepted.unanswered[:0]
}

// acceptForward takes a follower's batch, if it is meant for this leadership, and is the next one. The turn's end proposes it.
func (c *Consensus) acceptForward(from uint64, f Forward) {
	status := c.raft.BasicStatus()
	if status.RaftState != raft.StateLeader || status.GetTerm() != f.Term || c.term != f.Term {
		return // void: the follower learns it from the first entry of the later term
	}
	e, err := index.ReadEnvelope(f.Envelope)
	if err != nil || e.Member != from || e.Count > limits.BatchCommands {
		c.refuseForward(from, fmt.Errorf("it is of member %x: %w", e.Member, cmp.Or(err, errForward)))
		return
	}
	if !c.accepted.accept(forwarder{from, e.Incarnation}, e.First, e.Count, f.Oldest) {
		return
	}
	if err := index.CheckEnvelope(f.Envelope); err != nil {
		// What is accepted is answered, through the log as everything else.
		c.refuseForward(from, err)
		f.Envelope = index.RefuseEnvelope(e, kv.Errorf(kv.FeatureLevel, "the leader %s refuses the write, and it certainly did not happen: %v", c.Status.NameOf(c.Member), err))
	}
	c.accepted.add(deferredBatch{from, f.Envelope, e.Count == 1 && index.ChangesMembership(e.Commands)})
}

// refusedEnvelope stands in the log for an envelope that was accepted and is refused.
func refusedEnvelope(envelope []byte, why *kv.Error) []byte {
	e, err := index.ReadEnvelope(envelope)
	if err != nil {
		panic(fmt.Sprintf("an envelope that was accepted cannot be read: %v", err))
	}
	return index.RefuseEnvelope(e, why)
}

var errForward = errors.New("a follower forwards its own batches, each of limits.BatchCommands commands at most")

// refuseForward tells of the first batch that is refused, the second, the fourth, and so on: a faulty peer sends many.
func (c *Consensus) refuseForward(from uint64, err error) {
	if c.refusedForwards++; c.refusedForwards&(c.refusedForwards-1) == 0 {
		c.Logger.Error("a forwarded batch is refused", "peer", c.Status.NameOf(from), "error", err, "times", c.refusedForwards)
	}
}

// proposeDeferred proposes the oldest of what was accepted of followers, and tells whether raft had room for it.
func (c *Consensus) proposeDeferred() bool {
	envelope := c.accepted.deferred[0].envelope
	change, refused := c.changeIn(envelope, c.accepted.deferred[0].change)
	if refused != nil {
		envelope = refusedEnvelope(envelope, refused)
	}
	if err := c.proposeEnvelope(envelope, change); errors.Is(err, raft.ErrProposalDropped) {
		return false
	} else if err != nil {
		panic(fmt.Sprintf("raft refused a forwarded batch of %d bytes: %v", len(envelope), err))
	}
	c.accepted.proposed()
	c.handed(int64(len(envelope)))
	return true
}
