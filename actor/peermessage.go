package actor

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/log/limits"
	"qkv/log/pack"
)

// A frame between members is a msgpack array whose first element says what it is. Raft's own protobuf is never on
// the wire: a frame is written once and read once on the hot path, so both are by hand.
//
//	raft     [1, type, term, log term, index, commit, reject, reject hint, context, entries]
//	         entries: [[term, kind, data] ...], numbered from index+1
//	forward  [2, term, envelope]
//	offer    [3, index, term, size, sha-256, message term, conf state]
//	want     [4, index, term, offset]             the receiver has what is before offset
//	chunk    [5, index, term, offset, bytes]
//	result   [6, index, term, installed]
const (
	frameRaft = iota + 1
	frameForward
	frameOffer
	frameWant
	frameChunk
	frameResult
)

// PeerMessage is what one frame between members says.
type PeerMessage interface{ peerMessage() }

type (
	// RaftMessage is a message of raft's; From is filled in from the sender's certificate.
	RaftMessage struct{ *raftpb.Message }
	// Forward brings a follower's batch envelope to the leader of a term. In any other term it is void.
	Forward struct {
		Term     uint64
		Oldest   uint64 // first number of the oldest batch that the follower has not seen in its log
		Envelope []byte
	}
	// Offer announces a snapshot.
	Offer struct {
		Index, Term uint64
		Size        int64
		SHA         [32]byte
		MessageTerm uint64 // the term of the leader that sends it
		ConfState   []byte
	}
	// Want asks for the bytes of an offered snapshot from Offset on.
	Want struct {
		Index, Term uint64
		Offset      int64
	}
	// Chunk is a piece of a snapshot.
	Chunk struct {
		Index, Term uint64
		Offset      int64
		Bytes       []byte
	}
	// SnapshotResult ends a snapshot's way: it is the receiver's state now, or it was of no use.
	SnapshotResult struct {
		Index, Term uint64
		Installed   bool
	}
)

func (RaftMessage) peerMessage()    {}
func (Forward) peerMessage()        {}
func (Offer) peerMessage()          {}
func (Want) peerMessage()           {}
func (Chunk) peerMessage()          {}
func (SnapshotResult) peerMessage() {}

// campaignTransfer is the context of a vote that a leadership transfer asked for.
const campaignTransfer = "CampaignTransfer"

// appendRaftMessage appends the frame of a message of raft's. MsgSnap has none: a snapshot is streamed.
func appendRaftMessage(dst []byte, m *raftpb.Message) []byte {
	dst = pack.AppendArray(dst, 10)
	dst = pack.AppendUint(dst, frameRaft)
	dst = pack.AppendUint(dst, uint64(m.GetType()))
	dst = pack.AppendUint(dst, m.GetTerm())
	dst = pack.AppendUint(dst, m.GetLogTerm())
	dst = pack.AppendUint(dst, m.GetIndex())
	dst = pack.AppendUint(dst, m.GetCommit())
	dst = pack.AppendBool(dst, m.GetReject())
	dst = pack.AppendUint(dst, m.GetRejectHint())
	dst = pack.AppendBytes(dst, m.GetContext())
	dst = pack.AppendArray(dst, len(m.GetEntries()))
	for _, e := range m.GetEntries() {
		dst = pack.AppendArray(dst, 3)
		dst = pack.AppendUint(dst, e.GetTerm())
		dst = pack.AppendUint(dst, uint64(e.GetType()))
		dst = pack.AppendBytes(dst, e.GetData())
	}
	return dst
}

// raftMessageBytes is an upper bound of a message's frame.
func raftMessageBytes(m *raftpb.Message) int {
	n := 96 + len(m.GetContext())
	for _, e := range m.GetEntries() {
		n += 24 + len(e.GetData())
	}
	return n
}

