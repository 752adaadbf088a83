//go:build !client36

package clients

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/status"

	"qkv/net/etcd/compat/member"
)

// sickPuts is how many puts a client of three members makes beside a sick one, and sickPause is the pause after each.
const (
	sickPuts  = 300
	sickPause = 10 * time.Millisecond
)

// sickCluster is a cluster of three members, of which the last one becomes sick.
type sickCluster struct {
	*member.Cluster
	t     *testing.T
	wires *member.Wires // nil: there are none
	disks []string      // of the members, where the state needs small ones
}

func (c *sickCluster) sick() *member.Member { return c.Members[2] }

// state is one line of the table: how a member comes into it, and what etcd's client sees there.
type sickState struct {
	name  string
	wired bool
	disks bool
	begin func(c *sickCluster)
	alone string // what the first put of a client of the sick member alone ends with; empty: it succeeds, "-": it is not asked
}

// sickStates are the states of docs/etcd.md, "A sick member". The first one is what the others are compared with.
var sickStates = []sickState{
	{name: "stopped", begin: func(c *sickCluster) { c.sick().Kill() }, alone: "DeadlineExceeded"},
	{name: "suspended", begin: func(c *sickCluster) {
		c.sick().Kill()
		must(c.t, os.RemoveAll(c.sick().Dir))
		c.sick().Start()
		c.says("suspended")
	}, alone: "DeadlineExceeded"},
	{name: "starting without a quorum", wired: true, begin: func(c *sickCluster) {
		c.sick().Kill()
		c.wires.Cut(func(from, to *member.Member) bool { return from == c.sick() || to == c.sick() })
		c.sick().Start()
	}, alone: "DeadlineExceeded"},
	{name: "draining", begin: func(c *sickCluster) { c.sick().Signal(syscall.SIGTERM) }, alone: "-"},
	{name: "without disk space", disks: true, alone: "DeadlineExceeded", begin: func(c *sickCluster) {
		c.fill(2)
		e := newEnv(c.t, c.Cluster, "filled/") // what its log has no space for
		others := e.another(c.Endpoints()[:2]...)
		for i := range 80 {
			_, err := others.Put(e.ctx, e.key(fmt.Sprint(i%8)), strings.Repeat("v", 200<<10))
			must(c.t, err)
			time.Sleep(100 * time.Millisecond) // a seventh of the others' disks in a second may leave them no room for a moment
		}
	}},
}

// says waits until the first member's status says something.
func (c *sickCluster) says(what string) {
	c.t.Helper()
	for until := time.Now().Add(timeout); ; time.Sleep(100 * time.Millisecond) {
		out, _ := c.status()
		if strings.Contains(out, what) {
			return
		}
		if time.Now().After(until) {
			c.t.Fatalf("the status does not say %q:\n%s", what, out)
		}
	}
}

// status runs `qkv status`, and returns its output and its exit code.
func (c *sickCluster) status() (out string, code int) {
	c.t.Helper()
	cmd := member.Command(c.t, member.QKV, "status", "--endpoints", strings.Join(c.Endpoints(), ","), "--timeout", "5s")
	cmd.Env = append(cmd.Env, "QKV_HOME="+c.Home())
	text, err := cmd.CombinedOutput()
	if ended, is := errors.AsType[*exec.ExitError](err); is {
		return string(text), ended.ExitCode()
	}
	must(c.t, err)
	return string(text), 0
}

// fill fills the disk of a member to the last byte.
func (c *sickCluster) fill(i int) {
	c.t.Helper()
	f, err := os.Create(filepath.Join(c.disks[i], "fill"))
	must(c.t, err)
	defer f.Close()
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		c.t.Fatal(err)
	}
}

// startSick starts three members for a state, or skips the test where it has no right to make small disks.
func startSick(t *testing.T, program string, s *sickState, arguments ...string) *sickCluster {
	c := &sickCluster{t: t}
	if s.disks {
		for range 3 {
			dir := t.TempDir()
			if err := syscall.Mount("none", dir, "tmpfs", 0, "mode=700,size=48m"); err != nil {
				t.Skipf("no right to mount a small disk: %v", err)
			}
			t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
			c.disks = append(c.disks, dir)
		}
	}
	switch {
	case s.wired && program == member.QKV:
		c.Cluster, c.wires = member.StartWired(t, 3, arguments...)
	default:
		next := 0
		c.Cluster = member.StartOn(t, program, 3, func(m *member.Member) {
			if s.disks {
				m.Move(filepath.Join(c.disks[next%3], "data"))
				next++
			}
		}, arguments...)
	}
	return c
}

