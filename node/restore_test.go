package node

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
	"qkv/snapshot"
)

// restoredState is the state of a cluster of n1, n2 and n3 after 100 puts and a lease.
func restoredState(t *testing.T) *index.State {
	t.Helper()
	s := index.NewState(limits.Defaults().Index)
	_, begin := founding("n1", "n2", "n3")
	first, err := begin()
	if err != nil {
		t.Fatal(err)
	}
	s.Found((&identity{Cluster: first.cluster, Founding: first.founding}).founders())
	commands := [][]byte{new(index.Head).AppendGrant(nil, kv.Lease{ID: 7, TTL: 60}).Bytes}
	for i := range 100 {
		commands = append(commands, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "k", i), Value: []byte("value"), Lease: 7}).Bytes)
	}
	for i := range uint64(2) {
		data := []byte(nil)
		if i > 0 {
			data = index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 1, First: 1, Wall: 1_700_000_000_000_000_000}, commands)
		}
		if _, err := s.Apply(i+1, i+1, data, nil); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func restoreTo(fs disk.FS, dir, name string, seed byte, state *index.State, founders ...string) (Made, error) {
	c := RestoreConfig{DataDir: dir, Name: name, Founders: founders, Token: "qkv", Version: "test", Logger: slog.New(slog.DiscardHandler)}
	return restoreOn(c, "test", fs, rand.NewChaCha8([32]byte{seed}), recoverLimits(), with(state))
}

// with is a Fill with a state that needs no files.
func with(state *index.State) Fill {
	return func(disk.FS, string) (*index.State, error) { return state, nil }
}

