package cli

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/testlong"
	"qkv/net/client"
)

// advised names, for each producer of advice, the test that makes its fault and follows the advice. A reason in its place begins with a
// dash: there is nothing to follow, or no test of this package can make the fault. A tilde: the test does what the advice says, and does not
// read it.
var advised = map[string]string{
	"step start-all":     "TestAdviceOfLostMembers",
	"step start":         "TestAdviceOfLostMembers",
	"step start-quorum":  "TestAdviceOfLostMembers",
	"step start-ended":   "TestAdviceOfLostMembers",
	"step start-joining": "TestAdviceAfterARecovery",
	"step displaced":     "TestAdviceOfADisplacedMember",
	"step replaced-runs": "TestAdviceOfAReplacementGivenUp",
	"step wait":          "TestAdviceOfCutPaths",
	"step starting":      "- it says to wait",
	"step reconnect":     "TestAdviceOfCutPaths",
	"step addresses":     "- after a restore: TestLinkWithoutAddress of package checks",
	"step open-client":   "TestHostsDoctor",
	"step open-udp":      "TestHostsDoctor",
	"step client-port":   "TestAdviceOfAPort",
	"step mtu":           "TestHostsDoctor",
	"step other-cluster": "TestAdviceAfterARecovery",
	"step two-clusters":  "- people choose: TestTwoClustersServe of package checks",
	"step endpoint":      "TestAdviceAfterARecovery",
	"step quota":         "TestAdviceOfAQuota",
	"step upgrade":       "TestAdviceOfAnUpgrade",
	"step lead":          "TestAdviceOfAnUpgrade",

	"alarm NOSPACE":   "~TestProcessDiskFull",
	"alarm CORRUPT":   "~TestAdverseSnapshotRot",
	"alarm AMNESIA":   "TestAdviceOfAnOldFolder",
	"alarm SLOWDISK":  "~TestAdverseSlowDisk",
	"alarm CERT":      "TestAdviceOfCertificates",
	"alarm SNAPSHOT":  "- on a full disk NOSPACE says the same; package actor makes other saves fail",
	"alarm RETENTION": "- it says that history goes; TestOneMemberDropsNoHistory of package node fills the disk",
	"alarm BACKUP":    "~TestProcessBackupOfMembers",
	"alarm REFUSED":   "TestAdviceAfterARecovery",
	"alarm FAILED":    "- the member ends, and its log has the reason",
	"alarm TORN":      "- nothing is to be done",
	"alarm QUOTA":     "TestAdviceOfAQuota",
	"alarm HISTORY":   "- the history is longer only after minutes",
	"alarm MEMORY":    "- needs a host with another memory",
	"alarm CLOCK":     "- needs another clock",
	"alarm JOIN":      "TestAdviceOfAJoiner",
	"alarm FOUNDING":  "TestAdviceOfFounders",
	"alarm NETWORK":   "- needs a kernel that refuses packets: TestNoticeOfRefusedSends of package node",
	"alarm INSECURE":  "- TestProcessSecret starts members with a secret",

	"check quorum":        "TestAdviceOfLostMembers",
	"check margin":        "TestAdviceOfLostMembers",
	"check members":       "TestAdviceOfLostMembers",
	"check alarms":        "TestAdviceOfAQuota",
	"check links":         "TestAdviceOfCutPaths",
	"check lag":           "- it says to wait",
	"check scrub":         "~TestAdverseSnapshotRot",
	"check state":         "~TestAdverseSnapshotRot",
	"check disk-sync":     "~TestAdverseSlowDisk",
	"check clock":         "- needs another clock",
	"check certificates":  "TestAdviceOfCertificates",
	"check mtu":           "TestHostsDoctor",
	"check open-files":    "- needs another limit of the process",
	"check hosts":         "- needs other hosts",
	"check disks":         "- needs other disks",
	"check versions":      "TestAdviceOfAnUpgrade",
	"check feature-level": "- this program has one level: make upgrade",
	"check quota":         "TestAdviceOfAQuota",
	"check history":       "- the history is longer only after minutes",
	"check disk-space":    "~TestProcessDiskFull",
	"check backup":        "~TestProcessBackupOfMembers",

	"host folder":      "~TestProcessDoctorOfAFolder",
	"host files":       "~TestProcessDoctorOfAFolder",
	"host free-space":  "- needs another disk",
	"host disk":        "- needs another disk",
	"host file-limit":  "- needs another limit of the shell",
	"host timer-slack": "- needs another unit",
	"host time-sync":   "- needs another service",
	"host udp-buffers": "- needs another kernel setting",

	"probe serializable_read": "- the member's log has the reason",
	"probe data_corruption":   "~TestAdverseSnapshotRot",
	"probe linearizable_read": "TestAdviceOfLostMembers",
	"probe non_learner":       "- it says to wait",
	"probe certificate":       "~TestAdviceOfCertificates",
}

