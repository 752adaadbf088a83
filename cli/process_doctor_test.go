package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/internal/checks"
	"qkv/internal/testlong"
)

// diagnose runs doctor, and returns its results. The exit code must be the worst of them.
func (c *clusterProcess) diagnose(words ...string) cluster.Diagnosis {
	c.t.Helper()
	var d cluster.Diagnosis
	got := c.qkv(append([]string{"doctor", "-w", "json"}, words...)...)
	if err := json.Unmarshal([]byte(got.stdout), &d); err != nil {
		c.t.Fatalf("%v: %d %s%s", err, got.code, got.stdout, got.stderr)
	}
	want := form.ExitOK
	switch {
	case d.Failures > 0:
		want = cluster.ExitFailures
	case d.Warnings > 0:
		want = cluster.ExitWarnings
	}
	if got.code != want {
		c.t.Errorf("doctor ends with %d, not %d: %s%s", got.code, want, got.stdout, got.stderr)
	}
	return d
}

// has tells whether a check has a result.
func has(d cluster.Diagnosis, id string, level checks.Level, text string) bool {
	return slices.ContainsFunc(d.Checks, func(r checks.Result) bool {
		return r.ID == id && r.Level == level && strings.Contains(r.Text, text)
	})
}

// TestProcessDoctor: three members on this one host, then two, then one, by status and doctor.
func TestProcessDoctor(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 3)
	c.level()
	c.knows(c.members[0])
	d := c.diagnose()
	for _, r := range d.Checks { // members on one host, and perhaps a slow disk, are true warnings
		if slow := r.ID == "disk-sync" || r.ID == "alarms" && strings.HasPrefix(r.Text, "SLOWDISK"); r.Level == checks.Failure && !slow {
			t.Errorf("a failure of a healthy cluster: %+v", r)
		}
	}
	for _, want := range []struct {
		id    string
		level checks.Level
		text  string
	}{
		{"quorum", checks.OK, "3 of 3 voters take part"},
		{"margin", checks.OK, "writes survive 1 more loss"},
		{"hosts", checks.Warning, "n1, n2 and n3 run on one host"},
		{"disks", checks.Warning, "n1, n2 and n3 are on one file system"},
		{"clock", checks.OK, "less than 1s"},
		{"mtu", checks.OK, "1280"},
		{"versions", checks.OK, form.Version},
		{"members", checks.OK, "3 members answer"},
	} {
		if !has(d, want.id, want.level, want.text) {
			t.Errorf("no %s of %s with %q: %+v", want.level, want.id, want.text, d.Checks)
		}
	}
	leader := c.leader()
	lost := c.others(leader)
	lost[0].signal(syscall.SIGKILL)
	<-lost[0].ended
	c.says("DEGRADED: one more loss stops writes", form.ExitOK, "next: start "+lost[0].name)
	d = c.diagnose()
	if !has(d, "members", checks.Failure, lost[0].name+" does not answer") || !has(d, "margin", checks.Warning, "one more loss stops writes") || !has(d, "quorum", checks.OK, "2 of 3") {
		t.Errorf("with one member dead: %+v", d)
	}
	c.qkv("status", "--check").exits(t, form.ExitFailed, lost[0].name+" does not answer")
	lost[1].signal(syscall.SIGKILL)
	<-lost[1].ended
	away := []string{lost[0].name, lost[1].name}
	slices.Sort(away)
	c.says("NO QUORUM: 1 of 3 voters answers; 2 are needed", form.ExitUnavailable, "next: start "+strings.Join(away, " and ")+" again")
	if d = c.diagnose(); d.Verdict != checks.NoQuorum || !has(d, "quorum", checks.Failure, "NO QUORUM: 1 of 3 voters answers") {
		t.Errorf("with two members dead: %+v", d)
	}
	for _, m := range lost {
		m.start()
	}
	c.level()
	c.says("HEALTHY: 3 of 3 voters take part", form.ExitOK, "feature level ")
}

