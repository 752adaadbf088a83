package node

import (
	"slices"
	"strings"

	"qkv/actor"
	"qkv/net/wire"
)

// alarms are what an operator must know of this member; none when all is well.
func (m *member) alarms() (alarms []wire.Alarm) {
	if f := m.failure.Load(); f != nil {
		return []wire.Alarm{m.alarm(actor.Alarm{Name: actor.Failed, Text: f.err.Error()})}
	}
	own, refusals := m.status.Alarms(), m.status.Refusals()
	members := m.status.View().Members()
	own = slices.DeleteFunc(own, func(a actor.Alarm) bool { return members.Removed(a.Member) }) // what was wrong with it is over
	own = append(own, m.replicatedAlarms(m.status.View(), own)...)
	for _, a := range own {
		alarms = append(alarms, m.alarm(a))
		if a.Name == actor.Amnesia && a.Member == 0 {
			// That is what they refuse it for, in words of their own.
			refusals = slices.DeleteFunc(refusals, func(r actor.Alarm) bool { return r.Name == actor.Amnesia })
		}
	}
	for _, a := range m.refusers(refusals) {
		alarms = append(alarms, m.alarm(a))
	}
	return alarms
}

// alarm is an alarm on the wire.
func (m *member) alarm(a actor.Alarm) wire.Alarm {
	about := a.Member
	if about == 0 {
		about = m.folder.Member
	}
	return wire.Alarm{Name: string(a.Name), Member: about, Text: a.Text}
}

// refusers says who refuses this member and why: one alarm for all who have the same reason. A member that replays who the
// members were calls those that were, where those answer that have their addresses now: they will never take the refusal back.
func (m *member) refusers(refusals []actor.Alarm) (alarms []actor.Alarm) {
	members := m.status.View().Members()
	refusals = slices.DeleteFunc(refusals, func(r actor.Alarm) bool { return members.Removed(r.Member) })
	by := map[string][]string{}
	for _, r := range refusals {
		by[r.Text] = append(by[r.Text], m.status.NameOf(r.Member))
	}
	for _, r := range refusals {
		names := by[r.Text]
		if len(names) == 0 {
			continue // said already
		}
		delete(by, r.Text)
		slices.Sort(names)
		verb := " refuses"
		if len(names) > 1 {
			verb = " refuse"
		}
		alarms = append(alarms, actor.Alarm{Name: r.Name, Text: strings.Join(names, " and ") + verb + " this member: " + r.Text})
	}
	return alarms
}
