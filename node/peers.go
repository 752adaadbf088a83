package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/peer"
	"qkv/net/wire/peerframe"
)

// transport carries frames to the other members.
type transport interface {
	// Send never waits: it drops a frame that cannot be sent, and every frame before Start. The transport owns the frame from then on.
	Send(to uint64, class peerframe.Class, frame []byte, lazy bool)
	// Start begins to call the handler, which must not be called before the actors exist.
	Start(h peer.Handler) error
	// ServeParts does so before, for parts alone.
	ServeParts(h peer.Handler) error
	// SetPeers sets the peers, including this member itself.
	SetPeers(all []peer.Peer)
	// Status reports the connections.
	Status() []peer.PeerStatus
	// CheckAlive asks a peer's host whether the peer's process runs: the handler's Died reports a denial.
	CheckAlive(peer uint64)
}

// peers connects the actors to the other members: it encodes the actors' messages as frames.
type peers struct {
	transport
	member *member
}

// contacts are the members that this member talks to: the known members, and newcomers. Members may have been added during its absence,
// and one of them may lead now. A member that hears of no leader therefore accepts every member of its cluster that calls, and learns the
// members from its log. raft requires no more: only the content of a sender's log counts.
type contacts struct {
	mu        sync.Mutex
	members   index.Members
	newcomers []peer.Peer // none of them in members, and none removed
	// by alarm, here without its text: the number of further looks for which a refused connection or join is shown
	turnedAway map[kv.Alarm]int
}

// SetMembers implements actor.Peers.
func (p peers) SetMembers(members index.Members) {
	c := &p.member.contacts
	c.mu.Lock()
	defer c.mu.Unlock()
	p.member.recordMembers(c.members, members)
	c.members = members
	c.newcomers = slices.DeleteFunc(c.newcomers, func(n peer.Peer) bool { return members.Get(n.ID) != nil || members.Removed(n.ID) })
	p.member.setPeers()
}

// setPeers sets the transport's peers; the contacts are locked. Besides a member's announced addresses, those configured for this process
// are tried: all members may have moved while they were stopped.
func (m *member) setPeers() {
	members := m.contacts.members
	var all []peer.Peer
	added := members.Get(m.folder.Member) != nil
	for _, one := range members.All() {
		if added || one.Name != m.config.Name { // the applied log may still have a member that this one has replaced
			all = append(all, peer.Peer{ID: one.ID, Name: one.Name, Addresses: one.Peers})
		}
	}
	if !added { // the log is empty, or ends before its addition
		for _, one := range m.welcome.Members {
			i := slices.IndexFunc(all, func(p peer.Peer) bool { return p.ID == one.ID })
			switch {
			case i >= 0: // and it may have moved since
				all[i].Addresses = slices.Compact(slices.Concat(all[i].Addresses, one.Peers))
			case !members.Removed(one.ID):
				all = append(all, peer.Peer{ID: one.ID, Name: one.Name, Addresses: one.Peers})
			}
		}
	}
	all = append(all, m.contacts.newcomers...)
	for i := range all {
		for _, given := range m.config.InitialCluster {
			if given.Name == all[i].Name && !slices.Contains(all[i].Addresses, given.Address) {
				all[i].Addresses = append(slices.Clone(all[i].Addresses), given.Address)
			}
		}
	}
	m.transport.SetPeers(all)
}

// Send implements actor.Peers.
func (p peers) Send(to uint64, m peerframe.Message, lazy bool) {
	switch one := m.(type) {
	case peerframe.Raft:
		if actor.CarriesFolders(one.Message) {
			one.Folders = p.member.actors.admission.Folders()
			m = one
		}
	case peerframe.SnapshotOffer:
		one.Address = p.member.config.AdvertisePeer
		m = one
	}
	p.transport.Send(to, peerframe.ClassOf(m), peerframe.Encode(m), lazy)
}

// peerHandler is the member as a transport sees it, with what only the calls of the other members need.
type peerHandler struct{ *member }

