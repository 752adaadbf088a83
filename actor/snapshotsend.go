package actor

import (
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

const (
	// snapshotResend is how long a snapshot's sender waits for a word of the receiver before it offers the snapshot again.
	// snapshotSendTimeout is how long it waits without any.
	snapshotResend      = 500 * time.Millisecond
	snapshotSendTimeout = 10 * time.Second
	// snapshotSendPause bounds the backoff before a snapshot is sent again to a peer that could not use the last one: the first pause is
	// snapshotResend, and each failure doubles it.
	snapshotSendPause = 10 * time.Second
)

// backoff tracks a failing activity: the earliest time of the next attempt.
type backoff struct {
	failures  int
	notBefore time.Duration
}

// fail counts one more failure: the pause doubles with each, from least to most.
func (b *backoff) fail(now, least, most time.Duration) {
	b.notBefore = now + min(least<<min(b.failures, 16), most)
	b.failures++
}

// sends are the snapshots that peers are to have: each is offered, and the peer pulls it and those of its parts that it lacks. Invariant: the
// files of an offered snapshot stay until the transfer ends, also when the snapshot is no longer kept. Consensus keeps the log behind the
// snapshot, up to a bound.
type sends struct {
	transfers []*sending         // at most one to a peer
	backoffs  map[uint64]backoff // by peer: since the last snapshot that it installed
}

// sending is the transfer of one snapshot to one peer.
type sending struct {
	peer        uint64
	message     *raftpb.Message
	index, term uint64
	offer       *peerframe.SnapshotOffer // nil until notBefore
	path        string                   // of the snapshot
	parts       []snapshot.Part
	notBefore   time.Duration
	progressed  time.Duration // the last word of the peer
	asked       time.Duration // that, or the last offer
}

// begin sends the snapshot that raft wants a peer to have, after a pause if the last transfer failed.
func (s *sends) begin(c *snapshotCore, m sendSnapshot) {
	s.drop(c, m.Peer)
	meta := m.Message.GetSnapshot().GetMetadata()
	one := &sending{
		peer: m.Peer, message: m.Message, index: meta.GetIndex(), term: meta.GetTerm(),
		notBefore: s.backoffs[m.Peer].notBefore, progressed: c.now,
	}
	s.transfers = append(s.transfers, one)
	if one.kept(c) == nil { // replaced since, or damaged: raft asks again
		one.notBefore = max(one.notBefore, c.now+snapshotResend)
	}
	s.tryOpen(c, one)
}

// kept returns the published snapshot to send, nil if it no longer exists.
func (one *sending) kept(c *snapshotCore) *snapshot.Info {
	for i := range c.files {
		if c.files[i].Index == one.index && c.files[i].Term == one.term {
			return &c.files[i]
		}
	}
	return nil
}

// suspect has a snapshot's file verified after a receiver has found it damaged.
func (one *sending) suspect(c *snapshotCore) {
	if info := one.kept(c); info != nil {
		c.recheck(info.Path)
	}
}

// find returns the transfer to a peer, if it is that of the snapshot that the peer means; nil: it is not.
func (s *sends) find(peer, index, term uint64) *sending {
	for _, one := range s.transfers {
		if one.peer == peer && one.index == index && one.term == term {
			return one
		}
	}
	return nil
}

// tryOpen reads what the offer needs when its time has come, and offers the snapshot.
func (s *sends) tryOpen(c *snapshotCore, one *sending) {
	if c.now < one.notBefore {
		return
	}
	info := one.kept(c)
	if info == nil {
		s.drop(c, one.peer)
		c.Consensus.MustPost(snapshotSent{Peer: one.peer})
		return
	}
	reader, err := snapshot.Open(c.FS, info.Path)
	if err != nil {
		c.Logger.Error("a snapshot cannot be read", "file", info.Path, "error", err)
		one.suspect(c)
		s.end(c, one, false)
		return
	}
	one.path, one.parts, one.progressed = info.Path, reader.Meta().Parts, c.now
	one.offer = &peerframe.SnapshotOffer{
		Index: one.index, Term: one.term, Size: reader.Size(), SHA: reader.SHA(), Parts: offeredParts(one.parts),
		MessageTerm: one.message.GetTerm(), ConfState: ConfStateBytes(one.message.GetSnapshot().GetMetadata().GetConfState()),
	}
	reader.Close()
	s.listFiles(c)
	s.send(c, one)
}

func (s *sends) send(c *snapshotCore, one *sending) {
	one.asked = c.now
	c.send(one.peer, *one.offer)
}

// drop ends the transfer to a peer, without a report to raft.
func (s *sends) drop(c *snapshotCore, peer uint64) {
	s.transfers = slices.DeleteFunc(s.transfers, func(one *sending) bool {
		c.parts.withheld = c.parts.withheld || one.peer == peer
		return one.peer == peer
	})
	s.listFiles(c)
}

// listFiles lists the files of the snapshots that are being sent.
func (s *sends) listFiles(c *snapshotCore) {
	c.parts.sent, c.parts.offered = nil, nil
	for _, one := range s.transfers {
		if one.offer != nil {
			c.parts.sent, c.parts.offered = append(c.parts.sent, one.parts...), append(c.parts.offered, one.path)
		}
	}
	c.removeStuck("")
}

func offeredParts(all []snapshot.Part) (offered []peerframe.SnapshotPart) {
	for _, p := range all {
		offered = append(offered, peerframe.SnapshotPart(p))
	}
	return offered
}

func (s *sends) end(c *snapshotCore, one *sending, installed bool) {
	s.drop(c, one.peer)
	if installed {
		delete(s.backoffs, one.peer)
	} else {
		b := s.backoffs[one.peer]
		b.fail(c.now, snapshotResend, snapshotSendPause)
		s.backoffs[one.peer] = b
	}
	c.Consensus.MustPost(snapshotSent{Peer: one.peer, Installed: installed})
}

// forget removes a bad snapshot from the published ones, and ends its transfers.
func (s *sends) forget(c *snapshotCore, info snapshot.Info) {
	c.files = slices.DeleteFunc(c.files, func(k snapshot.Info) bool { return k.Path == info.Path })
	for _, one := range slices.Clone(s.transfers) {
		if one.index == info.Index && one.term == info.Term {
			s.end(c, one, false)
		}
	}
}

// wait offers snapshots again of which the peer says nothing, and gives up silent peers.
func (s *sends) wait(c *snapshotCore) {
	for _, one := range slices.Clone(s.transfers) {
		switch {
		case one.offer == nil:
			s.tryOpen(c, one)
		case c.now-one.progressed >= snapshotSendTimeout:
			s.end(c, one, false)
		case c.now-one.asked >= snapshotResend:
			s.send(c, one)
		}
	}
}