// TestAllAdviceIsFollowed: each producer of advice has a test that follows it, and the test is there.
func TestAllAdviceIsFollowed(t *testing.T) {
	tests := testNames(t)
	var all []string
	for _, s := range checks.Steps {
		all = append(all, "step "+s.ID)
	}
	for _, a := range checks.Alarms {
		all = append(all, "alarm "+string(a.Name))
	}
	for _, c := range checks.Cluster {
		all = append(all, "check "+c.ID)
	}
	for _, c := range checks.Host {
		all = append(all, "host "+c.ID)
	}
	for _, p := range checks.Probes {
		all = append(all, "probe "+p.Name)
	}
	for _, one := range all {
		switch by := advised[one]; {
		case by == "":
			t.Errorf("no test follows the advice of %s", one)
		case !strings.HasPrefix(by, "- ") && !slices.Contains(tests, strings.TrimPrefix(by, "~")):
			t.Errorf("%s: there is no test %s", one, by)
		}
	}
	if len(all) != len(advised) {
		for one := range advised {
			if !slices.Contains(all, one) {
				t.Errorf("nothing gives the advice %s", one)
			}
		}
	}
}

// testNames returns the names of all tests of this package.
func testNames(t *testing.T) (names []string) {
	t.Helper()
	found := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	must(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			for _, m := range found.FindAllStringSubmatch(string(readFile(t, path)), -1) {
				names = append(names, m[1])
			}
		}
		return err
	}))
	return names
}

// verdictJSON is the status's verdict.
type verdictJSON struct{ Verdict, Why, Next string }

func (c *clusterProcess) verdict(words ...string) (v verdictJSON) {
	c.t.Helper()
	got := c.qkv(append([]string{"status", "-w", "json", "--timeout", "5s"}, words...)...)
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil {
		c.t.Fatalf("%v: %+v", err, got)
	}
	return v
}

// advises waits until the next step of a verdict that is not HEALTHY matches, and returns the submatches.
func (c *clusterProcess) advises(pattern string) []string {
	c.t.Helper()
	re := regexp.MustCompile(pattern)
	var v verdictJSON
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if v = c.verdict(); v.Verdict != checks.Healthy {
			if found := re.FindStringSubmatch(v.Next); found != nil {
				return found
			}
		}
	}
	c.t.Fatalf("no next step %q: %+v\n%s", pattern, v, c.tails())
	return nil
}

// startAgain follows `start n1 and n2 again`.
func (c *clusterProcess) startAgain(names string) {
	c.t.Helper()
	for _, name := range strings.Split(strings.ReplaceAll(names, " and ", ", "), ", ") {
		m := c.named(name)
		if m.running() {
			c.t.Fatalf("%s runs, and is to be started", name)
		}
		m.start()
	}
}

// wellAgain waits for a healthy cluster, which has kept what was written.
func (c *clusterProcess) wellAgain(t *testing.T) {
	t.Helper()
	c.level()
	c.says("HEALTHY", form.ExitOK, "")
	if got := c.qkv("get", "kept").exits(t, form.ExitOK); got.stdout != "value\n" {
		t.Errorf("a value that was acknowledged is lost: %+v", got)
	}
}

var (
	startNames = `^start ((?:n\d(?:, | and )?)+) again`
	command    = regexp.MustCompile("`qkv ([^`]+)`")
)

// serveAs starts a member by a command that qkv has printed for its host, with an empty folder.
func (m *memberProcess) serveAs(printed string) {
	m.t.Helper()
	words := strings.Fields(printed[strings.Index(printed, "qkv serve ")+len("qkv "):])
	for i := range words[:len(words)-1] {
		switch value := &words[i+1]; words[i] {
		case "--data-dir":
			*value = m.dataDir
		case "--name":
			m.name = *value
		case "--listen":
			m.listen = *value
		}
	}
	m.line = append(words, "--home", m.home, "--log-format", "text")
	m.start()
}

// fullAdvice skips a test of advice unless all are wanted.
func fullAdvice(t *testing.T) {
	t.Helper()
	if !fullVariant() {
		t.Skip("the tests of advice take minutes: QKV_FULL=1; TestAdviceOfLostMembers, OfCertificates and OfAJoiner run always")
	}
}

