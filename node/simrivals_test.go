package node

import (
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/net/wire"
)

// rival starts two hosts under one name, at once or one after the other, by the cluster secret or after `member add`, each of which reaches
// another member, while those two members are cut from each other. It tells whether there were two.
func (a *administrator) rival(h *host) bool {
	w := a.w
	var r *host
	for _, o := range w.hosts {
		if o.spare && o != h {
			r = o
		}
	}
	at := w.any()
	if r == nil || !at.alive() || w.probably(0.3) {
		return false
	}
	change := kv.MemberChange{Kind: kv.AddLearner, ID: w.random.Uint64()>>1 | 1, Name: h.config.Name, Peers: []string{h.config.AdvertisePeer}}
	if w.shape.secret {
		for _, o := range w.hosts {
			o.config.Secret = new(wire.SecretSource)
		}
		w.totals.RivalsBySecret++
	} else {
		w.byID[change.ID], h.memberID = h, change.ID
		if !a.propose(change, nil) {
			h.memberID = 0
			return false
		}
	}
	w.trace("%s and the host %d start as %s", h.name(), r.number, h.config.Name)
	w.totals.Rivals++
	r.config.Name, r.label = h.config.Name, h.name()+"\""
	first, second := w.between(0, time.Second), w.between(0, 4*time.Second)
	h.spare, r.spare = false, false
	w.sim.After(first, h.start)
	w.sim.After(second, r.start)
	x, y := at, w.any()
	cut := func(from, to, a, b *host) bool { return from == a && to == b || from == b && to == a }
	w.blockPaths(fault{kind: cutLink, lasts: w.between(time.Second, 8*time.Second)}, func(from, to *host) bool {
		return x != y && (cut(from, to, x, y) || cut(from, to, h, x) || cut(from, to, r, y))
	})
	return true
}

// identify finds the hosts of members that the log has bound to a folder.
func (w *world) identify(members index.Members) {
	for _, one := range members.All() {
		if h := w.byID[one.ID]; !one.Bound() || h != nil && h.asked == one.Folder {
			continue
		}
		for _, h := range w.hosts {
			if h.asked != one.Folder {
				continue
			}
			if before := w.byID[one.ID]; before != nil && before.memberID == one.ID && !before.alive() {
				before.memberID = 0
				w.totals.RivalsThatWon++
			}
			w.byID[one.ID], h.memberID = h, one.ID
		}
	}
}

// abandon removes a member whose host has lost the folder to which it is bound, and has never started.
func (a *administrator) abandon(one kv.Member) {
	h := a.w.byID[one.ID]
	if a.open == 0 && one.Bound() && !one.Started() && (h == nil || (h.asked != one.Folder || h.removed) && h.number >= a.w.shape.members) {
		a.propose(kv.MemberChange{Kind: kv.RemoveMember, ID: one.ID}, nil)
	}
}

// giveUp ends the hosts that ask to join, and did not become members so far.
func (w *world) giveUp() {
	for _, h := range w.hosts {
		if h.memberID == 0 && !h.spare && !h.alive() {
			h.removed = true
		}
	}
}

// at returns the host of a member as another member sees it: of two with one id, the connected one.
func (w *world) at(from *host, id uint64) *host {
	for _, h := range w.hosts {
		if h != from && h.id() == id {
			if p, mine := w.net.pair(from, h); p.ends[mine].up {
				return h
			}
		}
	}
	return w.byID[id]
}
