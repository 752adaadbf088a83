package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"qkv/cli/form"
	"qkv/cli/run"
)

// notRun has the lines of pages that TestDocsRun does not run, by how they begin, each with the reason. TestDocsCommands parses them
// all the same if they are qkv's.
var notRun = []struct{ page, begin, reason string }{
	{readme, "make run", "builds the program; TestScript/demo runs the demo"},
	{readme, "make test", "runs this test"},
	{readme, "etcdctl", etcdctlReason},
	{readme, "qkv serve", "needs three hosts; TestProcessSecret has addresses on loopback"},
	{"docs/using.md", "go ", "TestDocsClient runs them in a module of its own"},
	{"docs/from-etcd.md", "etcdctl", etcdctlReason},
	{"docs/moving.md", "etcdctl", etcdctlReason},
	{"docs/upgrading.md", "etcdctl", etcdctlReason},
	{"docs/upgrading.md", "qkv migrate", "needs the file of etcdctl: TestScript/migrate"},
	{"docs/moving.md", "etcdutl", etcdctlReason},
	{"docs/moving.md", "qkv migrate from-etcd --endpoints", "needs a running etcd; net/etcd/compat has one: TestMigrateLive"},
	{"docs/moving.md", "qkv serve --data-dir n1 --name n1", "needs the folder of a running etcd; net/etcd/compat starts one: TestMigrateLive"},
	{"docs/moving.md", "mv", inPlaceReason},
	{"docs/moving.md", "qkv migrate from-etcd --snapshot backup.db --data-dir /var/lib/etcd", inPlaceReason},
	{"docs/moving.md", "qkv etcd", inPlaceReason},
	{"docs/etcd.md", "etcdctl", etcdctlReason},
	{"docs/etcd.md", "qkv ", "TestDocsEtcd runs them, at ports of its own"},
	{"docs/etcd.md", "ln -s", etcdNameReason},
	{"docs/etcd.md", "./etcd", etcdNameReason},
	{"docs/etcd.md", "QKV_CLUSTER_SECRET", "needs hosts with these addresses; TestProcessEtcdSecret has them on loopback"},
	{"docs/hosts.md", "qkv serve", hostsReason},
	{"docs/hosts.md", "qkv member", hostsReason},
	{"docs/hosts.md", "qkv member lead", hostsReason},
	{"docs/hosts.md", "export", hostsReason},
	{"docs/emergencies.md", "qkv serve", hostsReason},
	{"docs/emergencies.md", "qkv member add", hostsReason},
	{"docs/emergencies.md", "qkv member remove", hostsReason},
	{"docs/emergencies.md", "qkv member replace", hostsReason},
	{"docs/emergencies.md", "qkv cert member", hostsReason},
	{"docs/emergencies.md", "qkv export", hostsReason},
	{"docs/emergencies.md", "qkv recover", hostsReason},
	{"docs/emergencies.md", "qkv member readmit", "needs a suspended member: TestProcessReadmit"},
	{"docs/emergencies.md", "qkv doctor", doctorReason},
	{"docs/doctor.md", "qkv doctor", doctorReason},
	{"docs/packages.md", "dpkg", packagesReason},
	{"docs/packages.md", "install", packagesReason},
	{"docs/packages.md", "systemctl", packagesReason},
	{"docs/packages.md", "journalctl", packagesReason},
	{"docs/packages.md", "runuser", packagesReason},
	{"docs/packages.md", "docker", "needs a daemon; the tests in .ci/packages start the image without one"},
	{"docs/backup.md", "qkv backup", "needs a backup: TestScript/restore, TestProcessBackupNow"},
	{"docs/backup.md", "qkv inspect", "needs a backup: TestScript/restore, TestProcessBackupNow"},
	{"docs/backup.md", "qkv restore", "needs a backup: TestScript/restore"},
	{"docs/backup.md", "qkv branch", "needs a backup: TestProcessBranch"},
	{"docs/backup.md", "qkv cert", "for a branch: TestProcessBranch"},
	{"docs/backup.md", "etcdctl", "asks a branch: TestBranchByTLS"},
	{"docs/backup.md", "qkv serve", hostsReason},
	{"docs/backup.md", "qkv member", hostsReason},
	{"docs/performance.md", "qkv bench", "takes minutes and disks of its own; TestScript/bench runs short benchmarks"},
	{"docs/performance.md", "qkv-lab", "takes an hour, and builds etcd; the tests in bench/lab run short steps"},
}