// TestAdviceOfLostMembers kills one, two and three members, and loses a disk. Status never says HEALTHY of members that have just died.
func TestAdviceOfLostMembers(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 3)
	c.qkv("put", "kept", "value").exits(t, form.ExitOK)
	c.level()
	c.knows(c.members[0])
	followers := c.others(c.leader())
	m := followers[0]
	m.kill()
	if v := c.verdict(); v.Verdict == checks.Healthy {
		t.Errorf("just after %s was killed: %+v", m.name, v)
	}
	c.startAgain(c.advises(startNames)[1])
	c.wellAgain(t)

	c.knows(c.members[0])
	for _, m := range followers {
		m.signal(syscall.SIGKILL)
	}
	for _, m := range followers {
		<-m.ended
	}
	c.startAgain(c.advises(startNames + " with the same data folders; if they are lost for good, first compare a backup, if there is one, with revision 2")[1])
	c.wellAgain(t)

	for _, m := range c.members {
		m.signal(syscall.SIGKILL)
	}
	for _, m := range c.members {
		<-m.ended
	}
	c.advises("^start the members")
	for _, m := range c.members {
		m.start()
	}
	c.wellAgain(t)

	c.knows(c.members[0])
	m = c.others(c.leader())[1]
	m.kill()
	must(t, os.RemoveAll(m.dataDir))
	line := c.advises("^start " + m.name + " again; if its disk is lost, run `qkv (member replace " + m.name + ")`")[1]
	ended := make(chan answered, 1)
	out := &memberProcess{t: t, name: "replace", log: m.log + ".replace", line: strings.Fields(line), environment: c.environment()}
	out.start()
	t.Cleanup(out.cleanUp)
	m.serveAs(out.says("qkv serve --name " + m.name))
	if code := out.exit(); code != form.ExitOK {
		t.Errorf("%s: %d\n%s", line, code, out.lines())
	}
	close(ended)
	c.wellAgain(t)
}

// TestAdviceOfCutPaths cuts the path between the leader and a follower, which runs and answers.
func TestAdviceOfCutPaths(t *testing.T) {
	fullAdvice(t)
	t.Parallel()
	c := newProcesses(t, 3)
	w := newWires(t, c)
	for _, m := range c.members {
		m.start()
	}
	c.level()
	c.qkv("put", "kept", "value").exits(t, form.ExitOK)
	leader := c.leader()
	cut := c.others(leader)[1]
	w.between.Store(&[2]*memberProcess{leader, cut})
	ends := []string{leader.name, cut.name}
	slices.Sort(ends)
	found := c.advises(`^open the peer port \(by default UDP 2380\) between the hosts of (n\d) and (n\d), in both directions$`)
	if got := found[1:]; !slices.Equal(got, ends) {
		t.Errorf("the path between %v is cut, and not that between %v", ends, got)
	}
	v, d := c.verdict(), c.diagnose()
	if v.Verdict != checks.Degraded || !strings.Contains(v.Why, cut.name+" does not") || strings.Contains(v.Next, "replace") {
		t.Errorf("%+v", v)
	}
	if !has(d, "links", checks.Failure, " has no connection to ") || !has(d, "members", checks.Failure, cut.name+" runs, but ") {
		t.Errorf("%+v", d.Checks)
	}
	w.between.Store(nil)
	c.wellAgain(t)
}

// TestAdviceOfCertificates lets a member's certificate expire, and renews it as the status says.
func TestAdviceOfCertificates(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := newCertified(t, time.Hour)
	m := c.members[2]
	for _, m := range c.members {
		m.start()
	}
	c.awaitLevel()
	c.qkv("put", "kept", "value").exits(t, form.ExitOK)
	var ends time.Time
	loads := func() bool { return strings.Contains(m.lines(), "a new certificate is in use") }
	for life := 3 * time.Second; !loads() && life < processWait; life *= 2 { // on a busy host a certificate may expire before it is loaded
		c.renew(m, life)
		for ends = time.Now().Add(life); !loads() && time.Now().Before(ends); time.Sleep(20 * time.Millisecond) {
		}
	}
	time.Sleep(time.Until(ends.Add(time.Second)))
	found := c.advises("otherwise `qkv (cert renew)` where the CA is, and copy the new .crt to that member")
	v, d := c.verdict(), c.diagnose()
	if strings.Contains(v.Next, "UDP") || strings.Contains(v.Next, "start n") || !has(d, "certificates", checks.Failure, "n3") {
		t.Errorf("%+v %+v", v, d.Checks)
	}
	c.qkv(append(strings.Fields(found[1]), "--certs-dir", c.ca)...).exits(t, form.ExitOK)
	c.copyTo(c.folder(m), "member-n3.crt")
	c.wellAgain(t)
}

