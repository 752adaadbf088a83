package node_test

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/testlong"
	"qkv/net/client"
	"qkv/node"
)

// A member that was away while another one was added, which leads now, comes to know of that one by its log: it takes the
// connection of a member that it has never heard of.
func TestLeaderThatWasAddedMeanwhile(t *testing.T) {
	testlong.Skip(t)
	withCluster(t, 3, func(t testing.TB, c *cluster) { leaderAddedMeanwhile(t, c, false) })
}

// If it has moved meanwhile, too, neither finds the other one: an operator says where it is, as docs/hosts.md advises.
func TestMoveAwayFromALeaderThatWasAdded(t *testing.T) {
	withCluster(t, 3, func(t testing.TB, c *cluster) { leaderAddedMeanwhile(t, c, true) })
}

func leaderAddedMeanwhile(t testing.TB, c *cluster, moves bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*wait)
	defer cancel()
	cl := c.client(0, 1, 2)
	if _, err := cl.Put(ctx, []byte("k"), []byte("before")); err != nil {
		t.Fatal(err)
	}
	away := (c.leader() + 1) % 3
	until(t, "not all members have announced where they are", func() bool { // who joins later knows of no flags
		members := c.nodes[away].Status().Members
		return !slices.ContainsFunc(members, func(m kv.Member) bool { return len(m.Clients) == 0 })
	})
	awayID := c.nodes[away].Status().ID
	c.stop(away)
	addresses := freeAddresses(t, 3)
	if moves {
		c.configs[away].ListenPeer, c.configs[away].AdvertisePeer = addresses[2], addresses[2]
	}
	added := c.configs[away]
	added.Name, added.DataDir, added.Listen, added.InitialCluster = "n4", t.TempDir()+"/data", addresses[0], nil
	added.ListenPeer, added.AdvertisePeer = addresses[1], addresses[1]
	for i, other := range c.configs {
		if i != away {
			added.Join = append(added.Join, other.ListenPeer)
		}
	}
	id, err := cl.Admin().AddMember(ctx, added.Name, []string{added.ListenPeer}, client.AddOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n4, err := node.Start(ctx, added)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n4.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	until(t, "n4 does not become the leader", func() bool {
		short, done := context.WithTimeout(ctx, time.Second)
		defer done()
		_ = cl.Admin().MoveLeader(short, id) // refused as long as it is a learner
		return n4.Status().Role == "leader"
	})
	if _, err := cl.Put(ctx, []byte("k"), []byte("after")); err != nil {
		t.Fatal(err)
	}
	if moves {
		if err := cl.Admin().UpdateMember(ctx, awayID, []string{addresses[2]}); err != nil {
			t.Fatal(err)
		}
	}
	c.start(away)
	until(t, "the member that was away does not follow", func() bool {
		now := c.nodes[away].Status()
		return now.Leader == n4.Status().Leader && now.Count(figures.Applied) == n4.Status().Count(figures.Applied) && slices.ContainsFunc(now.Members, func(m kv.Member) bool { return m.ID == id })
	})
	if role := n4.Status().Role; role != "leader" {
		t.Errorf("n4 is %s", role)
	}
}

// A new cluster waits for a founder that was never started, says so, and begins when that one comes.
func TestFounderThatWasNeverStarted(t *testing.T) {
	c := planCluster(t, 3, 500*time.Millisecond)
	c.start(0)
	c.start(1)
	const waits = "waiting for n3: a new cluster needs all its founders once"
	for i := range 2 {
		until(t, "it does not say that it waits for n3 alone", func() bool {
			return slices.ContainsFunc(c.nodes[i].Status().Alarms, func(a kv.Alarm) bool { return a.Name == kv.FoundingNotice && a.Text == waits })
		})
	}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // four election timeouts
		for i := range 2 {
			if now := c.nodes[i].Status(); now.Role == "leader" || now.Count(figures.Term) != 1 {
				t.Fatalf("%s is %s in term %d", now.Name, now.Role, now.Count(figures.Term))
			}
		}
	}
	c.start(2)
	cl := c.client(0, 1, 2)
	until(t, "the cluster does not begin", func() bool {
		members, err := cl.Members(t.Context(), client.ReadOptions{Serializable: true})
		return err == nil && !slices.ContainsFunc(members, func(m kv.Member) bool { return !m.Started() })
	})
	until(t, "the notice does not end", func() bool {
		return !slices.ContainsFunc(c.nodes[0].Status().Alarms, func(a kv.Alarm) bool { return a.Name == kv.FoundingNotice })
	})
}

// The first member of a cluster that has grown loses its disk, and is started with the command that it was founded with: it
// is alone in another cluster, and who knows the old one has nothing to do with it.
func TestFirstMemberThatLostItsDisk(t *testing.T) {
	c := planCluster(t, 3, 500*time.Millisecond)
	list := c.configs[0].InitialCluster
	c.configs[0].InitialCluster = list[:1]
	c.start(0)
	for i := 1; i < 3; i++ {
		c.configs[i].InitialCluster, c.configs[i].Join = nil, []string{list[0].Address}
		if _, err := c.client(0).Admin().AddMember(t.Context(), list[i].Name, []string{list[i].Address}, client.AddOptions{}); err != nil {
			t.Fatal(err)
		}
		c.start(i)
		until(t, list[i].Name+" does not become a voter", func() bool {
			members, err := c.client(0).Members(t.Context(), client.ReadOptions{Serializable: true})
			return err == nil && !slices.ContainsFunc(members, func(m kv.Member) bool { return m.Role == kv.Learner || !m.Started() })
		})
	}
	met := c.client(1, 0, 2)
	if _, err := met.Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	was := c.nodes[0].Status()
	c.stop(0)
	if err := os.RemoveAll(c.configs[0].DataDir); err != nil {
		t.Fatal(err)
	}
	c.start(0)
	until(t, "it does not lead", func() bool { return c.nodes[0].Status().Role == "leader" })
	if now := c.nodes[0].Status(); now.Cluster == was.Cluster || now.ID == was.ID {
		t.Errorf("it is %x of the cluster %x, as it was", now.ID, now.Cluster)
	}
	until(t, "the others do not go on", func() bool {
		return c.nodes[1].Status().Role == "leader" || c.nodes[2].Status().Role == "leader"
	})
	for range 20 {
		if got, _, err := met.Get(t.Context(), []byte("k")); err != nil || string(got.Value) != "v" {
			t.Fatalf("a client that has met the cluster reads %+v, %v", got, err)
		}
	}
}

// until waits for what must come.
func until(t testing.TB, failure string, what func() bool) {
	t.Helper()
	for deadline := time.Now().Add(wait); !what(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s within %v", failure, wait)
		}
	}
}