const (
	etcdctlReason  = "etcd's programs are not part of this module; net/etcd/compat runs them"
	etcdNameReason = "this test program is qkv by that name only; net/etcd/compat/line runs one that is called etcd"
	packagesReason = "needs a host that may be changed; the tests in .ci/packages install the package in a copy of the root folder"
	doctorReason   = "ends with 1 on a cluster of one member, which survives no loss: TestProcessDoctor"
	inPlaceReason  = "changes a control plane: TestProcessKubeadmMigrated"
	hostsReason    = "needs hosts with these addresses: TestHostsDocs, with QKV_FULL=1"
)

// TestDocsRun runs each line of each code block of the README and of docs, except for notRun. Each page has a member and a folder. The
// lines run in order. A comment "prints TEXT" holds the line to that output; … stands for anything. Blocks of YAML are parsed.
func TestDocsRun(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("the pages' lines are bash's, and there is none here")
	}
	pages := docPages(t)
	for _, row := range notRun {
		begins := func(line string) bool { return strings.HasPrefix(line, row.begin) }
		if text, err := os.ReadFile(filepath.Join("..", row.page)); err != nil || !anyOf(docLines(string(text)), begins) {
			t.Errorf("%s has no line any more that begins with %q: delete it from notRun (%v)", row.page, row.begin, err)
		}
	}
	for _, page := range pages {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			runPage(t, page)
		})
	}
}

func anyOf(lines []string, is func(string) bool) bool {
	for _, line := range lines {
		if is(line) {
			return true
		}
	}
	return false
}

func runPage(t *testing.T, page string) {
	var lines []docLine
	for _, block := range docBlocks(pageText(t, page)) {
		switch block.language {
		case "", "sh":
			for _, line := range block.lines {
				if !leftOut(page, line.command) {
					lines = append(lines, line)
				}
			}
		case "yaml":
			var content any
			if err := yaml.Unmarshal([]byte(block.text), &content); err != nil || content == nil && len(block.lines) > 0 { // a block of comments has no content
				t.Errorf("this is not YAML: %v\n%s", err, block.text)
			}
		case "go": // a few lines of what the examples of net/client run
			if _, err := format.Source([]byte(block.text)); err != nil {
				t.Errorf("this is not Go: %v\n%s", err, block.text)
			}
		case "json":
			if !json.Valid([]byte(block.text)) {
				t.Errorf("this is not JSON:\n%s", block.text)
			}
		case "text": // a drawing
		default:
			t.Errorf("a block of %q: say here how it is run", block.language)
		}
	}
	if len(lines) == 0 {
		return
	}
	r := newPageRun(t)
	for _, line := range lines {
		r.run(line)
	}
	r.end()
	t.Logf("%d lines were run", len(lines))
}

func leftOut(page, line string) bool {
	for _, row := range notRun {
		if row.page == page && strings.HasPrefix(line, row.begin) {
			return true
		}
	}
	return false
}

// pageRun is where the lines of a page run: a folder, a member that the commands reach, and the commands that go on until they are ended.
type pageRun struct {
	t       *testing.T
	cluster *clusterProcess
	dir     string
	running []*exec.Cmd
	metrics int // the port in place of 2381
}

func newPageRun(t *testing.T) *pageRun {
	t.Helper()
	r := &pageRun{t: t, cluster: startProcesses(t, 1), dir: t.TempDir()}
	program, err := exec.LookPath("qkv")
	must(t, err)
	must(t, os.Symlink(program, filepath.Join(r.dir, "qkv")))
	for _, script := range []string{"reload.sh", "backup.sh"} {
		must(t, os.WriteFile(filepath.Join(r.dir, script), []byte("#!/bin/sh\n"), 0o700))
	}
	must(t, os.Mkdir(filepath.Join(r.dir, "etc"), 0o700))
	must(t, os.WriteFile(filepath.Join(r.dir, "etc", "hosts"), []byte("127.0.0.1 localhost\n"), 0o600))
	r.metrics, err = freePorts(1)
	must(t, err)
	s := r.cluster.open(0, processWait)
	for range 45 { // pages name the revision 42
		_, err := s.Put(t.Context(), []byte("earlier"), []byte("value"))
		must(t, err)
	}
	r.cluster.qkv("migrate", "to-etcd", "--snapshot", filepath.Join(r.dir, "backup.db")).exits(t, form.ExitOK)
	return r
}

