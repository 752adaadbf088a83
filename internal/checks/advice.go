package checks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"qkv/index/kv"
	"qkv/internal/figures"
)

// Step is the next command or step after a fault that is no row of the other tables. Its text has a verb of package fmt for each name.
type Step struct{ ID, text string }

// Steps are all steps of verdicts and upgrades.
var Steps []Step

func newStep(id, text string) Step {
	Steps = append(Steps, Step{id, text})
	return Steps[len(Steps)-1]
}

// of returns the step with names. The verbs of the text may leave names out.
func (s Step) of(names ...any) string { return fmt.Sprintf(s.text, names...) }

var (
	startAll    = newStep("start-all", "start the members, or correct --endpoints; `qkv doctor --data-dir DIR` examines a member's folder on its host")
	again       = newStep("start", "start %s again; if its disk is lost, run `qkv member replace %s` (docs/emergencies.md, A lost member)")
	sameFolders = newStep("start-quorum", "start %s again with the same data folders")
	ended       = newStep("start-ended", "start %s again if it has ended; if it runs, open its client port (by default UDP 2379) for this host")
	join        = newStep("start-joining", "start %s: a new host needs an empty data folder, and `qkv member add` with its name and address prints the command; if the others refuse it, the notice JOIN says what to run")
	isBack      = newStep("replaced-runs", "stop %s, which is being replaced under its name and runs, or keep it: `qkv member remove %s` ends the replacement")
	displaced   = newStep("displaced", "stop the member that answers at the address of %s, and start %s there")
	askAgain    = newStep("wait", "wait for a few seconds and run `qkv status` again; if it persists, read the log of the member that has no leader")
	starting    = newStep("starting", "wait until %s has started: a quorum of the voters confirms that it has all acknowledged writes; its log says what it waits for")
	reconnect   = newStep("reconnect", "open the peer port (by default UDP 2380) between the hosts of %s and %s, in both directions")
	addresses   = newStep("addresses", "stop %s, and start it again with `--initial-cluster` and the names and peer addresses of all members")
	openClient  = newStep("open-client", "open the client port of %s (by default UDP 2379) for this host")
	clientPort  = newStep("client-port", "name a client port in --endpoints or QKV_ENDPOINTS (by default 2379; 2380 is for members) in place of %s; if it is one, install the same version on both hosts")
	openUDP     = newStep("open-udp", "open UDP, not only TCP, between this host and %s (by default ports 2379 and 2380)")
	widen       = newStep("mtu", "set the interface's MTU to 1280 bytes or more (`ip link set dev %s mtu 1500`)")
	otherOne    = newStep("other-cluster", "stop %s, which belongs to another cluster; if it is to be a member here, empty its data folder, run `qkv member add`, and start it with --join")
	twoServe    = newStep("two-clusters", "keep the cluster whose data you need: compare the revisions; stop the members of the other one, and keep their folders; %s is in one of the two")
	makeRoom    = newStep("quota", "delete keys and run `qkv compact REVISION` with the newest revision, or set `--quota-bytes` higher on all members")
	endpoint    = newStep("endpoint", "take %s out of --endpoints or QKV_ENDPOINTS; if it is a new member, start it")
)

// compare follows the step after the loss of a quorum.
const compare = "; if they are lost for good, first compare %s with revision %d of the members that answer (`qkv backup list`): docs/emergencies.md, A lost quorum"

// withoutReplace cuts the last part of a step if it is a replacement, which needs a quorum for any member.
func withoutReplace(step string) (rest string, cut bool) {
	before, _, cut := strings.Cut(step, "`qkv member replace")
	if !cut {
		return step, false
	}
	return before[:max(strings.LastIndex(before, "; "), 0)], true
}

// fault is the fault of one member, or of the path between two. The zero value is a member without any.
type fault struct {
	name   string
	level  Level // Failure or Warning
	text   string
	do     string
	absent bool // the member takes no part
	down   bool // it is to be started: only a member that does not answer is
}

