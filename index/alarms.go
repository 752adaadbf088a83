package index

import (
	"cmp"
	"slices"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// alarms are those that are raised, in their order. The slice is never changed in place: Views have it too.
type alarms []kv.Alarm

func compareAlarms(a, b kv.Alarm) int {
	return cmp.Or(cmp.Compare(a.Member, b.Member), cmp.Compare(a.Kind, b.Kind))
}

// has says whether an alarm of a kind is raised, whoever it is about.
func (a alarms) has(kind kv.AlarmKind) bool {
	return slices.ContainsFunc(a, func(one kv.Alarm) bool { return one.Kind == kind })
}

// append appends the alarms as they stand in a snapshot's meta data.
func (a alarms) append(dst []byte) []byte {
	dst = pack.AppendArray(dst, 2*len(a))
	for _, one := range a {
		dst = pack.AppendUint(pack.AppendUint(dst, one.Member), uint64(one.Kind))
	}
	return dst
}

func readAlarms(r *pack.Reader) (a alarms) {
	n := r.Array()
	if n%2 != 0 {
		r.Fail("an alarm without its kind")
		return nil
	}
	for range n / 2 {
		one := kv.Alarm{Member: r.Uint(), Kind: kv.AlarmKind(min(r.Uint(), 255))}
		if r.Err() != nil {
			return nil
		}
		if !one.Kind.Known() || len(a) > 0 && compareAlarms(a[len(a)-1], one) >= 0 {
			r.Fail("an alarm that is not known, or alarms out of order")
			return nil
		}
		a = append(a, one)
	}
	return a
}

// convict raises CORRUPT of the members whose states differ from what a majority has, by the newest check, and disarms it of
// those that have the same again: one that was rebuilt, and compared.
func (s *State) convict() {
	right, ok := s.check.majority(len(s.members.All()), func(id uint64) bool { return s.members.Get(id) == nil })
	if !ok {
		return
	}
	for _, d := range s.check.digests {
		corrupt := kv.Alarm{Member: d.member, Kind: kv.AlarmCorrupt}
		switch {
		case d.digest == right:
			s.disarm(func(one kv.Alarm) bool { return one == corrupt })
		case s.members.Get(d.member) != nil:
			s.raise(corrupt)
		}
	}
}

// changeAlarm raises an alarm of a member, or disarms those that a change names. What is so already stays so.
func (s *State) changeAlarm(c kv.AlarmChange) kv.Result {
	if c.Raise {
		if s.members.Get(c.Member) == nil {
			return s.refused(kv.Errorf(kv.MemberNotFound, "there is no member %016x that the alarm could be about", c.Member))
		}
		s.raise(c.Alarm)
		return kv.Result{Revision: s.revision}
	}
	s.disarm(func(one kv.Alarm) bool {
		return (c.Member == 0 || one.Member == c.Member) && (c.Kind == 0 || one.Kind == c.Kind)
	})
	return kv.Result{Revision: s.revision}
}

func (s *State) raise(a kv.Alarm) {
	if at, raised := slices.BinarySearchFunc(s.alarms, a, compareAlarms); !raised {
		s.alarms = slices.Insert(slices.Clip(s.alarms), at, a)
	}
}

func (s *State) disarm(which func(kv.Alarm) bool) {
	if slices.ContainsFunc(s.alarms, which) {
		s.alarms = slices.DeleteFunc(slices.Clone(s.alarms), which)
	}
}

// Alarms returns the alarms that are raised, by member. Nobody may change the slice.
func (v *View) Alarms() []kv.Alarm { return v.alarms }

// NoSpace tells whether the alarm NOSPACE is raised.
func (v *View) NoSpace() bool { return v.alarms.has(kv.AlarmNoSpace) }

// Refuses says why the state, as it is, refuses a command for want of room, or because it follows a source, or nil: what the proposer asks, so that nothing
// goes into the log for a refusal. A write of a session may have been made already, and then has its first outcome: that is
// known where it is applied.
func (v *View) Refuses(b []byte) *kv.Error {
	if !v.NoSpace() && v.following == nil {
		return nil
	}
	r := pack.NewReader(b)
	var c command
	if c.read(&r) != nil || c.once.Session != 0 {
		return nil
	}
	if err := v.following.refuses(c.kind); err != nil {
		return err
	}
	if !v.NoSpace() || !c.grows() {
		return nil
	}
	return errNoSpace
}

var errNoSpace = kv.Errorf(kv.NoSpace, "database space exceeded, the alarm NOSPACE is raised: deletions, compactions, revocations and reads are taken, and nothing "+
	"that makes the state larger; the write certainly did not happen: delete keys and compact, or give the cluster more room; `qkv status` says what of")

// UsedBytes is what a quota counts: what keys, their history that can be read, and leases weigh, the same on all members. What
// the compacted revision itself has overwritten or deleted cannot be read and counts for nothing, although it goes with a later
// one only: else a deletion could not end NOSPACE, where nothing is taken that makes revisions, or the next put would raise it
// again.
func (v *View) UsedBytes() int64 {
	if v.compacted == v.revision {
		return v.LiveUsedBytes()
	}
	return v.LiveUsedBytes() + v.weight - v.times.weightAt(v.compacted+1)
}

// LiveUsedBytes is what of that is no history.
func (v *View) LiveUsedBytes() int64 {
	return v.liveBytes + versionOverhead*(v.live+int64(v.LeaseCount()))
}
