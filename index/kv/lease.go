package kv

import "qkv/internal/limits"

// Lease is a time that keys live for: when it has passed without being renewed, the lease is revoked and its keys are
// deleted. Its id is any number but 0.
type Lease struct {
	ID  int64
	TTL int64 // seconds, as it was granted
	// Remaining is what was left of it, in seconds, when that was last noted in the log; 0: all of it. Who leads next goes on
	// from there.
	Remaining int64
	// Granted is the entry that granted it, which tells it from an earlier one with its id. In a grant it is 0.
	Granted uint64
}

// LeaseAsk asks the leader's clock for a lease: how much is left of it or, with Renew, that all of it is left again.
type LeaseAsk struct {
	Lease int64
	Renew bool
}

// LeaseTime is what the leader's clock says of a lease, in seconds: what is left of it, and its TTL as it was granted. One that
// is not there has 0 when it was to be renewed, and -1 when it was asked for.
type LeaseTime struct{ TTL, Granted int64 }

// Check says why a lease is not granted, or nil.
func (l Lease) Check() *Error {
	switch {
	case l.ID == 0:
		return Errorf(BadRequest, "a lease has no id")
	case l.TTL < 1:
		return Errorf(BadRequest, "a lease of %d seconds", l.TTL)
	}
	return CheckTTL(l.TTL)
}

// CheckTTL says that a TTL is too long, or nil.
func CheckTTL(ttl int64) *Error {
	if ttl > limits.LeaseSeconds {
		return Errorf(LeaseTooLong, "a lease of %d seconds, over the limit of %d", ttl, limits.LeaseSeconds)
	}
	return nil
}