// AppendPeerMessage appends the frame of a message.
func AppendPeerMessage(dst []byte, m PeerMessage) []byte {
	switch m := m.(type) {
	case RaftMessage:
		return appendRaftMessage(dst, m.Message)
	case Forward:
		dst = appendKind(dst, 4, frameForward)
		dst = pack.AppendUint(pack.AppendUint(dst, m.Term), m.Oldest)
		return pack.AppendBytes(dst, m.Envelope)
	case Offer:
		dst = appendKind(dst, 7, frameOffer)
		dst = pack.AppendUint(pack.AppendUint(dst, m.Index), m.Term)
		dst = pack.AppendInt(dst, m.Size)
		dst = pack.AppendBytes(dst, m.SHA[:])
		dst = pack.AppendUint(dst, m.MessageTerm)
		return pack.AppendBytes(dst, m.ConfState)
	case Want:
		dst = appendKind(dst, 4, frameWant)
		dst = pack.AppendUint(pack.AppendUint(dst, m.Index), m.Term)
		return pack.AppendInt(dst, m.Offset)
	case Chunk:
		dst = appendKind(dst, 5, frameChunk)
		dst = pack.AppendUint(pack.AppendUint(dst, m.Index), m.Term)
		dst = pack.AppendInt(dst, m.Offset)
		return pack.AppendBytes(dst, m.Bytes)
	case SnapshotResult:
		dst = appendKind(dst, 4, frameResult)
		dst = pack.AppendUint(pack.AppendUint(dst, m.Index), m.Term)
		return pack.AppendBool(dst, m.Installed)
	default:
		panic(fmt.Sprintf("a peer message of type %T has no frame", m))
	}
}

func appendKind(dst []byte, elements int, kind uint64) []byte {
	return pack.AppendUint(pack.AppendArray(dst, elements), kind)
}

// frameElements is how many elements a frame of a kind has.
var frameElements = [...]int{frameRaft: 10, frameForward: 4, frameOffer: 7, frameWant: 4, frameChunk: 5, frameResult: 4}

