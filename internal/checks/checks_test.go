package checks

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
)

// healthy returns the facts of a cluster of voters without any finding.
func healthy(voters int) *Facts {
	f := &Facts{}
	for i := range voters {
		f.Members = append(f.Members, Member{
			Name: fmt.Sprintf("n%d", i+1), Role: kv.Voter, Answers: true, State: "follower", Leader: "n1", Digest: "aa", Version: "0.2.0", Backup: "/backup/n", ClockWithin: time.Millisecond,
			Values: figures.Values{
				int64(figures.Applied), 100_000, int64(figures.Revision), 9, int64(figures.Level), 5, int64(figures.LevelMost), 5,
				int64(figures.SyncP99), int64(time.Millisecond), int64(figures.ElectionTimeout), int64(time.Second), int64(figures.Used), 1, int64(figures.Quota), 1000,
				int64(figures.Oldest), 2, int64(figures.HistoryAge), int64(time.Hour), int64(figures.DiskFree), 1 << 40, int64(figures.Disk), 1 << 41, int64(figures.Files), 1 << 20,
				int64(figures.Host), int64(i + 1), int64(figures.Device), 7, int64(figures.BackupAge), int64(time.Second),
			},
			Routes:      []Route{{Address: "10.0.0.1:2379", Interface: "eth0", MTU: 1500}},
			Certificate: Certificate{File: "10.0.0.1:2379", Left: 300 * 24 * time.Hour},
		})
	}
	f.Members[0].State = "leader"
	for i := range f.Members {
		for k := range f.Members {
			if i != k {
				f.Members[i].Links = append(f.Members[i].Links, Link{Member: f.Members[k].Name, Connected: true})
			}
		}
	}
	return f
}

// dead is a member that has ended: it does not answer, and no member is connected to it.
func dead(f *Facts, names ...string) *Facts {
	for i := range f.Members {
		m := &f.Members[i]
		if slices.Contains(names, m.Name) {
			*m = Member{Name: m.Name, Role: m.Role, Error: "connection refused"}
		}
		for k := range m.Links {
			if slices.Contains(names, m.Links[k].Member) {
				m.Links[k] = Link{Member: m.Links[k].Member, Error: "timeout"}
			}
		}
	}
	return f
}

func soundFolder() *Folder {
	return &Folder{
		Dir: "/data", Mode: 0o700, FreeBytes: 1 << 40, SizeBytes: 1 << 41, Sync: Sync{P50: time.Millisecond, P99: 2 * time.Millisecond, Class: "fast"}, Read: 3,
		Files: 1 << 20, TimerSlack: 50 * time.Microsecond, ClockSynced: true, UDPReceive: 8 << 20, UDPSend: 8 << 20,
	}
}

