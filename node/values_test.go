package node_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
	"qkv/log/disk"
	"qkv/net/client"
	"qkv/net/wire"
	"qkv/node"
	"qkv/snapshot"
)

// memberEnv has the configuration of the member that a process of this test is to be.
const memberEnv = "QKV_TEST_MEMBER"

// partsEnv is the size of that member's parts, in bytes; empty: they are small.
const partsEnv = "QKV_TEST_PARTS"

// TestMemberProcess is a member in a process of its own, until its standard input ends.
func TestMemberProcess(t *testing.T) {
	text := os.Getenv(memberEnv)
	if text == "" {
		t.Skip("it is a process of other tests")
	}
	var c node.Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	c.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	start := node.StartWithSmallParts
	if size, err := strconv.ParseInt(os.Getenv(partsEnv), 10, 64); err == nil {
		start = func(ctx context.Context, c node.Config) (*node.Node, error) { return node.StartWithParts(ctx, c, size) }
	}
	n, err := start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("serves")
	_, _ = io.Copy(io.Discard, os.Stdin)
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// members are processes, and what was put by revision.
type members struct {
	t       testing.TB
	c       *cluster
	running []*exec.Cmd
	at      []*client.Client // each knows one member only
	puts    []kv.KeyValue
}

func (m *members) start(i int) {
	m.t.Helper()
	config := m.c.configs[i]
	config.Logger = nil
	text, err := json.Marshal(config)
	if err != nil {
		m.t.Fatal(err)
	}
	p := exec.Command(os.Args[0], "-test.run=^TestMemberProcess$")
	p.Env, p.Stderr = append(os.Environ(), memberEnv+"="+string(text)), m.t.Output()
	said, err := p.StdoutPipe()
	if err == nil {
		_, err = p.StdinPipe() // if this process ends, so does that one
	}
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.running[i] = p
	serves := false
	for lines := bufio.NewScanner(said); !serves && lines.Scan(); {
		serves = lines.Text() == "serves"
	}
	if !serves {
		m.t.Fatalf("%s does not start", config.Name)
	}
}

// kill ends a process as kill -9 does.
func (m *members) kill(i int) {
	if p := m.running[i]; p != nil {
		_ = p.Process.Kill()
		_ = p.Wait()
		m.running[i] = nil
	}
}

// await waits for a condition.
func (m *members) await(what string, is func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(wait); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("waited for %v: %s", wait, what)
		}
	}
}

func (m *members) status(i int) kv.Status {
	s, err := m.at[i].Admin().Status(m.t.Context(), m.c.configs[i].Listen)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// fill overwrites keys until each member has values on its disk only.
func (m *members) fill() {
	m.t.Helper()
	cl := m.c.client(0)
	m.await("values leave memory", func() bool {
		for range 10 {
			pair := kv.KeyValue{Key: fmt.Appendf(nil, "k%d", len(m.puts)%7), Value: fmt.Appendf(nil, "%d.%s", len(m.puts), strings.Repeat("v", 2000))}
			put, err := cl.Put(m.t.Context(), pair.Key, pair.Value)
			if err != nil {
				m.t.Fatal(err)
			}
			pair.ModRevision = put.Revision
			m.puts = append(m.puts, pair)
		}
		for i := range m.at {
			if s := m.status(i); s.Get(figures.Extents) < 3 || s.Get(figures.Cold) < 30 {
				return false
			}
		}
		return len(m.puts) >= 150
	})
}

// read reads each put at its own revision from one member, and counts the errors. A value is never wrong.
func (m *members) read(i int) (failed int) {
	m.t.Helper()
	for _, put := range m.puts {
		found, err := m.at[i].Range(m.t.Context(), kv.Range{Key: put.Key, Revision: put.ModRevision, Serializable: true})
		if err != nil {
			failed++
			m.t.Logf("revision %d of member %d: %v", put.ModRevision, i, err)
			continue
		}
		if len(found.KVs) != 1 || found.KVs[0].ModRevision != put.ModRevision || !bytes.Equal(found.KVs[0].Value, put.Value) {
			m.t.Fatalf("member %d has %.100s at revision %d, and not %.20q", i, fmt.Sprint(found.KVs), put.ModRevision, put.Value)
		}
	}
	return failed
}

// readAll reads all from each member, which takes values from its disk.
func (m *members) readAll() {
	m.t.Helper()
	for i := range m.at {
		reads := func() float64 { return samples(m.t.Context(), m.t, m.c.configs[i].Listen)["qkv_value_reads_total"] }
		before := reads()
		if failed := m.read(i); failed > 0 {
			m.t.Fatalf("member %d: %d reads failed", i, failed)
		}
		m.await("the metric rises", func() bool { return reads() >= before+30 })
	}
}

// watch takes all changes of the puts from one member.
func (m *members) watch(i int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), wait)
	defer cancel()
	w, err := m.at[i].Watch(ctx, kv.Watch{Key: []byte("k"), End: client.Prefix([]byte("k")), Revision: m.puts[0].ModRevision, PrevKV: true})
	if err != nil {
		m.t.Fatal(err)
	}
	defer w.Close()
	before := map[string][]byte{}
	for got := 0; got < len(m.puts); {
		r, err := w.Next()
		if err != nil {
			m.t.Fatalf("after %d of %d changes: %v", got, len(m.puts), err)
		}
		for _, e := range r.Events {
			put, key := m.puts[got], string(e.KV.Key)
			same := e.Before == nil && before[key] == nil || e.Before != nil && bytes.Equal(e.Before.Value, before[key])
			if e.KV.ModRevision != put.ModRevision || !bytes.Equal(e.KV.Key, put.Key) || !bytes.Equal(e.KV.Value, put.Value) || !same {
				m.t.Fatalf("change %d is %.100s behind %.20q", got, fmt.Sprint(e.KV), before[key])
			}
			before[key] = e.KV.Value
			got++
		}
	}
}

