package node

import (
	"slices"
	"strings"

	"qkv/actor"
	"qkv/index/kv"
	"qkv/net/wire"
)

// alarms returns the alarms of this member for an operator; none when all is well.
func (m *member) alarms() (alarms []wire.Alarm) {
	if f := m.failure.Load(); f != nil {
		return []wire.Alarm{m.alarm(actor.Alarm{Name: kv.FailedAlarm, Text: f.err.Error()})}
	}
	own, refusals := m.status.Alarms(), m.status.Refusals()
	members := m.status.View().Members()
	own = slices.DeleteFunc(own, func(a actor.Alarm) bool { return members.Removed(a.Member) }) // their problems are over
	own = append(own, m.replicatedAlarms(m.status.View(), own)...)
	for _, a := range own {
		alarms = append(alarms, m.alarm(a))
		if a.Name == kv.AmnesiaAlarm && a.Member == 0 {
			// Their refusals repeat that alarm in other words.
			refusals = slices.DeleteFunc(refusals, func(r actor.Alarm) bool { return r.Name == kv.AmnesiaAlarm })
		}
	}
	for _, a := range m.refusers(refusals) {
		alarms = append(alarms, m.alarm(a))
	}
	return alarms
}

// alarm returns an alarm in its wire format.
func (m *member) alarm(a actor.Alarm) wire.Alarm {
	about := a.Member
	if about == 0 {
		about = m.folder.Member
	}
	return wire.Alarm{Name: string(a.Name), Member: about, Text: a.Text}
}

// refusers returns which peers refuse this member and why: one alarm for all peers with the same reason. A member that replays its log
// calls former members, at addresses where other members answer now: these never take the refusal back.
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
			continue // already reported
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
