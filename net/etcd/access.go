package etcd

import (
	"context"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
	"qkv/net/wire"
)

// class is the permission that an RPC needs while authentication is enabled.
type class uint8

const (
	undeclared    class = iota // refused to everybody
	anybody                    // needs no user
	anyUser                    // needs a user
	administrator              // needs a user with the role root
	checked                    // its handler checks each access of the request: keys, ranges and leases
)

// classes is the class of each RPC. An RPC that is not here is refused, and a test fails.
//
// Requests of the class checked are identified, and an error in the request comes before an error about its user, as in etcd. Their
// handlers call permits for what they read, and propose for what they write. The verdict on writes falls when the command is applied.
var classes = map[string]class{
	"/etcdserverpb.KV/Range":       checked,
	"/etcdserverpb.KV/RangeStream": checked,
	"/etcdserverpb.KV/Put":         checked,
	"/etcdserverpb.KV/DeleteRange": checked,
	"/etcdserverpb.KV/Txn":         checked,
	"/etcdserverpb.KV/Compact":     administrator,

	"/etcdserverpb.Watch/Watch": checked, // each watch

	"/etcdserverpb.Lease/LeaseGrant":      anyUser,
	"/etcdserverpb.Lease/LeaseRevoke":     anyUser, // and WRITE of its keys
	"/etcdserverpb.Lease/LeaseKeepAlive":  checked, // each message: WRITE of its keys
	"/etcdserverpb.Lease/LeaseTimeToLive": anyUser, // and READ of the keys, if they are listed
	// any user; the list has the user's own leases, and leases with a key that it may READ
	"/etcdserverpb.Lease/LeaseLeases": checked,

	"/etcdserverpb.Cluster/MemberList":    anyUser,
	"/etcdserverpb.Cluster/MemberAdd":     administrator,
	"/etcdserverpb.Cluster/MemberRemove":  administrator,
	"/etcdserverpb.Cluster/MemberUpdate":  administrator,
	"/etcdserverpb.Cluster/MemberPromote": administrator,

	"/etcdserverpb.Maintenance/Status": anyUser,
	// any user may list alarms, and an administrator raise and disarm them
	"/etcdserverpb.Maintenance/Alarm":      checked,
	"/etcdserverpb.Maintenance/Defragment": administrator,
	"/etcdserverpb.Maintenance/Hash":       administrator,
	"/etcdserverpb.Maintenance/HashKV":     administrator,
	"/etcdserverpb.Maintenance/Snapshot":   administrator,
	"/etcdserverpb.Maintenance/MoveLeader": administrator,
	"/etcdserverpb.Maintenance/Downgrade":  administrator,

	"/etcdserverpb.Auth/AuthStatus":           checked, // needs no user, but an invalid token is an error
	"/etcdserverpb.Auth/Authenticate":         anybody,
	"/etcdserverpb.Auth/AuthEnable":           administrator,
	"/etcdserverpb.Auth/AuthDisable":          administrator,
	"/etcdserverpb.Auth/UserAdd":              administrator,
	"/etcdserverpb.Auth/UserGet":              checked, // the user itself, or an administrator
	"/etcdserverpb.Auth/UserList":             administrator,
	"/etcdserverpb.Auth/UserDelete":           administrator,
	"/etcdserverpb.Auth/UserChangePassword":   administrator,
	"/etcdserverpb.Auth/UserGrantRole":        administrator,
	"/etcdserverpb.Auth/UserRevokeRole":       administrator,
	"/etcdserverpb.Auth/RoleAdd":              administrator,
	"/etcdserverpb.Auth/RoleGet":              checked, // a user with the role, or an administrator
	"/etcdserverpb.Auth/RoleList":             administrator,
	"/etcdserverpb.Auth/RoleDelete":           administrator,
	"/etcdserverpb.Auth/RoleGrantPermission":  administrator,
	"/etcdserverpb.Auth/RoleRevokePermission": administrator,

	// Locks and elections are puts, ranges, watches and leases of their caller.
	"/v3lockpb.Lock/Lock":             checked,
	"/v3lockpb.Lock/Unlock":           checked,
	"/v3electionpb.Election/Campaign": checked,
	"/v3electionpb.Election/Proclaim": checked,
	"/v3electionpb.Election/Leader":   checked,
	"/v3electionpb.Election/Observe":  checked,
	"/v3electionpb.Election/Resign":   checked,

	"/grpc.health.v1.Health/Check": anybody,
	"/grpc.health.v1.Health/List":  anybody,
	"/grpc.health.v1.Health/Watch": anybody,
}

// needs is the stage of a member's start that an RPC needs; all other RPCs wait for its end. Over HTTP, paths of pages have it, too.
var needs = map[string]wire.Need{
	"/etcdserverpb.KV/Range":           wire.NeedKeys,
	"/etcdserverpb.KV/RangeStream":     wire.NeedKeys,
	"/etcdserverpb.Cluster/MemberList": wire.NeedReplayed,
	"/etcdserverpb.Maintenance/Status": wire.NeedNothing,
	"/etcdserverpb.Auth/Authenticate":  wire.NeedKeys,

	"/ui/api/user":     wire.NeedReplayed, // the page begins with it
	"/ui/api/overview": wire.NeedReplayed, // works without a leader: it has no keys
}