// restoredFolder opens a restored folder, as a start does.
func restoredFolder(t *testing.T, on disk.FS, dir, name string) (*folder, *recovered) {
	t.Helper()
	f, err := openFolder(on, dir, owner{name, "test"}, func() (origin, error) { return origin{}, errors.New("it would be founded anew") }, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := recoverStorage(f)
	r, err := s.recover()
	if err != nil {
		t.Fatal(err)
	}
	return f, r
}

// A restored member is alone, or one of founders who all begin with the same cluster and the same log; the members of before
// never come back.
func TestRestore(t *testing.T) {
	old := originOf("test", "", "n1", []string{"n1", "n2", "n3"})
	clusters := map[uint64]bool{old.cluster: true}
	for run, founders := range [][]string{nil, nil, {"n3", "n1", "n2"}} {
		on := simdisk.New(1)
		if err := on.MkdirAll("up"); err != nil {
			t.Fatal(err)
		}
		var digest, cluster uint64
		names := founders
		if names == nil {
			names = []string{"n1"}
		}
		for i, name := range names {
			dir := "up/" + name
			made, err := restoreTo(on, dir, name, byte(10*run+i), restoredState(t), founders...)
			if err != nil {
				t.Fatal(err)
			}
			on.Crash(simdisk.Mixture)
			f, r := restoredFolder(t, on, dir, name)
			if f.Cluster != made.Cluster || f.Member != made.Member || f.Boot != 1 {
				t.Errorf("the folder is %+v, and %+v was made", f.identity, made)
			}
			at, term := r.state.Applied()
			if at != 2 || term != 2 || r.hardState.Term != 2 || r.hardState.Commit != 2 || r.hardState.Vote != 0 {
				t.Errorf("it has applied %d of term %d, and begins with %+v", at, term, r.hardState)
			}
			v := r.state.View()
			if v.Keys() != 100 || v.LeaseCount() != 1 || v.Revision() != 101+index.CutDistance || len(r.confState.GetVoters()) != len(names) {
				t.Errorf("%d keys, %d leases, revision %d, voters %v", v.Keys(), v.LeaseCount(), v.Revision(), r.confState.GetVoters())
			}
			if i > 0 && (v.Digest() != digest || made.Cluster != cluster) {
				t.Errorf("%s has another state or cluster than %s", name, names[0])
			}
			digest, cluster = v.Digest(), made.Cluster
			members := r.state.Members()
			if one := members.Get(made.Member); one == nil || one.Name != name || one.Role != kv.Voter {
				t.Errorf("%s is %+v", name, one)
			}
			for _, was := range []string{"n1", "n2", "n3"} {
				if !members.Removed(founderID(old.cluster, was)) {
					t.Errorf("%s can come back", was)
				}
			}
			if err := errors.Join(r.log.Close(), f.lock.Close()); err != nil {
				t.Error(err)
			}
		}
		if clusters[cluster] {
			t.Errorf("the cluster %016x was there before", cluster)
		}
		clusters[cluster] = true
	}
}

// A restored member keeps the parts that the backup had, with their names, and writes only what follows. Behind a newer base it writes all of
// the state anew. Founders restore it alike, whichever base each of them has used.
func TestRestoreKeepsParts(t *testing.T) {
	l := limits.Defaults().Index
	l.ExtentBytes = 1 << 10
	fill := func(rebased, keeps bool, kept *[]snapshot.Part) Fill {
		return func(files disk.FS, dir string) (*index.State, error) {
			must(t, files.MkdirAll(dir))
			apply := func(s *index.State, commands ...[]byte) {
				at, term := s.Applied()
				_, err := s.Apply(at+1, term, index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 1, First: 1, Wall: int64(2e18) + int64(at)}, commands), nil)
				must(t, err)
			}
			s := index.NewState(l)
			_, begin := founding("n1", "n2", "n3")
			first, err := begin()
			must(t, err)
			s.Found((&identity{Cluster: first.cluster, Founding: first.founding}).founders())
			_, err = s.Apply(1, 1, nil, nil)
			must(t, err)
			for i := range 100 {
				apply(s, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "k", i%7), Value: fmt.Append(nil, "value ", i)}).Bytes)
			}
			at, term := s.Applied()
			_, err = snapshot.Save(files, dir, snapshot.Meta{Cluster: 7, Member: 1, Index: at, Term: term, Version: "test"}, s.ViewToSave(), nil)
			must(t, err)
			path := dir + "/" + snapshot.Name(at, term)
			s, m, err := snapshot.LoadIn(index.NewReserve(), files, files, path, l) // of the files
			must(t, err)
			if keeps {
				snapshot.ShelfOf(s.View()).Attach(s)
			} else if s, _, err = snapshot.LoadWhole(index.NewReserve(), files, path, l); err != nil {
				return nil, err
			}
			must(t, files.Remove(path))
			*kept = m.Parts
			for i := range 40 {
				apply(s, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("later"), Value: fmt.Append(nil, "value ", i)}).Bytes)
			}
			if rebased {
				s.KeepHistory()
				apply(s, new(index.Head).AppendCompact(nil, s.Revision()).Bytes)
				apply(s, index.AppendRebase(nil, s.View().Extents()[1].To).Bytes)
				s.ShowHistory()
			}
			return s, nil
		}
	}
	c := RestoreConfig{DataDir: "up/n1", Name: "n1", Version: "test", Logger: slog.New(slog.DiscardHandler)}
	for _, rebased := range []bool{false, true} {
		on := simdisk.New(1)
		must(t, on.MkdirAll("up"))
		var kept []snapshot.Part
		made, err := restoreOn(c, "test", on, rand.NewChaCha8([32]byte{1}), recoverLimits(), fill(rebased, true, &kept))
		must(t, err)
		on.Crash(simdisk.Mixture)
		f, r := restoredFolder(t, on, "up/n1", "n1")
		parts := r.snapshots[0].Parts
		if same := len(parts) > len(kept) && slices.Equal(parts[:len(kept)], kept); len(kept) < 3 || same == rebased {
			t.Errorf("rebased=%v: the parts are %v, and the backup had %v", rebased, parts, kept)
		}
		for _, s := range []*index.State{r.state, made.state} { // from the folder, and as a branch serves it
			pair, found, err := s.View().Get([]byte("k1"), 3)
			if s.Revision() != 141+index.CutDistance || err != nil || !found || string(pair.Value) != "value 1" {
				t.Errorf("revision %d; an older value is %q, %v, %v", s.Revision(), pair.Value, found, err)
			}
			if shelf := snapshot.ShelfOf(s.View()); shelf.Last() != parts[len(parts)-1].To || len(shelf.Parts()) != len(parts) {
				t.Errorf("its values are read from %v, and its parts are %v", shelf.Parts(), parts)
			}
		}
		names, err := on.List("up/n1/snap")
		must(t, err)
		if len(names) != len(parts)+1 {
			t.Errorf("rebased=%v: the folder has %d files, and its snapshot %d parts", rebased, len(names), len(parts))
		}
		must(t, errors.Join(r.log.Close(), f.lock.Close()))
	}
	digests := map[uint64]bool{}
	for i, keeps := range []bool{false, true} {
		on := simdisk.New(1)
		must(t, on.MkdirAll("up"))
		c.Name, c.Founders = fmt.Sprint("n", i+1), []string{"n1", "n2"}
		var kept []snapshot.Part
		_, err := restoreOn(c, "test", on, rand.NewChaCha8([32]byte{2}), recoverLimits(), fill(false, keeps, &kept))
		must(t, err)
		f, r := restoredFolder(t, on, "up/n1", c.Name)
		digests[r.state.View().Digest()] = true
		must(t, errors.Join(r.log.Close(), f.lock.Close()))
	}
	if len(digests) != 1 {
		t.Errorf("the founders have the digests %v", digests)
	}
}

