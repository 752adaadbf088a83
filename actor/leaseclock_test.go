package actor

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// clockTest is a lease clock that leads, with a log that takes all at once or when it is told to.
type clockTest struct {
	t   *testing.T
	k   leaseClock
	now time.Duration
	log []index.LeaseChange // that is not applied
	ids uint64
	asc uint64 // the last ask

	beside bool // others' writes are proposed with each turn
	keys   int  // that each lease has
}

var testTiming = leaseTiming{time.Second, limits.LeaseLengthening}

func newClockTest(t *testing.T, leases ...kv.Lease) *clockTest {
	s := index.NewState(limits.Defaults().Index)
	for i, l := range leases {
		commands := [][]byte{new(index.Head).AppendGrant(nil, l).Bytes}
		l.Granted = uint64(i + 1)
		if l.Remaining != 0 {
			commands = append(commands, index.AppendCheckpoint(nil, []kv.Lease{l}, 1).Bytes)
		}
		if _, err := s.Apply(uint64(i+1), 1, index.AppendEnvelope(nil, index.Envelope{Level: index.FirstLevel}, commands), nil); err != nil {
			t.Fatal(err)
		}
	}
	c := &clockTest{t: t}
	c.k.start(s.View(), 0, testTiming)
	return c
}

func (c *clockTest) keysOf(int64) int { return c.keys }

// ask asks, and lets a round be confirmed at once.
func (c *clockTest) ask(lease int64, renew bool) (number uint64) {
	c.asc++
	c.k.openAsks++
	c.k.unproven = append(c.k.unproven, clockAsk{LeaseAsk: peerframe.LeaseAsk{Number: c.asc, LeaseAsk: kv.LeaseAsk{Lease: lease, Renew: renew}}, from: 2, at: c.k.time(c.now)})
	return c.asc
}

// round begins a round if there is reason, and confirms it.
func (c *clockTest) round() {
	c.ids++
	if !c.k.begin(c.now, c.ids) {
		return
	}
	if c.k.confirm(binary.BigEndian.AppendUint64(nil, c.ids+1000), 0) || !c.k.confirm(binary.BigEndian.AppendUint64(nil, c.ids), 0) {
		c.t.Error("a round is confirmed by another one's answer, or not by its own")
	}
	round := c.k.confirmed[0]
	c.k.confirmed = nil
	for _, ask := range round.asks {
		c.k.answer(ask, c.k.time(c.now), 0)
	}
	c.k.prove(round.since, c.k.time(c.now), testTiming)
}

// propose is what proposeLeases does.
func (c *clockTest) propose() (said []string) {
	now := c.k.time(c.now)
	revoke := c.k.toRevoke(now, testTiming, c.keysOf, c.k.mayRevoke(now, c.beside))
	c.k.revocationsProposed(revoke)
	for _, l := range revoke {
		said = append(said, fmt.Sprint("revoke ", l.id))
		c.log = append(c.log, index.LeaseChange{Lease: kv.Lease{ID: l.id, TTL: l.ttl}, Gone: true})
	}
	notes := c.k.takeCheckpoints(now)
	for _, n := range notes {
		said = append(said, fmt.Sprint("note ", n.ID, " ", n.Remaining))
		c.log = append(c.log, index.LeaseChange{Lease: kv.Lease{ID: n.ID, TTL: c.k.leases[n.ID].ttl, Remaining: n.Remaining}})
	}
	c.k.checkpointsProposed(notes)
	return said
}

// apply applies the oldest n changes of the log.
func (c *clockTest) apply(n int) {
	c.k.applyChanges(c.log[:n], c.k.time(c.now), testTiming)
	c.log = c.log[n:]
}

// told takes the answers.
func (c *clockTest) told() string {
	var said []string
	for _, t := range c.k.unsent {
		for _, one := range t.Times {
			said = append(said, fmt.Sprintf("%d:%d/%d", one.Number, one.TTL, one.Granted))
		}
	}
	c.k.unsent = nil
	return strings.Join(said, " ")
}

// pass lets time pass, with a tick and a round each 10 ms, and returns what is proposed, with its time.
func (c *clockTest) pass(d time.Duration) (said []string) {
	for end := c.now + d; c.now < end; {
		c.now += TickInterval
		c.k.tick(c.now, testTiming)
		c.round()
		for _, one := range c.propose() {
			said = append(said, fmt.Sprintf("%v %s", c.now.Round(100*time.Millisecond), one))
		}
	}
	return said
}

