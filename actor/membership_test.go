package actor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/net/wire/peerframe"
)

// newTestMembers is a consensus that leads, with an applier: members 2 and 3 follow, and 3 is silent until it answers.
func newTestMembers(t *testing.T) *consensusTurns { return newTestMembersWith(t, limits.Defaults()) }

func newTestMembersWith(t *testing.T, bounds limits.Tunable) *consensusTurns {
	c := newTestConsensus(t, bounds)
	c.applies()
	c.lead()
	c.acknowledge()
	return c
}

// applies gives it an applier.
func (c *consensusTurns) applies() {
	c.applier = NewApplier(ApplierConfig{
		Member: 1, Incarnation: 7, State: c.state, Inbox: c.Applier, Consensus: c.Inbox, LogWriter: c.LogWriter,
		Snapshotter: c.Snapshotter, Status: c.Status, Limits: c.Limits, Fail: c.Fail,
	})
}

// answer lets a member say that it has all of the log.
func (c *consensusTurns) answer(member uint64) {
	c.t.Helper()
	c.turn(from(member, raftpb.MsgAppResp, c.term, func(m *raftpb.Message) { m.Index = u(c.last) }))
}

// ask proposes a change, and returns what its client will be told.
func (c *consensusTurns) ask(change kv.MemberChange) *clientHeard {
	c.t.Helper()
	var told clientHeard
	c.turn(Propose{Proposal: kv.Proposal{ReplyTo: &told, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendMemberChange(nil, &change)}}})
	return &told
}

// change is ask, and a quorum has it.
func (c *consensusTurns) change(change kv.MemberChange) {
	c.t.Helper()
	told := c.ask(change)
	c.acknowledge()
	c.acknowledge() // the end of an exchange of voters, if this was one
	if len(*told) != 1 || (*told)[0].Result.Err != nil {
		c.t.Fatalf("%v: %+v", &change, *told)
	}
	if change.Kind == kv.AddLearner {
		c.announce(change.ID)
	}
}

// announce lets a learner write down who it is.
func (c *consensusTurns) announce(id uint64) {
	c.t.Helper()
	one := *c.membership.records.Get(id)
	one.Boot, one.Folder, one.Process = 1, [16]byte{byte(id)}, [16]byte{byte(id)}
	c.turn(Propose{Proposal: kv.Proposal{ReplyTo: &clientHeard{}, Requests: []uint64{1}, Commands: []kv.Command{index.AppendAnnounce(nil, &one)}}})
	c.acknowledge()
}

// live lets a time pass in which these members answer every heartbeat.
func (c *consensusTurns) live(d time.Duration, members ...uint64) {
	c.t.Helper()
	for end := c.at + d; c.at < end; {
		c.pass(TickInterval)
		for _, id := range members {
			c.answer(id)
		}
	}
}

func adding(id uint64) kv.MemberChange {
	return kv.MemberChange{Kind: kv.AddLearner, ID: id, Name: fmt.Sprint("n", id), Peers: []string{fmt.Sprint("h", id, ":1")}, Manual: true}
}

func promoting(id, instead uint64) kv.MemberChange {
	return kv.MemberChange{Kind: kv.PromoteMember, ID: id, Instead: instead}
}

func removing(id uint64) kv.MemberChange { return kv.MemberChange{Kind: kv.RemoveMember, ID: id} }

// What a leader does not propose, and what it says of it. Nothing has changed then.
func TestUnwiseChangesAreRefused(t *testing.T) {
	for name, one := range map[string]struct {
		before func(c *consensusTurns)
		change kv.MemberChange
		code   kv.Code
		text   string
	}{
		"two at once":                  {func(c *consensusTurns) { c.ask(adding(8)) }, adding(9), kv.Unavailable, "another change"},
		"no kind":                      {nil, kv.MemberChange{ID: 9}, kv.BadRequest, "not known"},
		"a learner too many":           {func(c *consensusTurns) { c.fill(limits.Learners) }, adding(99), kv.TooManyMembers, "learners"},
		"a learner that never came":    {func(c *consensusTurns) { c.change(adding(9)); c.live(time.Second, 2) }, promoting(9, 0), kv.LearnerBehind, "n9 has"},
		"a learner that is behind":     {func(c *consensusTurns) { c.change(adding(9)); c.fallBehind(9) }, promoting(9, 0), kv.LearnerBehind, "n9 has 2"},
		"a learner that is just level": {func(c *consensusTurns) { c.change(adding(9)); c.turn(Connected{Peer: 9}); c.answer(9) }, promoting(9, 0), kv.LearnerBehind, "just now"},
		"a voter too many": {func(c *consensusTurns) {
			c.change(adding(9))
			for id := uint64(20); len(c.membership.confState.Voters) < limits.Members; id++ {
				c.membership.confState.Voters = append(c.membership.confState.Voters, id)
			}
		}, promoting(9, 0), kv.TooManyMembers, "voters"},
		"of those that stay one is silent":        {func(c *consensusTurns) { c.live(3*time.Second, 2) }, removing(2), kv.QuorumAtRisk, "n3 would not"},
		"under the name of a member that answers": {func(c *consensusTurns) { c.live(3*time.Second, 2) }, kv.MemberChange{Kind: kv.AddLearner, ID: 9, Peers: []string{"h9:1"}, Instead: 2}, kv.MemberRuns, "n2 runs, and answers the leader, n1"},
		"one cannot be reached":                   {func(c *consensusTurns) { c.answer(3); c.turn(Disconnected{Peer: 3}) }, removing(2), kv.QuorumAtRisk, "n3 would not"},
		"two are silent": {func(c *consensusTurns) {
			c.change(adding(9))
			c.turn(Connected{Peer: 9})
			c.live(3*time.Second, 2, 9)
			c.turn(Disconnected{Peer: 2})
		}, promoting(9, 0), kv.QuorumAtRisk, "n2 and n3 would not"},
		"the leader":             {func(c *consensusTurns) { c.answer(3) }, removing(1), kv.Unavailable, "n1 leads"},
		"the leader is replaced": {func(c *consensusTurns) { c.change(adding(9)); c.turn(Connected{Peer: 9}); c.live(time.Second, 2, 9) }, promoting(9, 1), kv.Unavailable, "n1 leads"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestMembers(t)
			if one.before != nil {
				one.before(c)
			}
			before, last := c.raft.Status().Config.String(), c.last
			told := *c.ask(one.change)
			if len(told) != 1 || told[0].Result.Err == nil || told[0].Result.Err.Code != one.code || !strings.Contains(told[0].Result.Err.Message, one.text) {
				t.Errorf("its client was told %+v", told)
			}
			if after := c.raft.Status().Config.String(); after != before || c.last != last {
				t.Errorf("the configuration was %v and is %v; entry %d and %d", before, after, last, c.last)
			}
			if handed := c.raft.BasicStatus().LeadTransferee != 0; handed != strings.Contains(one.text, "leads") {
				t.Errorf("leadership is handed over: %v", handed)
			}
		})
	}
}

// nobody does not wait for what was proposed.
type nobody struct{}

func (nobody) Complete([]kv.Completion) {}

// fill adds learners.
func (c *consensusTurns) fill(n int) {
	for i := range uint64(n) {
		c.change(adding(50 + i))
	}
}

