package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/index/kv"
	"qkv/internal/testlong"
	"qkv/net/client"
)

// team is the client of a certificate of its own, and a program that writes below a prefix.
type team struct {
	name, prefix     string
	environment      []string
	puts, refused    atomic.Int64
	foreign, unknown atomic.Int64 // keys of the other team that were read or written; outcomes that are unknown
}

// write puts keys below the prefix, and tries those of the other team, until ctx ends.
func (a *team) write(ctx context.Context, t *testing.T, s *client.Client, other *team) {
	for n := 0; ctx.Err() == nil; n++ {
		_, err := s.Put(ctx, fmt.Appendf(nil, "%sn/%d", a.prefix, n%50), fmt.Append(nil, n))
		switch answer, refused := errors.AsType[*kv.Error](err); {
		case err == nil:
			a.puts.Add(1)
		case refused && answer.Code == kv.NotAllowed:
			a.refused.Add(1)
		case errors.Is(err, client.ErrOutcomeUnknown):
			a.unknown.Add(1)
		case ctx.Err() == nil:
			t.Errorf("%s: %v", a.name, err)
		}
		if _, err := s.Put(ctx, []byte(other.prefix+"stolen"), nil); err == nil {
			a.foreign.Add(1)
		}
		if _, _, err := s.Get(ctx, []byte(other.prefix+"n/1")); err == nil {
			a.foreign.Add(1)
		}
	}
}

// run starts a command of qkv as a process of the team.
func (a *team) run(t *testing.T, words ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	var messages bytes.Buffer
	cmd := exec.Command("qkv", words...)
	cmd.Env = append(run.WithoutSettings(os.Environ()), a.environment...)
	cmd.Stderr = &messages
	must(t, spawn(cmd))
	return cmd, &messages
}

// denied waits for the end of a process, and fails unless it says that its permission is denied.
func denied(t *testing.T, what string, cmd *exec.Cmd, messages *bytes.Buffer, code int) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(processWait):
		_ = cmd.Process.Kill()
		<-ended
		t.Fatalf("the %s does not end: %s", what, messages)
	}
	if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(messages.String(), "permission denied") {
		t.Errorf("the %s ended with %d, not %d: %s", what, got, code, messages)
	}
}

// TestProcessTeams: two teams with certificates share a cluster, while the leader is killed. Each writes its own keys and never reads or
// changes the other's. One loses its role right after a kill, in the middle of a watch and a lock: both end with that reason, its puts are
// refused from then on, and the other team notices nothing. Each change has its author. A killed member starts with all users (etcd #14355).
func TestProcessTeams(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	c := startProcesses(t, 3)
	for deadline := time.Now().Add(processWait); c.qkv("role", "add", "app1", "--prefix", "app1/", "--read", "--write").code != form.ExitOK; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) { // the members raise the feature level when all have started
			t.Fatalf("no role can be added\n%s", c.tails())
		}
	}
	c.qkv("role", "add", "app2", "--prefix", "app2/", "--read", "--write").exits(t, form.ExitOK)
	for user, role := range map[string]string{"root": "root", "admin": "root", "team1": "app1", "team2": "app2"} {
		c.qkv("user", "add", user, "--role", role).exits(t, form.ExitOK)
	}
	c.qkv("user", "add", "ops:secret").exits(t, form.ExitUsage, "NAME:PASSWORD is a form of etcdctl", "qkv user add ops --password-file FILE")
	c.qkv("user", "add", "system:ops", "--no-password").exits(t, form.ExitOK)
	c.qkv("auth", "enable").exits(t, form.ExitOK)
	certs := filepath.Join(c.home, "certs")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writing sync.WaitGroup
	teams := [2]*team{{name: "team1", prefix: "app1/"}, {name: "team2", prefix: "app2/"}}
	for i, a := range teams {
		c.qkv("cert", "client", a.name, "--certs-dir", certs).exits(t, form.ExitOK)
		a.environment = append(c.environment(), "QKV_CERTS_DIR="+certs, "QKV_CLIENT="+a.name)
		of := *c
		of.certsDir, of.client = certs, a.name
		s := of.open(i, 10*time.Second)
		writing.Go(func() { a.write(ctx, t, s, teams[1-i]) })
	}
	more := func(all ...*team) {
		t.Helper()
		for _, a := range all {
			from := a.puts.Load()
			for deadline := time.Now().Add(processWait); a.puts.Load() < from+20; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s writes no more\n%s", a.name, c.tails())
				}
			}
		}
	}
	kill := func() *memberProcess {
		t.Helper()
		m := c.leader()
		m.kill()
		return m
	}
	more(teams[:]...)
	watch, watchSaid := teams[0].run(t, "watch", "app1/", "--prefix")
	lock, lockSaid := teams[0].run(t, "lock", "app1/lock", "--ttl", "5", "--", "sleep", "600")
	more(teams[:]...)
	down := kill()
	more(teams[:]...)
	down.start()
	c.keepsUp()

	down = kill()
	c.qkv("user", "revoke", "team1", "app1").exits(t, form.ExitOK)
	denied(t, "watch", watch, watchSaid, form.ExitNotAllowed)
	denied(t, "lock", lock, lockSaid, form.ExitFailed)
	from, refused := teams[0].puts.Load(), teams[0].refused.Load()
	more(teams[1])
	for deadline := time.Now().Add(processWait); teams[0].refused.Load() == refused && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond) // its put may wait for an answer of the killed leader
	}
	if got := teams[0].puts.Load() - from; got != 0 || teams[0].refused.Load() == refused {
		t.Errorf("team1 made %d puts without its role, and %d were refused", got, teams[0].refused.Load()-refused)
	}
	c.qkv("lock", "app1/lock", "--wait", "60s", "--", "true").exits(t, form.ExitOK) // when the lease of the other has ended
	down.start()
	c.keepsUp()
	c.qkv("user", "grant", "team1", "app1").exits(t, form.ExitOK)
	more(teams[:]...)
	cancel()
	writing.Wait()
	for _, words := range []string{"diff app1/n/ --from 2", "revert app1/n/ --to 2 --yes"} { // they ask only for keys that the role permits
		cmd, said := teams[0].run(t, strings.Fields(words)...)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v, %s", words, err, said)
		}
	}
	c.level()
	for i, a := range teams {
		if n := a.foreign.Load(); n > 0 {
			t.Errorf("%s read or wrote %d keys of the other team", a.name, n)
		}
		changes := c.qkv("log", "--by", a.name).exits(t, form.ExitOK).stdout
		if strings.Contains(changes, `"key":"`+teams[1-i].prefix) || strings.Count(changes, `"key":"`+a.prefix) < 20 {
			t.Errorf("the log of %s has other keys, or none", a.name)
		}
		t.Logf("figures: %s made %d puts, %d refused, %d with an unknown outcome", a.name, a.puts.Load(), a.refused.Load(), a.unknown.Load())
	}
}