func (c *clockTest) want(what string, got, want any) {
	c.t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		c.t.Errorf("%s: %s, want %s", what, g, w)
	}
}

// A new leader's clock gives each lease what the log says is left, and an election timeout, and ends none before.
func TestLeaseClockBegins(t *testing.T) {
	c := newClockTest(t, kv.Lease{ID: 1, TTL: 10}, kv.Lease{ID: 2, TTL: 20, Remaining: 5}, kv.Lease{ID: -3, TTL: 40, Remaining: 40})
	c.want("asked at once", c.pass(10*time.Millisecond), "[]")
	c.ask(2, false)
	c.ask(7, false)
	c.ask(7, true)
	c.ask(1, false) // more is left than it was granted for, which nobody is told
	c.round()
	c.want("answers", c.told(), "1:5/20 2:-1/0 3:0/0 4:10/10")
	c.want("their ends", c.pass(20*time.Second), "[6s revoke 2 7.7s note 1 4 11s revoke 1]")
	c.apply(3)
	c.want("the rest", c.pass(time.Minute), "[27s note -3 14 41s revoke -3]")
	c.want("under way", c.k.revoking, 1)
	c.apply(2)
	c.want("leases left", fmt.Sprint(len(c.k.leases), len(c.k.due), len(c.k.expired), c.k.revocable.tree.Len(), c.k.revoking, c.k.openAsks), "0 0 0 0 0 0")
}

// What has expired is revoked only after a round that began when it had, and renewed only by what came before.
func TestLeaseIsRevokedOrRenewed(t *testing.T) {
	c := newClockTest(t)
	c.k.applyChanges([]index.LeaseChange{{Lease: kv.Lease{ID: 1, TTL: 10}}, {Lease: kv.Lease{ID: 2, TTL: 9}}, {Lease: kv.Lease{ID: 3, TTL: 10}}}, c.now, testTiming)
	c.now = 10*time.Second - 1
	c.ask(1, true) // just in time; a round of it comes later
	c.now = 10 * time.Second
	c.k.tick(c.now, testTiming)
	c.want("before a round", c.propose(), "[]")
	late := c.ask(2, true)
	c.round()
	c.want("what came in time is renewed, what came late waits", c.told(), "1:10/10")
	c.want("the others end", c.propose(), "[revoke 2 revoke 3]")
	c.want("once", c.propose(), "[]")
	after := c.ask(3, true)
	c.now += time.Millisecond
	c.round()
	c.want("while they are being revoked", c.told(), "")
	c.apply(1)
	c.want("the end of one", c.told(), fmt.Sprintf("%d:0/0", late))
	c.apply(1)
	c.want("the end of the other one", c.told(), fmt.Sprintf("%d:0/0", after))
	c.want("the renewed one", c.pass(11*time.Second), "[16.7s note 1 4 20s revoke 1]")
}

// A round that began before a lease had expired does not prove that this member led when it had: another leader may have renewed it.
func TestRoundOfBeforeProvesNothing(t *testing.T) {
	c := newClockTest(t)
	c.k.applyChanges([]index.LeaseChange{{Lease: kv.Lease{ID: 1, TTL: 10}}, {Lease: kv.Lease{ID: 2, TTL: 60}}}, c.now, testTiming)
	c.now = 10*time.Second - TickInterval
	c.k.prove(c.now, c.now, testTiming)
	began := c.now
	c.now += 2 * TickInterval
	c.k.tick(c.now, testTiming)
	c.k.prove(began, c.now, testTiming)
	c.want("by a round of before", c.propose(), "[]")
	c.k.prove(began+TickInterval, c.now, testTiming)
	c.want("by a round that began when it had expired", c.propose(), "[revoke 1]")
}

// A lease is not charged for a time for which nobody could renew it, because its leader's process stood still.
func TestLeaseClockStandsStill(t *testing.T) {
	c := newClockTest(t)
	c.k.applyChanges([]index.LeaseChange{{Lease: kv.Lease{ID: 1, TTL: 10}}}, c.now, testTiming)
	c.pass(5 * time.Second)
	c.now += time.Hour
	c.k.stopped += time.Hour
	c.want("after an hour", c.pass(6*time.Second), "[1h0m6.7s note 1 4 1h0m10s revoke 1]")
}

