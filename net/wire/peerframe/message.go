package peerframe

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index/kv"
	"qkv/internal/buffers"
	"qkv/internal/codec"
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

// Message is the content of one frame: one of the types below.
type Message interface {
	frame() (kind int, class Class)
}

// ClassOf returns the class of a message's frame.
func ClassOf(m Message) Class {
	_, class := m.frame()
	return class
}

type (
	// Raft is one of raft's messages, except MsgSnap: SnapshotOffer carries that. From and To are not on the wire: From is filled in from
	// the sender's certificate. Durable is the newest entry on a leader's disk, sent with appends and heartbeats: the others then know
	// which entries it must have after a restart; 0 if the sender does not report it. Folders are the members' data folders as the sender
	// knows them, in a request for a vote and in an append to a founder without data.
	Raft struct {
		*raftpb.Message
		Durable uint64
		Folders []Bound
	}
	// Bound is a member's id and the data folder to which it is bound.
	Bound struct {
		Member uint64
		Folder [16]byte
	}
	// Forward carries a follower's batch envelope to the leader of a term. In any other term it is void.
	Forward struct {
		Term     uint64
		Oldest   uint64 // first number of the oldest batch that the follower has not seen in its log
		Envelope []byte
	}
	// Accepted answers the forwarded batches of a member's process: batches with numbers below Next need not be sent again in the term.
	// Lost: the batch at Next is missing, since a later one arrived. Commit is the leader's commit index.
	Accepted struct {
		Term, Incarnation, Next, Commit uint64
		Lost                            bool
	}
	// SnapshotOffer announces a snapshot, and the parts that it lists.
	SnapshotOffer struct {
		Index       uint64         `msgpack:"i"`
		Term        uint64         `msgpack:"t"`
		Size        int64          `msgpack:"z"`
		SHA         [32]byte       `msgpack:"s"`
		MessageTerm uint64         `msgpack:"m"` // the term of the leader that sends it
		ConfState   []byte         `msgpack:"c"` // raft's protobuf
		Parts       []SnapshotPart `msgpack:"p"`
		// Address is where the sender gives the files. The receiver's member list may lack the sender, or have an address of before.
		Address string `msgpack:"a"`
	}
	// SnapshotPart is a file that a snapshot lists, as in package snapshot.
	SnapshotPart struct {
		Number uint64   `msgpack:"n"`
		From   int64    `msgpack:"f"`
		To     int64    `msgpack:"t"`
		SHA    [32]byte `msgpack:"s"`
		Bytes  int64    `msgpack:"b"`
	}
	// SnapshotProgress tells the sender of an offer that its snapshot comes, or is being installed.
	SnapshotProgress struct {
		Index uint64 `msgpack:"i"`
		Term  uint64 `msgpack:"t"`
	}
	// SnapshotResult ends a snapshot's transfer: the receiver has installed it, or could not use it, because it was damaged or for
	// another reason.
	SnapshotResult struct {
		Index     uint64 `msgpack:"i"`
		Term      uint64 `msgpack:"t"`
		Installed bool   `msgpack:"y"`
		Damaged   bool   `msgpack:"d"`
	}
	// DiskSpace reports which writes the sender's disk accepts and, while the sender leads, the disks of a quorum: 0 everything, 1
	// deletions, 2 none. In Holds, HoldsNow and Wall, 0 means unknown.
	DiskSpace struct {
		Own     uint64 `msgpack:"o"`
		Cluster uint64 `msgpack:"c"`
		Why     string `msgpack:"y"` // the reason if the cluster does not accept everything
		// the bytes of a state that the sender's machine holds with ease, by the sizes of its disk and memory
		Holds    int64  `msgpack:"h"`
		HoldsNow int64  `msgpack:"n"` // the same without the space that files of other programs take
		Free     int64  `msgpack:"f"` // on a disk that does not accept everything
		Wall     int64  `msgpack:"w"` // the sender's clock, in nanoseconds since 1970
		Backup   uint64 `msgpack:"b"` // of a leader: the newest entry in the backup; 0: there is none
		Waits    bool   `msgpack:"u"` // the sender applies no further entry
	}
	// LeaseAsks sends keep-alives and lease queries to the leader's clock. The numbers are the sender's.
	LeaseAsks struct{ Asks []LeaseAsk }
	// LeaseTimes answers lease queries, in any order, by the leader's clock. The answers hold from entry Index on.
	LeaseTimes struct {
		Index uint64
		Times []LeaseTime
	}
	// Committed reports that the entry at Index, of Term, is committed. A member without a vote sends it to a candidate that it denies a
	// vote; the candidate may answer with its own.
	Committed struct {
		Index uint64 `msgpack:"i"`
		Term  uint64 `msgpack:"t"`
	}
	// Accused reports that another member refuses the sender as one with forgotten promises.
	Accused struct {
		By uint64 `msgpack:"b"`
	}
	// Suspects tells a voter that the sender, a voter, has not heard the leader of a term for longer than their link explains.
	Suspects struct {
		Leader uint64 `msgpack:"l"`
		Term   uint64 `msgpack:"t"`
	}
	// Copied tells the receiver that the sender has refused a second process of the receiver's data folder, and where that process
	// runs.
	Copied struct {
		Why string `msgpack:"w"`
	}
)

