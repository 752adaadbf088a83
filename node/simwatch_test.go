package node

import (
	"fmt"
	"strings"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor"
	"qkv/index"
	"qkv/log"
)

// proven is what a member's disk certainly holds: all that was synced, and whose sync's time is over.
type proven struct {
	hard           log.HardState
	last, lastTerm uint64
}

func (p proven) String() string {
	return fmt.Sprintf("term %d vote %x last %d of term %d", p.hard.Term, p.hard.Vote, p.last, p.lastTerm)
}

// watchman looks at every turn of every actor, and at everything that is sent, for what must never be.
type watchman struct {
	w       *world
	leaders map[uint64]*host // by term
	newest  uint64           // term of the newest leader
	commit  uint64           // what a leader has committed
	states  map[uint64]stateSeen
	visible []int64 // by revision: the moment at which a member first showed it
	turns   int
}

// stateSeen is the state at an applied index, where it was first seen.
type stateSeen struct {
	term, digest uint64
	revision     int64
	by           string
}

func newWatchman(w *world) *watchman {
	return &watchman{w: w, leaders: map[uint64]*host{}, states: map[uint64]stateSeen{}, commit: 1} // the founding entry
}

// hostOf returns whose life it is, while it lasts.
func (k *watchman) hostOf(l *actor.Life) *host {
	for _, h := range k.w.hosts {
		if h.life == l {
			return h
		}
	}
	return nil
}

// turn is called after each turn of an actor.
func (k *watchman) turn(l *actor.Life, name string) {
	h := k.hostOf(l)
	if h == nil {
		return
	}
	switch name {
	case "log writer":
		k.synced(h)
	case "consensus":
		h.readCold, h.reading = h.reading, false
		k.standing(h)
	case "applier":
		k.applied(h)
	}
}

// prove returns what the log says that it has synced.
func prove(m *member) proven {
	s := m.logWriter.Log.Stats()
	return proven{hard: s.HardState, last: s.Index, lastTerm: s.Term}
}

// synced notes what is durable now, and holds it against what was promised before.
func (k *watchman) synced(h *host) {
	now := prove(h.member)
	k.promise(h, h.proven, now, now, "on its disk")
	h.proven = now
}

// promise checks that a member keeps what it has promised: terms only rise, a vote stays, and the log only falls back
// when the leader of a newer term replaces entries, as the member then intended.
func (k *watchman) promise(h *host, before, intended, now proven, where string) {
	switch {
	case now.hard.Term < before.hard.Term,
		now.hard.Term == before.hard.Term && before.hard.Vote != 0 && now.hard.Vote != before.hard.Vote:
		k.w.failf("%s had promised %v, and %s is %v", h.name(), before, where, now)
	case now.behind(before) && !(intended.behind(before) && now.hard.Term > before.lastTerm):
		k.w.failf("%s had acknowledged %v, and %s is %v", h.name(), before, where, now)
	}
}

// behind tells whether a log is less up to date than another one.
func (p proven) behind(other proven) bool {
	return p.lastTerm < other.lastTerm || (p.lastTerm == other.lastTerm && p.last < other.last)
}

// reached tells whether a disk has held, in a term, the log of that term's leader up to an index. While the term lasts
// that part stays. What is written is written in raft's order: a disk with a later term has held all that was
// acknowledged in the one before. A newer leader may have replaced it since, even in the same sync; then the
// acknowledgement is late, as one that the network has delayed.
func (p proven) reached(term, last uint64) bool {
	return p.hard.Term > term || (p.hard.Term == term && p.last >= last)
}

// booted checks what a restarted member remembers.
func (k *watchman) booted(h *host) {
	now := prove(h.member)
	if !h.fresh {
		k.promise(h, h.proven, h.intended, now, "found at its start")
	}
	h.proven, h.fresh = now, false
	alarms, _ := h.member.status.Problems()
	for _, a := range alarms {
		switch {
		case strings.Contains(a, "torn off"):
			k.w.totals.TornTails++
			k.w.trace("%s: %s", h.name(), a)
		case strings.Contains(a, "damaged snapshot") && h.rotted:
			k.w.totals.Quarantined++
		case h.lost() && strings.Contains(a, "AMNESIA"):
		default:
			k.w.failf("%s starts with the alarm: %s", h.name(), a)
		}
	}
	h.view = h.member.status.View()
	k.applied(h)
}

