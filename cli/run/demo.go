//go:build linux

package run

// This file is `qkv demo`: run three members on this host, and see one die.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/internal/figures"
	"qkv/net/client"
	"qkv/net/wire"
)

const (
	DemoMembers = 3
	demoKey     = "demo/greeting"
)

// runDemo runs the demo; each line that it prints was checked first.
func runDemo(c *cli.Context) error {
	if err := checkPort(c.Int("port"), 2*DemoMembers); err != nil {
		return err
	}
	ctx, forget := form.WithSignals(c.Context, true, syscall.SIGQUIT)
	defer forget()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Without this, a closed pipe would end the process at once, and the endpoints file would be left behind.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	defer signal.Stop(pipes)
	d, err := newDemo(c, cancel)
	if err != nil {
		return err
	}
	defer d.end()
	if err := d.tell(ctx); err != nil {
		if errors.Is(context.Cause(ctx), syscall.EPIPE) {
			return fmt.Errorf("demo: its output cannot be written: %w", context.Cause(ctx))
		}
		if ctx.Err() != nil {
			return fmt.Errorf("demo: %w", context.Cause(ctx))
		}
		return fmt.Errorf("demo: %w", err)
	}
	if !form.IsTerminal(c.App.Writer) {
		d.tryThis("to try, while qkv demo runs on a terminal:")
		return nil
	}
	return d.serve(ctx)
}

// demo is a cluster of processes, and a client that reports on it.
type demo struct {
	*localCluster
	program string // name of the program as the user typed it
	// homeFlag is added to the suggested commands if the CA and the endpoints are in an unusual place: another terminal may not have
	// the same variables.
	homeFlag    string
	out         io.Writer
	mark        string      // before each line
	nobodyReads func(error) // called when a line cannot be written
	store       *client.Client
	file        string // the endpoints file; empty until it is written
	before      []byte // the earlier content of the file; nil: no file
}

func newDemo(c *cli.Context, nobodyReads func(error)) (*demo, error) {
	home, err := form.HomeDir(c)
	if err != nil {
		return nil, err
	}
	d := &demo{program: os.Args[0], out: form.OutputOf(c.App.Writer), mark: "demo | ", nobodyReads: nobodyReads}
	if form.IsTerminal(c.App.Writer) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
		d.mark = "\x1b[1m" + d.mark + "\x1b[0m"
	}
	if usual, err := wire.Home(without("QKV_HOME")); err != nil || usual != home {
		d.homeFlag = " --home " + home
	}
	d.localCluster, err = newLocalCluster("n", DemoMembers, c.Int("port"), c.String("data-dir"), home, nil)
	return d, err
}

func (d *demo) linef(format string, values ...any) {
	if _, err := fmt.Fprintf(d.out, d.mark+format+"\n", values...); err != nil {
		d.nobodyReads(err)
	}
}

// without returns the environment without a variable.
func without(variable string) func(string) string {
	return func(name string) string {
		if name == variable {
			return ""
		}
		return os.Getenv(name)
	}
}

// tell runs the steps of the demo.
func (d *demo) tell(ctx context.Context) error {
	if err := d.begin(ctx); err != nil {
		return err
	}
	value := []byte("hello, it is " + time.Now().Format(time.RFC3339))
	if err := d.putAndGet(ctx, value); err != nil {
		return err
	}
	killed, err := d.killLeader(ctx)
	if err != nil {
		return err
	}
	if err := d.getAfterKill(ctx, value); err != nil {
		return err
	}
	return d.startAgain(ctx, killed)
}

// begin starts the members and waits until they are one healthy cluster.
func (d *demo) begin(ctx context.Context) error {
	d.linef("three members on this host, data under %s, mutual TLS by the local CA in %s", d.dataDir, d.home)
	var logs []string
	for _, m := range d.members {
		logs = append(logs, m.log)
	}
	d.linef("the members' logs: %s", strings.Join(logs, ", "))
	begun := time.Now()
	if err := d.start(); err != nil {
		return err
	}
	members, err := d.healthy(ctx)
	if err != nil {
		return err
	}
	if err := d.writeEndpoints(); err != nil {
		return err
	}
	if d.store, err = d.target().Open(ctx); err != nil {
		return err
	}
	leader := LeaderOf(members)
	d.linef("healthy after %s: %s leads in term %d", took(begun), leader.Name, leader.Count(figures.Term))
	return nil
}

// putAndGet writes a value and reads it back.
func (d *demo) putAndGet(ctx context.Context, value []byte) error {
	begun := time.Now()
	written, err := d.put(ctx, value)
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	d.linef("put %s: OK, revision %d, on the disks of a quorum after %s", demoKey, written.Revision, took(begun))
	begun = time.Now()
	if err := d.get(ctx, value); err != nil {
		return err
	}
	d.linef("get %s: %q after %s", demoKey, value, took(begun))
	return nil
}

func (d *demo) put(ctx context.Context, value []byte) (client.Written, error) {
	ctx, cancel := form.Bounded(ctx, localWait)
	defer cancel()
	return d.store.Put(ctx, []byte(demoKey), value)
}

