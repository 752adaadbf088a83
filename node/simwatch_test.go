package node

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/log"
	"qkv/net/wire/peerframe"
)

// proven is what a member's disk certainly holds: all that was synced, and whose sync's time is over.
type proven struct {
	hard           log.HardState
	last, lastTerm uint64
}

func (p proven) String() string {
	return fmt.Sprintf("term %d vote %x last %d of term %d", p.hard.Term, p.hard.Vote, p.last, p.lastTerm)
}

// checker looks at every turn of every actor, and at everything that is sent, for what must never be.
type checker struct {
	w       *world
	leaders map[uint64]*host // by term
	newest  uint64           // term of the newest leader
	commit  uint64           // what a leader has committed
	states  map[uint64]stateSeen
	visible []int64         // by revision: the moment at which a member first showed it
	shown   []time.Duration // by revision: the virtual time of that moment
	changes []event         // that any member showed, of all revisions: a state forgets its oldest ones
	turns   int
	members index.Members // the newest that any member showed, and the entry behind which it did
	at      uint64
	voted   map[ballot]uint64 // whom a disk has a vote for
	full    bool              // NOSPACE is raised in the newest state that any member showed, which is
	fullAt  uint64            // behind this entry
	blind   bool              // a story has more than one history, and judges by itself

	verdicts *verdicts // nil: nobody follows users and roles
}

// ballot is a member's vote in a term.
type ballot struct{ member, term uint64 }

// stateSeen is the state at an applied index, where it was first seen.
type stateSeen struct {
	term, digest uint64
	revision     int64
	by           string
}

func newChecker(w *world) *checker {
	return &checker{w: w, leaders: map[uint64]*host{}, states: map[uint64]stateSeen{}, commit: 1, voted: map[ballot]uint64{}} // the founding entry
}

// hostOf returns whose life it is, while it lasts.
func (k *checker) hostOf(l *simLife) *host {
	for _, h := range k.w.hosts {
		if h.life == l {
			return h
		}
	}
	return nil
}

// turn looks at an actor when it lets something go and when its turn ends, and returns what is true of the member when
// the disk calls so far are over.
func (k *checker) turn(l *simLife, name string, ends bool) (later func()) {
	h := k.hostOf(l)
	if h == nil || k.blind {
		return nil
	}
	switch {
	case name == "log writer":
		now := prove(h.member)
		return func() { k.synced(h, now) }
	case name == "consensus" && ends:
		k.checkRaft(h)
		return h.consensusTurn()
	case name == logReaderName && ends:
		h.readCold, h.reading = h.reading, false
	case name == valueReaderName && ends:
		k.w.totals.WatchesAwaited++
	case name == "applier" && ends:
		k.w.sim.Post(func() { k.applied(h) }) // when its View is seen
	}
	return nil
}

// prove returns what the log says that it has synced.
func prove(m *member) proven {
	s := m.actors.logWriter.Log.Stats()
	return proven{hard: s.HardState, last: s.Index, lastTerm: s.Term}
}

// synced notes what is durable now, and holds it against what was promised before.
func (k *checker) synced(h *host, now proven) {
	k.promise(h, h.proven, now, now, "on its disk")
	h.proven = now
	if now.hard.Vote != 0 && !h.twin {
		k.voted[ballot{h.id(), now.hard.Term}] = now.hard.Vote
	}
}