// What is left is noted, so that a failover lengthens a lease by little; and a renewal is answered when the log does not say
// that less is left than was promised.
func TestLeaseNotes(t *testing.T) {
	c := newClockTest(t)
	c.k.applyChanges([]index.LeaseChange{{Lease: kv.Lease{ID: 1, TTL: 100}}, {Lease: kv.Lease{ID: 2, TTL: 1000}}, {Lease: kv.Lease{ID: 3, TTL: 25}}}, c.now, testTiming)
	c.want("notes", c.pass(60*time.Second), "[21s note 3 4 25s revoke 3 26s note 1 74 52s note 1 48]")
	number := c.ask(1, true)
	c.round()
	c.want("with two notes under way", c.told(), "")
	c.want("it is noted that all is left", c.propose(), "[note 1 100]")
	c.apply(3)
	c.want("the first note is applied", c.told(), "")
	c.apply(1)
	c.want("the second one", c.told(), "")
	c.want("nothing is noted twice", c.propose(), "[]")
	c.apply(1)
	c.want("the correction", c.told(), fmt.Sprintf("%d:100/100", number))
	number = c.ask(1, true)
	c.round()
	c.want("at once, as nothing is to be corrected", c.told(), fmt.Sprintf("%d:100/100", number))
	c.want("a tenth of a long one", c.pass(150 * time.Second)[0], "1m26s note 1 74")
}

// All leases of one TTL that were not renewed after an election need a checkpoint at the same time. An entry has a bounded number of
// checkpoints, two entries of them are in flight at most, and a renewal that needs a full checkpoint does not wait for all others.
func TestCheckpointsDueTogether(t *testing.T) {
	const all = 10 * limits.LeaseCheckpoints
	leases := make([]kv.Lease, all)
	for i := range leases {
		leases[i] = kv.Lease{ID: int64(i + 1), TTL: 60}
	}
	c := newClockTest(t, leases...)
	c.want("before", len(c.pass(27*time.Second-TickInterval)), 0)
	c.want("the first entry", len(c.pass(TickInterval)), limits.LeaseCheckpoints)
	c.want("the second one", len(c.pass(TickInterval)), limits.LeaseCheckpoints)
	c.want("while none is applied", len(c.pass(10*TickInterval)), 0)
	c.want("in flight", c.k.checkpoints, leaseCheckpointsInflight)

	number := c.ask(c.log[0].Lease.ID, true)
	proposed, answer := len(c.log), ""
	for n := 0; len(c.log) > 0; n++ {
		if c.apply(len(c.log)); answer == "" {
			answer = c.told()
		}
		if n == 5 && answer == "" {
			t.Errorf("a renewal waits for %d checkpoints", proposed)
		}
		more := len(c.pass(TickInterval))
		if proposed += more; more > limits.LeaseCheckpoints {
			t.Errorf("an entry has %d checkpoints", more)
		}
	}
	c.want("answer", answer, fmt.Sprintf("%d:60/60", number))
	c.want("one checkpoint of each lease, and a full one", proposed, all+1)
	c.want("in flight at the end", c.k.checkpoints, 0)
}

// A tick looks at a bounded number of leases, also of those that were renewed: a leader that looks at all misses its heartbeats.
func TestLeasesDueTogether(t *testing.T) {
	c := newClockTest(t)
	var changes []index.LeaseChange
	for _, id := range idsUpTo(3 * leaseDuesPerTick) {
		changes = append(changes, index.LeaseChange{Lease: kv.Lease{ID: id, TTL: 60}})
	}
	c.k.applyChanges(changes, c.now, testTiming)
	c.now = 25 * time.Second
	for _, l := range c.k.leases {
		c.k.renew(l, c.now)
	}
	c.now = 50 * time.Second
	for tick := range 3 {
		c.k.tick(c.now, testTiming)
		seen := 0
		for _, due := range c.k.due {
			if due.at > c.now {
				seen++
			}
		}
		c.want("seen", seen, (tick+1)*leaseDuesPerTick)
	}
}

