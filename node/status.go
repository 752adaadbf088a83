package node

import (
	"sort"
	"strings"
)

// problems is what an operator must know of this member, in one line; empty when all is well.
func (m *member) problems() string {
	if f := m.failure.Load(); f != nil {
		return f.err.Error()
	}
	alarms, refusals := m.status.Problems()
	for peer, reason := range refusals {
		alarms = append(alarms, m.ids.nameOf(peer)+" refuses this member: "+reason)
	}
	sort.Strings(alarms)
	return strings.Join(alarms, "; ")
}
