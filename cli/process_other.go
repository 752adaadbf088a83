//go:build !linux

package cli

import "syscall"

// childAttributes: Ctrl-C reaches this process alone, which then stops its children in good order.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
