package actor

import (
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// A cluster takes what a quorum of the members that can be reached has room for.
func TestSpaceOfAQuorum(t *testing.T) {
	const unreachable = space.Level(100)
	for _, step := range []struct {
		what  string
		disks [3]space.Level // of n1, which leads, n2 and n3
		want  space.Level
		why   string
	}{
		{"all have room", [3]space.Level{space.Left, space.Left, space.Left}, space.Left, ""},
		{"the leader has none", [3]space.Level{space.None, space.Left, space.Left}, space.Left, ""},
		{"one follower has none", [3]space.Level{space.Left, space.None, space.Left}, space.Left, ""},
		{"one has room", [3]space.Level{space.Left, space.None, space.Low}, space.Low, "the disk of n2 and that of n3 is full, or nearly"},
		{"none has much", [3]space.Level{space.Low, space.Low, space.Low}, space.Low, "the disk of n1 and that of n2 and that of n3 is full, or nearly"},
		{"two have no reserve", [3]space.Level{space.None, space.Low, space.None}, space.None, "the disk of n1 and that of n2 and that of n3 is full, or nearly"},
		{"one is full, one cannot be reached", [3]space.Level{space.Left, space.Low, unreachable}, space.Low, "the disk of n2 is full, or nearly, and n3 cannot be reached"},
		{"too few can be reached", [3]space.Level{space.None, unreachable, unreachable}, space.Left, ""},
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.lead()
		c.Status.reportDisk(func(d *space.Disk) { d.Full = step.disks[0] > space.Left })
		c.Status.reportDisk(func(d *space.Disk) { d.Spares = map[bool]int64{false: 1}[step.disks[0] > space.Low] })
		for i, own := range step.disks[1:] {
			peer := uint64(i + 2)
			if own == unreachable {
				c.turn(Disconnected{Peer: peer})
			} else {
				c.turn(Received{From: peer, Message: peerframe.DiskSpace{Own: uint64(own)}})
			}
		}
		if space, why := c.spaces.judge(&c.core); space != step.want || why != step.why {
			t.Errorf("%s: %v, %q", step.what, space, why)
		}
	}
}

// A quorum is one of all voters, and not of those that can be reached: of three that are left of five each one is needed.
func TestSpaceOfAQuorumOfFive(t *testing.T) {
	for _, step := range []struct {
		what       string
		full, away []uint64
		want       space.Level
	}{
		{"two of five are full", []uint64{2, 3}, nil, space.Left},
		{"three of five are full", []uint64{2, 3, 4}, nil, space.Low},
		{"one of four is full", []uint64{2}, []uint64{5}, space.Left},
		{"two of four are full", []uint64{2, 3}, []uint64{5}, space.Low},
		{"one of three is full", []uint64{2}, []uint64{4, 5}, space.Low},
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.lead()
		for peer := uint64(2); peer <= 5; peer++ {
			if slices.Contains(step.away, peer) {
				c.turn(Disconnected{Peer: peer})
			} else {
				c.turn(Connected{Peer: peer})
			}
		}
		for _, peer := range step.full {
			c.turn(Received{From: peer, Message: peerframe.DiskSpace{Own: uint64(space.Low)}})
		}
		c.membership.confState = &raftpb.ConfState{Voters: []uint64{1, 2, 3, 4, 5}}
		if space, why := c.spaces.judge(&c.core); space != step.want {
			t.Errorf("%s: %v, %q", step.what, space, why)
		}
	}
}

// While one voter takes another one's place, what is written needs a quorum with the one and a quorum with the other.
func TestSpaceInAnExchange(t *testing.T) {
	for _, step := range []struct {
		what             string
		incoming, before []uint64 // voters
		full, away       uint64
		want             space.Level
	}{
		{"the quorum of before needs a full disk", []uint64{1, 2, 4}, []uint64{1, 2, 3}, 2, 3, space.Low},
		{"the quorum to come needs it", []uint64{1, 2, 4}, []uint64{1, 2, 3}, 2, 4, space.Low},
		{"neither does", []uint64{1, 2, 4}, []uint64{1, 2, 3}, 2, 0, space.Left},
		{"the exchange is over", []uint64{1, 2, 4}, nil, 2, 3, space.Left},
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.lead()
		for _, peer := range []uint64{2, 3, 4} {
			c.turn(Connected{Peer: peer})
		}
		c.turn(Received{From: step.full, Message: peerframe.DiskSpace{Own: uint64(space.Low)}}, Disconnected{Peer: step.away})
		c.membership.confState = &raftpb.ConfState{Voters: step.incoming, VotersOutgoing: step.before}
		if space, why := c.spaces.judge(&c.core); space != step.want {
			t.Errorf("%s: %v, %q", step.what, space, why)
		}
	}
}

// A member refuses by its leader's word, and not by its own disk.
func TestRefusalsForWantOfRoom(t *testing.T) {
	var refused []*kv.Error
	to := errorsTo{&refused}
	propose := func(c *consensusTurns, command kv.Command) (code kv.Code, message string) {
		refused = nil
		c.turn(Propose{Proposal: kv.Proposal{ReplyTo: to, Requests: []uint64{1}, Commands: []kv.Command{command}}})
		if len(refused) > 0 {
			return refused[0].Code, refused[0].Message
		}
		return kv.OK, ""
	}
	put, del := new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")}), new(index.Head).AppendDelete(nil, &kv.Delete{Key: []byte("k"), End: nil})
	c := newTestConsensus(t, limits.Defaults())
	c.follow(2)
	c.Status.reportDisk(func(d *space.Disk) { d.Full = true })
	c.Status.reportDisk(func(d *space.Disk) { d.Spares = 0 })
	if sent := c.pass(TickInterval); !tells(sent, peerframe.DiskSpace{Own: uint64(space.None)}) {
		t.Errorf("without room it says %+v", sent)
	}
	if code, _ := propose(c, put); code != kv.OK {
		t.Errorf("the own disk is full, the others have room: %v", code)
	}
	for _, step := range []struct {
		room     space.Level
		put, del kv.Code
	}{{space.Low, kv.NoSpace, kv.OK}, {space.None, kv.NoSpace, kv.NoSpace}, {space.Left, kv.OK, kv.OK}} {
		c.turn(Received{From: 2, Message: peerframe.DiskSpace{Cluster: uint64(step.room), Why: "by the leader's word"}})
		gotPut, why := propose(c, put)
		gotDel, _ := propose(c, del)
		if gotPut != step.put || gotDel != step.del || step.put != kv.OK && !strings.Contains(why, "by the leader's word") {
			t.Errorf("the leader says %v: put %v, delete %v: %s", step.room, gotPut, gotDel, why)
		}
	}
	c.turn(Received{From: 2, Message: peerframe.DiskSpace{Cluster: uint64(space.None)}}, Disconnected{Peer: 2})
	if code, _ := propose(c, put); code != kv.OK {
		t.Errorf("the leader that said so is lost: %v", code)
	}
}

// TestFullClusterKnowsWhatItMade: a write of a session that was made before the disks were full gets its answer when it is sent
// again, with a reserve and without; another one of the session is refused.
func TestFullClusterKnowsWhatItMade(t *testing.T) {
	c := newTestMembersWith(t, limits.Defaults())
	var told []kv.Completion
	propose := func(sequence uint64) kv.Completion {
		t.Helper()
		told = nil
		head := index.Head{Once: kv.WriteName{Session: 5, Sequence: sequence, Window: sequence, Opened: 1}}
		command := head.AppendPut(nil, &kv.Put{Key: []byte("k"), Value: []byte("v")})
		c.turn(Propose{Proposal: kv.Proposal{ReplyTo: completionsTo{&told}, Requests: []uint64{sequence}, Commands: []kv.Command{command}}})
		clear(command.Bytes) // it is its sender's again
		c.acknowledge()
		if len(told) != 1 || told[0].Request != sequence {
			t.Fatalf("write %d: told %+v", sequence, told)
		}
		return told[0]
	}
	first := propose(1)
	if first.Result.Err != nil {
		t.Fatal(first.Result.Err)
	}
	for _, room := range []space.Level{space.Low, space.None} {
		c.turn(Received{From: 2, Message: peerframe.DiskSpace{Own: uint64(room)}}, Received{From: 3, Message: peerframe.DiskSpace{Own: uint64(room)}})
		if again := propose(1).Result; again.Err != nil || !again.Resent || again.Revision != first.Result.Revision {
			t.Errorf("room %v: the write that was made is answered with %+v", room, again)
		}
		if other := propose(2).Result; other.Err == nil || other.Err.Code != kv.NoSpace {
			t.Errorf("room %v: a write that was not made is answered with %+v", room, other)
		}
	}
	if view := c.Status.View(); view.Revision() != first.Result.Revision {
		t.Errorf("revision %d after a write at %d", view.Revision(), first.Result.Revision)
	}
}

type completionsTo struct{ all *[]kv.Completion }

func (to completionsTo) Complete(all []kv.Completion) { *to.all = append(*to.all, all...) }

// A leader without room goes where there is some, and to nobody of whom that is not known.
func TestFullLeaderLeaves(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	c.turn(Received{From: 2, Message: peerframe.DiskSpace{}})
	c.Status.reportDisk(func(d *space.Disk) { d.Full = true })
	c.turn(Received{From: 2, Message: peerframe.DiskSpace{Own: uint64(space.Low)}})
	if sent := c.pass(10 * TickInterval); hasType(sent, raftpb.MsgTimeoutNow) {
		t.Error("it goes to a member that has no room")
	}
	if sent := c.turn(Received{From: 2, Message: peerframe.DiskSpace{}}); !hasType(sent, raftpb.MsgTimeoutNow) {
		t.Errorf("it stays although another member has room: %+v", sent)
	}
}

// It stays where a quorum has no room: nobody could do more as the leader, and an election takes room.
func TestFullLeaderOfFullMembersStays(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	c.Status.reportDisk(func(d *space.Disk) { d.Full = true })
	if sent := c.turn(Received{From: 3, Message: peerframe.DiskSpace{Own: uint64(space.Low)}}, Received{From: 2, Message: peerframe.DiskSpace{}}); hasType(sent, raftpb.MsgTimeoutNow) {
		t.Error("it goes")
	}
}

// A leader makes newer bases sooner while a member that it reaches has a full disk.
func TestLeaderKnowsOfAFullMember(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	for _, step := range []struct {
		what string
		m    ConsensusMessage
		full bool
	}{
		{"all have room", Received{From: 2, Message: peerframe.DiskSpace{}}, false},
		{"one has not", Received{From: 2, Message: peerframe.DiskSpace{Own: uint64(space.Low)}}, true},
		{"it cannot be reached", Disconnected{Peer: 2}, false},
	} {
		c.turn(step.m)
		if c.pass(TickInterval); c.Status.FullMember() != step.full {
			t.Errorf("%s: %v", step.what, c.Status.FullMember())
		}
	}
}

// A leader refuses what a quorum has no room for as soon as it hears of it.
func TestLeaderHearsOfFullDisks(t *testing.T) {
	var refused []*kv.Error
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	put := kv.Proposal{ReplyTo: errorsTo{&refused}, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}}
	c.turn(Received{From: 2, Message: peerframe.DiskSpace{Own: uint64(space.None)}}, Received{From: 3, Message: peerframe.DiskSpace{Own: uint64(space.None)}}, Propose{Proposal: put})
	if len(refused) != 1 || refused[0].Code != kv.NoSpace {
		t.Errorf("refused: %v", refused)
	}
}

