//go:build !linux

package cli

import (
	"os/exec"
	"syscall"
)

// startChild starts a command. On this system it may outlive this process, and has no process group of its own.
func startChild(cmd *exec.Cmd, _ bool) error { return cmd.Start() }

// signalChild sends a signal to a command, or kills it where the system has no such signals.
func signalChild(cmd *exec.Cmd, s syscall.Signal) {
	if cmd.Process.Signal(s) != nil {
		_ = cmd.Process.Kill()
	}
}
