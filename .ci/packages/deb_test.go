package main

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// installed returns a root folder with the deb, and its path in there.
func installed(t *testing.T) (*hostRoot, string) {
	t.Helper()
	needs(t, "dpkg", "dpkg-deb")
	r := newHostRoot(t)
	r.copyIn(distFile(t, "*_amd64.deb"), "/tmp/qkv.deb")
	r.run("dpkg", "--no-triggers", "--install", "/tmp/qkv.deb")
	return r, "/tmp/qkv.deb"
}

// newer returns the deb once more, with a later version.
func newer(t *testing.T, r *hostRoot) string {
	t.Helper()
	for _, command := range []string{
		"dpkg-deb --raw-extract /tmp/qkv.deb /tmp/newer", "sed -i 's/^Version: .*/Version: 99.0.0/' /tmp/newer/DEBIAN/control",
		"dpkg-deb --build -Znone /tmp/newer /tmp/newer.deb",
	} {
		r.run("sh", "-c", command)
	}
	return "/tmp/newer.deb"
}

// TestDeb installs, upgrades, removes and purges the deb. An installation starts nothing, an upgrade restarts nothing and keeps the operator's
// settings, and no step removes data.
func TestDeb(t *testing.T) {
	r, deb := installed(t)
	for path, want := range map[string]string{
		"/usr/bin/qkv": "-rwxr-xr-x root:root", "/etc/qkv": "drwxr-x--- root:qkv", "/etc/qkv/certs": "drwx------ qkv:qkv", "/etc/qkv/qkv.env": "-rw------- root:root", "/etc/qkv/qkv.yaml": "-rw-r--r-- root:root",
		"/var/lib/qkv": "drwx------ qkv:qkv", "/usr/lib/systemd/system/qkv.service": "-rw-r--r-- root:root",
	} {
		if got := r.owner(path); got != want {
			t.Errorf("%s is %s, not %s", path, got, want)
		}
	}
	if got := r.run("getent", "passwd", "qkv"); !strings.Contains(got, ":/var/lib/qkv:/usr/sbin/nologin") {
		t.Errorf("the user is %s", got)
	}
	if got := r.run("/usr/bin/qkv", "version"); !strings.HasPrefix(got, "qkv "+built.version) {
		t.Errorf("its version is %s", got)
	}
	if got := r.run("dpkg", "--verify", "qkv"); got != "" {
		t.Errorf("files differ from their sums:\n%s", got)
	}

	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(r.path(path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("/etc/qkv/qkv.env", "QKV_NAME=n7\n")
	write("/var/lib/qkv/wal", "data")
	r.fakeSystemctl(true)
	said := r.run("dpkg", "--no-triggers", "--force-confold", "--install", newer(t, r))
	if got := r.systemctlCalls(); got != "daemon-reload\nis-active --quiet qkv.service\n" || !strings.Contains(said, "Restart one member after the other") {
		t.Errorf("an upgrade calls systemctl by %q and says %s", got, said)
	}
	kept := func() {
		t.Helper()
		for path, want := range map[string]string{"/etc/qkv/qkv.env": "QKV_NAME=n7\n", "/var/lib/qkv/wal": "data"} {
			if got, err := os.ReadFile(r.path(path)); err != nil || string(got) != want {
				t.Errorf("%s holds %q, %v", path, got, err)
			}
		}
	}
	kept()

	r.run("dpkg", "--no-triggers", "--remove", "qkv")
	if got := r.systemctlCalls(); got != "disable --now qkv.service\ndaemon-reload\n" {
		t.Errorf("a removal calls systemctl by %q", got)
	}
	if r.exists("/usr/bin/qkv") || r.exists("/usr/lib/systemd/system/qkv.service") {
		t.Error("the program or the unit stays")
	}
	kept()
	if said := r.run("dpkg", "--no-triggers", "--purge", "qkv"); r.exists("/etc/qkv/qkv.env") || !r.exists("/var/lib/qkv/wal") || !strings.Contains(said, "are kept") {
		t.Errorf("a purge removes data, or leaves settings: %s", said)
	}
	r.run("dpkg", "--no-triggers", "--install", deb)
	if got := r.owner("/var/lib/qkv"); got != "drwx------ qkv:qkv" {
		t.Errorf("after another installation the folder is %s", got)
	}
}

// TestUnitVerified: systemd accepts the unit, and finds it sandboxed.
func TestUnitVerified(t *testing.T) {
	needs(t, "systemd-analyze")
	r, _ := installed(t)
	if out, err := r.command("systemd-analyze", "verify", "--man=no", "/usr/lib/systemd/system/qkv.service").CombinedOutput(); err != nil || strings.Contains(string(out), "qkv.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out := r.run("systemd-analyze", "security", "--offline=yes", "--threshold=20", "/usr/lib/systemd/system/qkv.service")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	t.Log(lines[len(lines)-1])
}

// unitLines reads the installed unit: the values by their names.
func unitLines(t *testing.T, r *hostRoot) map[string]string {
	t.Helper()
	f, err := os.Open(r.path("/usr/lib/systemd/system/qkv.service"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	values := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), "="); ok && !strings.HasPrefix(name, "#") {
			values[name] = value
		}
	}
	return values
}

// environmentFile reads an EnvironmentFile of a unit.
func environmentFile(t *testing.T, path string) (environment []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			environment = append(environment, line)
		}
	}
	return environment
}

