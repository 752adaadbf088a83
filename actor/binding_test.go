package actor

import (
	"errors"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// founder is the admission of founder 1 of three, with what is on its disk.
type founder struct {
	*Admission
	disk []Known
	full error // of the disk
}

func newFounder(t *testing.T, bound ...uint64) *founder {
	t.Helper()
	f := &founder{}
	f.start(t, bound...)
	return f
}

// start starts it with what is on its disk.
func (f *founder) start(t *testing.T, bound ...uint64) {
	t.Helper()
	state := index.NewState(limits.Defaults().Index)
	state.Found(bindAll(t, index.Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3}), bound...))
	status := &Status{}
	status.view.Store(state.View())
	f.Admission = NewAdmission(&Admission{Self: 1, Folder: folderOf(1), Founders: []uint64{2, 3}, Status: status, Remember: func(all []Known) error {
		if f.full == nil {
			f.disk = all
		}
		return f.full
	}}, f.disk)
	if err := f.bind(state.Members()); err != nil {
		t.Fatal(err)
	}
}

func folderOf(n byte) [16]byte { return [16]byte{n} }

// bindAll binds members to the folders with their numbers.
func bindAll(t *testing.T, members index.Members, ids ...uint64) index.Members {
	t.Helper()
	for _, id := range ids {
		next, err := members.Change(&kv.MemberChange{Kind: kv.BindMember, ID: id, Folder: folderOf(byte(id))}, 0)
		if err != nil {
			t.Fatal(err)
		}
		members = next
	}
	return members
}

func (f *founder) meets(id uint64, folder byte) error {
	return f.Admit(id, peerframe.MemberIdentity{Folder: folderOf(folder), Boot: 1, Process: [16]byte{folder}, Past: make([]byte, 8), Last: 1, LastTerm: 1})
}

// folders are those of members 1 to n, in order.
func folders(numbers ...byte) (all []peerframe.Bound) {
	for i, n := range numbers {
		all = append(all, peerframe.Bound{Member: uint64(i + 1), Folder: folderOf(n)})
	}
	return all
}

// Two hosts start as founder 3, with the folders 3 and 33. A founder takes part with the ones that it has met, or that the first leader has,
// for ever, and with none that knows others.
func TestFoundersAgreeOnFolders(t *testing.T) {
	f := newFounder(t)
	if err := errors.Join(f.meets(2, 2), f.meets(3, 3)); err != nil {
		t.Fatal(err)
	}
	if err := f.meets(3, 33); err == nil || !strings.Contains(err.Error(), "two hosts run under one name") {
		t.Errorf("a second founder 3 is met: %v", err)
	}
	if err := f.agree(folders(1, 2, 33), false, true); err == nil || !strings.Contains(err.Error(), "two data folders belong to n3, 03000000 and 21000000") {
		t.Errorf("a candidate has met another founder 3: %v", err)
	}
	if err := f.agree(folders(11, 2, 3), true, true); err == nil {
		t.Error("a leader knows another folder of this member")
	}
	if f.established() {
		t.Error("a contradiction has established it")
	}
	if err := f.agree(folders(1, 2, 3), false, true); err != nil || !f.established() {
		t.Fatalf("all have met the same: %v, it is established: %v", err, f.established())
	}
	f.start(t)
	if err := f.agree(folders(1, 2, 33), true, true); err == nil || !f.established() {
		t.Errorf("after a restart a leader has another founder 3: %v", err)
	}

	late := newFounder(t) // it was away at the first election, and has met the wrong one
	if err := errors.Join(late.meets(2, 2), late.meets(3, 33)); err != nil {
		t.Fatal(err)
	}
	its := &peerframe.MemberIdentity{Folder: folderOf(33), Boot: 1, Process: [16]byte{33}}
	if err := late.Bars(3, its); err != nil {
		t.Error(err)
	}
	if err := late.agree(folders(1, 2, 3), true, false); err != nil || late.established() {
		t.Errorf("a pre-vote has established it: %v", err)
	}
	late.full = errors.New("full")
	if err := late.agree(folders(1, 2, 3), true, true); !errors.Is(err, late.full) {
		t.Errorf("what is not on the disk establishes it: %v", err)
	}
	late.full = nil
	if err := late.agree(folders(1, 2, 3), true, true); err != nil {
		t.Fatal(err)
	}
	late.start(t)
	if known := late.Knows(3).Folder; known != folderOf(3) || late.Bars(3, its) == nil || late.meets(3, 33) == nil || late.meets(3, 3) != nil {
		t.Errorf("a leader's founder 3 is %x", known)
	}

	alone := newFounder(t) // what a leader does not know is not known by anyone's word
	if err := alone.agree(folders(1, 2), true, true); err != nil {
		t.Fatal(err)
	}
	if no, ok := errors.AsType[*Refusal](alone.meets(3, 3)); !ok || no.Forgot {
		t.Errorf("an established founder meets a folder that it does not know: %v", no)
	}
	alone.start(t, 3)
	if err := alone.meets(3, 3); err != nil {
		t.Errorf("it is bound by now: %v", err)
	}
	if err := newFounder(t).agree(nil, true, true); err == nil {
		t.Error("a leader that knows nobody establishes a founder")
	}
}

