package server

import (
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// rule is what this endpoint does for an op, beside the op's row in package wire. A function that an op does not need is nil.
type rule struct {
	// now answers a request without a slot, if done.
	now func(r *reader, q *wire.Request, path wire.Path, frame int) (done bool, refusal *kv.Error)
	// early checks a write's permission before anything is done for it: it costs much before it is applied.
	early bool
	// keep notes in the slot what the answer needs of a request without a body.
	keep   func(r *reader, q *wire.Request, x *slot)
	renews bool // of a query of the lease clock
	// handle carries out an admitted request; nil: its path does. command encodes a write.
	handle  func(r *reader, q *wire.Request, x slot, frame int) *kv.Error
	command func(w write) kv.Command

	// body reports whether the answer has a body, and long whether that may look at many keys. begin chooses the body's reader; read reads a
	// body without one.
	body, long func(q *wire.Request) bool
	begin      func(b *body)
	read       func(b *body, to *buffer, v *index.View) (done bool)
	// turn reads a streamed range for one turn. answer appends an answer without a body; nil: that of a write.
	turn   func(w *writer, x *slot, begun time.Time) (done bool)
	answer func(w *writer, v *index.View, x *slot, d *kv.Completion) bool

	// note describes a request whose success the audit log records. Of a login, logIn records the refusals, too.
	note  func(q *wire.Request) string
	login bool
	// concerns reports whether a question about a user or a role is about this user, or about one of its roles.
	concerns func(auth *index.Auth, ask *wire.Ask, name string) bool
}

// write is a write whose command is appended to dst.
type write struct {
	index.Head
	*wire.Request
	dst []byte
}

// rules is the table of ops of this endpoint: no other place in the package names one.
var rules [wire.Ops]rule

func init() { // its functions use the table
	rules = [wire.Ops]rule{
		wire.OpPut: {
			command: func(w write) kv.Command { return w.AppendPut(w.dst, &w.Put) },
			body:    func(q *wire.Request) bool { return q.Put.PrevKV },
			begin:   func(b *body) { b.answer = index.NewPutReader(&b.request.Put, &b.result, limits.BodyBytes) },
		},
		wire.OpDelete: {
			command: func(w write) kv.Command { return w.AppendDelete(w.dst, &w.Delete) },
			body:    func(q *wire.Request) bool { return q.Delete.PrevKV },
			long:    hasRanges,
			begin:   func(b *body) { b.answer = index.NewDeleteReader(&b.request.Delete, &b.result, limits.BodyBytes) },
		},
		wire.OpTxn: {
			command: func(w write) kv.Command { return w.AppendTxn(w.dst, w.Txn) },
			body:    always,
			long:    func(q *wire.Request) bool { return hasRanges(q) || q.Txn.Parts() > limits.RangeRows },
			begin:   func(b *body) { b.answer = index.NewAnswerReader(b.request.Txn, &b.result, limits.BodyBytes) },
		},
		wire.OpRange: {
			now:   (*reader).addLocal,
			keep:  keepRange,
			body:  func(q *wire.Request) bool { return len(q.Range.End) > 0 && q.Range.Sorted() },
			long:  always,
			begin: func(b *body) { b.whole = index.NewUnpagedReader(b.request.Range, limits.BodyBytes) },
		},
		wire.OpPages: {keep: keepRange, turn: (*writer).readPages},
		wire.OpCompact: {note: noNote, command: func(w write) kv.Command {
			return w.AppendCompact(w.dst, w.Ask.Revision)
		}},
		wire.OpRevisionAt: {body: always, read: (*body).appendRevision},
		wire.OpTimesOf:    {body: always, read: (*body).appendTimes},

		wire.OpStatus:  {now: (*reader).answerStatus},
		wire.OpReadmit: {now: (*reader).readmit},
		wire.OpMembers: {answer: func(w *writer, v *index.View, x *slot, _ *kv.Completion) bool {
			return w.appendValue(x.id, &wire.List[kv.Member]{All: v.Members().All()})
		}},
		wire.OpChangeMember: {
			note:    func(q *wire.Request) string { return q.Ask.Change.String() },
			command: func(w write) kv.Command { return w.AppendMemberChange(w.dst, &w.Ask.Change) },
		},
		wire.OpMoveLeader: {note: noNote, handle: (*reader).moveLeader, answer: (*writer).appendDone},

		wire.OpGrant: {keep: (*reader).newLease, answer: (*writer).appendGranted, command: func(w write) kv.Command {
			return w.AppendGrant(w.dst, kv.Lease{ID: w.Lease.ID, TTL: w.Lease.TTL})
		}},
		wire.OpRevoke:     {command: func(w write) kv.Command { return w.AppendRevoke(w.dst, w.Lease.ID) }},
		wire.OpKeepAlive:  {keep: keepLease, handle: (*reader).ask, renews: true, answer: (*writer).appendLeaseTime},
		wire.OpTimeToLive: {keep: keepLease, handle: (*reader).ask, answer: (*writer).appendLeaseKeys},
		wire.OpLeases:     {body: always, long: always, read: (*body).readLeases},

		wire.OpAuthChange: {
			early:   true,
			note:    func(q *wire.Request) string { return q.Ask.Auth.String() },
			handle:  (*reader).proposeAuthChange,
			command: func(w write) kv.Command { return w.AppendAuthChange(w.dst, withSecret(&w.Ask.Auth)) },
		},
		wire.OpUsers:     {body: always, long: always, read: (*body).appendUsers, concerns: asksOfUser},
		wire.OpRoles:     {body: always, long: always, read: (*body).appendRoles, concerns: asksOfRole},
		wire.OpAuthorsOf: {body: always, long: always, read: (*body).readAuthors},
		wire.OpAuthCheck: {body: always, long: always, read: (*body).appendAuthCheck, concerns: asksOfUser},
		wire.OpAuthStatus: {answer: func(w *writer, v *index.View, x *slot, _ *kv.Completion) bool {
			return w.appendValue(x.id, &kv.AuthStatus{Enabled: v.Auth().Enabled(), Revision: v.Auth().Revision()})
		}},
		wire.OpWhoAmI: {answer: (*writer).appendSelf},
		wire.OpLogin:  {handle: (*reader).logIn, login: true},

		wire.OpBackUpNow: {handle: (*reader).backUp},
	}
}

// opWatch is the op of a watch, which has a path of its own: watchStream.
const opWatch = wire.OpWatch

func always(*wire.Request) bool { return true }

func noNote(*wire.Request) string { return "" }

func keepRange(_ *reader, q *wire.Request, x *slot) { x.read = newRead(&q.Range, q.Timeout) }

func keepLease(_ *reader, q *wire.Request, x *slot) {
	if q.Ask != nil {
		q.Lease = q.Ask.Lease
	}
	x.lease = new(q.Lease)
}

func asksOfUser(_ *index.Auth, ask *wire.Ask, name string) bool { return ask.Name == name }

func asksOfRole(auth *index.Auth, ask *wire.Ask, name string) bool {
	return ask.Name != "" && hasRole(auth, name, ask.Name)
}
