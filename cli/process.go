package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// process is one member of a localCluster: this program once more, with `serve`.
type process struct {
	name, listen, listenPeer string
	dataDir, home, cluster   string
	command                  []string // in place of `serve`
	executable               string
	environment              []string // beside this process' own
	spawn                    func(*exec.Cmd) error
	output                   *prefixed

	cmd   *exec.Cmd     // of the latest start; nil before the first
	ended chan struct{} // closed when that one ended
	err   error         // how; to be read after ended
}

// start starts the member.
func (p *process) start() error {
	cmd := exec.Command(p.executable, append(p.arguments(), "--log-format", "text")...)
	cmd.Env = append(withoutSettings(os.Environ()), p.environment...)
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.SysProcAttr = childAttributes()
	if err := p.spawn(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		p.err = cmd.Wait()
		if p.err == nil {
			p.err = errors.New("exit status 0")
		}
		close(ended)
	}()
	return nil
}

// arguments are what the member is started with.
func (p *process) arguments() []string {
	command := p.command
	if command == nil {
		command = []string{"serve"}
	}
	return append(slices.Clone(command),
		"--name", p.name, "--data-dir", p.dataDir, "--listen", p.listen, "--listen-peer", p.listenPeer,
		"--initial-cluster", p.cluster, "--home", p.home,
	)
}

// withoutSettings keeps the settings meant for other members from reaching these.
func withoutSettings(environment []string) (kept []string) {
	for _, variable := range environment {
		if !strings.HasPrefix(variable, "QKV_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// portsFree says so when the member could not listen.
func (p *process) portsFree() error {
	for _, address := range []string{p.listen, p.listenPeer} {
		if err := udpFree(address); err != nil {
			return fmt.Errorf("%w: is another demo or member running? `--port` chooses other ports", err)
		}
	}
	return nil
}

// udpFree says so when somebody listens at an address, and goes on listening: a process that was forked a moment ago
// may hold a socket of this one until it executes its own program.
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
		_ = p.cmd.Process.Signal(s) // it fails when the process has ended, which is as well
	}
}

// kill ends the member at once, and waits until it is gone.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.ended
	return nil
}

// hasEnded says how the member ended, which was started before; nil while it runs.
func (p *process) hasEnded() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended: %w", p.name, p.err)
	default:
		return nil
	}
}

// await waits until the member has ended, and kills it when that takes too long.
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

// newSpawner returns a function that starts processes from one thread that lasts as long as this process: a child
// whose parent is to be outlived by none of them is told of the death of the thread that started it.
func newSpawner() func(*exec.Cmd) error {
	commands, results := make(chan *exec.Cmd), make(chan error)
	go func() {
		runtime.LockOSThread()
		for cmd := range commands {
			results <- cmd.Start()
		}
	}()
	return func(cmd *exec.Cmd) error {
		commands <- cmd
		return <-results
	}
}

// childAttributes: the children die with this process, however it dies; and Ctrl-C reaches this process alone, which
// then stops them in good order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