// TestVerdicts: the words, at each bound.
func TestVerdicts(t *testing.T) {
	with := func(f *Facts, change func(m []Member)) *Facts {
		change(f.Members)
		return f
	}
	noLeader := func(m []Member) {
		for i := range m {
			m[i].Leader, m[i].State = "", "candidate"
		}
	}
	for _, tt := range []struct {
		name string
		f    *Facts
		want string
	}{
		{"all", healthy(3), "HEALTHY: 3 of 3 voters take part, n1 leads; writes survive 1 more loss"},
		{"the only one", healthy(1), "HEALTHY: 1 of 1 voter takes part, n1 leads; the only voter's loss stops writes"},
		{"two", healthy(2), "HEALTHY: 2 of 2 voters take part, n1 leads; one more loss stops writes"},
		{"one of three", dead(healthy(3), "n3"), "DEGRADED: one more loss stops writes: 2 of 3 voters take part, n3 does not"},
		{"one of five", dead(healthy(5), "n3"), "DEGRADED: writes survive 1 more loss: 4 of 5 voters take part, n3 does not"},
		{"two of five", dead(healthy(5), "n3", "n4"), "DEGRADED: one more loss stops writes: 3 of 5 voters take part, n3 and n4 do not"},
		{"three of five", dead(with(healthy(5), noLeader), "n3", "n4", "n5"), "NO QUORUM: 2 of 5 voters answer; 3 are needed, and no write is accepted"},
		{"two of three", dead(with(healthy(3), noLeader), "n2", "n3"), "NO QUORUM: 1 of 3 voters answers; 2 are needed, and no write is accepted"},
		{"two of three, and the leader has not noticed", dead(healthy(3), "n2", "n3"), "NO QUORUM: 1 of 3 voters answers; 2 are needed, and no write is accepted"},
		{"one of two", dead(healthy(2), "n2"), "NO QUORUM: 1 of 2 voters answers; 2 are needed, and no write is accepted"},
		{"all of three", dead(healthy(3), "n1", "n2", "n3"), "NO QUORUM: no member answers, of 3 addresses asked"},
		{"no leader", with(healthy(3), noLeader), "NO LEADER: 3 of 3 voters answer, and none knows a leader: an election runs, or the members do not reach each other"},
		{"a new cluster", dead(with(healthy(3), func(m []Member) {
			noLeader(m)
			m[0].Alarms, m[1].Alarms = []Raised{{"FOUNDING", "n1", "waiting for n3"}}, []Raised{{"FOUNDING", "n2", "waiting for n3"}}
		}), "n3"), "NO LEADER: 2 of 3 voters answer, waiting for n3"},
		{"an empty member of a cluster with data", with(healthy(3), func(m []Member) {
			noLeader(m)
			m[0].Alarms = []Raised{{"FOUNDING", "n1", "waiting for n3"}}
		}), "NO LEADER: 3 of 3 voters answer, and none knows a leader: an election runs, or the members do not reach each other"},
		{"a client that reaches one member alone", with(healthy(3), func(m []Member) { m[1], m[2] = Member{Name: "n2", Role: kv.Voter}, Member{Name: "n3", Role: kv.Voter} }), "HEALTHY: 3 of 3 voters take part, n1 leads; writes survive 1 more loss"},
		{"one without a leader", with(healthy(3), func(m []Member) { m[2].Leader = "" }), "DEGRADED: one more loss stops writes: 2 of 3 voters take part, n3 does not"},
		{"a suspended one", with(healthy(3), func(m []Member) { m[2].State = "suspended" }), "DEGRADED: one more loss stops writes: 2 of 3 voters take part, n3 does not"},
		{"one that the leader has suspended, and that does not answer", with(healthy(3), func(m []Member) {
			m[0].Links[1] = Link{Member: "n3", Error: "refused a peer"}
			m[0].Alarms = []Raised{{"AMNESIA", "n3", "its log ends at 9"}}
			m[2] = Member{Name: "n3", Role: kv.Voter, Error: "timeout"}
		}), "DEGRADED: one more loss stops writes: 2 of 3 voters take part, n3 does not"},
		{"a leader alone, whose view is old", with(healthy(3), func(m []Member) { m[1].Leader, m[2].Leader = "", "" }), "NO QUORUM: 1 of 3 voters take part; 2 are needed, and no write is accepted"},
		{"dead ones whose connections are not missed yet", with(healthy(3), func(m []Member) {
			noLeader(m)
			m[1].Answers, m[2].Answers = false, false
		}), "NO QUORUM: 1 of 3 voters answers; 2 are needed, and no write is accepted"},
		{"a learner is no voter", with(healthy(3), func(m []Member) { m[2].Role = kv.Learner }), "HEALTHY: 2 of 2 voters take part, n1 leads; one more loss stops writes"},
		{"a dead learner", dead(with(healthy(3), func(m []Member) { m[2].Role = kv.Learner }), "n3"), "DEGRADED: one more loss stops writes: of the learners, n3 does not answer"},
		{"an exchange of voters: the old half decides", dead(with(healthy(4), func(m []Member) { m[2].Role, m[3].Role = kv.Leaving, kv.Incoming }), "n3"), "DEGRADED: one more loss stops writes: 2 of 3 voters take part, n3 does not"},
		{"an exchange of voters: the new half decides", dead(with(healthy(4), func(m []Member) { m[2].Role, m[3].Role = kv.Leaving, kv.Incoming }), "n4"), "DEGRADED: one more loss stops writes: 2 of 3 voters take part, n4 does not"},
		{"older members report no roles", dead(with(healthy(3), func(m []Member) { m[0].Role, m[1].Role, m[2].Role = 0, 0, 0 }), "n2"), "DEGRADED: one more loss stops writes: 2 of 3 voters take part, n2 does not"},
		{"an alarm", with(healthy(3), func(m []Member) { m[1].Alarms = []Raised{{"NOSPACE", "n2", "full"}} }), "DEGRADED: the alarm NOSPACE of n2 is raised; writes survive 1 more loss"},
		{"a notice", with(healthy(3), func(m []Member) { m[1].Alarms = []Raised{{"CLOCK", "n2", "ahead"}} }), "HEALTHY: 3 of 3 voters take part, n1 leads; writes survive 1 more loss"},
		{"an endpoint of no member", with(healthy(3), func(m []Member) { m[2].Unknown, m[2].Answers = true, false }), "HEALTHY: 2 of 2 voters take part, n1 leads; one more loss stops writes"},
	} {
		v := Judge(tt.f.Members)
		if v.String() != tt.want {
			t.Errorf("%s:\n%s\nnot\n%s", tt.name, v, tt.want)
		}
		if healthy := v.Word == Healthy; healthy != (v.Next == "") || v.Serves() != (healthy || v.Word == Degraded) {
			t.Errorf("%s: next %q, serves %v", tt.name, v.Next, v.Serves())
		}
	}
	stale := with(healthy(3), func(m []Member) {
		noLeader(m)
		m[1].Answers, m[2].Answers = false, false // but the connections to them are not closed yet
	})
	if v := Judge(stale.Members); !strings.HasPrefix(v.Next, "start n2 and n3 again") {
		t.Errorf("n1 answers, and the next step is %q", v.Next)
	}
}

