package kv

import "fmt"

// AlarmKind is what an alarm of the replicated state says.
type AlarmKind uint8

// The kinds, with etcd's numbers. One never changes its meaning: it stands in logs.
const (
	// AlarmNoSpace: the quota is reached, or the disks of a quorum are full. Nothing is taken that makes the state larger.
	AlarmNoSpace AlarmKind = 1
	// AlarmCorrupt: the member's state is not what a majority has, or what it was. It stops by itself; this is for those who
	// ask the others.
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

// Alarm is an alarm of the replicated state: that all members know, and that has been raised by one of them or by a client.
type Alarm struct {
	Member uint64 // that it is about; of what is disarmed, 0 is every member
	Kind   AlarmKind
}

// AlarmChange raises an alarm, or disarms it.
type AlarmChange struct {
	Raise bool
	Alarm // of what is disarmed, kind 0 is every kind
}

// Check says what of a change can be refused without a look at the state, or nil.
func (c AlarmChange) Check() *Error {
	switch {
	case c.Kind == 0 && !c.Raise:
		return nil
	case !c.Kind.Known():
		return Errorf(BadRequest, "an alarm of kind %d is not known: there are NOSPACE and CORRUPT", uint8(c.Kind))
	case c.Raise && c.Member == 0:
		return Errorf(BadRequest, "an alarm that is raised is about a member")
	}
	return nil
}

// String says the change in words.
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
