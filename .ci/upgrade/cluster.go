package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"qkv/internal/testport"
)

// patience is how long a member, or the cluster, may take for what it is to do: far more than it needs, for hosts that are busy.
const patience = 60 * time.Second

// member is one member's process.
type member struct {
	name, dir, listen, peer, home string
	begins                        []string // the flags that say how its cluster begins
	cmd                           *exec.Cmd
	ended                         chan struct{}
}

// start starts the member with a program. It logs to a file in its folder.
func (m *member) start(program string) error {
	log, err := os.OpenFile(m.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	m.cmd = exec.Command(program, append([]string{
		"serve", "--name", m.name, "--data-dir", m.dir, "--listen", m.listen, "--listen-peer", m.peer,
		"--home", m.home, "--log-format", "text",
	}, m.begins...)...)
	m.cmd.Stdout, m.cmd.Stderr, m.cmd.Env = log, log, environment()
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	m.ended = ended
	go func() {
		_ = m.cmd.Wait() // its exit code says how it was
		close(ended)
	}()
	return nil
}

// wait waits until the process has ended, and returns its exit code.
func (m *member) wait() (int, error) {
	select {
	case <-m.ended:
		return m.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, fmt.Errorf("%s does not end in %v:\n%s", m.name, patience, m.tail())
	}
}

// stop ends the member with SIGTERM.
func (m *member) stop() error {
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w:\n%s", m.name, err, m.tail())
	}
	if code, err := m.wait(); err != nil || code != 0 {
		return errors.Join(fmt.Errorf("%s ended with %d after SIGTERM:\n%s", m.name, code, m.tail()), err)
	}
	return nil
}

// rejoin stops the member, and has a program join the cluster in its place with an empty data folder. The leader must send it a
// snapshot.
func (m *member) rejoin(ctx context.Context, program, client string, all []*member) error {
	if err := m.stop(); err != nil {
		return err
	}
	if err := os.RemoveAll(m.dir); err != nil {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(all), func(o *member) bool { return o == m })
	to := []string{"--home", m.home, "--endpoints", strings.Join(endpoints(others), ","), "--timeout", patience.String()}
	// A learner that never starts holds the feature level down while only new members are left.
	for _, command := range [][]string{
		{"member", "add", "holder", "--peer", "127.0.0.1:9"},
		{"member", "remove", m.name},
		{"member", "add", m.name, "--peer", m.peer},
		{"member", "remove", "holder"},
	} {
		if _, err := run(ctx, client, append(command, to...)...); err != nil {
			return err
		}
	}
	before, err := os.ReadFile(m.dir + ".log")
	if err != nil {
		return err
	}
	m.begins = []string{"--join", others[0].peer + "," + others[1].peer}
	if err := m.start(program); err != nil {
		return err
	}
	if err := settled(ctx, client, all, false); err != nil {
		return err
	}
	if log, err := os.ReadFile(m.dir + ".log"); err != nil || !strings.Contains(string(log[len(before):]), "snapshot installed") {
		return errors.Join(fmt.Errorf("%s has joined without a snapshot", m.name), err)
	}
	return nil
}

// kill ends the process, if there is one.
func (m *member) kill() {
	if m.cmd != nil && m.cmd.Process != nil {
		_ = m.cmd.Process.Kill() // it may have ended
		<-m.ended
	}
}

// tail returns the last lines of the member's log.
func (m *member) tail() string {
	b, err := os.ReadFile(m.dir + ".log")
	if err != nil {
		return err.Error()
	}
	lines := strings.SplitAfter(string(b), "\n")
	return strings.Join(lines[max(len(lines)-15, 0):], "")
}

// newMembers returns three members on free ports of loopback.
func newMembers(dir string) (all []*member, err error) {
	addresses, err := testport.Unused(6)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range 3 {
		name := fmt.Sprintf("n%d", i+1)
		listen, peer := addresses[2*i], addresses[2*i+1]
		all = append(all, &member{name: name, dir: filepath.Join(dir, name), listen: listen, peer: peer, home: filepath.Join(dir, "home")})
		names = append(names, name+"="+peer)
	}
	for _, m := range all {
		m.begins = []string{"--initial-cluster", strings.Join(names, ",")}
	}
	return all, nil
}

