//go:build linux

package cli

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// process is one member of a localCluster: this program with `serve`.
type process struct {
	name, listen, listenPeer string
	dataDir, home, cluster   string
	join                     string   // addresses of a cluster that runs, in place of cluster
	command                  []string // in place of `serve`
	executable               string
	place                    place    // beside the addresses, where it runs
	certsDir                 string   // in place of the local CA
	environment              []string // in addition to this process's environment
	output                   *prefixed

	cmd   *exec.Cmd     // of the latest start; nil before the first
	ended chan struct{} // closed when that process ended
	err   error         // its result; read it only after ended
}

// withParentVariable tells a member to end when its standard input does. The command that started the member holds the other end, which
// the kernel closes however that command dies. A signal on the parent's death (Pdeathsig) is not enough: on Linux 6.18 one of ten members
// outlived a killed parent.
const withParentVariable = "QKV_ENDS_WITH_STDIN"

// endWithParent ends this process when the command that started it has died.
func endWithParent() {
	if os.Getenv(withParentVariable) == "" {
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(exitFailed)
	}()
}

// start starts the member.
func (p *process) start() error {
	cmd := p.place.command(p.executable, append(p.arguments(), "--log-format", "text")...)
	cmd.Env = append(append(withoutSettings(os.Environ()), p.environment...), withParentVariable+"=1")
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches only this process, which then stops its members
	stdin, held, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	cmd.Stdin = stdin
	err = cmd.Start()
	_ = stdin.Close()
	if err != nil {
		_ = held.Close()
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		p.err = cmd.Wait()
		_ = held.Close()
		if p.err == nil {
			p.err = errors.New("exit status 0")
		}
		close(ended)
	}()
	return nil
}

// arguments returns the member's command line.
func (p *process) arguments() []string {
	command := p.command
	if command == nil {
		command = []string{"serve"}
	}
	cluster := []string{"--initial-cluster", p.cluster}
	if p.join != "" {
		cluster = []string{"--join", p.join}
	}
	if p.certsDir != "" {
		command = append(slices.Clone(command), "--certs-dir", p.certsDir, "--insecure-clients")
	}
	return append(append(slices.Clone(command),
		"--name", p.name, "--data-dir", p.dataDir, "--listen", p.listen, "--listen-peer", p.listenPeer, "--home", p.home), cluster...)
}

// withoutSettings removes settings for other members from the environment.
func withoutSettings(environment []string) (kept []string) {
	for _, variable := range environment {
		if !strings.HasPrefix(variable, "QKV_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// portsFree is an error if a member could not listen at these addresses.
func portsFree(addresses ...string) error {
	for _, address := range addresses {
		err := udpFree(address)
		if err == nil { // etcd's API is there
			var l net.Listener
			if l, err = net.Listen("tcp", address); err == nil {
				err = l.Close()
			}
		}
		if err != nil {
			return fmt.Errorf("%w: is another demo or member running? `--port` chooses other ports", err)
		}
	}
	return nil
}

// udpFree is an error if another process keeps listening at an address. It tries 20 times in 0.5 s: a freshly forked process may
// hold a socket of this one until it executes its own program.
func udpFree(address string) error {
	const tries, pause = 20, 25 * time.Millisecond
	var err error
	for range tries {
		var c net.PacketConn
		if c, err = net.ListenPacket("udp", address); err == nil {
			return c.Close()
		}
		time.Sleep(pause)
	}
	return err
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signal(s os.Signal) {
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s) // an error means that the process has already ended
	}
}

// kill kills the member, and waits for its end.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.ended
	return nil
}

// hasEnded returns why a started member ended; nil while it runs.
func (p *process) hasEnded() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended: %w", p.name, p.err)
	default:
		return nil
	}
}

// await waits for the end of the member, and kills it after a timeout.
func (p *process) await(most time.Duration) {
	if p.cmd == nil {
		return
	}
	select {
	case <-p.ended:
	case <-time.After(most):
		_ = p.kill()
	}
}
