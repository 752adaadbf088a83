package cli

import (
	"os/exec"
	"runtime"
	"syscall"
)

// newSpawner returns a function that starts processes from one thread that lives as long as this process. The kernel signals a child
// when the thread that started it dies (Pdeathsig), not when its parent process does.
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

// childAttributes makes the children die with this process, however it dies. Ctrl-C reaches only this process, which then stops them
// gracefully.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// startChild starts a command that dies with this process. With group it gets a process group.
func startChild(cmd *exec.Cmd, group bool) error {
	cmd.SysProcAttr = childAttributes()
	cmd.SysProcAttr.Setpgid = group
	return newSpawner()(cmd)
}

// signalChild sends a signal to a command and, if it has a process group, to all processes that it has started.
func signalChild(cmd *exec.Cmd, s syscall.Signal) {
	if cmd.SysProcAttr.Setpgid {
		_ = syscall.Kill(-cmd.Process.Pid, s)
		return
	}
	_ = cmd.Process.Signal(s)
}
