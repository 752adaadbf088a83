package client

import (
	"qkv/index/kv"
	"qkv/net/wire"
)

// The types of requests and answers are those of all parts of qkv: `go doc qkv/index/kv.Txn` shows the fields of [Txn]. Each type of a field,
// and each constant of such a type, has a name in this package, so that a program imports no other one.

type (
	KeyValue    = kv.KeyValue    // a key with its value and its revisions
	Range       = kv.Range       // a query. Only Key must be set; Prefix and From make an End.
	RangeResult = kv.RangeResult // the content of a range
	SortTarget  = kv.SortTarget  // the field that pairs are sorted by
)

// The targets of sorts.
const (
	SortByKey     SortTarget = kv.SortByKey
	SortByVersion SortTarget = kv.SortByVersion
	SortByCreate  SortTarget = kv.SortByCreate
	SortByMod     SortTarget = kv.SortByMod
	SortByValue   SortTarget = kv.SortByValue
)

// SortOrder is the direction of a sort. SortNone is key order.
type SortOrder = kv.SortOrder

// The orders of sorts.
const (
	SortNone    SortOrder = kv.SortNone
	SortAscend  SortOrder = kv.SortAscend
	SortDescend SortOrder = kv.SortDescend
)

type (
	Put           = kv.Put           // Put sets a key, with all options
	Delete        = kv.Delete        // Delete removes a key, or a range of keys
	Txn           = kv.Txn           // a transaction: its comparisons decide which of two lists of operations is applied
	Compare       = kv.Compare       // a comparison of a transaction
	CompareTarget = kv.CompareTarget // the field of a key that is compared
)

// The targets of comparisons.
const (
	CompareVersion CompareTarget = kv.CompareVersion
	CompareCreate  CompareTarget = kv.CompareCreate
	CompareMod     CompareTarget = kv.CompareMod
	CompareValue   CompareTarget = kv.CompareValue
	CompareLease   CompareTarget = kv.CompareLease
)

// CompareResult is the required relation between the key's field and the given value.
type CompareResult = kv.CompareResult

// The results of comparisons.
const (
	Equal    CompareResult = kv.Equal
	Greater  CompareResult = kv.Greater
	Less     CompareResult = kv.Less
	NotEqual CompareResult = kv.NotEqual
)

type (
	Op           = kv.Op           // an operation of a transaction: exactly one of its fields is set
	TxnResult    = kv.TxnResult    // the answer to a transaction
	Answer       = kv.Answer       // the answer to one operation of a transaction. Only the field of the operation's kind is set.
	PutResult    = kv.PutResult    // the answer to a put in a transaction
	DeleteResult = kv.DeleteResult // the answer to a delete in a transaction
)

// Watch is a request for a watch: its keys, and its first revision. Only Key must be set; Prefix and From make an End.
type Watch = kv.Watch

type (
	WatchEvent = kv.WatchEvent // one change of a key
	Event      = kv.Event      // one change of a key
)

// Error is a member's answer that is an error. Certain says that a write certainly did not happen, Happened that it happened, and
// Retryable that a retry can succeed.
type Error = kv.Error

// Code is the outcome of a request as a number, which never changes its meaning.
type Code = kv.Code