// LeaseAsk is a keep-alive or a lease query.
type LeaseAsk struct {
	Number uint64
	kv.LeaseAsk
}

// LeaseTime answers a LeaseAsk.
type LeaseTime struct {
	Number uint64
	kv.LeaseTime
}

func (m Raft) frame() (int, Class) {
	switch m.GetType() {
	case raftpb.MsgApp, raftpb.MsgAppResp, raftpb.MsgReadIndex, raftpb.MsgReadIndexResp:
		return kindRaft, Append
	default:
		return kindRaft, Urgent
	}
}

func (Forward) frame() (int, Class)          { return kindForward, Append }
func (Accepted) frame() (int, Class)         { return kindAccepted, Append }
func (SnapshotOffer) frame() (int, Class)    { return kindSnapshotOffer, Bulk }
func (SnapshotProgress) frame() (int, Class) { return kindSnapshotProgress, Bulk }
func (SnapshotResult) frame() (int, Class)   { return kindSnapshotResult, Bulk }
func (Accused) frame() (int, Class)          { return kindAccused, Urgent }
func (DiskSpace) frame() (int, Class)        { return kindDiskSpace, Urgent }
func (LeaseAsks) frame() (int, Class)        { return kindLeaseAsks, Urgent }
func (LeaseTimes) frame() (int, Class)       { return kindLeaseTimes, Urgent }
func (Committed) frame() (int, Class)        { return kindCommitted, Urgent }
func (Copied) frame() (int, Class)           { return kindCopied, Urgent }
func (Suspects) frame() (int, Class)         { return kindSuspects, Urgent }

// The first elements of frames.
const (
	kindRaft = iota + 1
	kindForward
	kindSnapshotOffer
	kindSnapshotProgress
	kindSuspects
	kindSnapshotResult
	kindAccused
	kindAccepted
	kindDiskSpace
	kindLeaseAsks
	kindLeaseTimes
	kindCommitted
	kindCopied
)

// elements is the number of elements of a frame, by kind: 2 if it is the kind and a value of package codec. To add a field to another
// one, append it to the frame: in its append, in Read, and here. The field is zero if the sender is older; older receivers skip it.
var elements = [...]int{
	kindRaft: 12, kindForward: 4, kindSnapshotOffer: 2, kindSnapshotProgress: 2, kindSnapshotResult: 2, kindAccused: 2, kindAccepted: 6, kindDiskSpace: 2, kindLeaseAsks: 2, kindLeaseTimes: 3, kindCommitted: 2, kindCopied: 2, kindSuspects: 2,
}

// Encode returns the frame of a message in a buffer that the caller owns; Free may recycle it. A leader encodes each large write
// once for each follower, and a follower encodes its batches for the leader.
func Encode(m Message) []byte {
	kind, _ := m.frame()
	dst := pack.AppendUint(pack.AppendArray(buffers.Get(bound(m)), elements[kind]), uint64(kind))
	if m, own := m.(interface{ append(dst []byte) []byte }); own {
		return m.append(dst)
	}
	return codec.Append(dst, m)
}

// Free recycles a frame of Encode's that was written, when nothing reads it any more.
func Free(frame []byte) { buffers.Put(frame) }

// bound is an upper bound of the length of a message's frame.
func bound(m Message) int {
	switch m := m.(type) {
	case Raft:
		n := 96 + len(m.GetContext()) + 32*len(m.Folders)
		for _, e := range m.GetEntries() {
			n += 24 + len(e.GetData())
		}
		return n
	case Forward:
		return 48 + len(m.Envelope)
	case SnapshotOffer:
		return 112 + len(m.ConfState) + 84*len(m.Parts)
	case DiskSpace:
		return 96 + len(m.Why)
	case Copied:
		return 16 + len(m.Why)
	case LeaseAsks:
		return 16 + 21*len(m.Asks)
	case LeaseTimes:
		return 32 + 29*len(m.Times)
	default:
		return 48
	}
}

func (m Raft) append(dst []byte) []byte {
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
	dst = pack.AppendArray(dst, len(m.Folders))
	for _, b := range m.Folders {
		dst = pack.AppendBytes(pack.AppendUint(pack.AppendArray(dst, 2), b.Member), b.Folder[:])
	}
	return dst
}