// What the log binds is no other folder's, whatever was met before: its frames, its handshakes and its votes.
func TestBindingBarsAnotherFolder(t *testing.T) {
	f := newFounder(t)
	if err := errors.Join(f.meets(2, 2), f.meets(3, 33)); err != nil {
		t.Fatal(err)
	}
	other := &peerframe.MemberIdentity{Folder: folderOf(33), Boot: 1, Process: [16]byte{33}}
	if err := f.Bars(3, other); err != nil {
		t.Fatal(err)
	}
	if err := f.bind(bindAll(t, index.Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3}), 1, 2, 3)); err != nil {
		t.Fatal(err)
	}
	if err := f.Bars(3, other); err == nil || !strings.Contains(err.Error(), "its data folder is another one (21000000, known is 03000000)") {
		t.Errorf("a frame of the other folder: %v", err)
	}
	if f.meets(3, 33) == nil || f.agree(folders(1, 2, 33), true, false) == nil || f.meets(3, 3) != nil {
		t.Error("the bound folder is not the only one")
	}
	if said := f.Folders(); len(said) != 3 || said[2] != (peerframe.Bound{Member: 3, Folder: folderOf(3)}) {
		t.Errorf("it knows %v", said)
	}
}

// Of two processes that claim one start of a folder, the log has one: the other one is a copy's.
func TestAnnouncedStartBarsACopy(t *testing.T) {
	f := newFounder(t, 1, 2, 3)
	if err := f.meets(3, 3); err != nil {
		t.Fatal(err)
	}
	its := &peerframe.MemberIdentity{Folder: folderOf(3), Boot: 1, Process: [16]byte{3}}
	members, err := bindAll(t, index.Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3}), 3).Announce(&kv.Member{ID: 3, Name: "n3", Folder: folderOf(3), Boot: 1, Process: [16]byte{9}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Bars(3, its); err != nil {
		t.Fatal(err)
	}
	if err := f.bind(members); err != nil {
		t.Fatal(err)
	}
	if err := f.Bars(3, its); err == nil || !strings.Contains(err.Error(), "two processes claim start 1") {
		t.Errorf("the process that the log does not have: %v", err)
	}
}

// A member whose id is bound to another folder takes no part, and says so.
func TestOwnIDIsAnotherFolders(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.Admission.Folder = folderOf(9)
	next, _ := c.state.Members().Change(&kv.MemberChange{Kind: kv.UpdateMember, ID: 2, Peers: []string{"h2:1"}}, 0)
	c.turn(membersChanged{Members: next, At: 2})
	if !c.suspension.active() || !strings.Contains(c.suspension.Reason, "is bound to the data folder 01000000, but this folder is 09000000") {
		t.Errorf("it takes part: %q", c.suspension.Reason)
	}
}

// A vote is not granted to a candidate whose founders are others, and no append of its kind is taken.
func TestNoVoteForOtherFolders(t *testing.T) {
	for folder, granted := range map[byte]bool{3: true, 33: false} {
		c := newTestConsensus(t, limits.Defaults())
		said := folders(1, 2, folder)
		vote := from(2, raftpb.MsgVote, 7, func(m *raftpb.Message) { m.Index, m.LogTerm = u(1), u(1) })
		vote.Message = peerframe.Raft{Message: vote.Message.(peerframe.Raft).Message, Folders: said}
		got := false
		for _, m := range c.turn(vote) {
			r, ok := m.(peerframe.Raft)
			got = got || ok && r.GetType() == raftpb.MsgVoteResp && !r.GetReject()
		}
		if got != granted {
			t.Errorf("founder 3 has the folder %d: a vote is granted: %v", folder, got)
		}
		shown := false
		for _, a := range c.Status.Alarms() {
			shown = shown || a.Name == kv.RefusedAlarm && a.Member == 2 && strings.Contains(a.Text, "two hosts run under its name")
		}
		if shown == granted {
			t.Errorf("founder 3 has the folder %d: it is shown: %v", folder, shown)
		}
	}
}

// A founder that got the first entries by a snapshot, which carries no folders, has those of all founders with the next append.
func TestAppendAfterASnapshotEstablishes(t *testing.T) {
	for index, carries := range map[uint64]bool{foundingIndex: true, foundingIndex + 16: true, foldersEntries: true, foldersEntries + 1: false} {
		c := newTestConsensus(t, limits.Defaults())
		c.Admission.Founders = []uint64{2, 3}
		m := from(2, raftpb.MsgApp, 7, func(m *raftpb.Message) { m.Index, m.LogTerm = u(index), u(7) })
		m.Message = peerframe.Raft{Message: m.Message.(peerframe.Raft).Message, Folders: folders(1, 2, 3)}
		c.turn(m)
		if c.Admission.established() != carries {
			t.Errorf("after an append behind entry %d: it is established: %v", index, c.Admission.established())
		}
	}
}

// Restored founders 1 and 2 have a leader before founder 3 has started. They refuse it until the log binds the first folder that asks.
func TestRestoredFounderComesLate(t *testing.T) {
	f := newFounder(t)
	if err := errors.Join(f.meets(2, 2), f.agree(folders(1, 2), true, true)); err != nil || !f.established() {
		t.Fatalf("%v, it is established: %v", err, f.established())
	}
	if claimed := [2][16]byte{f.Claims(2), f.Claims(3)}; claimed != [2][16]byte{folderOf(2), {}} {
		t.Errorf("before founder 3 has asked: %x", claimed)
	}
	for _, folder := range []byte{3, 33} { // another host of the name asks as well
		if err := f.meets(3, folder); err == nil || !strings.Contains(err.Error(), "does not know yet") {
			t.Errorf("founder 3 with folder %d, which the log has not bound: %v", folder, err)
		}
	}
	if claimed := f.Claims(3); claimed != folderOf(3) || f.Knows(3).Folder != [16]byte{} {
		t.Errorf("two folders have asked as founder 3: %x is claimed, %x is known", claimed, f.Knows(3).Folder)
	}
	if err := f.bind(bindAll(t, f.Status.View().Members(), 1, 2, 3)); err != nil {
		t.Fatal(err)
	}
	if err := f.meets(3, 3); err != nil {
		t.Errorf("the log has bound founder 3: %v", err)
	}
	if err := f.meets(3, 33); err == nil || !strings.Contains(err.Error(), "two hosts run under one name") {
		t.Errorf("another host runs as founder 3: %v", err)
	}
}
