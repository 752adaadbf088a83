package node_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/log/disk"
	"qkv/net/client"
	"qkv/node"
	"qkv/snapshot"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// lines keeps what a member logs.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// counted is a store that counts what is read from it.
type counted struct {
	store.Store
	mu    sync.Mutex
	bytes int
	parts int
}

func (c *counted) Get(ctx context.Context, name string, offset, most int64) ([]byte, error) {
	b, err := c.Store.Get(ctx, name, offset, most)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes += len(b); strings.HasPrefix(name, "parts/") {
		c.parts++
	}
	return b, err
}

// backedUp is a cluster of one member whose backup has a base with many parts.
func backedUp(t testing.TB) (c *cluster, at *counted) {
	c = planCluster(t, 1, 500*time.Millisecond)
	c.smallParts = true
	c.configs[0].SegmentBytes = 64 << 10 // so that the log has not all entries
	at = &counted{Store: store.OpenFolder(disk.OS(), t.TempDir())}
	c.configs[0].Backup = node.BackupTarget{Store: at.Store, Every: time.Second, Keep: time.Hour}
	c.start(0)
	cl := c.client(0)
	value := make([]byte, 3000)
	until(t, "the backup has no base with parts", func() bool {
		for n := range 100 {
			copy(value, fmt.Sprint(n, time.Now()))
			if _, err := cl.Put(t.Context(), fmt.Appendf(nil, "k%d", n), value); err != nil {
				t.Fatal(err)
			}
		}
		r, err := backup.Open(t.Context(), at.Store)
		return err == nil && len(r.Bases) > 0 && len(r.Bases[len(r.Bases)-1].Files) > 4
	})
	return c, at
}

// A member that joins takes the parts of the newest base from the backup.
func TestSeed(t *testing.T) {
	c, at := backedUp(t)
	cl := c.client(0)
	addresses := freeAddresses(t, 2)
	said := &lines{}
	added := c.configs[0]
	added.Name, added.DataDir, added.Listen, added.InitialCluster = "n2", t.TempDir()+"/data", addresses[0], nil
	added.ListenPeer, added.AdvertisePeer, added.Join = addresses[1], addresses[1], []string{c.configs[0].ListenPeer}
	added.Backup, added.Logger = node.BackupTarget{}, slog.New(slog.NewTextHandler(said, nil))
	added.Seed = func(ctx context.Context) (*backup.Reader, error) { return backup.Open(ctx, at) }
	if _, err := cl.Admin().AddMember(t.Context(), added.Name, []string{added.ListenPeer}, client.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	n2, err := node.StartWithSmallParts(t.Context(), added)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n2.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	until(t, "n2 does not become a voter", func() bool { return n2.Status().Role == "follower" && n2.Status().Get(figures.Revision) >= 100 })
	if at.parts < 5 || !strings.Contains(said.String(), "parts of the state are taken from the backup") || strings.Contains(said.String(), "the leader sends the others") {
		t.Errorf("%d parts and %d bytes were read from the backup:\n%s", at.parts, at.bytes, said)
	}
}

// The backup of another cluster ends the start: an operator gave the wrong one.
func TestSeedOfAnotherCluster(t *testing.T) {
	_, at := backedUp(t)
	c := planCluster(t, 1, 500*time.Millisecond)
	c.start(0)
	addresses := freeAddresses(t, 2)
	added := c.configs[0]
	added.Name, added.DataDir, added.Listen, added.InitialCluster = "n2", t.TempDir()+"/data", addresses[0], nil
	added.ListenPeer, added.AdvertisePeer, added.Join = addresses[1], addresses[1], []string{c.configs[0].ListenPeer}
	added.Seed = func(ctx context.Context) (*backup.Reader, error) { return backup.Open(ctx, at) }
	if _, err := c.client(0).Admin().AddMember(t.Context(), added.Name, []string{added.ListenPeer}, client.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := node.Start(t.Context(), added)
	if _, refused := errors.AsType[*node.UsageError](err); !refused || !strings.Contains(err.Error(), "and this member joins the cluster") {
		t.Fatalf("started with the backup of another cluster: %v", err)
	}
}

// A member alone has lost a part of its snapshots. The backup gives it.
func TestLostPartComesFromTheBackup(t *testing.T) {
	c, at := backedUp(t)
	dir := filepath.Join(c.configs[0].DataDir, "snap")
	backedUpPart := func() string {
		r, err := backup.Open(t.Context(), at.Store)
		if err != nil {
			t.Fatal(err)
		}
		listing, err := snapshot.List(disk.OS(), dir)
		if err != nil || len(listing.Published) == 0 {
			return ""
		}
		for _, p := range listing.Published[0].Parts {
			if r.Part(p.Name(), p.Bytes, 0, func([]byte) error { return nil }) == nil {
				return p.Name()
			}
		}
		return ""
	}
	until(t, "no part is in both", func() bool { return backedUpPart() != "" })
	c.stop(0)
	lost := backedUpPart()
	if err := os.Remove(filepath.Join(dir, lost)); err != nil {
		t.Fatal(err)
	}
	c.start(0)
	found := false
	for _, a := range c.nodes[0].Status().Alarms {
		found = found || a.Name == kv.CorruptAlarm && strings.Contains(a.Text, lost) && strings.Contains(a.Text, "was fetched again; nothing is lost")
	}
	if !found {
		t.Errorf("no alarm of %s: %v", lost, c.nodes[0].Status().Alarms)
	}
	if got, _, err := c.client(0).Get(t.Context(), []byte("k1")); err != nil || len(got.Value) != 3000 {
		t.Errorf("k1 has %d bytes, %v", len(got.Value), err)
	}
}
