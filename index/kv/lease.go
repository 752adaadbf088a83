package kv

import "qkv/internal/limits"

// Lease is a lifetime for keys. If it expires without being renewed, the lease is revoked and its keys are deleted. Its
// ID is any number but 0.
type Lease struct {
	ID  int64
	TTL int64 // seconds, as granted
	// Remaining is the remaining time in seconds at the last checkpoint in the log; 0 means the full TTL. The next leader
	// resumes from it.
	Remaining int64
	// Granted is the index of the entry that granted the lease. It distinguishes the lease from an earlier one with the
	// same ID. In a grant it is 0.
	Granted uint64
	// By is the author who granted it, as in the state's list of authors; 0: none. In a grant it is 0.
	By uint32
}

// LeaseAsk is a query to the leader's clock for a lease's remaining time. With Renew it is a keep-alive, which renews
// the lease to its full TTL.
type LeaseAsk struct {
	Lease int64
	Renew bool
}

// LeaseTime is the leader's answer to a LeaseAsk, in seconds: the remaining time, and the TTL as granted. If the lease
// does not exist, TTL is 0 after Renew and -1 otherwise.
type LeaseTime struct{ TTL, Granted int64 }

// Check returns why a state cannot have the lease, or nil.
func (l Lease) Check() *Error {
	switch {
	case l.ID == 0:
		return Errorf(BadRequest, "a lease has no id")
	case l.TTL < 1:
		return Errorf(BadRequest, "a lease of %d seconds, the minimum is 1", l.TTL)
	case l.Remaining < 0 || l.Remaining > l.TTL:
		return Errorf(BadRequest, "lease %016x of %d seconds has %d seconds left", uint64(l.ID), l.TTL, l.Remaining)
	}
	return CheckTTL(l.TTL)
}

// CheckTTL returns an error if the TTL is too long, or nil.
func CheckTTL(ttl int64) *Error {
	if ttl > limits.LeaseSeconds {
		return Errorf(LeaseTooLong, "a lease of %d seconds, over the limit of %d", ttl, limits.LeaseSeconds)
	}
	return nil
}