// get reads the value, linearizably, and refuses any other answer.
func (d *demo) get(ctx context.Context, want []byte) error {
	ctx, cancel := form.Bounded(ctx, localWait)
	defer cancel()
	pair, found, err := d.store.Get(ctx, []byte(demoKey))
	switch {
	case err != nil:
		return fmt.Errorf("get: %w", err)
	case !found:
		return fmt.Errorf("WRONG ANSWER: get %s should be %q, and there is no such key", demoKey, want)
	case !bytes.Equal(pair.Value, want):
		return fmt.Errorf("WRONG ANSWER: get %s should be %q, and is %q", demoKey, want, pair.Value)
	}
	return nil
}

// killLeader ends the leader's process like a power cut.
func (d *demo) killLeader(ctx context.Context) (*process, error) {
	members, err := d.healthy(ctx)
	if err != nil {
		return nil, err
	}
	leader := LeaderOf(members)
	for _, m := range d.members {
		if m.Name == leader.Name {
			d.linef("kill -9 %d: %s, the leader", m.PID(), m.Name)
			return m, m.Kill()
		}
	}
	return nil, fmt.Errorf("%q leads, which is no member of this demo: is another cluster on these ports?", leader.Name)
}

// getAfterKill reads from the remaining members, and prints how long the cluster was unavailable.
func (d *demo) getAfterKill(ctx context.Context, value []byte) error {
	begun := time.Now()
	if err := d.get(ctx, value); err != nil {
		return err
	}
	d.linef("get %s again: %q after %s, with one member dead", demoKey, value, took(begun))
	return nil
}

// startAgain starts the killed member, and waits until it has caught up.
func (d *demo) startAgain(ctx context.Context, m *process) error {
	begun := time.Now()
	if err := m.Start(); err != nil {
		return err
	}
	members, err := d.healthy(ctx)
	if err != nil {
		return err
	}
	d.linef("%s started again, and caught up after %s; %s leads", m.Name, took(begun), LeaderOf(members).Name)
	return nil
}

// serve waits for Ctrl-C, or until all members have ended.
func (d *demo) serve(ctx context.Context) error {
	d.linef("see it in a browser: http://%s/ui/", d.endpoints()[0])
	d.tryThis("try, on another terminal:")
	d.linef("kill -9 a member and look at the status again: %s", d.pids())
	d.linef("Ctrl-C stops the members; their data stays")
	return d.watch(ctx)
}

func (d *demo) tryThis(when string) {
	d.linef("%s", when)
	for _, words := range []string{"put greeting hello", "get greeting", "status", "get demo/ --prefix -w json"} {
		d.linef("   %s %s%s", d.program, words, d.homeFlag)
	}
}

// watch reports each member that ends, until Ctrl-C or until all have ended.
func (d *demo) watch(ctx context.Context) error {
	ended := make(chan *process, len(d.members))
	for _, m := range d.members {
		go func() {
			_ = m.Wait()
			ended <- m
		}()
	}
	for range d.members {
		select {
		case m := <-ended:
			err := m.Wait()
			if removedMember(err) {
				d.linef("%s was removed from the cluster, and never starts again; to begin a new demo, stop this one and move the folder %s away", m.Name, d.dataDir)
				continue
			}
			d.linef("%s ended: %v; `qkv status` shows how the others go on; to start it again:", m.Name, err)
			d.linef("   %s %s", d.program, strings.Join(m.arguments(), " "))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return errors.New("demo: all members ended; their logs say why")
}

func (d *demo) pids() string {
	var all []string
	for _, m := range d.members {
		all = append(all, fmt.Sprintf("%s is %d", m.Name, m.PID()))
	}
	return strings.Join(all, ", ")
}

// writeEndpoints writes the members' addresses for the other commands.
func (d *demo) writeEndpoints() error {
	if err := os.MkdirAll(d.home, 0o700); err != nil {
		return err
	}
	file := filepath.Join(d.home, form.EndpointsFile)
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read where other members are: %w", err)
	}
	if err := os.WriteFile(file, []byte(d.endpointsText()), 0o600); err != nil {
		return fmt.Errorf("write where the members are: %w", err)
	}
	d.file, d.before = file, before
	return nil
}

// demoMark begins an endpoints file written by a demo.
const demoMark = "# written by qkv demo, and removed when it ends\n"

func (d *demo) endpointsText() string {
	return demoMark + strings.Join(d.endpoints(), "\n") + "\n"
}

// end stops the members.
func (d *demo) end() {
	if d.store != nil {
		_ = d.store.Close()
	}
	d.stop()
	d.restoreEndpoints()
	if d.members[0].PID() != 0 { // it is the first to start
		d.linef("all members stopped, data stays in %s", d.dataDir)
	}
}

// restoreEndpoints restores the earlier content of the endpoints file. It does not if the file now belongs to another demo, or if
// the earlier content came from a demo that died meanwhile.
func (d *demo) restoreEndpoints() {
	if d.file == "" {
		return
	}
	text, err := os.ReadFile(d.file)
	if err != nil || string(text) != d.endpointsText() {
		return
	}
	if d.before == nil || strings.HasPrefix(string(d.before), demoMark) && nobodyAt(d.before) {
		_ = os.Remove(d.file)
		return
	}
	_ = os.WriteFile(d.file, d.before, 0o600)
}

// nobodyAt reports whether no process listens at any endpoint of a file.
func nobodyAt(file []byte) bool {
	addresses, err := form.ParseEndpoints(string(file))
	if err != nil {
		return true
	}
	for _, a := range addresses {
		c, err := net.ListenPacket("udp", a)
		if err != nil {
			return false
		}
		_ = c.Close()
	}
	return true
}

func took(since time.Time) time.Duration {
	d := time.Since(since)
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