// TestNoSpace: while the cluster refuses puts, the verdict says so, whatever the voters, and the remedy is that of the cause. The leader
// knows it. A full disk of one member stops no put.
func TestNoSpace(t *testing.T) {
	const (
		byQuota = "keys take 1.0 of 1.0 MiB of --quota-bytes"
		byDisks = "the disk of n1 is full, or nearly and that of n2"
	)
	refuses := func(m *Member, text string) {
		figures.Set(&m.Values, figures.Refuses, 1)
		if text != "" {
			m.Alarms = []Raised{{"NOSPACE", "n1", text}}
		}
	}
	for _, tt := range []struct {
		name       string
		change     func(f *Facts)
		want, next string
	}{
		{"the quota", func(f *Facts) {
			for i := range f.Members {
				refuses(&f.Members[i], byQuota)
			}
		}, "NO SPACE: no put is accepted: NOSPACE of n1: " + byQuota, "delete keys and run `qkv compact REVISION` with the newest revision, or set `--quota-bytes` higher"},
		{"the disks, and only the leader knows which", func(f *Facts) {
			refuses(&f.Members[0], byDisks)
			refuses(&f.Members[1], "the disks of a quorum are full, or the quota is reached")
			f.Members[0], f.Members[1] = f.Members[1], f.Members[0]
		}, "NO SPACE: no put is accepted: NOSPACE of n1: " + byDisks, "free space on the disk that the alarm names, or delete keys"},
		{"the disks, before the alarm is in the log", func(f *Facts) { refuses(&f.Members[0], "") }, "NO SPACE: no put is accepted: NOSPACE of a quorum: the disks are full", "free space"},
		{"a leader that does not answer this host", func(f *Facts) {
			refuses(&f.Members[1], byQuota)
			f.Members[0].Answers, f.Members[0].Error = false, "timeout"
		}, "NO SPACE: no put is accepted: NOSPACE of n1: " + byQuota, "delete keys"},
		{"a member down besides", func(f *Facts) {
			refuses(&f.Members[0], byQuota)
			dead(f, "n3")
		}, "NO SPACE: no put", "delete keys"},
		{"no quorum either", func(f *Facts) {
			refuses(&f.Members[0], byQuota)
			dead(f, "n2", "n3")
		}, "NO QUORUM: 1 of 3", "start n2 and n3 again"},
		{"the disk of one member", func(f *Facts) { f.Members[1].Alarms = []Raised{{"NOSPACE", "n2", "full"}} }, "DEGRADED: ", "free space on the disk"},
	} {
		f := healthy(3)
		tt.change(f)
		v := Judge(f.Members)
		if !strings.HasPrefix(v.String(), tt.want) || !strings.HasPrefix(v.Next, tt.next) || v.Serves() != (v.Word == Degraded) {
			t.Errorf("%s: %s, next: %s, serves %v", tt.name, v, v.Next, v.Serves())
		}
		all := Run(f)
		if at := slices.IndexFunc(all, func(r Result) bool { return r.ID == "quorum" }); (all[at].Level == Failure) == v.Serves() || !v.Serves() && all[at].Do != v.Next {
			t.Errorf("%s: doctor says %+v", tt.name, all[at])
		}
	}
}

// TestDoctorWithoutAQuorum: no finding of a cluster without a quorum advises a replacement, which needs one, or to wait: each has the words of
// the runbook, or mends a cause. With a quorum, the advice is the replacement.
func TestDoctorWithoutAQuorum(t *testing.T) {
	forgot := func(m *Member) {
		m.State, m.Leader, m.Alarms = "suspended", "", []Raised{{"AMNESIA", m.Name, "another folder"}}
	}
	for name, change := range map[string]func(f *Facts){
		"two dead":                func(f *Facts) { dead(f, "n2", "n3"); f.Members[0].Leader = "" },
		"two suspended":           func(f *Facts) { forgot(&f.Members[1]); forgot(&f.Members[2]); f.Members[0].Leader = "" },
		"one dead, one suspended": func(f *Facts) { dead(f, "n3"); forgot(&f.Members[1]); f.Members[0].Leader = "" },
	} {
		f := healthy(3)
		change(f)
		runbook := 0
		for _, r := range Run(f) {
			if strings.Contains(r.Do, "member replace") || strings.HasPrefix(r.Do, "wait") {
				t.Errorf("%s: %s: %s\n-> %s", name, r.ID, r.Text, r.Do)
			}
			if strings.HasSuffix(r.Do, "docs/emergencies.md, A lost quorum") {
				runbook++
			}
		}
		if v := Judge(f.Members); v.Word != NoQuorum || runbook < 3 || !strings.HasSuffix(v.Next, "docs/emergencies.md, A lost quorum") {
			t.Errorf("%s: %s, next: %s; %d findings name the page", name, v, v.Next, runbook)
		}
	}
	for name, change := range map[string]func(f *Facts){"one dead": func(f *Facts) { dead(f, "n3") }, "one suspended": func(f *Facts) { forgot(&f.Members[2]) }} {
		f := healthy(3)
		change(f)
		if v := Judge(f.Members); !strings.Contains(v.Next, "`qkv member replace n3`") || !slices.ContainsFunc(Run(f), func(r Result) bool { return r.ID == "members" && r.Do == v.Next }) {
			t.Errorf("%s: %s, next: %s", name, v, v.Next)
		}
	}
}

