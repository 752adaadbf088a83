package kv

import "fmt"

// Alarm is a fact about a member that an operator must know. All members know the alarms of the replicated state, which a member or a
// client raised: they have a name and a member alone. A member reports these and its own in its status.
type Alarm struct {
	Name   AlarmName `msgpack:"name"`
	Member uint64    `msgpack:"member"` // the member concerned; 0: the one that reports the alarm
	// distinguishes alarms of one name and member: a file, an activity; empty where only one is possible
	Subject string `msgpack:"-"`
	Text    string `msgpack:"text"` // one line: what is wrong, why, and what to do
}

// AlarmChange is a command that raises an alarm of the replicated state, or disarms some.
type AlarmChange struct {
	Raise  bool      `msgpack:"r"`
	Member uint64    `msgpack:"m"` // when disarming, 0 means every member
	Name   AlarmName `msgpack:"n"` // when disarming, the empty name means every alarm
}

// Check returns why the change is refused regardless of the state, or nil.
func (c AlarmChange) Check() *Error {
	switch {
	case c.Name == "" && !c.Raise:
		return nil
	case !c.Name.Replicated():
		return Errorf(BadRequest, "the alarm %.32q is not known: there are NOSPACE and CORRUPT", c.Name)
	case c.Raise && c.Member == 0:
		return Errorf(BadRequest, "a raised alarm must name a member")
	}
	return nil
}

// String describes the change.
func (c AlarmChange) String() string {
	if c.Raise {
		return fmt.Sprintf("raise %s of %016x", c.Name, c.Member)
	}
	name, member := string(c.Name), fmt.Sprintf("of %016x", c.Member)
	if c.Name == "" {
		name = "every alarm"
	}
	if c.Member == 0 {
		member = "of every member"
	}
	return "disarm " + name + " " + member
}
