package kv

// Access is the permission that an operation of a client needs. It names the class only: the ranges follow from the
// request. Every part of a request needs its own permission: a put that returns the previous value reads its key as well.
type Access uint8

// The classes of access. The zero value is the strictest: an operation whose access is not declared is denied.
const (
	// AccessAdmin is for the operators of the cluster.
	AccessAdmin Access = iota
	// AccessWrite is for operations that change keys, or a lease with its keys.
	AccessWrite
	// AccessRead is for operations that return keys, their values or their history.
	AccessRead
	// AccessNone is for operations that every user may use.
	AccessNone
	// AccessSelf is for questions about a user or a role: the user itself may ask, a user that has the role, and the operators.
	AccessSelf
	// AccessAnyone is for operations that need no user.
	AccessAnyone
)

// String returns the class's name.
func (a Access) String() string {
	switch a {
	case AccessWrite:
		return "write"
	case AccessRead:
		return "read"
	case AccessNone:
		return "none"
	case AccessSelf:
		return "self"
	case AccessAnyone:
		return "anyone"
	default:
		return "administration"
	}
}
