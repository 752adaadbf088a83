package checks

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"qkv/internal/figures"
)

// Upgrade is the plan of a rolling upgrade.
type Upgrade struct {
	Stops []string `json:"stops"` // reasons not to restart a member now
	Next  string   `json:"next"`  // the name of the member to restart next; empty if something stops the upgrade, or none is left
	Done  string   `json:"done"`  // not empty: all members run the newest program
	How   string   `json:"how"`   // the command or step
	Back  string   `json:"back"`  // whether members can go back to their old program
}

// Program is a build of qkv.
type Program struct {
	Version string // with its pre-release and commit, as in 0.3.0-dev+0123456789ab
	Level   uint64 // the highest feature level
}

var (
	removeReasons = newStep("remove-reasons", "remove the reasons first; `qkv doctor` names them with their remedies")
	installNext   = newStep("upgrade", "install %s on the host of %s, stop the member with SIGTERM, start it with the same data folder, and run `qkv upgrade check` again")
	moveFirst     = newStep("move-leader", "run `qkv move-leader` first, and this check again")
	upgraded      = newStep("upgraded", "nothing; to upgrade further, run this check by the new program")
)

// UpgradeOf returns the plan for the members of a cluster. The target is the newest program of the members and the asking one.
func UpgradeOf(members []Member, asking Program) Upgrade {
	members = slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Unknown })
	for i := range members {
		if p := (Program{members[i].Version, members[i].Count(figures.LevelMost)}); comparePrograms(p, asking) > 0 {
			asking = p
		}
	}
	left := slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Version == asking.Version && m.Count(figures.LevelMost) == asking.Level })
	u := Upgrade{Stops: stops(members, len(left) > 0), Back: wayBack(members)}
	switch {
	case len(u.Stops) > 0:
		u.How = removeReasons.text
	case len(left) == 0:
		u.Done, u.How = "all members run "+asking.Version, upgraded.text
	default:
		next := nextOf(left)
		u.Next, u.How = next.Name, installNext.of("qkv "+asking.Version, next.Name)
		if next.State == leads && len(members) > 1 {
			u.How = moveFirst.text
		}
	}
	return u
}

// stops returns the reasons not to restart a member, or not to regard the upgrade as complete if none is left.
func stops(members []Member, left bool) (all []string) {
	if v := Judge(members); !v.Serves() {
		return []string{v.String()}
	}
	c := clusterOf(members)
	if len(c.away)+len(c.awayOthers) > 0 {
		all = append(all, c.missing())
	}
	if left && c.margin() < 1 && c.voters > 1 {
		all = append(all, fmt.Sprintf("the restart of a voter stops writes: of %s, %d must take part", Plural(c.voters, "voter", "voters"), c.quorum()))
	}
	for _, a := range raised(members, severityAlarm) {
		all = append(all, fmt.Sprintf("the alarm %s of %s is raised", a.Name, a.Member))
	}
	f := Facts{Members: members}
	most := f.furthest()
	f.answers(func(m *Member) {
		if most-m.Count(figures.Applied) >= doctorLag {
			all = append(all, fmt.Sprintf("%s lags by %d entries", m.Name, most-m.Count(figures.Applied)))
		}
	})
	return all
}

// nextOf returns a member with the oldest program; the leader comes last.
func nextOf(members []Member) *Member {
	next := slices.MinFunc(members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(count(a.State == leads), count(b.State == leads)), comparePrograms(Program{a.Version, a.Count(figures.LevelMost)}, Program{b.Version, b.Count(figures.LevelMost)}))
	})
	return &next
}

// comparePrograms compares versions by their numbers and pre-releases, as in semantic versioning: 0.9.0 < 0.10.0-dev < 0.10.0. Then it
// compares feature levels. Commits have no order: two programs that differ in the commit alone are equal.
func comparePrograms(a, b Program) int {
	parts := func(version string) (numbers []int, pre []string, release bool) {
		version, _, _ = strings.Cut(version, "+")
		version, after, found := strings.Cut(version, "-")
		for _, part := range strings.Split(version, ".") {
			n, _ := strconv.Atoi(part) // 0 for text
			numbers = append(numbers, n)
		}
		return numbers, strings.Split(after, "."), !found
	}
	numbersA, preA, releaseA := parts(a.Version)
	numbersB, preB, releaseB := parts(b.Version)
	return cmp.Or(slices.Compare(numbersA, numbersB), cmp.Compare(count(releaseA), count(releaseB)), slices.CompareFunc(preA, preB, comparePre), cmp.Compare(a.Level, b.Level))
}

// comparePre compares two parts of a pre-release: numbers by their values and before words.
func comparePre(a, b string) int {
	numberA, errA := strconv.Atoi(a)
	numberB, errB := strconv.Atoi(b)
	if errA != nil || errB != nil {
		return cmp.Or(cmp.Compare(count(errA != nil), count(errB != nil)), strings.Compare(a, b))
	}
	return cmp.Compare(numberA, numberB)
}

// wayBack says whether members can go back to an older program: only before the level rises.
func wayBack(members []Member) string {
	var level, most uint64
	var holds []string
	for i := range members {
		level, most = max(level, members[i].Count(figures.Level)), max(most, members[i].Count(figures.LevelMost))
	}
	for i := range members {
		if m := &members[i]; m.Count(figures.LevelMost) < most {
			holds = append(holds, m.Name)
		}
	}
	switch {
	case level < most && len(holds) > 0:
		return fmt.Sprintf("open: the cluster's feature level is %d, and %s must be upgraded before it rises to %d; until then each member can go back", level, list(holds), most)
	case level < most:
		return fmt.Sprintf("closing: the cluster's feature level is %d, and it rises to %d within seconds", level, most)
	}
	return fmt.Sprintf("each member can go back to a version that supports the feature level %d; it rises only when all members support a higher one", level)
}
