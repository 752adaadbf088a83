package client

import (
	"qkv/index/kv"
	"qkv/net/wire"
)

// The types of requests and answers are those of all parts of qkv. Their fields are shown here, so that a program needs no other package.
// TestTypesShowFields keeps the comments true; with -rewrite, it writes the fields anew.

// KeyValue is a key with its value and its revisions.
//
//	type KeyValue struct {
//		Key, Value []byte
//		// CreateRevision and ModRevision are the revisions at which the key was created and last changed. Version counts the
//		// puts since it was created. Lease 0 means none.
//		CreateRevision, ModRevision, Version, Lease int64
//	}
type KeyValue = kv.KeyValue

// Range is a query. Only Key must be set; Prefix and From make an End.
//
//	type Range struct {
//		// Key without End is a single key. With End, the range is all keys from Key up to and excluding End. The End "\0"
//		// means no end: all keys from Key on.
//		Key, End []byte
//		// Revision is the revision to read at; 0 means the newest.
//		Revision int64
//		// Limit is the largest number of pairs to return; 0 means all.
//		Limit int64
//		// Serializable reads are answered by one member from its own state, without asking other members. They are faster and
//		// need no quorum, but may be stale.
//		Serializable bool
//		KeysOnly     bool // return pairs without values
//		CountOnly    bool // return only Count, no pairs
//		// Continued says that the range was counted before: this is a later page, and Count may be 0.
//		Continued bool
//
//		// Sort and Order set the order of the pairs before Limit cuts them. The default is ascending keys.
//		Sort  SortTarget
//		Order SortOrder
//		// Pairs whose revisions are below a minimum or above a maximum are filtered out; 0 means no bound. Count includes the
//		// filtered pairs.
//		MinMod, MaxMod, MinCreate, MaxCreate int64
//	}
type Range = kv.Range

// RangeResult is the content of a range.
//
//	type RangeResult struct {
//		Revision int64 // the store's revision at the time of the read, or the revision that was read if none was requested
//		Count    int64 // all keys in the range at the requested revision, regardless of Limit; 0 if Continued
//		More     bool  // more keys follow the returned ones
//		KVs      []KeyValue
//	}
type RangeResult = kv.RangeResult

// SortTarget is the field that pairs are sorted by.
type SortTarget = kv.SortTarget

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

// Put sets a key, with all options.
//
//	type Put struct {
//		Key, Value  []byte
//		Lease       int64 // 0: none
//		PrevKV      bool  // the answer has the previous version of the key
//		IgnoreValue bool  // keep the key's value; Value must be empty, and the key must exist
//		IgnoreLease bool  // keep the key's lease; Lease must be 0, and the key must exist
//	}
type Put = kv.Put

// Delete removes a key, or a range of keys.
//
//	type Delete struct {
//		Key, End []byte
//		PrevKV   bool // the answer has the previous versions of the keys
//	}
type Delete = kv.Delete

// Txn is a transaction: its comparisons decide which of two lists of operations is applied.
//
//	type Txn struct {
//		Compares         []Compare // all must hold for Success; an empty list holds
//		Success, Failure []Op
//	}
type Txn = kv.Txn

// Compare is a comparison of a transaction.
//
//	type Compare struct {
//		Key, End []byte // as in a Range
//		Target   CompareTarget
//		Result   CompareResult
//		Number   int64  // for every target but CompareValue
//		Value    []byte // for CompareValue
//	}
type Compare = kv.Compare

// CompareTarget is the field of a key that is compared.
type CompareTarget = kv.CompareTarget

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

// Op is an operation of a transaction: exactly one of its fields is set.
//
//	type Op struct {
//		Put    *Put
//		Delete *Delete
//		Range  *Range
//		Txn    *Txn
//	}
type Op = kv.Op

// TxnResult is the answer to a transaction.
//
//	type TxnResult struct {
//		Revision  int64 // of the transaction; the store's revision if it changed nothing
//		Succeeded bool  // the comparisons held
//		Answers   []Answer
//	}
type TxnResult = kv.TxnResult

// Answer is the answer to one operation of a transaction. Only the field of the operation's kind is set.
//
//	type Answer struct {
//		Put    *PutResult
//		Delete *DeleteResult
//		Range  *RangeResult
//		Txn    *TxnResult // Revision is not set
//	}
type Answer = kv.Answer

// PutResult is the answer to a put in a transaction.
//
//	type PutResult struct {
//		Revision int64
//		Prev     *KeyValue // the previous version of the key, if requested and present
//	}
type PutResult = kv.PutResult

