//go:build !linux

package local

import (
	"os/exec"
	"syscall"
	"time"
)

// StartChild starts a command. On this system it may outlive this process, and has no process group of its own.
func StartChild(cmd *exec.Cmd, _ bool) error { return cmd.Start() }

// Guard does nothing: no process is a guard on this system.
func Guard() {}

// StartGroup starts a command. On this system the processes that it starts may outlive it and this process.
func StartGroup(cmd *exec.Cmd, _ func() time.Time) (end func(), err error) {
	return func() {}, cmd.Start()
}

// SignalChild sends a signal to a command, or kills it where the system has no such signals.
func SignalChild(cmd *exec.Cmd, s syscall.Signal) {
	if cmd.Process.Signal(s) != nil {
		_ = cmd.Process.Kill()
	}
}