// DecodePeerMessage reads a frame that member from sent to member to. Nothing that is not a valid message of another
// member gets past it: raft trusts what it is given. Slices of the message are part of the frame.
func DecodePeerMessage(frame []byte, from, to uint64) (PeerMessage, error) {
	if len(frame) > limits.PeerFrameBytes {
		return nil, fmt.Errorf("a frame of %d bytes is over the limit of %d", len(frame), limits.PeerFrameBytes)
	}
	r := pack.NewReader(frame)
	elements, kind := r.Array(), r.Uint()
	if r.Err() == nil && (kind == 0 || kind >= uint64(len(frameElements)) || elements != frameElements[kind]) {
		return nil, fmt.Errorf("a frame of kind %d with %d elements is not known; the members' versions differ", kind, elements)
	}
	var m PeerMessage
	switch kind {
	case frameRaft:
		return readRaftMessage(r, from, to)
	case frameForward:
		m = Forward{Term: r.Uint(), Oldest: r.Uint(), Envelope: r.Bytes()}
	case frameOffer:
		o := Offer{Index: r.Uint(), Term: r.Uint(), Size: r.Int()}
		if sha := r.Bytes(); copy(o.SHA[:], sha) != len(o.SHA) || len(sha) != len(o.SHA) {
			r.Fail("a SHA-256 has 32 bytes")
		}
		o.MessageTerm, o.ConfState = r.Uint(), r.Bytes()
		if o.Size <= 0 {
			r.Fail("a snapshot has a size")
		}
		m = o
	case frameWant:
		m = Want{Index: r.Uint(), Term: r.Uint(), Offset: r.Int()}
	case frameChunk:
		m = Chunk{Index: r.Uint(), Term: r.Uint(), Offset: r.Int(), Bytes: r.Bytes()}
	case frameResult:
		m = SnapshotResult{Index: r.Uint(), Term: r.Uint(), Installed: r.Bool()}
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	return m, nil
}

// networkType tells the message types that may come from another member, and how long a context they may carry.
func networkType(t raftpb.MessageType, context []byte) bool {
	switch t {
	case raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp:
		return len(context) == 0 || len(context) == 8
	case raftpb.MsgVote:
		return len(context) == 0 || string(context) == campaignTransfer
	case raftpb.MsgApp, raftpb.MsgAppResp, raftpb.MsgVoteResp, raftpb.MsgPreVote, raftpb.MsgPreVoteResp,
		raftpb.MsgTimeoutNow, raftpb.MsgReadIndex, raftpb.MsgReadIndexResp:
		return len(context) == 0
	default:
		return false
	}
}

var errRaftMessage = errors.New("no message of raft's that a member may send")

func readRaftMessage(r pack.Reader, from, to uint64) (PeerMessage, error) {
	kind := raftpb.MessageType(int32(min(r.Uint(), 1<<20)))
	m := &raftpb.Message{Type: &kind, From: &from, To: &to}
	// One allocation holds the numbers that raft wants as pointers.
	n := &struct {
		term, logTerm, position, commit, hint uint64
		reject                                bool
	}{term: r.Uint(), logTerm: r.Uint(), position: r.Uint(), commit: r.Uint(), reject: r.Bool(), hint: r.Uint()}
	m.Term, m.LogTerm, m.Index, m.Commit, m.Reject, m.RejectHint = &n.term, &n.logTerm, &n.position, &n.commit, &n.reject, &n.hint
	if context := r.Bytes(); len(context) > 0 {
		m.Context = context
	}
	count := r.Array()
	isRead := kind == raftpb.MsgReadIndex || kind == raftpb.MsgReadIndexResp
	if isRead && n.term == 0 {
		m.Term = nil // raft attaches none to a read, and checks that
	}
	entries := make([]entryFields, 0, min(count, len(r.Rest())/4+1))
	for i := range count {
		r.ArrayOf(3)
		e := entryFields{term: r.Uint(), kind: raftpb.EntryType(int32(min(r.Uint(), 1<<20))), data: r.Bytes(), position: n.position + 1 + uint64(i)}
		if r.Err() != nil {
			break
		}
		entries = append(entries, e)
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	if err := checkRaftMessage(m, entries, isRead); err != nil {
		return nil, err
	}
	m.Entries = entriesOf(entries, isRead)
	return RaftMessage{m}, nil
}

// checkRaftMessage refuses what raft would panic at, or what would corrupt it.
func checkRaftMessage(m *raftpb.Message, entries []entryFields, isRead bool) error {
	if !networkType(m.GetType(), m.GetContext()) {
		return fmt.Errorf("%w: type %d with a context of %d bytes", errRaftMessage, m.GetType(), len(m.GetContext()))
	}
	if isRead && (len(entries) != 1 || len(entries[0].data) != 8) {
		return fmt.Errorf("%w: a read without its 8 bytes", errRaftMessage)
	}
	if !isRead && m.GetTerm() == 0 {
		return fmt.Errorf("%w: type %d without a term", errRaftMessage, m.GetType())
	}
	if len(entries) > 0 && !isRead && m.GetType() != raftpb.MsgApp {
		return fmt.Errorf("%w: type %d with %d entries", errRaftMessage, m.GetType(), len(entries))
	}
	previous := m.GetLogTerm()
	for _, e := range entries {
		if isRead {
			break
		}
		if e.term < previous || e.term > m.GetTerm() || e.kind < raftpb.EntryNormal || e.kind > raftpb.EntryConfChangeV2 {
			return fmt.Errorf("%w: entry %d of term %d and kind %d after term %d in term %d", errRaftMessage, e.position, e.term, e.kind, previous, m.GetTerm())
		}
		if len(e.data) > limits.EnvelopeBytes {
			return fmt.Errorf("%w: entry %d of %d bytes is over the limit of %d", errRaftMessage, e.position, len(e.data), limits.EnvelopeBytes)
		}
		previous = e.term
	}
	return nil
}

// entryFields is an entry as it is on the wire; raft's has a pointer to each field.
type entryFields struct {
	term, position uint64
	kind           raftpb.EntryType
	data           []byte
}

// entriesOf makes raft's entries: three allocations for all of them.
func entriesOf(fields []entryFields, isRead bool) []*raftpb.Entry {
	if len(fields) == 0 {
		return nil
	}
	all, list := make([]raftpb.Entry, len(fields)), make([]*raftpb.Entry, len(fields))
	for i := range fields {
		f, e := &fields[i], &all[i]
		e.Data = f.data
		if !isRead {
			e.Term, e.Index, e.Type = &f.term, &f.position, &f.kind
		}
		if len(e.Data) == 0 {
			e.Data = nil
		}
		list[i] = e
	}
	return list
}

// classOf says which stream a message of raft's takes, and whether it may wait for the next frame: an empty append
// only tells a new commit index, and a millisecond's delay saves a packet for each.
func classOf(m *raftpb.Message) (c Class, lazy bool) {
	switch m.GetType() {
	case raftpb.MsgApp:
		return Replication, len(m.GetEntries()) == 0
	case raftpb.MsgAppResp, raftpb.MsgReadIndex, raftpb.MsgReadIndexResp:
		return Replication, false
	default:
		return Urgent, false
	}
}

// sendRaftMessage frames a message and sends it; prompt, when the receiver's clients wait for it.
func sendRaftMessage(p Peers, m *raftpb.Message, prompt bool) {
	class, lazy := classOf(m)
	p.Send(m.GetTo(), class, appendRaftMessage(make([]byte, 0, raftMessageBytes(m)), m), lazy && !prompt)
}