// TestSickMember is the table of docs/etcd.md: a client of three members puts while one of them comes into each state, and for some
// seconds more. At most one put in a hundred fails, as beside a stopped member of etcd. What is told by the status's first line is true.
func TestSickMember(t *testing.T) {
	for i := range sickStates {
		s := &sickStates[i]
		programs := []string{member.QKV}
		if s.name == "stopped" || s.name == "draining" {
			programs = append(programs, member.Etcd)
		}
		for _, program := range programs {
			t.Run(s.name+"/"+program, func(t *testing.T) {
				t.Parallel()
				c := startSick(t, program, s)
				e := newEnv(t, c.Cluster, "sick/")
				for i := range 30 { // of all members
					e.put(fmt.Sprint(i), "before")
				}
				begun := make(chan struct{})
				go func() {
					defer close(begun)
					s.begin(c)
				}()
				failed, longest, puts, why := 0, time.Duration(0), 0, error(nil)
				for left := sickPuts; left > 0; puts++ {
					select {
					case <-begun:
						left--
					default:
					}
					ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
					began := time.Now()
					if _, err := e.Put(ctx, e.key(fmt.Sprint(puts)), "during"); err != nil {
						failed, why = failed+1, err
					}
					cancel()
					longest = max(longest, time.Since(began))
					time.Sleep(sickPause)
				}
				t.Logf("%s, %s: %d of %d puts failed, the longest took %v; the last error: %v", s.name, program, failed, puts, longest.Round(time.Millisecond), why)
				most := puts / 100
				if longest > time.Second { // on a host that is this busy the member hears late of its state
					most = puts / 10
				}
				if failed > most {
					t.Errorf("%d of %d puts failed: %v", failed, puts, why)
				}
				if s.alone != "-" {
					ctx, cancel := context.WithTimeout(e.ctx, 3*time.Second)
					defer cancel()
					_, err := e.another(c.sick().Client).Put(ctx, e.key("alone"), "value")
					got := status.Code(err).String()
					if errors.Is(err, context.DeadlineExceeded) {
						got = "DeadlineExceeded"
					}
					if t.Logf("%s, %s, of the sick member alone: %v", s.name, program, err); got != s.alone && (err != nil || s.alone != "") {
						t.Errorf("a put at the sick member alone: %v, want %q", err, s.alone)
					}
				}
				if program == member.QKV {
					c.tellsPuts(e, true)
				}
			})
		}
	}
}

// tellsPuts checks the first line of the status by whether puts are accepted.
func (c *sickCluster) tellsPuts(e *env, accepted bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
	defer cancel()
	_, err := e.Put(ctx, e.key("told"), "value")
	out, code := c.status()
	first, _, _ := strings.Cut(out, "\n")
	c.t.Logf("exit code %d: %s", code, first)
	serves := strings.HasPrefix(first, "HEALTHY: ") || strings.HasPrefix(first, "DEGRADED: ")
	if (err == nil) != accepted || serves != accepted || (code == 0) != accepted {
		c.t.Errorf("a put ends with %v, and status with %d:\n%s", err, code, out)
	}
}

// TestNoPutIsAccepted makes each state in which no put is accepted: the first line of the status says so, and the exit code is not 0.
func TestNoPutIsAccepted(t *testing.T) {
	for _, s := range []struct {
		sickState
		says      string
		arguments []string
	}{
		{sickState{name: "two stopped", begin: func(c *sickCluster) {
			c.Members[1].Kill()
			c.sick().Kill()
		}}, "NO QUORUM: ", nil},
		{sickState{name: "two suspended", begin: func(c *sickCluster) {
			for _, m := range c.Members[1:] {
				m.Kill()
				must(c.t, os.RemoveAll(m.Dir))
			}
			for _, m := range c.Members[1:] {
				m.Start()
			}
		}}, "NO QUORUM: ", nil},
		{sickState{name: "two starting", begin: func(c *sickCluster) {
			for _, m := range c.Members {
				m.Kill()
			}
			c.sick().Start()
		}}, "NO QUORUM: ", nil},
		{sickState{name: "two without disk space", disks: true, begin: func(c *sickCluster) {
			c.fill(1)
			c.fill(2)
		}}, "NO SPACE: no put is accepted: NOSPACE of n", nil},
		{sickState{name: "the quota reached", begin: func(c *sickCluster) {
			e := newEnv(c.t, c.Cluster, "fill/")
			for i := range 100 {
				if _, err := e.Put(e.ctx, fmt.Sprint(i), strings.Repeat("v", 64<<10)); err != nil {
					return
				}
			}
		}}, "NO SPACE: no put is accepted: NOSPACE of n", []string{"--quota-bytes", "2MiB"}},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := startSick(t, member.QKV, &s.sickState, s.arguments...)
			e := newEnv(t, c.Cluster, "none/")
			e.put("before", "value")
			s.begin(c)
			c.says(s.says)
			c.tellsPuts(e, false)
		})
	}
}