// TestAdviceOfAnUpgrade follows doctor, run by the new program, until all members run it.
func TestAdviceOfAnUpgrade(t *testing.T) {
	fullAdvice(t)
	t.Parallel()
	c := newProcesses(t, 3)
	const old, now = "0.3.0-dev+aaaaaaaaaaaa", "0.3.0-dev+bbbbbbbbbbbb"
	for _, m := range c.members {
		m.environment = []string{versionOfTests + "=" + old}
		m.start()
	}
	c.level()
	c.qkv("put", "kept", "value").exits(t, form.ExitOK)
	check := func() checks.Result {
		t.Helper()
		var d cluster.Diagnosis
		got := runQkv(t, append(c.environment(), versionOfTests+"="+now), "doctor", "-w", "json")
		must(t, json.Unmarshal([]byte(got.stdout), &d))
		i := slices.IndexFunc(d.Checks, func(r checks.Result) bool { return r.ID == "versions" })
		if i < 0 {
			t.Fatalf("no versions in %+v", d)
		}
		return d.Checks[i]
	}
	done := "all members run " + now
	install := regexp.MustCompile(`^install qkv (\S+) on the host of (n\d), stop the member with SIGTERM, start it with the same data folder`)
	restarted := map[string]int{}
	u := check()
	for deadline := time.Now().Add(processWait); u.Text != done && time.Now().Before(deadline); u = check() {
		if u.Level != checks.OK && strings.Contains(u.Text, "restart no member now: ") || u.Do == "" {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if found := install.FindStringSubmatch(u.Do); found != nil {
			m := c.named(found[2])
			m.stop()
			m.environment = []string{versionOfTests + "=" + found[1]}
			m.start()
			restarted[m.name]++
			c.level()
			continue
		}
		words := command.FindStringSubmatch(u.Do)
		if words == nil {
			t.Fatalf("%+v", u)
		}
		c.qkv(strings.Fields(words[1])...).exits(t, form.ExitOK)
	}
	if u.Text != done || len(restarted) != 3 || restarted["n1"]+restarted["n2"]+restarted["n3"] != 3 {
		t.Errorf("%+v after %v", u, restarted)
	}
	c.wellAgain(t)
}

// TestAdviceAfterARecovery loses a quorum for good, follows the page, and then has an old member at an endpoint.
func TestAdviceAfterARecovery(t *testing.T) {
	fullAdvice(t)
	t.Parallel()
	c := startProcesses(t, 3)
	c.qkv("put", "kept", "value").exits(t, form.ExitOK)
	c.level()
	m, lost := c.members[0], c.members[1:]
	for _, one := range c.members {
		one.kill()
	}
	saved := backupFolder(t)
	for _, one := range c.members[:2] { // the backup gets more than n3 has
		one.environment = []string{"QKV_BACKUP=" + saved}
		one.start()
	}
	c.qkv("put", "late", "one").exits(t, form.ExitOK)
	c.qkv("backup", "now").exits(t, form.ExitOK)
	for _, one := range c.members[:2] {
		one.environment = nil
		one.kill()
	}
	for _, one := range []struct {
		m          *memberProcess
		has, backs string
	}{{lost[1], "n3 has revision 2,", "MORE than this folder"}, {m, "n1 has revision 3,", "no more than this folder"}} {
		runQkv(t, nil, "recover", "--data-dir", one.m.dataDir, "--backup", saved).exits(t, form.ExitUsage, one.has, one.backs, "pass --accept-loss to confirm", "nothing was changed")
	}
	runQkv(t, nil, "recover", "--data-dir", m.dataDir, "--accept-loss").exits(t, form.ExitUsage, "n1 has revision 3,", "pass --yes to confirm", "nothing was changed")
	runQkv(t, nil, "recover", "--data-dir", m.dataDir, "--accept-loss", "--yes").exits(t, form.ExitOK)
	m.arguments = m.arguments[:len(m.arguments)-2] // --initial-cluster
	m.start()
	c.await("n1 leads", func(members []cluster.MemberStatus) bool { return run.LeaderOf(members) != nil })
	old := lost[0]
	old.start()
	found := c.advises("^stop (n\\d), which belongs to another cluster; if it is to be a member here, empty its data folder, run `qkv (member add)`, and start it with --join$")
	if found[1] != old.name {
		t.Errorf("%v", found)
	}
	old.kill()
	must(t, os.RemoveAll(old.dataDir))
	added := c.qkv(append(strings.Fields(found[2]), old.name, "--peer", old.listenPeer)...).exits(t, form.ExitOK)
	join := c.advises("^start (\\S+) with an empty data folder: `qkv (member add)` with its name and address prints the command$")
	if again := c.qkv(append(strings.Fields(join[2]), old.name, "--peer", old.listenPeer)...).exits(t, form.ExitOK); !strings.Contains(again.stdout, "qkv serve ") {
		t.Errorf("%q", again.stdout)
	}
	old.serveAs(added.stdout)
	c.members = c.members[:2]
	c.wellAgain(t)
}

// TestAdviceOfADisplacedMember has another cluster's member at the address of a member that is down.
func TestAdviceOfADisplacedMember(t *testing.T) {
	fullAdvice(t)
	t.Parallel()
	c := startProcesses(t, 3)
	c.qkv("put", "kept", "value").exits(t, form.ExitOK)
	c.level()
	c.knows(c.members[0])
	m := c.others(c.leader())[0]
	m.kill()
	other := &memberProcess{t: t, name: m.name, listen: m.listen, listenPeer: m.listenPeer, home: m.home, dataDir: m.dataDir + "-other", log: m.log + "-other"}
	t.Cleanup(other.cleanUp)
	other.start()
	other.says("leader", "role=")
	var v verdictJSON
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if v = c.verdict("--endpoints", c.leader().listen); strings.HasPrefix(v.Next, "stop the member that answers at the address of "+m.name+", and start "+m.name+" there") {
			break
		}
	}
	if v.Verdict != checks.Degraded || !strings.HasPrefix(v.Next, "stop the member that answers") {
		t.Errorf("%+v", v)
	}
	other.stop()
	m.start()
	c.wellAgain(t)
}

