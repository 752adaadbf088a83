package node_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/testlong"
)

// A folder that was restored from a copy of the same run: its member is refused, and votes for nobody from then on.
func TestAmnesiacNeverVotes(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	withCluster(t, 3, amnesiacNeverVotes)
}

func amnesiacNeverVotes(t testing.TB, c *cluster) {
	ctx := context.Background()
	cl := c.client(0, 1, 2)
	if _, err := cl.Put(ctx, []byte("a"), []byte("1")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	A := c.leader()
	B, C := (A+1)%3, (A+2)%3
	// an operator's backup of C, in the run that all know
	backup := t.TempDir() + "/b"
	if out, err := exec.Command("cp", "-a", c.configs[C].DataDir, backup).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	c.stop(B)
	put, err := cl.Put(ctx, []byte("x"), []byte("acknowledged"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("x acknowledged at revision %d by %s and %s", put.Revision, c.configs[A].Name, c.configs[C].Name)
	c.stop(C)
	os.RemoveAll(c.configs[C].DataDir)
	if out, err := exec.Command("cp", "-a", backup, c.configs[C].DataDir).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	c.start(C)
	for deadline := time.Now().Add(wait); ; time.Sleep(50 * time.Millisecond) {
		alarms := c.nodes[C].Status().Alarms
		if slices.ContainsFunc(alarms, func(a kv.Alarm) bool { return a.Name == kv.AmnesiaAlarm }) {
			t.Logf("C's alarms: %.200s", fmt.Sprint(alarms))
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("C is not refused: %+v", c.nodes[C].Status())
		}
	}
	c.stop(C)
	c.stop(A)
	c.start(C) // what it wrote down must hold: nobody who knows is there
	c.start(B)
	cl2 := c.client(B)
	short, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if kv, found, err := cl2.Get(short, []byte("x")); err == nil {
		t.Errorf("get x: %q %v: a member that had forgotten voted", kv.Value, found)
	}
	c.start(A)
	if kv, found, err := cl2.Get(ctx, []byte("x")); err != nil || !found || string(kv.Value) != "acknowledged" {
		t.Errorf("with a quorum that remembers: %q %v %v", kv.Value, found, err)
	}
}
