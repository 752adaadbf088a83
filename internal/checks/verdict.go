package checks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"qkv/index/kv"
	"qkv/internal/figures"
)

// The words of verdicts.
const (
	Healthy  = "HEALTHY"
	Degraded = "DEGRADED"
	NoLeader = "NO LEADER"
	NoQuorum = "NO QUORUM"
	NoSpace  = "NO SPACE"
)

// Verdict is the state of a cluster in words.
type Verdict struct {
	Word string // one of the words above
	Why  string
	Next string // the next command or step; empty if the cluster is healthy
}

// String returns the verdict's first line.
func (v Verdict) String() string { return v.Word + ": " + v.Why }

// Serves tells whether the cluster accepts puts: it has a quorum, a leader and space.
func (v Verdict) Serves() bool { return v.Word == Healthy || v.Word == Degraded }

// cluster is the sum of the members' answers.
type cluster struct {
	voters     int      // of the configuration with the least margin
	up         int      // of its voters, those that take part
	answer     int      // of its voters, those that answer and are not suspended
	leader     string   // empty: no member that answers knows one
	away       []string // voters that do not take part
	awayOthers []string // learners that do not take part
	faults     []fault  // causes first: of members that do not take part, then of the others
	refuses    *Raised  // the alarm by which it refuses puts, if possible the leader's, which knows the cause
}

func (c *cluster) quorum() int { return c.voters/2 + 1 }

// margin is how many more voters may fail; negative: there is no quorum.
func (c *cluster) margin() int { return c.up - c.quorum() }

// clusterOf adds up the members' answers.
func clusterOf(members []Member) (c cluster) {
	known := slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Unknown })
	for i, half := range [][]kv.Role{{kv.Voter, kv.Incoming}, {kv.Voter, kv.Leaving}} {
		one := cluster{}
		for k := range known {
			if m := &known[k]; slices.Contains(half, roleOf(m, known)) {
				one.voters++
				one.up += count(!faultOf(m, known).absent)
				one.answer += count(m.Answers && m.State != stateSuspended || m.Ready)
			}
		}
		if i == 0 || one.margin() < c.margin() {
			c = one
		}
	}
	for k := range members {
		m := &members[k]
		f := faultOf(m, known)
		switch {
		case f.absent && !m.Unknown && roleOf(m, known) == kv.Learner:
			c.awayOthers = append(c.awayOthers, m.Name)
		case f.absent && !m.Unknown:
			c.away = append(c.away, m.Name)
		}
		if f.level != "" {
			c.faults = append(c.faults, f)
		}
		if m.Answers && m.Get(figures.Refuses) > 0 && (c.refuses == nil || m.State == leads) {
			c.refuses = cmp.Or(about(kv.NoSpaceAlarm, "", m.Alarms), &Raised{Name: kv.NoSpaceAlarm, Member: "a quorum", Text: "the disks are full, or nearly"})
		}
		if m.Answers && !m.Unknown && m.Leader != "" && m.State != stateSuspended && c.leader == "" {
			c.leader = m.Leader
		}
	}
	if i := slices.IndexFunc(known, func(m Member) bool { return m.Ready }); c.leader == "" && i >= 0 {
		c.leader = "another member" // that this host cannot ask which one
	}
	// a missing leader is a consequence
	rank := func(f fault) int { return 2*count(f.absent) - count(f.do == askAgain.text) }
	slices.SortStableFunc(c.faults, func(a, b fault) int { return rank(b) - rank(a) })
	return c
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// stateSuspended is the state of a suspended member, which may not vote.
const stateSuspended = "suspended"

// roleOf returns a member's role. If no member has answered with roles, every member votes that does not say that it learns.
func roleOf(m *Member, members []Member) kv.Role {
	reported := slices.ContainsFunc(members, func(m Member) bool { return m.Role.Votes() })
	if !reported && m.State != kv.Learner.String() {
		return kv.Voter
	}
	return m.Role
}

