package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"qkv/bench/result"
)

// qkvProgram is a qkv that is built once for all tests.
var qkvProgram string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "lab")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		qkvProgram = filepath.Join(dir, "qkv")
		build := exec.Command("go", "build", "-o", qkvProgram, ".")
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %s\n", err, out)
			return 1
		}
		return m.Run()
	}())
}

// freePorts returns the first of so many ports in a row that are free.
func freePorts(t *testing.T, n int) string {
	t.Helper()
	for first := 20_000 + os.Getpid()%10_000; first < 60_000; first += n {
		var held []net.Listener
		for i := range n {
			if l, err := net.Listen("tcp", loopback(first+i)); err == nil {
				held = append(held, l)
			}
		}
		for _, l := range held {
			_ = l.Close()
		}
		if len(held) == n {
			return strconv.Itoa(first)
		}
	}
	t.Fatal("no ports are free")
	return ""
}

// measure runs a command, and returns its result.
func measure(t *testing.T, command func(context.Context, []string) error, args ...string) *result.File {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "result.json")
	if err := command(t.Context(), append(args, "-data-dir", dir, "-qkv", qkvProgram, "-o", file)); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	f, err := result.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v: %v is left beside the result", err, left)
	}
	return f
}

// TestKube: a short step on a member writes what was due, delivers each write to three watches, lists and reads consistently. The result
// says what was scaled down and what was not measured.
func TestKube(t *testing.T) {
	f := measure(t, kube, "-side", "qkv", "-members", "1", "-from", "50", "-most", "50", "-step", "4s", "-compact-every", "1s", "-held", "0.1",
		"-port", freePorts(t, 2))
	counts := map[string]int64{}
	for _, row := range f.Rows {
		if row.Parameters["nodes"] == "50" {
			counts[row.Name] = row.Runs[0].Count
		}
	}
	renewals, others := counts["lease renewal"], counts["other writes"]
	if renewals != 20 || others < 4 {
		t.Errorf("of 50 nodes in 4 s: %d renewals and %d other writes", renewals, others)
	}
	if n := counts["watch delivery"]; n != 3*(renewals+others) {
		t.Errorf("%d deliveries of %d writes to three watches", n, renewals+others)
	}
	for _, name := range []string{"LIST in pages", "LIST by RangeStream"} { // at the start, and after some of the compactions
		if n := counts[name]; n < 24 || n%12 != 0 {
			t.Errorf("%s: %d, by three API servers of four resources", name, n)
		}
	}
	if counts["consistent read"] == 0 {
		t.Error("there is no consistent read")
	}
	notes := strings.Join(f.Notes, "\n")
	for _, want := range []string{"SCALED DOWN: 0.1 of the 30 pods", "NOT MEASURED: T4", "qkv: 50 nodes: "} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note says %q:\n%s", want, notes)
		}
	}
}

// TestKubeReplaces: the leader is killed under a short step on three members, and replaced.
func TestKubeReplaces(t *testing.T) {
	f := measure(t, kube, "-side", "qkv", "-nodes", "20", "-step", "4s", "-compact-every", "1s", "-held", "0.1", "-port", freePorts(t, 6))
	notes := strings.Join(f.Notes, "\n")
	if strings.Contains(notes, "was not replaced") || !strings.Contains(notes, "qkv: 20 nodes, member replaced: ") {
		t.Error(notes)
	}
}

