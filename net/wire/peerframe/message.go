package peerframe

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index/kv"
	"qkv/internal/buffers"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// Class is the urgency of a frame and selects its stream. Frames of one class keep their order; frames of different classes do not.
type Class uint8

// The classes, each a stream of its own.
const (
	Urgent  Class = iota // votes and heartbeats
	Append               // appends, forwarded proposals and reads
	Bulk                 // pieces of snapshots
	Classes Class = iota
)

var classNames = [Classes]string{"urgent frames", "appends", "bulk data"}

func (c Class) String() string {
	if c < Classes {
		return classNames[c]
	}
	return fmt.Sprintf("Class(%d)", uint8(c))
}

// Message is the content of one frame: one of the types below, whose fields package actor explains.
type Message interface {
	Class() Class
	append(dst []byte) []byte
}

type (
	// Raft is one of raft's messages, except MsgSnap: Offer carries that. From and To are not on the wire. Durable is the newest
	// entry on the leader's disk; 0 if the sender does not report it.
	Raft struct {
		*raftpb.Message
		Durable uint64
	}
	// Forward brings a follower's batch to the leader.
	Forward struct {
		Term, Oldest uint64
		Envelope     []byte
	}
	// Accepted answers forwarded batches.
	Accepted struct {
		Term, Incarnation, Next, Commit uint64
		Lost                            bool
	}
	// Offer announces a snapshot.
	Offer struct {
		Index, Term uint64
		Size        int64
		SHA         [32]byte
		MessageTerm uint64
		ConfState   []byte
	}
	// Want asks for an offered snapshot's bytes.
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
	// Result ends the transfer of a snapshot.
	Result struct {
		Index, Term uint64
		Installed   bool
		Damaged     bool
	}
	// Asks sends keep-alives and questions for leases to the leader's clock.
	Asks struct{ Asks []Ask }
	// Told carries the clock's answers.
	Told struct {
		Index uint64
		Told  []Time
	}
	// Committed names an entry that the sender knows to be committed.
	Committed struct{ Index, Term uint64 }
	// Accused names the member that refuses the sender because the sender has forgotten promises.
	Accused struct{ By uint64 }
	// Copied tells the receiver that the sender has refused a second process of the receiver's data folder, and where that process
	// runs.
	Copied struct{ Why string }
	// Room reports the free space of the sender's disk and, if the sender leads, of the disks of a quorum. doc.go has its fields.
	// In Holds, HoldsNow and Wall, 0 means unknown.
	Room struct {
		Own, Cluster uint64
		Why          string
		Holds, Free  int64
		Wall         int64
		HoldsNow     int64
	}
)

// Ask is a question for a lease.
type Ask struct {
	Number uint64
	kv.LeaseAsk
}

// Time answers an Ask.
type Time struct {
	Number uint64
	kv.LeaseTime
}

// Class implements Message.
func (Asks) Class() Class { return Urgent }

// Class implements Message.
func (Told) Class() Class { return Urgent }

// Class implements Message.
func (m Raft) Class() Class {
	switch m.GetType() {
	case raftpb.MsgApp, raftpb.MsgAppResp, raftpb.MsgReadIndex, raftpb.MsgReadIndexResp:
		return Append
	default:
		return Urgent
	}
}

// Class implements Message.
func (Forward) Class() Class { return Append }

// Class implements Message.
func (Accepted) Class() Class { return Append }

// Class implements Message.
func (Offer) Class() Class { return Bulk }

// Class implements Message.
func (Want) Class() Class { return Bulk }

// Class implements Message.
func (Chunk) Class() Class { return Bulk }

// Class implements Message.
func (Result) Class() Class { return Bulk }

// Class implements Message.
func (Accused) Class() Class { return Urgent }

// Class implements Message.
func (Committed) Class() Class { return Urgent }

// Class implements Message.
func (Copied) Class() Class { return Urgent }

// Class implements Message.
func (Room) Class() Class { return Urgent }

// The first elements of frames.
const (
	kindRaft = iota + 1
	kindForward
	kindOffer
	kindWant
	kindChunk
	kindResult
	kindAccused
	kindAccepted
	kindRoom
	kindAsks
	kindTold
	kindCommitted
	kindCopied
)

// elements is the number of elements of a frame, by kind. To add a field, append it to the frame: in append, in Read, and here. The
// field is zero if the sender is older; older receivers skip it.
var elements = [...]int{
	kindRaft: 11, kindForward: 4, kindOffer: 7, kindWant: 4, kindChunk: 5, kindResult: 5, kindAccused: 2, kindAccepted: 6, kindRoom: 8, kindAsks: 2, kindTold: 3, kindCommitted: 3, kindCopied: 2,
}

