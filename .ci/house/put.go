package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/coverage"
	"slices"
	"strings"
	"syscall"
	"time"

	"qkv/internal/testport"
	"qkv/net/client"
	"qkv/net/wire"
)

const (
	puts     = 60               // of which the faster half counts: fewer timers run beside them
	patience = 60 * time.Second // far more than a cluster needs to start, on a busy host
)

// obey lets this process, which runs a member, take orders at file 3: an empty line sets the coverage counters back, and the name of
// a folder writes them there. Each is confirmed by a line at file 4.
func obey() {
	orders, answers := os.NewFile(3, "orders"), os.NewFile(4, "answers")
	go func() {
		for lines := bufio.NewScanner(orders); lines.Scan(); {
			if dir := lines.Text(); dir == "" {
				fmt.Fprintln(answers, coverage.ClearCounters())
			} else {
				fmt.Fprintln(answers, errors.Join(coverage.WriteMetaDir(dir), coverage.WriteCountersDir(dir)))
			}
		}
	}()
}

// member is a process of a covered build of this program.
type member struct {
	name, listen, peer string
	cmd                *exec.Cmd
	orders             io.Writer
	answers            *bufio.Reader
}

// crossed is a file on a Put's way at the leader.
type crossed struct {
	name string
	hook bool // a Put runs less than a tenth of its statements: it is there for something else
}

// crossedByPut returns the files of a module of which a statement runs at the leader during every Put.
func crossedByPut(module string) (files []crossed, err error) {
	dir, err := os.MkdirTemp("", "house")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "house")
	build := exec.Command("go", "build", "-cover", "-covermode=atomic", "-coverpkg="+module+"/...", "-o", program, "./.ci/house")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	members, err := startMembers(dir, program)
	defer func() {
		for _, m := range members {
			if m.cmd != nil {
				_ = m.cmd.Process.Kill() // it may have ended
				_ = m.cmd.Wait()
			}
		}
	}()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	leader, err := leaderOf(ctx, dir, program, members)
	if err != nil {
		return nil, err
	}
	ran, err := watchPuts(ctx, dir, leader)
	if err != nil {
		return nil, err
	}
	all, every := map[string]int{}, map[string]int{} // statements by file: of the file, and of every Put
	for block, n := range ran {
		name, _, _ := strings.Cut(strings.TrimPrefix(block.place, module+"/"), ":")
		if all[name] += block.statements; n == puts/2 && !strings.HasPrefix(name, ".ci/") {
			every[name] += block.statements
		}
	}
	for name, n := range every {
		files = append(files, crossed{name, 10*n < all[name]})
	}
	slices.SortFunc(files, func(a, b crossed) int { return strings.Compare(a.name, b.name) })
	return files, nil
}

// startMembers starts three members on free ports of loopback.
func startMembers(dir, program string) (all []*member, err error) {
	addresses, err := testport.Unused(6)
	if err != nil {
		return nil, err
	}
	var cluster []string
	for i := range 3 {
		m := &member{name: fmt.Sprintf("n%d", i+1), listen: addresses[2*i], peer: addresses[2*i+1]}
		all, cluster = append(all, m), append(cluster, m.name+"="+m.peer)
	}
	for _, m := range all {
		if err := m.start(dir, program, strings.Join(cluster, ",")); err != nil {
			return all, err
		}
	}
	return all, nil
}