// fallBehind makes a learner one that lacks more than a level one may.
func (c *consensusTurns) fallBehind(id uint64) {
	c.turn(Connected{Peer: id})
	c.answer(id)
	for range learnerLevelEntries + 1000 {
		c.turn(Propose{Proposal: kv.Proposal{ReplyTo: nobody{}, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}}})
	}
	for range 30 {
		c.acknowledge()
	}
	c.live(300*time.Millisecond, 2)
}

// A change is over for the next one only when raft knows that it was applied: until then raft puts an empty entry in the
// place of the next one, and its client would never hear of it.
func TestNextChangeWaitsForRaft(t *testing.T) {
	c := newTestMembers(t)
	c.ask(adding(8))
	c.Handle(Time{Now: c.at}, []ConsensusMessage{from(2, raftpb.MsgAppResp, c.term, func(m *raftpb.Message) { m.Index = u(c.last) })})
	handleAll(c.writer, drainBox(c.LogWriter))
	c.applier.Handle(Time{Now: c.at}, drainBox(c.Applier))
	var reports []ConsensusMessage
	for _, m := range drainBox(c.Inbox) {
		switch m.(type) {
		case membersChanged, applied:
			reports = append(reports, m)
		}
	}
	if len(reports) != 2 {
		t.Fatalf("the applier reports %+v", reports)
	}
	if _, first := reports[0].(membersChanged); !first {
		t.Fatalf("raft hears of the end before the change: %+v", reports)
	}
	c.Handle(Time{Now: c.at}, reports[:1])
	var told clientHeard
	next := adding(9)
	c.Handle(Time{Now: c.at}, []ConsensusMessage{Propose{Proposal: kv.Proposal{ReplyTo: &told, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendMemberChange(nil, &next)}}}})
	if len(told) != 1 || told[0].Result.Err == nil || told[0].Result.Err.Code != kv.Unavailable {
		t.Fatalf("the second one's client was told %+v", told)
	}
	c.turn(reports[1])
	c.change(next)
}

// A change that raft had no room for keeps its place for raft, which drops all others until an entry that stands there is
// applied. In a quiet cluster there is one all the same, and the next change is taken.
func TestChangeThatRaftHadNoRoomFor(t *testing.T) {
	bounds := limits.Defaults()
	bounds.UncommittedBytes = 1000
	c := newTestMembersWith(t, bounds)
	var told clientHeard
	c.turn(Propose{Proposal: kv.Proposal{ReplyTo: &told, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: make([]byte, 2000)})}}})
	first := c.ask(adding(9))
	if c.live(300*time.Millisecond, 2); len(*first) != 1 || (*first)[0].Result.Err == nil {
		t.Fatalf("there was no room for it, and its client was told %+v", *first)
	}
	c.acknowledge()
	c.live(3*time.Second, 2)
	c.acknowledge()
	c.change(adding(9))
}

// A new leader takes no change before it has applied an entry of its term: one of its predecessor may be in its log.
func TestNewLeaderTakesNoChangeAtOnce(t *testing.T) {
	c := newTestMembers(t)
	c.membership.appliedTerm--
	if told := *c.ask(adding(9)); len(told) != 1 || told[0].Result.Err == nil || told[0].Result.Err.Code != kv.Unavailable {
		t.Errorf("its client was told %+v", told)
	}
}

// What records say and what raft makes of the difference are the same configuration, whatever the changes.
func TestConfigurationIsThatOfTheRecords(t *testing.T) {
	kinds := map[string]int{}
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 7))
		members := index.Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3})
		changer := confchange.Changer{Tracker: tracker.MakeProgressTracker(10, 0), LastIndex: 1}
		for id := range uint64(3) {
			if err := step(&changer, &raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeAddNode.Enum(), NodeId: u(id + 1)}}}); err != nil {
				t.Fatal(err)
			}
		}
		next := uint64(4)
		for range 60 {
			before := members.Configuration()
			all := members.All()
			one := all[random.IntN(len(all))]
			change := kv.MemberChange{Kind: kv.MemberChangeKind(1 + random.IntN(4)), ID: one.ID, Peers: []string{fmt.Sprint("h", next)}}
			switch {
			case before.Joint():
				members = members.EndExchange()
				kinds["end"]++
			case random.IntN(8) == 0:
				var refused *kv.Error
				if members, refused = members.Announce(&kv.Member{ID: one.ID, Name: one.Name, Boot: one.Boot + 1, Folder: one.Folder, Process: [16]byte{byte(next)}}); refused != nil {
					t.Fatal(refused)
				}
				kinds["announce"]++
			default:
				if change.Kind == kv.AddLearner {
					change.ID, change.Name = next, fmt.Sprint("n", next)
				}
				if other := all[random.IntN(len(all))]; change.Kind == kv.PromoteMember && random.IntN(2) == 0 && other.ID != one.ID {
					change.Instead = other.ID
				}
				after, refused := members.Change(&change, 0)
				if refused != nil {
					continue
				}
				members = after
				kinds[fmt.Sprint(change.Kind, change.Instead != 0)]++
			}
			next++
			if difference := configurationChange(before, members.Configuration()); difference != nil {
				if err := step(&changer, difference); err != nil {
					t.Fatalf("seed %d: raft refuses %v: %v", seed, difference, err)
				}
			}
			got, want := changer.Tracker.ConfState(), ConfStateOf(members.Configuration())
			if err := got.Equivalent(want); err != nil {
				t.Fatalf("seed %d, after %v: %v", seed, &change, err)
			}
		}
	}
	for _, kind := range []string{"end", "announce", "1 false", "2 false", "2 true", "3 false", "4 false"} {
		if kinds[kind] < 100 {
			t.Errorf("%s came %d times", kind, kinds[kind])
		}
	}
}

// step is what raft does with a change.
func step(c *confchange.Changer, change *raftpb.ConfChangeV2) (err error) {
	var progress tracker.ProgressMap
	var config tracker.Config
	if change.LeaveJoint() {
		config, progress, err = c.LeaveJoint()
	} else if auto, joint := change.EnterJoint(); joint {
		config, progress, err = c.EnterJoint(auto, change.Changes...)
	} else {
		config, progress, err = c.Simple(change.Changes...)
	}
	c.Tracker.Config, c.Tracker.Progress = config, progress
	return err
}

// A learner becomes a voter by itself when it has been level for two heartbeats, and once; one that somebody wants to
// remain one does not.
func TestLevelLearnerIsPromoted(t *testing.T) {
	for _, manual := range []bool{false, true} {
		c := newTestMembers(t)
		add := adding(9)
		add.Manual = manual
		c.change(add)
		c.live(time.Second, 2) // it does not come
		if one := c.state.Members().Get(9); one.Role != kv.Learner {
			t.Fatal("one that never came votes")
		}
		c.turn(Connected{Peer: 9})
		begun := c.at
		for c.state.Members().Get(9).Role == kv.Learner && c.at-begun < 3*time.Second {
			c.live(TickInterval, 2, 9)
		}
		took := c.at - begun
		if manual != (took == 3*time.Second) || took < 2*c.HeartbeatInterval {
			t.Errorf("manual %v: after %v it is a %v", manual, took, c.state.Members().Get(9).Role)
		}
		if !manual && (!slices.Contains(c.membership.confState.Voters, 9) || !slices.Contains(c.told[len(c.told)-1].Configuration().Voters, 9)) {
			t.Errorf("raft has %v, and the transport was told %v", c.membership.confState, c.told[len(c.told)-1].Configuration())
		}
	}
}