// A checkpoint in flight ends with its lease.
func TestCheckpointOfARevokedLease(t *testing.T) {
	c := newClockTest(t, kv.Lease{ID: 1, TTL: 60})
	c.want("checkpoint", c.pass(28*time.Second), "[27s note 1 34]")
	c.want("in flight", c.k.checkpoints, 1)
	c.k.applyChanges([]index.LeaseChange{{Lease: kv.Lease{ID: 1}, Gone: true}}, c.now, testTiming)
	c.want("in flight after the client's revocation", c.k.checkpoints, 0)
}

// A change that the state already had when the clock began ends no note: a renewal is answered only when the log says that all is left.
func TestChangeOfTheStartEndsNoNote(t *testing.T) {
	c := newClockTest(t, kv.Lease{ID: 1, TTL: 100})
	c.k.applyChanges([]index.LeaseChange{{Lease: kv.Lease{ID: 1, TTL: 100}}}, c.now, testTiming)
	c.want("notes", c.pass(28*time.Second), "[27s note 1 74]")
	number := c.ask(1, true)
	c.round()
	c.want("with a note under way", c.told(), "")
	c.want("the correction", c.propose(), "[note 1 100]")
	c.apply(2)
	c.want("both notes are applied", c.told(), fmt.Sprintf("%d:100/100", number))
}

// A renewal whose correction takes longer than the TTL has not happened.
func TestLeaseExpiresBeforeItsNote(t *testing.T) {
	c := newClockTest(t, kv.Lease{ID: 1, TTL: 10, Remaining: 3})
	number := c.ask(1, true)
	c.want("corrected, and then it ends", c.pass(11*time.Second), "[0s note 1 10 10s revoke 1]")
	c.apply(1)
	c.want("the correction", c.told(), "")
	c.apply(1)
	c.want("the end", c.told(), fmt.Sprintf("%d:0/0", number))
}

// expireTogether lets leases of the ids expire together, and a round prove it.
func (c *clockTest) expireTogether(ids ...int64) {
	const ttl = 5
	changes := make([]index.LeaseChange, len(ids))
	for i, id := range ids {
		changes[i] = index.LeaseChange{Lease: kv.Lease{ID: id, TTL: ttl}}
	}
	c.k.applyChanges(changes, c.now, testTiming)
	for _, said := range c.pass(ttl*time.Second - TickInterval) {
		if strings.Contains(said, "revoke") {
			c.t.Errorf("too soon: %s", said)
		}
	}
	c.apply(len(c.log)) // notes
	c.now += TickInterval
	c.k.tick(c.now, testTiming)
	c.want("unproven", c.propose(), "[]")
	c.round()
}

func idsUpTo(n int64) (ids []int64) {
	for id := range n {
		ids = append(ids, id+1)
	}
	return ids
}

// Few leases that end at once are revoked at once. Many are at a pace: an entry has no more than its limit, each tick no more than the
// rate, and all are gone in the time that is promised for 100,000.
func TestLeasesEndTogether(t *testing.T) {
	c := newClockTest(t)
	c.expireTogether(idsUpTo(leaseRevocations)...)
	c.want("few", len(c.propose()), leaseRevocations)
	c.apply(len(c.log))

	c.expireTogether(idsUpTo(100_000)...)
	begun, most := c.now, leaseRevocations+1
	for len(c.k.leases) > 0 {
		if n := len(c.propose()); n > most || c.now > begun+5*time.Second {
			t.Fatalf("%d are revoked after %v, and %d are left: at most %d are to be", n, c.now-begun, len(c.k.leases), most)
		}
		c.apply(len(c.log))
		c.pass(TickInterval)
		most = max(leaseRevocationRate, int(100_000*time.Second/leaseRevocationTime))/int(time.Second/TickInterval) + 1
	}
	if c.now < begun+3*time.Second {
		t.Errorf("all are gone after %v", c.now-begun)
	}
	c.want("is left", fmt.Sprint(len(c.k.due), len(c.k.expired), c.k.revocable.tree.Len(), c.k.revoking), "0 0 0 0")
}

