package peerframe

import (
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// Class says how urgent a frame is, and which stream it takes. Frames of one class keep their order, those of
// different classes do not.
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

// Message is what one frame says: one of the types below, whose fields package actor explains.
type Message interface {
	Class() Class
	append(dst []byte) []byte
}

type (
	// Raft is a message of raft's other than MsgSnap, of which Offer tells. From and To are not on the wire.
	// Durable is how far its sender's disk is, when that leads; 0 where it does not tell.
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
	// Result ends a snapshot's way.
	Result struct {
		Index, Term uint64
		Installed   bool
		Damaged     bool
	}
	// Asks asks the leader's clock for leases.
	Asks struct{ Asks []Ask }
	// Told is what it says of them.
	Told struct {
		Index uint64
		Told  []Time
	}
	// Committed says which entry is known to be committed.
	Committed struct{ Index, Term uint64 }
	// Accused says who refuses the sender as one that has forgotten.
	Accused struct{ By uint64 }
	// Copied tells the receiver that the sender has refused a second process of the receiver's data folder, and where that is.
	Copied struct{ Why string }
	// Room says how much its sender's disk takes, and what the cluster's take if it leads: 0 everything, 1 deletions and reads, 2 reads;
	// and the bytes of a state that its sender's machine holds with ease, 0 where that is not known. Free is what the disk has left
	// where it does not take everything. Wall is its sender's clock.
	Room struct {
		Own, Cluster uint64
		Why          string
		Holds, Free  int64
		Wall         int64
	}
)

// Ask is a question for a lease.
type Ask struct {
	Number uint64
	kv.LeaseAsk
}

// Time answers it.
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

// The first elements of frames, and how many elements there are.
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

var elements = [...]int{
	kindRaft: 11, kindForward: 4, kindOffer: 7, kindWant: 4, kindChunk: 5, kindResult: 5, kindAccused: 2, kindAccepted: 6, kindRoom: 7, kindAsks: 2, kindTold: 3, kindCommitted: 3, kindCopied: 2,
}

func begin(dst []byte, kind int) []byte {
	return pack.AppendUint(pack.AppendArray(dst, elements[kind]), uint64(kind))
}

// written keeps the memory of large frames that were written, by its size in steps: who is sent a snapshot or the log gets thousands,
// each as large as the one before, and new memory for each is cleared first and makes garbage. Consensus makes the appends, and the
// commits of others wait meanwhile.
var written [limits.PeerFrameBytes/frameStep + 1]sync.Pool

const frameStep = 64 << 10

// Encode returns the frame of a message, in memory of its own; Free may take it back.
func Encode(m Message) []byte {
	most := bound(m)
	steps := (most + frameStep - 1) / frameStep
	if most < limits.PeerFrameReuse || steps >= len(written) {
		return m.append(make([]byte, 0, most))
	}
	if kept, ok := written[steps].Get().(*[]byte); ok {
		return m.append((*kept)[:0])
	}
	return m.append(make([]byte, 0, steps*frameStep))
}

// Free takes back a frame of Encode's that was written, when nobody reads it any more.
func Free(frame []byte) {
	if steps := cap(frame) / frameStep; cap(frame) >= limits.PeerFrameReuse && cap(frame)%frameStep == 0 && steps < len(written) {
		written[steps].Put(&frame)
	}
}

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
		return 16 + 20*len(m.Asks)
	case Told:
		return 32 + 28*len(m.Told)
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
	return pack.AppendInt(pack.AppendInt(pack.AppendInt(b, m.Holds), m.Free), m.Wall)
}

func (m Asks) append(dst []byte) []byte {
	dst = pack.AppendArray(begin(dst, kindAsks), 3*len(m.Asks))
	for _, a := range m.Asks {
		dst = pack.AppendBool(pack.AppendInt(pack.AppendUint(dst, a.Number), a.Lease), a.Renew)
	}
	return dst
}

func readAsks(r *pack.Reader) (m Asks) {
	n := readTriples(r)
	m.Asks = make([]Ask, 0, n)
	for range n {
		m.Asks = append(m.Asks, Ask{r.Uint(), kv.LeaseAsk{Lease: r.Int(), Renew: r.Bool()}})
	}
	return m
}

func (m Told) append(dst []byte) []byte {
	dst = pack.AppendArray(pack.AppendUint(begin(dst, kindTold), m.Index), 3*len(m.Told))
	for _, t := range m.Told {
		dst = pack.AppendInt(pack.AppendInt(pack.AppendUint(dst, t.Number), t.TTL), t.Granted)
	}
	return dst
}