// Raft's configuration is that of the records behind the entry that is applied: neither what is committed and not applied yet
// changes it, nor what an entry says of itself.
func TestConfigurationComesWithTheRecords(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.applies()
	c.follow(2)
	var entries []*raftpb.Entry
	for i, one := range []kv.MemberChange{adding(9), {Kind: kv.AddLearner, ID: 10, Name: "n9", Peers: []string{"h10:1"}}} { // a name twice: the records refuse it
		data, err := proto.Marshal(&raftpb.ConfChangeV2{
			Changes: []*raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeAddNode.Enum(), NodeId: &one.ID}},
			Context: index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 2, Incarnation: 5, First: uint64(1 + i), Wall: 1}, [][]byte{new(index.Head).AppendMemberChange(nil, &one).Bytes}),
		})
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, &raftpb.Entry{Type: raftpb.EntryConfChangeV2.Enum(), Term: u(2), Index: u(uint64(2 + i)), Data: data})
	}
	handle := func(batch ...ConsensusMessage) {
		c.Handle(Time{Now: c.at}, batch)
		handleAll(c.writer, drainBox(c.LogWriter))
	}
	handle(from(2, raftpb.MsgApp, 2, func(m *raftpb.Message) { m.Index, m.LogTerm, m.Commit, m.Entries = u(1), u(1), u(3), entries }))
	handle(drainBox(c.Inbox)...)
	orders := drainBox(c.Applier)
	if at := c.raft.BasicStatus(); at.GetCommit() != 3 || len(orders) == 0 || c.raft.Status().Config.String() != "voters=(1 2 3)" {
		t.Fatalf("entry %d is committed, %d orders to apply are given, and raft has %s", at.GetCommit(), len(orders), c.raft.Status().Config.String())
	}
	c.applier.Handle(Time{Now: c.at}, orders)
	c.turn(drainBox(c.Inbox)...)
	if got := c.raft.Status().Config.String(); got != "voters=(1 2 3) learners=(9)" || c.raft.BasicStatus().Applied != 3 {
		t.Errorf("entry %d is applied, and raft has %s", c.raft.BasicStatus().Applied, got)
	}
}

// However many learners have an entry, answer, or have room: only voters are counted.
func TestLearnersDoNotCount(t *testing.T) {
	c := newTestMembers(t)
	for _, id := range []uint64{8, 9} {
		c.change(adding(id))
		c.turn(Connected{Peer: id})
	}
	c.live(3*time.Second, 2, 8, 9) // 3 is silent
	if told := *c.ask(removing(2)); len(told) != 1 || told[0].Result.Err == nil || told[0].Result.Err.Code != kv.QuorumAtRisk {
		t.Errorf("of the voters that stay one is silent, and the client was told %+v", told)
	}
	c.turn(Received{From: 2, Message: peerframe.DiskSpace{Own: uint64(space.Low)}}, Received{From: 3, Message: peerframe.DiskSpace{Own: uint64(space.Low)}})
	if level, why := c.spaces.judge(&c.core); level != space.Low {
		t.Errorf("two of three voters have no space: %v, %q", level, why)
	}
	c.turn(Received{From: 2, Message: peerframe.DiskSpace{}}, Received{From: 3, Message: peerframe.DiskSpace{}})

	commit := c.raft.BasicStatus().GetCommit()
	c.turn(Propose{Proposal: kv.Proposal{ReplyTo: nobody{}, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}}})
	c.answer(8)
	c.answer(9)
	if at := c.raft.BasicStatus().GetCommit(); at != commit {
		t.Errorf("an entry that the leader and two learners have is committed: %d of %d", at, c.last)
	}
	if c.answer(3); c.raft.BasicStatus().GetCommit() != c.last {
		t.Error("an entry that two of three voters have is not committed")
	}
}

// A level learner is promoted once, and not before a handover of leadership that is under way has come to nothing.
func TestPromotionWaits(t *testing.T) {
	c := newTestMembers(t)
	add := adding(9)
	add.Manual = false
	c.change(add)
	c.turn(Connected{Peer: 9})
	c.answer(3)
	c.answer(9)
	c.turn(Transfer{To: 3}) // nothing is proposed until 3 leads, or has not taken over in time
	last := c.last
	live := func(ticks int) {
		for range ticks {
			c.pass(TickInterval)
			c.answer(2)
			c.answer(9)
		}
	}
	if live(50); c.last != last {
		t.Errorf("entry %d is proposed while leadership is handed over", c.last)
	}
	if live(150); !slices.Contains(c.membership.confState.Voters, 9) || c.last != last+1 {
		t.Errorf("the voters are %v, and the log ends at %d, not %d", c.membership.confState.Voters, c.last, last+1)
	}
}

// Who has no record of its folder could join anew with an empty one, as the same member: it does not vote yet.
func TestUnannouncedLearnerIsNotPromoted(t *testing.T) {
	c := newTestMembers(t)
	add := adding(9)
	add.Manual = false
	c.ask(add)
	c.acknowledge()
	c.turn(Connected{Peer: 9})
	if c.live(3*time.Second, 2, 9); slices.Contains(c.membership.confState.Voters, 9) {
		t.Error("it votes, and has not announced itself")
	}
	c.announce(9)
	if c.live(3*time.Second, 2, 9); !slices.Contains(c.membership.confState.Voters, 9) {
		t.Error("it has announced itself, and does not vote")
	}
}

// A leadership that ends takes with it what it knew of how level learners are.
func TestNewLeaderLooksAtLearnersAnew(t *testing.T) {
	c := newTestMembers(t)
	c.change(adding(9))
	c.turn(Connected{Peer: 9})
	c.live(time.Second, 2, 9)
	if len(c.membership.level) != 1 {
		t.Fatal("it is not level")
	}
	c.turn(from(2, raftpb.MsgHeartbeat, c.term+1, func(m *raftpb.Message) { m.Commit = u(1) }))
	if len(c.membership.level) != 0 || c.membership.changeAt != 0 {
		t.Errorf("a follower knows of level learners %v, of a change under way %v", c.membership.level, c.membership.changeAt)
	}
}

// A learner that falls behind is level anew when it has caught up: how long it was level before says nothing.
func TestLearnerThatFellBehindIsLevelAnew(t *testing.T) {
	c := newTestMembers(t)
	add := adding(9)
	add.Manual = true
	c.change(add)
	c.turn(Connected{Peer: 9})
	c.live(time.Second, 2, 9)
	promote := &kv.MemberChange{Kind: kv.PromoteMember, ID: 9}
	if refused := c.membership.judgeChange(&c.core, promote); refused != nil {
		t.Fatalf("it was level for a second: %v", refused)
	}
	c.live(3*c.ElectionTimeout, 2) // it says nothing
	if refused := c.membership.judgeChange(&c.core, promote); refused == nil || refused.Code != kv.LearnerBehind {
		t.Errorf("of one that does not answer: %v", refused)
	}
	c.live(TickInterval, 2, 9)
	for c.membership.behind(&c.core, 9) > 0 {
		c.live(TickInterval, 2, 9)
	}
	if refused := c.membership.judgeChange(&c.core, promote); refused == nil || refused.Code != kv.LearnerBehind {
		t.Errorf("of one that is level only just now: %v", refused)
	}
	c.live(time.Second, 2, 9)
	if refused := c.membership.judgeChange(&c.core, promote); refused != nil {
		t.Errorf("of one that is level again: %v", refused)
	}
}