// TestNextWithoutALeader: the next step mends what keeps the voters from a leader, and is none that refused members would ignore.
func TestNextWithoutALeader(t *testing.T) {
	parted := func(m []Member, pairs ...[2]int) {
		for _, p := range pairs {
			for _, p := range [][2]int{p, {p[1], p[0]}} {
				i := slices.IndexFunc(m[p[0]].Links, func(l Link) bool { return l.Member == m[p[1]].Name })
				m[p[0]].Links[i] = Link{Member: m[p[1]].Name, Error: "timeout"}
			}
		}
	}
	const noLeader, noQuorum = "NO LEADER: ", "NO QUORUM: "
	for _, tt := range []struct {
		name       string
		change     func(m []Member)
		want, next string
	}{
		{"voters parted, and a learner from one of them", func(m []Member) {
			m[2].Role = kv.Learner
			parted(m, [2]int{1, 2}, [2]int{0, 1})
		}, noLeader, "open the peer port (by default UDP 2380) between the hosts of n1 and n2"},
		{"likewise, in the other order", func(m []Member) {
			m[0].Role = kv.Learner
			parted(m, [2]int{0, 1}, [2]int{1, 2})
		}, noLeader, "open the peer port (by default UDP 2380) between the hosts of n2 and n3"},
		{"a dead voter and a suspended one", func(m []Member) {
			parted(m, [2]int{0, 1}, [2]int{0, 2}, [2]int{1, 2})
			m[1] = Member{Name: "n2", Role: kv.Voter, Error: "connection refused"}
			m[2].State = "suspended"
		}, noQuorum, "start n2 again with the same data folders"},
		{"founders that run, and are parted", func(m []Member) {
			parted(m, [2]int{0, 1})
			m[0].Alarms, m[1].Alarms, m[2].Alarms = []Raised{{"FOUNDING", "n1", "waiting for n2"}}, []Raised{{"FOUNDING", "n2", "waiting for n1"}}, []Raised{{"FOUNDING", "n3", "waiting for n2"}}
		}, noLeader, "open the peer port (by default UDP 2380) between the hosts of n1 and n2"},
		{"two hosts of one founder's name", func(m []Member) { m[0].Alarms = []Raised{{"REFUSED", "n1", "two hosts run under its name"}} }, noLeader, "stop the member with the wrong cluster, the name"},
		{"likewise, and one is suspended", func(m []Member) {
			parted(m, [2]int{1, 2})
			m[2].State, m[0].Alarms, m[2].Alarms = "suspended", []Raised{{"REFUSED", "n1", "two hosts run under its name"}}, []Raised{{"AMNESIA", "n3", "another folder"}}
		}, noLeader, "stop the member with the wrong cluster, the name"},
	} {
		f := healthy(3)
		for i := range f.Members {
			f.Members[i].Leader, f.Members[i].State = "", "candidate"
		}
		tt.change(f.Members)
		if v := Judge(f.Members); !strings.HasPrefix(v.String(), tt.want) || !strings.HasPrefix(v.Next, tt.next) {
			t.Errorf("%s: %s, next: %s", tt.name, v, v.Next)
		}
	}
	for name, change := range map[string]func(m *Member){
		"a copy that starts, and is refused":     func(m *Member) { m.Stage, m.Leader = "starting", "" },
		"a second host that is suspended":        func(m *Member) { m.State = "suspended" },
		"the first host of a name, which serves": func(*Member) {},
	} {
		f := healthy(3)
		change(&f.Members[2])
		f.Members[2].Alarms = []Raised{{"AMNESIA", "n3", "another folder"}, {"REFUSED", "n3", "two processes run as n3"}}
		if v := Judge(f.Members); v.Word != Degraded || !strings.HasPrefix(v.Next, "stop the member with the wrong cluster, the name") {
			t.Errorf("%s: %s, next: %s", name, v, v.Next)
		}
	}
}

// TestTwoClustersServe: nobody is told to empty the folder of a member whose own cluster has a leader, and maybe newer data.
func TestTwoClustersServe(t *testing.T) {
	f := healthy(3)
	m := &f.Members[2]
	m.Unknown, m.Foreign, m.Cluster, m.Leader = true, true, "99", "n3"
	if v := Judge(f.Members); !strings.Contains(v.Why, "n3 belongs to another cluster, 99, which has a leader") || !strings.HasPrefix(v.Next, "keep the cluster whose data you need") {
		t.Errorf("%s, next: %s", v, v.Next)
	}
	m.Leader = ""
	if v := Judge(f.Members); !strings.HasPrefix(v.Next, "stop n3, which belongs to another cluster") {
		t.Errorf("%s, next: %s", v, v.Next)
	}
}

// TestStartingMember: the step after a member that starts is to wait for it, whatever else it lacks.
func TestStartingMember(t *testing.T) {
	f := healthy(3)
	f.Members[1].Stage, f.Members[1].Leader = "starting", ""
	if v := Judge(f.Members); v.Word != Degraded || !strings.HasPrefix(v.Next, "wait until n2 has started") {
		t.Errorf("it knows no leader: %s, next %q", v, v.Next)
	}
	f.Members[1].Leader = "n1"
	if v := Judge(f.Members); v.Word != Healthy || v.Next != "" {
		t.Errorf("it follows: %s, next %q", v, v.Next)
	}
}