// TestAdviceOfAPort asks at a peer port, and then at the client port, as status says.
func TestAdviceOfAPort(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 1)
	m := c.members[0]
	if v := c.verdict("--endpoints", m.listenPeer); !strings.HasPrefix(v.Next, "name a client port in --endpoints") {
		t.Errorf("%+v", v)
	}
	c.qkv("put", "key", "value", "--endpoints", m.listenPeer).exits(t, form.ExitUnavailable, "this is the wrong port")
	c.qkv("put", "key", "value", "--endpoints", m.listen).exits(t, form.ExitOK)
}

// TestAdviceOfAQuota fills a quota, and deletes keys as the alarm says.
func TestAdviceOfAQuota(t *testing.T) {
	fullAdvice(t)
	t.Parallel()
	c := startProcesses(t, 1, "--quota-bytes", "1MiB", "--history-bytes", "0")
	c.qkv("put", "kept", "value").exits(t, form.ExitOK)
	value := strings.Repeat("v", 64<<10)
	for i := range 20 {
		if c.qkv("put", "fill/"+string(rune('a'+i)), value).code != form.ExitOK {
			break
		}
	}
	found := c.advises("^delete keys and run `qkv (compact REVISION)` with the newest revision, or")
	c.qkv("del", "--prefix", "fill/").exits(t, form.ExitOK)
	revision := regexp.MustCompile(`"revision":(\d+)`).FindStringSubmatch(c.qkv("status", "-w", "json").stdout)
	c.qkv(strings.Fields(strings.ReplaceAll(found[1], "REVISION", revision[1]))...).exits(t, form.ExitOK)
	c.wellAgain(t)
}