// A member that has nothing needs a snapshot; one is ordered where there is none, but not again and again.
func TestSnapshotForANewMember(t *testing.T) {
	c := newTestMembers(t)
	wanted := func() (n int) {
		begun := c.at
		for c.at-begun < limits.SnapshotRetry/2 {
			c.Handle(Time{Now: c.at}, []ConsensusMessage{Tick{}})
			for _, m := range drainBox(c.Applier) {
				if _, ok := m.(SnapshotWanted); ok {
					n++
				}
			}
			c.at += TickInterval
			c.answer(2)
		}
		return n
	}
	c.change(adding(9))
	if n := wanted(); n != 0 {
		t.Errorf("%d for a member that never came", n)
	}
	c.turn(Connected{Peer: 9})
	c.membership.snapshotNotBefore = 0
	c.applier.saving = true // none is made meanwhile
	if n := wanted(); n != 1 {
		t.Errorf("%d for a member that has nothing", n)
	}
	c.membership.snapshotNotBefore = 0
	c.Window.SetSnapshot(snapshotAt(c.last, c.term, c.membership.confState))
	if n := wanted(); n != 0 {
		t.Errorf("%d where there is one", n)
	}
}

// A snapshot that would free space on the disk of a follower without any is saved, once in a while.
func TestSnapshotForAFullFollower(t *testing.T) {
	c := newTestMembers(t)
	c.turn(Propose{Proposal: kv.Proposal{ReplyTo: nobody{}, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}}})
	c.acknowledge() // member 3 does not
	saves := func(full space.Level) (n int) {
		c.turn(Received{From: 3, Message: peerframe.DiskSpace{Own: uint64(full), Free: 1 << 30}})
		c.pass(10 * TickInterval)
		for _, order := range drainBox(c.Snapshotter) {
			if _, ok := order.(save); ok {
				n++
			}
		}
		return n
	}
	if n := saves(space.Low); n != 0 {
		t.Errorf("%d saves for a follower that accepts deletions", n)
	}
	if n := saves(space.None); n != 1 {
		t.Errorf("%d saves for a full follower", n)
	}
	if n := saves(space.None); n != 0 {
		t.Errorf("%d more saves", n)
	}
}

// A first snapshot is asked for again while it is saved: no second one is saved behind it, but where one was lost.
func TestOneSnapshotForANewMember(t *testing.T) {
	c := newTestMembers(t)
	saves := func(m ...ApplierMessage) (n int) {
		c.at += limits.SnapshotRetryMost
		c.applier.Handle(Time{Now: c.at}, m)
		for _, order := range drainBox(c.Snapshotter) {
			if _, ok := order.(save); ok {
				n++
			}
		}
		return n
	}
	if n := saves(SnapshotWanted{Saves: 1}); n != 1 {
		t.Fatalf("%d saves", n)
	}
	if n := saves(SnapshotWanted{Saves: 1}) + saves(saveEnded{}); n != 0 {
		t.Errorf("%d saves beside the one under way", n)
	}
	if n := saves(SnapshotWanted{Saves: 1}); n != 1 {
		t.Errorf("%d saves where one is wanted again", n)
	}
	if n := saves(SnapshotWanted{Saves: 1}); n != 0 {
		t.Errorf("%d saves at a time", n)
	}
	if n := saves(saveEnded{Failed: true}); n != 0 {
		t.Errorf("%d saves without a pause after a failure", n)
	}
	if n := saves(expire{}); n != 1 {
		t.Errorf("%d saves after a failure", n)
	}
	if n := saves(saveEnded{}); n != 0 {
		t.Errorf("%d saves behind the one that was wanted", n)
	}
}

// Where the log is damaged in what a snapshot covers, two more are saved: each when more is applied.
func TestSnapshotsBehindCoveredDamage(t *testing.T) {
	c := newTestMembers(t)
	saves := func(m ...ApplierMessage) (at []uint64) {
		c.at += limits.SnapshotRetryMost
		c.applier.Handle(Time{Now: c.at}, m)
		for _, order := range drainBox(c.Snapshotter) {
			if save, ok := order.(save); ok {
				at = append(at, save.Index)
			}
		}
		return at
	}
	first, term := c.applier.state.Applied()
	last := first
	apply := func() apply {
		last++
		e := &raftpb.Entry{Index: new(last), Term: &term}
		return apply{Message: &raftpb.Message{Entries: []*raftpb.Entry{e}, Responses: []*raftpb.Message{{}}}}
	}
	for i, one := range []struct {
		m    ApplierMessage
		want []uint64
	}{
		{SnapshotWanted{Saves: 2, Above: first + 1}, nil},
		{apply(), nil},
		{apply(), []uint64{first + 2}},
		{apply(), nil}, // while it is saved
		{saveEnded{Failed: true}, nil},
		{expire{}, []uint64{first + 3}}, // after a pause
		{saveEnded{}, nil},
		{apply(), []uint64{first + 4}},
		{saveEnded{}, nil},
		{apply(), nil},
	} {
		if got := saves(one.m); !slices.Equal(got, one.want) {
			t.Errorf("%d: saves at %v, not %v", i, got, one.want)
		}
	}
	// One that is due by what is written comes earlier, and is none of the two.
	saves(SnapshotWanted{Saves: 2, Above: last + 1})
	c.applier.records = 1 << 40
	if got := saves(expire{}); !slices.Equal(got, []uint64{last}) {
		t.Errorf("what is due by what is written: saves at %v, not %v", got, last)
	}
	due := last
	for _, one := range []struct {
		m    ApplierMessage
		want []uint64
	}{{saveEnded{}, nil}, {apply(), nil}, {apply(), []uint64{due + 2}}, {saveEnded{}, nil}, {apply(), []uint64{due + 3}}, {saveEnded{}, nil}} {
		if got := saves(one.m); !slices.Equal(got, one.want) {
			t.Errorf("behind one that was due by what is written: saves at %v, not %v", got, one.want)
		}
	}
	if got := saves(SnapshotWanted{Saves: 1}, SnapshotWanted{Saves: 1, Above: last + 5}); !slices.Equal(got, []uint64{last}) {
		t.Errorf("what is wanted at once waits for what is wanted later: saves at %v, not %v", got, last)
	}
	// One that is due by the log fails: the two that are wanted later keep their bound.
	c.applier.wanted = 0
	saves(saveEnded{}, SnapshotWanted{Saves: 2, Above: last + 2})
	c.applier.records = 1 << 40
	if got := saves(expire{}); !slices.Equal(got, []uint64{last}) {
		t.Fatalf("due by the log: saves at %v, not %v", got, last)
	}
	saves(saveEnded{Failed: true})
	c.applier.records = 0
	if got := saves(expire{}); len(got) > 0 {
		t.Errorf("behind a save that failed: saves at %v, before the bound", got)
	}
}