// TestChecks: each check of the table has facts with its finding, and is ok on a healthy cluster and a sound folder.
func TestChecks(t *testing.T) {
	type finding struct {
		id     string
		level  Level
		text   string // in the result
		change func(f *Facts)
	}
	n2 := func(change func(m *Member)) func(f *Facts) { return func(f *Facts) { change(&f.Members[1]) } }
	at := func(change func(d *Folder)) func(f *Facts) { return func(f *Facts) { change(f.Folder) } }
	found := map[string]bool{}
	for _, tt := range []finding{
		{"quorum", Failure, "NO QUORUM: 1 of 3 voters answers", func(f *Facts) { dead(f, "n1", "n2") }},
		{"margin", Warning, "one more loss stops writes: 2 of 3", func(f *Facts) { dead(f, "n2") }},
		{"margin", Warning, "a cluster of 2 voters survives no loss", func(f *Facts) { f.Members = f.Members[:2] }},
		{"members", Failure, "n2 does not answer: connection refused", func(f *Facts) { dead(f, "n2") }},
		{"members", Warning, "n2 does not answer this host, but other members are connected", n2(func(m *Member) { m.Answers = false })},
		{"members", Warning, "n2 is not a member", n2(func(m *Member) { m.Unknown = true })},
		{"members", Failure, "n2 is suspended", n2(func(m *Member) { m.State = "suspended" })},
		{"alarms", Failure, "NOSPACE of n2: full", n2(func(m *Member) { m.Alarms = []Raised{{"NOSPACE", "n2", "full"}} })},
		{"alarms", Failure, "NEWER of n2: odd", n2(func(m *Member) { m.Alarms = []Raised{{"NEWER", "n2", "odd"}} })},
		{"alarms", Warning, "CLOCK of n1: ahead", n2(func(m *Member) { m.Alarms = []Raised{{"CLOCK", "n1", "ahead"}} })},
		{"links", Failure, "n2 has no connection to n3: timeout", func(f *Facts) {
			f.Members[1].Links[1], f.Members[2].Links[1] = Link{Member: "n3", Error: "timeout"}, Link{Member: "n2", Error: "timeout"}
		}},
		{"lag", Warning, "n2 lags by 10000 entries", n2(func(m *Member) { figures.Set(&m.Values, figures.Applied, m.Get(figures.Applied)-doctorLag) })},
		{"scrub", Failure, "n2 found 3 damaged files", n2(func(m *Member) { figures.Set(&m.Values, figures.Damaged, 3) })},
		{"state", Failure, "n2 has the digest bb at index 100000, n1 has aa", n2(func(m *Member) { m.Digest = "bb" })},
		{"disk-sync", Failure, "n2: p99 of the last minute is 500.0 ms", n2(func(m *Member) { figures.Set(&m.Values, figures.SyncP99, 500*time.Millisecond) })},
		{"disk-sync", Warning, "n2: p99 of the last minute is 100.0 ms", n2(func(m *Member) { figures.Set(&m.Values, figures.SyncP99, 100*time.Millisecond) })},
		{"disk-sync", Warning, "n2: p99 of the last minute is 20.0 ms", n2(func(m *Member) {
			figures.Set(&m.Values, figures.SyncP99, 20*time.Millisecond)
			figures.Set(&m.Values, figures.ElectionTimeout, 200*time.Millisecond)
		})},
		{"clock", Warning, "n2: its clock is 1.001s ahead of this host's", n2(func(m *Member) { m.Clock = 1001 * time.Millisecond })},
		{"clock", Warning, "the clock of n2 is 1.2s behind the clock of n1", func(f *Facts) { f.Members[0].Clock, f.Members[1].Clock = 600*time.Millisecond, -600*time.Millisecond }},
		{"certificates", Failure, "n2: 10.0.0.1:2379 expired 1m0s ago", n2(func(m *Member) { m.Certificate.Left = -time.Minute })},
		{"certificates", Failure, "n2: 10.0.0.1:2379 expired 0s ago", n2(func(m *Member) { m.Certificate.Left = 0 })},
		{"certificates", Warning, "n2: 10.0.0.1:2379 expires in 29 days", n2(func(m *Member) { m.Certificate.Left = 29*24*time.Hour + time.Hour })},
		{"certificates", Warning, "n2: 10.0.0.1:2379 does not name the address 10.0.0.1", n2(func(m *Member) { m.Certificate.NotNamed = "10.0.0.1" })},
		{"certificates", Failure, "n2: expired", n2(func(m *Member) { m.Certificate = Certificate{Refused: true, Error: "expired"} })},
		{"certificates", Failure, "n2: expired", n2(func(m *Member) { m.Answers, m.Why, m.Error = false, Untrusted, "expired" })},
		{"members", Failure, "n2 does not answer: expired", n2(func(m *Member) { m.Answers, m.Why, m.Error = false, Untrusted, "expired" })},
		{"members", Failure, "n2 does not answer: refused; the others have not lost it yet", n2(func(m *Member) { m.Answers, m.Why, m.Error = false, Closed, "refused" })},
		{"members", Warning, "n2 is starting, and does not serve yet", n2(func(m *Member) { m.Stage = "starting" })},
		{"members", Failure, "n2 is starting, and knows no leader", n2(func(m *Member) { m.Stage, m.Leader = "starting", "" })},
		{"members", Failure, "x runs, but belongs to another cluster, 99", func(f *Facts) {
			f.Members = append(f.Members, Member{Name: "x", Unknown: true, Answers: true, Foreign: true, Cluster: "99", State: "follower"})
		}},
		{"members", Failure, "n2 runs and answers over TCP, but not over UDP: timeout", func(f *Facts) {
			dead(f, "n2").Members[1] = Member{Name: "n2", Role: kv.Voter, Runs: true, Error: "timeout"}
		}},
		{"members", Failure, "the interface eth1 of n2 has an MTU of 1200 bytes, and 1280 are needed", func(f *Facts) {
			dead(f, "n2").Members[1] = Member{Name: "n2", Role: kv.Voter, Runs: true, Interface: "eth1", Values: figures.Values{int64(figures.MTU), 1200}}
		}},
		{"mtu", Warning, "the interface eth1 of n2 has an MTU of 1279 bytes", n2(func(m *Member) { m.Interface = "eth1"; figures.Set(&m.Values, figures.MTU, 1279) })},
		{"certificates", Warning, "this client: client.crt expires in 1h0m0s", func(f *Facts) { f.Client = Certificate{File: "client.crt", Left: time.Hour} }},
		{"mtu", Failure, "the interface tun0 to n2 at 10.0.0.2:2379 has an MTU of 1279 bytes", n2(func(m *Member) { m.Routes = []Route{{Address: "10.0.0.2:2379", Interface: "tun0", MTU: 1279}} })},
		{"open-files", Warning, "n2 may open 1024 files", n2(func(m *Member) { figures.Set(&m.Values, figures.Files, 1024) })},
		{"hosts", Warning, "n1 and n2 run on one host", n2(func(m *Member) { figures.Set(&m.Values, figures.Host, 1) })},
		{"disks", Warning, "the data folders of n1 and n2 are on one file system", n2(func(m *Member) { figures.Set(&m.Values, figures.Host, 1) })},
		{"versions", Warning, "n1 0.2.0, n2 0.3.0, n3 0.2.0", n2(func(m *Member) { m.Version = "0.3.0" })},
		{"feature-level", Warning, "the level is 5, the newest member supports 6; n1 supports 5, n3 supports 5", n2(func(m *Member) { figures.Set(&m.Values, figures.LevelMost, 6) })},
		{"feature-level", Warning, "the level is 5, all members that answer support 6", func(f *Facts) {
			for i := range f.Members {
				figures.Set(&f.Members[i].Values, figures.LevelMost, 6)
			}
		}},
		{"quota", Warning, "n2: 80 % of the quota", n2(func(m *Member) { figures.Set(&m.Values, figures.Used, 800) })},
		{"quota", Failure, "n2: all of the quota", n2(func(m *Member) { figures.Set(&m.Values, figures.Used, 1000) })},
		{"history", Warning, "it reaches back for 4m59s, to revision 2", func(f *Facts) { figures.Set(&f.Members[0].Values, figures.HistoryAge, 5*time.Minute-time.Second) }},
		{"disk-space", Warning, "n2: 32 MiB of 2097152 MiB are free, and 33 MiB may be needed", n2(func(m *Member) {
			figures.Set(&m.Values, figures.DiskFree, limits.SpaceMargin)
			figures.Set(&m.Values, figures.DiskWant, limits.SpaceMargin+1<<20)
		})},
		{"disk-space", Failure, "n2: 31 MiB", n2(func(m *Member) { figures.Set(&m.Values, figures.DiskFree, limits.SpaceMargin-1) })},
		{"backup", Failure, "the backup of n1 in /backup/n has not been complete for 5m0s", func(f *Facts) { figures.Set(&f.Members[0].Values, figures.BackupAge, limits.BackupOld) }},
		{"backup", Warning, "the backup of n1 in /backup/n has not been complete for 1m0s", func(f *Facts) { figures.Set(&f.Members[0].Values, figures.BackupAge, doctorBackup) }},
		{"backup", Failure, "n1 leads and makes no backup", func(f *Facts) { f.Members[0].Backup = "" }},
		{"backup", Warning, "no backup is made while n2 leads", n2(func(m *Member) { m.Backup = "" })},

		{"folder", Failure, "no such folder", at(func(d *Folder) { d.Error = "no such folder" })},
		{"folder", Failure, "the mode of /data is 0750, and 0700 is needed", at(func(d *Folder) { d.Mode = 0o750 })},
		{"folder", Failure, "belongs to user 0, and this process runs as user 5", at(func(d *Folder) { d.User = 5 })},
		{"files", Failure, "a.snap: checksum", at(func(d *Folder) { d.Damaged = []string{"a.snap: checksum"} })},
		{"free-space", Warning, "/data: ", at(func(d *Folder) { d.FreeBytes = d.SizeBytes/10 - 1 })},
		{"disk", Warning, "p50 of a sync is 1.0 ms, p99 10.0 ms", at(func(d *Folder) { d.Sync.P99 = 10 * time.Millisecond })},
		{"disk", Failure, "p99 500.0 ms", at(func(d *Folder) { d.Sync.P99 = 500 * time.Millisecond })},
		{"file-limit", Warning, "may open 256 files", at(func(d *Folder) { d.Files = 256 })},
		{"timer-slack", Warning, "may fire 2ms late", at(func(d *Folder) { d.TimerSlack = 2 * time.Millisecond })},
		{"time-sync", Warning, "no time service", at(func(d *Folder) { d.ClockSynced = false })},
		{"udp-buffers", Warning, "net.core.wmem_max is 212992 bytes", at(func(d *Folder) { d.UDPSend = 212992 })},
	} {
		f := healthy(3)
		f.Folder = soundFolder()
		tt.change(f)
		results := Run(f)
		i := slices.IndexFunc(results, func(r Result) bool { return r.ID == tt.id && r.Level == tt.level && strings.Contains(r.Text, tt.text) })
		if i < 0 {
			t.Errorf("%s finds no %s %q, but %+v", tt.id, tt.level, tt.text, of(tt.id, results))
			continue
		}
		if results[i].Do == "" || results[i].Docs != "docs/doctor.md#"+tt.id {
			t.Errorf("%s: do %q, docs %q", tt.id, results[i].Do, results[i].Docs)
		}
		if tt.id == "files" && !strings.HasPrefix(results[i].Do, "start the member: it fetches a part") {
			t.Errorf("files: do %q", results[i].Do)
		}
		found[tt.id] = true
	}
	f := healthy(3)
	f.Folder = soundFolder()
	sound := Run(f)
	if w := Worst(sound); w != OK {
		t.Errorf("the worst level of a healthy cluster is %s", w)
	}
	for _, c := range slices.Concat(Cluster, Host) {
		if !found[c.ID] {
			t.Errorf("no facts of this test make %s fail", c.ID)
		}
		if got := of(c.ID, sound); len(got) != 1 || got[0].Level != OK || got[0].Text == "" || got[0].Do != "" {
			t.Errorf("%s on a healthy cluster: %+v", c.ID, got)
		}
	}
}

