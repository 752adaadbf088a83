package local

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// terminalSignals bounds the signals that wait: a burst of stops and ends of one command, of which later ones may be lost.
const terminalSignals = 8

// shareTerminal shares this process's terminal with a command of [StartGroup], as a shell does with its jobs. The command gets the terminal
// when it first reads it, or changes its settings: the kernel stops the command for that. Until then, Ctrl-C and Ctrl-Z reach this process,
// and so does the rest of a pipeline. When the command stops, this process stops, too. When a shell continues this process, the
// command goes on, or is killed if the time is after until. Call shareTerminal before the command's start, begin after it, and end, which
// takes the terminal back, when the command has ended.
func shareTerminal(cmd *exec.Cmd, until func() time.Time) (begin, end func()) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil { // there is none
		return func() {}, func() {}
	}
	own := unix.Getpgrp()
	pass := func(from, to int) bool { // gives the terminal to a group, if another one has it
		foreground, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
		return err == nil && foreground == from && unix.IoctlSetPointerInt(int(tty.Fd()), unix.TIOCSPGRP, to) == nil
	}
	came := make(chan os.Signal, terminalSignals)
	signal.Notify(came, syscall.SIGCHLD, syscall.SIGTSTP)
	share := func() {
		group, suspend := cmd.Process.Pid, false // Ctrl-Z came to this process
		for s := range came {
			if s == syscall.SIGTSTP {
				suspend = true
				SignalChild(cmd, syscall.SIGTSTP)
			}
			var stopped unix.Siginfo
			if unix.Waitid(unix.P_PID, group, &stopped, unix.WSTOPPED|unix.WNOHANG, nil) != nil || stopped.Signo == 0 {
				continue
			}
			if suspend || !pass(own, group) {
				pass(group, own)
				suspend = false
				// like SIGTSTP, which Go's runtime catches for good once it was asked to
				_ = syscall.Kill(0, syscall.SIGTTIN)
				time.Sleep(stopTakes)
			}
			if time.Now().After(until()) {
				SignalChild(cmd, syscall.SIGKILL)
			}
			SignalChild(cmd, syscall.SIGCONT)
		}
	}
	return func() {
			// or the kernel would stop this process where it takes the terminal back; the command does not take that over
			signal.Ignore(syscall.SIGTTOU)
			go share()
		}, func() {
			signal.Stop(came)
			close(came)
			if cmd.Process != nil {
				pass(cmd.Process.Pid, own)
			}
		}
}

// stopTakes is how long a process may still run after it has stopped itself. If the kernel discards the signal, because no shell could
// continue this process, the command goes on after this time.
const stopTakes = 50 * time.Millisecond
