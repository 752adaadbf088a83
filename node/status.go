package node

import (
	"cmp"
	"slices"
	"strings"

	"qkv/index/kv"
)

// alarms returns the alarms of this member for an operator; none when all is well.
func (m *member) alarms() (alarms []kv.Alarm) {
	if f := m.failure.Load(); f != nil {
		return []kv.Alarm{m.alarm(kv.Alarm{Name: kv.FailedAlarm, Text: f.err.Error()})}
	}
	own, refusals := m.status.Alarms(), m.status.Refusals()
	members := m.status.View().Members()
	own = slices.DeleteFunc(own, func(a kv.Alarm) bool { return members.Removed(a.Member) }) // their problems are over
	own = append(own, m.replicatedAlarms(m.status.View(), own)...)
	for _, a := range own {
		alarms = append(alarms, m.alarm(a))
		if a.Name == kv.AmnesiaAlarm && a.Member == 0 {
			// Their refusals repeat that alarm in other words.
			refusals = slices.DeleteFunc(refusals, func(r kv.Alarm) bool { return r.Name == kv.AmnesiaAlarm })
		}
	}
	for _, a := range m.refusers(refusals) {
		alarms = append(alarms, m.alarm(a))
	}
	return alarms
}

// alarm returns an alarm as a status has it.
func (m *member) alarm(a kv.Alarm) kv.Alarm {
	a.Member, a.Subject = cmp.Or(a.Member, m.folder.Member), ""
	return a
}

// refusers returns which peers refuse this member and why: one alarm for all peers with the same reason. A member that replays its log
// calls former members, at addresses where other members answer now: these never take the refusal back.
func (m *member) refusers(refusals []kv.Alarm) (alarms []kv.Alarm) {
	members := m.status.View().Members()
	refusals = slices.DeleteFunc(refusals, func(r kv.Alarm) bool { return members.Removed(r.Member) })
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
		alarms = append(alarms, kv.Alarm{Name: r.Name, Text: strings.Join(names, " and ") + verb + " this member: " + r.Text})
	}
	return alarms
}