func of(id string, all []Result) []Result {
	return slices.DeleteFunc(slices.Clone(all), func(r Result) bool { return r.ID != id })
}

// TestSoundBounds: the values next to the bounds of TestChecks are no finding.
func TestSoundBounds(t *testing.T) {
	f := healthy(3)
	m := &f.Members[1]
	m.Digest = "bb"
	figures.Set(&m.Values, figures.Applied, f.Members[0].Count(figures.Applied)-doctorLag+1) // another position
	m.Clock = doctorClock
	figures.Set(&m.Values, figures.SyncP99, limits.SlowSync-time.Microsecond)
	figures.Set(&m.Values, figures.Used, 799)
	m.Certificate.Left = doctorCertificate
	figures.Set(&m.Values, figures.Files, limits.EtcdConnections+limits.FilesKept)
	m.Routes[0].MTU = doctorMTU
	figures.Set(&f.Members[0].Values, figures.HistoryAge, limits.HistoryShort)
	figures.Set(&m.Values, figures.DiskWant, m.Get(figures.DiskFree))
	figures.Set(&f.Members[0].Values, figures.BackupAge, doctorBackup-time.Microsecond)
	m.Links[1] = Link{Member: "n3", Error: "timeout"} // the other end is connected
	if results := Run(f); Worst(results) != OK {
		t.Errorf("%+v", results)
	}
}

