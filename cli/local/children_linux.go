package local

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
)

// spawnerThread is the thread that starts processes.
var spawnerThread int

// spawner returns a function that starts processes from one thread that lives as long as this process. The kernel signals a child
// when the thread that started it dies (Pdeathsig), not when its parent process does.
var spawner = sync.OnceValue(func() func(*exec.Cmd) error {
	commands, results, thread := make(chan *exec.Cmd), make(chan error), make(chan int)
	go func() {
		runtime.LockOSThread()
		thread <- syscall.Gettid()
		for cmd := range commands {
			results <- cmd.Start()
		}
	}()
	spawnerThread = <-thread
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

// Prefer gives this process a nice value, but not the processes that it starts. A value below the present one needs privileges.
func Prefer(nice int) (err error) {
	spawner() // its thread keeps its value, which its processes take over; new threads take over their makers'
	threads, err := os.ReadDir("/proc/self/task")
	for _, t := range threads {
		if id, _ := strconv.Atoi(t.Name()); id != spawnerThread {
			err = errors.Join(err, syscall.Setpriority(syscall.PRIO_PROCESS, id, nice))
		}
	}
	return err
}

// SignalChild sends a signal to a command and, if it has a process group, to all processes that it has started.
func SignalChild(cmd *exec.Cmd, s syscall.Signal) {
	if cmd.SysProcAttr.Setpgid {
		_ = syscall.Kill(-cmd.Process.Pid, s)
		return
	}
	_ = cmd.Process.Signal(s)
}