// A new member begins with the newest snapshot that there is, also with one of before it was added. raft takes it as if this
// member were a learner in it; the disk and the records say what was, and both agree when the addition is applied.
func TestSnapshotOfBeforeTheAddition(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.config.Member, c.config.Members, c.config.ConfState = 9, index.Members{}, &raftpb.ConfState{}
	joined, err := NewConsensus(c.config)
	if err != nil {
		t.Fatal(err)
	}
	c.Consensus = joined
	c.follow(2)
	founders := c.state.Members()
	takes := func(at uint64, confState *raftpb.ConfState) (ordered *raftpb.Snapshot) {
		c.Handle(Time{}, []ConsensusMessage{snapshotReceived{Message: &raftpb.Message{
			Type: raftpb.MsgSnap.Enum(), From: u(2), To: u(9), Term: u(2), Snapshot: snapshotAt(at, 2, confState),
		}}})
		for _, order := range drainBox(c.LogWriter) {
			if a, ok := order.(appendOrder); ok && a.Message.GetSnapshot() != nil {
				ordered = a.Message.GetSnapshot()
			}
		}
		return ordered
	}
	want := ConfStateOf(founders.Configuration())
	if ordered := takes(10, want); ordered == nil || want.Equivalent(ordered.GetMetadata().GetConfState()) != nil {
		t.Fatalf("the log writer got %v", ordered)
	}
	c.Handle(Time{}, []ConsensusMessage{membersChanged{Members: founders, Restored: true}})
	c.Handle(Time{}, []ConsensusMessage{appended{Marker: &log.Marker{Index: 10, Term: 2, ConfState: want}, Orders: 1}})
	if got := c.raft.Status().Config.String(); got != "voters=(1 2 3) learners=(9)" || c.failed || c.role(raft.StateFollower) != roleLearner {
		t.Errorf("raft has %s", got)
	}
	was := founders
	for _, change := range []kv.MemberChange{
		{Kind: kv.RemoveMember, ID: 3},
		{Kind: kv.AddLearner, ID: 9, Name: "n9", Peers: []string{"h9"}},
		{Kind: kv.PromoteMember, ID: 9},
		{Kind: kv.RemoveMember, ID: 9},
	} {
		now, err := was.Change(&change, 0)
		if err != nil {
			t.Fatal(err)
		}
		c.Handle(Time{}, []ConsensusMessage{membersChanged{Members: now, Change: configurationChange(was.Configuration(), now.Configuration())}})
		was = now
	}
	if got := c.raft.Status().Config.String(); got != "voters=(1 2)" {
		t.Errorf("raft has %s", got)
	}
	if ordered := takes(20, want); ordered != nil {
		t.Errorf("one that was removed takes %v", ordered)
	}
}

// Voters are exchanged in two steps, and raft and the records agree after each.
func TestExchangeOfVoters(t *testing.T) {
	c := newTestMembers(t)
	c.change(adding(9))
	c.turn(Connected{Peer: 9})
	c.live(time.Second, 2, 9)
	c.ask(promoting(9, 3))
	for range 4 {
		c.acknowledge()
		c.answer(9)
	}
	if got := c.state.Members(); !slices.Equal(got.Configuration().Voters, []uint64{1, 2, 9}) || !got.Removed(3) || got.Configuration().Outgoing != nil {
		t.Errorf("the records say %+v", got)
	}
	if got := c.raft.Status().Config.String(); got != "voters=(1 2 9)" {
		t.Errorf("raft has %s", got)
	}
	if newest := c.told[len(c.told)-1]; newest.Get(3) == nil || newest.Get(9) == nil { // it is needed until what is left cannot forget that it went
		t.Errorf("the transport was told %+v too early", newest)
	}
	c.live(10*TickInterval, 2, 9)
	if newest := c.told[len(c.told)-1]; newest.Get(3) != nil || newest.Get(9) == nil {
		t.Errorf("the transport was told %+v", newest)
	}
	c.change(kv.MemberChange{Kind: kv.UpdateMember, ID: 9, Peers: []string{"elsewhere:1"}})
	if got := c.told[len(c.told)-1].Get(9).Peers; !slices.Equal(got, []string{"elsewhere:1"}) {
		t.Errorf("the transport was told of %v", got)
	}
}

// An exchange of voters ends although leadership was being handed over when it was applied, and nobody writes.
func TestExchangeEndsInAQuietCluster(t *testing.T) {
	c := newTestMembers(t)
	c.change(adding(9))
	c.turn(Connected{Peer: 9})
	c.live(time.Second, 2, 9)
	c.ask(promoting(9, 3))
	c.turn(Transfer{To: 2}) // which does not take over
	for range 4 {
		c.acknowledge()
		c.answer(9)
	}
	if now := c.state.Members().Configuration(); !now.Joint() {
		t.Fatal("the exchange has ended already")
	}
	for range 4 {
		c.live(time.Second, 2, 9)
		c.acknowledge()
		c.answer(9)
	}
	if got := c.raft.Status().Config.String(); got != "voters=(1 2 9)" {
		t.Errorf("raft has %s", got)
	}
}

// What is applied after raft has taken a snapshot, and before it, is older than what raft has.
func TestChangesBelowASnapshotDoNothing(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.follow(2)
	founders := c.membership.records
	added, _ := founders.Change(&kv.MemberChange{Kind: kv.AddLearner, ID: 9, Name: "n9", Peers: []string{"h9"}}, 0)
	promoted, _ := added.Change(&kv.MemberChange{Kind: kv.PromoteMember, ID: 9}, 0)
	snap := snapshotAt(10, 2, ConfStateOf(promoted.Configuration()))
	c.turn(snapshotReceived{Message: &raftpb.Message{Type: raftpb.MsgSnap.Enum(), From: u(2), To: u(1), Term: u(2), Snapshot: snap}})
	if c.transfers.received != nil {
		t.Fatal("raft did not take the snapshot")
	}
	c.Handle(Time{}, []ConsensusMessage{membersChanged{Members: added, Change: configurationChange(founders.Configuration(), added.Configuration())}})
	c.Handle(Time{}, []ConsensusMessage{membersChanged{Members: promoted, Restored: true}})
	if got := c.raft.Status().Config.String(); got != "voters=(1 2 3 9)" || !c.membership.records.Same(promoted) || c.membership.restoring {
		t.Errorf("raft has %s, the members are %+v", got, c.membership.records)
	}
	removed, _ := promoted.Change(&kv.MemberChange{Kind: kv.RemoveMember, ID: 3}, 0)
	c.Handle(Time{}, []ConsensusMessage{membersChanged{Members: removed, Change: configurationChange(promoted.Configuration(), removed.Configuration())}})
	if got := c.raft.Status().Config.String(); got != "voters=(1 2 9)" {
		t.Errorf("raft has %s", got)
	}
}