func (m Forward) append(dst []byte) []byte {
	dst = pack.AppendUint(pack.AppendUint(dst, m.Term), m.Oldest)
	return pack.AppendBytes(dst, m.Envelope)
}

func (m Accepted) append(dst []byte) []byte {
	dst = pack.AppendUint(pack.AppendUint(dst, m.Term), m.Incarnation)
	return pack.AppendBool(pack.AppendUint(pack.AppendUint(dst, m.Next), m.Commit), m.Lost)
}

// peerValueBytes bounds the value of package codec that is a frame: the offer of a snapshot lists the parts that its head lists.
const peerValueBytes = limits.SnapshotHeadBytes + 4<<10

// readValue reads the value of package codec that a frame is.
func readValue[T Message](r *pack.Reader) (m T) {
	if n := len(r.Rest()); n > peerValueBytes {
		r.Fail(fmt.Sprintf("its value has %d bytes, over the limit of %d", n, peerValueBytes))
	}
	codec.ReadNext(r, &m)
	return m
}

func (m LeaseAsks) append(dst []byte) []byte {
	dst = pack.AppendArray(dst, len(m.Asks))
	for _, a := range m.Asks {
		dst = pack.AppendUint(pack.AppendArray(dst, leaseFields), a.Number)
		dst = pack.AppendBool(pack.AppendInt(dst, a.Lease), a.Renew)
	}
	return dst
}

func readLeaseAsks(r *pack.Reader) (m LeaseAsks) {
	n := readLeases(r)
	m.Asks = make([]LeaseAsk, 0, n)
	for range n {
		s := r.Struct(leaseFields)
		m.Asks = append(m.Asks, LeaseAsk{r.Uint(), kv.LeaseAsk{Lease: r.Int(), Renew: r.Bool()}})
		r.End(s)
	}
	return m
}

func (m LeaseTimes) append(dst []byte) []byte {
	dst = pack.AppendArray(pack.AppendUint(dst, m.Index), len(m.Times))
	for _, t := range m.Times {
		dst = pack.AppendUint(pack.AppendArray(dst, leaseFields), t.Number)
		dst = pack.AppendInt(pack.AppendInt(dst, t.TTL), t.Granted)
	}
	return dst
}

func readLeaseTimes(r *pack.Reader) LeaseTimes {
	m := LeaseTimes{Index: r.Uint()}
	n := readLeases(r)
	m.Times = make([]LeaseTime, 0, n)
	for range n {
		s := r.Struct(leaseFields)
		m.Times = append(m.Times, LeaseTime{r.Uint(), kv.LeaseTime{TTL: r.Int(), Granted: r.Int()}})
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
// trusts its input. Slices of the message may be part of the frame.
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
	case kindSnapshotOffer:
		o := readValue[SnapshotOffer](&r)
		if o.Size <= 0 {
			r.Fail("the snapshot's size must not be 0")
		}
		m = o
	case kindSnapshotProgress:
		m = readValue[SnapshotProgress](&r)
	case kindSnapshotResult:
		m = readValue[SnapshotResult](&r)
	case kindAccused:
		m = readValue[Accused](&r)
	case kindCommitted:
		m = readValue[Committed](&r)
	case kindCopied:
		m = readCopied(&r)
	case kindSuspects:
		m = readValue[Suspects](&r)
	case kindDiskSpace:
		m = readDiskSpace(&r)
	case kindLeaseAsks:
		m = readLeaseAsks(&r)
	case kindLeaseTimes:
		m = readLeaseTimes(&r)
	}
	r.End(s)
	if err := r.Done(); err != nil {
		return nil, err
	}
	return m, nil
}

func readCopied(r *pack.Reader) Copied {
	m := readValue[Copied](r)
	if r.Err() == nil && len(m.Why) > limits.PeerReasonBytes {
		r.Fail(fmt.Sprintf("the reason must have at most %d bytes", limits.PeerReasonBytes))
	}
	return m
}

// spaceMost is the largest value of Own and Cluster in a DiskSpace: the disk accepts only reads.
const spaceMost = 2

func readDiskSpace(r *pack.Reader) DiskSpace {
	m := readValue[DiskSpace](r)
	if r.Err() == nil && (m.Own > spaceMost || m.Cluster > spaceMost) {
		r.Fail(fmt.Sprintf("a disk takes 0 to %d", spaceMost))
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
	var folders []Bound
	for range r.Array() {
		fields := r.Struct(2)
		b := Bound{Member: r.Uint()}
		r.Fixed(b.Folder[:])
		if r.End(fields); r.Err() != nil {
			break
		}
		folders = append(folders, b)
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
	return Raft{m, n.durable, folders}, nil
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