// Identity implements peer.Handler.
func (h peerHandler) Identity() peerframe.MemberIdentity {
	d := h.status.Durable()
	return peerframe.MemberIdentity{
		Folder: h.folder.Folder, Boot: h.folder.Boot, Process: h.process, Past: h.folder.Past,
		Last: d.Last, LastTerm: d.LastTerm, HardTerm: d.HardTerm,
	}
}

// Admit implements peer.Handler.
func (h peerHandler) Admit(from uint64, its peerframe.MemberIdentity) error {
	err := h.actors.admission.Admit(from, its)
	if err == nil {
		h.status.Refuse(from, nil)
		h.peers.refused.Delete(from)
		return nil
	}
	h.once(&h.peers.refused, from, "a member is refused", err.Error())
	why, ok := errors.AsType[*actor.Refusal](err)
	if !ok {
		h.status.Refuse(from, &actor.Refusal{Text: err.Error()})
		return err
	}
	h.status.Refuse(from, why)
	return wireRefusal(why)
}

// wireRefusal returns a refusal for the other side of the connection.
func wireRefusal(r *actor.Refusal) *peerframe.Refusal {
	code := peerframe.Refused
	switch {
	case r.Removed && r.Leads:
		code = peerframe.RemovedByLeader
	case r.Removed:
		code = peerframe.Removed
	case r.Forgot && r.Leads:
		code = peerframe.ForgotByLeader
	case r.Forgot && r.Suspended:
		code = peerframe.ForgotBySuspended
	case r.Forgot:
		code = peerframe.Forgot
	}
	return &peerframe.Refusal{Code: code, Text: r.Text}
}

// Stranger implements peer.Handler.
func (h peerHandler) Stranger(name string, id uint64) *peerframe.Refusal {
	if h.status.View() == nil {
		return nil // this member gives parts, and has no state yet
	}
	refusal, newcomer := judgeStranger(h.status.View().Members(), h.status.Raft(), h.config.Name, name, id)
	if newcomer {
		h.meet(name, id)
	}
	return refusal
}

// meet accepts a newcomer, which has called and calls again.
func (h peerHandler) meet(name string, id uint64) {
	c := &h.contacts
	c.mu.Lock()
	defer c.mu.Unlock()
	known := func(n peer.Peer) bool { return n.ID == id }
	if len(c.newcomers) >= limits.Members+limits.Learners || c.members.Get(id) != nil || slices.ContainsFunc(c.newcomers, known) {
		return
	}
	c.newcomers = append(c.newcomers, peer.Peer{ID: id, Name: name})
	h.setPeers()
}