// DeleteResult is the answer to a delete in a transaction.
//
//	type DeleteResult struct {
//		Revision int64 // of the deletion; the store's revision if nothing was deleted
//		Deleted  int64
//		Prev     []KeyValue // the previous versions of the keys, if requested
//	}
type DeleteResult = kv.DeleteResult

// Watch is a request for a watch: its keys, and its first revision. Only Key must be set; Prefix and From make an End.
//
//	type Watch struct {
//		Key, End []byte // as in a Range
//		// Revision is the first revision whose changes are wanted; 0 means the one after the newest. If it is in the future,
//		// earlier changes are not delivered.
//		Revision       int64
//		PrevKV         bool // events have the key's previous version, except at the compacted revision
//		ProgressNotify bool // after an interval without events, report the revision up to which there are none
//		NoPut          bool // leave out events of this kind
//		NoDelete       bool
//	}
type Watch = kv.Watch

// WatchEvent is one change of a key.
//
//	type WatchEvent struct {
//		Event
//		// Before is the key as it was before the revision; nil if it did not exist, is compacted, or is not wanted.
//		Before *KeyValue
//	}
type WatchEvent = kv.WatchEvent

// Event is one change of a key.
//
//	type Event struct {
//		// KV is the key after the change. A deleted key has only Key and ModRevision.
//		KV KeyValue
//		// Sub is the event's position among the changes of one revision.
//		Sub     int64
//		Deleted bool
//	}
type Event = kv.Event

// Error is a member's answer that is an error. Certain says that a write certainly did not happen, Happened that it happened, and
// Retryable that a retry can succeed.
//
//	type Error struct {
//		Code    Code
//		Message string
//	}
type Error = kv.Error

// Code is the outcome of a request as a number, which never changes its meaning.
type Code = kv.Code

// The codes of errors.
const (
	OK             Code = kv.OK
	EmptyKey       Code = kv.EmptyKey       // a key has at least one byte
	KeyTooLarge    Code = kv.KeyTooLarge    // the message names the limit
	ValueTooLarge  Code = kv.ValueTooLarge  // the message names the limit
	Compacted      Code = kv.Compacted      // the requested revision was compacted
	FutureRevision Code = kv.FutureRevision // the requested revision does not exist yet
	Unavailable    Code = kv.Unavailable    // no leader, or no quorum; it certainly did not happen; retry
	Unknown        Code = kv.Unknown        // it may have happened, or may still happen
	NotAllowed     Code = kv.NotAllowed     // this identity lacks the permission
	Overloaded     Code = kv.Overloaded     // a limit on requests under way is reached; it certainly did not happen; retry
	BadRequest     Code = kv.BadRequest     // malformed, or against a rule that the message names
	NoSpace        Code = kv.NoSpace        // the cluster accepts no writes until there is space
	Internal       Code = kv.Internal       // a fault in the member
	FeatureLevel   Code = kv.FeatureLevel   // the cluster's feature level is too low
	Amnesia        Code = kv.Amnesia        // the member lost state that it had acknowledged, and is refused
	Corrupt        Code = kv.Corrupt        // the member's state differs from the majority's, and the member is refused
	MemberNotFound Code = kv.MemberNotFound // no member has this id or name
	MemberExists   Code = kv.MemberExists   // the id or the name was used before
	AddressExists  Code = kv.AddressExists  // another member has this peer address
	NotLearner     Code = kv.NotLearner     // the member is a voter already
	LearnerBehind  Code = kv.LearnerBehind  // a learner that lags is not promoted
	TooManyMembers Code = kv.TooManyMembers // the message names the limit
	QuorumAtRisk   Code = kv.QuorumAtRisk   // the change would leave too few healthy voters for a quorum
	Removed        Code = kv.Removed        // the asked member was removed from its cluster
	KeyNotFound    Code = kv.KeyNotFound    // a put that keeps the value or lease needs an existing key
	DuplicateKey   Code = kv.DuplicateKey   // a transaction changes a key twice
	ValueProvided  Code = kv.ValueProvided  // a put with IgnoreValue has a value
	LeaseProvided  Code = kv.LeaseProvided  // a put with IgnoreLease has a lease
	LeaseNotFound  Code = kv.LeaseNotFound  // no lease has this id
	LeaseExists    Code = kv.LeaseExists    // the lease's id is in use
	LeaseTooLong   Code = kv.LeaseTooLong   // the message names the limit
	InvalidSort    Code = kv.InvalidSort    // unknown sort order or sort target
	// TooManyOperations: a transaction has too many comparisons or operations, or its ranges contain too many keys. The
	// message names the limit.
	TooManyOperations Code = kv.TooManyOperations
	AnswerTooLarge    Code = kv.AnswerTooLarge // the message names the limit; a write did happen
	// SessionEnded: the session of a write has ended, or the write is below the window that its client declared. This
	// copy certainly did nothing; whether an earlier copy was applied is no longer known.
	SessionEnded Code = kv.SessionEnded
	// AnswerGone: an earlier copy of the write was applied, and the history that its full answer needs is compacted.
	AnswerGone Code = kv.AnswerGone
	// Following: the cluster follows a source cluster and accepts no writes until that ends. While the source's data are
	// being loaded, it answers no reads either.
	Following Code = kv.Following

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

	// Unaudited: the asked member cannot write its audit log, and refuses changes because of --audit-strict. The change certainly did not
	// happen; another member may accept it.
	Unaudited Code = kv.Unaudited
)