// TestOneEndOfALink: a connection that one end has not noticed yet is no missing one, whichever end that is.
func TestOneEndOfALink(t *testing.T) {
	for i := range 3 {
		for k := range 2 {
			f := healthy(3)
			f.Members[i].Links[k].Connected = false
			if got := of("links", Run(f)); len(got) != 1 || got[0].Level != OK {
				t.Errorf("%s says that it has no connection to %s: %+v", f.Members[i].Name, f.Members[i].Links[k].Member, got)
			}
		}
	}
}

// TestLinkOfASuspendedMember: the others refuse its connections, so an open port would not help.
func TestLinkOfASuspendedMember(t *testing.T) {
	f := healthy(3)
	f.Members[1].State = "suspended"
	f.Members[1].Links[1], f.Members[2].Links[1] = Link{Member: "n3", Error: "AMNESIA"}, Link{Member: "n2", Error: "AMNESIA"}
	results := Run(f)
	if got := of("links", results); len(got) != 1 || got[0].Level != Failure || got[0].Do != of("members", results)[0].Do || !strings.Contains(got[0].Do, "folder of n2") {
		t.Errorf("%+v", got)
	}
}

// TestSuspendedForItsState: a member whose state is wrong has forgotten nothing, so its last folder does not help.
func TestSuspendedForItsState(t *testing.T) {
	f := healthy(3)
	f.Members[1].State, f.Members[1].Alarms = "suspended", []Raised{{"CORRUPT", "n2", "checksum mismatch in memory"}}
	if v := Judge(f.Members); v.Word != Degraded || v.Next != alarmNamed(kv.CorruptAlarm).Do {
		t.Errorf("%s, next: %s", v, v.Next)
	}
	if got := of("members", Run(f)); len(got) != 1 || got[0].Do != alarmNamed(kv.CorruptAlarm).Do {
		t.Errorf("%+v", got)
	}
}

