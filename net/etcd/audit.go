package etcd

import (
	"context"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index/kv"
	"qkv/internal/audit"
	"qkv/net/etcd/front"
)

// authenticateRPC is the name of the RPC that logs a user in.
const authenticateRPC = "Authenticate"

// changesRPCs are the RPCs whose success is recorded: changes, moves of the leader, compactions, snapshots for clients, and logins.
var changesRPCs = map[string]bool{
	"AuthEnable": true, "AuthDisable": true, "UserAdd": true, "UserDelete": true, "UserChangePassword": true, "UserGrantRole": true,
	"UserRevokeRole": true, "RoleAdd": true, "RoleDelete": true, "RoleGrantPermission": true, "RoleRevokePermission": true,
	"MemberAdd": true, "MemberRemove": true, "MemberUpdate": true, "MemberPromote": true, authenticateRPC: true,
	"Compact": true, "MoveLeader": true, "Snapshot": true,
}

// isChange tells whether a request's success is recorded.
func isChange(rpc string, q any) bool {
	alarm, _ := q.(*pb.AlarmRequest)
	return changesRPCs[rpc] || alarm != nil && alarm.Action != pb.AlarmRequest_GET
}

// untilRecorded returns the context of a request, to be released by over. The context of a change that is recorded does not end with its
// client, but with Close: otherwise a client that leaves at once would make changes that are not recorded.
func (s *core) untilRecorded(ctx context.Context, rpc string, q any) (_ context.Context, over func()) {
	if s.config.Audit == nil || rpc == authenticateRPC || !isChange(rpc, q) {
		return ctx, func() {}
	}
	return until(s.open, context.WithoutCancel(ctx))
}

// audited records a login, a change of users, roles, members or alarms, or a refusal for want of a user or of a permission. It returns the
// request's error.
func (s *core) audited(ctx context.Context, rpc string, q any, err error) error {
	if s.config.Audit == nil {
		return err
	}
	refusal := refusalIn(err)
	if err != nil && refusal == nil || err == nil && !isChange(rpc, q) {
		return err
	}
	e := s.event(ctx, rpc)
	e.Refusal, e.Ranges = refusal, rangesIn(q)
	if rpc == authenticateRPC {
		e.User, e.Proof, e.Operation = subjectOf(q), audit.Password, audit.Login
	} else if err == nil {
		e.Message = subjectOf(q)
	}
	s.config.Audit.Record(e)
	return err
}

// event returns an event of a request's caller.
func (s *core) event(ctx context.Context, rpc string) audit.Event {
	e := audit.Event{Proof: audit.None, Remote: front.AccountOf(ctx).Client(), API: audit.Etcd, Operation: rpc}
	if overHTTP(ctx) {
		e.API = audit.HTTP
	}
	token := false
	if !s.config.Member.View().Auth().Enabled() {
		e.User = front.AccountOf(ctx).User // a token proves nothing now
	} else if rpc != authenticateRPC {
		e.User = s.callerOf(ctx).name
		_, token = tokenIn(ctx)
	}
	switch {
	case e.User == "":
	case token:
		e.Proof = audit.Token
	default:
		e.Proof = audit.Certificate
	}
	return e
}

// refusalIn returns the refusal in a request's error, or nil if the error is of another kind.
func refusalIn(err error) *kv.Error {
	if err == nil {
		return nil
	}
	text := status.Convert(err).Message()
	switch code := status.Code(err); {
	case code == codes.PermissionDenied:
		return kv.Errorf(kv.NotAllowed, "%s", text)
	case code == codes.Unauthenticated:
		return kv.Errorf(kv.BadToken, "%s", text)
	case text == status.Convert(rpctypes.ErrGRPCUserEmpty).Message():
		return kv.Errorf(kv.UserEmpty, "%s", text)
	case text == status.Convert(rpctypes.ErrGRPCAuthFailed).Message():
		return kv.Errorf(kv.AuthFailed, "%s", text)
	}
	return nil
}

// subjectOf names what a request changes. It has neither passwords nor tokens.
func subjectOf(q any) string {
	var all []string
	if of, ok := q.(interface{ GetName() string }); ok {
		all = append(all, of.GetName())
	}
	if of, ok := q.(interface{ GetUser() string }); ok {
		all = append(all, of.GetUser())
	}
	if of, ok := q.(interface{ GetRole() string }); ok {
		all = append(all, of.GetRole())
	}
	switch q := q.(type) {
	case *pb.AuthRoleGrantPermissionRequest:
		all = append(all, q.GetPerm().GetPermType().String())
	case *pb.MemberAddRequest:
		all = append(all, q.PeerURLs...)
	case *pb.CompactionRequest:
		all = append(all, fmt.Sprint("revision ", q.Revision))
	case *pb.MoveLeaderRequest:
		all = append(all, fmt.Sprintf("%016x", q.TargetID))
	case *pb.AlarmRequest:
		all = append(all, q.Action.String(), q.Alarm.String())
	case interface{ GetID() uint64 }:
		all = append(all, fmt.Sprintf("%016x", q.GetID()))
	}
	return strings.Join(all, " ")
}

// rangesIn returns the key range of a request, or of the permission that it grants.
func rangesIn(q any) []audit.Range {
	if grant, ok := q.(*pb.AuthRoleGrantPermissionRequest); ok && grant.Perm != nil {
		return []audit.Range{{Key: grant.Perm.Key, End: grant.Perm.RangeEnd}}
	}
	of, ok := q.(interface{ GetKey() []byte })
	if !ok {
		return nil
	}
	one := audit.Range{Key: of.GetKey()}
	if ends, ok := q.(interface{ GetRangeEnd() []byte }); ok {
		one.End = ends.GetRangeEnd()
	}
	return []audit.Range{one}
}
