package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/cli/form"
	"qkv/internal/testlong"
)

// startsAgain starts a member with data once more, waits until it serves, and stops it. It returns the warnings of the start.
func (m *memberProcess) startsAgain(what string, warns string) {
	m.t.Helper()
	must(m.t, os.WriteFile(m.log, nil, 0o600))
	m.start()
	said := func() string { b, _ := os.ReadFile(m.log); return string(b) }
	for deadline := time.Now().Add(processWait); !strings.Contains(said(), "qkv serves") || warns != "" && !strings.Contains(said(), warns); time.Sleep(10 * time.Millisecond) {
		if !m.running() || time.Now().After(deadline) {
			m.t.Errorf("%s: the member does not serve, or does not warn of %q:\n%s", what, warns, m.tail(5))
			break
		}
	}
	if m.running() {
		m.stop()
	}
	if n := strings.Count(said(), "flags for founding or joining a cluster are ignored"); n > 1 || n == 0 && strings.Contains(warns, "flags for") {
		m.t.Errorf("%s: it warns %d times:\n%s", what, n, said())
	}
}

// A member with data starts, whatever became of the flags that only an empty folder needs and of its auxiliaries: the file is gone, the address is
// wrong, the flag is left out, the list is the founders'. It warns once.
func TestProcessSecondStart(t *testing.T) {
	testlong.Skip(t)
	c := startProcesses(t, 1)
	first, at, gone := c.members[0], freeAddresses(t, 2), filepath.Join(t.TempDir(), "gone")
	n4 := &memberProcess{t: t, name: "n4", listen: at[0], listenPeer: at[1], home: c.home, dataDir: first.dataDir + "-n4", log: first.log + "-n4", arguments: []string{"--join", first.listenPeer}}
	t.Cleanup(func() {
		if n4.running() {
			n4.kill()
		}
	})
	c.qkv("member", "add", "n4", "--peer", n4.listenPeer).exits(t, 0)
	n4.start()
	c.members = append(c.members, n4)
	c.level()
	n4.stop()
	const ignored = "flags for founding or joining a cluster are ignored"
	founders := first.name + "=" + first.listenPeer
	s3 := []string{"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_REGION=x", "AWS_ENDPOINT_URL_S3=https://" + freeAddresses(t, 1)[0], "AWS_CA_BUNDLE=" + gone}
	for _, row := range []struct {
		arguments   string
		environment []string
		warns       string
	}{
		{"", nil, ""},
		{"--join " + first.listenPeer, nil, ""},
		{"--join 0.0.0.0:1", nil, ignored},
		{"--join ,", nil, ignored},
		{"", []string{"QKV_JOIN="}, ignored},
		{"--found --join " + first.listenPeer, nil, ignored},
		{"--initial-cluster " + founders, nil, ignored},
		{"--initial-cluster n1,n2", nil, ignored},
		{"--initial-cluster n4=" + n4.listenPeer + "," + founders + " --join " + first.listenPeer, nil, ignored},
		{"--initial-cluster-token other", nil, ""},
		{"--seed " + gone, nil, ignored},
		{"--join " + first.listenPeer + " --seed " + gone, nil, ""},
		{"--join " + first.listenPeer + " --seed " + gone + " --identity " + gone, nil, ignored},
		{"--join " + first.listenPeer + " --seed s3://b@d/p", nil, ignored},
		{"--join " + first.listenPeer + " --seed s3://bucket/p", s3, ""},
		{"--backup " + gone, nil, ""},
		{"--backup s3://bucket/p", s3, ""},
	} {
		n4.arguments, n4.environment = strings.Fields(row.arguments), row.environment
		n4.startsAgain(fmt.Sprint(row.arguments, row.environment), row.warns)
	}
	first.stop()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	alone := startProcesses(t, 1).members[0]
	alone.stop()
	for _, row := range []struct {
		arguments   string
		environment []string
		warns       string
	}{
		{"--backup " + gone, nil, "mount its disk, or make the folder"},
		{"--backup " + file, nil, "not a directory"},
		{"--backup s3://bucket/p", s3, "AWS_CA_BUNDLE"},
		{"--initial-cluster n2=127.0.0.1:1", nil, "flags for"},
		{"--seed " + gone, nil, "flags for"},
	} {
		alone.arguments, alone.environment = strings.Fields(row.arguments), row.environment
		alone.startsAgain(row.arguments, row.warns)
	}
}

// The same for etcd's command line. Its own flags for an empty folder have the prefix --initial-, or ask for a discovery.
func TestProcessSecondStartOfEtcd(t *testing.T) {
	testlong.Skip(t)
	at := freeAddresses(t, 2)
	peer, dir := "http://"+at[1], t.TempDir()
	line := []string{
		"etcd", "--name=n1", "--data-dir=" + filepath.Join(dir, "data"), "--listen-client-urls=http://" + at[0], "--advertise-client-urls=http://" + at[0],
		"--listen-peer-urls=" + peer, "--log-format=console",
	}
	m := &memberProcess{
		t: t, name: "n1", listen: at[0], listenPeer: at[1], dataDir: filepath.Join(dir, "data"), log: filepath.Join(dir, "log"), environment: []string{"QKV_HOME=" + filepath.Join(dir, "home")},
		line: slices.Concat(line, []string{"--initial-advertise-peer-urls=" + peer, "--initial-cluster=n1=" + peer}),
	}
	m.startsAgain("first", "")
	for arguments, warns := range map[string]string{
		"": "",
		"--initial-advertise-peer-urls=" + peer + " --initial-cluster=n2=http://127.0.0.1:1":                                    "flags for",
		"--initial-advertise-peer-urls=" + peer + " --initial-cluster=n1=ftp://x":                                               "flags for",
		"--initial-advertise-peer-urls=" + peer + " --initial-cluster=n1=https://" + at[1]:                                      "flags for",
		"--initial-advertise-peer-urls=" + peer + " --initial-cluster=n1=" + peer + " --initial-cluster-state=existing":         "flags for",
		"--initial-advertise-peer-urls=" + peer + ",http://127.0.0.9:1 --initial-cluster=n1=" + peer + ",n1=http://127.0.0.9:1": "the first one is used",
		"--discovery-srv=example.com": "flags for",
		"--discovery=http://d:1/x":    "flags for",
	} {
		m.line = slices.Concat(line, strings.Fields(arguments))
		m.startsAgain(arguments, warns)
	}
	m.line = line
	m.start()
	for deadline := time.Now().Add(processWait); ; time.Sleep(50 * time.Millisecond) {
		got := runQkv(t, append(m.environment, "QKV_ENDPOINTS="+at[0]), "member", "list")
		if got.code == 0 && strings.Contains(got.stdout, at[1]) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("without the flags, the members know it at another address: %s%s\n%s", got.stdout, got.stderr, m.tail(5))
		}
	}
	m.stop()
	m.line = slices.Concat(line, []string{"--discovery-srv=example.com", "--data-dir=" + filepath.Join(dir, "empty")})
	m.start()
	if code := m.exit(); code != form.ExitFailed || !strings.Contains(m.tail(5), "--discovery-srv is not supported") {
		t.Errorf("with an empty folder: %d\n%s", code, m.tail(5))
	}
}