// TestFailoverOfMembers: the leader is killed once, and the leadership moves once. Each client, by both protocols, has a gap, and the result
// names what was not measured. Networks of their own need root, and a process of their own.
func TestFailoverOfMembers(t *testing.T) {
	s := newSettings("failover", "", 2679, 4*failoverMembers)
	dir := t.TempDir()
	file := filepath.Join(dir, "result.json")
	if err := s.parse([]string{"-data-dir", dir, "-qkv", qkvProgram, "-port", freePorts(t, 6), "-o", file}); err != nil {
		t.Fatal(err)
	}
	all := Failures()
	f := &Failover{Tries: 1, Prefix: prefix(), Progress: progress, Failures: []Failure{all[0], all[2], all[len(all)-1]}}
	if err := s.runFailover(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, row := range f.rows {
		found[row.Name]++
		if run := row.Runs[0]; run.Count == 0 || run.Values[result.WriteGap] <= 0 {
			t.Errorf("%s, %s, %v: %d puts, a gap of %v s", row.Side, row.Name, row.Parameters, run.Count, run.Values[result.WriteGap])
		}
	}
	if found["leader killed"] != 4 || found["leadership moved"] != 4 || found["leader's host lost"] != 0 {
		t.Errorf("two clients by two protocols make these rows: %v", found)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "NOT MEASURED: leader's host lost: it ") {
		t.Errorf("%v: %s", err, text)
	}
}

// TestSuiteOfSides: members that are killed as a whole go on, and those whose leader is killed; by etcd's API and by qkv's own client.
func TestSuiteOfSides(t *testing.T) {
	for _, native := range []bool{false, true} {
		s := &side{describe: result.Side{Name: "qkv"}, program: qkvProgram, dir: t.TempDir(), own: true, native: native}
		s.port, _ = strconv.Atoi(freePorts(t, 6))
		one, err := s.Start(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		c := one.(*cluster)
		took, err := c.Restart(t.Context())
		if err == nil {
			_, err = c.Healthy(t.Context())
		}
		if err == nil {
			err = c.KillLeader(t.Context())
		}
		if err := errors.Join(err, c.Ended()); err != nil || took <= 0 || c.killed == nil || len(c.Stores()) < nativeClients {
			t.Errorf("native %v: %v after %v", native, err, took)
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestEndsBeforeItServes: a member that ends at once is said with its last lines, and nothing is left.
func TestEndsBeforeItServes(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "etcd")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho no space left on device >&2\nexit 2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := &side{describe: result.Side{Name: "etcd"}, program: program, dir: dir}
	s.port, _ = strconv.Atoi(freePorts(t, 2))
	if _, err := s.Start(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v: %v is left", err, left)
	}
}

// TestRefuses: what makes a load nonsense, or harms a running server, is refused before anything is started.
func TestRefuses(t *testing.T) {
	for _, one := range []struct {
		command func(context.Context, []string) error
		args    []string
	}{
		{kube, []string{"-from", "0"}},
		{kube, []string{"-most", "10"}},
		{kube, []string{"-members", "6"}},
		{kube, []string{"-nodes", "0"}},
		{kube, []string{"-within", "NaN"}},
		{kube, []string{"-held", "1.5"}},
		{kube, []string{"-tries", "0"}},
		{kube, []string{"-listers", "101"}},
		{kube, []string{"-port", "65530"}},
		{kube, []string{"-side", "zk"}},
		{kube, []string{"-side", "none"}},
		{kube, []string{"-target", "etcd=127.0.0.1:1"}},
		{kube, []string{"-target", "etcd=http://127.0.0.1:1"}}, // without -allow-maintenance
		{failover, []string{"-tries", "0"}},
		{failover, []string{"-failure", "meteor"}},
		{failover, []string{"-watch", "1s"}},
		{failover, []string{"-endpoints", "127.0.0.1:1"}},
		{vsEtcd, []string{"-members", "6"}},
		{vsEtcd, []string{"-load", "nonsense"}},
		{vsEtcd, []string{"-rate", "NaN"}},
		{vsEtcd, []string{"-scale", "0"}},
		{vsEtcd, []string{"-o", "result.html"}},
		{vsEtcd, []string{"more"}},
	} {
		if err := one.command(t.Context(), one.args); !errors.Is(err, errUsage) {
			t.Errorf("%v: %v", one.args, err)
		}
	}
}
