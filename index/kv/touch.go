package kv

import (
	"bytes"
	"slices"
)

// Touch is an access of a request to a key, to a range of keys, or to the keys that are attached to a lease. A write
// access to a lease without keys needs the user who granted the lease.
type Touch struct {
	Key, End []byte // as in a Range; ignored if Lease is set
	Lease    int64  // every key that is attached to the lease; 0: the range
	Write    bool   // the access changes keys; otherwise it returns something about them
}

// Touches are all accesses of a request.
type Touches []Touch

// Touches lists the accesses.
func (t Touches) Touches(f func(Touch) bool) bool {
	return !slices.ContainsFunc(t, func(one Touch) bool { return !f(one) })
}

// The functions below alone decide which accesses a request makes: permissions are checked against exactly this list. Each calls f with
// one access after the other until f returns false, and reports whether it listed all. A transaction lists both branches, at any depth.

// Touches lists the accesses of a put. A put that returns the previous version reads the key. A put that attaches the
// key to a lease lets the holder of the lease delete it, and lets the lease's expiry delete its other keys: it needs
// write access to all of them, as in etcd. The first key of a lease is attached by the user who granted the lease: with
// a key of another user, the owner could neither renew nor revoke it.
func (p *Put) Touches(f func(Touch) bool) bool {
	return f(Touch{Key: p.Key, Write: true}) &&
		(!p.PrevKV || f(Touch{Key: p.Key})) &&
		(p.Lease == 0 || f(Touch{Lease: p.Lease, Write: true}))
}

// Touches lists the accesses of a delete.
func (d *Delete) Touches(f func(Touch) bool) bool {
	return f(Touch{Key: d.Key, End: d.End, Write: true}) && (!d.PrevKV || f(Touch{Key: d.Key, End: d.End}))
}

// Touches lists the access of a range.
func (r *Range) Touches(f func(Touch) bool) bool { return f(Touch{Key: r.Key, End: r.End}) }

// Touches lists the access of a watch.
func (w *Watch) Touches(f func(Touch) bool) bool { return f(Touch{Key: w.Key, End: w.End}) }

// Touches lists the access of a comparison.
func (c *Compare) Touches(f func(Touch) bool) bool { return f(Touch{Key: c.Key, End: c.End}) }

// Touches lists the accesses of a transaction: its comparisons and both branches, to any depth.
func (t *Txn) Touches(f func(Touch) bool) bool {
	for i := range t.Compares {
		if !t.Compares[i].Touches(f) {
			return false
		}
	}
	for _, ops := range [2][]Op{t.Success, t.Failure} {
		for i := range ops {
			if !ops[i].Touches(f) {
				return false
			}
		}
	}
	return true
}

// Touches lists the accesses of an operation of a transaction.
func (o *Op) Touches(f func(Touch) bool) bool {
	switch {
	case o.Put != nil:
		return o.Put.Touches(f)
	case o.Delete != nil:
		return o.Delete.Touches(f)
	case o.Range != nil:
		return o.Range.Touches(f)
	case o.Txn != nil:
		return o.Txn.Touches(f)
	}
	return true // an empty operation is refused when it is checked
}

// Check returns why a permission cannot be granted, or nil. As in etcd, its key is not empty and its end is after its key.
func (p *Permission) Check(b Bounds) *Error {
	switch open := len(p.End) == 1 && p.End[0] == 0; {
	case len(p.Key) == 0:
		return Errorf(AuthManagement, "the permission has no key: a prefix is a range from the prefix to its end, and everything is the range from \"\\0\" to \"\\0\"")
	case len(p.End) > 0 && !open && bytes.Compare(p.Key, p.End) >= 0:
		return Errorf(AuthManagement, "the end %q of the permission's range is not after its key %q", p.End, p.Key)
	case p.Type >= permissionTypes:
		return Errorf(AuthManagement, "there is no type %d of permissions", p.Type)
	}
	return b.checkRange(p.Key, p.End)
}