// damage inverts bits of an extent that a running member reads from, the nth before the last but one, and returns its name.
func (m *members) damage(i, nth int) string {
	m.t.Helper()
	dir := filepath.Join(m.c.configs[i].DataDir, "snap")
	for range 100 {
		listing, err := snapshot.List(disk.OS(), dir)
		if err != nil || len(listing.Published) == 0 {
			continue
		}
		parts := slices.DeleteFunc(listing.Published[0].Parts, func(p snapshot.Part) bool { return p.Number == 0 })
		if len(parts) < nth+2 {
			continue
		}
		name := parts[len(parts)-2-nth].Name()
		err = flipBits(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) { // a newer base has it
			continue
		}
		if err != nil {
			m.t.Fatal(err)
		}
		return name
	}
	m.t.Fatalf("no extent of %s stays", m.c.configs[i].Name)
	return ""
}

// flipBits inverts a bit of each 100 bytes, where they are.
func flipBits(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	content, err := io.ReadAll(f)
	for at := 99; at < len(content); at += 100 {
		content[at] ^= 4
	}
	if err == nil {
		_, err = f.WriteAt(content, 0)
	}
	return err
}

// repaired tells whether a member has fetched a part.
func (m *members) repaired(i int, name string) bool {
	return slices.ContainsFunc(m.status(i).Alarms, func(a kv.Alarm) bool {
		return strings.Contains(a.Text, name) && strings.Contains(a.Text, "was fetched again; nothing is lost")
	})
}

// Superseded values are read from files, by reads of the past and by watches from the past, also after the processes were killed. A member
// with damaged files answers nothing wrong, gets them from another member while it runs, and has everything again.
func TestValuesInFiles(t *testing.T) {
	testlong.Skip(t)
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d members", n), func(t *testing.T) {
			testretry.Longer(t, 500*time.Millisecond, func(t testing.TB, election time.Duration) { valuesInFiles(t, n, election) })
		})
	}
}

// startMembers starts n members in processes.
func startMembers(t testing.TB, n int, election time.Duration) *members {
	t.Helper()
	m := &members{t: t, c: planCluster(t, n, election), running: make([]*exec.Cmd, n)}
	for i := range n {
		t.Cleanup(func() { m.kill(i) })
		m.start(i)
		credentials, err := wire.Maker{Now: time.Now, Rand: rand.Reader}.LocalClient(m.c.home)
		if err != nil {
			t.Fatal(err)
		}
		cl, err := client.Open(t.Context(), client.Config{Endpoints: []string{m.c.configs[i].Listen}, Credentials: credentials, NoDiscovery: true, Timeout: wait})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cl.Close() })
		m.at = append(m.at, cl)
	}
	return m
}

func valuesInFiles(t testing.TB, n int, election time.Duration) {
	m := startMembers(t, n, election)
	m.fill()
	m.readAll()
	for i := range n {
		m.kill(i)
	}
	for i := range n {
		m.start(i)
	}
	m.readAll()
	m.watch(0)
	if n == 1 {
		return
	}
	// The watch is first: the hub keeps values that it has read.
	for round, use := range []func(int){m.watch, func(i int) { m.read(i) }} {
		i := n - 1
		name := m.damage(i, round)
		use(i)
		m.await("the part "+name+" is fetched", func() bool { return m.repaired(i, name) })
		if failed := m.read(i); failed > 0 {
			t.Fatalf("%d reads failed after the repair", failed)
		}
		m.watch(i)
		if aside, _ := filepath.Glob(filepath.Join(m.c.configs[i].DataDir, "damaged", name+"*")); len(aside) != 1 {
			t.Errorf("aside of %s: %q", name, aside)
		}
	}
	m.readAll()
}