// TestLinkWithoutAddress: a member that does not know where another is needs its address, and no open port.
func TestLinkWithoutAddress(t *testing.T) {
	f := healthy(3)
	f.Members[1].Links[1] = Link{Member: "n3", Error: "cannot connect to a peer: " + noAddress}
	f.Members[2].Links[1] = Link{Member: "n2", Error: "timeout"}
	if got := of("links", Run(f)); len(got) != 1 || !strings.HasPrefix(got[0].Do, "stop n2, and start it again with `--initial-cluster`") {
		t.Errorf("%+v", got)
	}
}

// TestFolderAsRoot: root examines the folder of the member's user, and that is no failure.
func TestFolderAsRoot(t *testing.T) {
	f := healthy(3)
	f.Folder = soundFolder()
	f.Folder.Owner, f.Folder.User = 5, 0
	if got := of("folder", Run(f)); len(got) != 1 || got[0].Level != OK || !strings.Contains(got[0].Text, "belongs to user 5: run the member as that user") {
		t.Errorf("%+v", got)
	}
}

// TestUnchecked: missing facts are named, and are no failure.
func TestUnchecked(t *testing.T) {
	f := &Facts{NoAnswer: "the cluster was not asked", Folder: &Folder{Error: "permission denied", FilesSkip: "a member runs", TimerSlackSkip: "x", ClockSkip: "x", UDPSkip: "x"}}
	for _, r := range Run(f) {
		switch {
		case r.ID == "folder":
		case r.Level != Unchecked || r.Text == "":
			t.Errorf("%+v", r)
		}
	}
	// Members that could not measure something report less.
	f = healthy(3)
	for i := range f.Members {
		m := &f.Members[i]
		*m = Member{Name: m.Name, Answers: true, State: m.State, Leader: "n1", Values: figures.Values{int64(figures.Applied), m.Get(figures.Applied)}, Digest: m.Digest, Links: m.Links}
	}
	results := Run(f)
	if w := Worst(results); w != OK {
		t.Errorf("members that report less: %+v", results)
	}
	for _, id := range []string{"clock", "mtu", "open-files", "hosts", "disks", "disk-space", "disk-sync", "backup"} {
		if got := of(id, results); len(got) != 1 || got[0].Level != Unchecked {
			t.Errorf("%s of members that report less: %+v", id, got)
		}
	}
}

// TestBackupOfANewLeader: a leader that does not know yet whether its backup is complete has neither a complete one nor a failed one.
func TestBackupOfANewLeader(t *testing.T) {
	f := healthy(3)
	figures.Set(&f.Members[0].Values, figures.BackupAge, 0)
	got := of("backup", Run(f))
	if len(got) != 1 || got[0].Level != Unchecked || got[0].Text != "n1 has just begun to lead, so whether its backup in /backup/n is complete is not known yet" {
		t.Errorf("%+v", got)
	}
}

// TestBackupThatWasNeverComplete: a leader without any complete backup is not said to have had one some seconds ago.
func TestBackupThatWasNeverComplete(t *testing.T) {
	f := healthy(3)
	for age, want := range map[time.Duration]string{
		limits.BackupFailing - time.Second: "n1 makes it in /backup/n: complete 9s ago",
		limits.BackupFailing:               "n1 makes it in /backup/n: not complete for 10s",
	} {
		figures.Set(&f.Members[0].Values, figures.BackupAge, age)
		if got := of("backup", Run(f)); len(got) != 1 || got[0].Level != OK || got[0].Text != want {
			t.Errorf("after %v: %+v", age, got)
		}
	}
}

// TestAlarmTable: each name of package kv has one entry, alarms before notices.
func TestAlarmTable(t *testing.T) {
	seen := map[kv.AlarmName]bool{}
	severity := severityAlarm
	for _, a := range Alarms {
		if seen[a.Name] || a.Means == "" || a.Do == "" {
			t.Errorf("the entry of %s: %+v", a.Name, a)
		}
		if s := a.Name.Severity(); s != severity && s == severityAlarm {
			t.Errorf("the alarm %s is listed among the notices", a.Name)
		}
		seen[a.Name], severity = true, a.Name.Severity()
	}
	for _, name := range kv.AlarmNames() {
		if !seen[name] {
			t.Errorf("%s has no entry", name)
		}
	}
	if got := AlarmsHelp("notice"); strings.Contains(got, "NOSPACE") || !strings.Contains(got, "CLOCK a member's clock differs") {
		t.Errorf("the notices are %q", got)
	}
}

// TestAlarmsOnce: the report of the affected member replaces the reports of others.
func TestAlarmsOnce(t *testing.T) {
	f := healthy(3)
	f.Members[0].Alarms = []Raised{{"NOSPACE", "n2", "by n1"}, {"CERT", "n3", "ends"}}
	f.Members[1].Alarms = []Raised{{"NOSPACE", "n2", "by n2"}}
	if got := fmt.Sprint(raised(f.Members, severityAlarm)); got != "[CERT of n3: ends NOSPACE of n2: by n2]" {
		t.Error(got)
	}
}
