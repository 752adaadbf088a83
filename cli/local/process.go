//go:build linux

package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Process is a program that dies with this one. It can be started again once it has ended.
type Process struct {
	Name    string
	Command func() *exec.Cmd // its command line, for each start

	cmd   *exec.Cmd     // of the latest start; nil before the first
	ended chan struct{} // closed when that process ended
	err   error         // its result; read it only after ended
}

// withParentVariable tells a member to end when its standard input does. The command that started the member holds the other end, which
// the kernel closes however that command dies. A signal on the parent's death (Pdeathsig) is not enough: on Linux 6.18 one of ten members
// outlived a killed parent.
const withParentVariable = "QKV_ENDS_WITH_STDIN"

// EndWithParent ends this process, with an exit code, when the command that started it has died.
func EndWithParent(code int) {
	if os.Getenv(withParentVariable) == "" {
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(code)
	}()
}

// Start starts the process.
func (p *Process) Start() error {
	cmd := p.Command()
	cmd.Env = append(cmd.Environ(), withParentVariable+"=1")
	stdin, held, err := os.Pipe()
	if err == nil {
		cmd.Stdin = stdin
		err = StartChild(cmd, true)
		_ = stdin.Close()
	}
	if err != nil {
		_ = held.Close()
		return fmt.Errorf("start %s: %w", p.Name, err)
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

// PID returns the process's id; 0 before the first start.
func (p *Process) PID() int {
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Signal sends a signal to the process, if it runs.
func (p *Process) Signal(s os.Signal) {
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s) // an error means that the process has already ended
	}
}

// Kill kills the process, and waits for its end.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", p.Name, err)
	}
	<-p.ended
	return nil
}

// Wait waits for the end of the process, and returns its result.
func (p *Process) Wait() error {
	<-p.ended
	return p.err
}

// Ended returns why the started process ended; nil while it runs.
func (p *Process) Ended() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended: %w", p.Name, p.err)
	default:
		return nil
	}
}

// Await waits for the end of the process, and kills it after a timeout.
func (p *Process) Await(most time.Duration) {
	if p.cmd == nil {
		return
	}
	select {
	case <-p.ended:
	case <-time.After(most):
		_ = p.Kill()
	}
}

// Tail keeps the last lines of processes, for the case that one ends.
type Tail struct {
	mu    sync.Mutex
	lines []string
}

// Write implements io.Writer.
func (t *Tail) Write(p []byte) (int, error) {
	const most = 20 // what a person reads of a log that comes with an error
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, string(p))
	t.lines = t.lines[max(0, len(t.lines)-most):]
	return len(p), nil
}

// String returns the lines.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "")
}