func begin(dst []byte, kind int) []byte {
	return pack.AppendUint(pack.AppendArray(dst, elements[kind]), uint64(kind))
}

// Encode returns the frame of a message in a buffer that the caller owns; Free may recycle it. A leader encodes each large write
// once for each follower, and a follower encodes its batches for the leader.
func Encode(m Message) []byte { return m.append(buffers.Get(bound(m))) }

// Free recycles a frame of Encode's that was written, when nothing reads it any more.
func Free(frame []byte) { buffers.Put(frame) }

// bound is an upper bound of the length of a message's frame.
func bound(m Message) int {
	switch m := m.(type) {
	case Raft:
		n := 96 + len(m.GetContext())
		for _, e := range m.GetEntries() {
			n += 24 + len(e.GetData())
		}
		return n
	case Forward:
		return 48 + len(m.Envelope)
	case Offer:
		return 96 + len(m.ConfState)
	case Chunk:
		return 48 + len(m.Bytes)
	case Room:
		return 48 + len(m.Why)
	case Copied:
		return 8 + len(m.Why)
	case Asks:
		return 16 + 21*len(m.Asks)
	case Told:
		return 32 + 29*len(m.Told)
	default:
		return 48
	}
}

func (m Raft) append(dst []byte) []byte {
	dst = begin(dst, kindRaft)
	dst = pack.AppendUint(dst, uint64(m.GetType()))
	dst = pack.AppendUint(dst, m.GetTerm())
	dst = pack.AppendUint(dst, m.GetLogTerm())
	dst = pack.AppendUint(dst, m.GetIndex())
	dst = pack.AppendUint(dst, m.GetCommit())
	dst = pack.AppendUint(dst, m.Durable)
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

func (m Forward) append(dst []byte) []byte {
	dst = pack.AppendUint(pack.AppendUint(begin(dst, kindForward), m.Term), m.Oldest)
	return pack.AppendBytes(dst, m.Envelope)
}

func (m Accepted) append(dst []byte) []byte {
	dst = pack.AppendUint(pack.AppendUint(begin(dst, kindAccepted), m.Term), m.Incarnation)
	return pack.AppendBool(pack.AppendUint(pack.AppendUint(dst, m.Next), m.Commit), m.Lost)
}

func (m Offer) append(dst []byte) []byte {
	dst = pack.AppendUint(pack.AppendUint(begin(dst, kindOffer), m.Index), m.Term)
	dst = pack.AppendBytes(pack.AppendInt(dst, m.Size), m.SHA[:])
	return pack.AppendBytes(pack.AppendUint(dst, m.MessageTerm), m.ConfState)
}

func (m Want) append(dst []byte) []byte {
	return pack.AppendInt(pack.AppendUint(pack.AppendUint(begin(dst, kindWant), m.Index), m.Term), m.Offset)
}

func (m Chunk) append(dst []byte) []byte {
	dst = pack.AppendUint(pack.AppendUint(begin(dst, kindChunk), m.Index), m.Term)
	return pack.AppendBytes(pack.AppendInt(dst, m.Offset), m.Bytes)
}

func (m Result) append(dst []byte) []byte {
	dst = pack.AppendUint(pack.AppendUint(begin(dst, kindResult), m.Index), m.Term)
	return pack.AppendBool(pack.AppendBool(dst, m.Installed), m.Damaged)
}

func (m Accused) append(dst []byte) []byte { return pack.AppendUint(begin(dst, kindAccused), m.By) }

func (m Committed) append(dst []byte) []byte {
	return pack.AppendUint(pack.AppendUint(begin(dst, kindCommitted), m.Index), m.Term)
}

func (m Copied) append(dst []byte) []byte { return pack.AppendString(begin(dst, kindCopied), m.Why) }

func (m Room) append(dst []byte) []byte {
	b := pack.AppendString(pack.AppendUint(pack.AppendUint(begin(dst, kindRoom), m.Own), m.Cluster), m.Why)
	return pack.AppendInt(pack.AppendInt(pack.AppendInt(pack.AppendInt(b, m.Holds), m.Free), m.Wall), m.HoldsNow)
}

func (m Asks) append(dst []byte) []byte {
	dst = pack.AppendArray(begin(dst, kindAsks), len(m.Asks))
	for _, a := range m.Asks {
		dst = pack.AppendUint(pack.AppendArray(dst, leaseFields), a.Number)
		dst = pack.AppendBool(pack.AppendInt(dst, a.Lease), a.Renew)
	}
	return dst
}

func readAsks(r *pack.Reader) (m Asks) {
	n := readLeases(r)
	m.Asks = make([]Ask, 0, n)
	for range n {
		s := r.Struct(leaseFields)
		m.Asks = append(m.Asks, Ask{r.Uint(), kv.LeaseAsk{Lease: r.Int(), Renew: r.Bool()}})
		r.End(s)
	}
	return m
}

func (m Told) append(dst []byte) []byte {
	dst = pack.AppendArray(pack.AppendUint(begin(dst, kindTold), m.Index), len(m.Told))
	for _, t := range m.Told {
		dst = pack.AppendUint(pack.AppendArray(dst, leaseFields), t.Number)
		dst = pack.AppendInt(pack.AppendInt(dst, t.TTL), t.Granted)
	}
	return dst
}

func readTold(r *pack.Reader) Told {
	m := Told{Index: r.Uint()}
	n := readLeases(r)
	m.Told = make([]Time, 0, n)
	for range n {
		s := r.Struct(leaseFields)
		m.Told = append(m.Told, Time{r.Uint(), kv.LeaseTime{TTL: r.Int(), Granted: r.Int()}})
		r.End(s)
	}
	return m
}

// leaseFields is the number of fields of a question for a lease, and of its answer.
const leaseFields = 3

// readLeases reads the number of leases in a frame.
func readLeases(r *pack.Reader) int {
	n := r.Array()
	if r.Err() == nil && n > limits.LeaseAsks {
		r.Fail(fmt.Sprintf("a frame holds at most %d leases", limits.LeaseAsks))
	}
	if r.Err() != nil {
		return 0
	}
	return n
}

// Read reads a frame that member from sent to member to. It refuses everything that is not a valid message of another member: raft
// trusts its input. Slices of the message are part of the frame.
func Read(frame []byte, from, to uint64) (Message, error) {
	if len(frame) > limits.PeerFrameBytes {
		return nil, fmt.Errorf("a frame of %d bytes is over the limit of %d", len(frame), limits.PeerFrameBytes)
	}
	r := pack.NewReader(frame)
	n, kind := r.Array(), r.Uint()
	if r.Err() == nil && (kind == 0 || kind >= uint64(len(elements))) {
		return nil, fmt.Errorf("unknown frame kind %d: the sender runs another version of qkv; update the older of the two", kind)
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	s := r.Fields(n-1, elements[kind]-1)
	var m Message
	switch kind {
	case kindRaft:
		return readRaft(&r, s, from, to)
	case kindForward:
		m = Forward{Term: r.Uint(), Oldest: r.Uint(), Envelope: r.Bytes()}
	case kindAccepted:
		m = Accepted{Term: r.Uint(), Incarnation: r.Uint(), Next: r.Uint(), Commit: r.Uint(), Lost: r.Bool()}
	case kindOffer:
		o := Offer{Index: r.Uint(), Term: r.Uint(), Size: r.Int()}
		r.Fixed(o.SHA[:])
		o.MessageTerm, o.ConfState = r.Uint(), r.Bytes()
		if o.Size <= 0 {
			r.Fail("the snapshot's size must not be 0")
		}
		m = o
	case kindWant:
		m = Want{Index: r.Uint(), Term: r.Uint(), Offset: r.Int()}
	case kindChunk:
		m = Chunk{Index: r.Uint(), Term: r.Uint(), Offset: r.Int(), Bytes: r.Bytes()}
	case kindResult:
		m = Result{Index: r.Uint(), Term: r.Uint(), Installed: r.Bool(), Damaged: r.Bool()}
	case kindAccused:
		m = Accused{By: r.Uint()}
	case kindCommitted:
		m = Committed{Index: r.Uint(), Term: r.Uint()}
	case kindCopied:
		m = readCopied(&r)
	case kindRoom:
		m = readRoom(&r)
	case kindAsks:
		m = readAsks(&r)
	case kindTold:
		m = readTold(&r)
	}
	r.End(s)
	if err := r.Done(); err != nil {
		return nil, err
	}
	return m, nil
}

func readCopied(r *pack.Reader) Copied {
	m := Copied{Why: r.String()}
	if r.Err() == nil && len(m.Why) > limits.PeerReasonBytes {
		r.Fail(fmt.Sprintf("the reason must have at most %d bytes", limits.PeerReasonBytes))
	}
	return m
}

// roomMost is the largest value of Own and Cluster in a Room: the disk accepts only reads.
const roomMost = 2

func readRoom(r *pack.Reader) Room {
	m := Room{Own: r.Uint(), Cluster: r.Uint(), Why: r.String(), Holds: r.Int(), Free: r.Int(), Wall: r.Int(), HoldsNow: r.Int()}
	if r.Err() == nil && (m.Own > roomMost || m.Cluster > roomMost) {
		r.Fail(fmt.Sprintf("a disk takes 0 to %d", roomMost))
	}
	if r.Err() == nil && (m.Holds < 0 || m.HoldsNow < 0 || m.Free < 0) {
		r.Fail("the capacities of a machine must not be negative")
	}
	return m
}

// campaignTransfer is the context of a vote request that a leadership transfer started.
const campaignTransfer = "CampaignTransfer"

// networkType reports whether a message type may come from another member with such a context.
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

var errRaft = errors.New("not a raft message that a member may send")

func readRaft(r *pack.Reader, s pack.Struct, from, to uint64) (Message, error) {
	kind := raftpb.MessageType(int32(min(r.Uint(), 1<<20)))
	m := &raftpb.Message{Type: &kind, From: &from, To: &to}
	// One allocation holds the numbers: raft takes pointers.
	n := &struct {
		term, logTerm, position, commit, durable, hint uint64
		reject                                         bool
	}{term: r.Uint(), logTerm: r.Uint(), position: r.Uint(), commit: r.Uint(), durable: r.Uint(), reject: r.Bool(), hint: r.Uint()}
	m.Term, m.LogTerm, m.Index, m.Commit, m.Reject, m.RejectHint = &n.term, &n.logTerm, &n.position, &n.commit, &n.reject, &n.hint
	if context := r.Bytes(); len(context) > 0 {
		m.Context = context
	}
	count := r.Array()
	isRead := kind == raftpb.MsgReadIndex || kind == raftpb.MsgReadIndexResp
	if isRead && n.term == 0 {
		m.Term = nil // raft attaches no term to a read, and checks that
	}
	entries := make([]entryFields, 0, min(count, len(r.Rest())/4+1))
	for i := range count {
		fields := r.Struct(3)
		e := entryFields{term: r.Uint(), kind: raftpb.EntryType(int32(min(r.Uint(), 1<<20))), data: r.Bytes(), position: n.position + 1 + uint64(i)}
		r.End(fields)
		if r.Err() != nil {
			break
		}
		entries = append(entries, e)
	}
	r.End(s)
	if err := r.Done(); err != nil {
		return nil, err
	}
	if n.durable != 0 && kind != raftpb.MsgApp && kind != raftpb.MsgHeartbeat {
		return nil, fmt.Errorf("%w: type %d must not hold a leader's durable index", errRaft, kind)
	}
	if err := checkRaft(m, entries, isRead); err != nil {
		return nil, err
	}
	m.Entries = entriesOf(entries, isRead)
	return Raft{m, n.durable}, nil
}

// checkRaft refuses messages that would make raft panic or corrupt its state.
func checkRaft(m *raftpb.Message, entries []entryFields, isRead bool) error {
	if !networkType(m.GetType(), m.GetContext()) {
		return fmt.Errorf("%w: type %d with a context of %d bytes", errRaft, m.GetType(), len(m.GetContext()))
	}
	if isRead && (len(entries) != 1 || len(entries[0].data) != 8) {
		return fmt.Errorf("%w: a read request without a context of 8 bytes", errRaft)
	}
	if !isRead && m.GetTerm() == 0 {
		return fmt.Errorf("%w: type %d without a term", errRaft, m.GetType())
	}
	if len(entries) > 0 && !isRead && m.GetType() != raftpb.MsgApp {
		return fmt.Errorf("%w: type %d with %d entries", errRaft, m.GetType(), len(entries))
	}
	previous := m.GetLogTerm()
	for _, e := range entries {
		if isRead {
			break
		}
		if e.term < previous || e.term > m.GetTerm() || e.kind < raftpb.EntryNormal || e.kind > raftpb.EntryConfChangeV2 {
			return fmt.Errorf("%w: entry %d of term %d and kind %d after term %d in term %d", errRaft, e.position, e.term, e.kind, previous, m.GetTerm())
		}
		if len(e.data) > limits.EnvelopeBytes {
			return fmt.Errorf("%w: entry %d of %d bytes is over the limit of %d", errRaft, e.position, len(e.data), limits.EnvelopeBytes)
		}
		previous = e.term
	}
	return nil
}

// entryFields is an entry as it is on the wire; raft's type has a pointer to each field.
type entryFields struct {
	term, position uint64
	kind           raftpb.EntryType
	data           []byte
}

// entriesOf makes raft's entries with three allocations for all of them.
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
