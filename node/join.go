package node

import (
	"fmt"
	"slices"
	"strings"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/peer"
	"qkv/net/wire/peerframe"
)

// noLeaderToChange is the advice when a membership change lacks the leader that it needs; it contains this member's name.
const noLeaderToChange = "%s has no leader, and adding or replacing a member needs a leader and a quorum: start the members that do not run, with their data folders; " +
	"if half of the voters or more are lost for good, docs/emergencies.md says what to do, with `qkv recover --accept-loss --data-dir DIR`"

// judgeJoiner returns a joiner's id, or the reason of its refusal. A member that was added without a name is identified by its address,
// or by the id that it got earlier by its address: it may have moved since. A joiner keeps its id for ever, and gets it only once the
// applied state shows the id bound to the joiner's folder: of two processes that join under one name, one takes part (actor.Admission). A
// just started member replays its log, in which names have ids that were removed since: it therefore answers no joiner before it has
// replayed its own announcement.
func (h peerHandler) judgeJoiner(request peerframe.JoinRequest, now actor.RaftStatus) (w peerframe.Welcome, refusal *peerframe.Refusal) {
	members, name := h.status.View().Members(), request.Name
	one, unnamed := members.Named(name), members.Unnamed(request.Addresses)
	if told := members.Get(request.ID); told != nil && told.Name == "" {
		unnamed = told
	}
	if one == nil {
		one = unnamed
	}
	at := "HOST:PORT"
	if len(request.Addresses) > 0 {
		at = request.Addresses[0]
	}
	add := fmt.Sprintf("run `qkv member add %s --peer %s`, with the address at which the other members reach it", name, at)
	replace := fmt.Sprintf("if it is lost, run `qkv member replace %s --peer %s`", name, at)
	if one != nil && !one.Role.Votes() { // `member replace` would wait for its first start
		replace = fmt.Sprintf("if it is lost, run `qkv member remove %016x`, then `qkv member add %s --peer %s`", one.ID, name, at)
	}
	if now.Leader == 0 {
		add = fmt.Sprintf(noLeaderToChange, h.config.Name)
		replace = add
	}
	switch {
	case members.Removed(request.ID):
		return w, removedRefusal(now, h.config.Name, name, request.ID)
	case unnamed != nil && one != unnamed && h.lost(one):
		return w, &peerframe.Refusal{Code: peerframe.Taken, Text: fmt.Sprintf(
			"a member was added at %s, but a member %s already exists, %016x, to which %s has no connection: %s", strings.Join(unnamed.Peers, ", "), name, one.ID, h.config.Name, replace)}
	case unnamed != nil && one != unnamed:
		return w, &peerframe.Refusal{Code: peerframe.Refused, Text: fmt.Sprintf(
			"a member was added at %s, but a member %s already exists, %016x: give another --name", strings.Join(unnamed.Peers, ", "), name, one.ID)}
	case now.Role == actor.RoleSuspended:
		return w, &peerframe.Refusal{Code: peerframe.Refused, Text: fmt.Sprintf("%s is suspended and takes no part in the cluster", h.config.Name)}
	case one == nil && h.config.addsBySecret():
		return w, h.addBySecret(members, request, now)
	case one == nil:
		return w, &peerframe.Refusal{Code: peerframe.Refused, Text: fmt.Sprintf("%s was not added to the cluster, according to %s: %s", name, h.config.Name, add)}
	case one.Folder == request.Folder:
	case h.lost(one):
		return w, &peerframe.Refusal{Code: peerframe.Taken, Text: fmt.Sprintf(
			"%s has joined already, with another data folder (%x, this one is %x): start it with that one; %s", name, h.folderOf(one), request.Folder[:4], replace)}
	case h.joined(one):
		return w, &peerframe.Refusal{Code: peerframe.Refused, Text: fmt.Sprintf(
			"%s has joined already, with another data folder (%x, this one is %x), and was connected a moment ago, so two hosts have one name: if that member runs, give this one another --name, and add it; if that member is lost, start this one again in a few seconds", name, h.folderOf(one), request.Folder[:4])}
	}
	if now.Leader == 0 || !h.announced() {
		return w, &peerframe.Refusal{Code: peerframe.Behind, Text: fmt.Sprintf("%s may lag, since it was just started or has no leader; the request is retried", h.config.Name)}
	}
	if one.Folder != request.Folder {
		if !one.Role.Votes() { // a founder's folder is bound by the leader
			h.bind(one.ID, request.Folder)
		}
		return w, &peerframe.Refusal{Code: peerframe.Behind, Text: fmt.Sprintf("the log does not bind %s to its data folder yet; the request is retried", name)}
	}
	w.Cluster, w.ID = h.folder.Cluster, one.ID
	for _, m := range members.All() {
		w.Members = append(w.Members, kv.Member{ID: m.ID, Name: m.Name, Peers: m.Peers})
	}
	return w, nil
}

