package actor

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// replacing adds a learner that replaces a member; without a name it takes over that member's name.
func replacing(id, instead uint64, name string) kv.MemberChange {
	change := adding(id)
	change.Name, change.Instead, change.Manual = name, instead, false
	return change
}

// roles compares the members' roles; a member without a role in want does not exist.
func (c *consensusTurns) roles(want map[uint64]kv.Role) {
	c.t.Helper()
	for id := range uint64(20) {
		one, role, exists := c.state.Members().Get(id), kv.Role(0), false
		if one != nil {
			role, exists = one.Role, true
		}
		if wanted, listed := want[id]; listed != exists || role != wanted {
			c.t.Errorf("member %d exists: %v, and is %v; want %v, %v", id, exists, role, listed, wanted)
		}
	}
}

// TestReplacementWithoutItsClient: the client adds the learner, and dies. The leader exchanges the voters in one step.
func TestReplacementWithoutItsClient(t *testing.T) {
	c := newTestMembers(t)
	c.change(replacing(9, 3, "n9"))
	c.live(time.Second, 2)
	c.roles(map[uint64]kv.Role{1: kv.Voter, 2: kv.Voter, 3: kv.Voter, 9: kv.Learner}) // it has not caught up
	c.turn(Connected{Peer: 9})
	c.live(time.Second, 2, 9)
	c.roles(map[uint64]kv.Role{1: kv.Voter, 2: kv.Voter, 9: kv.Voter})
}

// TestReplacementOfARemovedMember: the lost member is removed meanwhile. The learner becomes a voter, and replaces nothing.
func TestReplacementOfARemovedMember(t *testing.T) {
	c := newTestMembers(t)
	c.change(replacing(9, 3, "n9"))
	c.change(removing(3))
	c.turn(Connected{Peer: 9})
	c.live(time.Second, 2, 9)
	c.roles(map[uint64]kv.Role{1: kv.Voter, 2: kv.Voter, 9: kv.Voter})
	if one := c.state.Members().Get(9); one.Replaces != 0 {
		t.Errorf("it replaces %d", one.Replaces)
	}
}

// TestReplacementEnds: the new member is removed, and the old one stays.
func TestReplacementEnds(t *testing.T) {
	c := newTestMembers(t)
	c.live(3*time.Second, 2) // 3 is silent
	c.turn(Disconnected{Peer: 3})
	told := c.ask(replacing(9, 3, ""))
	c.acknowledge()
	if len(*told) != 1 || (*told)[0].Result.Err != nil {
		t.Fatalf("%+v", *told)
	}
	c.change(removing(9))
	c.live(2*limits.ReplaceSilence, 2)
	c.roles(map[uint64]kv.Role{1: kv.Voter, 2: kv.Voter, 3: kv.Voter})
}

// TestConnectedMemberIsNotReplaced: a member whose name a learner takes over is removed when it has had no connection to the leader for
// ReplaceSilence without a break. While it answers, the replacement does not begin.
func TestConnectedMemberIsNotReplaced(t *testing.T) {
	c := newTestMembers(t)
	c.answer(3)
	if told := *c.ask(replacing(9, 3, "")); len(told) != 1 || told[0].Result.Err == nil || told[0].Result.Err.Code != kv.MemberRuns {
		t.Fatalf("it answers, and the client was told %+v", told)
	}
	c.live(3*time.Second, 2)
	told := c.ask(replacing(9, 3, ""))
	c.acknowledge()
	if len(*told) != 1 || (*told)[0].Result.Err != nil {
		t.Fatalf("it is silent, and the client was told %+v", *told)
	}
	all := map[uint64]kv.Role{1: kv.Voter, 2: kv.Voter, 3: kv.Voter, 9: kv.Learner}
	c.live(2*limits.ReplaceSilence, 2)
	c.roles(all) // it is still connected
	c.turn(Disconnected{Peer: 3})
	c.live(limits.ReplaceSilence-100*time.Millisecond, 2)
	c.turn(Connected{Peer: 3}, Disconnected{Peer: 3})
	c.live(limits.ReplaceSilence-100*time.Millisecond, 2)
	c.roles(all)
	c.live(200*time.Millisecond, 2)
	c.roles(map[uint64]kv.Role{1: kv.Voter, 2: kv.Voter, 9: kv.Learner})
	if one := c.state.Members().Get(9); one.Name != "n3" || one.Replaces != 0 {
		t.Errorf("the new member is %q, and replaces %d", one.Name, one.Replaces)
	}
}

// TestStandstillIsNoSilence: a member is not lost because the leader's process stood still.
func TestStandstillIsNoSilence(t *testing.T) {
	c := newTestMembers(t)
	c.live(3*time.Second, 2)
	c.ask(replacing(9, 3, ""))
	c.acknowledge()
	c.turn(Disconnected{Peer: 3})
	c.live(limits.ReplaceSilence/2, 2)
	c.at += limits.ReplaceSilence
	c.live(limits.ReplaceSilence-100*time.Millisecond, 2)
	c.roles(map[uint64]kv.Role{1: kv.Voter, 2: kv.Voter, 3: kv.Voter, 9: kv.Learner})
	c.live(200*time.Millisecond, 2)
	c.roles(map[uint64]kv.Role{1: kv.Voter, 2: kv.Voter, 9: kv.Learner})
}

// TestNewLeaderWaitsForALostMember: a leader counts the silence of a member from its own election on.
func TestNewLeaderWaitsForALostMember(t *testing.T) {
	c := newTestMembers(t)
	c.live(3*time.Second, 2)
	c.turn(Disconnected{Peer: 3})
	c.ask(replacing(9, 3, ""))
	c.acknowledge()
	c.live(limits.ReplaceSilence/2, 2)
	if len(c.membership.unlinked) != 1 {
		t.Fatal("the silence of the lost member is not counted")
	}
	c.follow(c.term + 1)
	if len(c.membership.unlinked) != 0 {
		t.Error("a follower counts the silence of a lost member")
	}
}

// TestReplacementOfTheOnlyVoter: the only voter leads, and hands over only to a voter. So the new member votes first, and then the leader
// hands over to it, to be removed.
func TestReplacementOfTheOnlyVoter(t *testing.T) {
	c := newTestMembers(t)
	c.change(removing(3))
	c.change(removing(2))
	c.change(replacing(9, 1, "n9"))
	c.turn(Connected{Peer: 9})
	c.live(time.Second, 9)
	c.roles(map[uint64]kv.Role{1: kv.Voter, 9: kv.Voter})
	if at := c.raft.BasicStatus(); at.RaftState == raft.StateLeader && at.LeadTransferee != 9 {
		t.Errorf("leadership is handed over to %d", at.LeadTransferee)
	}
}
