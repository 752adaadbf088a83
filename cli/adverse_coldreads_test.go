package cli

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/run"
	"qkv/internal/testlong"
)

// TestAdverseColdReads: a follower that was away needs what the leader has on disk only, and each read there takes 30 ms.
// Nobody else's puts wait for that.
func TestAdverseColdReads(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	const value = 64 << 10
	size := variant(int64(48<<20), 1<<30)
	c := newProcesses(t, 3, "--segment-bytes", variant("4194304", "16777216"))
	for _, m := range c.members {
		m.before = traced(t, "pread64", "delay_enter=30000")
		m.start()
	}
	c.level()
	follower := c.others(c.leader())[0]
	follower.kill()
	awaitLeader := c.leader()
	load := startMeter(c, "cold", c.clients(4), 32, value, 0)
	for int64(len(load.acknowledged(0, load.now())))*value < size {
		load.acknowledges(processWait)
	}
	load.end()
	alone := startMeter(c, "alone", c.clients(4), 4, 256, 5*time.Millisecond)
	time.Sleep(time.Second)
	from := alone.now()
	time.Sleep(variant(3*time.Second, 15*time.Second))
	to := alone.now()
	before, leaders := alone.quantile(0.99, from, to), c.leaders()
	follower.start()
	from = alone.now()
	behind := c.await("the follower is level again", func(members []cluster.MemberStatus) bool { return caughtUp(members, follower.name) })
	to = alone.now()
	after, worst, gap := alone.quantile(0.99, from, to), alone.quantile(1, from, to), alone.gap(from, to)
	t.Logf("figures: %d MB to send at 30 ms a read (strace): level after %v, others' p99 was %v and is %v, longest put %v, longest gap %v, %d changes of leader",
		size>>20, (to - from).Round(time.Millisecond), before.Round(time.Microsecond), after.Round(time.Microsecond), worst.Round(time.Millisecond), gap.Round(time.Millisecond), c.leaders()-leaders)
	if fullVariant() && after > 2*before {
		t.Errorf("p99 is %v, more than twice %v", after, before)
	}
	if most := variant(processWait/4, 500*time.Millisecond); worst > most {
		t.Errorf("a put took %v, over %v", worst, most)
	}
	if leader := run.LeaderOf(behind); fullVariant() && (leader == nil || leader.Name != awaitLeader.name || c.leaders() != leaders) {
		t.Errorf("%s led, and leadership has changed", awaitLeader.name)
	}
	load.nothingLost()
	alone.nothingLost()
	c.allRun()
}

// traced is what runs a member under strace, which does something to some of its calls: the test is skipped where it
// cannot. Other calls cost nothing.
func traced(t testing.TB, calls, inject string) []string {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("no strace here to hold up or fail system calls")
	}
	out := filepath.Join(t.TempDir(), "trace")
	return []string{"strace", "-D", "-f", "-q", "--seccomp-bpf", "-o", out, "-e", "trace=" + calls, "-e", "inject=" + calls + ":" + inject}
}