// A log that can only get what it has keeps half of its last segment for terms, votes and raft's own entries. A quarter of that is
// for what was proposed before the leader knew, an order at a time.
func TestLogIsKeptForVotes(t *testing.T) {
	for _, step := range []struct {
		what     string
		full     bool // the disk is
		quarters int32
		waits    bool
		cluster  space.Level // by the leader's word
		data     bool        // entries with data are taken
		empty    bool
	}{
		{"a disk with room", false, 0, false, space.Left, true, true},
		{"spares", true, 4, false, space.Left, true, true},
		{"half a segment", true, 2, false, space.Left, true, true},
		{"less", true, 1, false, space.Left, false, true},
		{"less, for deletions", true, 1, false, space.Low, false, true},
		{"less, for the last that there is", true, 1, false, space.None, true, true},
		{"hardly anything", true, 0, false, space.None, false, true},
		{"a log that waits", false, 4, true, space.None, false, false},
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.follow(2)
		c.turn(Received{From: 2, Message: peerframe.DiskSpace{Cluster: uint64(step.cluster)}})
		c.Status.reportDisk(func(d *space.Disk) { d.Full = step.full })
		taken := func(data []byte) bool {
			c.Status.reportDisk(func(d *space.Disk) { d.Quarters = step.quarters })
			c.Status.reportDisk(func(d *space.Disk) { d.LogWaits = step.waits })
			before, e := c.last, someEntry(c.last+1, c.term)
			e.Data = data
			c.turn(from(2, raftpb.MsgApp, c.term, func(m *raftpb.Message) {
				m.Index, m.LogTerm, m.Entries = u(before), u(min(before, 2)), []*raftpb.Entry{e}
			}))
			return c.last > before
		}
		if data, empty := taken(envelope(2, 5, 1, 1)), taken(nil); data != step.data || empty != step.empty {
			t.Errorf("%s: data %v, an empty entry %v", step.what, data, empty)
		}
	}
}

