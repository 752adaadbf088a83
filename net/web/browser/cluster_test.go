package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// wait is far more than any step needs, for busy hosts.
const wait = 30 * time.Second

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "qkv-browser")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "qkv")
	made := exec.Command("go", "build", "-o", program, ".")
	made.Dir = "../../.."
	if out, err := made.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build qkv: %w\n%s", err, out)
	}
	return program, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if program, err := build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(program))
	}
	os.Exit(code)
}

// cluster is three members in processes of their own.
type cluster struct {
	t       testing.TB
	program string
	home    string
	members []*member
}

type member struct {
	name, clients, peers string
	arguments            []string
	process              *exec.Cmd
}

// free returns addresses of loopback whose TCP and UDP ports are free.
func free(t testing.TB, n int) (all []string) {
	for len(all) < n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		u, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			continue
		}
		defer u.Close()
		all = append(all, l.Addr().String())
	}
	return all
}

// start starts three members with these names, and waits until they are healthy.
func start(t testing.TB, names ...string) *cluster {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, program: program, home: t.TempDir()}
	at := free(t, 2*len(names))
	var founders []string
	for i, name := range names {
		c.members = append(c.members, &member{name: name, clients: at[2*i], peers: at[2*i+1]})
		founders = append(founders, name+"="+at[2*i+1])
	}
	for _, m := range c.members {
		m.arguments = []string{"serve", "--name", m.name, "--data-dir", filepath.Join(c.home, "data-"+m.name), "--listen", m.clients, "--listen-peer", m.peers, "--initial-cluster", strings.Join(founders, ",")}
		c.run(m)
	}
	t.Cleanup(func() {
		for _, m := range c.members {
			c.kill(m)
		}
	})
	c.healthy()
	return c
}

func (c *cluster) run(m *member) {
	c.t.Helper()
	m.process = exec.Command(c.program, m.arguments...)
	m.process.Env = append(os.Environ(), "QKV_HOME="+c.home)
	if err := m.process.Start(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) kill(m *member) {
	if m.process != nil {
		_ = m.process.Process.Signal(syscall.SIGKILL)
		_ = m.process.Wait()
		m.process = nil
	}
}

// level is the line of a cluster that uses all features of its program.
var level = regexp.MustCompile(`(?m)^feature level \d+$`)

func (c *cluster) healthy() {
	c.t.Helper()
	for deadline := time.Now().Add(wait); ; {
		out, err := c.try(nil, "status", "--check")
		if err == nil && level.MatchString(out) {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("not healthy: %v\n%s", err, out)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// qkv runs a command of the program on the cluster.
func (c *cluster) qkv(arguments ...string) string {
	c.t.Helper()
	return c.qkvWith(nil, arguments...)
}

func (c *cluster) qkvWith(input []byte, arguments ...string) string {
	c.t.Helper()
	out, err := c.try(input, arguments...)
	if err != nil {
		c.t.Fatalf("qkv %s: %v\n%s", arguments, err, out)
	}
	return out
}

func (c *cluster) try(input []byte, arguments ...string) (string, error) {
	var endpoints []string
	for _, m := range c.members {
		endpoints = append(endpoints, m.clients)
	}
	run := exec.Command(c.program, arguments...)
	run.Env = append(os.Environ(), "QKV_HOME="+c.home, "QKV_ENDPOINTS="+strings.Join(endpoints, ","))
	if input != nil {
		run.Stdin = bytes.NewReader(input)
	}
	out, err := run.CombinedOutput()
	return string(out), err
}

// leader returns the member that leads. The page's member asks the others now and then: it may not have heard of the leader yet.
func (c *cluster) leader() *member {
	c.t.Helper()
	for deadline := time.Now().Add(wait); ; time.Sleep(100 * time.Millisecond) {
		o := c.overview(c.members[0])
		for _, m := range o.Members {
			for _, one := range c.members {
				if m.Role == "leader" && m.Name == one.name {
					return one
				}
			}
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("no leader: %+v", o)
		}
	}
}

type overview struct {
	Verdict struct{ Word string }
	Members []struct{ Name, Role string }
}

func (c *cluster) overview(at *member) (o overview) {
	c.t.Helper()
	r := c.ask(at, http.MethodGet, "/ui/api/overview", "", map[string]string{"X-Qkv-Dashboard": "1"})
	if err := json.Unmarshal([]byte(r.body), &o); err != nil {
		c.t.Fatalf("%v in %s", err, r.body)
	}
	return o
}

type response struct {
	code   int
	header http.Header
	body   string
}

// ask sends a request as no browser would.
func (c *cluster) ask(at *member, method, path, body string, header map[string]string) response {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, method, "http://"+at.clients+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for name, value := range header {
		if name == "Host" {
			q.Host = value
		}
		q.Header.Set(name, value)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := client.Do(q)
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Body.Close()
	var text bytes.Buffer
	_, _ = text.ReadFrom(r.Body)
	return response{r.StatusCode, r.Header, text.String()}
}