// Records that say another thing than raft are a bug, and nothing goes on with them.
func TestConfigurationThatDiffers(t *testing.T) {
	c := newTestMembers(t)
	added, _ := c.membership.records.Change(&kv.MemberChange{Kind: kv.AddLearner, ID: 9, Name: "n9", Peers: []string{"h9"}}, 0)
	defer func() {
		if said := fmt.Sprint(recover()); !strings.Contains(said, "the members' records say") {
			t.Errorf("it says %s", said)
		}
	}()
	c.Handle(Time{Now: c.at}, []ConsensusMessage{membersChanged{Members: added}})
	t.Error("it goes on")
}

// A change of the membership is alone in its envelope, wherever it stands among other commands.
func TestChangeIsAloneInItsEnvelope(t *testing.T) {
	p := proposals{next: 1}
	add := adding(9)
	change, put := new(index.Head).AppendMemberChange(nil, &add), new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})
	p.add(Propose{Proposal: kv.Proposal{ReplyTo: nobody{}, Requests: []uint64{1, 2, 3, 4, 5, 6}, Commands: []kv.Command{put, put, change, change, put, put}}}, 0)
	p.add(Propose{Proposal: kv.Proposal{ReplyTo: nobody{}, Requests: []uint64{7, 8}, Commands: []kv.Command{put, change}}}, 0)
	var got []string
	for len(p.waiting) > 0 {
		b := p.pack(limits.Defaults())
		got = append(got, fmt.Sprint(len(b.commands), " ", b.change != nil))
		p.take(b)
	}
	if want := []string{"2 false", "1 true", "1 true", "3 false", "1 true"}; !slices.Equal(got, want) || p.bytes != 0 {
		t.Errorf("the batches are %v", got)
	}
}

// What waits behind a change that is refused is proposed in the same turn.
func TestRefusedChangeEndsNoTurn(t *testing.T) {
	c := newTestMembers(t)
	unknown, before := removing(99), c.last
	unknown.Kind = 200
	var told replies
	c.turn(Propose{Proposal: kv.Proposal{ReplyTo: &told, Requests: []uint64{1, 2}, Timeout: time.Minute, Commands: []kv.Command{
		new(index.Head).AppendMemberChange(nil, &unknown), new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")}),
	}}})
	if len(told) != 1 || told[0].Result.Err == nil || c.last != before+1 {
		t.Errorf("told is %+v; entry %d, before it was %d", told, c.last, before)
	}
}

// What a follower forwards is judged by the leader, and refused through the log: it was accepted.
func TestForwardedChangeIsJudged(t *testing.T) {
	c := newTestMembers(t)
	for i, id := range []uint64{8, 9} {
		add := adding(id)
		c.turn(Received{From: 2, Message: peerframe.Forward{Term: c.term, Oldest: 1, Envelope: index.AppendEnvelope(nil,
			index.Envelope{Level: 1, Member: 2, Incarnation: 5, First: uint64(1 + i), Wall: 1}, [][]byte{new(index.Head).AppendMemberChange(nil, &add).Bytes})}})
	}
	hi := c.last + 1
	entries, err := c.Window.Entries(hi-2, hi, 1<<20)
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	if entries[0].GetType() != raftpb.EntryConfChangeV2 || entries[1].GetType() != raftpb.EntryNormal {
		t.Errorf("in the log are %v", entries)
	}
	c.acknowledge()
	if m := c.state.Members(); m.Get(8) == nil || m.Get(9) != nil {
		t.Errorf("the members are %+v", m.All())
	}
	e, err := index.ReadEnvelope(entries[1].GetData())
	if err != nil || e.Member != 2 || e.Incarnation != 5 || e.First != 2 || e.Count != 1 || !strings.HasPrefix(index.Describe(entries[1].GetData()), "refused: ") {
		t.Errorf("in the place of the second one stands %+v, %v", e, err)
	}
}

// A forwarded change of the membership never gets into the log as an entry that raft takes for a batch of writes: the members of the
// state would change, and not those of raft.
func TestForwardedChangeInDisguise(t *testing.T) {
	add, put := adding(8), new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")}).Bytes
	change := new(index.Head).AppendMemberChange(nil, &add).Bytes
	for name, commands := range map[string][][]byte{
		"before a put":           {change, put},
		"behind a put":           {put, change},
		"end of an exchange":     {index.AppendEndExchange(nil).Bytes},
		"with a byte at its end": {append(slices.Clone(change), 0)},
		"with a longer header":   {append([]byte{0xdc, 0, change[0] & 0xf}, change[1:]...)},
	} {
		c := newTestMembers(t)
		c.turn(Received{From: 2, Message: peerframe.Forward{Term: c.term, Oldest: 1, Envelope: index.AppendEnvelope(nil,
			index.Envelope{Level: 1, Member: 2, Incarnation: 5, First: 1, Wall: 1}, commands)}})
		entries, err := c.Window.Entries(c.last, c.last+1, 1<<20)
		if err != nil || len(entries) != 1 {
			t.Fatal(name, entries, err)
		}
		c.acknowledge()
		data, err := EnvelopeOf(entries[0])
		refused := entries[0].GetType() == raftpb.EntryNormal && strings.HasPrefix(index.Describe(data), "refused: ") && c.state.Members().Get(8) == nil
		judged := entries[0].GetType() == raftpb.EntryConfChangeV2 && c.state.Members().Get(8) != nil
		if err != nil || judged != (name == "with a longer header") || refused == judged {
			t.Errorf("%s: the log has %v %s, %v", name, entries[0].GetType(), index.Describe(data), err)
		}
	}
}