// Lease is a lease: the lifetime of keys. Its id is any number but 0.
//
//	type Lease struct {
//		ID  int64
//		TTL int64 // seconds, as granted
//		// Remaining is the remaining time in seconds at the last checkpoint in the log; 0 means the full TTL. The next leader
//		// resumes from it.
//		Remaining int64
//		// Granted is the index of the entry that granted the lease. It distinguishes the lease from an earlier one with the
//		// same ID. In a grant it is 0.
//		Granted uint64
//		// By is the author who granted it, as in the state's list of authors; 0: none. In a grant it is 0.
//		By uint32
//	}
type Lease = kv.Lease

// Credentials are a client's certificate, its key and its trusted CAs: see LoadCredentials and LocalCredentials. A renewed file is in
// force at the next handshake.
type Credentials = wire.Credentials

// User is a user, without its password.
//
//	type User struct {
//		Name        string
//		Roles       []string // ascending
//		HasPassword bool
//		NoPassword  bool // it never gets one
//		// Epoch is the auth revision at which the user was created or got its password.
//		Epoch uint64
//	}
type User = wire.User

// Role is a named set of permissions.
//
//	type Role struct {
//		Name        string
//		Permissions []Permission // ascending by Key, then End
//	}
type Role = kv.UserRole

// Permission allows access to a key, or to a range of keys; Prefix and From make an End.
//
//	type Permission struct {
//		Key, End []byte
//		Type     PermissionType
//	}
type Permission = kv.Permission

// PermissionType is the kind of access that a permission allows. Writing does not include reading.
type PermissionType = kv.PermissionType

// The types of permissions.
const (
	PermitRead      PermissionType = kv.PermitRead
	PermitWrite     PermissionType = kv.PermitWrite
	PermitReadWrite PermissionType = kv.PermitReadWrite
)

// AuthStatus is the state of authentication.
//
//	type AuthStatus struct {
//		Enabled  bool
//		Revision uint64 // of users and roles
//	}
type AuthStatus = wire.AuthStatus

// AuthCheck says whether a user has a permission, and by which roles.
//
//	type AuthCheck struct {
//		Allowed bool
//		Root    bool    // the user has the role root, which permits everything
//		Grants  []Grant // the permissions of the user's roles that concern the range, in the order of their keys
//	}
type AuthCheck = wire.AuthCheck

// Grant is a permission that a role gives.
//
//	type Grant struct {
//		Role string
//		Permission
//	}
type Grant = wire.Grant

// Self is the user of this client, as its member sees it.
//
//	type Self struct {
//		Name  string // "": none
//		Proof Proof
//		Known bool     // there is a user of that name
//		Roles []string // of that user, ascending
//		Root  bool     // the role root is among them
//		// Enabled reports whether requests need a user, and Revision is the auth revision.
//		Enabled  bool
//		Revision uint64
//	}
type Self = wire.Self

// Proof is how a member knows the user of a connection.
type Proof = wire.Proof

// The proofs.
const (
	ProofNone        Proof = wire.ProofNone        // the connection has no user
	ProofCertificate Proof = wire.ProofCertificate // the name in the client's certificate
	ProofPassword    Proof = wire.ProofPassword    // a login with a password
	ProofToken       Proof = wire.ProofToken       // a login with the token of an earlier login
)

// Change identifies a change of a key by its revision.
//
//	type Change struct {
//		Key      []byte
//		Revision int64
//	}
type Change = wire.Change

// AuthChange is a change of users, roles, or of authentication itself.
//
//	type AuthChange struct {
//		Kind       AuthChangeKind
//		User, Role string
//		Password   []byte // hash by bcrypt
//		NoPassword bool
//		Permission Permission
//		// Secret seals the tokens that members issue, for AuthEnable: limits.AuthSecretBytes random bytes.
//		Secret []byte
//		// Strict refuses AuthEnable unless the author of the request has the role root.
//		Strict bool
//	}
type AuthChange = kv.AuthChange

// AuthChangeKind is the kind of an AuthChange.
type AuthChangeKind = kv.AuthChangeKind

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
