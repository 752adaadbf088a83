package cli

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"qkv/cli/form"
	"qkv/internal/testlong"
)

var (
	processKills = flag.Int("process.kills", 0, "how often TestProcessesKilled kills one member; 0: 5 times, and 50 with QKV_FULL=1")
	processAll   = flag.Int("process.all", 0, "how often it kills all members at once; 0: twice, and 10 times with QKV_FULL=1")
)

// kills is how often one member and all members are to be killed.
func kills() (ones, alls int) {
	ones, alls = 5, 2
	switch {
	case os.Getenv("QKV_FULL") != "":
		ones, alls = 50, 10
	case testing.Short():
		ones, alls = 2, 1
	}
	return cmp.Or(*processKills, ones), cmp.Or(*processAll, alls)
}

// TestProcessesKilled: members under load are killed with kill -9, one at random or all at once, and started again.
// Nothing that was acknowledged is missing, no read is stale, and all members end with the same state.
func TestProcessesKilled(t *testing.T) {
	alongside(t)
	ones, alls := kills()
	c := startProcesses(t, 3, "--segment-bytes", "4194304")
	l := startWorkload(c)
	l.goesOn()
	calm := l.acknowledged.Load()
	time.Sleep(2 * time.Second)
	// What this host does without faults says what may be asked of it with them.
	calm = (l.acknowledged.Load() - calm) / 2
	asked := min(calm*2/5, 1000)
	begun, already := time.Now(), l.acknowledged.Load()
	for i := range ones + alls {
		l.goesOn()
		time.Sleep(time.Second + time.Duration(rand.IntN(1000))*time.Millisecond)
		// All at once in between and at the end, not all at the end.
		if (i+1)*alls/(ones+alls) > i*alls/(ones+alls) {
			for _, m := range c.members {
				m.signal(syscall.SIGKILL)
			}
			for _, m := range c.members {
				<-m.ended
			}
		} else {
			c.members[rand.IntN(len(c.members))].kill()
		}
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		for _, m := range c.members {
			if !m.running() {
				m.start()
			}
		}
		if rand.IntN(2) == 0 {
			l.goesOn()
			c.answer()
		}
	}
	l.goesOn()
	elapsed := time.Since(begun)
	rate := float64(l.acknowledged.Load()-already) / elapsed.Seconds()
	h := l.end()
	c.wellAfter()
	h.figures(t, fmt.Sprintf("%d kills of one member and %d of all in %v, %.0f puts/s of %d without, %d asked",
		ones, alls, elapsed.Round(time.Second), rate, calm, asked))
	if fullVariant() && (rate < float64(asked) || calm < 100) {
		t.Errorf("only %.0f puts/s were acknowledged, and %d without faults; %d are asked", rate, calm, asked)
	}
}

// TestProcessesStopped: a leader that is paused is replaced, and when it goes on it answers nothing that is not true any
// more. A leader that is told to stop hands over, and not one write fails: they wait.
func TestProcessesStopped(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 3)
	l := startWorkload(c)
	l.goesOn()
	time.Sleep(500 * time.Millisecond)

	leader := c.leader()
	leader.signal(syscall.SIGSTOP)
	paused := l.goesOn()
	time.Sleep(3 * time.Second) // until its peers have given the connection up
	leader.signal(syscall.SIGCONT)
	l.goesOn()
	c.answer()

	stopped := time.Duration(0)
	before, leaders := l.failures(), c.leaders()
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		leader := c.leader()
		leader.signal(syscall.SIGTERM)
		stopped = max(stopped, l.goesOn())
		if code := leader.exit(); code != form.ExitOK {
			t.Errorf("%s ended with %d after SIGTERM:\n%s", leader.name, code, leader.tail(20))
		}
		l.goesOn()
		leader.start()
		c.answer()
	}
	// A leader that a busy host takes the processor from loses what it has under way; then more than these three have led.
	if failed := l.failures() - before; failed > 0 && c.leaders() == leaders+3 {
		t.Errorf("%d puts failed while leaders were stopped one after the other", failed)
	}

	h := l.end()
	c.wellAfter()
	h.figures(t, fmt.Sprintf("SIGSTOP of the leader, next put after %v; three SIGTERM, next put after %v at most",
		paused.Round(time.Millisecond), stopped.Round(time.Millisecond)))
}

// TestProcessLeaderDies: the host of a leader that was killed says so, and the others do not wait for their election timeout. A busy
// machine may be so late that they do all the same.
func TestProcessLeaderDies(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 3)
	const tries = 10
	for range tries {
		c.level()
		died := c.leader()
		died.kill()
		c.leader() // another one
		for _, m := range c.others(died) {
			if lineWith(m.lines(), "the leader's process has died", "leader="+died.name) != "" {
				return
			}
		}
		died.start()
	}
	t.Errorf("%d leaders were killed, and no other member has heard of it by their hosts:\n%s", tries, c.tails())
}
