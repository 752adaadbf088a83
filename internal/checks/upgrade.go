package checks

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"qkv/internal/figures"
)

// upgrade is the plan of a rolling upgrade.
type upgrade struct {
	stops []string // reasons not to restart a member now
	next  string   // the name of the member to restart next; empty if something stops the upgrade, or none is left
	done  bool     // all members that answer run the newest program
	how   string   // the command or step; empty without next
	back  string   // whether members can go back to their old program
}

// Program is a build of qkv.
type Program struct {
	Version string // with its pre-release and commit, as in 0.3.0-dev+0123456789ab
	Level   uint64 // the highest feature level
}

var (
	installNext = newStep("upgrade", "install %s on the host of %s, stop the member with SIGTERM, start it with the same data folder, and run `qkv doctor` again")
	moveFirst   = newStep("lead", "run `qkv member lead` first, and `qkv doctor` again")
)

// upgradeOf returns the plan for the members of a cluster. The target is the newest program of the members and the asking one.
func upgradeOf(members []Member, asking Program) upgrade {
	members = slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Unknown })
	for i := range members {
		if p := (Program{members[i].Version, members[i].Count(figures.LevelMost)}); comparePrograms(p, asking) > 0 {
			asking = p
		}
	}
	left := slices.DeleteFunc(slices.Clone(members), func(m Member) bool {
		return m.Version == "" || m.Version == asking.Version && m.Count(figures.LevelMost) == asking.Level
	})
	u := upgrade{stops: stops(members, len(left) > 0), done: len(left) == 0, back: wayBack(members)}
	if u.done || len(u.stops) > 0 {
		return u
	}
	next := nextOf(left)
	u.next, u.how = next.Name, installNext.of("qkv "+asking.Version, next.Name)
	if next.State == leads && len(members) > 1 {
		u.how = moveFirst.text
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
