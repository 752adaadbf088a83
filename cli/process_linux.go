package cli

import "syscall"

// childAttributes: the children die with this process, however it dies; and Ctrl-C reaches this process alone, which
// then stops them in good order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
