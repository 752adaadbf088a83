package kv

import "fmt"

// AlarmKind is the kind of an alarm of the replicated state.
type AlarmKind uint8

// The kinds, with etcd's numbers. A number never changes its meaning because logs contain it.
const (
	// AlarmNoSpace: the quota is reached, or the disks of a quorum of members are full. Requests that would make the
	// state larger are refused.
	AlarmNoSpace AlarmKind = 1
	// AlarmCorrupt: the member's state differs from the majority's, or from its own earlier state. The member stops by
	// itself; the alarm informs clients of the other members.
	AlarmCorrupt AlarmKind = 2
	alarmKinds   AlarmKind = 3
)

var alarmNames = [alarmKinds]string{AlarmNoSpace: "NOSPACE", AlarmCorrupt: "CORRUPT"}

// Known tells whether this qkv knows the kind.
func (k AlarmKind) Known() bool { return k > 0 && k < alarmKinds }

// String returns the kind's name.
func (k AlarmKind) String() string {
	if k.Known() {
		return alarmNames[k]
	}
	return fmt.Sprintf("alarm %d", uint8(k))
}

// Alarm is a raised alarm of the replicated state. All members know it; a member or a client raised it.
type Alarm struct {
	Member uint64    `msgpack:"m"` // the member that the alarm is about; when disarming, 0 means every member
	Kind   AlarmKind `msgpack:"k"`
}

// AlarmChange is a command that raises or disarms an alarm.
type AlarmChange struct {
	Raise bool                   `msgpack:"r"`
	Alarm `msgpack:"a,noinline"` // when disarming, kind 0 means every kind
}

// Check returns why the change is refused regardless of the state, or nil.
func (c AlarmChange) Check() *Error {
	switch {
	case c.Kind == 0 && !c.Raise:
		return nil
	case !c.Kind.Known():
		return Errorf(BadRequest, "an alarm of kind %d is not known: there are NOSPACE and CORRUPT", uint8(c.Kind))
	case c.Raise && c.Member == 0:
		return Errorf(BadRequest, "a raised alarm must name a member")
	}
	return nil
}

// String describes the change.
func (c AlarmChange) String() string {
	if c.Raise {
		return fmt.Sprintf("raise %v of %016x", c.Kind, c.Member)
	}
	kind, member := c.Kind.String(), fmt.Sprintf("of %016x", c.Member)
	if c.Kind == 0 {
		kind = "every alarm"
	}
	if c.Member == 0 {
		member = "of every member"
	}
	return "disarm " + kind + " " + member
}