// TestUnitStarts runs the unit's ExecStart as systemd does: as qkv's user, with its settings and a socket for its reports. The member
// becomes ready, reports to the watchdog, serves, and stops when it is told to.
func TestUnitStarts(t *testing.T) {
	r, _ := installed(t)
	unit := unitLines(t, r)
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: r.path("/run/notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := os.Chmod(r.path("/run/notify"), 0o777); err != nil {
		t.Fatal(err)
	}
	member := r.asUser(unit["User"], strings.Fields(unit["ExecStart"])...)
	member.Dir = unit["WorkingDirectory"]
	watchdog, err := time.ParseDuration(unit["WatchdogSec"])
	if err != nil {
		t.Fatal(err)
	}
	settings := environmentFile(t, r.path(unit["EnvironmentFile"]))
	member.Env = slices.Concat(member.Env, settings, []string{"NOTIFY_SOCKET=/run/notify", "WATCHDOG_USEC=" + strconv.FormatInt(watchdog.Microseconds(), 10)})
	var log strings.Builder
	member.Stdout, member.Stderr = &log, &log
	if err := member.Start(); err != nil {
		t.Fatal(err)
	}
	next := func() string {
		t.Helper()
		buffer := make([]byte, 4096)
		_ = socket.SetReadDeadline(time.Now().Add(2 * time.Minute))
		n, err := socket.Read(buffer)
		if err != nil {
			_ = member.Process.Kill()
			_ = member.Wait()
			t.Fatalf("no report: %v\n%s", err, &log)
		}
		return string(buffer[:n])
	}
	if got := next(); !strings.HasPrefix(got, "EXTEND_TIMEOUT_USEC=") {
		t.Errorf("first it reports %q", got)
	}
	for got := next(); !strings.HasPrefix(got, "READY=1\n"); got = next() {
		t.Log(got)
	}
	if got := next(); got != "WATCHDOG=1" {
		t.Errorf("after READY it reports %q", got)
	}
	for _, words := range [][]string{{"put", "greeting", "hello"}, {"get", "greeting"}} {
		command := r.asUser(unit["User"], append([]string{"/usr/bin/qkv"}, words...)...)
		command.Env = append(command.Env, settings...)
		if out, err := command.CombinedOutput(); err != nil || words[0] == "get" && string(out) != "hello\n" {
			t.Errorf("qkv %q: %v: %s", words, err, out)
		}
	}
	if got := r.owner("/var/lib/qkv/data"); got != "drwx------ qkv:qkv" {
		t.Errorf("its folder is %s", got)
	}
	if err := member.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for got := next(); !strings.HasPrefix(got, "STOPPING=1\n"); got = next() {
		if got != "WATCHDOG=1" {
			t.Errorf("before STOPPING it reports %q", got)
		}
	}
	if err := member.Wait(); err != nil {
		t.Errorf("it ends with %v:\n%s", err, &log)
	}
}

// asUser returns a command in the root folder that runs as a user of it.
func (r *hostRoot) asUser(name string, words ...string) *exec.Cmd {
	r.t.Helper()
	fields := strings.Split(strings.TrimSpace(r.run("getent", "passwd", name)), ":")
	uid, err := strconv.Atoi(fields[2])
	if err != nil {
		r.t.Fatal(err)
	}
	gid, err := strconv.Atoi(fields[3])
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := r.command(words[0], words[1:]...)
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return cmd
}

// TestDebMode: the files of the deb belong to root, and none of them can be changed by others.
func TestDebMode(t *testing.T) {
	needs(t, "dpkg-deb")
	list := run(t, "dpkg-deb", "--contents", distFile(t, "*_amd64.deb"))
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if mode, owner := fields[0], fields[1]; owner != "root/root" || mode[5] == 'w' || mode[8] == 'w' {
			t.Errorf("%s", line)
		}
	}
	for _, want := range []string{"/usr/share/man/man1/qkv.1.gz", "/usr/share/bash-completion/completions/qkv", "/usr/share/zsh/vendor-completions/_qkv", "/usr/share/fish/vendor_completions.d/qkv.fish", "/usr/share/doc/qkv/hosts.md", "/usr/lib/sysctl.d/50-qkv.conf"} {
		if !strings.Contains(list, "."+want+"\n") {
			t.Errorf("the deb lacks %s:\n%s", want, list)
		}
	}
}
