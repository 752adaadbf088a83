package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/run"
	"qkv/internal/checks"
	"qkv/internal/testlong"
)

// TestAdverseSnapshotRot: one bit of the leader's newest snapshot rots, and a follower needs that snapshot. The leader
// finds the damage and names it, saves another one, and the follower is level soon.
func TestAdverseSnapshotRot(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	levelMost := variant(processWait, 30*time.Second)
	c := newProcesses(t, 3, "--segment-bytes", "4194304")
	for _, m := range c.members {
		m.start()
	}
	leader := c.leader()
	follower := c.others(leader)[0]
	follower.kill()
	snaps := filepath.Join(leader.dataDir, "snap", "*.snap")
	for deadline := time.Now().Add(processWait); len(filesIn(t, snaps)) < 2; {
		putMany(t, c, 32, 1<<20)
		if time.Now().After(deadline) {
			t.Fatalf("%s has not two snapshots: %v", leader.name, filesIn(t, snaps))
		}
	}
	names := filesIn(t, snaps)
	newest := names[len(names)-1]
	info, err := os.Stat(newest)
	must(t, err)
	flipBit(t, newest, info.Size()/2)
	begun := time.Now()
	follower.start()
	for !caughtUp(c.status(), follower.name) {
		if time.Since(begun) > levelMost+processWait {
			t.Fatalf("%s is not level: %s\n%s", follower.name, run.Describe(c.status(), nil), c.tails())
		}
		time.Sleep(20 * time.Millisecond)
	}
	took := time.Since(begun)
	offers := strings.Count(follower.lines(), "could not be received")
	t.Logf("figures: a rotten snapshot of %d MB: the follower is level after %v, and refused it %d times", info.Size()>>20, took.Round(time.Millisecond), offers)
	if took > levelMost {
		t.Errorf("it was level after %v, over %v", took, levelMost)
	}
	if offers > 3 {
		t.Errorf("it was sent %d times", offers)
	}
	members := c.level()
	i := slices.IndexFunc(members, func(m cluster.MemberStatus) bool { return m.Name == leader.name })
	if !slices.ContainsFunc(members[i].Alarms, func(a checks.Raised) bool {
		return a.Name == "CORRUPT" && strings.Contains(a.Text, filepath.Base(newest))
	}) {
		t.Errorf("%s does not name the damage: %v", leader.name, members[i].Alarms)
	}
}
