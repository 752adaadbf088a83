package index

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// Digest returns a number that is equal on all members at equal applied index. It covers every key, its history, and all
// other replicated state. It takes a microsecond, however large the state is.
func (r *replicated) Digest() uint64 {
	b := pack.AppendUint(nil, r.applied)
	b = pack.AppendUint(b, r.term)
	b = pack.AppendInt(b, r.revision)
	b = pack.AppendInt(b, r.compacted)
	b = pack.AppendInt(b, r.wall)
	b = pack.AppendUint(b, r.level)
	b = pack.AppendInt(b, r.totals.live)
	b = pack.AppendInt(b, r.totals.liveBytes)
	b = pack.AppendUint(b, r.totals.sum)
	b = pack.AppendInt(b, r.totals.weight)
	b = pack.AppendUint(b, r.totals.leaseSum)
	b = r.numbers.appendClocks(b)
	b = pack.AppendInt(b, r.numbers.floor)
	b = pack.AppendInt(b, r.numbers.sessions)
	b = pack.AppendInt(b, r.numbers.outcomes)
	b = pack.AppendUint(b, r.numbers.sessionSum)
	b = pack.AppendInt(pack.AppendUint(b, r.times.sum), r.times.behind)
	b = r.check.append(b)
	b = r.alarms.append(b)
	b = r.auth.digest(b)
	if r.authors.sum != 0 {
		b = pack.AppendUint(append(b, "authors"...), r.authors.sum)
	}
	if len(r.backupKey) > 0 {
		b = r.backupKey.append(append(b, "backup"...))
	}
	b = r.gaps.append(b)
	x := &r.extents
	b = pack.AppendUint(pack.AppendInt(pack.AppendInt(b, x.base), x.historyFrom), x.next)
	b = x.open.append(pack.AppendUint(b, x.sum))
	return xxhash.Sum64(r.members.append(b))
}

// check is a comparison of the members' states after one entry. A check command in that entry begins it, and each member
// reports its digest by a command of its own.
type check struct {
	entry   uint64         // index of the check's entry; 0: no check yet
	digests []memberDigest // ascending by member, each once; never changed in place
}

const checkFields = 2

type memberDigest struct{ member, digest uint64 }

// digestReport is a member's digest after the entry of a check.
type digestReport struct{ member, entry, digest uint64 }

// ownDigest is the digest that this process computed after an entry.
type ownDigest struct{ entry, digest uint64 }

// append appends the check in the format of a snapshot's meta data.
func (c *check) append(dst []byte) []byte {
	dst = pack.AppendArray(pack.AppendUint(pack.AppendArray(dst, checkFields), c.entry), len(c.digests))
	for _, d := range c.digests {
		dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 2), d.member), d.digest)
	}
	return dst
}

func readCheck(r *pack.Reader) (c check) {
	whole := r.Struct(checkFields)
	c.entry = r.Uint()
	for range r.Array() {
		s := r.Struct(2)
		c.digests = append(c.digests, memberDigest{r.Uint(), r.Uint()})
		r.End(s)
	}
	r.End(whole)
	if !slices.IsSortedFunc(c.digests, compareMembers) {
		r.Fail("members' digests out of order")
	}
	return c
}

func compareMembers(a, b memberDigest) int { return cmp.Compare(a.member, b.member) }

// majority returns the digest that more than half of the given number of members have reported, if any. Reports of
// members that were removed since do not count.
func (c *check) majority(members int, removed func(member uint64) bool) (digest uint64, ok bool) {
	count := map[uint64]int{}
	for _, d := range c.digests {
		if removed(d.member) {
			continue
		}
		if count[d.digest]++; count[d.digest] > members/2 {
			return d.digest, true
		}
	}
	return 0, false
}

// noteDigest records a member's digest for the newest check. A digest for an older check, or a duplicate, is ignored.
func (s *State) noteDigest(report *digestReport) kv.Result {
	one := memberDigest{report.member, report.digest}
	i, known := slices.BinarySearchFunc(s.check.digests, one, compareMembers)
	if report.entry == s.check.entry && !known {
		s.check.digests = slices.Insert(slices.Clone(s.check.digests), i, one)
		s.convict()
	}
	return kv.Result{Revision: s.revision}
}

// PendingDigest returns this member's digest after the entry of the newest check, if it is not yet in the state. A
// process that did not apply that entry itself has none.
func (v *View) PendingDigest(self uint64) (entry, digest uint64, ok bool) {
	if v.own.entry == 0 || v.own.entry != v.check.entry {
		return 0, 0, false
	}
	_, reported := slices.BinarySearchFunc(v.check.digests, memberDigest{member: self}, compareMembers)
	return v.own.entry, v.own.digest, !reported
}

// Verdict is the result of the newest check.
type Verdict struct {
	// Stop says that this member must stop serving: its state differs from the majority's, or no state can have a
	// majority.
	Stop bool
	// Text names the members that differ; empty if the states agree.
	Text string
}

// Compare judges the newest check in a cluster of the given number of members. Members at equal applied index judge
// alike, each by the digest that it computed itself.
func (v *View) Compare(self uint64, members int, nameOf func(member uint64) string) Verdict {
	by := map[uint64][]string{}
	most := 0
	for _, d := range v.check.digests {
		by[d.digest] = append(by[d.digest], nameOf(d.member))
		most = max(most, len(by[d.digest]))
	}
	majority, known := v.check.majority(members, v.members.Removed)
	has := v.own.entry != 0 && v.own.entry == v.check.entry
	if _, _, pending := v.PendingDigest(self); pending {
		by[v.own.digest] = append(by[v.own.digest], nameOf(self))
	}
	where := fmt.Sprintf("after entry %d", v.check.entry)
	switch {
	case len(by) < 2:
		return Verdict{}
	case known:
		delete(by, majority)
		return Verdict{
			Stop: has && v.own.digest != majority,
			Text: fmt.Sprintf("%s the state of %s differs from the majority's: it is damaged, or another qkv computed it. "+
				"Run qkv member readmit and restart the member: it rebuilds the state from its disk and compares it again. If it differs again, the host is broken: "+
				"`qkv member replace %s --peer HOST:PORT`", where, names(by), cmp.Or(oneOf(by), "NAME")),
		}
	case most+members-len(v.check.digests) > members/2:
		return Verdict{Text: fmt.Sprintf("%s the states of %s differ; the digest of another member will show which one is right", where, names(by))}
	default:
		return Verdict{Stop: has, Text: fmt.Sprintf("%s the states of %s differ, and no majority agrees: "+
			"it is unknown which state is right; compare their snapshots", where, names(by))}
	}
}

// oneOf returns the only member in by, or "" if there are several.
func oneOf(by map[uint64][]string) string {
	if all := names(by); !strings.Contains(all, " and ") {
		return all
	}
	return ""
}

// names lists the members in by.
func names(by map[uint64][]string) string {
	var all []string
	for _, some := range by {
		all = append(all, some...)
	}
	slices.Sort(all)
	return strings.Join(all, " and ")
}