// addBySecret proposes to add a member that asks to join. Its certificate, which names it, proves that it has the cluster secret. The
// refusal asks it to come again: by then it is a member. The limits are those of an operator's `qkv member add`, and limits.Members for
// all members: each learner becomes a voter by itself.
func (h peerHandler) addBySecret(members index.Members, request peerframe.JoinRequest, now actor.RaftStatus) *peerframe.Refusal {
	later := func(format string, args ...any) *peerframe.Refusal {
		return &peerframe.Refusal{Code: peerframe.Behind, Text: fmt.Sprintf(format, args...)}
	}
	change := kv.MemberChange{Kind: kv.AddLearner, ID: 1 + h.storage.salt()>>1, Name: request.Name, Peers: request.Addresses, Folder: request.Folder}
	_, refused := members.Change(&change, 0)
	learners := len(members.Configuration().Learners)
	switch {
	case now.Leader == 0 || !h.announced():
		return later("%s may lag, since it was just started or has no leader; the request is retried", h.config.Name)
	case len(members.All()) >= limits.Members:
		return &peerframe.Refusal{Code: peerframe.Refused, Text: fmt.Sprintf(
			"%s cannot join by the cluster secret: the cluster has %d members, and at most %d; remove a lost one, or run `qkv member add %s --learner`", request.Name, len(members.All()), limits.Members, request.Name)}
	case learners >= limits.Learners:
		return later("%s waits: %d learners are being brought up to date, at most %d at a time", request.Name, learners, limits.Learners)
	case refused != nil && refused.Code == kv.Unavailable:
		return later("%s waits: %s", request.Name, refused.Message)
	case refused != nil:
		return &peerframe.Refusal{Code: peerframe.Refused, Text: fmt.Sprintf("%s cannot join by the cluster secret: %s", request.Name, refused.Message)}
	}
	if h.proposed.adding.underWay.Load() {
		return later("%s waits: an addition by the cluster secret is in progress", request.Name)
	}
	h.logger.Info("adding a member that asks to join and has the cluster secret", "peer", request.Name, "id", fmt.Sprintf("%016x", change.ID), "addresses", strings.Join(request.Addresses, ","))
	h.proposed.adding.propose(h.member, index.Own().AppendMemberChange(nil, &change))
	return later("%s is being added by the cluster secret; the request is retried", request.Name)
}

// joined reports whether a member has a folder. A founder that died before it was bound to its folder is known to the members that met it.
func (h peerHandler) joined(one *kv.Member) bool {
	return one.Bound() || h.actors.admission.Knows(one.ID).Folder != [16]byte{}
}

// folderOf returns the beginning of a joined member's folder id.
func (h peerHandler) folderOf(one *kv.Member) []byte {
	folder := one.Folder
	if !one.Bound() {
		folder = h.actors.admission.Knows(one.ID).Folder
	}
	return folder[:4]
}

// lost reports whether a member has a folder and seems not to run.
func (h peerHandler) lost(one *kv.Member) bool {
	return h.joined(one) && one.ID != h.folder.Member && !slices.ContainsFunc(h.transport.Status(), func(s peer.PeerStatus) bool { return s.ID == one.ID && s.Connected })
}
