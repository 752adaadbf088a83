package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
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

// guardVariable makes a process of this program the guard of a process group, or one that joins it and becomes the group's command.
const guardVariable = "QKV_GUARDS_GROUP"

// Guard kills a process group when this process's standard input, which names the group, ends; or it names this process's group to that
// guard, and runs the command of the arguments instead of this program. It returns at once if this process shall do neither.
func Guard() {
	switch os.Getenv(guardVariable) {
	case "":
		return
	case "join":
		_ = os.Unsetenv(guardVariable)
		_, err := fmt.Fprint(os.NewFile(3, "guard"), os.Getpid())
		if syscall.CloseOnExec(3); err == nil {
			err = syscall.Exec(os.Args[1], os.Args[2:], os.Environ())
		}
		fmt.Fprintf(os.Stderr, "run %s: %v\n", os.Args[1], err)
		os.Exit(126) // as a shell does
	}
	text, _ := io.ReadAll(os.Stdin)
	if group, err := strconv.Atoi(string(text)); err == nil && group > 1 {
		_ = syscall.Kill(-group, syscall.SIGKILL)
	}
	os.Exit(0)
}

// StartGroup starts a command in a process group of its own that dies with this process. The kernel kills only the command itself
// (Pdeathsig). A guard kills its group: a process of this program in a session of its own, whose standard input ends when this process
// does. The command's process names the group to the guard before it becomes the command, so nothing that the command starts can outlive
// this process. end gives the rest of the group a second after the command's end, for its last output, and kills
// it then.
func StartGroup(cmd *exec.Cmd, until func() time.Time) (end func(), err error) {
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	read, group, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start a guard: %w", err)
	}
	guard := &exec.Cmd{Path: "/proc/self/exe", Args: os.Args[:1], Env: []string{guardVariable + "=1"}, Stdin: read, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	err = guard.Start()
	_ = read.Close()
	if err != nil {
		_ = group.Close()
		return nil, fmt.Errorf("start a guard: %w", err)
	}
	cmd.Env, cmd.ExtraFiles = append(cmd.Environ(), guardVariable+"=join"), []*os.File{group}
	cmd.Path, cmd.Args = guard.Path, append([]string{os.Args[0], cmd.Path}, cmd.Args...)
	share, endSharing := shareTerminal(cmd, until)
	if err := StartChild(cmd, true); err != nil {
		endSharing()
		_ = group.Close()
		return nil, errors.Join(err, guard.Wait())
	}
	share()
	return func() {
		endSharing()
		for waited := time.Duration(0); waited < groupWait && syscall.Kill(-cmd.Process.Pid, 0) == nil; waited += groupWait / 100 {
			time.Sleep(groupWait / 100)
		}
		_ = group.Close()
		_ = guard.Wait()
	}, nil
}

// groupWait is how long the rest of a process group may outlive its command.
const groupWait = time.Second

// SignalChild sends a signal to a command and, if it has a process group, to all processes that it has started.
func SignalChild(cmd *exec.Cmd, s syscall.Signal) {
	if cmd.SysProcAttr.Setpgid {
		_ = syscall.Kill(-cmd.Process.Pid, s)
		return
	}
	_ = cmd.Process.Signal(s)
}
