//go:build linux

package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/cli/local"
	"qkv/internal/figures"
)

// localWait limits steps that usually take a second or two.
const localWait = 30 * time.Second

// localCluster is a few members on loopback, each a process: this program with `serve`.
type localCluster struct {
	home, dataDir string
	members       []*process
}

// newLocalCluster plans members NAME1, NAME2, ... on consecutive ports, two for each. Their logs go to an output; without one, to files
// beside their data.
func newLocalCluster(names string, count, port int, dataDir, home string, output io.Writer) (*localCluster, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program to run members by it: %w", err)
	}
	l := &localCluster{home: home, dataDir: dataDir}
	var cluster []string
	for i := range count {
		name := names + strconv.Itoa(i+1)
		m := &process{
			Process: local.Process{Name: name}, executable: executable,
			listen: Loopback(port + 2*i), listenPeer: Loopback(port + 2*i + 1),
			dataDir: filepath.Join(dataDir, name), home: home, output: output,
		}
		if output == nil {
			m.log = m.dataDir + ".log"
		}
		m.Command = m.line
		cluster = append(cluster, name+"="+m.listenPeer)
		l.members = append(l.members, m)
	}
	for _, m := range l.members {
		m.cluster = strings.Join(cluster, ",")
	}
	return l, nil
}

// checkPort refuses the first of the ports of a localCluster, if one of them does not exist.
func checkPort(port, count int) error {
	if port < 1 || port > 65535-count {
		return form.Usagef("--port %d must be 1 to %d", port, 65535-count)
	}
	return nil
}

func Loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (l *localCluster) endpoints() []string {
	var all []string
	for _, m := range l.members {
		all = append(all, m.listen)
	}
	return all
}

func (l *localCluster) target() form.Target {
	return form.Target{Endpoints: l.endpoints(), Source: "this command's own members", Home: l.home, Timeout: localWait}
}

// start starts all members.
func (l *localCluster) start() error {
	for _, m := range l.members {
		if err := portsFree(m.listen, m.listenPeer); err != nil {
			return err
		}
	}
	for _, m := range l.members {
		if err := m.openLog(); err != nil {
			return err
		}
		if err := m.Start(); err != nil {
			return err
		}
	}
	return nil
}

// stop shuts the members down gracefully, and waits for their end.
func (l *localCluster) stop() {
	for _, m := range l.members {
		m.Signal(syscall.SIGTERM)
	}
	for _, m := range l.members {
		m.Await(stopTime)
	}
}

// healthy waits until all members answer, one of them leads, and all have the same state.
func (l *localCluster) healthy(ctx context.Context) ([]cluster.MemberStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, localWait)
	defer cancel()
	var last []cluster.MemberStatus
	for {
		if err := l.ended(); err != nil {
			return nil, err
		}
		asking, done := form.Bounded(ctx, time.Second)
		members, err := cluster.AskMembers(asking, l.target())
		done()
		if err == nil && Level(members, len(l.members)) {
			return members, nil
		}
		last = members
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("not healthy after %v: %s", localWait, Describe(last, err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// removedMember reports whether a member's process ended because the member was removed from its cluster.
func removedMember(err error) bool {
	ended, ok := errors.AsType[*exec.ExitError](err)
	return ok && ended.ExitCode() == form.ExitNotAllowed
}

// ended returns an error if a member that should run has ended.
func (l *localCluster) ended() error {
	for _, m := range l.members {
		if err := m.Ended(); err != nil {
			if removedMember(err) {
				return fmt.Errorf("%w: it was removed from the cluster in %s: move that folder away to begin a new one", err, l.dataDir)
			}
			return fmt.Errorf("%w; see %s", err, cmp.Or(m.log, "its own lines"))
		}
	}
	return nil
}

// Level reports whether all members answer, one leads, and all have the same applied index and digest.
func Level(members []cluster.MemberStatus, want int) bool {
	if len(members) != want || LeaderOf(members) == nil {
		return false
	}
	for _, m := range members {
		if !m.Answers || m.Count(figures.Term) != members[0].Count(figures.Term) || m.Count(figures.Applied) != members[0].Count(figures.Applied) || m.Digest != members[0].Digest {
			return false
		}
	}
	return true
}

func LeaderOf(members []cluster.MemberStatus) *cluster.MemberStatus {
	for i := range members {
		if members[i].State == "leader" {
			return &members[i]
		}
	}
	return nil
}

func Describe(members []cluster.MemberStatus, err error) string {
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, m := range members {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s is %s at %d %s %v", m.Name, m.State, m.Count(figures.Applied), m.Error, m.Alarms)))
	}
	return strings.Join(all, "; ")
}
