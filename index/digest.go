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

// Digest returns a number that is equal on all members at equal applied index: every key, its history, and all other
// replicated state have part in it. It takes a microsecond, however large the state is.
func (v *View) Digest() uint64 { return v.digest() }

func (r *replicated) digest() uint64 {
	b := pack.AppendUint(nil, r.applied)
	b = pack.AppendUint(b, r.term)
	b = pack.AppendInt(b, r.revision)
	b = pack.AppendInt(b, r.compacted)
	b = pack.AppendInt(b, r.wall)
	b = pack.AppendUint(b, r.level)
	b = pack.AppendInt(b, r.live)
	b = pack.AppendInt(b, r.liveBytes)
	b = pack.AppendUint(b, r.sum)
	b = pack.AppendInt(b, r.weight)
	b = pack.AppendUint(b, r.leaseSum)
	b = r.appendClocks(b)
	b = pack.AppendInt(b, r.floor)
	b = pack.AppendInt(b, r.sessions)
	b = pack.AppendInt(b, r.places)
	b = pack.AppendUint(b, r.sessionSum)
	b = pack.AppendInt(pack.AppendUint(b, r.times.sum), r.times.behind)
	b = r.check.append(b)
	b = r.alarms.append(b)
	if r.inherited != 0 {
		b = pack.AppendInt(b, r.inherited)
	}
	b = r.following.digest(b)
	return xxhash.Sum64(r.members.append(b))
}

// check is a comparison of the members' states behind one entry: it begins with a check command in that entry, and each
// member says its digest by a command of its own.
type check struct {
	entry   uint64         // raft's index of it; 0: there was none
	digests []memberDigest // by rising member, each once; never changed in place
}

type memberDigest struct{ member, digest uint64 }

// ownDigest is what this process has computed behind an entry.
type ownDigest struct{ entry, digest uint64 }

// append appends the check as it stands in a snapshot's meta data.
func (c *check) append(dst []byte) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, 1+2*len(c.digests)), c.entry)
	for _, d := range c.digests {
		dst = pack.AppendUint(pack.AppendUint(dst, d.member), d.digest)
	}
	return dst
}

func readCheck(r *pack.Reader) (c check) {
	n := r.Array()
	c.entry = r.Uint()
	if n%2 != 1 {
		r.Fail("a digest without its member, or the other way round")
		return c
	}
	for range n / 2 {
		c.digests = append(c.digests, memberDigest{r.Uint(), r.Uint()})
	}
	if !slices.IsSortedFunc(c.digests, compareMembers) {
		r.Fail("members' digests out of order")
	}
	return c
}

func compareMembers(a, b memberDigest) int { return cmp.Compare(a.member, b.member) }

// majority returns the digest that more than half of so many members have, if they have said it. What one said that was removed
// since does not count.
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

// noteDigest takes down what a member says of the newest check. What it says of an older one, or again, is nothing new.
func (s *State) noteDigest(c *command) kv.Result {
	r := pack.NewReader(c.value)
	member, entry, digest := readDigest(&r)
	one := memberDigest{member, digest}
	i, known := slices.BinarySearchFunc(s.check.digests, one, compareMembers)
	if entry == s.check.entry && !known {
		s.check.digests = slices.Insert(slices.Clone(s.check.digests), i, one)
		s.convict()
	}
	return kv.Result{Revision: s.revision}
}

// PendingDigest returns this member's digest behind the entry of the newest check, when the state does not have it yet. A
// process that did not apply that entry itself has none.
func (v *View) PendingDigest(self uint64) (entry, digest uint64, ok bool) {
	if v.own.entry == 0 || v.own.entry != v.check.entry {
		return 0, 0, false
	}
	_, reported := slices.BinarySearchFunc(v.check.digests, memberDigest{member: self}, compareMembers)
	return v.own.entry, v.own.digest, !reported
}

// Verdict is what the newest check says of the members' states.
type Verdict struct {
	// Stop says that this member must not serve any more: its state is not what a majority has, or there can be no
	// majority for any.
	Stop bool
	// Text says who differs; empty while nobody does.
	Text string
}

// Compare judges the newest check of a cluster with so many members. Those that have applied as much judge alike, each by
// the digest that it has computed itself.
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
	where := fmt.Sprintf("behind entry %d", v.check.entry)
	switch {
	case len(by) < 2:
		return Verdict{}
	case known:
		delete(by, majority)
		return Verdict{
			Stop: has && v.own.digest != majority,
			Text: fmt.Sprintf("%s the state of %s is not what the others have: it took damage, or is made by another qkv: "+
				"after qkv member unban and a restart it is rebuilt from its disk, and compared again; if it comes again, its host is broken: "+
				"`qkv member replace %s --peer HOST:PORT`", where, names(by), cmp.Or(oneOf(by), "NAME")),
		}
	case most+members-len(v.check.digests) > members/2:
		return Verdict{Text: fmt.Sprintf("%s the states of %s differ; who is right is known when another member says its own", where, names(by))}
	default:
		return Verdict{Stop: has, Text: fmt.Sprintf("%s the states of %s differ, and no majority has the same one: "+
			"nobody knows who is right; compare their snapshots", where, names(by))}
	}
}

// oneOf returns the member of all digests if there is only one.
func oneOf(by map[uint64][]string) string {
	if all := names(by); !strings.Contains(all, " and ") {
		return all
	}
	return ""
}

// names lists the members of all digests.
func names(by map[uint64][]string) string {
	var all []string
	for _, some := range by {
		all = append(all, some...)
	}
	slices.Sort(all)
	return strings.Join(all, " and ")
}
