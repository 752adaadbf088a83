package wire

import (
	"fmt"

	"qkv/index/kv"
	"qkv/internal/codec"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// Ask is the body of a rare op, a value of package codec. An op uses the fields that stand beside its number in ops.go. The Ask shares no
// memory with its frame.
type Ask struct {
	Serializable bool            `msgpack:"local"`  // the member answers from its own state
	Member       uint64          `msgpack:"member"` // its id
	Change       kv.MemberChange `msgpack:"change"`
	Lease        LeaseRequest    `msgpack:"lease"`
	Revision     int64           `msgpack:"revision"`  // the oldest one that a compaction keeps
	Wall         int64           `msgpack:"wall"`      // the time of the requested revision, in nanoseconds since 1970
	Revisions    []int64         `msgpack:"revisions"` // whose times are requested
	Changes      []kv.Change     `msgpack:"changes"`   // whose authors are requested

	// Auth is a change of users. The member hashes the clear password of the change or of a login, and draws the secret.
	Auth       kv.AuthChange `msgpack:"auth"`
	Password   []byte        `msgpack:"password"` // never printed, and never in the log
	Token      string        `msgpack:"token"`    // of a login without a password
	Name       string        `msgpack:"name"`     // of the user or role; of users and roles: "" for all
	From       string        `msgpack:"from"`     // of users and roles: the first name to list
	Skip       int64         `msgpack:"skip"`     // of roles: the permissions of the first role that are left out
	Permission kv.Permission `msgpack:"permission"`

	Entry uint64 `msgpack:"entry"` // that the backup is to have; 0: all that the member has applied
}

// LeaseRequest is the body of an op of leases.
type LeaseRequest struct {
	ID   int64  `msgpack:"id"`   // of leases: the lowest id to list; of a grant: 0 lets the member choose
	TTL  int64  `msgpack:"-"`    // of a grant
	Keys bool   `msgpack:"keys"` // of time to live: also list the lease's keys
	From []byte `msgpack:"from"` // of time to live: list the keys from this one on
}

// AppendAsk appends the body of a rare op.
func AppendAsk(dst []byte, a *Ask) []byte { return codec.Append(dst, a) }

func readAsk(r *pack.Reader, q *Request) {
	if len(r.Rest()) > limits.AskBytes {
		r.Fail(fmt.Sprintf("its body has more than %d bytes", limits.AskBytes))
		return
	}
	q.Ask = new(Ask)
	codec.ReadNext(r, q.Ask)
}

// check refuses lists over their limits: decoded, they are sixteen times their frame.
func (a *Ask) check() *kv.Error {
	switch {
	case len(a.Revisions) > limits.TimesAsked:
		return kv.Errorf(kv.BadRequest, "the times of %d revisions are asked for, over the limit of %d", len(a.Revisions), limits.TimesAsked)
	case len(a.Changes) > limits.AuthorsAsked:
		return kv.Errorf(kv.BadRequest, "the authors of %d changes are asked for, over the limit of %d", len(a.Changes), limits.AuthorsAsked)
	case len(a.Change.Peers) > limits.MemberAddresses:
		return kv.Errorf(kv.BadRequest, "%d addresses of one member: the limit is %d", len(a.Change.Peers), limits.MemberAddresses)
	}
	return nil
}
