package actor

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// coldFiles are the files of a state whose values are one byte repeated.
type coldFiles struct {
	to    int64
	fault error // nil: each value can be read
}

func (f *coldFiles) To() int64 { return f.to }

func (f *coldFiles) Value(_ []byte, _ index.Position, sound func([]byte) bool) ([]byte, error) {
	if value := coldValue(); f.fault == nil && sound(value) {
		return value, nil
	}
	return nil, errors.Join(f.fault)
}

func (f *coldFiles) ReadTogether([]*index.Unread) {}

func coldValue() []byte { return bytes.Repeat([]byte{'v'}, 500) }

// newColdApplier builds an applier of a cluster of so many members, whose keys k000 to k499 have no value in memory, but for the newest.
func newColdApplier(t *testing.T, members int) (*Applier, *reader, *coldFiles) {
	t.Helper()
	a, client := newTestApplier(t)
	l := limits.Defaults().Index
	l.MemoryBytes = 1
	ids := map[string]uint64{}
	for id := range members {
		ids[fmt.Sprintf("n%d", id+1)] = uint64(id + 1)
	}
	a.state = index.NewState(l)
	a.state.Found(index.Founders(ids))
	if _, err := a.state.Apply(1, 1, nil, nil); err != nil {
		t.Fatal(err)
	}
	var puts [][]byte
	for i := range 500 {
		puts = append(puts, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "k%03d", i), Value: coldValue()}).Bytes)
	}
	a.Handle(Time{}, []ApplierMessage{applies(2, index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 2, Wall: 1}, puts))})
	files := &coldFiles{to: a.state.View().Revision()}
	a.state.Stored(files.to, files.to, files)
	for a.Handle(Time{}, nil) {
	}
	if cold, _ := a.view.Cold(); cold < 250 {
		t.Fatalf("%d values left memory", cold)
	}
	return a, client, files
}

// comparing is an entry of this member's process with a write, and behind it one that the value of a key decides.
func comparing(first uint64) []byte {
	before := new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("before"), Value: []byte("x")}).Bytes
	txn := new(index.Head).AppendTxn(nil, &kv.Txn{
		Compares: []kv.Compare{{Key: []byte("k000"), Target: kv.CompareValue, Value: coldValue()}},
		Success:  []kv.Op{{Put: &kv.Put{Key: []byte("equal"), Value: []byte("x")}}},
	}).Bytes
	return index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 1, Incarnation: 7, First: first, Wall: 1}, [][]byte{before, txn})
}

// An entry that needs a value which cannot be read is not begun, and no entry behind it: reads wait, a repaired part is noticed, and then the
// comparison is decided by the value.
func TestUnreadValueDecidesNothing(t *testing.T) {
	a, client, files := newColdApplier(t, 3)
	files.fault = damage.At("part", 0, "a rotten block")
	revision := a.view.Revision()
	a.Handle(Time{}, []ApplierMessage{
		expect{Term: 1, First: 1, Until: time.Minute, Requests: []Request{{ReplyTo: client, Number: 1}, {ReplyTo: client, Number: 2}}},
		applies(3, comparing(1)), applies(4, envelope(2, 9, 5, 10)),
		readReady{Index: 4, Until: time.Minute, Requests: []Request{{ReplyTo: client, Number: 4}}},
	})
	a.Handle(Time{Now: time.Second}, []ApplierMessage{expire{}})
	if applied, _ := a.view.Applied(); applied != 2 || a.view.Revision() != revision || client.told != 0 {
		t.Fatalf("entry %d is applied, revision %d became %d, and %d are answered", applied, revision, a.view.Revision(), client.told)
	}
	if alarms := a.Status.Alarms(); !strings.Contains(a.Status.Waits(), "a rotten block") || len(alarms) != 1 || alarms[0].Name != kv.CorruptAlarm {
		t.Errorf("it waits: %q, alarms %v", a.Status.Waits(), alarms)
	}
	answers := len(drainBox(a.Consensus))
	files.fault = nil
	a.Handle(Time{Now: 2 * time.Second}, []ApplierMessage{expire{}})
	if applied, _ := a.view.Applied(); applied != 4 || client.told != 3 || a.Status.Waits() != "" || len(a.Status.Alarms()) > 0 {
		t.Errorf("the value can be read: entry %d is applied, %d are answered, it waits: %q, alarms %v", applied, client.told, a.Status.Waits(), a.Status.Alarms())
	}
	if got := len(drainBox(a.Consensus)); answers != 1 || got != 2 { // of the entry before, and of both that waited
		t.Errorf("consensus heard of %d orders, and then of %d", answers, got)
	}
	if _, found, err := a.view.Get([]byte("equal"), 0); err != nil || !found {
		t.Errorf("the comparison did not hold: %v", err)
	}
}

