package actor

import (
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index/kv"
	"qkv/net/wire/peerframe"
)

// foldersEntries is the entry up to which appends carry the founders' folders. A founder may get the first entries by a snapshot, which
// carries none, and would then campaign without founders that it has not met. By this entry the log has bound all founders.
const foldersEntries = 256

// founding holds back the elections of a new cluster until all its founders have met.
//
// A founder whose log ends at the founding entry is a member of a new cluster, or has lost its disk and was started with the flags of the
// founding. Two founders that lost their disks would elect a leader and serve an empty cluster while the third founder has the data. This
// rule prevents that:
//
//	Until every other founder was connected and said that it has no data, a founder without data asks for no votes, and votes only for
//	a candidate with data.
//
// A candidate with data that is connected has admitted this founder's folder ([Admission]). A founder that waits takes appends and
// snapshots, and its first entry ends the wait: a founder that restarts while the cluster begins follows the leader. The answers of the
// others are in memory only: a founder that restarts before it has voted asks all of them again.
type founding struct {
	unmet          []uint64          // the founders that have not said that they have no data
	published      string            // the text of the log and the notice
	contradictions map[uint64]string // by sender, the last contradiction
}

// newFounding lets a founder wait for the others, unless its term and its folders show that it has voted. A member that joins has no voters
// in its log's first entry.
func newFounding(c *ConsensusConfig) founding {
	if c.HardState.Term > foundingTerm && c.Admission.established() {
		return founding{}
	}
	return founding{unmet: without(c.ConfState.GetVoters(), c.Member)}
}

// without returns a copy of ids without one of them.
func without(ids []uint64, id uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(ids), func(one uint64) bool { return one == id })
}

// met notes a peer's connection and the index of the newest entry in its log.
func (f *founding) met(peer, last uint64) {
	if last <= foundingIndex {
		f.unmet = without(f.unmet, peer)
	}
}

// awaits returns for which founders this member must wait, or "" if it takes part in elections or is suspended.
func (f *founding) awaits(c *core) string {
	if len(f.unmet) == 0 || c.last > foundingIndex || c.suspension.active() {
		return ""
	}
	var names []string
	for _, id := range f.unmet {
		names = append(names, c.Status.NameOf(id))
	}
	slices.Sort(names)
	return fmt.Sprintf("waiting for %s: a new cluster needs all its founders once", strings.Join(names, ", "))
}

// premature tells whether a message, of this member or of a peer, would elect a leader without data while this member waits.
func (f *founding) premature(c *core, message peerframe.Message) bool {
	m, ok := message.(peerframe.Raft)
	if !ok {
		return false
	}
	switch m.GetType() {
	case raftpb.MsgPreVote, raftpb.MsgVote, raftpb.MsgTimeoutNow:
		return m.GetIndex() <= foundingIndex && f.awaits(c) != ""
	}
	return false
}

// CarriesFolders tells whether a message carries the folders that its sender knows ([Admission]): it asks for a vote, or may be the first
// append to a founder.
func CarriesFolders(m *raftpb.Message) bool {
	switch m.GetType() {
	case raftpb.MsgPreVote, raftpb.MsgVote:
		return true
	case raftpb.MsgApp:
		return m.GetIndex() <= foldersEntries
	}
	return false
}

// agrees tells whether a message's folders do not contradict the ones that this member knows.
func (f *founding) agrees(c *core, from uint64, m peerframe.Message) bool {
	r, ok := m.(peerframe.Raft)
	if !ok || !CarriesFolders(r.Message) {
		return true
	}
	data := r.GetType() == raftpb.MsgApp || r.GetIndex() > foundingIndex
	err := c.Admission.agree(r.Folders, data, r.GetType() != raftpb.MsgPreVote)
	f.contradict(c, from, err)
	return err == nil
}

// contradict logs a contradiction between the folders of two members, and shows it as long as it lasts.
func (f *founding) contradict(c *core, from uint64, err error) {
	a, before := kv.Alarm{Name: kv.RefusedAlarm, Member: from, Subject: "folders"}, f.contradictions[from]
	if err != nil {
		a.Text = fmt.Sprintf("%s gets no vote, and takes no part with this member: %v; stop one of them. If the cluster has no leader yet, "+
			"then stop all founders, remove their data folders, which hold nothing yet, and start them again", c.Status.NameOf(from), err)
	}
	if a.Text == before {
		return
	}
	if f.contradictions == nil {
		f.contradictions = map[uint64]string{}
	}
	f.contradictions[from] = a.Text
	c.Status.Alarm(a)
	if a.Text != "" {
		c.Logger.Error("two hosts run under one name", "because", a.Text)
	}
}

// publishWait logs which founders this member waits for, and raises or ends the notice.
func (f *founding) publishWait(c *core) {
	text := f.awaits(c)
	if text == f.published {
		return
	}
	f.published = text
	c.Status.Alarm(kv.Alarm{Name: kv.FoundingNotice, Text: text})
	if text != "" {
		c.Logger.Info(text)
	}
}