// More than the pace is for take about as long each: one that ends waits for no more than all others do.
func TestPaceFollowsWhatWaits(t *testing.T) {
	var p revocationPace
	p.refill(0, 0)
	p.use(p.available())
	p.refill(time.Millisecond, 1)
	few := p.available()
	p.refill(2*time.Millisecond, 1_000_000)
	if many := p.available() - few; few != leaseRevocationRate/1000 || many != 250 {
		t.Errorf("in a millisecond %d of few, and %d of a million", few, many)
	}
	p.refill(time.Hour, 1_000_000)
	if p.available() != leaseRevocations {
		t.Errorf("%d after an hour", p.available())
	}
}

// No more revocations are under way than the limit, while nothing is applied.
func TestRevocationsUnderWay(t *testing.T) {
	c := newClockTest(t)
	c.expireTogether(idsUpTo(2 * leaseRevocationsInflight)...)
	c.beside = true
	c.pass(time.Minute)
	c.beside = false
	c.want("under way", len(c.log), leaseRevocationsInflight)
	c.apply(1)
	c.want("one is no entry", len(c.pass(time.Second)), 0)
	c.apply(leaseRevocationsAlone)
	c.want("some are", len(c.pass(time.Second)), leaseRevocationsAlone+1)
}

// What waits for the pace goes with others' writes in any number, and by itself only when some have come together, or all: an entry
// of a few would have a sync that others' writes wait for.
func TestRevocationsGoWithWrites(t *testing.T) {
	c := newClockTest(t)
	c.expireTogether(idsUpTo(3 * leaseRevocations)...)
	c.want("the first", len(c.propose()), leaseRevocations)
	const each = leaseRevocationRate / 1000
	c.now += time.Millisecond
	c.want("alone", len(c.propose()), 0)
	c.beside = true
	c.want("beside others", len(c.propose()), each)
	c.beside = false
	c.now += leaseRevocationsAlone * time.Second / leaseRevocationRate
	c.want("not yet", len(c.propose()), 0)
	c.now += time.Microsecond
	c.want("some", len(c.propose()), leaseRevocationsAlone)
	c.apply(len(c.log))
	for rest := len(c.k.leases); len(c.k.leases) > 0; rest = len(c.k.leases) {
		if n := len(c.pass(TickInterval)); n < min(leaseRevocationsAlone, rest) {
			t.Fatalf("%d of %d", n, rest)
		}
		c.apply(len(c.log))
	}
}

// Leases of many keys are more work: fewer go in one entry, and what they take of the pace is missing for those that follow. One
// goes, however many keys it has.
func TestRevocationsOfManyKeys(t *testing.T) {
	c := newClockTest(t)
	c.keys = 1000
	const each = 1 + 1000/leaseRevocationKeys
	c.expireTogether(idsUpTo(100)...)
	c.want("the first", len(c.propose()), (leaseRevocations+each-1)/each)
	c.apply(len(c.log))
	begun, rest := c.now, len(c.k.leases)
	for len(c.k.leases) > 0 {
		if n := len(c.pass(TickInterval)); n > 3 || c.now > begun+time.Second {
			t.Fatalf("%d are revoked in a tick after %v, and %d are left", n, c.now-begun, len(c.k.leases))
		}
		c.apply(len(c.log))
	}
	if least := time.Duration(rest-8) * each * time.Second / leaseRevocationRate; c.now < begun+least {
		t.Errorf("%d are gone in %v, not %v", rest, c.now-begun, least)
	}
	c.keys = limits.LeaseKeys
	c.expireTogether(1, 2, 3)
	c.want("very large ones", len(c.propose()), 2)
}

// The keys of a lease are counted up to a page: more make no difference.
func TestKeysOfALease(t *testing.T) {
	s := index.NewState(limits.Defaults().Index)
	commands := [][]byte{new(index.Head).AppendGrant(nil, kv.Lease{ID: 1, TTL: 9}).Bytes, new(index.Head).AppendGrant(nil, kv.Lease{ID: 2, TTL: 9}).Bytes, new(index.Head).AppendGrant(nil, kv.Lease{ID: 3, TTL: 9}).Bytes}
	for i := range limits.LeaseKeys + 5 {
		commands = append(commands, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, i), Lease: 2}).Bytes)
	}
	commands = append(commands, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("one"), Lease: 3}).Bytes)
	if _, err := s.Apply(1, 1, index.AppendEnvelope(nil, index.Envelope{Level: index.FirstLevel}, commands), nil); err != nil {
		t.Fatal(err)
	}
	of := keysOf(s.View())
	if got := fmt.Sprint(of(1), of(2), of(3), of(4)); got != fmt.Sprint(0, limits.LeaseKeys, 1, 0) {
		t.Error(got)
	}
}