// says waits until the first line of the status begins with a verdict. The alarm SLOWDISK of a slow host may stand for HEALTHY.
func (c *clusterProcess) says(verdict string, code int, word string) {
	c.t.Helper()
	var got answered
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		got = c.qkv("status")
		text := strings.Join(strings.Fields(got.stdout), " ")
		slow := strings.HasPrefix(verdict, checks.Healthy) && strings.HasPrefix(text, "DEGRADED: the alarm SLOWDISK")
		if (strings.HasPrefix(text, verdict) || slow) && got.code == code && strings.Contains(text, word) {
			return
		}
	}
	c.t.Errorf("the status does not begin with %q, with %d and %q: %d %s%s", verdict, code, word, got.code, got.stdout, got.stderr)
}

// TestProcessDoctorOfTwoClusters: endpoints of two clusters with leaders are a failure among the checks, and no end of doctor.
func TestProcessDoctorOfTwoClusters(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := newProcesses(t, 2)
	for _, m := range c.members {
		m.arguments = []string{"--segment-bytes", "1048576", "--initial-cluster-token", m.name} // each founds a cluster
		m.start()
		m.says("ready to serve")
	}
	if d := c.diagnose(); !has(d, "members", checks.Failure, "belongs to another cluster") || !has(d, "quorum", checks.OK, "1 of 1 voter") {
		t.Errorf("with two clusters: %+v", d)
	}
}

// TestProcessDoctorOfLimits: a member at its quota, with a short history, with few open files, and a client whose certificate expires soon.
func TestProcessDoctorOfLimits(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	s := newSecretProcesses(t, 1)
	m := s.members[0]
	m.before = []string{"sh", "-c", `ulimit -n 1024 && exec "$@"`, "sh"}
	m.arguments = append(m.arguments, "--quota-bytes", "1MiB", "--history-bytes", "16KiB")
	runQkv(t, nil, "cert", "client", "--secret-file", s.file(), "--certs-dir", s.certsDir, "--valid-for", "240h", "soon").exits(t, form.ExitOK)
	m.start()
	s.level()
	if d := s.diagnose(); !has(d, "quota", checks.OK, "") || !has(d, "history", checks.OK, "") || !has(d, "certificates", checks.OK, "") {
		t.Errorf("an empty member: %+v", d)
	}
	value := strings.Repeat("v", 40<<10)
	for i := range 21 {
		s.qkv("put", fmt.Sprint("key", i), value).exits(t, form.ExitOK)
	}
	for range 2 {
		s.qkv("put", "key0", value).exits(t, form.ExitOK)
	}
	found := func(what string, client string, wanted ...checks.Result) {
		t.Helper()
		var d cluster.Diagnosis
		is := func() bool {
			d = s.diagnose("--client", client)
			return !slices.ContainsFunc(wanted, func(r checks.Result) bool { return !has(d, r.ID, r.Level, r.Text) })
		}
		for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not all of %+v in %+v", what, wanted, d.Checks)
			}
		}
	}
	found("four fifths of the quota", "soon",
		checks.Result{ID: "quota", Level: checks.Warning, Text: "n1: 8"},
		checks.Result{ID: "history", Level: checks.Warning, Text: "it reaches back for "},
		checks.Result{ID: "open-files", Level: checks.Warning, Text: "n1 may open 1024 files"},
		checks.Result{ID: "certificates", Level: checks.Warning, Text: "this client: "},
	)
	for i := 0; s.qkv("put", fmt.Sprint("more", i), value).code == form.ExitOK; i++ {
	}
	found("the whole quota", "admin", checks.Result{ID: "alarms", Level: checks.Failure, Text: "NOSPACE of n1"})
	s.says("NO SPACE: no put is accepted: NOSPACE of n1", form.ExitUnavailable, "next: ")
}