// A state that is installed has what waits: consensus hears that it is applied, in order, before it hears of the state.
func TestInstalledStateEndsTheWait(t *testing.T) {
	a, _, files := newColdApplier(t, 3)
	files.fault = damage.At("part", 0, "a rotten block")
	a.Handle(Time{}, []ApplierMessage{applies(3, comparing(1)), applies(4, envelope(2, 9, 5, 10))})
	drainBox(a.Consensus)
	other, _, _ := newColdApplier(t, 3)
	a.Handle(Time{}, []ApplierMessage{restore{State: other.state, Index: 9}})
	var got []string
	for _, m := range drainBox(a.Consensus) {
		got = append(got, fmt.Sprintf("%T", m))
	}
	if want := []string{"actor.applied", "actor.applied", "actor.membersChanged"}; !slices.Equal(got, want) || a.Status.Waits() != "" {
		t.Errorf("consensus hears %v, want %v; it waits: %q", got, want, a.Status.Waits())
	}
}

// A member that is alone ends with the words of the damaged part: nobody has it. A disk that only does not answer now is tried again.
func TestUnreadValueOfTheOnlyMember(t *testing.T) {
	for _, damaged := range []bool{true, false} {
		a, _, files := newColdApplier(t, 1)
		var ended error
		a.Fail = func(err error) { ended = err }
		files.fault = errors.New("input/output error")
		if damaged {
			files.fault = damage.At("part", 0, "a rotten block")
		}
		a.Handle(Time{}, []ApplierMessage{applies(3, comparing(1))})
		if (ended != nil) != damaged || damaged && !strings.Contains(ended.Error(), "a rotten block") || (a.Status.Waits() == "") != damaged {
			t.Errorf("damaged %v: it ends with %v, or waits: %q", damaged, ended, a.Status.Waits())
		}
	}
}

// A leader that applies nothing goes to a follower that does. If all wait, it stays: somebody must send heartbeats.
func TestWaitingLeaderLeaves(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	c.turn(Received{From: 2, Message: peerframe.DiskSpace{Waits: true}})
	c.Status.setWaits("a value")
	if sent := c.pass(10 * TickInterval); hasType(sent, raftpb.MsgTimeoutNow) {
		t.Error("it goes to a member that waits as well")
	}
	if !slices.ContainsFunc(c.pass(limits.SpaceCheck), func(m peerframe.Message) bool { r, is := m.(peerframe.DiskSpace); return is && r.Waits }) {
		t.Error("the others do not hear that it waits")
	}
	if sent := c.turn(Received{From: 2, Message: peerframe.DiskSpace{}}); !hasType(sent, raftpb.MsgTimeoutNow) {
		t.Errorf("it stays although another member applies: %+v", sent)
	}
}

// A follower that applies nothing asks for no votes, also if the leader tells it to. It gives its vote to others when the leader is silent.
func TestWaitingFollowerVotesOnly(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.follow(2)
	c.Status.setWaits("a value")
	if sent := c.turn(from(2, raftpb.MsgTimeoutNow, 2, nil)); asksVotes(sent) {
		t.Error("it campaigns because the leader says so")
	}
	if sent := c.pass(5 * c.ElectionTimeout); asksVotes(sent) {
		t.Error("it campaigns when the leader is silent")
	}
	if !c.grants(raftpb.MsgPreVote, raftpb.MsgPreVoteResp, 3, c.last) || !c.grants(raftpb.MsgVote, raftpb.MsgVoteResp, 3, c.last) {
		t.Error("it denies another one its vote")
	}
	c.Status.setWaits("")
	c.follow(4)
	if sent := c.pass(3 * c.ElectionTimeout); !asksVotes(sent) {
		t.Error("it applies again, and does not campaign")
	}
}
