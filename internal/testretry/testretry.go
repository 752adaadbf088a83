// Package testretry repeats tests whose subject is a time limit, with longer and longer limits.
//
// Such a test expects that something is over within a limit, or not yet, while real sockets and disks are at work. On a
// host that has other things to do any limit is too short now and then. A test that fails for want of time passes when it
// has more, and one that fails because of a fault does so with any limit.
package testretry

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

const (
	// attempts is how often Longer runs a test at most.
	attempts = 3
	// longer is how many times longer the limit is each time: the last one is 25 times the first.
	longer = 5
)

// Longer runs a test with the given limit, and again with longer limits while it fails. Failures are logged; those of the last run are
// errors of t. The t of each run is its own: its Context ends with the run, and then the functions of its Cleanup are called.
func Longer(t testing.TB, limit time.Duration, test func(t testing.TB, limit time.Duration)) {
	t.Helper()
	again(t, attempts, func(t testing.TB) {
		test(t, limit)
	}, func() string {
		was := limit
		limit *= longer
		return fmt.Sprintf("with a limit of %v", was)
	})
}

// Again is Longer for a test whose limit is not its own: it runs so many times at most, and passes when it does once. A
// fault that shows now and then only wants a test of another kind.
func Again(t testing.TB, times int, test func(t testing.TB)) {
	t.Helper()
	again(t, times, test, func() string { return "once more, since" })
}

// again runs a test until it passes. failed is called after each run that did not.
func again(t testing.TB, times int, test func(t testing.TB), failed func() string) {
	t.Helper()
	for left := times - 1; ; left-- {
		r := &run{TB: t}
		r.do(func() { test(r) })
		if t.Skipped() {
			t.SkipNow()
		}
		if !r.Failed() {
			return
		}
		how := failed()
		for _, said := range r.said {
			if left == 0 {
				t.Error(said)
			} else {
				t.Logf("%s: %s", how, said)
			}
		}
		if left == 0 {
			t.FailNow()
		}
	}
}

// run is the testing.TB of one run. As with any other, what ends a test is to be called by the test's goroutine.
type run struct {
	testing.TB
	ctx context.Context

	mu       sync.Mutex
	failed   bool
	said     []string
	cleanups []func()
}

// do returns when the test and its cleanup functions have.
func (r *run) do(test func()) {
	ctx, cancel := context.WithCancel(r.TB.Context())
	r.ctx = ctx
	r.goroutine(test)
	cancel()
	for {
		r.mu.Lock()
		n := len(r.cleanups)
		if n == 0 {
			r.mu.Unlock()
			return
		}
		last := r.cleanups[n-1]
		r.cleanups = r.cleanups[:n-1]
		r.mu.Unlock()
		r.goroutine(last)
	}
}

// goroutine calls f where runtime.Goexit ends f alone.
func (r *run) goroutine(f func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	<-ended
}

func (r *run) Context() context.Context { return r.ctx }

func (r *run) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *run) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *run) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *run) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *run) Error(args ...any) { r.say(fmt.Sprintln(args...)) }

func (r *run) Errorf(format string, args ...any) { r.say(fmt.Sprintf(format, args...)) }

func (r *run) Fatal(args ...any) {
	r.say(fmt.Sprintln(args...))
	runtime.Goexit()
}

func (r *run) Fatalf(format string, args ...any) {
	r.say(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// say records a failure, and the line of the test that reports it.
func (r *run) say(what string) {
	_, file, line, _ := runtime.Caller(2)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	r.said = append(r.said, fmt.Sprintf("%s:%d: %s", filepath.Base(file), line, what))
}
