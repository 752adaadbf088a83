package cli

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/internal/checks"
	"qkv/internal/testlong"
)

// TestProcessLostDisk: a member's disk is lost, and its host starts it on an empty one before anybody has replaced it, as
// service managers do. It says what to run and waits, and when that was run goes on by itself. While a member runs, another
// process of its name is told to take another one.
func TestProcessLostDisk(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 3)
	c.qkv("put", "key", "value").exits(t, form.ExitOK)
	lost := c.members[2]
	others := c.others(lost)
	join := []string{"--segment-bytes", "1048576", "--join", others[0].listenPeer + "," + others[1].listenPeer}

	for _, other := range others { // until it has announced its folder, whoever asks by its name may be it
		for deadline := time.Now().Add(processWait); ; time.Sleep(20 * time.Millisecond) {
			said := c.qkv("member", "list", "--serializable", "-w", "json", "--endpoints", other.listen).stdout
			if strings.Count(said, `"started"`) == 3 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not know that all were started: %s", other.name, said)
			}
		}
	}

	second, free := *lost, freeAddresses(t, 2)
	second.listen, second.listenPeer, second.dataDir, second.arguments = free[0], free[1], lost.dataDir+"-second", join
	second.refuses(form.ExitFailed, "n3 has joined already, with another data folder (", "and was connected a moment ago, so two hosts have one name: if that member runs, give this one another --name")

	lost.kill()
	must(t, os.RemoveAll(lost.dataDir))
	lost.arguments = join
	c.await("the others do not hear it", func(members []cluster.MemberStatus) bool {
		return !slices.ContainsFunc(members, func(m cluster.MemberStatus) bool {
			return slices.ContainsFunc(m.Links, func(l checks.Link) bool { return strings.Contains(l.Member, lost.name) && l.Connected })
		})
	})
	lost.start()
	process := lost.cmd.Process.Pid
	lost.says("waiting for permission to join", "qkv member replace n3 --peer "+lost.listenPeer)
	noFiles(t, lost.dataDir, "identity", "wal")
	waits := c.qkv("status").exits(t, form.ExitOK).stdout
	if !strings.Contains(waits, "JOIN of n") || !strings.Contains(waits, "n3 asks to join, from "+lost.listenPeer) {
		t.Errorf("nobody's status says that it waits: %s", waits)
	}
	if said := c.qkv("member", "replace", "n3", "--peer", lost.listenPeer, "--timeout", processWait.String()).exits(t, form.ExitOK); !strings.Contains(said.stdout, "3 of 3: n3 votes, in the place of the lost one") {
		t.Errorf("it says %s", said.stdout)
	}
	c.level()
	if !lost.running() || lost.cmd.Process.Pid != process {
		t.Error("it was not the same process")
	}
	lost.says("qkv serves", "name=n3", "members=3")
	c.await("what was said of its waiting has ended", func(members []cluster.MemberStatus) bool {
		return !slices.ContainsFunc(members, func(m cluster.MemberStatus) bool { return raises(m, "JOIN") })
	})
	if got := c.qkv("get", "key", "--endpoints", lost.listen).exits(t, form.ExitOK); got.stdout != "value\n" {
		t.Errorf("it has %q", got.stdout)
	}
}

// TestProcessJoinerDies: a host asks to join, and dies after the log has bound its id to its folder, before it has made the folder. It is
// started again, makes another folder, and is refused. docs/emergencies.md says what to run.
func TestProcessJoinerDies(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 1)
	c.qkv("put", "key", "value").exits(t, form.ExitOK)
	at, first := freeAddresses(t, 2), c.members[0]
	m := &memberProcess{
		t: t, name: "n2", listen: at[0], listenPeer: at[1], home: c.home, dataDir: first.dataDir + "-n2", log: first.log + "-n2",
		arguments: []string{"--segment-bytes", "1048576", "--join", first.listenPeer},
	}
	t.Cleanup(m.cleanUp)
	c.qkv("member", "add", m.name, "--peer", m.listenPeer).exits(t, form.ExitOK)
	inTheWay := m.dataDir + "/peers" // the first file of a new folder
	must(t, os.MkdirAll(inTheWay, 0o700))
	m.refuses(form.ExitFailed, inTheWay)
	noFiles(t, m.dataDir, "identity", "wal")
	must(t, os.Remove(inTheWay))

	m.start()
	m.says("n2 has joined already, with another data folder (", "waiting for permission to join", "if it is lost, run `qkv member remove ")
	asks := regexp.MustCompile("run `qkv (member remove [0-9a-f]{16})`, then `qkv (member add n2 --peer " + m.listenPeer + ")`")
	var advice []string
	c.await("no notice says so", func(members []cluster.MemberStatus) bool {
		for _, m := range members {
			for _, a := range m.Alarms {
				if found := asks.FindStringSubmatch(a.Text); found != nil {
					advice = found[1:]
				}
			}
		}
		return advice != nil
	})
	for _, line := range advice {
		c.qkv(strings.Fields(line)...).exits(t, form.ExitOK)
	}
	c.members = append(c.members, m)
	c.level()
	m.says("qkv serves", "name=n2", "members=2")
	if got := c.qkv("get", "key", "--endpoints", m.listen).exits(t, form.ExitOK); got.stdout != "value\n" {
		t.Errorf("it has %q", got.stdout)
	}
}