// TestAdviceOfAnOldFolder puts an old folder back, and replaces the member as the alarm says.
func TestAdviceOfAnOldFolder(t *testing.T) {
	fullAdvice(t)
	t.Parallel()
	c := startProcesses(t, 3)
	c.qkv("put", "kept", "before").exits(t, form.ExitOK)
	c.level()
	c.knows(c.members[0])
	m := c.others(c.leader())[0]
	m.stop()
	must(t, os.CopyFS(m.dataDir+"-old", os.DirFS(m.dataDir)))
	m.start()
	c.level()
	c.qkv("put", "kept", "value").exits(t, form.ExitOK)
	c.level()
	m.stop()
	must(t, os.Rename(m.dataDir, m.dataDir+"-last"))
	must(t, os.Rename(m.dataDir+"-old", m.dataDir))
	must(t, filepath.WalkDir(m.dataDir, func(path string, entry fs.DirEntry, err error) error {
		if mode := fs.FileMode(0o600); err == nil {
			if entry.IsDir() {
				mode = 0o700
			}
			return os.Chmod(path, mode)
		}
		return err
	}))
	m.start()
	found := c.advises("^put the last folder of (n\\d) back; if it is lost, stop (n\\d) and run `qkv (member replace n\\d)`$")
	if found[1] != m.name || found[2] != m.name {
		t.Errorf("%v, and %s has an old folder", found, m.name)
	}
	m.kill()
	must(t, os.Rename(m.dataDir, m.dataDir+"-old"))
	must(t, os.Rename(m.dataDir+"-last", m.dataDir))
	m.start()
	c.wellAgain(t)
}

// TestAdviceOfFounders starts two of three founders; the notice names the third one.
func TestAdviceOfFounders(t *testing.T) {
	fullAdvice(t)
	t.Parallel()
	c := newProcesses(t, 3)
	c.members[0].start()
	found := func() string {
		for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if v := c.verdict(); v.Verdict == checks.NoLeader && strings.HasPrefix(v.Next, "start the founders that the notice names") {
				return v.Why
			}
		}
		t.Fatalf("no founder is named: %+v", c.verdict())
		return ""
	}()
	for _, m := range c.members[1:] {
		if !strings.Contains(found, m.name) {
			t.Errorf("%s is not named: %s", m.name, found)
		}
		m.start()
	}
	c.level()
	c.qkv("put", "kept", "value").exits(t, form.ExitOK)
	c.wellAgain(t)
}

// TestAdviceOfAJoiner starts a member that was not added; the notice has what `member add` needs.
func TestAdviceOfAJoiner(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 1)
	c.qkv("put", "kept", "value").exits(t, form.ExitOK)
	at := freeAddresses(t, 2)
	first := c.members[0]
	m := &memberProcess{
		t: t, name: "n2", listen: at[0], listenPeer: at[1], home: c.home, dataDir: first.dataDir + "-n2", log: first.log + "-n2", arguments: []string{"--join", first.listenPeer},
	}
	t.Cleanup(m.cleanUp)
	m.start()
	asks := regexp.MustCompile("n2 asks to join, .*run `qkv (member add n2 --peer [^`]*)`")
	for deadline := time.Now().Add(processWait); ; time.Sleep(50 * time.Millisecond) {
		for _, r := range c.diagnose().Checks {
			said := asks.FindStringSubmatch(r.Text)
			if r.ID != "alarms" || said == nil || r.Do != "do what the notice says, if the member is wanted" {
				continue
			}
			c.qkv(strings.Fields(said[1])...).exits(t, form.ExitOK)
			c.members = append(c.members, m)
			c.wellAgain(t)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody asks to join: %s", m.tail(10))
		}
	}
}

// TestAdviceOfAReplacementGivenUp: a member that is being replaced under its own name comes back before it is removed. The end of its
// replacement gives it its address back, with which it can be replaced again.
func TestAdviceOfAReplacementGivenUp(t *testing.T) {
	fullAdvice(t)
	t.Parallel()
	c := startProcesses(t, 3)
	c.qkv("put", "kept", "value").exits(t, form.ExitOK)
	c.level()
	m, s := c.others(c.leader())[0], c.open(0, processWait)
	list := func() *kv.Member {
		all, err := s.Members(t.Context(), client.ReadOptions{})
		must(t, err)
		one, err := cluster.Named(all, m.name)
		must(t, err)
		return one
	}
	old := list()
	m.signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(processWait); ; time.Sleep(50 * time.Millisecond) {
		if _, err := s.Admin().AddMember(t.Context(), "", old.Peers, client.AddOptions{Instead: old.ID}); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	m.signal(syscall.SIGCONT)
	found := c.advises("^stop (n\\d), which is being replaced under its name and runs, or keep it: `qkv (member remove \\w+)` ends the replacement$")
	if found[1] != m.name || len(list().Peers) > 0 {
		t.Errorf("%q, %+v", found, list())
	}
	c.qkv(strings.Fields(found[2])...).exits(t, form.ExitOK)
	c.wellAgain(t)
	if now := list(); !slices.Equal(now.Peers, old.Peers) || now.ID != old.ID {
		t.Errorf("%+v, want %+v", now, old)
	}
}
