//go:build !linux

package member

import "os/exec"

// Spawn starts a process.
func Spawn(cmd *exec.Cmd) error { return cmd.Start() }