// Entries and what they hold.
func TestEnvelopeOfAnEntry(t *testing.T) {
	entry := func(kind raftpb.EntryType, data []byte) *raftpb.Entry {
		return &raftpb.Entry{Type: &kind, Term: u(2), Index: u(2), Data: data}
	}
	marshal := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, one := range map[string]struct {
		entry *raftpb.Entry
		holds string
		fails bool
	}{
		"commands":           {entry(raftpb.EntryNormal, []byte("e")), "e", false},
		"a new term":         {entry(raftpb.EntryNormal, nil), "", false},
		"a change":           {entry(raftpb.EntryConfChangeV2, marshal(&raftpb.ConfChangeV2{Context: []byte("e")})), "e", false},
		"a change of raft's": {entry(raftpb.EntryConfChange, marshal(&raftpb.ConfChange{NodeId: u(4)})), "", true},
		"what is no change":  {entry(raftpb.EntryConfChangeV2, []byte("\xff")), "", true},
	} {
		if got, err := EnvelopeOf(one.entry); string(got) != one.holds || (err != nil) != one.fails {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	got, err := EnvelopeOf(entry(raftpb.EntryConfChangeV2, nil))
	if err != nil {
		t.Fatal(err)
	}
	e, err := index.ReadEnvelope(got)
	if err != nil || e.Count != 1 || string(e.Commands) != string(index.AppendEndExchange(nil).Bytes) {
		t.Errorf("the end of an exchange is %+v, %v", e, err)
	}
}

// A member ends as removed by the word of a leader, of two members, or of one that its own log bears out, and writes that
// down before it does. Its own log alone is not enough: the others may not have come as far.
func TestRemovedMemberEnds(t *testing.T) {
	removed := func(leads bool) Refusal { return Refusal{Removed: true, Leads: leads, Text: "removed"} }
	for name, one := range map[string]struct {
		batch   []ConsensusMessage
		ownWord bool
		ends    bool
	}{
		"one that follows says so":        {[]ConsensusMessage{Refused{2, removed(false)}, Refused{2, removed(false)}}, false, false},
		"the leader says so":              {[]ConsensusMessage{Refused{2, removed(true)}}, false, true},
		"two say so":                      {[]ConsensusMessage{Refused{2, removed(false)}, Refused{3, removed(false)}}, false, true},
		"one has taken it back":           {[]ConsensusMessage{Refused{2, removed(false)}, Connected{Peer: 2}, Refused{3, removed(false)}}, false, false},
		"two refuse it for other reasons": {[]ConsensusMessage{Refused{2, Refusal{Text: "no"}}, Refused{3, Refusal{Leads: true, Text: "no"}}}, false, false},
		"its log says so":                 {nil, true, false},
		"its log and one say so":          {[]ConsensusMessage{Refused{2, removed(false)}}, true, true},
	} {
		c := newTestConsensus(t, limits.Defaults())
		var did []string
		c.membership.recordRemoval = func() error { did = append(did, "folder"); return errors.New("the disk is full") }
		c.Fail = func(err error) { did = append(did, fmt.Sprint(errors.Is(err, ErrRemoved))) }
		if one.ownWord {
			without, refused := c.membership.records.Change(&kv.MemberChange{Kind: kv.RemoveMember, ID: 1}, 0)
			if refused != nil {
				t.Fatal(refused)
			}
			c.turn(membersChanged{Members: without, At: 2, Change: configurationChange(c.membership.records.Configuration(), without.Configuration())})
		}
		c.turn(one.batch...)
		c.pass(time.Second)
		if want := []string{"folder", "true"}; one.ends && !slices.Equal(did, want) || !one.ends && len(did) > 0 {
			t.Errorf("%s: %v", name, did)
		}
	}
}

// One that says that it leads, and that this member was removed, is not believed while this member serves with another leader;
// when that one is gone, it is.
func TestRemovedByWhoDoesNotLead(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	ended := false
	c.membership.recordRemoval = func() error { return nil }
	c.Fail = func(err error) { ended = errors.Is(err, ErrRemoved) }
	c.follow(2)
	c.applyingTerm = c.term // what the leader has begun its term with is committed
	says := Refused{3, Refusal{Removed: true, Leads: true, Text: "removed"}}
	for range 3 {
		if c.turn(says); ended {
			t.Fatal("it ends by the word of a peer, and follows another leader")
		}
	}
	c.pass(3 * c.ElectionTimeout) // the leader is silent
	if c.turn(says); !ended {
		t.Error("the leader's word is not believed")
	}
}

// Learners know of a removal that no voter's disk may know of yet: where one voter is left, it needs the vote of the other one
// when it starts again.
func TestLearnersDoNotEndARemovedMember(t *testing.T) {
	for leads, ends := range map[bool]bool{false: false, true: true} {
		c := newTestConsensus(t, limits.Defaults())
		ended := false
		c.membership.recordRemoval = func() error { return nil }
		c.Fail = func(err error) { ended = errors.Is(err, ErrRemoved) }
		records := c.membership.records
		for _, change := range []kv.MemberChange{adding(4), adding(5), removing(1)} {
			next, refused := records.Change(&change, 0)
			if refused != nil {
				t.Fatal(refused)
			}
			c.turn(membersChanged{Members: next, At: 2, Change: configurationChange(records.Configuration(), next.Configuration())})
			records = next
		}
		says := Refusal{Removed: true, Leads: leads, Text: "removed"}
		if c.turn(Refused{4, says}, Refused{5, says}); ended != ends {
			t.Errorf("by the words of learners, which lead meanwhile: %v, it ends: %v", leads, ended)
		}
	}
}

// A learner's leader that is silent is none any more, as one that a voter does not hear; until it speaks again.
func TestSilentLeaderOfALearner(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.follow(2)
	c.membership.confState = &raftpb.ConfState{Voters: []uint64{2, 3}, Learners: []uint64{1}}
	c.raft.ApplyConfChange(&raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeAddLearnerNode.Enum(), NodeId: u(1)}}})
	leader := func() uint64 { return c.Status.Raft().Leader }
	heartbeat := from(2, raftpb.MsgHeartbeat, 2, func(m *raftpb.Message) { m.Commit = u(1) })
	for range 30 {
		c.pass(100 * time.Millisecond)
		c.turn(heartbeat)
	}
	c.pass(c.ElectionTimeout)
	if leader() != 2 {
		t.Fatalf("after one election timeout the leader is %d", leader())
	}
	c.pass(c.ElectionTimeout)
	var told clientHeard
	c.turn(Disconnected{Peer: 2}, Propose{Proposal: kv.Proposal{ReplyTo: &told, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}}})
	c.pass(c.ElectionTimeout)
	if leader() != 0 {
		t.Errorf("after three election timeouts the leader is %d", leader())
	}
	if c.pass(c.ElectionTimeout + 2*TickInterval); len(told) != 1 {
		t.Errorf("an election timeout later a write is told %v", told)
	}
	if c.turn(Connected{Peer: 2}, heartbeat); leader() != 2 {
		t.Errorf("when it speaks again the leader is %d", leader())
	}
}

// What a removed member has said before its connection ended is not heard: it gets no vote.
func TestRemovedMemberGetsNoVote(t *testing.T) {
	c := newTestMembers(t)
	c.answer(3)
	c.change(removing(3))
	term := c.term
	c.turn(Disconnected{Peer: 2})
	c.pass(5 * time.Second) // it leads no more
	for _, m := range c.turn(from(3, raftpb.MsgVote, term+5, func(m *raftpb.Message) { m.LogTerm, m.Index = u(term+4), u(c.last+1) })) {
		t.Errorf("it is told %v", m)
	}
	if now := c.raft.BasicStatus(); now.GetTerm() >= term+5 || now.GetVote() == 3 {
		t.Errorf("it is in term %d, and votes for %d", now.GetTerm(), now.GetVote())
	}
}

// A member without a vote says that it is a learner.
func TestRoleOfALearner(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	for state, want := range map[raft.StateType]string{raft.StateFollower: "follower", raft.StateLeader: "leader", raft.StatePreCandidate: "candidate"} {
		if got := c.role(state); got != want {
			t.Errorf("%v: %s", state, got)
		}
	}
	c.membership.confState = &raftpb.ConfState{Voters: []uint64{2, 3}, Learners: []uint64{1}}
	if got := c.role(raft.StateFollower); got != "learner" {
		t.Error(got)
	}
	c.membership.confState = &raftpb.ConfState{Voters: []uint64{2, 3}, VotersOutgoing: []uint64{1, 2}}
	if got := c.role(raft.StateFollower); got != "follower" {
		t.Errorf("a voter that leaves is a %s", got)
	}
}