// TestProcessDoctorOfAFolder: a running member's folder, a stopped one's, a damaged one's, and one that others can read.
func TestProcessDoctorOfAFolder(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 1)
	m := c.members[0]
	c.qkv("put", "key", "value").exits(t, form.ExitOK)
	d := c.diagnose("--data-dir", m.dataDir)
	if !has(d, "files", checks.Unchecked, "a member runs on the folder") || !has(d, "folder", checks.OK, "") || !has(d, "margin", checks.Warning, "a cluster of 1 voter survives no loss") {
		t.Errorf("with a running member: %+v", d)
	}
	if got := c.qkv("get", "key").exits(t, form.ExitOK); got.stdout != "value\n" {
		t.Errorf("after doctor the member says %q", got.stdout)
	}
	m.stop()
	d = c.diagnose("--data-dir", m.dataDir)
	if d.Verdict != "" || !has(d, "quorum", checks.Unchecked, "") || !has(d, "files", checks.OK, "can be read") || has(d, "disk", checks.Unchecked, "") {
		t.Errorf("with a stopped member: %+v", d)
	}
	extent := readFile(t, filepath.Join("..", "snapshot", "testdata", "extent.part"))
	part := filepath.Join(m.dataDir, "snap", fmt.Sprintf("%020d-%064x.part", 3, extent[len(extent)-32:]))
	must(t, os.MkdirAll(filepath.Dir(part), 0o700))
	must(t, os.WriteFile(part, extent, 0o600))
	if d = c.diagnose("--data-dir", m.dataDir); !has(d, "files", checks.OK, "can be read") {
		t.Errorf("with a part: %+v", d)
	}
	extent[len(extent)/2] ^= 0xff
	must(t, os.WriteFile(part, extent, 0o600))
	if d = c.diagnose("--data-dir", m.dataDir); !has(d, "files", checks.Failure, filepath.Base(part)) {
		t.Errorf("with a damaged part: %+v", d)
	}
	must(t, os.Remove(part))
	segments := filesIn(t, filepath.Join(m.dataDir, "wal", "*"))
	text := readFile(t, segments[0])
	text[100] ^= 0xff
	must(t, os.WriteFile(segments[0], text, 0o600))
	must(t, os.Chmod(m.dataDir, 0o755))
	d = c.diagnose("--data-dir", m.dataDir)
	if !has(d, "files", checks.Failure, "the log: ") || !has(d, "folder", checks.Failure, "the mode of "+m.dataDir+" is 0755") {
		t.Errorf("with a damaged log and an open folder: %+v", d)
	}
	d = c.diagnose("--data-dir", filepath.Join(m.dataDir, "none"))
	if !has(d, "folder", checks.Failure, "no such file") || !has(d, "files", checks.Unchecked, "no such file") {
		t.Errorf("without a folder: %+v", d)
	}
}

// TestProcessDoctorBundle: the bundle has the checks, the status and the metrics, and no secret of the environment or of the files.
func TestProcessDoctorBundle(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 1)
	c.started()
	c.qkv("put", "a-secret-key", "a-secret-value").exits(t, form.ExitOK)
	file := filepath.Join(t.TempDir(), "doctor.tgz")
	environment := append(c.environment(), "QKV_SERVICE_HOST=hunter2", "QKV_AUTH_TOKEN=hunter2")
	if got := runQkv(t, environment, "doctor", "--bundle", file); got.code > cluster.ExitFailures {
		t.Fatalf("%d %s%s", got.code, got.stdout, got.stderr)
	}
	files := bundled(t, file)
	for name, want := range map[string]string{
		"doctor.json": `"id": "quorum"`, "status.json": `"name": "n1"`, "version.txt": "qkv " + form.Version, "environment.txt": "QKV_AUTH_TOKEN (set, not shown)\n",
	} {
		if !strings.Contains(files["qkv-doctor/"+name], want) {
			t.Errorf("%s lacks %q: %q", name, want, files["qkv-doctor/"+name])
		}
	}
	metrics := 0
	for name, text := range files {
		if strings.HasPrefix(name, "qkv-doctor/metrics-") && strings.Contains(text, "qkv_build_info") {
			metrics++
		}
		for _, secret := range []string{"hunter2", "a-secret-key", "a-secret-value", "PRIVATE KEY"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %q", name, secret)
			}
		}
	}
	if metrics != 1 {
		t.Errorf("the metrics of %d members are there", metrics)
	}
	info, err := os.Stat(file)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the mode of the bundle is %v", info.Mode())
	}
	runQkv(t, environment, "doctor", "--bundle", file).exits(t, form.ExitUsage, "file exists", "a new file")
}

func bundled(t *testing.T, file string) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(readFile(t, file)))
	must(t, err)
	files := map[string]string{}
	for r := tar.NewReader(zip); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		must(t, err)
		text, err := io.ReadAll(r)
		must(t, err)
		files[header.Name] = string(text)
	}
}
