package node

import (
	"fmt"
	"slices"
	"strings"

	"qkv/index"
	"qkv/index/kv"
)

// configuration is what raft goes by, which must be what the members' records say at some entry that was applied.
func (k *checker) configuration(h *host) *index.Configuration {
	if h.voting != nil && k.w.shape.spares == 0 {
		return h.voting // it never changes
	}
	now := h.member.voting()
	return &now
}

// quorum tells whether a majority has something, of both halves of a joint configuration. Learners do not count.
func quorum(c *index.Configuration, has func(id uint64) bool) bool {
	half := func(voters []uint64) bool {
		n := 0
		for _, id := range voters {
			if has(id) {
				n++
			}
		}
		return 2*n > len(voters)
	}
	return half(c.Voters) && (len(c.Outgoing) == 0 || half(c.Outgoing))
}

// say names the voters of a configuration, and which of them have something.
func (k *checker) say(c *index.Configuration, has func(id uint64) bool) string {
	name := func(ids []uint64) string {
		var names []string
		for _, id := range ids {
			one := fmt.Sprintf("%x", id)
			if h := k.w.byID[id]; h != nil {
				one = h.name()
			}
			if has(id) {
				one += "+"
			}
			names = append(names, one)
		}
		return strings.Join(names, " ")
	}
	return fmt.Sprintf("[%s] [%s]", name(c.Voters), name(c.Outgoing))
}

// elected checks that a leader has the votes of a quorum, on their disks. Who has gone on to a later term may have voted in
// one that its disk does not tell of any more.
func (k *checker) elected(h *host, term uint64, before, now *index.Configuration) {
	voted := func(id uint64) bool {
		vote, known := k.voted[ballot{id, term}]
		if known {
			return vote == h.id()
		}
		other := k.w.byID[id]
		return other != nil && (other.proven.hard.Term > term || other.lost())
	}
	if !quorum(before, voted) && !quorum(now, voted) {
		k.w.failf("%s leads in term %d, and has not the votes of a quorum of %s", h.name(), term, k.say(now, voted))
	}
}

// changed follows the members' records, and counts what becomes of them.
func (k *checker) changed(h *host, at uint64, members index.Members) {
	if at <= k.at {
		return
	}
	k.w.identify(members)
	before := k.members
	k.members, k.at = members, at
	if len(before.All()) == 0 || before.Same(members) {
		return
	}
	t := &k.w.totals
	was, is := before.Configuration(), members.Configuration()
	for _, one := range before.All() {
		now := members.Get(one.ID)
		switch {
		case now == nil:
			t.Removals++
			for _, other := range before.All() {
				switch {
				case other.Replaces == one.ID && other.Name == "":
					t.NamesTaken++
				case other.Replaces == one.ID:
					t.Walked++
				}
			}
			if h := k.w.byID[one.ID]; h != nil && (h.leads || h.leaving) {
				t.LeaderRemovals++
			}
			if !members.Removed(one.ID) {
				k.w.failf("%s is no member any more, and was not removed", one.Name)
			}
			if one.Role == kv.Leaving || (one.Role == kv.Voter && slices.Contains(was.Voters, one.ID) && len(is.Voters) == len(was.Voters)) {
				t.Replaces++
			}
			k.w.trace("%s was removed at entry %d", one.Name, at)
		case one.Role == kv.Learner && now.Role != kv.Learner:
			t.Promotions++
		}
		if now != nil && len(one.Peers) > 0 && !slices.Equal(one.Peers, now.Peers) {
			t.AddressesChanged++
		}
	}
	for _, one := range members.All() {
		if before.Get(one.ID) != nil {
			continue
		}
		t.Adds++
		if one.Replaces != 0 {
			t.Insteads++
		}
		if before.Removed(one.ID) {
			k.w.failf("the id %x of %s was used before", one.ID, one.Name)
		}
	}
	if !was.Joint() && is.Joint() {
		t.JointEntered++
	}
	if was.Joint() && !is.Joint() {
		t.JointLeft++
	}
	if k.w.tracing {
		k.w.trace("entry %d: %s", at, k.say(&is, func(uint64) bool { return false }))
	}
}