// adapted is a line with the ports, the folder and the times of this run.
func (r *pageRun) adapted(line string) string {
	return strings.NewReplacer(
		":2381", fmt.Sprintf(":%d", r.metrics), "--prefix /etc /etc", "--prefix /etc etc",
		"5m", "1ms", "14:00", time.Now().Format(time.RFC3339Nano),
	).Replace(line)
}

// command is a line in bash. Members that it starts have ports of their own.
func (r *pageRun) command(ctx context.Context, line string) (cmd *exec.Cmd, listen string) {
	r.t.Helper()
	addresses := freeAddresses(r.t, 2)
	cmd = exec.CommandContext(ctx, "bash", "-c", r.adapted(line))
	cmd.Dir = r.dir
	cmd.Env = append(run.WithoutSettings(os.Environ()), r.cluster.environment()...)
	cmd.Env = append(cmd.Env, "HOME="+r.dir, "QKV_LISTEN="+addresses[0], "QKV_LISTEN_PEER="+addresses[1], "QKV_SEGMENT_BYTES=1048576",
		scriptOf+"="+strconv.Itoa(os.Getpid()))
	return cmd, addresses[0]
}

// run runs a line, which must end with exit code 0. A line that serves, watches, leads or follows goes on until the page ends.
func (r *pageRun) run(line docLine) {
	r.t.Helper()
	words := strings.Fields(line.command)
	if _, err := exec.LookPath("curl"); words[0] == "curl" && err != nil {
		r.t.Logf("not run: %s: there is no curl here", line.command)
		return
	}
	if strings.TrimPrefix(words[0], "./") == "qkv" && (words[1] == "serve" || words[1] == "watch" || words[1] == "elect" || slices.Contains(words, "--follow")) {
		r.begin(line.command, words[1] == "serve")
		return
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), processWait)
	defer cancel()
	cmd, _ := r.command(ctx, line.command)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := spawn(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		r.t.Errorf("%s: %v\n%s%s", line.command, err, &stdout, &stderr)
	}
	if text, ok := strings.CutPrefix(line.comment, "prints "); ok && !matches(strings.TrimSpace(stdout.String()), text) {
		r.t.Errorf("%s prints %q, not %q", line.command, &stdout, text)
	}
}

// matches reports whether a text is like a pattern, in which … stands for anything.
func matches(text, pattern string) bool {
	parts := strings.Split(pattern, "…")
	for i, part := range parts {
		at := strings.Index(text, part)
		if at < 0 || i == 0 && at > 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return text == "" || parts[len(parts)-1] == ""
}

// begin starts a line that goes on. A member must serve.
func (r *pageRun) begin(line string, serves bool) {
	r.t.Helper()
	cmd, listen := r.command(r.t.Context(), "exec "+line)
	log, err := os.Create(filepath.Join(r.dir, fmt.Sprintf("running%d.log", len(r.running))))
	must(r.t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	must(r.t, spawn(cmd))
	r.running = append(r.running, cmd)
	for deadline := time.Now().Add(processWait); serves; time.Sleep(100 * time.Millisecond) {
		environment := append(r.cluster.environment(), "QKV_ENDPOINTS="+listen, "QKV_TIMEOUT=1s")
		if runQkv(r.t, environment, "get", "", "--prefix", "--count-only").code == form.ExitOK {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s does not serve:\n%s", line, readFile(r.t, log.Name()))
		}
	}
}

// end ends the commands that go on. None may have failed by itself.
func (r *pageRun) end() {
	for i, cmd := range r.running {
		time.Sleep(100 * time.Millisecond)
		_ = cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		byUs := cmd.ProcessState.ExitCode() == 128+int(syscall.SIGTERM) || !cmd.ProcessState.Exited()
		if err != nil && !byUs {
			r.t.Errorf("%s: %v\n%s", cmd.Args, err, readFile(r.t, filepath.Join(r.dir, fmt.Sprintf("running%d.log", i))))
		}
	}
}
