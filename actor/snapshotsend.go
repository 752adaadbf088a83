package actor

import (
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

const (
	// snapshotResend is how long a snapshot's sender waits for an answer before it resends the last piece. snapshotSendTimeout is how long
	// it continues without any answer.
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

// sends are the transfers of snapshots to peers. Invariant: a transfer runs to its end, also when the snapshot is no longer kept. Consensus
// keeps the log behind the snapshot, up to a bound.
type sends struct {
	transfers []*sending         // at most one to a peer
	buffer    []byte             // of the last sent chunk: the sender keeps no reference to it
	backoffs  map[uint64]backoff // by peer: since the last snapshot that it installed
}

// sending is the transfer of one snapshot to one peer.
type sending struct {
	peer        uint64
	message     *raftpb.Message
	index, term uint64
	whole       *snapshot.Reader // of the snapshot; nil until notBefore
	reader      *snapshot.Reader // of the file that the peer wants: the snapshot, or a part
	part        uint64           // which one, as in SnapshotRequest
	notBefore   time.Duration
	acked, sent int64
	wanted      bool  // the peer has reported its offset
	allowed     int64 // bytes that may be sent now, within the window; negative after a chunk that exceeded it
	progressed  time.Duration
	asked       time.Duration
	begun       time.Duration // when the first chunk was sent, at offset first, or the last loss was noticed
	first       int64
}

// timeout is the silence after which unanswered chunks count as lost: twice the time that as many bytes have taken so far. With a shorter
// timeout, chunks that are only slow would be sent again and again, each time slower.
func (one *sending) timeout() time.Duration {
	slow := time.Duration(0)
	if done := one.acked - one.first; done > 0 {
		slow = time.Duration(2 * float64(one.sent-one.acked) / float64(done) * float64(one.progressed-one.begun))
	}
	return max(snapshotResend, min(slow, snapshotSendTimeout/4))
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

// tryOpen opens the file when its time has come, and offers it.
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
	one.whole, one.reader, one.progressed = reader, reader, c.now
	s.listParts(c)
	one.offer(c)
}

// open turns to another file of the snapshot, which the peer wants.
func (s *sends) open(c *snapshotCore, one *sending, part uint64) bool {
	parts := one.whole.Meta().Parts
	if part > uint64(len(parts)) {
		return false
	}
	reader := one.whole
	if part > 0 {
		var err error
		if reader, err = snapshot.Open(c.FS, c.Dir+"/"+parts[part-1].Name()); err != nil {
			c.Logger.Error("a part of a snapshot cannot be read", "index", one.index, "error", err)
			one.suspect(c)
			s.end(c, one, false)
			return false
		}
	}
	one.closePart()
	one.reader, one.part, one.acked, one.sent, one.progressed = reader, part, 0, 0, c.now
	return true
}

func (one *sending) offer(c *snapshotCore) {
	one.asked = c.now
	c.send(one.peer, peerframe.SnapshotOffer{
		Index: one.index, Term: one.term, Size: one.whole.Size(), SHA: one.whole.SHA(), Parts: offeredParts(one.whole.Meta().Parts),
		MessageTerm: one.message.GetTerm(), ConfState: ConfStateBytes(one.message.GetSnapshot().GetMetadata().GetConfState()),
	})
}

// drop ends the transfer to a peer, without a report to raft.
func (s *sends) drop(c *snapshotCore, peer uint64) {
	s.transfers = slices.DeleteFunc(s.transfers, func(one *sending) bool {
		if one.peer == peer {
			one.close()
			c.parts.withheld = true
			return true
		}
		return false
	})
	s.listParts(c)
}

// listParts lists the parts of the snapshots that are being sent.
func (s *sends) listParts(c *snapshotCore) {
	c.parts.sent = nil
	for _, one := range s.transfers {
		if one.whole != nil {
			c.parts.sent = append(c.parts.sent, one.whole.Meta().Parts...)
		}
	}
}

func (one *sending) close() {
	if one.whole != nil {
		one.closePart()
		one.whole.Close()
	}
}

func (one *sending) closePart() {
	if one.reader != one.whole {
		one.reader.Close()
	}
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

// wait resumes transfers after lost frames.
func (s *sends) wait(c *snapshotCore) {
	for _, one := range slices.Clone(s.transfers) {
		if one.reader == nil {
			s.tryOpen(c, one)
			continue
		}
		switch {
		case c.now-one.progressed >= snapshotSendTimeout:
			s.end(c, one, false)
		case c.now-one.asked >= one.timeout():
			one.sent, one.wanted = one.acked, false
			one.first, one.begun = one.acked, c.now // the connection is not as slow as this gap was long
			one.offer(c)
		}
	}
}

// allow permits more bytes. Unused permission expires: the peer is slower, and would get all of it at once.
func (s *sends) allow(c *snapshotCore, bytes int64) {
	for _, one := range slices.Clone(s.transfers) {
		if one.reader != nil && one.wanted {
			one.allowed = min(one.allowed, 0) + bytes
			s.pump(c, one)
		}
	}
}

// acknowledged continues after the offset that a peer has acknowledged.
func (s *sends) acknowledged(c *snapshotCore, one *sending, part uint64, acked int64) {
	if part != one.part && !s.open(c, one, part) {
		return
	}
	if acked < 0 || acked > one.reader.Size() {
		return
	}
	if acked != one.acked || one.sent <= acked {
		one.progressed, one.asked = c.now, c.now
	}
	if one.sent == 0 {
		one.begun, one.first = c.now, acked
	}
	if one.sent = max(one.sent, acked); acked == one.acked {
		one.sent = acked // a repeated answer: the bytes sent from here on are lost
	}
	one.acked, one.wanted = acked, true
	s.pump(c, one)
}

// pump sends chunks within the window and the permitted bytes.
func (s *sends) pump(c *snapshotCore, one *sending) {
	for one.sent < one.reader.Size() && one.sent-one.acked < limits.SnapshotChunksInflight*c.Limits.SnapshotChunkBytes {
		if one.allowed <= 0 {
			c.Limits.Reach("catch-up rate")
			return
		}
		chunk := slices.Grow(s.buffer[:0], int(c.Limits.SnapshotChunkBytes))[:min(c.Limits.SnapshotChunkBytes, one.reader.Size()-one.sent)]
		s.buffer = chunk
		if _, err := one.reader.ReadAt(chunk, one.sent); err != nil {
			c.Logger.Error("a snapshot cannot be read while it is sent", "index", one.index, "error", err)
			one.suspect(c)
			s.end(c, one, false)
			return
		}
		c.send(one.peer, peerframe.SnapshotChunk{Index: one.index, Term: one.term, Offset: one.sent, Bytes: chunk, Part: one.part})
		one.sent += int64(len(chunk))
		one.allowed -= int64(len(chunk))
	}
}