// faultOf judges one member by all facts. A member that answers, by whatever protocol, is never to be started or replaced. The error of a
// handshake counts more than connections that other members have kept.
func faultOf(m *Member, members []Member) fault {
	f := fault{name: m.Name, level: Failure, absent: true, text: m.Name + " does not answer: " + m.Error}
	others := linked(m, members)
	switch {
	case m.Unknown && m.Foreign:
		f.absent, f.text, f.do = false, fmt.Sprintf("%s runs, but belongs to another cluster, %s", m.Name, m.Cluster), otherOne.of(m.Name)
		if m.Leader != "" { // it serves, and may have newer data
			f.text, f.do = fmt.Sprintf("%s belongs to another cluster, %s, which has a leader", m.Name, m.Cluster), twoServe.of(m.Name)
		}
	case m.Unknown:
		f.level, f.absent, f.text, f.do = Warning, false, m.Name+" is not a member that the others know", endpoint.of(m.Name)
	case m.Answers && m.State == stateSuspended:
		f.text, f.do = m.Name+" is suspended, and takes no part", cmp.Or(about(kv.RefusedAlarm, m.Name, raised(members, severityAlarm)), m.suspension()).Do()
	case m.Get(figures.MTU) > 0 && m.Get(figures.MTU) < doctorMTU:
		if m.Answers && m.Leader != "" || m.Ready {
			f.level, f.absent = Warning, false
		}
		f.text, f.do = fmt.Sprintf("the interface %s of %s has an MTU of %d bytes, and %d are needed", m.Interface, m.Name, m.Get(figures.MTU), doctorMTU), widen.of(m.Interface)
	case m.Answers && m.Leader == "":
		if f.text, f.do = m.Name+" runs, and knows no leader", askAgain.text; m.Stage != "" {
			f.text, f.do = m.Name+" is starting, and knows no leader", starting.of(m.Name)
		}
		if a := about(kv.RefusedAlarm, m.Name, raised(members, severityAlarm)); a != nil {
			f.text, f.do = m.Name+" runs, and knows no leader: "+a.Text, a.Do()
		}
		for _, cut := range cuts(members) {
			if cut.weight >= 0 && (cut.ends[0] == m.Name || cut.ends[1] == m.Name) {
				f.text, f.do = m.Name+" runs, but "+cut.text, cut.do
			}
		}
	case m.Answers && m.Stage != "":
		f.level, f.absent, f.text, f.do = Warning, false, m.Name+" is starting, and does not serve yet", starting.of(m.Name)
	case m.Answers:
		return fault{}
	case m.Why == Untrusted:
		f.absent, f.do = !others, alarmNamed(kv.CertAlarm).Do
	case m.Why == OtherPort:
		f.absent, f.do = !others, clientPort.of(m.Name)
	case m.Why == Closed && others:
		f.text, f.do = f.text+"; the others have not lost it yet", ended.of(m.Name)
	case m.Why == Displaced:
		f.absent, f.do = !others, displaced.of(m.Name, m.Name)
	case m.Why == Unstarted && m.Name == m.ID && slices.ContainsFunc(members, func(one Member) bool { return one.Name == m.Replaces && one.Answers }):
		f.do = isBack.of(m.Replaces, m.Name)
	case m.Why == Unstarted && !others:
		f.do = join.of(m.Name)
	case others && about(kv.AmnesiaAlarm, m.Name, raised(members, severityAlarm)) != nil:
		f.text, f.do = m.Name+" does not answer this host, and some members do not let it vote", m.suspension().Do()
	case others:
		f.level, f.absent, f.text, f.do = Warning, false, m.Name+" does not answer this host, but other members are connected to it: "+m.Error, openClient.of(m.Name)
	case m.Runs:
		f.absent, f.text, f.do = !m.Ready, m.Name+" runs and answers over TCP, but not over UDP: "+m.Error, openUDP.of(m.Name)
	default:
		f.down, f.do = true, again.of(m.Name, m.Name)
	}
	return f
}

// suspension returns the alarm with the reason why a member is suspended.
func (m *Member) suspension() *Raised {
	return cmp.Or(about(kv.AmnesiaAlarm, m.Name, m.Alarms), about(kv.CorruptAlarm, m.Name, m.Alarms), &Raised{Name: kv.AmnesiaAlarm, Member: m.Name})
}

// linked tells whether a member that answers, and follows a leader, is connected to m.
func linked(m *Member, members []Member) bool {
	return slices.ContainsFunc(members, func(o Member) bool {
		return o.Answers && o.Leader != "" && slices.ContainsFunc(o.Links, func(l Link) bool { return l.Connected && l.Member == m.Name })
	})
}

// about returns an alarm of a member, or of any member if the name is empty.
func about(alarm kv.AlarmName, name string, alarms []Raised) *Raised {
	for i, a := range alarms {
		if a.Name == alarm && (name == "" || a.Member == name) {
			return &alarms[i]
		}
	}
	return nil
}

// cut is a missing connection between two members that both answer this host.
type cut struct {
	ends     [2]string
	text, do string
	weight   int
}

// cuts returns the missing connections: first those of a suspended member, with a negative weight, then those of a learner, those between
// voters, and those of the leader.
func cuts(members []Member) (all []cut) {
	for k := range members {
		for i := range k {
			one := [2]*Member{&members[i], &members[k]}
			var lost []Link
			for end, m := range one {
				other := one[1-end].Name
				if at := slices.IndexFunc(m.Links, func(l Link) bool { return l.Member == other }); at >= 0 && m.Answers {
					lost = append(lost, m.Links[at])
					lost[len(lost)-1].Error = fmt.Sprintf("%s has no connection to %s: %s", m.Name, other, m.Links[at].Error)
				}
			}
			if len(lost) == 0 || !one[0].Answers || !one[1].Answers || slices.ContainsFunc(lost, func(l Link) bool { return l.Connected }) {
				continue
			}
			c := cut{[2]string{one[0].Name, one[1].Name}, lost[0].Error, reconnect.of(one[0].Name, one[1].Name), 0}
			c.weight = 2*count(one[0].State == leads || one[1].State == leads) + count(roleOf(one[0], members).Votes() && roleOf(one[1], members).Votes())
			if at := slices.IndexFunc(lost, func(l Link) bool { return l.Untrusted }); at >= 0 {
				c.text, c.do = lost[at].Error, alarmNamed(kv.CertAlarm).Do
			}
			if at := slices.IndexFunc(lost, func(l Link) bool { return strings.HasSuffix(l.Error, noAddress) }); at >= 0 && len(lost) == 2 {
				c.text, c.do = lost[at].Error, addresses.of(one[at].Name)
			}
			for _, m := range one {
				if m.State == stateSuspended { // no port is closed: the others refuse it
					c.do, c.weight = m.suspension().Do(), -1
				}
			}
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b cut) int { return a.weight - b.weight })
	return all
}

// noAddress is how the error of a link ends whose member does not know where the other is, as after a restore.
const noAddress = "no address of the peer is known"

// leads is the state of the leader.
const leads = "leader"