func readTold(r *pack.Reader) Told {
	m := Told{Index: r.Uint()}
	n := readTriples(r)
	m.Told = make([]Time, 0, n)
	for range n {
		m.Told = append(m.Told, Time{r.Uint(), kv.LeaseTime{TTL: r.Int(), Granted: r.Int()}})
	}
	return m
}

// readTriples reads how many leases a frame is about.
func readTriples(r *pack.Reader) int {
	n := r.Array()
	if r.Err() == nil && (n%3 != 0 || n > 3*limits.LeaseAsks) {
		r.Fail(fmt.Sprintf("a frame is about at most %d leases, with three elements for each", limits.LeaseAsks))
	}
	if r.Err() != nil {
		return 0
	}
	return n / 3
}

// Read reads a frame that member from sent to member to. Nothing that is not a valid message of another member gets
// past it: raft trusts what it is given. Slices of the message are part of the frame.
func Read(frame []byte, from, to uint64) (Message, error) {
	if len(frame) > limits.PeerFrameBytes {
		return nil, fmt.Errorf("a frame of %d bytes is over the limit of %d", len(frame), limits.PeerFrameBytes)
	}
	r := pack.NewReader(frame)
	n, kind := r.Array(), r.Uint()
	if r.Err() == nil && (kind == 0 || kind >= uint64(len(elements)) || n != elements[kind]) {
		return nil, fmt.Errorf("a frame of kind %d with %d elements is not known; the members' versions differ", kind, n)
	}
	var m Message
	switch kind {
	case kindRaft:
		return readRaft(r, from, to)
	case kindForward:
		m = Forward{Term: r.Uint(), Oldest: r.Uint(), Envelope: r.Bytes()}
	case kindAccepted:
		m = Accepted{Term: r.Uint(), Incarnation: r.Uint(), Next: r.Uint(), Commit: r.Uint(), Lost: r.Bool()}
	case kindOffer:
		o := Offer{Index: r.Uint(), Term: r.Uint(), Size: r.Int()}
		if sha := r.Bytes(); copy(o.SHA[:], sha) != len(o.SHA) || len(sha) != len(o.SHA) {
			r.Fail("a SHA-256 has 32 bytes")
		}
		o.MessageTerm, o.ConfState = r.Uint(), r.Bytes()
		if o.Size <= 0 {
			r.Fail("a snapshot has a size")
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
	if err := r.Done(); err != nil {
		return nil, err
	}
	return m, nil
}

func readCopied(r *pack.Reader) Copied {
	m := Copied{Why: r.String()}
	if r.Err() == nil && len(m.Why) > limits.PeerReasonBytes {
		r.Fail(fmt.Sprintf("a reason has at most %d bytes", limits.PeerReasonBytes))
	}
	return m
}

// roomMost is the largest number that a Room has: nothing is taken.
const roomMost = 2

func readRoom(r *pack.Reader) Room {
	m := Room{Own: r.Uint(), Cluster: r.Uint(), Why: r.String(), Holds: r.Int(), Free: r.Int(), Wall: r.Int()}
	if r.Err() == nil && (m.Own > roomMost || m.Cluster > roomMost) {
		r.Fail(fmt.Sprintf("a disk takes 0 to %d", roomMost))
	}
	if r.Err() == nil && (m.Holds < 0 || m.Free < 0) {
		r.Fail("a machine holds, and has left, no less than nothing")
	}
	return m
}

// campaignTransfer is the context of a vote that a leadership transfer asked for.
const campaignTransfer = "CampaignTransfer"

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

var errRaft = errors.New("no message of raft's that a member may send")

func readRaft(r pack.Reader, from, to uint64) (Message, error) {
	kind := raftpb.MessageType(int32(min(r.Uint(), 1<<20)))
	m := &raftpb.Message{Type: &kind, From: &from, To: &to}
	// One allocation holds the numbers that raft wants as pointers.
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
	if n.durable != 0 && kind != raftpb.MsgApp && kind != raftpb.MsgHeartbeat {
		return nil, fmt.Errorf("%w: type %d says how far a leader's disk is", errRaft, kind)
	}
	if err := checkRaft(m, entries, isRead); err != nil {
		return nil, err
	}
	m.Entries = entriesOf(entries, isRead)
	return Raft{m, n.durable}, nil
}

// checkRaft refuses what raft would panic at, or what would corrupt it.
func checkRaft(m *raftpb.Message, entries []entryFields, isRead bool) error {
	if !networkType(m.GetType(), m.GetContext()) {
		return fmt.Errorf("%w: type %d with a context of %d bytes", errRaft, m.GetType(), len(m.GetContext()))
	}
	if isRead && (len(entries) != 1 || len(entries[0].data) != 8) {
		return fmt.Errorf("%w: a read without its 8 bytes", errRaft)
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