// standing checks elections and commits.
func (k *watchman) standing(h *host) {
	s := h.member.status.Standing()
	if s.Role != "leader" {
		if h.leads {
			h.leads = false
			if s.Commit > k.commit { // what it committed and its end came in one turn
				k.committed(h, actor.Standing{Term: h.led, Commit: s.Commit})
			}
			k.w.trace("%s does not lead any more, term %d", h.name(), s.Term)
			if h.drive.stalledUntil > k.w.sim.Now() {
				k.w.totals.StallsMoved++
			}
		}
		if s.Commit > k.commit {
			k.w.failf("%s believes entry %d to be committed, no leader has committed more than %d", h.name(), s.Commit, k.commit)
		}
		return
	}
	h.leads, h.led = true, s.Term
	if first := k.leaders[s.Term]; first == nil {
		k.leaders[s.Term] = h
		k.newest = max(k.newest, s.Term)
		k.w.totals.Leaders++
		k.w.trace("%s leads in term %d", h.name(), s.Term)
		k.w.note("leader "+h.name(), s.Term)
		if h.onLead != nil {
			h.onLead()
			h.onLead = nil
		}
	} else if first != h {
		k.w.failf("%s and %s both lead in term %d", first.name(), h.name(), s.Term)
	}
	if h.lost() {
		k.w.failf("%s, which %s, leads", h.name(), h.forgot)
	}
	if s.Commit > k.commit {
		k.committed(h, s)
	}
}

// committed checks that a leader commits only what lies on a quorum's disks. A log whose last entry is of the
// leader's term holds all of that leader's entries up to it; one of a newer term holds all that was committed.
func (k *watchman) committed(h *host, s actor.Standing) {
	holds := 0
	for _, other := range k.w.hosts {
		p := other.proven
		if other.lost() { // what it said before may still be under way
			p = other.once
		}
		if p.lastTerm >= s.Term && p.last >= s.Commit {
			holds++
		}
	}
	if holds <= len(k.w.hosts)/2 {
		k.w.failf("%s commits entry %d in term %d, which is on %d of %d disks", h.name(), s.Commit, s.Term, holds, len(k.w.hosts))
	}
	k.commit = s.Commit
}

// applied checks that members with equal logs have equal states.
func (k *watchman) applied(h *host) {
	view := h.member.status.View()
	at, term := view.Applied()
	if before, _ := h.view.Applied(); at < before || view.Revision() < h.view.Revision() {
		k.w.failf("%s has applied entry %d and revision %d after entry %d and revision %d", h.name(), at, view.Revision(), before, h.view.Revision())
	}
	h.view = view
	now := stateSeen{term: term, digest: view.Digest(), revision: view.Revision(), by: h.name()}
	known, ok := k.states[at]
	switch {
	case !ok:
		k.states[at] = now
	case known.term != now.term || known.digest != now.digest || known.revision != now.revision:
		k.w.failf("at entry %d the state is %+v and %+v", at, known, now)
	}
	if at > k.commit {
		k.w.failf("%s has applied entry %d, committed are %d", h.name(), at, k.commit)
	}
	for int64(len(k.visible)) <= view.Revision() {
		k.visible = append(k.visible, k.w.history.moment())
	}
	if k.turns++; k.turns%256 == 0 {
		k.checkState(h)
	}
}

// checkState lets a member's state check itself.
func (k *watchman) checkState(h *host) {
	if c, ok := any(h.member.state()).(interface{ Check() error }); ok {
		if err := c.Check(); err != nil {
			k.w.failf("the state of %s is inconsistent: %v", h.name(), err)
		}
	}
}

// sent checks that what a member tells others is true on its disk.
func (k *watchman) sent(from, to *host, frame []byte) {
	message, err := actor.DecodePeerMessage(frame, from.id(), to.id())
	if err != nil {
		k.w.failf("%s sends %s a frame that cannot be read: %v", from.name(), to.name(), err)
		return
	}
	switch m := message.(type) {
	case actor.RaftMessage:
		k.sentRaft(from, m.Message)
	case actor.Forward:
		if e, err := index.ReadEnvelope(m.Envelope); err != nil || e.Member != from.id() {
			k.w.failf("%s forwards what cannot be read: %v", from.name(), err)
		}
	}
}

func (k *watchman) sentRaft(from *host, m *raftpb.Message) {
	p := from.proven
	broken := false
	switch m.GetType() {
	case raftpb.MsgApp:
		if len(m.GetEntries()) > 0 && from.readCold {
			from.readCold = false
			k.w.totals.ColdCatchups++
		}
	case raftpb.MsgVote:
		broken = p.hard.Term < m.GetTerm() || (p.hard.Term == m.GetTerm() && p.hard.Vote != from.id())
	case raftpb.MsgVoteResp:
		broken = !m.GetReject() && (p.hard.Term < m.GetTerm() || (p.hard.Term == m.GetTerm() && p.hard.Vote != m.GetTo()))
	case raftpb.MsgAppResp:
		broken = !m.GetReject() && !p.reached(m.GetTerm(), m.GetIndex())
	}
	if broken {
		k.w.failf("%s says %v, and its disk has %v", from.name(), m, p)
	}
}
