package index

import (
	"cmp"
	"slices"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// alarms are the raised alarms, sorted. The slice is never changed in place because Views share it.
type alarms []kv.Alarm

func compareAlarms(a, b kv.Alarm) int {
	return cmp.Or(cmp.Compare(a.Member, b.Member), cmp.Compare(a.Name, b.Name))
}

// has says whether an alarm of a name is raised for any member.
func (a alarms) has(name kv.AlarmName) bool {
	return slices.ContainsFunc(a, func(one kv.Alarm) bool { return one.Name == name })
}

// append appends the alarms in the format of a snapshot's meta data.
func (a alarms) append(dst []byte) []byte {
	dst = pack.AppendArray(dst, len(a))
	for _, one := range a {
		dst = pack.AppendString(pack.AppendUint(pack.AppendArray(dst, 2), one.Member), string(one.Name))
	}
	return dst
}

func readAlarms(r *pack.Reader) (a alarms) {
	for range r.Array() {
		s := r.Struct(2)
		one := kv.Alarm{Member: r.Uint(), Name: kv.AlarmName(r.String())}
		r.End(s)
		if r.Err() != nil {
			return nil
		}
		if !one.Name.Replicated() || len(a) > 0 && compareAlarms(a[len(a)-1], one) >= 0 {
			r.Fail("an alarm that is not known, or alarms out of order")
			return nil
		}
		a = append(a, one)
	}
	return a
}

// convict raises CORRUPT for the members whose states differ from the majority's in the newest check. It disarms the
// alarm for members whose states are equal again: a member that was rebuilt and compared.
func (s *State) convict() {
	right, ok := s.check.majority(len(s.members.All()), func(id uint64) bool { return s.members.Get(id) == nil })
	if !ok {
		return
	}
	for _, d := range s.check.digests {
		corrupt := kv.Alarm{Member: d.member, Name: kv.CorruptAlarm}
		switch {
		case d.digest == right:
			s.alarms.disarm(func(one kv.Alarm) bool { return one == corrupt })
		case s.members.Get(d.member) != nil:
			s.alarms.raise(corrupt)
		}
	}
}

// changeAlarm raises an alarm of a member, or disarms the alarms that the change names. It is idempotent.
func (s *State) changeAlarm(c kv.AlarmChange) kv.Result {
	if c.Raise {
		if s.members.Get(c.Member) == nil {
			return s.refused(kv.Errorf(kv.MemberNotFound, "the alarm names member %016x, which does not exist", c.Member))
		}
		s.alarms.raise(kv.Alarm{Name: c.Name, Member: c.Member})
		return kv.Result{Revision: s.revision}
	}
	s.alarms.disarm(func(one kv.Alarm) bool {
		return (c.Member == 0 || one.Member == c.Member) && (c.Name == "" || one.Name == c.Name)
	})
	return kv.Result{Revision: s.revision}
}

func (a *alarms) raise(one kv.Alarm) {
	if at, raised := slices.BinarySearchFunc(*a, one, compareAlarms); !raised {
		*a = slices.Insert(slices.Clip(*a), at, one)
	}
}

func (a *alarms) disarm(which func(kv.Alarm) bool) {
	if slices.ContainsFunc(*a, which) {
		*a = slices.DeleteFunc(slices.Clone(*a), which)
	}
}

// Alarms returns the raised alarms, sorted by member. The caller must not change the slice.
func (r *replicated) Alarms() []kv.Alarm { return r.alarms }

// NoSpace tells whether the alarm NOSPACE is raised.
func (r *replicated) NoSpace() bool { return r.alarms.has(kv.NoSpaceAlarm) }

// Refuses returns why the current state refuses a command for lack of space, or nil. The proposer calls it so that
// refusals do not fill the log. A named write is not refused here: it may have been applied
// before and must then get its recorded outcome, which is known only where it is applied.
func (v *View) Refuses(write *kv.Command) *kv.Error {
	if !v.NoSpace() || !write.Grows || write.Named {
		return nil
	}
	r := pack.NewReader(write.Bytes)
	var c command
	if c.read(&r) == nil && v.refusesAuthor(&c) != nil { // first: the alarm is not for a client without permission
		return v.refusesAuthor(&c)
	}
	return errNoSpace
}

var errNoSpace = kv.Errorf(kv.NoSpace, "database space exceeded, the alarm NOSPACE is raised: only deletions, compactions, revocations and reads are accepted; "+
	"the write certainly did not happen: delete keys and compact, or give the cluster more space; `qkv status` says which space is exhausted")

// UsedBytes is the size in bytes that a quota limits: the weight of the keys, of their readable history, and of the
// leases. It is equal on all members. Versions that the compacted revision itself overwrote or deleted cannot be read and
// do not count, although only a later compaction drops them. Otherwise delete and compact could not end NOSPACE: only a
// compaction at a later revision drops these versions, and while NOSPACE is raised no put makes one. Or the next put
// would raise the alarm again.
func (v *View) UsedBytes() int64 {
	if v.compacted == v.revision {
		return v.LiveUsedBytes()
	}
	return v.LiveUsedBytes() + v.totals.weight - v.times.weightAt(v.compacted+1)
}

// LiveUsedBytes is UsedBytes without the history.
func (v *View) LiveUsedBytes() int64 {
	return v.totals.liveBytes + versionOverhead*(v.totals.live+int64(v.LeaseCount()))
}
