//go:build linux

package form

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

const (
	// Options of prctl, as in linux/prctl.h.
	prSetTimerSlack = 29
	prGetTimerSlack = 30
	// UsualTimerSlack is the default of Linux, in nanoseconds.
	UsualTimerSlack = 50_000
	// MemberTimerSlack is the slack of a member, in nanoseconds. A member's shortest timers last a millisecond.
	MemberTimerSlack = 1_000_000
	// processName is the file that holds the name of this process, as ps and pgrep show it.
	processName = "/proc/self/comm"
)

// RelaxTimers gives this process, which will run a member, a timer slack of 1 ms. Go's monitor thread (sysmon) sleeps 20 us plus the
// slack while it finds threads in system calls, and a member always has such threads. With the usual slack the monitor takes 8 to 17
// % of a member's CPU time. A thread passes its slack on to the threads that it starts, and the monitor starts before the first line
// of this program. Therefore the main thread sets its own slack, and the program executes itself again: the same process, files,
// arguments and environment.
//
// The slack stays unchanged in three cases. It is not the usual one: a supervisor set it (TimerSlackNSec= in a systemd unit), or
// this function did. The kernel refuses a step. GOMAXPROCS is 1: then only the monitor takes the processor from a thread that waits
// for the disk, and reads would wait as well.
//
// Measured with three members on two cores, 4 runs each, usual slack and 1 ms: a single caller's puts 744 and 1,014/s, 1,699 and
// 1,082 us of the members' CPU each; 1000 in flight 21.0 and 18.5 us; gets 5.1 and 4.4 us. On a disk whose sync takes 1 ms more: 356
// and 458/s, 23.2 and 19.0 us, 6.0 and 3.7 us. There with GOMAXPROCS=1, which is why it is left out: 402 and 341/s, and gets beside
// puts took 1.7 and 4.3 ms.
func RelaxTimers() {
	if runtime.GOMAXPROCS(0) == 1 {
		return
	}
	runtime.LockOSThread() // a slack belongs to a thread
	defer runtime.UnlockOSThread()
	if TimerSlack() != UsualTimerSlack {
		// The process has the name of the executed file, not of the link in the command line.
		_ = os.WriteFile(processName, []byte(filepath.Base(os.Args[0])), 0)
		return
	}
	program, err := os.Executable()
	if err != nil {
		return
	}
	if SetTimerSlack(MemberTimerSlack); TimerSlack() == MemberTimerSlack {
		_ = syscall.Exec(program, os.Args, os.Environ())
	}
	SetTimerSlack(UsualTimerSlack)
}

// TimerSlack returns the timer slack of this thread in nanoseconds; 0 if the kernel does not report it.
func TimerSlack() uintptr {
	ns, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prGetTimerSlack, 0, 0)
	if errno != 0 {
		return 0
	}
	return ns
}

func SetTimerSlack(ns uintptr) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, ns, 0)
}
