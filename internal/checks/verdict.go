package checks

import (
	"fmt"
	"slices"
	"strings"

	"qkv/index/kv"
)

// The words of verdicts.
const (
	Healthy  = "HEALTHY"
	Degraded = "DEGRADED"
	NoLeader = "NO LEADER"
	NoQuorum = "NO QUORUM"
)

// Verdict is the state of a cluster in words.
type Verdict struct {
	Word string // Healthy, Degraded, NoLeader or NoQuorum
	Why  string
	Next string // the next command or step; empty if the cluster is healthy
}

// String returns the verdict's first line.
func (v Verdict) String() string { return v.Word + ": " + v.Why }

// Serves tells whether the cluster has a quorum and a leader.
func (v Verdict) Serves() bool { return v.Word == Healthy || v.Word == Degraded }

// cluster is the sum of the members' answers.
type cluster struct {
	voters     int      // of the configuration with the least margin
	up         int      // of its voters, those that take part
	answer     int      // of its voters, those that answer
	leader     string   // empty: no member that answers knows one
	away       []string // voters that do not take part
	silent     []string // voters that do not answer, even if a connection to them is not yet closed
	awayOthers []string // learners that do not take part
}

func (c *cluster) quorum() int { return c.voters/2 + 1 }

// margin is how many more voters may fail; negative: there is no quorum.
func (c *cluster) margin() int { return c.up - c.quorum() }

// clusterOf adds up the members' answers.
func clusterOf(members []Member) (c cluster) {
	members = slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Unknown })
	for i, half := range [][]kv.Role{{kv.Voter, kv.Incoming}, {kv.Voter, kv.Leaving}} {
		one := cluster{}
		for k := range members {
			if m := &members[k]; slices.Contains(half, roleOf(m, members)) {
				one.voters++
				one.up += count(takesPart(m, members))
				one.answer += count(m.Answers)
			}
		}
		if i == 0 || one.margin() < c.margin() {
			c = one
		}
	}
	for k := range members {
		m := &members[k]
		switch part := takesPart(m, members); {
		case roleOf(m, members) == kv.Learner && !part:
			c.awayOthers = append(c.awayOthers, m.Name)
		case !part:
			c.away = append(c.away, m.Name)
		}
		if !m.Answers && roleOf(m, members) != kv.Learner {
			c.silent = append(c.silent, m.Name)
		}
		if m.Answers && m.Leader != "" && m.State != stateRefused && c.leader == "" {
			c.leader = m.Leader
		}
	}
	return c
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// stateRefused is the state of a quarantined member, which may not vote.
const stateRefused = "refused"

// roleOf returns a member's role. An older member reports no roles; then every member votes that does not say that it learns.
func roleOf(m *Member, members []Member) kv.Role {
	reported := slices.ContainsFunc(members, func(m Member) bool { return m.Role.Votes() })
	if !reported && m.State != kv.Learner.String() {
		return kv.Voter
	}
	return m.Role
}

// takesPart tells whether a member answers and knows a leader, or is connected to a member that answers.
func takesPart(m *Member, members []Member) bool {
	if m.Answers {
		return m.Leader != "" && m.State != stateRefused
	}
	return linked(m, members)
}

// linked tells whether a member that answers is connected to m.
func linked(m *Member, members []Member) bool {
	return slices.ContainsFunc(members, func(o Member) bool {
		return o.Answers && slices.ContainsFunc(o.Links, func(l Link) bool { return l.Connected && l.Member == m.Name })
	})
}

// Judge returns the verdict on a cluster by the answers of its members.
func Judge(members []Member) Verdict {
	if !slices.ContainsFunc(members, func(m Member) bool { return m.Answers }) {
		return Verdict{
			NoQuorum, fmt.Sprintf("no member answers, of %s asked", Plural(len(members), "address", "addresses")),
			"start the members, or correct --endpoints; `qkv doctor --data-dir DIR` examines a member's folder on its host",
		}
	}
	c := clusterOf(members)
	alarms := raised(members, severityAlarm)
	switch waits := founding(members); {
	case waits != "":
		return Verdict{
			NoLeader, c.answering() + ", " + waits,
			AlarmNamed(string(kv.FoundingNotice)).Do + "; if the cluster had data: docs/emergencies.md, Alarms",
		}
	case c.leader == "" && c.answer >= c.quorum():
		return Verdict{
			NoLeader, c.answering() + ", and none knows a leader: an election runs, or the members do not reach each other",
			"wait for a few seconds and run `qkv status` again; if it persists, `qkv doctor` names the missing connections",
		}
	case c.leader == "" || c.answer < c.quorum() && c.margin() < 0:
		return Verdict{NoQuorum, fmt.Sprintf("%s; %d are needed, and no write is accepted", c.answering(), c.quorum()), c.comeBack()}
	case c.margin() < 0:
		return Verdict{NoQuorum, fmt.Sprintf("%s; %d are needed, and no write is accepted", c.taking(), c.quorum()), c.comeBack()}
	case len(c.away)+len(c.awayOthers) > 0:
		return Verdict{Degraded, c.loss() + ": " + c.missing(), c.start(append(slices.Clone(c.away), c.awayOthers...))}
	case len(alarms) > 0:
		a := alarms[0]
		return Verdict{Degraded, "the alarm " + a.Name + " of " + a.Member + " is raised; " + c.loss(), AlarmNamed(a.Name).Do}
	}
	return Verdict{Word: Healthy, Why: fmt.Sprintf("%s, %s leads; %s", c.taking(), c.leader, c.loss())}
}

// founding returns the notice of a new cluster that waits for founders; empty if a member that answers has begun.
func founding(members []Member) (waits string) {
	for i := range members {
		m := &members[i]
		at := slices.IndexFunc(m.Alarms, func(a Alarm) bool { return a.Name == string(kv.FoundingNotice) && a.Member == m.Name })
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

func (c *cluster) start(away []string) string {
	return fmt.Sprintf("start %s again; if its disk is lost, run `qkv member replace %s` (docs/emergencies.md, A lost member)", list(away), away[0])
}

// comeBack names the members to start. A member that answers runs.
func (c *cluster) comeBack() string {
	names := c.silent
	if len(names) == 0 {
		names = c.away
	}
	return fmt.Sprintf("start %s again with the same data folders; if they are lost for good: docs/emergencies.md, A lost quorum", list(names))
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