// Judge returns the verdict on a cluster by the answers of its members.
func Judge(members []Member) Verdict {
	c := clusterOf(members)
	alarms := raised(members, severityAlarm)
	failed := slices.IndexFunc(c.faults, func(f fault) bool { return f.level == Failure })
	cut := slices.DeleteFunc(cuts(members), func(c cut) bool { return c.weight < 0 })
	switch waits := founding(members); {
	case c.answer == 0 && !slices.ContainsFunc(members, func(m Member) bool { return m.Answers }):
		v := Verdict{NoQuorum, fmt.Sprintf("no member answers, of %s asked", Plural(len(members), "address", "addresses")), startAll.text}
		if i := slices.IndexFunc(c.faults, func(f fault) bool { return !f.down }); i >= 0 {
			v.Why, v.Next = v.Why+": "+c.faults[i].text, c.faults[i].do
		}
		return v
	case waits != "" && (len(cut) == 0 || c.answer < c.voters):
		return Verdict{
			NoLeader, c.answering() + ", " + waits,
			alarmNamed(kv.FoundingNotice).Do + "; if the cluster had data: docs/emergencies.md, Alarms",
		}
	case c.leader == "" && c.answer >= c.quorum():
		v := Verdict{NoLeader, c.answering() + ", and none knows a leader: an election runs, or the members do not reach each other", askAgain.text}
		if a := about(kv.RefusedAlarm, "", alarms); len(cut) > 0 {
			last := cut[len(cut)-1]
			v.Why, v.Next = c.answering()+", and none knows a leader: "+last.text, last.do
		} else if a != nil {
			v.Why, v.Next = c.answering()+", and none knows a leader: "+a.Text, a.Do()
		}
		return v
	case c.leader == "" || c.answer < c.quorum() && c.margin() < 0:
		return Verdict{NoQuorum, fmt.Sprintf("%s; %d are needed, and no write is accepted", c.answering(), c.quorum()), c.comeBack(members)}
	case c.margin() < 0:
		return Verdict{NoQuorum, fmt.Sprintf("%s; %d are needed, and no write is accepted", c.taking(), c.quorum()), c.comeBack(members)}
	case c.refuses != nil:
		return Verdict{NoSpace, "no put is accepted: " + c.refuses.String(), c.refuses.Do()}
	case len(c.away)+len(c.awayOthers) > 0:
		return Verdict{Degraded, c.loss() + ": " + c.missing(), c.next(again)}
	case failed >= 0:
		return Verdict{Degraded, c.faults[failed].text + "; " + c.loss(), c.faults[failed].do}
	case len(alarms) > 0:
		a := &alarms[0]
		if second := about(kv.RefusedAlarm, a.Member, alarms); second != nil && a.Name == kv.AmnesiaAlarm {
			a = second // of two hosts of one name, one is suspended
		}
		return Verdict{Degraded, "the alarm " + string(a.Name) + " of " + a.Member + " is raised; " + c.loss(), a.Do()}
	}
	return Verdict{Word: Healthy, Why: fmt.Sprintf("%s, %s leads; %s", c.taking(), c.leader, c.loss())}
}

// Problems returns why a cluster is not healthy: the faults of members, then the alarms.
func Problems(members []Member) (all []string) {
	for _, f := range clusterOf(members).faults {
		if f.level == Failure {
			all = append(all, f.text)
		}
	}
	for _, a := range raised(members, severityAlarm) {
		all = append(all, string(a.Name)+" of "+a.Member)
	}
	return all
}

// founding returns the notice of a new cluster that waits for founders; empty if a member that answers has begun.
func founding(members []Member) (waits string) {
	for i := range members {
		m := &members[i]
		at := slices.IndexFunc(m.Alarms, func(a Raised) bool { return a.Name == kv.FoundingNotice && a.Member == m.Name })
		if m.Answers && at < 0 {
			return ""
		}
		if m.Answers {
			waits = m.Alarms[at].Text
		}
	}
	return waits
}

// taking says how many voters take part.
func (c *cluster) taking() string {
	return fmt.Sprintf("%d of %s part", c.up, Plural(c.voters, "voter takes", "voters take"))
}

func (c *cluster) answering() string {
	verb := "answer"
	if c.answer == 1 {
		verb = "answers"
	}
	return fmt.Sprintf("%d of %s %s", c.answer, Plural(c.voters, "voter", "voters"), verb)
}

// loss says how many more voters may fail.
func (c *cluster) loss() string {
	switch margin := c.margin(); {
	case margin == 0 && c.voters == 1:
		return "the only voter's loss stops writes"
	case margin == 0:
		return "one more loss stops writes"
	default:
		return fmt.Sprintf("writes survive %s", Plural(margin, "more loss", "more losses"))
	}
}

// missing names the members that do not take part.
func (c *cluster) missing() string {
	var all []string
	if len(c.away) > 0 {
		all = append(all, c.taking()+", "+does(c.away)+" not")
	}
	if len(c.awayOthers) > 0 {
		all = append(all, "of the learners, "+does(c.awayOthers)+" not answer")
	}
	return strings.Join(all, "; ")
}

func does(names []string) string {
	if len(names) == 1 {
		return names[0] + " does"
	}
	return list(names) + " do"
}

// next returns the step that mends the first fault. Members that are down are started together.
func (c *cluster) next(start Step) string {
	var down []string
	for _, f := range c.faults {
		if f.down {
			down = append(down, f.name)
		}
	}
	if len(down) > 0 {
		return strings.Replace(strings.Replace(start.text, "%s", list(down), 1), "%s", down[0], 1)
	}
	return c.faults[0].do
}

// comeBack is the step after the loss of a quorum. What is lost for good is compared with the backup before anything is recovered, and is
// not replaced: that needs a quorum.
func (c *cluster) comeBack(members []Member) string {
	most, backup := int64(0), "a backup, if there is one,"
	for i := range members {
		most = max(most, members[i].Get(figures.Revision))
		if b := members[i].Backup; b != "" {
			backup = "the backup in " + b
		}
	}
	next, lost := withoutReplace(c.next(sameFolders))
	if !lost && !slices.ContainsFunc(c.faults, func(f fault) bool { return f.down }) {
		return next
	}
	return next + fmt.Sprintf(compare, backup, most)
}

// list returns names as in a sentence.
func list(names []string) string {
	if n := len(names); n > 2 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, " and ")
}

// Plural returns a number with the singular or the plural of a word.
func Plural[N int | int64](n N, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
