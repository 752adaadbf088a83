package member

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

var spawns = sync.OnceValue(func() chan func() {
	work := make(chan func())
	go func() {
		// The kernel ends a child when the thread that made it ends, so that thread stays.
		runtime.LockOSThread()
		for do := range work {
			do()
		}
	}()
	return work
})

// Spawn starts a process that dies with this one.
func Spawn(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	failed := make(chan error)
	spawns() <- func() { failed <- cmd.Start() }
	return <-failed
}
