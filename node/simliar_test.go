package node

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/net/wire/peerframe"
)

// lies is which frames of one member are changed or forged until everything heals: a real member, run by the real code, of which the
// others hear something else. What cannot be told from a real leader's word is no part of it, since raft has no proof of an election:
// entries and commit indexes that could be true, under a term that the receiver believes.
type lies struct {
	member int     // by number
	rate   float64 // of its frames
	terms  bool    // some of its frames have a later term, too
	alone  bool    // no other fault of the seed injects
}

// liarShare is how many seeds of those with several founders and no amnesiac have a lying member. It is above 5 % of all seeds.
const liarShare = 7

// drawLiar draws a lying member.
func drawLiar(r *rand.Rand, s *shape) {
	if r.IntN(liarShare) > 0 || s.members < 3 || s.spares > 0 || s.amnesiacs > 0 || s.calm {
		return
	}
	s.liar = &lies{member: r.IntN(s.members), rate: 0.02 + 0.2*r.Float64(), terms: r.IntN(2) == 0}
	if s.liar.alone = !s.liar.terms && r.IntN(2) == 0; s.liar.alone {
		s.faults, s.loss, s.crashesInRecovery = nil, 0, 0
	}
}

// impossible is by how much a false commit index is too high.
const impossible = 100_000

// lie changes a frame of the lying member, or sends another one beside it. It returns the frame that is sent.
func (n *network) lie(from, to *host, class peerframe.Class, frame []byte) []byte {
	w, l := n.w, n.w.shape.liar
	if l == nil || w.healed != 0 {
		return frame
	}
	m, err := peerframe.Read(frame, from.id(), to.id())
	if err != nil {
		return frame
	}
	liar := w.hosts[l.member]
	if asks, ok := m.(peerframe.LeaseAsks); ok && from != liar && to != liar && liar.alive() && w.probably(l.rate) {
		n.forge(liar, from, falseAnswers(asks, w.probably(0.5)))
		w.totals.LiesLeases++
	}
	if from != liar || !w.probably(l.rate) {
		return frame
	}
	if m, ok := m.(peerframe.Raft); ok && l.terms && w.probably(0.3) {
		later := m.GetTerm() + 1 + w.random.Uint64N(3)
		m.Term = &later
		w.totals.LiesTerms++
		return peerframe.Encode(m)
	}
	switch changed := m.(type) {
	case peerframe.Forward:
		if e, err := index.ReadEnvelope(changed.Envelope); err == nil {
			e.Wall += int64(70 * 365 * 24 * time.Hour)
			changed.Envelope = e.Encode()
			w.totals.LiesClocks++
			return peerframe.Encode(changed)
		}
	case peerframe.DiskSpace:
		changed.Own, changed.Cluster, changed.Why = w.random.Uint64N(3), w.random.Uint64N(3), "a lie"
		changed.Holds, changed.HoldsNow, changed.Free = int64(1)<<w.random.IntN(40), int64(1)<<w.random.IntN(40), int64(w.random.IntN(1<<20))
		changed.Wall += int64(w.between(-100*24*time.Hour, 100*24*time.Hour))
		w.totals.LiesSpace++
		return peerframe.Encode(changed)
	case peerframe.Raft:
		if changed.GetType() == raftpb.MsgApp && len(changed.GetEntries()) > 0 { // it leads
			entries := slices.Clone(changed.GetEntries())
			damaged := nonsense(entries[len(entries)-1].GetIndex(), entries[len(entries)-1].GetTerm())
			entries[len(entries)-1] = damaged
			changed.Entries = entries
			w.totals.LiesEntries++
			return peerframe.Encode(changed)
		}
	}
	if status := from.member.status.Raft(); status.Role != "leader" {
		n.forgeClaim(from, to, status.Term)
	}
	return frame
}

