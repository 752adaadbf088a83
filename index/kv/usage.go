package kv

import (
	"bytes"
	"time"

	"qkv/internal/pack"
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
	Prefix []byte `json:"-"` // of all keys of the group
	// Keys and Bytes are those of the newest version of each key that exists.
	Keys  int64 `json:"keys"`
	Bytes int64 `json:"bytes"`
	// Versions and History are the number and size of the versions that the history keeps in addition: superseded
	// versions and tombstones, as a complete compaction would leave them.
	Versions int64 `json:"history_versions"`
	History  int64 `json:"history_bytes"`
	Leased   int64 `json:"leased_keys"` // keys with a lease
	Changes  int64 `json:"changes"`     // puts and deletions in the Period of the UsageResult
}

// Add adds the sums of another row.
func (r *UsageRow) Add(other *UsageRow) {
	mine, more := r.numbers(), other.numbers()
	for i := range mine {
		*mine[i] += *more[i]
	}
}

func (r *UsageRow) numbers() [6]*int64 {
	return [...]*int64{&r.Keys, &r.Bytes, &r.Versions, &r.History, &r.Leased, &r.Changes}
}

// AppendNumbers appends the sums: this is the value of a key in a page of a range with Usage.
func (r *UsageRow) AppendNumbers(dst []byte) []byte {
	for _, n := range r.numbers() {
		dst = pack.AppendInt(dst, *n)
	}
	return dst
}

// UsagePeriod is the time whose changes are counted.
const UsagePeriod = time.Minute

// UsageResult is the answer to a Usage, as of one revision. Groups without keys and history have no row. Rows are in the
// order of their first keys.
type UsageResult struct {
	Revision int64
	// Period ends now, by the member's clock, and is UsagePeriod, or less if the history before it is compacted. It is 0
	// if the history covers no time, or if the members' clocks contradict each other: then no changes are counted.
	Period time.Duration
	Rows   []UsageRow

	at map[string]int // the rows by prefix
}

// Add adds the keys of a page of the Usage's Range to the rows of their groups.
func (u *UsageResult) Add(of *Usage, page *RangeResult) error {
	if u.at == nil {
		u.at = map[string]int{}
	}
	u.Revision, u.Period = page.Revision, time.Duration(page.Count)
	for i := range page.KVs {
		pair, one := &page.KVs[i], UsageRow{}
		r := pack.NewReader(pair.Value)
		for _, n := range one.numbers() {
			*n = r.Int()
		}
		if err := r.Done(); err != nil || !bytes.HasPrefix(pair.Key, of.Prefix) {
			return Errorf(Internal, "the usage of a key below %q cannot be read: %q has %x", of.Prefix, pair.Key, pair.Value)
		}
		group := of.group(pair.Key)
		at, known := u.at[string(group)]
		if !known {
			at = len(u.Rows)
			u.at[string(group)], u.Rows = at, append(u.Rows, UsageRow{Prefix: bytes.Clone(group)})
		}
		u.Rows[at].Add(&one)
	}
	return nil
}

// group returns the prefix of a key's group.
func (u *Usage) group(key []byte) []byte {
	end := len(u.Prefix)
	for range u.Depth {
		at := bytes.Index(key[end:], u.Separator)
		if at < 0 {
			break
		}
		end += at + len(u.Separator)
	}
	return key[:end]
}

// Range returns the range of the keys below the prefix, with the usage of each.
func (u *Usage) Range() Range {
	r := Range{Key: u.Prefix, End: PrefixEnd(u.Prefix), Serializable: u.Serializable, Usage: true}
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
	case u.Depth < 0:
		return Errorf(BadRequest, "the depth %d is negative", u.Depth)
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
