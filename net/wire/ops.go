package wire

import (
	"fmt"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// Op is the operation of a request.
type Op uint8

// The ops. A number is never reused. doc.go draws the bodies that package pack encodes. Beside the others stand the fields of their [Ask],
// and the answer.
const (
	OpPut          Op = 1
	OpDelete       Op = 2
	OpRange        Op = 3
	OpStatus       Op = 4 // Status
	OpReadmit      Op = 5 // member
	OpMembers      Op = 6 // local: List[kv.Member]
	OpChangeMember Op = 7 // change
	OpMoveLeader   Op = 8 // member
	OpTxn          Op = 9
	OpCompact      Op = 10 // revision
	OpRevisionAt   Op = 11 // wall, local: List[int64], one revision
	OpTimesOf      Op = 12 // revisions, local: List[int64], in nanoseconds since 1970
	OpPages        Op = 13

	OpWatch         Op = 20
	OpCancelWatch   Op = 21
	OpWatchProgress Op = 22

	OpGrant      Op = 30
	OpRevoke     Op = 31
	OpKeepAlive  Op = 32
	OpTimeToLive Op = 33 // lease: LeaseKeys
	OpLeases     Op = 34 // lease: List[int64]

	OpAuthChange Op = 50 // auth, password
	OpUsers      Op = 51 // name, from, local: List[User]
	OpRoles      Op = 52 // name, from, skip, local: List[kv.UserRole]
	OpAuthStatus Op = 53 // local: AuthStatus
	OpWhoAmI     Op = 54 // local: Self
	OpAuthorsOf  Op = 55 // changes, local: List[string]
	OpLogin      Op = 56 // name, password, token: Login
	OpAuthCheck  Op = 57 // name, permission, local: AuthCheck

	OpBackUpNow Op = 60 // entry: kv.BackedUp
)

// Path is how a member carries out a request.
type Path uint8

// The paths of requests.
const (
	PathLog    Path = iota + 1 // the request becomes an entry of the log
	PathRead                   // linearizable read of the state, after a read index
	PathLocal                  // serializable read of the member's own state
	PathClock                  // the leader's lease clock answers
	PathLeader                 // the leadership moves
	PathMember                 // the member answers by itself, from what it has applied, even while it is suspended
	pathWatch                  // a stream of watches
	PathBackup                 // the member waits for its backup, in a goroutine of its own
)

// op is the declaration of an operation.
type op struct {
	name   string
	path   Path
	access kv.Access // what the client's user must be permitted, if authentication is enabled
	once   bool      // the request has the fields of a [kv.WriteName]
	alone  bool      // the command has a log entry of its own
	start  Need      // the stage of the member's start that it needs
	fields int       // number of elements of the body
	keeps  bool      // the decoded body is parts of a copy of the frame

	// read reads the body; nil: the body is empty, or [ReadWatchRequest] reads it.
	read func(r *pack.Reader, q *Request)
	// touches lists the accesses that the user must be permitted, see package kv; nil only if access is neither read nor write, or if the
	// watch hub checks it.
	touches func(q *Request, f func(kv.Touch) bool) bool
	// check returns the answer to a request that no member can carry out; nil: every request is possible.
	check func(q *Request, b kv.Bounds) *kv.Error
}

// ops declares each operation once. A new op takes a row here, one in the table of package server, and beside its number the fields of its
// Ask. An op without an Ask takes a drawing of its body in doc.go, and a function that appends the body. Fields have no feature level: a
// member ignores appended fields, and refuses an op that it does not know (doc.go, Growth).
var ops = [...]op{
	OpPut: {
		name: "put", path: PathLog, access: kv.AccessWrite, once: true, fields: 4,
		read:    func(r *pack.Reader, q *Request) { q.Put = kv.ReadPut(r) },
		touches: func(q *Request, f func(kv.Touch) bool) bool { return q.Put.Touches(f) },
		check:   func(q *Request, b kv.Bounds) *kv.Error { return q.Put.Check(b) },
	},
	OpDelete: {
		name: "delete", path: PathLog, access: kv.AccessWrite, once: true, fields: 3,
		read:    func(r *pack.Reader, q *Request) { q.Delete = kv.ReadDelete(r) },
		touches: func(q *Request, f func(kv.Touch) bool) bool { return q.Delete.Touches(f) },
		check:   func(q *Request, b kv.Bounds) *kv.Error { return q.Delete.Check(b) },
	},
	OpRange: {
		name: "range", path: PathRead, access: kv.AccessRead, start: NeedKeys, fields: 11,
		read:    func(r *pack.Reader, q *Request) { q.Range = kv.ReadRange(r) },
		touches: func(q *Request, f func(kv.Touch) bool) bool { return q.Range.Touches(f) },
		check:   func(q *Request, b kv.Bounds) *kv.Error { return q.Range.Check(b) },
	},
	OpPages: {
		name: "streamed range", path: PathRead, access: kv.AccessRead, start: NeedKeys, fields: 12,
		read:    readPages,
		touches: func(q *Request, f func(kv.Touch) bool) bool { return q.Range.Touches(f) },
		check:   checkPages,
	},
	OpTxn: {
		name: "transaction", path: PathLog, access: kv.AccessWrite, once: true, fields: 1, keeps: true,
		read:    func(r *pack.Reader, q *Request) { q.Txn = kv.ReadTxn(r) },
		touches: func(q *Request, f func(kv.Touch) bool) bool { return q.Txn.Touches(f) },
		check:   func(q *Request, b kv.Bounds) *kv.Error { return q.Txn.Check(b, limits.TxnOperations) },
	},
	OpCompact:    {name: "compaction", path: PathLog, access: kv.AccessAdmin, once: true, fields: 1, read: readAsk},
	OpRevisionAt: {name: "question for the revision of a time", path: PathRead, access: kv.AccessNone, fields: 1, read: readAsk},
	OpTimesOf:    {name: "question for the times of revisions", path: PathRead, access: kv.AccessNone, fields: 1, read: readAsk},

	OpStatus:  {name: "status", path: PathMember, access: kv.AccessAnyone, start: NeedNothing},
	OpReadmit: {name: "readmit", path: PathMember, access: kv.AccessAdmin, start: NeedReplayed, fields: 1, read: readAsk},
	OpMembers: {name: "list of members", path: PathRead, access: kv.AccessNone, start: NeedReplayed, fields: 1, read: readAsk},
	OpChangeMember: {
		name: "change of the members", path: PathLog, access: kv.AccessAdmin, alone: true, fields: 1, read: readAsk,
		check: func(q *Request, _ kv.Bounds) *kv.Error { return checkChange(&q.Ask.Change) },
	},
	OpMoveLeader: {name: "move of the leader", path: PathLeader, access: kv.AccessAdmin, fields: 1, read: readAsk},

	OpWatch:         {name: "watch", path: pathWatch, access: kv.AccessRead, fields: 4},
	OpCancelWatch:   {name: "cancellation of a watch", path: pathWatch, access: kv.AccessAnyone},
	OpWatchProgress: {name: "question for the progress of watches", path: pathWatch, access: kv.AccessAnyone},

	OpGrant: {
		name: "grant of a lease", path: PathLog, access: kv.AccessNone, once: true, fields: 2,
		read:  func(r *pack.Reader, q *Request) { q.Lease.ID, q.Lease.TTL = r.Int(), r.Int() },
		check: func(q *Request, _ kv.Bounds) *kv.Error { return kv.CheckTTL(q.Lease.TTL) },
	},
	OpRevoke: {
		name: "revocation of a lease", path: PathLog, access: kv.AccessWrite, once: true, fields: 1,
		read:    func(r *pack.Reader, q *Request) { q.Lease.ID = r.Int() },
		touches: touchLease,
	},
	OpKeepAlive: {
		name: "keep-alive", path: PathClock, access: kv.AccessWrite, fields: 1,
		read:    func(r *pack.Reader, q *Request) { q.Lease.ID = r.Int() },
		touches: touchLease,
	},
	OpTimeToLive: {
		name: "time to live", path: PathClock, access: kv.AccessRead, fields: 1, read: readAsk,
		touches: func(q *Request, f func(kv.Touch) bool) bool {
			return !q.Ask.Lease.Keys || f(kv.Touch{Lease: q.Ask.Lease.ID})
		},
	},
	// of the user, or with a key that the user may read
	OpLeases: {name: "list of leases", path: PathLocal, access: kv.AccessNone, fields: 1, read: readAsk},

	OpAuthChange: {name: "change of users", path: PathLog, access: kv.AccessAdmin, once: true, fields: 1, read: readAsk, check: checkAuthChange},
	OpUsers:      {name: "list of users", path: PathRead, access: kv.AccessSelf, fields: 1, read: readAsk},
	OpRoles:      {name: "list of roles", path: PathRead, access: kv.AccessSelf, fields: 1, read: readAsk},
	OpAuthStatus: {name: "status of authentication", path: PathRead, access: kv.AccessAnyone, fields: 1, read: readAsk},
	OpWhoAmI:     {name: "question for the own user", path: PathRead, access: kv.AccessAnyone, fields: 1, read: readAsk},
	OpAuthorsOf: {
		name: "question for the authors of changes", path: PathRead, access: kv.AccessRead, fields: 1, read: readAsk,
		touches: touchChanges,
		check:   checkAuthors,
	},
	OpLogin: {name: "login", path: PathMember, access: kv.AccessAnyone, start: NeedKeys, fields: 1, read: readAsk, check: checkLogin},
	OpAuthCheck: {
		name: "question for a permission", path: PathRead, access: kv.AccessSelf, fields: 1, read: readAsk,
		check: func(q *Request, b kv.Bounds) *kv.Error { return q.Ask.Permission.Check(b) },
	},

	OpBackUpNow: {name: "question for the backup", path: PathBackup, access: kv.AccessAdmin, fields: 1, read: readAsk},
}

func touchLease(q *Request, f func(kv.Touch) bool) bool {
	return f(kv.Touch{Lease: q.Lease.ID, Write: true})
}

func touchChanges(q *Request, f func(kv.Touch) bool) bool {
	for i := range q.Ask.Changes {
		if !f(kv.Touch{Key: q.Ask.Changes[i].Key}) {
			return false
		}
	}
	return true
}

// declared reports whether the number is that of an op.
func declared(number uint64) bool { return number < uint64(len(ops)) && ops[number].path != 0 }

// String returns the op's name.
func (o Op) String() string {
	if declared(uint64(o)) {
		return ops[o].name
	}
	return fmt.Sprintf("op %d", uint8(o))
}

// Start returns the stage of a member's start that the op needs.
func (o Op) Start() Need { return ops[o].start }

// Access returns the permission that the op needs.
func (o Op) Access() kv.Access { return ops[o].access }

// Touches lists the accesses of the request, see package kv. An op that declares none touches every key: only its class permits it.
func (q *Request) Touches(f func(kv.Touch) bool) bool {
	if touches := ops[q.Op].touches; touches != nil {
		return touches(q, f)
	}
	all := []byte{0}
	return f(kv.Touch{Key: all, End: all, Write: true})
}

// Write reports whether the op is a write: without an answer its outcome is unknown, and it is retried only if it has a name, see [Op.Once].
// A transaction that is [kv.Txn.ReadOnly] is no write, nor is a keep-alive, a login or a request for a backup: those may be repeated.
func (o Op) Write() bool {
	return ops[o].path == PathLog || ops[o].path == PathLeader || o == OpReadmit
}

// Once reports whether a request of the op has the fields of a [kv.WriteName]: it is then an idempotent write, which may be
// retried.
func (o Op) Once() bool { return ops[o].once }

// Alone reports whether a command of the op must be the only one of its proposal.
func (o Op) Alone() bool { return ops[o].alone }

// AsksClock reports whether the leader's lease clock answers the request.
func (o Op) AsksClock() bool { return ops[o].path == PathClock }

// Ops is above the number of every op.
const Ops = len(ops)

// elements returns the number of elements of a request.
func (o *op) elements() int {
	if o.once {
		return 3 + kv.WriteNameFields + o.fields
	}
	return 3 + o.fields
}

// Path returns how a member carries out the request: that of its op, except that a transaction without writes is a read, and that a
// serializable read is local.
func (q *Request) Path() Path {
	path := ops[q.Op].path
	if path == PathLog && q.Txn != nil && q.Txn.ReadOnly() {
		path = PathRead
	}
	if path == PathRead && (q.Ask != nil && q.Ask.Serializable || q.Range.Serializable || q.Txn != nil && q.Txn.Serializable()) {
		path = PathLocal
	}
	return path
}

// Logged reports whether the request becomes an entry of the log.
func (q *Request) Logged() bool { return q.Path() == PathLog }

// Check returns the answer to a request that no member can carry out, and nil for all others.
func (q *Request) Check(b kv.Bounds) *kv.Error {
	if err := q.Once.Check(); err != nil {
		return err
	}
	if q.Ask != nil {
		if err := q.Ask.check(); err != nil {
			return err
		}
	}
	if check := ops[q.Op].check; check != nil {
		return check(q, b)
	}
	return nil
}

func readPages(r *pack.Reader, q *Request) {
	q.Range = kv.ReadRange(r)
	q.Range.Usage = r.Bool()
}

func checkPages(q *Request, b kv.Bounds) *kv.Error {
	if of := &q.Range; of.Usage && (of.Sorted() || of.Filtered() || of.Continued || of.CountOnly || of.Revision|of.Limit != 0) {
		return kv.Errorf(kv.BadRequest, "a range with the usage of its keys has a revision, a limit, an order, or a bound on revisions")
	}
	if len(q.Range.End) == 0 || q.Range.Sorted() && q.Range.Continued {
		return kv.Errorf(kv.BadRequest, "a range that is streamed is no single key, and one that is sorted does not go on behind a key")
	}
	return q.Range.Check(b)
}
