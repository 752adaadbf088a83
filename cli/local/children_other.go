//go:build !linux

package local

import (
	"os/exec"
	"syscall"
)

// StartChild starts a command. On this system it may outlive this process, and has no process group of its own.
func StartChild(cmd *exec.Cmd, _ bool) error { return cmd.Start() }

// SignalChild sends a signal to a command, or kills it where the system has no such signals.
func SignalChild(cmd *exec.Cmd, s syscall.Signal) {
	if cmd.Process.Signal(s) != nil {
		_ = cmd.Process.Kill()
	}
}