// Who was removed stays a peer until a loss of power cannot undo it: the own disk must know that it is committed.
func TestRemovedMemberStaysAPeerForAMoment(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	without, refused := c.membership.records.Change(new(removing(3)), 0)
	if refused != nil {
		t.Fatal(refused)
	}
	told, at := len(c.told), c.raft.BasicStatus().GetCommit() // what is applied is committed, as raft knows
	c.turn(membersChanged{Members: without, At: at, Change: configurationChange(c.membership.records.Configuration(), without.Configuration())})
	c.turn(appended{Orders: 0, Commit: at - 1})
	if len(c.told) != told {
		t.Errorf("the transport was told %+v, and the disk knows nothing of it", c.told[told:])
	}
	c.turn(appended{Orders: 0, Commit: at})
	if len(c.told) != told+1 || c.told[told].Get(3) != nil {
		t.Errorf("the transport was told %+v", c.told[told:])
	}
}

// What a leader makes of a change depends on nothing but what it knows of the members.
func TestJudge(t *testing.T) {
	members := func(voters, learners int) (records index.Members, v, l []uint64) {
		founders := map[string]uint64{}
		for i := range uint64(voters) {
			founders[fmt.Sprintf("n%d", 1+i)] = 1 + i
			v = append(v, 1+i)
		}
		records = index.Founders(founders)
		for _, id := range v {
			records, _ = records.Change(&kv.MemberChange{Kind: kv.BindMember, ID: id, Folder: [16]byte{byte(id)}}, 0)
		}
		for i := range uint64(learners) {
			id := 101 + i
			next, err := records.Change(&kv.MemberChange{Kind: kv.AddLearner, ID: id, Name: fmt.Sprintf("l%d", 1+i), Peers: []string{fmt.Sprintf("10.0.0.%d:2380", id)}}, 0)
			if err != nil {
				t.Fatal(err)
			}
			next.Get(id).Boot = 1
			records, l = next, append(l, id)
		}
		return records, v, l
	}
	add := kv.MemberChange{Kind: kv.AddLearner, ID: 200, Name: "new", Peers: []string{"10.0.0.200:2380"}}
	promote, remove := kv.MemberChange{Kind: kv.PromoteMember, ID: 101}, kv.MemberChange{Kind: kv.RemoveMember, ID: 2}
	exchange, leave := kv.MemberChange{Kind: kv.PromoteMember, ID: 101, Instead: 2}, kv.MemberChange{Kind: kv.RemoveMember, ID: 1}
	for _, c := range []struct {
		what             string
		change           kv.MemberChange
		voters, learners int
		know             func(f *facts)
		refused          kv.Code
		says             string
		successors       []uint64
	}{
		{"a learner", add, 3, 0, nil, kv.OK, "", nil},
		{"one more learner than there may be", add, 3, limits.Learners, nil, kv.TooManyMembers, "promote or remove one", nil},
		{"a learner of the largest cluster", add, limits.Members, limits.Learners - 1, nil, kv.OK, "", nil},
		{"one in the place of a member that answers, elsewhere", kv.MemberChange{Kind: kv.AddLearner, ID: 200, Name: "new", Peers: add.Peers, Instead: 2}, 3, 0, nil, kv.OK, "", nil},
		{"one under the name of a member that answers", kv.MemberChange{Kind: kv.AddLearner, ID: 200, Peers: add.Peers, Instead: 2}, 3, 0, nil, kv.MemberRuns, "n2 runs, and answers the leader, n1", nil},
		{"one at the address of a member that answers", kv.MemberChange{Kind: kv.AddLearner, ID: 200, Name: "new", Peers: add.Peers, Instead: 2}, 3, 0, func(f *facts) { f.records.Get(2).Peers = add.Peers }, kv.MemberRuns, "n2 runs", nil},
		{"one under the name of a silent member", kv.MemberChange{Kind: kv.AddLearner, ID: 200, Peers: add.Peers, Instead: 2}, 3, 0, func(f *facts) { delete(f.answers, 2) }, kv.OK, "", nil},
		{"a change beside another one", add, 3, 0, func(f *facts) { f.changing = true }, kv.Unavailable, "under way", nil},
		{"one that says nothing", kv.MemberChange{}, 3, 0, nil, kv.BadRequest, "", nil},
		{"a level learner", promote, 3, 1, nil, kv.OK, "", nil},
		{"one that lacks something", promote, 3, 1, func(f *facts) { f.missing, f.level = 7, false }, kv.LearnerBehind, "l1 has 7 entries", nil},
		{"one that was level only now", promote, 3, 1, func(f *facts) { f.level = false }, kv.LearnerBehind, "just now", nil},
		{"a voter too many", promote, limits.Members, 1, nil, kv.TooManyMembers, "7 voters", nil},
		{"an exchange in the largest cluster", exchange, limits.Members, 1, nil, kv.OK, "", nil},
		{"a learner that nobody knows", kv.MemberChange{Kind: kv.PromoteMember, ID: 300}, 3, 1, nil, kv.OK, "", nil}, // the records refuse it
		{"the second voter, which would not answer", promote, 1, 1, func(f *facts) { delete(f.answers, 101) }, kv.QuorumAtRisk, "the change would lose the quorum: it leaves 2 voters, of which 2 must answer, and l1 would not", nil},
		{"a voter less", remove, 3, 0, nil, kv.OK, "", nil},
		{"a silent voter less", remove, 3, 0, func(f *facts) { delete(f.answers, 2) }, kv.OK, "", nil},
		{"a voter less beside a silent one", remove, 3, 0, func(f *facts) { delete(f.answers, 3) }, kv.QuorumAtRisk, "n3 would not", nil},
		{"the leader", leave, 3, 0, nil, kv.Unavailable, "n1 leads", []uint64{2, 3}},
		{"the leader of five, one of them silent", leave, 5, 0, func(f *facts) { delete(f.answers, 4) }, kv.Unavailable, "n1 leads", []uint64{2, 3, 5}},
		{"the leader, which a quorum cannot follow", leave, 3, 0, func(f *facts) { delete(f.answers, 2) }, kv.QuorumAtRisk, "n2", nil},
		{"the only voter", leave, 1, 0, nil, kv.OK, "", nil}, // the records refuse it
		{"one in the place of the only voter", kv.MemberChange{Kind: kv.PromoteMember, ID: 101, Instead: 1}, 1, 1, nil, kv.QuorumAtRisk, "no other voter could take over", nil},
		{"a learner less beside silent voters", kv.MemberChange{Kind: kv.RemoveMember, ID: 101}, 3, 1, func(f *facts) { clear(f.answers) }, kv.OK, "", nil},
	} {
		f := facts{leader: 1, answers: map[uint64]bool{}, level: true}
		f.records, f.voters, f.learners = members(c.voters, c.learners)
		for _, id := range slices.Concat(f.voters, f.learners) {
			f.answers[id] = true
		}
		if c.know != nil {
			c.know(&f)
		}
		refused, successors := judge(&c.change, f)
		code, says := kv.OK, ""
		if refused != nil {
			code, says = refused.Code, refused.Message
		}
		if code != c.refused || !strings.Contains(says, c.says) || !slices.Equal(successors, c.successors) {
			t.Errorf("%s: %v %q, hands over to %v", c.what, code, says, successors)
		}
		if refused != nil && code != kv.BadRequest && !strings.Contains(says, "the membership did not change") {
			t.Errorf("%s: does not say that nothing happened: %q", c.what, says)
		}
	}
}