// forgeClaim sends something that only a leader sends.
func (n *network) forgeClaim(from, to *host, term uint64) {
	w := n.w
	if !to.alive() || term == 0 {
		return
	}
	at, atTerm := from.member.status.View().Applied()
	message := func(kind raftpb.MessageType) *raftpb.Message {
		commit := at + impossible
		return &raftpb.Message{Type: &kind, Term: &term, Commit: &commit}
	}
	switch w.random.IntN(5) {
	case 0:
		n.forge(from, to, peerframe.Raft{Message: message(raftpb.MsgHeartbeat)})
		w.totals.LiesCommits++
	case 1:
		m := message(raftpb.MsgApp)
		m.Index, m.LogTerm, m.Entries = &at, &atTerm, []*raftpb.Entry{nonsense(at+1, term)}
		n.forge(from, to, peerframe.Raft{Message: m})
		w.totals.LiesEntries++
	case 2:
		n.forge(from, to, peerframe.Raft{Message: message(raftpb.MsgTimeoutNow)})
		w.totals.LiesCommits++
	case 3:
		n.forge(from, to, peerframe.Accepted{Term: term, Incarnation: to.member.incarnation, Next: 1 << 40, Commit: at + impossible})
		w.totals.LiesAccepted++
	case 4:
		n.forge(from, to, peerframe.SnapshotOffer{Index: at + impossible, Term: term, Size: 1 << 20, MessageTerm: term})
		w.totals.LiesOffers++
	}
}

// nonsense is an entry that no member can apply.
func nonsense(at, term uint64) *raftpb.Entry {
	return &raftpb.Entry{Type: raftpb.EntryNormal.Enum(), Index: &at, Term: &term, Data: []byte("nonsense")}
}

// falseAnswers answer questions for leases: all are gone, or all have time.
func falseAnswers(asks peerframe.LeaseAsks, gone bool) (told peerframe.LeaseTimes) {
	for _, ask := range asks.Asks {
		answer := kv.LeaseTime{TTL: 1_000_000, Granted: 1_000_000}
		if gone {
			answer = kv.LeaseTime{TTL: -1}
			if ask.Renew {
				answer = kv.LeaseTime{}
			}
		}
		told.Times = append(told.Times, peerframe.LeaseTime{Number: ask.Number, LeaseTime: answer})
	}
	return told
}

// forge sends a frame that the member did not.
func (n *network) forge(from, to *host, m peerframe.Message) {
	n.w.trace("%s lies to %s: %T %.200v", from.name(), to.name(), m, m)
	n.post(from, to, peerframe.ClassOf(m), peerframe.Encode(m), false)
}

// watchLiar ends the run of a seed in which a lie was believed that no member has to believe: the state's time has gone far ahead, or
// a leader that nothing happened to was replaced.
func (w *world) watchLiar() {
	l := w.shape.liar
	if l == nil {
		return
	}
	w.totals.Liars++
	if l.alone {
		w.sim.After(w.shape.faulty/3, w.keepLeader)
	}
}

// keepLeader expects that the leader that there is goes on until everything heals, if it is none that lies.
func (w *world) keepLeader() {
	var leader *host
	for _, h := range w.hosts {
		if h.leads && h.alive() {
			leader = h
		}
	}
	if leader == nil || leader.number == w.shape.liar.member || !w.shape.steady() || w.shape.lagging != "" {
		return
	}
	w.totals.LiarsAlone++
	life, term := leader.life, leader.member.status.Raft().Term
	var look func()
	look = func() {
		switch status := leader.member.status.Raft(); {
		case w.healed != 0: // members may have been started again for that
		case leader.life != life || status.Role != "leader" || status.Term != term:
			w.failf("%s led in term %d and nothing went wrong, but a member lies: now it is %+v", leader.name(), term, status)
		default:
			w.sim.After(20*time.Millisecond, look)
		}
	}
	look()
}

// lied tells whether an alarm is by the word of the lying member.
func (w *world) lied(alarm string) bool {
	return w.shape.liar != nil && strings.Contains(alarm, ": "+w.hosts[w.shape.liar.member].name()+" has committed entry")
}

// checkTime holds the state's time against the members' clocks: no lie moves it.
func (k *checker) checkTime(h *host) {
	if k.w.shape.liar == nil {
		return
	}
	last := h.life.Time().Wall + int64(10*24*time.Hour) // honest clocks are hours apart
	for revision, wall := range h.member.status.View().Times() {
		if wall > last {
			k.w.failf("%s says that revision %d is of %v, by the clock of a member that lies", h.name(), revision, time.Unix(0, wall))
			return
		}
	}
}