// The codes of errors.
const (
	OK                Code = kv.OK
	EmptyKey          Code = kv.EmptyKey          // a key has at least one byte
	KeyTooLarge       Code = kv.KeyTooLarge       // the message names the limit
	ValueTooLarge     Code = kv.ValueTooLarge     // the message names the limit
	Compacted         Code = kv.Compacted         // the requested revision was compacted
	FutureRevision    Code = kv.FutureRevision    // the requested revision does not exist yet
	Unavailable       Code = kv.Unavailable       // no leader, or no quorum; it certainly did not happen; retry
	Unknown           Code = kv.Unknown           // it may have happened, or may still happen
	NotAllowed        Code = kv.NotAllowed        // this identity lacks the permission
	Overloaded        Code = kv.Overloaded        // a limit on requests under way is reached; it certainly did not happen; retry
	BadRequest        Code = kv.BadRequest        // malformed, or against a rule that the message names
	NoSpace           Code = kv.NoSpace           // the cluster accepts no writes until there is space
	Internal          Code = kv.Internal          // a fault in the member
	FeatureLevel      Code = kv.FeatureLevel      // the cluster's feature level is too low
	Amnesia           Code = kv.Amnesia           // the member lost state that it had acknowledged, and is suspended
	Corrupt           Code = kv.Corrupt           // the member's state differs from the majority's, and the member is suspended
	MemberNotFound    Code = kv.MemberNotFound    // no member has this id or name
	MemberExists      Code = kv.MemberExists      // the id or the name was used before
	AddressExists     Code = kv.AddressExists     // another member has this peer address
	NotLearner        Code = kv.NotLearner        // the member is a voter already
	LearnerBehind     Code = kv.LearnerBehind     // a learner that lags is not promoted
	TooManyMembers    Code = kv.TooManyMembers    // the message names the limit
	QuorumAtRisk      Code = kv.QuorumAtRisk      // the change would leave too few healthy voters for a quorum
	Removed           Code = kv.Removed           // the asked member was removed from its cluster
	KeyNotFound       Code = kv.KeyNotFound       // a put that keeps the value or lease needs an existing key
	DuplicateKey      Code = kv.DuplicateKey      // a transaction changes a key twice
	ValueProvided     Code = kv.ValueProvided     // a put with IgnoreValue has a value
	LeaseProvided     Code = kv.LeaseProvided     // a put with IgnoreLease has a lease
	LeaseNotFound     Code = kv.LeaseNotFound     // no lease has this id
	LeaseExists       Code = kv.LeaseExists       // the lease's id is in use
	LeaseTooLong      Code = kv.LeaseTooLong      // the message names the limit
	InvalidSort       Code = kv.InvalidSort       // unknown sort order or sort target
	TooManyOperations Code = kv.TooManyOperations // too many comparisons, operations or keys; the message names the limit
	AnswerTooLarge    Code = kv.AnswerTooLarge    // the message names the limit; a write did happen
	SessionEnded      Code = kv.SessionEnded      // this copy of the write did nothing; whether an earlier one was applied is no longer known
	AnswerGone        Code = kv.AnswerGone        // an earlier copy was applied, and the history that its full answer needs is compacted

	// Users and roles.
	AuthOld              Code = kv.AuthOld         // users or roles have changed since the request was authenticated; retry
	UserEmpty            Code = kv.UserEmpty       // authentication is enabled, and the request has no user; or a user's name is empty
	BadToken             Code = kv.BadToken        // the token is void, expired or forged: authenticate again
	AuthNotEnabled       Code = kv.AuthNotEnabled  // there is nothing to authenticate for
	AuthFailed           Code = kv.AuthFailed      // unknown user, or wrong password
	RootUserMissing      Code = kv.RootUserMissing // authentication needs a user root
	RootRoleMissing      Code = kv.RootRoleMissing // authentication needs a user root with the role root
	UserExists           Code = kv.UserExists
	UserNotFound         Code = kv.UserNotFound
	RoleExists           Code = kv.RoleExists
	RoleNotFound         Code = kv.RoleNotFound
	RoleNotGranted       Code = kv.RoleNotGranted       // the user does not have the role
	PermissionNotGranted Code = kv.PermissionNotGranted // the role does not have a permission of exactly this range
	AuthManagement       Code = kv.AuthManagement       // the change would make the users or roles unusable; the message says why
	RoleEmpty            Code = kv.RoleEmpty            // a role's name is empty
	PermissionMissing    Code = kv.PermissionMissing    // a grant without a permission

	MemberRuns Code = kv.MemberRuns // a member that answers the leader is not replaced under its own name or address
	Unaudited  Code = kv.Unaudited  // with --audit-strict: the member cannot write its audit log; it certainly did not happen; another member may accept it
)

// Lease is a lease: the lifetime of keys. Its id is any number but 0.
type Lease = kv.Lease

// Credentials are a client's certificate, its key and its trusted CAs: see LoadCredentials and LocalCredentials. A renewed file is in
// force at the next handshake.
type Credentials = wire.Credentials

type (
	User           = wire.User         // a user, without its password
	Role           = kv.UserRole       // a named set of permissions
	Permission     = kv.Permission     // Permission allows access to a key, or to a range of keys; Prefix and From make an End
	PermissionType = kv.PermissionType // the kind of access that a permission allows. Writing does not include reading.
)

// The types of permissions.
const (
	PermitRead      PermissionType = kv.PermitRead
	PermitWrite     PermissionType = kv.PermitWrite
	PermitReadWrite PermissionType = kv.PermitReadWrite
)

type (
	AuthStatus = wire.AuthStatus // the state of authentication
	AuthCheck  = wire.AuthCheck  // AuthCheck says whether a user has a permission, and by which roles
	Grant      = wire.Grant      // a permission that a role gives
	Self       = wire.Self       // the user of this client, as its member sees it
	Proof      = wire.Proof      // how a member knows the user of a connection
)

// The proofs.
const (
	ProofNone        Proof = wire.ProofNone        // the connection has no user
	ProofCertificate Proof = wire.ProofCertificate // the name in the client's certificate
	ProofPassword    Proof = wire.ProofPassword    // a login with a password
	ProofToken       Proof = wire.ProofToken       // a login with the token of an earlier login
)

type (
	Change         = wire.Change       // Change identifies a change of a key by its revision
	AuthChange     = kv.AuthChange     // a change of users, roles, or of authentication itself
	AuthChangeKind = kv.AuthChangeKind // the kind of an AuthChange
)

// The kinds of changes of users and roles.
const (
	AuthEnable           AuthChangeKind = kv.AuthEnable
	AuthDisable          AuthChangeKind = kv.AuthDisable
	UserAdd              AuthChangeKind = kv.UserAdd
	UserDelete           AuthChangeKind = kv.UserDelete
	UserChangePassword   AuthChangeKind = kv.UserChangePassword
	UserGrantRole        AuthChangeKind = kv.UserGrantRole
	UserRevokeRole       AuthChangeKind = kv.UserRevokeRole
	RoleAdd              AuthChangeKind = kv.RoleAdd
	RoleDelete           AuthChangeKind = kv.RoleDelete
	RoleGrantPermission  AuthChangeKind = kv.RoleGrantPermission
	RoleRevokePermission AuthChangeKind = kv.RoleRevokePermission
)
