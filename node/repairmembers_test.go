package node_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qkv/internal/testretry"
	"qkv/log/disk"
	"qkv/snapshot"
)

// One of three members has lost a part of its snapshots, and another part has a flipped bit: it gets both from the others, over their
// connections, and is level with them.
func TestMemberFetchesParts(t *testing.T) {
	testretry.Longer(t, 500*time.Millisecond, func(t testing.TB, election time.Duration) {
		c := planCluster(t, 3, election)
		c.smallParts = true
		for i := range c.nodes {
			c.start(i)
		}
		memberFetchesParts(t, c)
	})
}

func memberFetchesParts(t testing.TB, c *cluster) {
	cl, dir := c.client(0, 1, 2), filepath.Join(c.configs[2].DataDir, "snap")
	var parts []snapshot.Part
	listed := func() int {
		if listing, err := snapshot.List(disk.OS(), dir); err == nil && len(listing.Published) > 0 {
			parts = listing.Published[0].Parts
		}
		return len(parts)
	}
	value := make([]byte, 3000)
	for n, began := 0, time.Now(); listed() < 2; n++ {
		copy(value, fmt.Sprint(n))
		if _, err := cl.Put(t.Context(), fmt.Appendf(nil, "k%d", n%40), value); err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > wait {
			t.Fatalf("after %d puts, %d parts are listed", n, len(parts))
		}
	}
	c.stop(2)
	listed()
	lost, rotten := filepath.Join(dir, parts[0].Name()), filepath.Join(dir, parts[len(parts)-1].Name())
	b, err := os.ReadFile(rotten)
	if err == nil {
		b[len(b)/2] ^= 1
		err = errors.Join(os.WriteFile(rotten, b, 0o600), os.Remove(lost))
	}
	if err != nil {
		t.Fatal(err)
	}
	c.start(2)
	said := fmt.Sprint(c.nodes[2].Status().Alarms)
	for _, name := range []string{lost, rotten} {
		if !strings.Contains(said, filepath.Base(name)) || !strings.Contains(said, "was fetched from another member; nothing is lost") {
			t.Errorf("no alarm of %s: %s", name, said)
		}
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	if aside, _ := filepath.Glob(filepath.Join(c.configs[2].DataDir, "quarantine", "*")); len(aside) != 1 {
		t.Errorf("aside: %q", aside)
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		a, b := c.nodes[0].Status(), c.nodes[2].Status()
		if a.Applied == b.Applied && a.Digest == b.Digest {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not level: %d and %d, %016x and %016x", a.Applied, b.Applied, a.Digest, b.Digest)
		}
	}
}