// A crash at every call leaves no data folder, or a whole one; the same command then does it. The folder is new, or a mount point.
func TestRestoreCrash(t *testing.T) {
	for _, mounted := range []bool{false, true} {
		on := simdisk.New(1)
		must(t, errors.Join(on.MkdirAll("up"), on.SyncDir(".")))
		if mounted {
			must(t, errors.Join(on.MkdirAll("up/n1/lost+found"), on.SyncDir("up"), on.SyncDir("up/n1")))
		}
		calls, whole := uint64(0), 0
		on.SetHook(func(op simdisk.Op, name string) {
			if calls++; calls%4 != 0 && op != simdisk.OpRename && op != simdisk.OpSyncDir {
				return
			}
			after := on.Clone(calls)
			after.Crash(simdisk.Variant(calls % uint64(simdisk.Variants)))
			if names, err := after.List("up/n1"); errors.Is(err, fs.ErrNotExist) || !slices.Contains(names, "identity") {
				for _, name := range names { // as an error of the rename says
					if name != "lost+found" && name != restoringSuffix {
						must(t, removeAll(after, "up/n1/"+name))
					}
				}
				if _, err := restoreTo(after, "up/n1", "n1", 1, restoredState(t)); err != nil {
					t.Fatalf("again after a crash before call %d (%v %s): %v", calls, op, name, err)
				}
			} else {
				whole++
			}
			f, r := restoredFolder(t, after, "up/n1", "n1")
			if r.state.View().Keys() != 100 {
				t.Errorf("%d keys", r.state.View().Keys())
			}
			must(t, errors.Join(r.log.Close(), f.lock.Close()))
		})
		_, err := restoreTo(on, "up/n1", "n1", 1, restoredState(t))
		on.SetHook(nil)
		must(t, err)
		if _, err := restoreTo(on, "up/n1", "n1", 1, restoredState(t)); err == nil || !strings.Contains(err.Error(), "up/n1 is not empty") {
			t.Errorf("over a member's data: %v", err)
		}
		if whole == 0 {
			t.Error("no crash has left a whole folder")
		}
		t.Logf("mounted %v: %d calls, %d with a whole folder", mounted, calls, whole)
	}
}