// start starts a member, which logs into a file beside its folder, and ends with this process.
func (m *member) start(dir, program, cluster string) error {
	log, err := os.Create(filepath.Join(dir, m.name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	theirOrders, orders, err := os.Pipe()
	if err != nil {
		return err
	}
	defer theirOrders.Close()
	answers, theirAnswers, err := os.Pipe()
	if err != nil {
		return err
	}
	defer theirAnswers.Close()
	m.orders, m.answers = orders, bufio.NewReader(answers)
	cmd := exec.Command(program, "serve", "--name", m.name, "--data-dir", filepath.Join(dir, m.name), "--listen", m.listen,
		"--listen-peer", m.peer, "--initial-cluster", cluster, "--home", filepath.Join(dir, "home"))
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{theirOrders, theirAnswers}
	cmd.Env = append(os.Environ(), "GOCOVERDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	m.cmd = cmd
	return nil
}

// order gives a member an order, and waits until it is done.
func (m *member) order(line string) error {
	if _, err := fmt.Fprintln(m.orders, line); err != nil {
		return err
	}
	answer, err := m.answers.ReadString('\n')
	if err == nil && answer != "<nil>\n" {
		err = errors.New(strings.TrimSpace(answer))
	}
	return err
}

// leaderOf waits until one member leads and the others follow.
func leaderOf(ctx context.Context, dir, program string, all []*member) (*member, error) {
	for ctx.Err() == nil {
		ask := exec.CommandContext(ctx, program, "status", "-w", "json", "--home", filepath.Join(dir, "home"), "--endpoints", all[0].listen+","+all[1].listen+","+all[2].listen)
		ask.Env = append(os.Environ(), "GOCOVERDIR="+dir)
		out, _ := ask.Output() // it fails until all members serve
		var status struct {
			Members []struct{ Name, Role string }
		}
		roles := map[string]int{}
		var leader *member
		if json.Unmarshal(out, &status) == nil {
			for _, one := range status.Members {
				roles[one.Role]++
				if i := slices.IndexFunc(all, func(m *member) bool { return m.name == one.Name }); one.Role == "leader" && i >= 0 {
					leader = all[i]
				}
			}
		}
		if leader != nil && roles["follower"] == 2 {
			return leader, nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	said, _ := os.ReadFile(filepath.Join(dir, all[0].name+".log"))
	return nil, fmt.Errorf("the members elect no leader in %v; %s says:\n%s", patience, all[0].name, said)
}

// block is statements that run one after the other.
type block struct {
	place      string // qkv/actor/ready.go:10.2,12.3
	statements int
}

// watchPuts puts keys at the leader, and counts for each block in how many of the faster Puts it ran.
func watchPuts(ctx context.Context, dir string, leader *member) (ran map[block]int, err error) {
	credentials, err := wire.Maker{Now: time.Now, Rand: rand.Reader}.LocalClient(filepath.Join(dir, "home"))
	if err != nil {
		return nil, err
	}
	c, err := client.Open(ctx, client.Config{Endpoints: []string{leader.listen}, Credentials: credentials, NoDiscovery: true, Timeout: patience})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	type watched struct {
		counters string
		took     time.Duration
	}
	var all []watched
	for i := range 2 * puts {
		one := watched{counters: filepath.Join(dir, fmt.Sprintf("put%d", i))}
		if err := errors.Join(os.Mkdir(one.counters, 0o700), leader.order("")); err != nil {
			return nil, err
		}
		begun := time.Now()
		if _, err := c.Put(ctx, fmt.Appendf(nil, "house/%d", i), []byte("value")); err != nil {
			return nil, err
		}
		one.took = time.Since(begun)
		if err := leader.order(one.counters); err != nil {
			return nil, err
		}
		if i >= puts { // the first ones also open a session and fill pools
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b watched) int { return cmp.Compare(a.took, b.took) })
	ran = map[block]int{}
	for _, one := range all[:puts/2] {
		profile, err := profileOf(one.counters)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(profile) { // a place, its statements, how often they ran
			var b block
			times := 0
			if n, _ := fmt.Sscanf(line, "%s %d %d", &b.place, &b.statements, &times); n == 3 {
				ran[b] += min(times, 1)
			}
		}
	}
	return ran, nil
}

// profileOf returns the profile of a folder of counters.
func profileOf(counters string) (string, error) {
	name := counters + ".txt"
	if out, err := exec.Command("go", "tool", "covdata", "textfmt", "-i="+counters, "-o="+name).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	text, err := os.ReadFile(name)
	return string(text), err
}
