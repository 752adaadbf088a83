package cli

import (
	"strings"
	"testing"
	"time"

	"qkv/cli/run"
	"qkv/internal/testlong"
)

// TestAdverseFollowerAway: a follower comes back after a time, under puts of 32 KiB as fast as they go. It is level
// again soon, by one snapshot at most, and costs the others little. With all on two processors it has to catch up with 34 MB/s of writes.
func TestAdverseFollowerAway(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	const (
		value    = 32 << 10
		slowPart = 0.8 // of the rate before: slower than that
		slowMost = 5 * time.Second
	)
	away, most := variant(5*time.Second, time.Minute), variant(processWait, 2*time.Minute)
	c := startProcesses(t, 3, "--segment-bytes", variant("8388608", "67108864"))
	l := startMeter(c, "away", c.clients(6), 48, value, variant(100*time.Millisecond, 0))
	l.acknowledges(processWait)
	from := l.now()
	time.Sleep(variant(2*time.Second, 10*time.Second))
	rate := l.rate(from, l.now()) // by three, who share this host's processors
	follower := c.others(c.leader())[0]
	follower.kill()
	time.Sleep(away)
	from = l.now()
	installed := strings.Count(follower.lines(), "snapshot installed")
	follower.start()
	deadline := time.Now().Add(most + processWait)
	for !caughtUp(c.status(), follower.name) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is not level after %v: %s", follower.name, l.now()-from, run.Describe(c.status(), nil))
		}
		time.Sleep(50 * time.Millisecond)
	}
	to := l.now()
	time.Sleep(3 * time.Second) // and stays so
	stays := caughtUp(c.status(), follower.name)
	installed = strings.Count(follower.lines(), "snapshot installed") - installed
	slow := slowest(l, from, l.now(), slowPart*rate)
	t.Logf("figures: away for %v under %.0f puts/s of %d KiB: level again after %v by %d snapshots, %.0f puts/s meanwhile, under %.0f %% for %v at most, longest gap %v",
		away, rate, value>>10, (to - from).Round(time.Millisecond), installed, l.rate(from, to), 100*slowPart, slow.Round(time.Second), l.gap(from, to).Round(time.Millisecond))
	if fullVariant() && !stays {
		t.Errorf("it fell behind again")
	}
	if to-from > most {
		t.Errorf("it was level after %v, over %v", to-from, most)
	}
	if installed > variant(5, 1) { // it may fall behind again on a busy host
		t.Errorf("it installed %d snapshots", installed)
	}
	if fullVariant() && slow > slowMost {
		t.Errorf("puts were under %.0f %% for %v, over %v", 100*slowPart, slow, slowMost)
	}
	l.nothingLost()
	c.allRun()
}

// slowest is for how many seconds in a row the rate was under one.
func slowest(l *meter, from, to time.Duration, rate float64) (longest time.Duration) {
	slow := time.Duration(0)
	for at := from; at+time.Second <= to; at += time.Second {
		if slow += time.Second; l.rate(at, at+time.Second) >= rate {
			slow = 0
		}
		longest = max(longest, slow)
	}
	return longest
}