func removeAll(on disk.FS, name string) error {
	if _, err := on.List(name); err == nil {
		return removeFolder(on, name)
	}
	return on.Remove(name)
}

// A configuration that cannot work is refused before a backup is read.
func TestRestoreRefusesFirst(t *testing.T) {
	dir := t.TempDir()
	fill := func(disk.FS, string) (*index.State, error) { return nil, errFilled }
	for want, c := range map[string]RestoreConfig{
		"--name":                             {DataDir: dir + "/d"},
		"does not name this member, n4":      {DataDir: dir + "/d", Name: "n4", Founders: []string{"n1", "n2"}},
		"holds no certificate member-n1.crt": {DataDir: dir + "/d", Name: "n1", CertsDir: dir},
		"--data-dir":                         {DataDir: "/dev/null/d", Name: "n1"},
	} {
		var usage *UsageError
		if _, err := Restore(c, fill); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := Restore(RestoreConfig{DataDir: dir + "/d", Name: "n1", Founders: []string{"n2", "n1"}}, fill); !errors.Is(err, errFilled) {
		t.Error(err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("after a restore that failed there is %v, %v", names, err)
	}
}

var errFilled = errors.New("the backup was read")

// A source may compact its history while a migration follows it: the changes before are in no file, and need none.
func TestMigratedHistoryIsCompacted(t *testing.T) {
	dir := t.TempDir() + "/data"
	made, err := Migrate(t.Context(), MigrateConfig{DataDir: dir, Name: "n1", Logger: slog.New(slog.DiscardHandler)}, func(s *index.State) (*index.AuthContent, error) {
		m, err := index.NewImport(s, 0, func() int64 { return 1 })
		for mod := int64(2); err == nil && mod <= 30; mod++ {
			err = m.Add(&index.SourceRecord{Key: []byte("k"), Version: index.Version{Mod: mod, Create: 2, Version: mod - 1, Value: []byte("v")}})
		}
		must(t, errors.Join(err, m.End(), m.Compact(20)))
		for m.View(); s.Reclaim(); {
		}
		return nil, nil
	})
	must(t, err)
	listing, err := snapshot.List(disk.OS(), dir+"/snap")
	must(t, err)
	if len(listing.Published) != 1 || len(listing.Parts) != 1 {
		t.Fatalf("%+v", listing)
	}
	state, _, err := snapshot.LoadIn(index.NewReserve(), disk.OS(), disk.OS(), listing.Published[0].Path, limits.Defaults().Index)
	must(t, err)
	if v := state.View(); v.Digest() != made.View.Digest() || v.Compacted() != 20 || v.Base() != 30 {
		t.Errorf("revision %d, compacted %d, base %d", v.Revision(), v.Compacted(), v.Base())
	}
}

// A second restore of the same state goes on above the first one, whose cluster may have made revisions. Hosts that restore together get the
// same revisions.
func TestRestoreAgainGoesOnAbove(t *testing.T) {
	restored := func(name string, founders ...string) (revision int64, auth uint64) {
		t.Helper()
		c := RestoreConfig{DataDir: t.TempDir() + "/data", Name: name, Founders: founders, Version: "test", Logger: slog.New(slog.DiscardHandler)}
		made, err := Restore(c, with(restoredState(t)))
		must(t, err)
		return made.state.Revision(), made.state.View().Auth().Revision()
	}
	first, users := restored("n1")
	if again, changed := restored("n1"); again <= first || changed <= users {
		t.Errorf("a second restore begins at revision %d and auth revision %d, the first one at %d and %d", again, changed, first, users)
	}
	first, users = restored("n1", "n1", "n2")
	if second, changed := restored("n2", "n1", "n2"); second != first || changed != users {
		t.Errorf("two hosts begin at revisions %d and %d, and at auth revisions %d and %d", first, second, users, changed)
	}
}