// promise checks that a member keeps what it has promised: terms only rise, a vote stays, and the log only falls back
// when the leader of a newer term replaces entries, as the member then intended.
func (k *checker) promise(h *host, before, intended, now proven, where string) {
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
func (k *checker) booted(h *host) {
	if k.blind {
		return
	}
	now := prove(h.member)
	if !h.fresh {
		k.promise(h, h.proven, h.intended, now, "found at its start")
	}
	h.proven, h.fresh = now, false
	for _, a := range h.member.status.Alarms() {
		switch {
		case a.Name == kv.TornNotice:
			k.w.totals.TornTails++
			k.w.trace("%s: %s", h.name(), a.Text)
		case a.Name == kv.CorruptAlarm && (h.rottedLog || strings.Contains(a.Text, syscall.EIO.Error())): // a snapshot covers it
			k.w.totals.CoveredDamage++
		case a.Name == kv.CorruptAlarm && h.harmed != nil && strings.Contains(a.Text, ".part"):
		case a.Name == kv.CorruptAlarm && h.rotted:
			k.w.totals.Suspended++
		case a.Name == kv.AmnesiaAlarm && (h.lost() || h.heldForItsCopy() || k.w.lied(a.Text)):
		default:
			k.w.failf("%s starts with the alarm %s: %s", h.name(), a.Name, a.Text)
		}
	}
	h.view = h.member.status.View()
	k.applied(h)
}

// heldForItsCopy tells whether a member, a copy of whose folder runs beside it, is held back by the word of one that has
// met the copy first. Nobody can know better which of the two is right than a leader or a second member.
func (h *host) heldForItsCopy() bool {
	q, err := h.member.folder.suspended()
	return h.copied && err == nil && q.By != 0
}

// checkRaft checks elections and commits.
func (k *checker) checkRaft(h *host) {
	s := h.member.status.Raft()
	now := k.configuration(h)
	before := h.voting
	if h.voting = now; before == nil {
		before = now
	}
	if s.Role != "leader" {
		if h.leads {
			h.leads = false
			if s.Commit > k.commit { // what it committed and its end came in one turn
				k.committed(h, actor.RaftStatus{Term: h.led, Commit: s.Commit}, before, now)
			}
			k.w.trace("%s does not lead any more, term %d", h.name(), s.Term)
			if k.w.onlyStalled(h) {
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
		if k.w.strict != 0 {
			k.w.failf("nothing is wrong, and %s begins to lead in term %d", h.name(), s.Term)
		}
		k.elected(h, s.Term, before, now)
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
		k.committed(h, s, before, now)
	}
}

// onlyStalled tells whether a leader's disk has stood still for so long that it is to give up leadership, while nothing
// else keeps it from the others.
func (w *world) onlyStalled(h *host) bool {
	now := w.sim.Now()
	for _, other := range w.hosts {
		in, out := w.net.lane(other, h), w.net.lane(h, other)
		if in.blocked+in.clogged+out.blocked+out.clogged > 0 {
			return false
		}
	}
	return h.drive.stalledUntil > now && now-h.drive.stalledSince > 2*w.shape.election && !h.paused()
}

// committed checks that a leader commits only what lies on a quorum's disks. A log whose last entry is of the
// leader's term holds all of that leader's entries up to it; one of a newer term holds all that was committed.
// The configuration is the one before the turn, or the one behind it: its entries may have been committed in between.
func (k *checker) committed(h *host, s actor.RaftStatus, before, now *index.Configuration) {
	holds := func(id uint64) bool {
		other := k.w.byID[id]
		if other == nil {
			return false
		}
		p := other.proven
		if other.lost() { // what it said before may still be under way
			p = other.once
		}
		return p.lastTerm >= s.Term && p.last >= s.Commit
	}
	if !quorum(before, holds) && !quorum(now, holds) {
		k.w.failf("%s commits entry %d in term %d, which is not on the disks of a quorum of %v", h.name(), s.Commit, s.Term, k.say(now, holds))
	}
	k.commit = s.Commit
}

// applied checks that members with equal logs have equal states.
func (k *checker) applied(h *host) {
	view := h.member.status.View()
	at, term := view.Applied()
	if before, _ := h.view.Applied(); at < before || view.Revision() < h.view.Revision() {
		k.w.failf("%s has applied entry %d and revision %d after entry %d and revision %d", h.name(), at, view.Revision(), before, h.view.Revision())
	}
	h.view = view
	if at == foundingIndex && term == joiningTerm { // it has nothing yet
		return
	}
	k.changed(h, at, view.Members())
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
	if at > k.fullAt {
		if k.fullAt = at; view.NoSpace() != k.full {
			k.full = !k.full
			k.w.totals.noSpace(k.full)
		}
	}
	k.remember(view)
	k.w.leases.look(k.w, h, view)
	for int64(len(k.visible)) <= view.Revision() {
		k.visible = append(k.visible, k.w.history.moment())
		k.shown = append(k.shown, k.w.sim.Now())
	}
	if k.turns++; k.turns%256 == 0 {
		k.checkState(h)
	}
}

// remember keeps the changes that a View is the first to show.
func (k *checker) remember(view *index.View) {
	newest := max(int64(len(k.visible))-1, 1)
	if view.Revision() <= newest {
		return
	}
	if view.Compacted() > newest+1 {
		k.w.failf("revisions %d to %d were compacted before anybody saw them", newest+1, view.Compacted()-1)
	}
	for _, e := range eventsOf(view, newest) {
		if n := len(k.changes); n > 0 && k.changes[n-1].value == e.value {
			e.value = k.changes[n-1].value // a flood's values are equal: one copy of them is kept
		}
		k.changes = append(k.changes, e)
	}
}

// checkRemembered holds what a state remembers against all that was ever shown.
func (k *checker) checkRemembered(h *host) { k.compareChanges(h.name(), h.member.status.View()) }

// compareChanges does so for a state of any revision that was shown.
func (k *checker) compareChanges(name string, view *index.View) {
	from := max(view.Compacted(), 2)
	same := func(a, b event) int { return cmp.Or(cmp.Compare(a.revision, b.revision), cmp.Compare(a.sub, b.sub)) }
	all := slices.SortedFunc(slices.Values(k.changes), same)
	by := func(e event, r int64) int { return cmp.Compare(e.revision, r) }
	first, _ := slices.BinarySearchFunc(all, from, by)
	end, _ := slices.BinarySearchFunc(all, view.Revision()+1, by)
	remembered := eventsOf(view, from-1)
	slices.SortFunc(remembered, same)
	if want := all[first:max(first, end)]; !slices.Equal(remembered, want) {
		k.w.failf("%s remembers %d changes from revision %d to %d, %d were shown, and they are not the same", name, len(remembered), from, view.Revision(), len(want))
	}
}

// checkState lets a member's state check itself.
func (k *checker) checkState(h *host) {
	if c, ok := any(h.member.state()).(interface{ Check() error }); ok {
		err := c.Check()
		excused := err != nil && (strings.Contains(err.Error(), "input/output error") || // a disk call failed
			errorCode(err) == kv.Unavailable && h.harmed != nil && k.w.healed == 0)
		if err != nil && !excused {
			k.w.failf("the state of %s is inconsistent: %v", h.name(), err)
		}
	}
}

// sent checks that what a member tells others is true on its disk.
func (k *checker) sent(from, to *host, frame []byte) {
	if k.blind {
		return
	}
	message, err := peerframe.Read(frame, from.id(), to.id())
	if err != nil {
		k.w.failf("%s sends %s a frame that cannot be read: %v", from.name(), to.name(), err)
		return
	}
	switch m := message.(type) {
	case peerframe.Raft:
		k.sentRaft(from, m.Message)
	case peerframe.Forward:
		if e, err := index.ReadEnvelope(m.Envelope); err != nil || e.Member != from.id() {
			k.w.failf("%s forwards what cannot be read: %v", from.name(), err)
		}
	}
}

func (k *checker) sentRaft(from *host, m *raftpb.Message) {
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