// endpoints are the members' addresses for clients.
func endpoints(all []*member) (addresses []string) {
	for _, m := range all {
		addresses = append(addresses, m.listen)
	}
	return addresses
}

// cliStatus is what of `qkv status -w json` is looked at.
type cliStatus struct {
	Members []struct {
		Name    string `json:"name"`
		Role    string `json:"role"`
		Version string `json:"version"`
		Applied uint64 `json:"applied_index"`
		Digest  string `json:"digest"`
		Error   string `json:"error"`
		Alarms  []struct {
			Name string `json:"name"`
			Text string `json:"text"`
		} `json:"alarms"`
	} `json:"members"`
}

// settled waits until all members serve one leader, and each has applied what any of them had applied before, by a client's program. With
// compare they must also have the same state at the same entry, which under load they never show.
func settled(ctx context.Context, program string, all []*member, compare bool) error {
	var last error
	newest := uint64(0)
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(100 * time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return err
		}
		least, most, err := look(ctx, program, all, compare)
		if last = err; err == nil && newest > 0 && least >= newest {
			return nil
		}
		if newest == 0 {
			newest = most
		}
	}
	if last == nil {
		last = fmt.Errorf("a member has not applied entry %d", newest)
	}
	return fmt.Errorf("the members do not settle in %v: %w", patience, last)
}

// look returns the last entries that the member that is behind, and the one that is ahead, have applied.
func look(ctx context.Context, program string, all []*member, compare bool) (least, most uint64, err error) {
	text, err := run(ctx, program, "status", "-w", "json", "--home", all[0].home, "--endpoints", strings.Join(endpoints(all), ","))
	var s cliStatus
	if err != nil {
		return 0, 0, err
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return 0, 0, fmt.Errorf("%w: %s", err, text)
	}
	if len(s.Members) != len(all) {
		return 0, 0, fmt.Errorf("%d members: %s", len(s.Members), text)
	}
	leaders := 0
	for _, m := range s.Members {
		if least == 0 || m.Applied < least {
			least = m.Applied
		}
		if most = max(most, m.Applied); m.Error != "" || m.Role != "leader" && m.Role != "follower" {
			return 0, 0, fmt.Errorf("%s is %q: %s", m.Name, m.Role, m.Error)
		}
		if m.Role == "leader" {
			leaders++
		}
		for _, a := range m.Alarms {
			if slices.Contains([]string{"CORRUPT", "AMNESIA", "QUARANTINE", "REFUSED_PEER"}, a.Name) {
				return 0, 0, fmt.Errorf("%s has the alarm %s: %s", m.Name, a.Name, a.Text)
			}
		}
		if compare && (m.Applied != s.Members[0].Applied || m.Digest != s.Members[0].Digest) {
			return 0, 0, fmt.Errorf("%s has the state %s at entry %d, %s has %s at %d", m.Name, m.Digest, m.Applied, s.Members[0].Name, s.Members[0].Digest, s.Members[0].Applied)
		}
	}
	if leaders != 1 {
		return 0, 0, fmt.Errorf("%d leaders", leaders)
	}
	return least, most, nil
}

// announced returns the feature level that all members have announced. It waits until they have announced the same one.
func announced(ctx context.Context, program string, all []*member) (uint64, error) {
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(50 * time.Millisecond) {
		text, err := run(ctx, program, "member", "list", "-w", "json", "--home", all[0].home, "--endpoints", strings.Join(endpoints(all), ","))
		if err != nil {
			return 0, err
		}
		var list struct {
			Members []struct {
				Level uint64 `json:"feature_level"`
			} `json:"members"`
		}
		if err := json.Unmarshal([]byte(text), &list); err != nil || len(list.Members) != len(all) {
			return 0, fmt.Errorf("%d members: %w: %s", len(list.Members), err, text)
		}
		lowest, highest := list.Members[0].Level, uint64(0)
		for _, m := range list.Members {
			lowest, highest = min(lowest, m.Level), max(highest, m.Level)
		}
		if lowest > 0 && lowest == highest {
			return lowest, nil
		}
	}
	return 0, fmt.Errorf("the members have not announced the same feature level in %v", patience)
}
