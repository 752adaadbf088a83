package cli

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBenchRefuses: a benchmark does not begin with what makes it nonsense, or endless.
func TestBenchRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"--rate", "NaN"},
		{"--rate", "Inf"},
		{"--rate", "1e-300"},
		{"--rate", "0"},
		{"--scale", "NaN"},
		{"--scale", "0"},
		{"--scale", "Inf"},
		{"--members", "1,1"},
		{"--members", "6"},
		{"--port", "0"},
		{"--port", "65530"},
		{"--keys", "0"},
		{"--value-bytes", "0"},
		{"--value-bytes", "99999999"},
		{"--in-flight", "-1"},
	} {
		refusesToBench(t, "run", args...)
	}
}

func refusesToBench(t *testing.T, command string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	code := run(t.Context(), append([]string{"qkv", "bench", command}, args...), strings.NewReader(""), &said, &said)
	if code != exitUsage || !strings.Contains(said.String(), args[0]) {
		t.Errorf("%s %v: %d %s", command, args, code, &said)
	}
}

// TestPortOfAnother: who listens where an etcd is to be started is not taken for it.
func TestPortOfAnother(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	s := &etcdSide{dir: t.TempDir(), binary: "/bin/false", port: port - 1}
	if _, err := s.Start(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "another demo, member or benchmark") {
		t.Error(err)
	}
}

// TestFioLine: fio's line for a folder whose name has a space is one that a shell takes.
func TestFioLine(t *testing.T) {
	t.Setenv("PATH", "")
	said := crossCheck(t.Context(), sideDir{"a", "/mnt/my disk"}, nil)
	if len(said) != 1 || !strings.Contains(said[0], " '--directory=/mnt/my disk' --unlink=1`") {
		t.Errorf("%q", said)
	}
}

// TestMaintenanceOfAnother: a server that is there is compacted and defragmented only where the user allows it, before anything is
// asked of it; members of the benchmark's own always.
func TestMaintenanceOfAnother(t *testing.T) {
	target := []string{"--target", "etcd=http://127.0.0.1:1", "--duration", "1ms", "--warm-up", "1ms"} // a suite touches the more memory, the longer its loads are
	for _, c := range []struct {
		args    []string
		refused bool
	}{
		{append([]string{"--load", "put in maintenance"}, target...), true},
		{append([]string{"--load", "all"}, target...), true},
		{append([]string{"--load", "all", "--allow-maintenance"}, target...), false},
		{append([]string{"--load", "put while quiet"}, target...), false},
		{[]string{"--load", "put in maintenance", "--dir", "a=/dev/null/none"}, false},
	} {
		var said bytes.Buffer
		code := run(t.Context(), append([]string{"qkv", "bench", "run"}, c.args...), strings.NewReader(""), &said, &said)
		if refused := code == exitUsage && strings.Contains(said.String(), "--allow-maintenance"); code == 0 || refused != c.refused {
			t.Errorf("%v: %d %s", c.args, code, &said)
		}
	}
}

// TestEtcdThatDies: an etcd that ends before it serves is said at once, with the last line of its log and without where in its
// source it was.
func TestEtcdThatDies(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "etcd")
	script := `#!/bin/sh
echo '{"level":"error","msg":"first"}' >&2
echo '{"level":"fatal","msg":"failed to create WAL","error":"no space left on device","stacktrace":"main.main\\n\\tmain.go:1"}' >&2
echo 'panic: failed' >&2
echo 'goroutine 1 [running]:' >&2
exit 2
`
	must(t, os.WriteFile(binary, []byte(script), 0o700))
	port, err := freePorts(2)
	must(t, err)
	s := &etcdSide{dir: t.TempDir(), binary: binary, port: port}
	begun := time.Now()
	_, err = s.Start(t.Context(), 1)
	if err == nil || err.Error() != "etcd e1 ended: exit status 2; its last line: failed to create WAL: no space left on device" {
		t.Error(err)
	}
	if took := time.Since(begun); took > localWait/2 {
		t.Errorf("it was said after %v", took)
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
		t.Errorf("%v: %v is left", err, left)
	}
}