// judgeStranger returns the answer to a member that is not a peer, and whether it becomes one when it calls again. Unless it was removed,
// this member may only lag behind the log that has it.
func judgeStranger(members index.Members, now actor.RaftStatus, own, name string, id uint64) (refusal *peerframe.Refusal, newcomer bool) {
	behind := func(format string, args ...any) *peerframe.Refusal {
		return &peerframe.Refusal{Code: peerframe.Behind, Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case members.Removed(id):
		return removedRefusal(now, own, name, id), false
	case now.Leader == 0:
		return behind("%s does not know the member %s (%016x) and has no leader to learn it from: it accepts the next connection", own, name, id), true
	case members.Get(id) != nil: // the links do not follow the newest records yet
		return behind("%s has just learned of the member %s (%016x): it accepts the next connection", own, name, id), false
	case members.Named(name) != nil:
		return behind("member ID mismatch: the member %s has the ID %016x in the member list of %s, not %016x: that list lags, or the data folder belongs to another member or another cluster",
			name, members.Named(name).ID, own, id), false
	}
	return behind("the member %s (%016x) is not in the member list of %s, or that list lags", name, id, own), false
}

// removedRefusal is the answer to a removed member.
func removedRefusal(now actor.RaftStatus, own, name string, id uint64) *peerframe.Refusal {
	return wireRefusal(&actor.Refusal{Removed: true, Leads: now.Role == "leader", Text: fmt.Sprintf(
		"the member %s (%016x) was removed from the cluster, according to %s; its data folder can no longer be used", name, id, own)})
}

// Join implements peer.Handler. A refused joiner shows in the status: on its own host only its log says that it waits.
func (h peerHandler) Join(request peerframe.JoinRequest) (peerframe.Welcome, *peerframe.Refusal) {
	w, refusal := h.judgeJoiner(request, h.status.Raft())
	asks := kv.Alarm{Name: kv.JoinNotice, Subject: request.Name}
	if refusal != nil && refusal.Code != peerframe.Behind {
		asks.Text = fmt.Sprintf("%s asks to join, from %s, and is refused: %s", request.Name, strings.Join(request.Addresses, ", "), refusal.Text)
	}
	h.turnAway(asks)
	return w, refusal
}

// Copied implements peer.Handler. The surviving process is told: it hears of the other one from no other source, and an operator reads
// the log of the process that they know.
func (h peerHandler) Copied(peer uint64, why string) {
	h.turnAway(kv.Alarm{Name: kv.RefusedAlarm, Member: peer, Subject: "copy", Text: why})
	told := peerframe.Copied{Why: why}
	h.transport.Send(peer, peerframe.ClassOf(told), peerframe.Encode(told), false)
}

// TurnedAway implements peer.Handler. A member of another cluster has no link here, and may be at no endpoint.
func (h peerHandler) TurnedAway(who, why string) {
	h.turnAway(kv.Alarm{Name: kv.RefusedAlarm, Subject: who, Text: who + " is refused: " + why})
}

// isCopied handles a peer's report that it has refused a second process of this member's folder.
func (h peerHandler) isCopied(from uint64, why string) {
	h.once(&h.peers.copies, from, "a peer has refused a second process of this member", why)
	h.turnAway(kv.Alarm{Name: kv.RefusedAlarm, Member: h.folder.Member, Subject: "copy", Text: why})
}

// turnedAwayLooks is for how many checks a member lists a refused joiner, ten seconds. A waiting joiner asks each of its given members
// within a second of the previous attempt, and after a refusal within four (package peer).
const turnedAwayLooks = 50

// turnAway shows a refused member in the status, until it was not seen for turnedAwayLooks; without a text the entry is deleted.
func (h peerHandler) turnAway(a kv.Alarm) {
	who := a
	who.Text = ""
	c := &h.contacts
	c.mu.Lock()
	defer c.mu.Unlock()
	switch _, known := c.turnedAway[who]; {
	case known && a.Text == "":
		delete(c.turnedAway, who)
	case a.Text != "" && (known || len(c.turnedAway) < limits.Members+limits.Learners):
		if c.turnedAway == nil {
			c.turnedAway = map[kv.Alarm]int{}
		}
		c.turnedAway[who] = turnedAwayLooks
	default:
		return
	}
	h.status.Alarm(a)
}

// forgetTurnedAway counts a look for each refused member: it comes again, or has given up.
func (m *member) forgetTurnedAway() {
	c := &m.contacts
	c.mu.Lock()
	defer c.mu.Unlock()
	for who := range c.turnedAway {
		if c.turnedAway[who]--; c.turnedAway[who] <= 0 {
			delete(c.turnedAway, who)
			m.status.Alarm(who)
		}
	}
}

// Receive implements peer.Handler: it hands a frame to its actor. An unreadable frame is dropped: raft sends again.
func (h peerHandler) Receive(from uint64, its *peerframe.MemberIdentity, _ peerframe.Class, frame []byte) *peerframe.Refusal {
	if err := h.actors.admission.Bars(from, its); err != nil {
		h.once(&h.peers.refused, from, "a member is disconnected", err.Error())
		return &peerframe.Refusal{Code: peerframe.Refused, Text: err.Error()}
	}
	message, err := peerframe.Read(frame, from, h.folder.Member)
	if err != nil {
		if n := h.peers.complaints.Add(1); n&(n-1) == 0 { // the first, the second, the fourth ...
			h.logger.Warn("dropped an unreadable frame of a member", "peer", h.status.NameOf(from), "error", err, "times", n)
		}
		return nil
	}
	switch m := message.(type) {
	case peerframe.Copied: // not for an actor
		h.isCopied(from, m.Why)
	case peerframe.SnapshotProgress, peerframe.SnapshotResult:
		if !h.actors.snapshots.Offer(actor.FromPeer{From: from, Message: m}) {
			h.env.Limits.Reach("snapshot frames")
		}
	default:
		if !h.actors.consensus.Offer(actor.Received{From: from, Message: m}) {
			h.env.Limits.Reach("peer messages")
		}
	}
	return nil
}

// Connected implements peer.Handler.
func (h peerHandler) Connected(peer uint64) {
	h.peers.refusing.Delete(peer)
	h.turnAway(h.distrust(peer))
	process := h.actors.admission.Knows(peer).Process
	if before, met := h.peers.processes.Swap(peer, process); met && before != process {
		h.Died(peer)
	}
	h.actors.consensus.MustPost(actor.Connected{Peer: peer, Last: h.actors.admission.End(peer)})
}

// Died implements peer.Handler.
func (h peerHandler) Died(peer uint64) { h.actors.consensus.Offer(actor.PeerDied{Peer: peer}) }

// Disconnected implements peer.Handler.
func (h peerHandler) Disconnected(peer uint64) {
	h.actors.consensus.MustPost(actor.Disconnected{Peer: peer})
}

// Refused implements peer.Handler. The link logs each refusal; if asking again may not end it, it is an error, too.
func (h peerHandler) Refused(peer uint64, why peerframe.Refusal) {
	if why.Code != peerframe.Behind {
		h.once(&h.peers.refusing, peer, "a member refuses this member", why.Text)
	}
	h.actors.consensus.Offer(actor.Refused{Peer: peer, Refusal: actor.Refusal{
		Forgot:    why.Code == peerframe.Forgot || why.Code == peerframe.ForgotByLeader || why.Code == peerframe.ForgotBySuspended,
		Suspended: why.Code == peerframe.ForgotBySuspended,
		Removed:   why.Code == peerframe.Removed || why.Code == peerframe.RemovedByLeader,
		Leads:     why.Code == peerframe.ForgotByLeader || why.Code == peerframe.RemovedByLeader, Text: why.Text,
	}})
}

// Distrusted implements peer.Handler.
func (h peerHandler) Distrusted(peer uint64, why string) {
	a := h.distrust(peer)
	a.Text = fmt.Sprintf("%s does not accept this member's connections: %s", h.status.NameOf(peer), why)
	h.turnAway(a)
}

// distrust returns the alarm about a peer that refuses this member's certificate, without its text.
func (h peerHandler) distrust(peer uint64) kv.Alarm {
	return kv.Alarm{Name: kv.CertAlarm, Subject: fmt.Sprintf("to %016x", peer)}
}

// trusted returns why clients should not use this member: its certificate is not valid by this host's clock, or most of the other members
// refuse it. A single other member may itself be wrong, by its clock or its CA.
func (m *member) trusted(own certificate) error {
	if now := time.Now(); now.Before(own.Certificate().NotBefore) || now.After(own.NotAfter()) {
		return errors.New("this member's certificate is not valid by this host's clock")
	}
	refuse, others := 0, len(m.status.View().Members().All())-1
	m.contacts.mu.Lock()
	for a := range m.contacts.turnedAway {
		if a.Name == kv.CertAlarm {
			refuse++
		}
	}
	m.contacts.mu.Unlock()
	if 2*refuse > others {
		return fmt.Errorf("%d of %d other members refuse this member's certificate", refuse, others)
	}
	return nil
}

// once logs a refusal unless it is the last one logged for this peer: both sides dial again every few seconds. The transport repeats
// reminders.
func (h peerHandler) once(said *sync.Map, peer uint64, what, reason string) {
	if before, _ := said.Swap(peer, reason); before != reason {
		h.logger.Error(what, "peer", h.status.NameOf(peer), "reason", reason)
	}
}
