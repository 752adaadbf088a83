package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"qkv/cli/form"
	"qkv/index"
)

// TestProcessUpgrade runs the last version's program, QKV_LAST, beside this one: three members under load are upgraded one after the other,
// two go back before the feature level is raised, members of each version get a snapshot of the other one, and the clients of both versions
// ask the members of both. Nothing that was acknowledged is missing, and all members end with the same state.
func TestProcessUpgrade(t *testing.T) {
	last := os.Getenv("QKV_LAST")
	if last == "" {
		t.Skip("QKV_LAST names no program of the last version")
	}
	alongside(t)
	u := &upgrade{newProcesses(t, 3), last}
	for _, m := range u.members {
		m.program = last
		m.start()
	}
	u.level()
	level := u.announced()
	l := startWorkload(u.clusterProcess)
	exchange := func(m *memberProcess, program string) {
		t.Helper()
		m.stop()
		m.program = program
		m.start()
		u.answer()
		l.goesOn()
	}
	first, second, third := u.members[0], u.members[1], u.members[2]
	u.ask()
	u.rejoin(first, "") // gets a snapshot of an old member
	exchange(second, "")
	u.leads(first) // what a new leader proposes, an old member applies
	l.goesOn()
	u.rejoin(third, last) // an old member that gets a snapshot of a new one
	u.ask()

	exchange(first, last)
	exchange(second, last)
	for _, m := range u.members {
		exchange(m, "")
	}
	now := u.announced()
	if u.ask(); now == level {
		exchange(first, last)
		exchange(first, "")
	} else {
		time.Sleep(2 * time.Second) // the leader raises the level when it has applied that every member has announced it
		first.stop()
		first.program = last
		first.refuses(form.ExitFailed, "newer qkv", fmt.Sprintf("feature level %d", now))
		first.program = ""
		first.start()
	}
	u.level()
	l.history.others = u.asked()
	h := l.end()
	u.wellAfter()
	h.figures(t, fmt.Sprintf("an upgrade from feature level %d to %d", level, now))
}

// upgrade is a cluster whose members run this program or the last version's.
type upgrade struct {
	*clusterProcess
	last string
}

// leads moves the leadership to a member. On a crowded host the outcome of a move may be unknown, and an operator asks again
// then.
func (u *upgrade) leads(m *memberProcess) {
	u.t.Helper()
	said := u.qkv("member", "lead", m.name)
	for range 4 {
		if said.code != form.ExitUnknown {
			break
		}
		said = u.qkv("member", "lead", m.name)
	}
	said.exits(u.t, form.ExitOK)
}

// ask runs the clients of both versions on each member.
func (u *upgrade) ask() {
	u.t.Helper()
	for _, program := range []string{u.last, "qkv"} {
		for i, m := range u.members {
			key := fmt.Sprintf("upgrade/%d", i)
			grant := runProgram(u.t, program, u.environment(), "lease", "grant", "60", "--endpoints", m.listen).exits(u.t, form.ExitOK)
			lease := strings.Fields(grant.stdout)[1]
			for _, one := range []struct{ command, want string }{
				{"put " + key + " one", ""},
				{"get " + key, "one"},
				{"put " + key + " two", ""},
				{"get upgrade/ --prefix", key},
				{"history " + key, "one"},
				{"watch " + key + " --rev 1 --limit 2", key},
				{"put " + key + "/leased v --lease " + lease, ""},
				{"lease keep-alive " + lease + " --once", ""},
				{"lease timetolive " + lease + " --keys", key},
				{"lease list", lease},
				{"lease revoke " + lease, ""},
				{"status", m.name},
				{"status -w json", m.name},
				{"member list", m.name},
				{"log upgrade/ --from 1", key},
				{"export upgrade/", key},
				{"del " + key, ""},
			} {
				said := runProgram(u.t, program, u.environment(), append(strings.Fields(one.command), "--endpoints", m.listen)...).exits(u.t, form.ExitOK)
				if !strings.Contains(said.stdout, one.want) {
					u.t.Errorf("%s %s at %s says %q, not %q", program, one.command, m.name, said.stdout, one.want)
				}
			}
		}
	}
}

// asked are the revisions that ask has made.
func (u *upgrade) asked() map[int64]bool {
	u.t.Helper()
	all := map[int64]bool{}
	for line := range strings.Lines(u.qkv("log", "upgrade/", "--from", "1").exits(u.t, form.ExitOK).stdout) {
		var change struct {
			Revision int64 `json:"revision"`
		}
		must(u.t, json.Unmarshal([]byte(line), &change))
		all[change.Revision] = true
	}
	if len(all) == 0 {
		u.t.Fatal("the log has no change of the clients of both versions")
	}
	return all
}

// rejoin has a program join in the place of a member, with an empty data folder. A learner that never starts holds the feature level down
// meanwhile.
func (u *upgrade) rejoin(m *memberProcess, program string) {
	u.t.Helper()
	m.stop()
	must(u.t, os.RemoveAll(m.dataDir))
	others := u.others(m)
	u.qkv("member", "add", "holder", "--learner", "--peer", "127.0.0.1:9").exits(u.t, form.ExitOK)
	u.qkv("member", "remove", m.name).exits(u.t, form.ExitOK)
	u.qkv("member", "add", m.name, "--peer", m.listenPeer).exits(u.t, form.ExitOK)
	u.qkv("member", "remove", "holder").exits(u.t, form.ExitOK)
	m.program, m.log = program, m.log+"-again"
	m.arguments = []string{"--segment-bytes", "1048576", "--join", others[0].listenPeer + "," + others[1].listenPeer}
	m.start()
	m.says("snapshot installed")
	u.answer()
}

// announced returns the feature level that all members have announced.
func (u *upgrade) announced() uint64 {
	u.t.Helper()
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var list struct {
			Members []struct {
				Level uint64 `json:"feature_level"`
			} `json:"members"`
		}
		must(u.t, json.Unmarshal([]byte(u.qkv("member", "list", "-w", "json").exits(u.t, form.ExitOK).stdout), &list))
		lowest, highest := uint64(index.MaxLevel), uint64(0)
		for _, m := range list.Members {
			lowest, highest = min(lowest, m.Level), max(highest, m.Level)
		}
		if len(list.Members) == len(u.members) && lowest > 0 && lowest == highest {
			return lowest
		}
	}
	u.t.Fatalf("the members announce no common feature level in %v", processWait)
	return 0
}
