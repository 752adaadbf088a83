package cluster

import (
	"slices"

	"qkv/internal/checks"
)

// nameRoles sets the members' votes. Without an answer there are no roles, and then none is printed: some member must be a voter.
func nameRoles(members []MemberStatus) {
	if !slices.ContainsFunc(members, func(m MemberStatus) bool { return m.Role.Votes() }) {
		return
	}
	for i := range members {
		if m := &members[i]; m.Role.Known() && !m.Unknown {
			m.Vote = m.Role.String()
		}
	}
}

// FactsOf returns the facts for package checks.
func FactsOf(members []MemberStatus) []checks.Member {
	all := make([]checks.Member, 0, len(members))
	for i := range members {
		all = append(all, members[i].Member)
	}
	return all
}
