package actor

import (
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// A cluster takes what a quorum of the members that can be reached has room for.
func TestSpaceOfAQuorum(t *testing.T) {
	const unreachable = Space(100)
	for _, step := range []struct {
		what  string
		disks [3]Space // of n1, which leads, n2 and n3
		want  Space
		why   string
	}{
		{"all have room", [3]Space{SpaceLeft, SpaceLeft, SpaceLeft}, SpaceLeft, ""},
		{"the leader has none", [3]Space{SpaceNone, SpaceLeft, SpaceLeft}, SpaceLeft, ""},
		{"one follower has none", [3]Space{SpaceLeft, SpaceNone, SpaceLeft}, SpaceLeft, ""},
		{"one has room", [3]Space{SpaceLeft, SpaceNone, SpaceLow}, SpaceLow, "the disk of n2 and that of n3 is full, or nearly"},
		{"none has much", [3]Space{SpaceLow, SpaceLow, SpaceLow}, SpaceLow, "the disk of n1 and that of n2 and that of n3 is full, or nearly"},
		{"two have no reserve", [3]Space{SpaceNone, SpaceLow, SpaceNone}, SpaceNone, "the disk of n1 and that of n2 and that of n3 is full, or nearly"},
		{"one is full, one cannot be reached", [3]Space{SpaceLeft, SpaceLow, unreachable}, SpaceLow, "the disk of n2 is full, or nearly, and n3 cannot be reached"},
		{"too few can be reached", [3]Space{SpaceNone, unreachable, unreachable}, SpaceLeft, ""},
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.lead()
		c.Status.noSpace.Store(step.disks[0] > SpaceLeft)
		c.Status.noSpares.Store(step.disks[0] > SpaceLow)
		for i, own := range step.disks[1:] {
			peer := uint64(i + 2)
			if own == unreachable {
				c.turn(Disconnected{Peer: peer})
			} else {
				c.turn(Received{From: peer, Message: Room{Own: uint64(own)}})
			}
		}
		if space, why := c.judgeSpace(); space != step.want || why != step.why {
			t.Errorf("%s: %v, %q", step.what, space, why)
		}
	}
}

// A member refuses by its leader's word, and not by its own disk.
func TestRefusalsForWantOfRoom(t *testing.T) {
	var refused []*kv.Error
	to := errorsTo{&refused}
	propose := func(c *consensusTurns, command []byte) (code kv.Code, message string) {
		refused = nil
		c.turn(Propose{Proposal: kv.Proposal{ReplyTo: to, Requests: []uint64{1}, Commands: [][]byte{command}}})
		if len(refused) > 0 {
			return refused[0].Code, refused[0].Message
		}
		return kv.OK, ""
	}
	put, del := index.AppendPut(nil, []byte("k"), nil, 0), index.AppendDelete(nil, []byte("k"), nil)
	c := newTestConsensus(t, limits.Defaults())
	c.follow(2)
	c.Status.noSpace.Store(true)
	c.Status.noSpares.Store(true)
	if sent := c.pass(TickInterval); !tells(sent, Room{Own: uint64(SpaceNone)}) {
		t.Errorf("without room it says %+v", sent)
	}
	if code, _ := propose(c, put); code != kv.OK {
		t.Errorf("the own disk is full, the others have room: %v", code)
	}
	for _, step := range []struct {
		room     Space
		put, del kv.Code
	}{{SpaceLow, kv.NoSpace, kv.OK}, {SpaceNone, kv.NoSpace, kv.NoSpace}, {SpaceLeft, kv.OK, kv.OK}} {
		c.turn(Received{From: 2, Message: Room{Cluster: uint64(step.room), Why: "by the leader's word"}})
		gotPut, why := propose(c, put)
		gotDel, _ := propose(c, del)
		if gotPut != step.put || gotDel != step.del || step.put != kv.OK && !strings.Contains(why, "by the leader's word") {
			t.Errorf("the leader says %v: put %v, delete %v: %s", step.room, gotPut, gotDel, why)
		}
	}
	c.turn(Received{From: 2, Message: Room{Cluster: uint64(SpaceNone)}}, Disconnected{Peer: 2})
	if code, _ := propose(c, put); code != kv.OK {
		t.Errorf("the leader that said so is lost: %v", code)
	}
}

// A leader without room goes where there is some, and to nobody of whom that is not known.
func TestFullLeaderLeaves(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	c.turn(Received{From: 2, Message: Room{}})
	c.Status.noSpace.Store(true)
	c.turn(Received{From: 2, Message: Room{Own: uint64(SpaceLow)}})
	if sent := c.pass(10 * TickInterval); hasType(sent, raftpb.MsgTimeoutNow) {
		t.Error("it goes to a member that has no room")
	}
	c.turn(Received{From: 2, Message: Room{}})
	if sent := c.pass(TickInterval); !hasType(sent, raftpb.MsgTimeoutNow) {
		t.Errorf("it stays although another member has room: %+v", sent)
	}
}

type errorsTo struct{ errs *[]*kv.Error }

func (to errorsTo) Complete(all []kv.Completion) {
	for _, one := range all {
		*to.errs = append(*to.errs, one.Result.Err)
	}
}

func tells(sent []PeerMessage, want Room) bool {
	for _, m := range sent {
		if m == PeerMessage(want) {
			return true
		}
	}
	return false
}

func hasType(sent []PeerMessage, want raftpb.MessageType) bool {
	for _, m := range sent {
		if r, ok := m.(RaftMessage); ok && r.GetType() == want {
			return true
		}
	}
	return false
}
