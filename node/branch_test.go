package node_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/testlong"
	"qkv/log/disk"
	"qkv/net/client"
	"qkv/node"
	"qkv/snapshot"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// contentsOf returns the contents of all files below a folder.
func contentsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// damagedInPlace damages each part of a backup that a branch reads. The check and the alarms say that it is in the backup, and that no other member
// helps.
func damagedInPlace(t *testing.T, n *node.Node, place string) {
	t.Helper()
	parts, err := filepath.Glob(place + "/parts/*")
	if err != nil || len(parts) == 0 {
		t.Fatal(parts, err)
	}
	flip := func() {
		for _, one := range parts {
			content, err := os.ReadFile(one)
			if err == nil {
				content[len(content)/2] ^= 1
				err = os.WriteFile(one, content, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	flip()
	read := n.ReadFiles(t)
	if len(read.Damaged) == 0 || read.Failed != "" {
		t.Errorf("with damaged parts: %+v", read)
	}
	until(t, "no alarm about damaged parts", func() bool { return len(n.Status().Alarms) > 0 })
	for _, a := range n.Status().Alarms {
		if strings.Contains(a.Text, "another member") || strings.Contains(a.Text, "other members") || strings.Contains(a.Text, "look at the disk") || !strings.Contains(a.Text, place) {
			t.Errorf("with damaged parts: %s", a.Text)
		}
	}
	flip()
	until(t, "an alarm stays when the parts are sound", func() bool {
		read := n.ReadFiles(t)
		return len(read.Damaged) == 0 && len(n.Status().Alarms) == 0
	})
}

// A branch reads the values of the history from the backup, also after snapshots and a base of its own, and writes nothing there. Without parts
// in the backup it has all of them in its folder, and starts from there again.
func TestBranch(t *testing.T) {
	testlong.Skip(t)
	c, at := backedUp(t)
	cl := c.client(0)
	until(t, "no base has superseded values", func() bool {
		for n := range 100 {
			if _, err := cl.Put(t.Context(), fmt.Appendf(nil, "k%d", n), []byte(strings.Repeat("v", 3000))); err != nil {
				t.Fatal(err)
			}
		}
		r, err := backup.Open(t.Context(), at.Store)
		return err == nil && len(r.Bases) > 0 && r.Bases[len(r.Bases)-1].Revision > 250
	})
	newest, err := cl.Put(t.Context(), []byte("k0"), []byte("newest"))
	if err != nil {
		t.Fatal(err)
	}
	history := func(cl *client.Client, from, to int64) (all []string) {
		t.Helper()
		for revision := from; revision <= to; revision += 7 {
			got, err := cl.Range(t.Context(), kv.Range{Key: []byte("k"), End: []byte("l"), Revision: revision})
			if err != nil {
				t.Fatal(err)
			}
			for _, pair := range got.KVs {
				all = append(all, fmt.Sprintf("%d %s=%.40s", revision, pair.Key, pair.Value))
			}
		}
		return all
	}
	want := history(cl, 10, newest.Revision)
	until(t, "the newest change is not in the backup", func() bool {
		r, err := backup.Open(t.Context(), at.Store)
		if err != nil {
			return false
		}
		got, err := r.Restore(backup.At{}, node.SmallParts().Index, nil)
		return err == nil && got.Revision >= newest.Revision
	})
	c.stop(0)
	place := at.Path("")
	before := contentsOf(t, place)
	for _, keeps := range []bool{false, true} {
		t.Run(fmt.Sprint("keeps=", keeps), func(t *testing.T) {
			b := &cluster{t: t, home: c.home, configs: []node.Config{c.configs[0]}, nodes: make([]*node.Node, 1), smallParts: true}
			own := &b.configs[0]
			addresses := freeAddresses(t, 2)
			own.DataDir, own.Listen, own.ListenPeer, own.AdvertisePeer, own.InitialCluster, own.Backup.Store = t.TempDir()+"/data", addresses[0], addresses[1], "", nil, nil
			var got *backup.Restored
			fill := func(files disk.FS, dir string) (*index.State, error) {
				r, err := backup.Open(t.Context(), store.OpenFolder(disk.OS(), place))
				if err != nil {
					return nil, err
				}
				if r.LeaveParts(); keeps {
					r, err = backup.Open(t.Context(), store.OpenFolder(disk.OS(), place))
					r.KeepParts(files, dir)
				}
				r.Background = func(do func()) { go do() }
				if err == nil {
					got, err = r.Restore(backup.At{}, node.SmallParts().Index, nil)
				}
				if err != nil {
					return nil, err
				}
				return got.State, nil
			}
			var parts func() disk.FS
			if !keeps {
				parts = func() disk.FS { return got.Parts }
			}
			n, err := node.BranchWithSmallParts(t.Context(), *own, fill, parts)
			if err != nil {
				t.Fatal(err)
			}
			b.nodes[0] = n
			defer b.stop(0)
			cl := b.client(0)
			until(t, "all values are in memory", func() bool { return n.Status().Get(figures.Cold) > 0 })
			r, err := backup.Open(t.Context(), store.OpenFolder(disk.OS(), place))
			if err != nil {
				t.Fatal(err)
			}
			listed, err := r.Parts(&got.Base)
			copied := slices.DeleteFunc(listed, func(p snapshot.Part) bool { // the branch writes extents of what is behind the base
				_, err := os.Stat(filepath.Join(own.DataDir, "snap", p.Name()))
				return err != nil
			})
			if err != nil || (len(copied) > 0) != keeps {
				t.Errorf("the folder has the parts of the base %v, %v", copied, err)
			}
			same := func(when string) {
				t.Helper()
				if got := history(cl, 10, newest.Revision); strings.Join(got, "\n") != strings.Join(want, "\n") {
					t.Errorf("%s: %d of %d values are others", when, len(got), len(want))
				}
			}
			same("at once")
			read := n.ReadFiles(t)
			if read.Failed != "" || len(read.Damaged) > 0 || len(n.Status().Alarms) > 0 {
				t.Errorf("its files: %+v; the alarms %v", read, n.Status().Alarms)
			}
			if !keeps {
				if err := os.Rename(place, place+".away"); err != nil {
					t.Fatal(err)
				}
				_, err := cl.Range(t.Context(), kv.Range{Key: []byte("k"), End: []byte("l"), Revision: 10})
				if err == nil || !strings.Contains(err.Error(), place+" holds no backup now: mount its disk again") {
					t.Errorf("while the place is away: %v", err)
				}
				for _, err = range cl.Versions(t.Context(), []byte("k1")) {
					if err != nil && !strings.Contains(err.Error(), "holds no backup now") {
						t.Errorf("the history of a key while the place is away: %v", err)
					}
				}
				if err == nil {
					t.Error("the history of a key is read while the place is away")
				}
				until(t, "no alarm while the place is away", func() bool { return len(n.Status().Alarms) > 0 })
				if text := n.Status().Alarms[0].Text; !strings.Contains(text, place+" holds no backup now") || strings.Contains(text, "disk:") || strings.Contains(text, own.DataDir) {
					t.Errorf("while the place is away: %s", text)
				}
				if read := n.ReadFiles(t); !strings.Contains(read.Failed, place+" holds no backup now") || len(read.Damaged) > 0 {
					t.Errorf("the files while the place is away: %+v", read)
				}
				if err := os.Rename(place+".away", place); err != nil {
					t.Fatal(err)
				}
				same("after the place was away")
				until(t, "an alarm stays after the place was away", func() bool {
					read := n.ReadFiles(t)
					return read.Failed == "" && len(read.Damaged) == 0 && len(n.Status().Alarms) == 0
				})
				damagedInPlace(t, n, place)
			}
			extents := n.Status().Get(figures.Extents)
			value := strings.Repeat("x", 3000)
			until(t, "there is no snapshot with an extent of the branch", func() bool {
				for i := range 50 {
					if _, err := cl.Put(t.Context(), fmt.Appendf(nil, "own%d", i), []byte(value)); err != nil {
						t.Fatal(err)
					}
				}
				return n.Status().Get(figures.Extents) > extents
			})
			same("after a snapshot")
			if keeps {
				b.stop(0)
				b.start(0)
				cl, n = b.client(0), b.nodes[0]
				same("after a start")
			}
			base := n.Status().Get(figures.BaseRevision)
			until(t, "no base of its own", func() bool {
				last, err := cl.Put(t.Context(), []byte("own1"), []byte(value))
				if err == nil {
					err = cl.Admin().Compact(t.Context(), last.Revision)
				}
				if err != nil {
					t.Fatal(err)
				}
				return n.Status().Get(figures.BaseRevision) > base
			})
			if got, _, err := cl.Get(t.Context(), []byte("k0")); err != nil || string(got.Value) != "newest" {
				t.Errorf("the value is %q, %v", got.Value, err)
			}
		})
	}
	if !maps.Equal(contentsOf(t, place), before) {
		t.Error("the backup has changed")
	}
}