// A leader whose log is kept for votes proposes nothing, of its clients or of followers. It answers at once where no other member
// has room, and keeps what waits where one can lead.
func TestFullLeaderProposesNothing(t *testing.T) {
	for _, others := range []space.Level{space.Left, space.Low} {
		var refused []*kv.Error
		c := newTestConsensus(t, limits.Defaults())
		c.lead()
		last := c.last
		c.turn(Received{From: 3, Message: peerframe.DiskSpace{Own: uint64(others)}})
		c.Status.reportDisk(func(d *space.Disk) { d.Full = true })
		c.Status.reportDisk(func(d *space.Disk) { d.Quarters = 1 })
		put := kv.Proposal{ReplyTo: errorsTo{&refused}, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}}
		c.turn(Propose{Proposal: put}, Received{From: 2, Message: peerframe.Forward{Term: c.term, Oldest: 1, Envelope: envelope(2, 5, 1, 1)}})
		if c.last != last {
			t.Errorf("the others have %v: it has proposed entry %d", others, c.last)
		}
		if (len(refused) == 1) != (others == space.Low) || len(refused) == 1 && refused[0].Code != kv.NoSpace {
			t.Errorf("the others have %v: refused %v", others, refused)
		}
	}
}

type errorsTo struct{ errs *[]*kv.Error }

func (to errorsTo) Complete(all []kv.Completion) {
	for _, one := range all {
		*to.errs = append(*to.errs, one.Result.Err)
	}
}

func tells(sent []peerframe.Message, want peerframe.DiskSpace) bool {
	for _, m := range sent {
		if m == peerframe.Message(want) {
			return true
		}
	}
	return false
}

func hasType(sent []peerframe.Message, want raftpb.MessageType) bool {
	for _, m := range sent {
		if r, ok := m.(peerframe.Raft); ok && r.GetType() == want {
			return true
		}
	}
	return false
}
