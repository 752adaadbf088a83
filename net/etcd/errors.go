package etcd

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qkv/index/kv"
	"qkv/net/wire"
)

var (
	errStopped         = rpctypes.ErrGRPCStopped
	errTimeout         = rpctypes.ErrGRPCTimeout
	errTooManyRequests = rpctypes.ErrGRPCRequestTooManyRequests
	// etcd's clients retry it
	errStarting = status.Error(codes.Unavailable, "etcdserver: "+wire.ErrStarting.Message)
)

// statuses maps qkv's errors to etcd's: clients compare the texts.
var statuses = map[kv.Code]error{
	kv.EmptyKey:          rpctypes.ErrGRPCEmptyKey,
	kv.KeyTooLarge:       rpctypes.ErrGRPCRequestTooLarge,
	kv.ValueTooLarge:     rpctypes.ErrGRPCRequestTooLarge,
	kv.Compacted:         rpctypes.ErrGRPCCompacted,
	kv.FutureRevision:    rpctypes.ErrGRPCFutureRev,
	kv.Unavailable:       rpctypes.ErrGRPCNoLeader,
	kv.Unknown:           rpctypes.ErrGRPCTimeout,
	kv.NotAllowed:        rpctypes.ErrGRPCPermissionDenied,
	kv.Overloaded:        rpctypes.ErrGRPCRequestTooManyRequests,
	kv.NoSpace:           rpctypes.ErrGRPCNoSpace,
	kv.Amnesia:           rpctypes.ErrGRPCUnhealthy,
	kv.Corrupt:           rpctypes.ErrGRPCCorrupt,
	kv.MemberNotFound:    rpctypes.ErrGRPCMemberNotFound,
	kv.MemberExists:      rpctypes.ErrGRPCMemberExist,
	kv.AddressExists:     rpctypes.ErrGRPCPeerURLExist,
	kv.NotLearner:        rpctypes.ErrGRPCMemberNotLearner,
	kv.LearnerBehind:     rpctypes.ErrGRPCLearnerNotReady,
	kv.QuorumAtRisk:      rpctypes.ErrGRPCMemberNotEnoughStarted,
	kv.Removed:           rpctypes.ErrGRPCStopped,
	kv.KeyNotFound:       rpctypes.ErrGRPCKeyNotFound,
	kv.DuplicateKey:      rpctypes.ErrGRPCDuplicateKey,
	kv.ValueProvided:     rpctypes.ErrGRPCValueProvided,
	kv.LeaseProvided:     rpctypes.ErrGRPCLeaseProvided,
	kv.LeaseNotFound:     rpctypes.ErrGRPCLeaseNotFound,
	kv.LeaseExists:       rpctypes.ErrGRPCLeaseExist,
	kv.LeaseTooLong:      rpctypes.ErrGRPCLeaseTTLTooLarge,
	kv.InvalidSort:       rpctypes.ErrGRPCInvalidSortOption,
	kv.TooManyOperations: rpctypes.ErrGRPCTooManyOps,

	kv.AuthOld:              rpctypes.ErrGRPCAuthOldRevision,
	kv.UserEmpty:            rpctypes.ErrGRPCUserEmpty,
	kv.BadToken:             rpctypes.ErrGRPCInvalidAuthToken,
	kv.AuthNotEnabled:       rpctypes.ErrGRPCAuthNotEnabled,
	kv.AuthFailed:           rpctypes.ErrGRPCAuthFailed,
	kv.RootUserMissing:      rpctypes.ErrGRPCRootUserNotExist,
	kv.RootRoleMissing:      rpctypes.ErrGRPCRootRoleNotExist,
	kv.UserExists:           rpctypes.ErrGRPCUserAlreadyExist,
	kv.UserNotFound:         rpctypes.ErrGRPCUserNotFound,
	kv.RoleExists:           rpctypes.ErrGRPCRoleAlreadyExist,
	kv.RoleNotFound:         rpctypes.ErrGRPCRoleNotFound,
	kv.RoleNotGranted:       rpctypes.ErrGRPCRoleNotGranted,
	kv.PermissionNotGranted: rpctypes.ErrGRPCPermissionNotGranted,
	kv.AuthManagement:       rpctypes.ErrGRPCInvalidAuthMgmt,
	kv.RoleEmpty:            rpctypes.ErrGRPCRoleEmpty,
	kv.PermissionMissing:    rpctypes.ErrGRPCPermissionNotGiven,
}

// otherCodes maps errors without an etcd text to gRPC codes.
var otherCodes = map[kv.Code]codes.Code{
	kv.BadRequest:     codes.InvalidArgument,
	kv.FeatureLevel:   codes.FailedPrecondition,
	kv.TooManyMembers: codes.FailedPrecondition,
	kv.AnswerTooLarge: codes.ResourceExhausted,
}

// statusOf converts an error of the member to the client's status.
func statusOf(err error) error {
	var known *kv.Error
	if !errors.As(err, &known) {
		if _, ok := status.FromError(err); ok || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return status.Error(codes.Unknown, err.Error())
	}
	if as := statuses[known.Code]; as != nil {
		return as
	}
	if code, ok := otherCodes[known.Code]; ok {
		return status.Error(code, known.Error())
	}
	return status.Error(codes.Unknown, known.Error())
}
