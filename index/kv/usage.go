package kv

import (
	"bytes"
	"time"

	"qkv/internal/limits"
)

// Usage asks how much space the keys below a prefix take, and how often they change. It divides them into groups. A key
// belongs to the group of its first bytes, up to and including separator number Depth behind the prefix. A key with fewer
// separators belongs to the group that ends with its last separator, or to the group of the prefix itself. Each key
// belongs to exactly one group, so the sums of all groups add up to those of the prefix.
//
//	prefix "", separator "/", depth 2
//	a/b/c  a/b/c/d  a/b/    group a/b/
//	a/x  a/                 group a/
//	x                       group of the prefix
type Usage struct {
	Prefix    []byte // empty: all keys
	Separator []byte // at least one byte
	Depth     int    // 0: a single group, of the whole prefix
	// Serializable is as in a [Range].
	Serializable bool
}

// UsageRow is the sum over one group. Sizes are in bytes, of keys and values.
type UsageRow struct {
	Prefix []byte // of all keys of the group
	// Keys and Bytes are those of the newest version of each key that exists. Leased counts the keys with a lease.
	Keys, Bytes, Leased int64
	// Versions and History are the number and size of the versions that the history keeps in addition: superseded
	// versions and tombstones, as a complete compaction would leave them.
	Versions, History int64
	// Changes is the number of puts and deletions in the Period of the UsageResult.
	Changes int64
}

// Add adds the sums of another row.
func (r *UsageRow) Add(other *UsageRow) {
	r.Keys += other.Keys
	r.Bytes += other.Bytes
	r.Leased += other.Leased
	r.Versions += other.Versions
	r.History += other.History
	r.Changes += other.Changes
}

// UsagePeriod is the time whose changes are counted.
const UsagePeriod = time.Minute

// UsageResult is the answer to a Usage, or a page of it, as of one revision. Groups without keys and history have no row.
// A row comes after the rows of all longer prefixes that begin with its own; apart from that, rows are in key order.
type UsageResult struct {
	Revision int64
	// Period ends now, by the member's clock, and is UsagePeriod, or less if the history before it is compacted. It is 0
	// if the history covers no time, or if the members' clocks contradict each other: then no changes are counted.
	Period time.Duration
	More   bool // another page follows
	Rows   []UsageRow
}

// Range returns the range of the keys below the prefix.
func (u *Usage) Range() Range {
	r := Range{Key: u.Prefix, End: PrefixEnd(u.Prefix), Serializable: u.Serializable}
	if len(r.Key) == 0 {
		r.Key = []byte{0}
	}
	return r
}

// Check returns why the request is refused, or nil.
func (u *Usage) Check(b Bounds) *Error {
	switch {
	case len(u.Prefix) > b.Key:
		return Errorf(KeyTooLarge, "the prefix has %d bytes, over the limit of %d for a key", len(u.Prefix), b.Key)
	case len(u.Separator) == 0 || len(u.Separator) > b.Key:
		return Errorf(BadRequest, "the separator has %d bytes: it has at least 1 and at most %d", len(u.Separator), b.Key)
	case u.Depth < 0 || u.Depth > limits.UsageDepth:
		return Errorf(BadRequest, "the depth %d is not between 0 and the limit of %d", u.Depth, limits.UsageDepth)
	}
	return nil
}

// PrefixEnd returns the End of the range of all keys that begin with a prefix.
func PrefixEnd(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return []byte{0}
}
