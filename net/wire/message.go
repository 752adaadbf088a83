package wire

import (
	"fmt"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// Op is the operation of a request.
type Op uint8

// The ops; doc.go draws their bodies.
const (
	OpPut    Op = 1
	OpDelete Op = 2
	OpRange  Op = 3
	OpStatus Op = 4
	OpUnban  Op = 5

	OpMembers      Op = 6
	OpChangeMember Op = 7
	OpMoveLeader   Op = 8

	OpTxn        Op = 9
	OpCompact    Op = 10
	OpRevisionAt Op = 11
	OpTimesOf    Op = 12
	OpPages      Op = 13
	ops             = OpChangeAlarm + 1
)

// bodyFields is the number of elements of each op's body.
var bodyFields = [ops]int{
	OpPut: 4, OpDelete: 3, OpRange: 11, OpStatus: 0, OpUnban: 1, OpMembers: 1, OpChangeMember: kv.MemberChangeFields, OpMoveLeader: 1,
	OpTxn: 1, OpCompact: 1, OpRevisionAt: 2, OpTimesOf: 2, OpPages: 11,
	OpGrant: 2, OpRevoke: 1, OpKeepAlive: 1, OpTimeToLive: 3, OpLeases: 1,
	OpAlarms: 1, OpChangeAlarm: 3,
}

var opNames = [ops]string{
	OpPut: "put", OpDelete: "delete", OpRange: "range", OpStatus: "status", OpUnban: "unban", OpMembers: "list of members",
	OpChangeMember: "change of the members", OpMoveLeader: "move of the leader",
	OpTxn: "transaction", OpCompact: "compaction", OpRevisionAt: "question for the revision of a time", OpTimesOf: "question for the times of revisions", OpPages: "streamed range",
	OpGrant: "grant of a lease", OpRevoke: "revocation of a lease", OpKeepAlive: "keep-alive", OpTimeToLive: "time to live", OpLeases: "list of leases",
	OpAlarms: "list of alarms", OpChangeAlarm: "change of an alarm",
}

// String returns the op's name.
func (o Op) String() string {
	if o.known() {
		return opNames[o]
	}
	if o == OpWatch {
		return "watch"
	}
	return fmt.Sprintf("op %d", uint8(o))
}

func (o Op) known() bool { return o < ops && opNames[o] != "" }

// Write reports whether the op changes something. A write that may have happened is retried only if it has a name, see [Op.Once]. A
// transaction that is [kv.Txn.ReadOnly] is not a write.
func (o Op) Write() bool {
	switch o {
	case OpPut, OpDelete, OpTxn, OpCompact, OpChangeMember, OpMoveLeader, OpGrant, OpRevoke, OpChangeAlarm:
		return true
	default:
		return false
	}
}

// Once reports whether a request of the op has the fields of a [kv.SessionWrite]: it is then an idempotent write, which may be
// retried.
func (o Op) Once() bool {
	switch o {
	case OpPut, OpDelete, OpTxn, OpCompact, OpGrant, OpRevoke:
		return true
	default:
		return false
	}
}

// fields returns the number of elements of a request.
func (o Op) fields() int {
	n := 3 + bodyFields[o]
	if o.Once() {
		n += kv.SessionWriteFields
	}
	return n
}

// flagSerializable is the only flag of members, alarms, revision at a time, and times of revisions.
const flagSerializable = 1

// requestHeader is the maximum size of the header of a request: array, id, op, timeout, and a write's name.
const requestHeader = 1 + 9 + 1 + 9 + 4*9

// Request is a decoded request. Of the fields after Timeout, only the one that Op selects is set. Its byte slices are parts of the
// frame.
type Request struct {
	ID      uint64
	Op      Op
	Timeout time.Duration // more than 0, at most limits.RequestTimeout
	Once    kv.SessionWrite

	Put    kv.Put
	Delete kv.Delete
	Range  kv.Range
	Unban  uint64 // the member's id

	Serializable bool // of members, alarms, revision at a time, times of revisions: answer from this member's own state
	Change       kv.MemberChange
	MoveLeader   uint64 // the member's id; 0: any

	Lease LeaseRequest
	Alarm kv.AlarmChange

	Txn     *kv.Txn
	Compact int64 // the revision
	Wall    int64 // the time of the requested revision, in nanoseconds since 1970

	Revisions []int64 // the revisions whose times are requested
}

// Write reports whether the request needs an entry of the log.
func (q *Request) Write() bool { return q.Op.Write() && (q.Op != OpTxn || !q.Txn.ReadOnly()) }

// Local reports whether the member answers the request from its own state without asking the other members.
func (q *Request) Local() bool {
	switch q.Op {
	case OpRange, OpPages:
		return q.Range.Serializable
	case OpTxn:
		return q.Txn.ReadOnly() && q.Txn.Serializable()
	default:
		return q.Serializable
	}
}

// OneLocal reports whether the request is a read of one key, and [Request.Local].
func (q *Request) OneLocal() bool {
	return q.Op == OpRange && q.Range.Serializable && len(q.Range.End) == 0
}

// AppendPutBody appends the body of a put.
func AppendPutBody(dst []byte, p *kv.Put) []byte { return kv.AppendPut(dst, p) }

// AppendDeleteBody appends the body of a delete.
func AppendDeleteBody(dst []byte, d *kv.Delete) []byte { return kv.AppendDelete(dst, d) }

// AppendRangeBody appends the body of a range.
func AppendRangeBody(dst []byte, q *kv.Range) []byte { return kv.AppendRange(dst, q) }

// AppendUnbanBody appends the body of an unban.
func AppendUnbanBody(dst []byte, member uint64) []byte { return pack.AppendUint(dst, member) }

// AppendMembersBody appends the body of a request for the members.
func AppendMembersBody(dst []byte, serializable bool) []byte {
	flags := uint64(0)
	if serializable {
		flags = flagSerializable
	}
	return pack.AppendUint(dst, flags)
}

// AppendChangeMemberBody appends the body of a change of the members.
func AppendChangeMemberBody(dst []byte, c *kv.MemberChange) []byte {
	return kv.AppendMemberChange(dst, c)
}

// AppendMoveLeaderBody appends the body of a move of the leader.
func AppendMoveLeaderBody(dst []byte, member uint64) []byte { return pack.AppendUint(dst, member) }

// AppendRequest appends the frame of a request. One of the functions above has made its body.
func AppendRequest(dst []byte, id uint64, op Op, timeout time.Duration, body []byte) []byte {
	return AppendWrite(dst, id, op, timeout, &noName, body)
}

var noName kv.SessionWrite

// AppendWrite is AppendRequest for a write with a name.
func AppendWrite(dst []byte, id uint64, op Op, timeout time.Duration, once *kv.SessionWrite, body []byte) []byte {
	guess := requestHeader/2 + len(body)
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendArray(dst, op.fields())
	dst = pack.AppendUint(pack.AppendUint(dst, id), uint64(op))
	dst = pack.AppendUint(dst, uint64(max(timeout.Milliseconds(), 1)))
	if op.Once() {
		dst = kv.AppendSessionWrite(dst, once)
	}
	return endFrame(append(dst, body...), start, guess)
}

// ReadRequest reads the frame of a request. If the error is a [*kv.Error], it is the answer to the request q.ID. Any other error
// wraps ErrFrame: no answer is possible, and the stream cannot be used any more.
func ReadRequest(frame []byte, q *Request) error {
	r := pack.NewReader(frame)
	q.reset()
	fields := r.Array()
	q.ID = r.Uint()
	if err := r.Err(); err != nil {
		return fmt.Errorf("%w: a request without an id: %w", ErrFrame, err)
	}
	op, ms := r.Uint(), r.Uint()
	if err := r.Err(); err != nil {
		return kv.Errorf(kv.BadRequest, "a request without op and timeout: %v", err)
	}
	if op >= uint64(ops) || !Op(op).known() {
		return kv.Errorf(kv.BadRequest, "op %d is not known here: another version of qkv may know it", op)
	}
	q.Op = Op(op)
	s := r.Fields(fields-3, q.Op.fields()-3)
	q.Timeout = limits.RequestTimeout
	if ms > 0 && ms < uint64(limits.RequestTimeout/time.Millisecond) {
		q.Timeout = time.Duration(ms) * time.Millisecond
	}
	if q.Op.Once() {
		q.Once = kv.ReadSessionWrite(&r)
	}
	q.readBody(&r)
	r.End(s)
	if err := r.Done(); err != nil {
		return kv.Errorf(kv.BadRequest, "a %s that cannot be read: %v", q.Op, err)
	}
	return nil
}

// reset clears the previous request. After the most frequent ops, it clears only the field of that op.
func (q *Request) reset() {
	switch q.Op {
	case OpPut:
		q.Put = kv.Put{}
	case OpRange:
		q.Range = kv.Range{}
	default:
		*q = Request{}
	}
	q.ID, q.Op, q.Timeout = 0, 0, 0
}

// RequestID returns the id of the request whose frame begins with head.
func RequestID(head []byte) (uint64, error) {
	r := pack.NewReader(head)
	r.Array()
	id := r.Uint()
	if err := r.Err(); err != nil {
		return 0, fmt.Errorf("%w: a request without an id: %w", ErrFrame, err)
	}
	return id, nil
}

func (q *Request) readBody(r *pack.Reader) {
	switch q.Op {
	case OpPut:
		q.Put = kv.ReadPut(r)
	case OpDelete:
		q.Delete = kv.ReadDelete(r)
	case OpUnban:
		q.Unban = r.Uint()
	case OpChangeAlarm:
		q.Alarm = readChangeAlarm(r)
	case OpMembers, OpAlarms:
		q.Serializable = readFlags(r, flagSerializable) != 0
	case OpChangeMember:
		q.Change = kv.ReadMemberChange(r)
	case OpMoveLeader:
		q.MoveLeader = r.Uint()
	case OpGrant, OpRevoke, OpKeepAlive, OpTimeToLive, OpLeases:
		q.Lease = readLease(q.Op, r)
	case OpRange, OpPages:
		q.Range = kv.ReadRange(r)
	case OpTxn:
		q.Txn = kv.ReadTxn(r)
	case OpCompact:
		q.Compact = r.Int()
	case OpRevisionAt:
		q.Wall = r.Int()
		q.Serializable = readFlags(r, flagSerializable) != 0
	case OpTimesOf:
		q.Revisions = readArray(r, (*pack.Reader).Int)
		q.Serializable = readFlags(r, flagSerializable) != 0
	}
}

func readFlags(r *pack.Reader, known uint64) uint64 {
	flags := r.Uint()
	if flags&^known != 0 {
		r.Fail(fmt.Sprintf("flags %#x, of which %#x are known here", flags, known))
	}
	return flags
}

// Check returns the answer to a request that no member can carry out, and nil for all others.
func (q *Request) Check(b kv.Bounds) *kv.Error {
	if err := q.Once.Check(); err != nil {
		return err
	}
	switch q.Op {
	case OpPut:
		return q.Put.Check(b)
	case OpDelete:
		return q.Delete.Check(b)
	case OpRange:
		return q.Range.Check(b)
	case OpPages:
		if len(q.Range.End) == 0 || q.Range.Sorted() && q.Range.Continued {
			return kv.Errorf(kv.BadRequest, "a range that is streamed is no single key, and one that is sorted does not go on behind a key")
		}
		return q.Range.Check(b)
	case OpTxn:
		return q.Txn.Check(b, limits.TxnOperations)
	case OpChangeMember:
		return checkChange(&q.Change)
	case OpTimesOf:
		if n := len(q.Revisions); n > limits.TimesAsked {
			return kv.Errorf(kv.BadRequest, "the times of %d revisions are asked for, over the limit of %d", n, limits.TimesAsked)
		}
		return nil
	case OpGrant:
		return kv.CheckTTL(q.Lease.TTL)
	case OpChangeAlarm:
		return q.Alarm.Check()
	default:
		return nil
	}
}
