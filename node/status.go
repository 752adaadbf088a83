package node

import (
	"maps"
	"slices"
	"strings"
)

// problems is what an operator must know of this member, in one line; empty when all is well.
func (m *member) problems() string {
	if f := m.failure.Load(); f != nil {
		return f.err.Error()
	}
	alarms, refusals := m.status.Problems()
	if slices.ContainsFunc(alarms, ownAmnesia) {
		// That is what they refuse it for, in words of their own.
		maps.DeleteFunc(refusals, func(_ uint64, reason string) bool { return ownAmnesia(reason) })
	}
	return strings.Join(append(sentences(alarms), m.refusers(refusals)...), "; ")
}

func ownAmnesia(text string) bool { return strings.HasPrefix(text, "AMNESIA") }

// sentences says each thing once.
func sentences(said []string) []string {
	slices.Sort(said)
	return slices.Compact(said)
}

// refusers says who refuses this member and why: one sentence for all who have the same reason.
func (m *member) refusers(refusals map[uint64]string) []string {
	names := map[string][]string{}
	for peer, reason := range refusals {
		names[reason] = append(names[reason], m.ids.nameOf(peer))
	}
	var said []string
	for reason, by := range names {
		slices.Sort(by)
		verb := " refuses"
		if len(by) > 1 {
			verb = " refuse"
		}
		said = append(said, strings.Join(by, " and ")+verb+" this member: "+reason)
	}
	return sentences(said)
}
