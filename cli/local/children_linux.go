package local

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// spawner returns a function that starts processes from one thread that lives as long as this process. The kernel signals a child
// when the thread that started it dies (Pdeathsig), not when its parent process does.
var spawner = sync.OnceValue(func() func(*exec.Cmd) error {
	commands, results := make(chan *exec.Cmd), make(chan error)
	go func() {
		runtime.LockOSThread()
		for cmd := range commands {
			results <- cmd.Start()
		}
	}()
	var mu sync.Mutex
	return func(cmd *exec.Cmd) error {
		mu.Lock()
		defer mu.Unlock()
		commands <- cmd
		return <-results
	}
})

// StartChild starts a command that dies with this process, however it dies. With group it gets a process group: Ctrl-C then reaches only
// this process.
func StartChild(cmd *exec.Cmd, group bool) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = group, syscall.SIGKILL
	return spawner()(cmd)
}

// SignalChild sends a signal to a command and, if it has a process group, to all processes that it has started.
func SignalChild(cmd *exec.Cmd, s syscall.Signal) {
	if cmd.SysProcAttr.Setpgid {
		_ = syscall.Kill(-cmd.Process.Pid, s)
		return
	}
	_ = cmd.Process.Signal(s)
}
