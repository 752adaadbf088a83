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
	"qkv/net/wire/peerframe"
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
// After a loss, the follower sends one batch again. For each batch that the leader accepts two more follow, as in TCP's slow start (RFC
// 5681, 3.1), until the leader has all. Batches already under way again are not sent a third time. If the leader's acknowledgements
// arrive batch by batch, repeats would use up the whole window: two in a round trip, however many the clients write meanwhile. Batches
// travel in order, so a batch ahead of its turn shows that an earlier one was lost. The leader reports the loss, and the follower goes
// back to the lost batch with half the window. A leader that drops batches for lack of space is therefore not sent more than it accepts,
// and no timer is needed while messages arrive.
//
// Accepted batches are in the leader's log, or will be when raft has space for them. The end of the term makes all of them void on both
// sides. If a connection breaks while the leader stays, clients lose a moment, not their timeout. Accepted batches are not sent again,
// however far the follower's own log lags.

// forwards are the batches that this member has sent to the leader of the present term and has not seen in its log.
//
// Invariants:
//
//  1. inFlight is ordered by first, and all of it was packed in the present term.
//  2. bytes is the sum of inFlight[i].bytes.
//  3. The leader has accepted all batches below next; inFlight[i].envelope is kept from there on.
//  4. tries counts the resends since the last batch was accepted, seen, or added when none was unaccepted.
//  5. resending: batches were sent again, and since then the leader never had all batches in flight. Meanwhile the first
//     sent of unaccepted are under way, window of them at most; added batches wait. Otherwise all of unaccepted are under way.
//  6. again: the first of unaccepted was sent again since it became the first, and since the last probe.
//  7. probes counts the probes since the leader last accepted a batch.
type forwards struct {
	inFlight  []forwardedBatch
	bytes     int64
	next      uint64
	since     time.Duration // of the last resend, or of the last reset of tries
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

// reset forgets all batches: the term is over, or a snapshot was installed, which does not list the batches that it holds.
func (f *forwards) reset() { *f = forwards{} }

// add keeps a batch, and returns the batches to send now.
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

// acknowledged notes that the leader has all batches below a number, and returns the batches to send now.
func (f *forwards) acknowledged(next uint64, now time.Duration) []forwardedBatch {
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

// lost handles the leader's report that a batch arrived ahead of next, which the leader waits for. It returns the batches to send now.
// Every batch ignored until next arrives repeats the report, so only the first report counts.
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

// goBack returns the batches to send again first.
func (f *forwards) goBack(window int, now time.Duration) []forwardedBatch {
	f.since, f.again, f.resending = now, true, true
	f.sent, f.window = 0, window
	return f.send()
}

// send returns the batches that the window permits after those under way.
func (f *forwards) send() []forwardedBatch {
	rest := f.unaccepted()
	from := f.sent
	f.sent = max(from, min(f.window, len(rest)))
	return rest[from:f.sent]
}

// inLog removes a batch that is in this member's log, by its first number, and all earlier ones: the leader has accepted them in order, and
// the log may show that before the leader's answer. It returns the batches to send now.
func (f *forwards) inLog(first uint64, now time.Duration) (next []forwardedBatch) {
	if len(f.inFlight) > 0 && f.inFlight[0].first <= first {
		next = f.acknowledged(first+1, now)
	}
	for len(f.inFlight) > 0 && f.inFlight[0].first <= first {
		f.bytes -= f.inFlight[0].bytes
		f.inFlight[0].envelope = nil
		f.inFlight = f.inFlight[1:]
		f.since, f.tries = now, 0
	}
	return next
}

// unaccepted returns the batches that the leader may not have.
func (f *forwards) unaccepted() []forwardedBatch {
	i := sort.Search(len(f.inFlight), func(i int) bool { return f.inFlight[i].first >= f.next })
	return f.inFlight[i:]
}

const doublings = 4 // of the interval between resends

// due reports whether it is time to send again. The intervals double: over a slow connection, or with a busy leader, a repeated batch
// queues behind its first copy and slows the connection further.
func (f *forwards) due(now, electionTimeout time.Duration) bool {
	return len(f.unaccepted()) > 0 && now-f.since >= electionTimeout<<min(f.tries, doublings)
}

// probeDue reports whether it is time for a probe: batches were lost lately, the leader has accepted some since, and is silent now. Two
// heartbeat intervals usually exceed a round trip. If they do not, a probe is one batch too many and slows nothing down. These intervals
// double, too, since a probe may be lost as well.
func (f *forwards) probeDue(now, heartbeatInterval time.Duration) bool {
	return f.resending && f.tries == 0 && len(f.unaccepted()) > 0 && now-f.since >= 2*heartbeatInterval<<min(f.probes, doublings)
}

// probe returns the last batch under way, to be sent once more: if it was lost, no later batch reveals the loss (RFC 8985, 7). The leader
// accepts it, or reports that an earlier one was lost, or has it already.
func (f *forwards) probe(now time.Duration) []forwardedBatch {
	f.since, f.again = now, false
	f.probes++
	return f.unaccepted()[f.sent-1 : f.sent]
}

// resend returns the batches to send again after silence, when the loss is unknown, and counts the resend.
func (f *forwards) resend(now time.Duration) []forwardedBatch {
	f.tries++
	if len(f.unaccepted()) == 0 {
		f.since = now
		return nil
	}
	return f.goBack(1, now)
}

// acceptedBatches is the state of the batches that a leader has accepted from its followers in its term.
//
// Invariants:
//
//  1. next[f] is the number of f's next batch; f's earlier batches were proposed or are deferred.
//  2. deferred is in the order of acceptance.
//  3. unordered are the members of the batches that were proposed since the last order to the log writer.
//  4. awaited[m] is the newest entry with commands of m's clients, until m learns that it is committed. Their
//     answers wait for that, so the leader tells m at once, not with the next frame to m.
//  5. unanswered are the processes, each once, that have forwarded batches since the last answer to them. lost: the newest
//     unaccepted batch was ahead of its turn.
type acceptedBatches struct {
	next      map[forwarder]uint64
	deferred  []deferredBatch
	unordered []uint64
	awaited   map[uint64]uint64

	unanswered []unanswered

	// Of all terms.
	ownWasLast bool   // the leader's last proposal was its own clients', not an accepted one
	refused    uint64 // batches
}

// unanswered is a process that waits for an answer about its batches.
type unanswered struct {
	forwarder
	lost bool // the batch that this member waits for
}

// deferredBatch is an accepted batch that was not proposed yet.
type deferredBatch struct {
	from     uint64
	envelope []byte
	change   *kv.MemberChange // of its one command; otherwise nil
}

// forwarder is one process of a member.
type forwarder struct{ member, incarnation uint64 }

// reset forgets all batches: the term is over.
func (a *acceptedBatches) reset() {
	*a = acceptedBatches{next: map[forwarder]uint64{}, awaited: map[uint64]uint64{}, ownWasLast: a.ownWasLast, refused: a.refused}
}

// accept accepts a batch if it is the next one, and reports whether it was. Batches older than the oldest in flight at their sender were
// accepted in this term, or their clients do not wait any more. For a process unknown to this leader, the oldest batch is therefore the
// next one.
func (a *acceptedBatches) accept(who forwarder, first uint64, commands int, oldest uint64) bool {
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

func (a *acceptedBatches) add(b deferredBatch) { a.deferred = append(a.deferred, b) }

// proposed removes the oldest deferred batch: raft has it.
func (a *acceptedBatches) proposed() {
	a.unordered = append(a.unordered, a.deferred[0].from)
	a.deferred[0] = deferredBatch{}
	if a.deferred = a.deferred[1:]; len(a.deferred) == 0 {
		a.deferred = nil
	}
}

// recordEntry notes the last entry of the batches proposed since the previous call.
func (a *acceptedBatches) recordEntry(last uint64) {
	for _, from := range a.unordered {
		a.awaited[from] = last
	}
	a.unordered = a.unordered[:0]
}

// takeAwaited reports whether a follower's clients wait for a commit index, and ends that: the message with the index is about to leave.
func (a *acceptedBatches) takeAwaited(follower, commit uint64) bool {
	last := a.awaited[follower]
	if last == 0 || commit < last {
		return false
	}
	delete(a.awaited, follower)
	return true
}

// forward sends batches to the leader. The leader has the batches older than the oldest in flight, or no client waits for them.
func (c *Consensus) forward(leader uint64, batches []forwardedBatch) {
	for _, b := range batches {
		c.Peers.Send(leader, peerframe.Forward{Term: c.term, Oldest: c.forwards.inFlight[0].first, Envelope: b.envelope}, false)
	}
}

// forwardAgain begins to resend the batches that the leader may not have.
func (c *Consensus) forwardAgain() {
	if c.mayForward() {
		c.forward(c.raft.BasicStatus().Lead, c.forwards.resend(c.now.Now))
	}
}

// dropForwardsInLog removes this member's batches from the forwards once the leader has put them into the log.
func (c *Consensus) dropForwardsInLog(entries []*raftpb.Entry) {
	for _, e := range entries {
		if len(c.forwards.inFlight) == 0 {
			return
		}
		data, err := EnvelopeOf(e)
		if err != nil || len(data) == 0 {
			continue // the applier handles unreadable entries
		}
		envelope, err := index.ReadEnvelope(data)
		if err == nil && envelope.Member == c.Member && envelope.Incarnation == c.Incarnation {
			if next := c.forwards.inLog(envelope.First, c.now.Now); c.mayForward() {
				c.forward(c.raft.BasicStatus().Lead, next)
			}
		}
	}
}

// forwardsAccepted handles the leader's report of the accepted batches and of its commit index.
func (c *Consensus) forwardsAccepted(from uint64, m peerframe.Accepted) {
	// A leader cannot have batches that this member has not packed. If that were believed, a lost batch would never be sent again.
	if m.Term == c.term && m.Incarnation == c.Incarnation && m.Next <= c.proposals.next {
		c.forward(from, c.forwards.acknowledged(m.Next, c.now.Now))
		if m.Lost {
			c.forward(from, c.forwards.lost(m.Next, c.now.Now))
		}
		c.own.lag.recordCommit(m.Commit)
	}
}

// answerForwards sends followers the numbers of their accepted batches, with the next frames to them.
func (c *Consensus) answerForwards() {
	for _, who := range c.accepted.unanswered {
		m := peerframe.Accepted{Term: c.term, Incarnation: who.incarnation, Next: c.accepted.next[who.forwarder], Lost: who.lost, Commit: c.raft.BasicStatus().GetCommit()}
		c.Peers.Send(who.member, m, true)
	}
	c.accepted.unanswered = c.accepted.unanswered[:0]
}

// receive accepts a follower's batch, if it is meant for this leadership, and is the next one. It is proposed at the end of the turn.
func (a *acceptedBatches) receive(c *core, clocks *clocks, from uint64, f peerframe.Forward) {
	status := c.raft.BasicStatus()
	if status.RaftState != raft.StateLeader || status.GetTerm() != f.Term || c.term != f.Term {
		return // void: the follower learns it from the first entry of the later term
	}
	e, err := index.ReadEnvelope(f.Envelope)
	if err != nil || e.Member != from || e.Count > limits.BatchCommands {
		a.refuse(c, from, fmt.Errorf("it is of member %x: %w", e.Member, cmp.Or(err, errForward)))
		return
	}
	if !a.accept(forwarder{from, e.Incarnation}, e.First, e.Count, f.Oldest) {
		return
	}
	if own := clocks.wall(c.now); e.Wall-own > int64(limits.ClocksApart) {
		e.Wall = own // the state's time never goes back
		f.Envelope = e.Encode()
	}
	change, err := index.CheckEnvelope(f.Envelope)
	if err != nil {
		// An accepted batch is answered through the log, as every other batch.
		a.refuse(c, from, err)
		f.Envelope = index.RefuseEnvelope(f.Envelope, kv.Errorf(kv.FeatureLevel, "the leader %s refuses the write, and it certainly did not happen: %v", c.Status.NameOf(c.Member), err))
	}
	a.add(deferredBatch{from, f.Envelope, change})
}

var errForward = errors.New("a follower forwards its own batches, each of limits.BatchCommands commands at most")

// refuse logs the first refused batch, the second, the fourth, and so on: a faulty peer sends many.
func (a *acceptedBatches) refuse(c *core, from uint64, err error) {
	if a.refused++; a.refused&(a.refused-1) == 0 {
		c.Logger.Error("a forwarded batch is refused", "peer", c.Status.NameOf(from), "error", err, "times", a.refused)
	}
}

// proposeDeferred proposes the oldest batch accepted from followers, and reports whether raft had space for it.
func (c *Consensus) proposeDeferred() bool {
	envelope, change := c.accepted.deferred[0].envelope, c.accepted.deferred[0].change
	if refused := c.membership.judgeChange(&c.core, change); refused != nil {
		envelope, change = index.RefuseEnvelope(envelope, refused), nil
	}
	if err := c.proposeEnvelope(envelope, change); errors.Is(err, raft.ErrProposalDropped) {
		return false
	} else if err != nil {
		panic(fmt.Sprintf("raft refused a forwarded batch of %d bytes: %v", len(envelope), err))
	}
	c.accepted.proposed()
	c.orderIfLarge(int64(len(envelope)))
	return true
}