// authorize identifies the caller of a request, and refuses what the RPC's class alone decides. The returned context has the caller. While
// authentication is off, authorize only refuses undeclared RPCs.
func (s *core) authorize(ctx context.Context, of class) (context.Context, error) {
	switch {
	case of == undeclared:
		return ctx, rpctypes.ErrGRPCPermissionDenied
	case of == anybody || !s.config.Member.View().Auth().Enabled():
		return ctx, nil
	}
	ctx = withCaller(ctx, s.identify(ctx))
	v := s.config.Member.View()
	switch of {
	case anyUser:
		return ctx, s.permits(ctx, v, kv.AccessNone, nil)
	case administrator:
		return ctx, s.permits(ctx, v, kv.AccessAdmin, nil)
	}
	return ctx, nil
}

// permits refuses a request that its caller may not make, in the View that the request reads.
func (s *core) permits(ctx context.Context, v *index.View, need kv.Access, q index.Toucher) error {
	if !v.Auth().Enabled() {
		return nil
	}
	c := s.callerOf(ctx)
	if c.err != nil {
		return c.err
	}
	err := v.Permits(c.in(v), need, q)
	if err != nil && err.Code == kv.NotAllowed && need == kv.AccessAdmin {
		if _, found := v.Auth().User(c.name); !found {
			return rpctypes.ErrGRPCUserNotFound // etcd's answer to a certificate of an unknown name, here alone
		}
	}
	return refused(err)
}

// permitsRange is permits for a range. While authentication is off, it needs no memory.
func (s *core) permitsRange(ctx context.Context, v *index.View, r *kv.Range) error {
	if !v.Auth().Enabled() {
		return nil
	}
	return s.permits(ctx, v, kv.AccessRead, new(*r))
}

// rangePermission is the permission for a range that is read from one View after the other: it is checked again after each change of users
// or roles.
type rangePermission struct {
	s    *core
	ctx  context.Context
	r    kv.Range
	seen *index.Auth // in the last View; nil before the first, or if there are no users
}

// in refuses the range in its next View.
func (p *rangePermission) in(v *index.View) error {
	if v.Auth() == p.seen {
		return nil
	}
	p.seen = v.Auth()
	return p.s.permitsRange(p.ctx, v, &p.r)
}

// leaseAccess is the access of a request to the keys of a lease. No lease has the id 0.
func leaseAccess(id int64, write bool) kv.Touches {
	if id == 0 {
		return nil
	}
	return kv.Touches{{Lease: id, Write: write}}
}

// head returns the author of a request's commands. While authentication is off, this is the name in the client's certificate, which is
// recorded with the change. Such an author has no auth revision: the command is refused if authentication is enabled before it is applied.
func (s *core) head(ctx context.Context) (index.Head, error) {
	v := s.config.Member.View()
	if !v.Auth().Enabled() {
		return s.unidentified(ctx, v), nil
	}
	c := s.callerOf(ctx)
	switch {
	case c.err != nil:
		return index.Head{}, c.err
	case c.name == "": // not worth an entry of the log
		return index.Head{}, rpctypes.ErrGRPCUserEmpty
	}
	return index.Head{By: c.in(v)}, nil
}

// unidentified returns the author in a View without authentication.
func (s *core) unidentified(ctx context.Context, v *index.View) index.Head {
	by := v.By(front.AccountOf(ctx).User)
	by.Auth = 0
	return index.Head{By: by}
}

// watcher returns the author of a request to watch, in the newest View.
func (s *core) watcher(ctx context.Context) (by kv.Principal, v *index.View, err error) {
	// this user needs the permission if authentication is enabled while the watch lives
	if v = s.config.Member.View(); !v.Auth().Enabled() {
		return v.By(s.certificateUser(ctx)), v, nil
	}
	c := s.callerOf(ctx)
	v = s.config.Member.View()
	return c.in(v), v, c.err
}

// proposal says how a command is proposed.
type proposal struct {
	body bool  // its answer is read from a View
	rows int64 // keys that it visits by ranges
}

// etcdAuthTries bounds how often a write is proposed that changes of users or roles overtake. Each try takes as long as a write: only a
// flood of such changes, far over a hundred a second, overtakes a write more often.
const etcdAuthTries = 8

// propose proposes a command of a request's caller. If users or roles change before the command is applied, it did not happen, and is
// proposed again, with the newest auth revision: the verdict falls by the newest roles in any case. A JWT keeps its revision, so the client
// has to authenticate again.
func (s *core) propose(ctx context.Context, p proposal, command func(h index.Head) kv.Command) (out outcome, err error) {
	h, err := s.head(ctx)
	for try := 1; err == nil; try++ {
		one := &call{command: command(h), body: p.body, long: p.rows > limits.LongWriteRows}
		if len(one.command.Bytes) > limits.RequestBytes {
			return outcome{}, rpctypes.ErrGRPCRequestTooLarge
		}
		out, err = s.calls.do(ctx, &s.calls.writes, one)
		if err == nil || !overtaken(&out) || try == etcdAuthTries {
			return out, err
		}
		next, failed := s.head(ctx)
		switch {
		case failed != nil:
			return outcome{}, failed
		case next == h:
			return out, err
		}
		h, err = next, nil
	}
	return out, err
}

// overtaken tells whether a command was refused because its author was identified before the last change of users or roles.
func overtaken(out *outcome) bool {
	refusal := out.Result.Err
	return refusal != nil && (refusal.Code == kv.AuthOld || refusal.Code == kv.UserEmpty)
}
