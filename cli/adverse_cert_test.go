package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
	"qkv/net/client"
)

// certified is a cluster by certificates of a folder of its own, each in a folder of the member's.
type certified struct {
	*clusterProcess
	ca string // where certificates are made
}

func newCertified(t testing.TB, life time.Duration) *certified {
	t.Helper()
	c := &certified{newProcesses(t, 3), filepath.Join(t.TempDir(), "ca")}
	_, err := form.CertMaker().CreateCA(c.ca, "prod")
	must(t, err)
	maker := form.CertMaker()
	maker.Lifetime = life
	for _, m := range c.members {
		_, err := maker.CreateMember(c.ca, m.name, nil)
		must(t, err)
		m.arguments = append(m.arguments, "--certs-dir", c.folder(m))
		c.copyTo(c.folder(m), "ca.crt", "member-"+m.name+".crt", "member-"+m.name+".key")
	}
	_, err = form.CertMaker().CreateClient(c.ca, "admin")
	must(t, err)
	c.certsDir, c.client = c.ca, "admin"
	return c
}

func (c *certified) folder(m *memberProcess) string { return m.dataDir + "-certs" }

// copyTo copies files from where certificates are made, as an operator does.
func (c *certified) copyTo(folder string, names ...string) {
	c.t.Helper()
	must(c.t, os.MkdirAll(folder, 0o700))
	for _, name := range names {
		must(c.t, os.WriteFile(filepath.Join(folder, name), readFile(c.t, filepath.Join(c.ca, name)), 0o600))
	}
}

// renew makes a member's certificate again and copies it.
func (c *certified) renew(m *memberProcess, life time.Duration) {
	c.t.Helper()
	c.qkv("cert", "renew", "--certs-dir", c.ca, "--valid-for", life.String(), filepath.Join(c.ca, "member-"+m.name+".crt")).exits(c.t, form.ExitOK)
	c.copyTo(c.folder(m), "member-"+m.name+".crt")
}

// TestAdverseCertificates: all members' certificates end after seconds, under load. That is said before and after,
// connections that exist go on, no new one comes about; and when they are renewed on disk all is well again, without a
// restart of anybody.
func TestAdverseCertificates(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	testretry.Longer(t, 9*time.Second, certificatesEnd)
}

func certificatesEnd(t testing.TB, life time.Duration) {
	c := newCertified(t, life)
	made := time.Now()
	for _, m := range c.members {
		m.start()
	}
	s := c.openOnly(0, processWait) // at n3, which pauses, it would lose its connection, and could open none
	l := startMeter(c.clusterProcess, "cert", []*client.Client{s}, 8, 256, 5*time.Millisecond)
	l.acknowledges(processWait)
	for _, m := range c.members {
		m.says("CERT: the certificate", "expires", "qkv cert renew")
	}
	time.Sleep(time.Until(made.Add(life + 1500*time.Millisecond)))
	for _, m := range c.members {
		m.says("CERT: the certificate", "expired", "existing connections continue")
	}
	onward := l.acknowledges(processWait)
	refused := c.qkv("put", "new", "connection")
	refused.exits(t, form.ExitNotAllowed, "is valid from", "qkv cert renew")
	if strings.Contains(refused.stderr, "goroutine") {
		t.Error(refused.stderr)
	}

	// A break between members is final until the certificates are renewed.
	paused := c.members[2]
	paused.signal(syscall.SIGSTOP)
	c.members[0].says("lost the connection to a peer", "peer=n3")
	c.members[1].says("lost the connection to a peer", "peer=n3")
	paused.signal(syscall.SIGCONT)
	c.members[0].says("peer=n3", "is valid from", "qkv cert renew")
	l.acknowledges(processWait)
	tries := strings.Count(c.members[0].lines(), "\n")
	renewed := l.now()
	for _, m := range c.members {
		c.renew(m, time.Hour)
	}
	c.awaitLevel()
	back := l.now() - renewed
	c.qkv("put", "new", "connection").exits(t, form.ExitOK)
	alarmed := func() bool {
		return slices.ContainsFunc(c.status(), func(m cluster.MemberStatus) bool { return raises(m, "CERT") })
	}
	for deadline := time.Now().Add(processWait); alarmed() && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	if alarmed() {
		t.Errorf("a member still has its alarm: %v", c.status())
	}
	l.end()
	lost := l.failures(0, l.now())
	t.Logf("figures: certificates of %v: %d puts, %d failed, longest gap %v; after the end a put took %v at most; all level %v after they were renewed on disk",
		life, len(l.acknowledged(0, l.now())), lost, l.gap(0, l.now()).Round(time.Millisecond), onward.Round(time.Millisecond), back.Round(time.Millisecond))
	if lost > 0 {
		t.Errorf("%d puts failed: %v", lost, l.errs)
	}
	for _, m := range c.members {
		m.says("a new certificate is in use")
		if said := strings.Count(m.lines(), "\n"); said > tries+100 {
			t.Errorf("%s wrote %d lines", m.name, said)
		}
	}
	c.allRun()
}

// awaitLevel waits until all members are level, by what the client admin is told.
func (c *certified) awaitLevel() []cluster.MemberStatus {
	c.t.Helper()
	var members []cluster.MemberStatus
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		members = c.status()
		leader := run.LeaderOf(members)
		if leader != nil && !slices.ContainsFunc(c.members, func(m *memberProcess) bool { return !caughtUp(members, m.name) }) {
			return members
		}
	}
	c.t.Fatalf("not level: %s\n%s", run.Describe(members, nil), c.tails())
	return nil
}