// Leases are revoked by rising id, since neighbours are cheaper for all members, and begin anew behind the greatest: none waits for
// more than all others, however many come between.
func TestRevocationsGoRound(t *testing.T) {
	r := newRevocable()
	expire := func(ids ...int64) {
		for _, id := range ids {
			r.add(&timedLease{id: id})
		}
	}
	take := func(most int) (ids []int64) {
		for one, ok := r.take(); ok; one, ok = r.take() {
			if ids = append(ids, one.id); len(ids) == most {
				break
			}
		}
		return ids
	}
	expire(7, -2, 9, 3)
	if got := fmt.Sprint(take(2)); got != "[3 7]" {
		t.Error("the first two:", got)
	}
	expire(1, 5, -8, 8)
	if got := fmt.Sprint(take(9)); got != "[8 9 -8 -2 1 5]" {
		t.Error("further on, and from the least again:", got)
	}
}

// What raft has no room for waits for its turn again; what was renewed before its turn goes on, and what is gone is passed over.
func TestRevocationsThatAreNotProposed(t *testing.T) {
	c := newClockTest(t)
	c.expireTogether(1, 2, 3, 4)
	c.k.revocable.add(c.k.toRevoke(c.now, testTiming, c.keysOf, 2)...)
	c.k.renew(c.k.leases[3], c.now)
	c.k.applyChanges([]index.LeaseChange{{Lease: kv.Lease{ID: 4}, Gone: true}}, c.now, testTiming)
	c.want("those", c.propose(), "[revoke 1 revoke 2]")
	c.want("the renewed one", c.pass(5*time.Second), "[10s revoke 3]")
	c.apply(3)
	c.want("leases left", fmt.Sprint(len(c.k.leases), len(c.k.due), len(c.k.expired), c.k.revocable.tree.Len(), c.k.revoking), "0 0 0 0 0")
}

// What waits for an answer is asked again, of another leader too, until its client does not wait any longer.
func TestLeaseAsks(t *testing.T) {
	var a leaseAsks
	var to replies
	a.next = 100
	a.add(AskLeases{ReplyTo: &to, Requests: []uint64{7, 8, 9}, Asks: []kv.LeaseAsk{{Lease: 1, Renew: true}, {Lease: 2}, {Lease: 3}}, Timeout: 10 * time.Second}, 0)
	if got := fmt.Sprint(a.send(0)); got != "[{101 {1 true}} {102 {2 false}} {103 {3 false}}]" {
		t.Error("sent:", got)
	}
	if ask, ok := a.takeAnswered(102); !ok || ask.request.Number != 8 {
		t.Error("the second is not known:", ask, ok)
	}
	if _, ok := a.takeAnswered(102); ok {
		t.Error("it is answered twice")
	}
	a.retry(time.Second-1, time.Second)
	if len(a.waiting) != 0 {
		t.Error("sent again too soon")
	}
	a.retry(time.Second, time.Second)
	if got := fmt.Sprint(a.send(time.Second)); got != "[{104 {1 true}} {105 {3 false}}]" {
		t.Error("sent again:", got)
	}
	if _, ok := a.takeAnswered(101); ok {
		t.Error("an answer to an older attempt is taken")
	}
	a.void()
	if got := len(a.send(time.Second)); got != 2 || len(a.waiting) != 0 {
		t.Error("to another leader:", got)
	}
	if _, ok := a.takeAnswered(107); !ok {
		t.Error("the last attempt is not known")
	}
	if got := a.takeExpired(10*time.Second - 1); len(got) != 0 {
		t.Error("expired too soon:", got)
	}
	if got := a.takeExpired(10 * time.Second); len(got) != 1 || got[0].request.Number != 7 || len(a.sent)+len(a.waiting) != 0 {
		t.Error("expired:", got)
	}
}

// What a member is told at once waits for the newest state that any of it needs: an answer that needs none does not let the others go.
func TestToldTogether(t *testing.T) {
	c := newClockTest(t, kv.Lease{ID: 7, TTL: 60})
	c.ask(8, false)
	c.ask(7, true)
	for i, ask := range c.k.unproven {
		c.k.answer(ask, c.now, uint64(9-i))
	}
	if len(c.k.unsent) != 1 || c.k.unsent[0].Index != 9 {
		t.Errorf("told %+v", c.k.unsent)
	}
	c.want("both", c.told(), "1:-1/0 2:60/60")
}

