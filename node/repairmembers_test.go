package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"qkv/internal/figures"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
	"qkv/log/disk"
	"qkv/node"
	"qkv/snapshot"
)

// Each of three members has lost another part of its snapshots, and in one of them a further part has a flipped bit. All start at the same
// time, and get the parts from each other, over their connections.
func TestMembersFetchParts(t *testing.T) {
	testlong.Skip(t)
	testretry.Longer(t, 500*time.Millisecond, func(t testing.TB, election time.Duration) {
		c := planCluster(t, 3, election)
		c.smallParts = true
		for i := range c.nodes {
			c.configs[i].SegmentBytes = 64 << 10 // so that the log has not all entries
			c.start(i)
		}
		membersFetchParts(t, c)
	})
}

func membersFetchParts(t testing.TB, c *cluster) {
	cl := c.client(0, 1, 2)
	dir := func(i int) string { return filepath.Join(c.configs[i].DataDir, "snap") }
	common := func() (parts []snapshot.Part) { // that the newest snapshots of all members list
		for i := range c.configs {
			listing, err := snapshot.List(disk.OS(), dir(i))
			if err != nil || len(listing.Published) == 0 {
				return nil
			}
			its := listing.Published[0].Parts
			if i == 0 {
				parts = its
			}
			parts = slices.DeleteFunc(slices.Clone(parts), func(p snapshot.Part) bool { return !slices.Contains(its, p) })
		}
		return parts
	}
	value := make([]byte, 3000)
	for n, began := 0, time.Now(); len(common()) < 4; n++ {
		copy(value, fmt.Sprint(n))
		if _, err := cl.Put(t.Context(), fmt.Appendf(nil, "k%d", n%40), value); err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > wait {
			t.Fatalf("after %d puts, %d parts are listed by all", n, len(common()))
		}
	}
	for i := range c.configs {
		c.stop(i)
	}
	parts := common()
	if len(parts) < 4 {
		t.Fatalf("%d parts are listed by all", len(parts))
	}
	for i := range c.configs {
		if err := os.Remove(filepath.Join(dir(i), parts[i].Name())); err != nil {
			t.Fatal(err)
		}
	}
	rotten := filepath.Join(dir(2), parts[3].Name())
	b, err := os.ReadFile(rotten)
	if err == nil {
		b[len(b)/2] ^= 1
		err = os.WriteFile(rotten, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	var starts sync.WaitGroup
	for i := range c.configs {
		starts.Go(func() {
			one, err := node.StartWithSmallParts(t.Context(), c.configs[i])
			if err != nil {
				t.Errorf("%s: %v", c.configs[i].Name, err)
				return
			}
			c.nodes[i] = one
		})
	}
	if starts.Wait(); t.Failed() {
		return
	}
	for i, lost := range []string{parts[0].Name(), parts[1].Name(), parts[2].Name(), parts[3].Name()} {
		said := fmt.Sprint(c.nodes[min(i, 2)].Status().Alarms)
		if !strings.Contains(said, lost) || !strings.Contains(said, "was fetched again; nothing is lost") {
			t.Errorf("no alarm of %s: %s", lost, said)
		}
	}
	if aside, _ := filepath.Glob(filepath.Join(c.configs[2].DataDir, "damaged", "*")); len(aside) != 1 {
		t.Errorf("aside: %q", aside)
	}
	level(t, c)
	for n := range 100 {
		if _, err := cl.Put(t.Context(), fmt.Appendf(nil, "k%d", n%40), value); err != nil {
			t.Fatal(err)
		}
	}
	level(t, c)

	// The others make a newer base, while n3 is stopped: then no member has the parts that n3 has lost.
	c.stop(2)
	had := map[string]bool{}
	names, _ := filepath.Glob(filepath.Join(dir(2), "*.part"))
	for _, name := range names {
		had[filepath.Base(name)] = true
	}
	cl = c.client(0, 1)
	shared := func() (n int) {
		for i := range 2 {
			names, _ := filepath.Glob(filepath.Join(dir(i), "*.part"))
			for _, name := range names {
				if had[filepath.Base(name)] {
					n++
				}
			}
		}
		return n
	}
	for n, began := 0, time.Now(); n%20 > 0 || shared() > 0; n++ {
		copy(value, fmt.Sprint("newer ", n))
		put, err := cl.Put(t.Context(), fmt.Appendf(nil, "k%d", n%40), value)
		if err == nil && n%20 == 0 {
			err = cl.Admin().Compact(t.Context(), put.Revision)
		}
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > wait {
			t.Fatalf("after %d puts, %d of n3's %d parts are there", n, shared(), len(had))
		}
	}
	if err := os.Remove(names[0]); err != nil {
		t.Fatal(err)
	}
	if c.nodes[2], err = node.StartWithSmallParts(t.Context(), c.configs[2]); err != nil {
		t.Fatal(err)
	}
	if said := fmt.Sprint(c.nodes[2].Status().Alarms); !strings.Contains(said, "no member has it any more; the state at index") {
		t.Errorf("the alarms are %s", said)
	}
	level(t, c)
}

// level waits until all members have the same state.
func level(t testing.TB, c *cluster) {
	t.Helper()
	for deadline := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		a, b, c := c.nodes[0].Status(), c.nodes[1].Status(), c.nodes[2].Status()
		if a.Count(figures.Applied) == b.Count(figures.Applied) && a.Digest == b.Digest && b.Count(figures.Applied) == c.Count(figures.Applied) && b.Digest == c.Digest && a.Leader != 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not level: %d, %d and %d", a.Count(figures.Applied), b.Count(figures.Applied), c.Count(figures.Applied))
		}
	}
}
