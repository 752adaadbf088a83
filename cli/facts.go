package cli

import (
	"slices"
	"time"

	"qkv/internal/checks"
	"qkv/net/wire"
)

// clockOffset is the difference between a member's clock and this host's. The zero value is not known.
type clockOffset struct {
	ahead  time.Duration // negative: the member's clock is behind
	within time.Duration // the error of ahead: half of the time between the question and the answer
}

// offsetOf returns the offset of a clock that a member read, in microseconds since 1970, between two readings of this host's clock; 0 is
// not known.
func offsetOf(wall int64, sent, received time.Time) clockOffset {
	if wall == 0 {
		return clockOffset{}
	}
	within := max(received.Sub(sent)/2, time.Microsecond)
	return clockOffset{time.UnixMicro(wall).Sub(sent.Add(within)), within}
}

// known adds the facts of the members' list.
func (m *memberStatus) known(record wire.Member, named namesByID) {
	if m.role, m.clients = record.Role, record.Clients; record.Replaces != 0 {
		m.Replaces = named.of(record.Replaces)
	}
}

// nameRoles sets the members' votes. Without an answer there are no roles, and then none is printed: some member must be a voter.
func nameRoles(members []memberStatus) {
	if !slices.ContainsFunc(members, func(m memberStatus) bool { return m.role.Votes() }) {
		return
	}
	for i := range members {
		if m := &members[i]; m.role.Known() && !m.stranger {
			m.Vote = m.role.String()
		}
	}
}

// factsOf returns the facts for package checks.
func factsOf(members []memberStatus) []checks.Member {
	all := make([]checks.Member, 0, len(members))
	for i := range members {
		m := &members[i]
		f := checks.Member{
			Name: m.Name, Role: m.role, Unknown: m.stranger, Answers: m.Role != roleUnknown, Error: oneLine(m.Error), Why: m.why, Runs: m.runs, Ready: m.ready,
			State: m.Role, Leader: m.Leader, Digest: m.Digest, Version: m.Version, Starting: m.Stage != "", Values: m.Values, Interface: m.Interface, Backup: m.Backup,
			Clock: m.clock.ahead, ClockWithin: m.clock.within,
		}
		if m.stranger && m.foreign {
			f.Cluster = m.Cluster
		}
		for _, l := range m.Links {
			f.Links = append(f.Links, checks.Link{Member: l.Member, Connected: l.Connected, Error: oneLine(l.Error), Untrusted: l.untrusted})
		}
		for _, a := range m.Alarms {
			f.Alarms = append(f.Alarms, checks.Alarm{Name: a.Name, Member: a.Member, Text: oneLine(a.Text)})
		}
		all = append(all, f)
	}
	return all
}