// The answers to one member go in frames that it takes, and none is lost.
func TestAnswersFitFrames(t *testing.T) {
	c := newClockTest(t)
	for range 2*limits.LeaseAsks + 1 {
		c.ask(8, false)
	}
	c.round()
	answers := 0
	for _, told := range c.k.unsent {
		if answers += len(told.Times); len(told.Times) > limits.LeaseAsks {
			t.Errorf("a frame with %d answers, the receiver takes %d", len(told.Times), limits.LeaseAsks)
		}
	}
	c.want("answers", answers, 2*limits.LeaseAsks+1)
}

// Keep-alives of a round that nobody answers go into the next one: their clients would else hear nothing until their time is over.
func TestLostRoundIsAskedAgain(t *testing.T) {
	c := newClockTest(t, kv.Lease{ID: 7, TTL: 60})
	c.ask(7, true)
	c.ids++
	if !c.k.begin(c.now, c.ids) {
		t.Fatal("no round begins")
	}
	c.now += time.Second - 1
	if c.k.retry(c.now, time.Second); len(c.k.rounds) != 1 {
		t.Error("a round is given up before its time")
	}
	c.now++
	c.k.retry(c.now, time.Second)
	c.round()
	c.want("behind the second round", c.told(), "1:60/60")
	c.want("waiting", c.k.openAsks, 0)
	if c.k.confirm(binary.BigEndian.AppendUint64(nil, 1), 0) {
		t.Error("the answer to the round that was given up is taken")
	}
}

// A lease of a few seconds ends although a leader follows another one before it could expire: each leader's note says what is left.
func TestShortLeaseAcrossFailovers(t *testing.T) {
	for ttl, step := range map[int64]struct{ each, most time.Duration }{
		7:  {6600 * time.Millisecond, 16 * time.Second}, // 60 s and more without notes
		10: {9 * time.Second, 22 * time.Second},
		25: {24 * time.Second, 55 * time.Second},
	} {
		left, lived := ttl, time.Duration(0)
		ended := func() bool {
			c := newClockTest(t, kv.Lease{ID: 1, TTL: ttl, Remaining: left})
			for end := step.each; c.now < end; {
				c.pass(TickInterval)
				lived += TickInterval
				for _, change := range c.log {
					if change.Gone {
						return true
					}
					left = change.Lease.Remaining
				}
				c.apply(len(c.log))
			}
			return false
		}
		for failovers := 0; !ended(); failovers++ {
			if failovers == 10 {
				t.Fatalf("a lease of %d s lives on after %d failovers, %v", ttl, failovers, lived)
			}
		}
		if lived > step.most || lived < seconds(ttl) {
			t.Errorf("a lease of %d s ended after %v, at most %v is wanted", ttl, lived, step.most)
		}
	}
}

// A client that renews twice in each TTL, a little late, causes no notes, and no lease ends late because of them.
func TestNotesOfRenewedAndShortLeases(t *testing.T) {
	for _, ttl := range []int64{1, 2, 3, 7, 20, 60} {
		c := newClockTest(t)
		c.k.applyChanges([]index.LeaseChange{{Lease: kv.Lease{ID: 1, TTL: ttl}}}, c.now, testTiming)
		for range 9 {
			if said := c.pass(min(seconds(ttl)*3/5, 20*time.Second)); len(said) > 0 {
				t.Errorf("TTL %d: although it is renewed %v is proposed", ttl, said)
			}
			c.ask(1, true)
			c.round()
		}
		begun := c.now
		for gone := false; !gone; {
			for range c.pass(TickInterval) {
			}
			for _, change := range c.log {
				gone = gone || change.Gone
			}
			c.apply(len(c.log))
			if late := c.now - begun - seconds(ttl); late > 2*TickInterval {
				t.Fatalf("TTL %d: it ends %v late", ttl, late)
			}
		}
		if c.now-begun < seconds(ttl)-TickInterval {
			t.Errorf("TTL %d: it ends after %v", ttl, c.now-begun)
		}
	}
}
