package checks

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"qkv/internal/limits"
)

// Upgrade is the plan of a rolling upgrade.
type Upgrade struct {
	Stops []string `json:"stops"` // reasons not to restart a member now
	Next  string   `json:"next"`  // the name of the member to restart next; empty if something stops the upgrade
	How   string   `json:"how"`   // the command or step
	Back  string   `json:"back"`  // whether members can go back to their old program
}

// UpgradeOf returns the plan for the members of a cluster.
func UpgradeOf(members []Member) Upgrade {
	members = slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Unknown })
	u := Upgrade{Stops: stops(members), Back: wayBack(members)}
	if len(u.Stops) > 0 {
		u.How = "remove the reasons first; `qkv doctor` names them with their remedies"
		return u
	}
	next := nextOf(members)
	u.Next = next.Name
	u.How = fmt.Sprintf("install the new program on the host of %s, stop the member with SIGTERM, start it with the same data folder, and run `qkv upgrade check` again", next.Name)
	if next.State == "leader" && len(members) > 1 {
		u.How = "run `qkv move-leader` first; then " + u.How
	}
	return u
}

// stops returns the reasons not to restart a member.
func stops(members []Member) (all []string) {
	if v := Judge(members); !v.Serves() {
		return []string{v.String()}
	}
	c := clusterOf(members)
	if len(c.away)+len(c.awayOthers) > 0 {
		all = append(all, c.missing())
	}
	if c.margin() < 1 && c.voters > 1 {
		all = append(all, fmt.Sprintf("the restart of a voter stops writes: of %s, %d must take part", Plural(c.voters, "voter", "voters"), c.quorum()))
	}
	for _, a := range raised(members, severityAlarm) {
		all = append(all, fmt.Sprintf("the alarm %s of %s is raised", a.Name, a.Member))
	}
	f := Facts{Members: members}
	most := f.furthest()
	f.answers(func(m *Member) {
		if most-m.Applied >= limits.DoctorLag {
			all = append(all, fmt.Sprintf("%s lags by %d entries", m.Name, most-m.Applied))
		}
	})
	return all
}

// nextOf returns a member with the oldest version; the leader comes last among equals.
func nextOf(members []Member) *Member {
	next := slices.MinFunc(members, func(a, b Member) int {
		return cmp.Or(compareVersions(a.Version, b.Version), cmp.Compare(count(a.State == "leader"), count(b.State == "leader")))
	})
	return &next
}

// compareVersions compares versions like 0.9.0 and 0.10.0 by their numbers.
func compareVersions(a, b string) int {
	numbers := func(version string) (all []int) {
		version, _, _ = strings.Cut(version, "-")
		for _, part := range strings.Split(version, ".") {
			n, _ := strconv.Atoi(part) // 0 for text
			all = append(all, n)
		}
		return all
	}
	return slices.Compare(numbers(a), numbers(b))
}

// wayBack says whether members can go back to an older program: only before the level rises.
func wayBack(members []Member) string {
	var level, most uint64
	var holds []string
	for i := range members {
		level, most = max(level, members[i].Level), max(most, members[i].LevelMost)
	}
	for i := range members {
		if m := &members[i]; m.LevelMost < most {
			holds = append(holds, m.Name)
		}
	}
	switch {
	case level == 0:
		return "the members report no feature level: docs/upgrading.md"
	case level < most && len(holds) > 0:
		return fmt.Sprintf("open: the cluster's feature level is %d, and %s must be upgraded before it rises to %d; until then each member can go back", level, list(holds), most)
	case level < most:
		return fmt.Sprintf("closing: the cluster's feature level is %d, and it rises to %d within seconds", level, most)
	}
	return fmt.Sprintf("each member can go back to a version that supports the feature level %d; it rises only when all members support a higher one", level)
}
