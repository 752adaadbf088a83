package node

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
	"qkv/snapshot"
)

const recoverDir = "up/data"

func recoverStorage(f *folder) storage {
	return storage{
		folder: f, random: rand.NewChaCha8([32]byte{1}), limits: recoverLimits(), segmentBytes: segmentBytesLeast, logger: slog.New(slog.DiscardHandler),
	}
}

func recoverLimits() limits.Tunable {
	l := limits.Defaults()
	l.WindowBytes = 1 << 10 // most entries are read from the disk
	return l
}

// recoverIn recovers a folder of a disk.
func recoverIn(t *testing.T, fs disk.FS, c RecoverConfig) (Recovered, error) {
	t.Helper()
	c.Logger = slog.New(slog.DiscardHandler)
	return recoverOn(t.Context(), c, fs, rand.NewChaCha8([32]byte{1}), recoverLimits())
}

// writtenFolder makes the data folder of n1, a founder beside n2 and n3, whose log holds puts of k2 to kLAST, and the adding
// of n4; of all that, only what stands up to the commit index is known to be committed.
func writtenFolder(t *testing.T, fs disk.FS, last, commit uint64) {
	t.Helper()
	who, begin := founding("n1", "n2", "n3")
	f, err := openFolder(fs, recoverDir, who, begin, rand.NewChaCha8([32]byte{2}))
	if err != nil {
		t.Fatal(err)
	}
	s := recoverStorage(f)
	r, err := s.recover()
	if err != nil {
		t.Fatal(err)
	}
	var entries []*raftpb.Entry
	for i := uint64(2); i <= last; i++ {
		kind, term, at := raftpb.EntryNormal, uint64(2), i
		e := &raftpb.Entry{Type: &kind, Term: &term, Index: &at, Data: inEnvelope(i, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "k", i), Value: make([]byte, 100)}).Bytes)}
		if i == last-1 {
			kind = raftpb.EntryConfChangeV2
			data, err := proto.Marshal(&raftpb.ConfChangeV2{Context: inEnvelope(i, new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 4, Name: "n4", Peers: []string{"h4:1"}}).Bytes)})
			if err != nil {
				t.Fatal(err)
			}
			e.Data = data
		}
		entries = append(entries, e)
	}
	r.log.Append(&log.HardState{Term: 2, Commit: commit}, entries)
	_, err = r.log.Sync()
	if err = errors.Join(err, r.log.Close(), f.boot([16]byte{1}), f.lock.Close()); err != nil {
		t.Fatal(err)
	}
}

func inEnvelope(n uint64, command []byte) []byte {
	return index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 1, Incarnation: 1, First: n, Wall: 1}, [][]byte{command})
}

// recoveredFolder opens what a recovery has made, as a start does.
func recoveredFolder(t *testing.T, fs disk.FS) (*folder, *recovered) {
	t.Helper()
	f, err := openFolder(fs, recoverDir, owner{"n1", "test"}, func() (origin, error) { return origin{}, errors.New("it would be founded anew") }, nil)
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

// checkRecovered looks at what a start finds after a recovery of writtenFolder.
func checkRecovered(t *testing.T, fs disk.FS, last uint64) {
	t.Helper()
	old := originOf("test", "", "n1", []string{"n1", "n2", "n3"})
	f, r := recoveredFolder(t, fs)
	if f.Member == old.self || f.Cluster == old.cluster || f.Boot != 1 || f.Founding[0] != "test" {
		t.Errorf("the new folder is %+v", f.identity)
	}
	if at, term := r.state.Applied(); at != last || term != 2 || r.hardState.Term < 2 || r.hardState.Commit != last {
		t.Errorf("it has applied %d of term %d, and begins with %+v", at, term, r.hardState)
	}
	for i := uint64(2); i <= last; i++ {
		_, found, err := r.state.View().Get(fmt.Append(nil, "k", i), 0)
		if err != nil || !found && i != last-1 {
			t.Fatalf("k%d is not there, %v", i, err)
		}
	}
	members := r.state.Members()
	if all := members.All(); len(all) != 1 || all[0].ID != f.Member || all[0].Name != "n1" || all[0].Role != kv.Voter {
		t.Errorf("the members are %+v", all)
	}
	for _, id := range []uint64{old.self, founderID(old.cluster, "n2"), founderID(old.cluster, "n3"), 4} {
		if !members.Removed(id) {
			t.Errorf("%016x can come back", id)
		}
	}
	if got := r.confState.GetVoters(); len(got) != 1 || got[0] != f.Member {
		t.Errorf("raft's voters are %v", got)
	}
	if err := errors.Join(r.log.Close(), f.lock.Close()); err != nil {
		t.Error(err)
	}
}

// All that stands in the log is taken, whether the member knew that it was committed or not; the new cluster has other ids,
// the old ones are used no more, and the old folder is kept.
func TestRecoverTakesAll(t *testing.T) {
	fs := simdisk.New(1)
	writtenFolder(t, fs, 200, 17)
	done, err := recoverIn(t, fs, RecoverConfig{DataDir: recoverDir, Name: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	checkRecovered(t, fs, 200)
	if done.Name != "n1" || done.Before != recoverDir+".before-recovery" || done.Revision != 199 {
		t.Errorf("it says %+v", done)
	}
	was := &folder{fs: fs, dir: done.Before}
	if err := was.identify(owner{"n1", "test"}); err != nil || was.Member != originOf("test", "", "n1", []string{"n1", "n2", "n3"}).self {
		t.Errorf("the old folder is %+v, %v", was.identity, err)
	}
	_, err = recoverIn(t, fs, RecoverConfig{DataDir: recoverDir})
	if err == nil || !strings.Contains(err.Error(), "from an earlier recovery") {
		t.Errorf("over the old data of an earlier recovery: %v", err)
	}
	checkRecovered(t, fs, 200)
}

// docs/emergencies.md says that a folder without these files recovers with all data.
func TestRecoverWithoutSmallFiles(t *testing.T) {
	for _, name := range []string{"peers", "suspension"} {
		fs := simdisk.New(1)
		writtenFolder(t, fs, 200, 17)
		if err := fs.Remove(recoverDir + "/" + name); err != nil {
			t.Fatal(err)
		}
		if _, err := recoverIn(t, fs, RecoverConfig{DataDir: recoverDir, Name: "n1"}); err != nil {
			t.Fatalf("without %s: %v", name, err)
		}
		checkRecovered(t, fs, 200)
	}
}

// Memory is made ready for what a snapshot holds, once, on another goroutine; a start without a snapshot needs none.
func TestStartPreparesMemory(t *testing.T) {
	fs := simdisk.New(1)
	started := func() (calls []func()) {
		f, err := openFolder(fs, recoverDir, owner{"n1", "test"}, func() (origin, error) { return origin{}, errors.New("it would be founded anew") }, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := recoverStorage(f)
		s.background = func(do func()) { calls = append(calls, do) }
		s.memory = 16 << 20
		r, err := s.recover()
		if err != nil {
			t.Fatal(err)
		}
		if (r.memory != nil) != (len(r.snapshots) > 0) {
			t.Errorf("%d snapshots, and the state's memory is %p", len(r.snapshots), r.memory)
		}
		for _, do := range calls {
			do()
		}
		if r.memory != nil {
			r.memory.Close()
		}
		if err := errors.Join(r.state.Check(), r.log.Close(), f.lock.Close()); err != nil {
			t.Error(err)
		}
		return calls
	}
	writtenFolder(t, fs, 200, 17)
	if n := len(started()); n != 0 {
		t.Errorf("memory is made ready %d times where there is no snapshot", n)
	}
	if _, err := recoverIn(t, fs, RecoverConfig{DataDir: recoverDir, Name: "n1"}); err != nil {
		t.Fatal(err)
	}
	if n := len(started()); n != 1+2 { // two make memory ready, and one loads it
		t.Errorf("memory is made ready %d times for a snapshot", n)
	}
}

func TestRecoverRefuses(t *testing.T) {
	for name, one := range map[string]struct {
		config RecoverConfig
		last   uint64
		before func(f *folder) error
		text   string
	}{
		"another member's folder": {RecoverConfig{DataDir: recoverDir, Name: "n2"}, 20, nil, "belongs to the member n1"},
		"no folder":               {RecoverConfig{DataDir: "up/other"}, 20, nil, "is not a data folder"},
		"a folder in use":         {RecoverConfig{DataDir: recoverDir}, 20, (*folder).acquire, "in use by another process"},
		"a folder with nothing":   {RecoverConfig{DataDir: recoverDir}, 1, nil, "it has no data"},
		"one that never started":  {RecoverConfig{DataDir: recoverDir}, 20, func(f *folder) error { f.Boot = 0; return f.publish() }, "never started"},
	} {
		fs := simdisk.New(1)
		writtenFolder(t, fs, one.last, 1)
		f := &folder{fs: fs, dir: recoverDir}
		if err := f.identify(owner{"n1", "test"}); err != nil {
			t.Fatal(err)
		}
		if one.before != nil {
			if err := one.before(f); err != nil {
				t.Fatal(err)
			}
		}
		_, err := recoverIn(t, fs, one.config)
		if err == nil || !strings.Contains(err.Error(), one.text) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := fs.List(recoverDir + ".before-recovery"); err == nil {
			t.Errorf("%s: the old folder was moved", name)
		}
	}
}

// mounted is a file system with a disk mounted at a folder, which then nobody can rename.
type mounted struct {
	disk.FS
	at string
}

func (m mounted) Rename(from, to string) error {
	if from == m.at {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.EBUSY}
	}
	return m.FS.Rename(from, to)
}

// Where a disk is mounted at the data folder, to run the same command again would be of no use: what is of use is said, and nothing
// is left behind.
func TestRecoverWhereADiskIsMounted(t *testing.T) {
	fs := simdisk.New(1)
	writtenFolder(t, fs, 20, 1)
	_, err := recoverIn(t, mounted{fs, recoverDir}, RecoverConfig{DataDir: recoverDir})
	if err == nil || !strings.Contains(err.Error(), "it is a mount point; copy it") || strings.Contains(err.Error(), "run the same command again") {
		t.Error(err)
	}
	if _, err := fs.List(recoverDir + RecoveringSuffix); err == nil {
		t.Error("the new folder was left")
	}
	f := &folder{fs: fs, dir: recoverDir}
	if err := f.identify(owner{"n1", "test"}); err != nil {
		t.Error(err)
	}
}

// What a recovery left that was interrupted before it moved the data folder holds up no member that begins anew in an emptied folder.
func TestRecoveryThatMovedNothing(t *testing.T) {
	who, begin := founding("n1")
	fs := simdisk.New(1)
	writtenFolder(t, fs, 20, 1)
	if err := fs.Rename(recoverDir, recoverDir+RecoveringSuffix); err != nil {
		t.Fatal(err)
	}
	if _, err := openFolder(fs, recoverDir, who, begin, rand.NewChaCha8([32]byte{1})); err != nil {
		t.Error(err)
	}
}

// A recovery may lose power at each of its calls: the data folder is then the old one or the new one, or a start refuses, and
// the same command makes the new one.
func TestRecoverLosesPower(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	const last = 8
	fates := map[string]int{}
	for run := int64(0); ; run++ {
		at, variant := 1+run/int64(simdisk.Variants), simdisk.Variant(run%int64(simdisk.Variants))
		fs := simdisk.New(uint64(at))
		writtenFolder(t, fs, last, 3)
		calls := int64(0)
		fs.SetHook(func(simdisk.Op, string) {
			if calls++; calls == at {
				panic(errPower)
			}
		})
		over := recoverUntil(t, fs)
		fs.SetHook(nil)
		fs.Crash(variant)
		f, err := openFolder(fs, recoverDir, owner{"n1", "test"}, func() (origin, error) { return origin{}, errors.New("founded anew") }, nil)
		fate := "a start refuses"
		switch {
		case err == nil:
			fate = "the old folder"
			if f.Cluster != originOf("test", "", "n1", []string{"n1", "n2", "n3"}).cluster {
				fate = "the new folder"
			}
			if err := f.lock.Close(); err != nil {
				t.Fatal(err)
			}
		case !strings.Contains(err.Error(), "was interrupted: run"):
			t.Fatalf("call %d, %v: a start says %v", at, variant, err)
		}
		fates[fate]++
		if fate == "a start refuses" { // and has made an empty folder before (checkMode)
			must(t, fs.MkdirAll(recoverDir))
		}
		if fate != "the new folder" {
			if _, err := recoverIn(t, fs, RecoverConfig{DataDir: recoverDir}); err != nil {
				t.Fatalf("call %d, %v: %s, and a second attempt says: %v", at, variant, fate, err)
			}
		}
		checkRecovered(t, fs, last)
		if t.Failed() {
			t.Fatalf("call %d, %v: %s", at, variant, fate)
		}
		if over {
			break
		}
	}
	t.Log(fates)
	for _, fate := range []string{"the old folder", "the new folder", "a start refuses"} {
		if fates[fate] == 0 {
			t.Errorf("%s never came: %v", fate, fates)
		}
	}
}

var errPower = errors.New("power is lost")

// recoverUntil tells whether the recovery came to its end.
func recoverUntil(t *testing.T, fs disk.FS) (over bool) {
	defer func() {
		if p := recover(); p != nil && p != any(errPower) {
			panic(p)
		}
	}()
	_, err := recoverIn(t, fs, RecoverConfig{DataDir: recoverDir})
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// A member of a real folder goes on alone after its recovery, with all that it had.
func TestRecoveredMemberServes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a, err := startAlone(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if d := a.put(t, fmt.Sprint("k", i), strings.Repeat("v", 1000)); d.Result.Err != nil {
			t.Fatal(d.Result.Err)
		}
	}
	before := a.m.folder.identity
	a.stop(t)
	if _, err := Recover(t.Context(), RecoverConfig{DataDir: dir, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	a, err = startAlone(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.stop(t)
	if d := a.put(t, "k200", "v"); d.Result.Err != nil {
		t.Fatal(d.Result.Err)
	}
	if view, now := a.m.status.View(), a.m.folder.identity; view.Keys() != 201 || now.Member == before.Member || now.Cluster == before.Cluster || now.Folder == before.Folder {
		t.Errorf("%d keys, and the folder was %+v and is %+v", view.Keys(), before, now)
	}
}

// The newest snapshot is loaded while the log is read, and what is wrong with either is found as it is where one comes after the
// other.
func TestSnapshotIsLoadedAhead(t *testing.T) {
	damages := map[string]func(fs *simdisk.Disk, snap, wal string) error{
		"nothing":               func(*simdisk.Disk, string, string) error { return nil },
		"the snapshot's head":   func(fs *simdisk.Disk, snap, _ string) error { return fs.Rot(snap, 40, 1) },
		"the snapshot's middle": func(fs *simdisk.Disk, snap, _ string) error { return fs.Rot(snap, 1000, 1) },
		"the log":               func(fs *simdisk.Disk, _, wal string) error { return fs.Rot(wal, 4, 1) },
		"the snapshot's name": func(fs *simdisk.Disk, snap, _ string) error {
			return fs.Rename(snap, path.Join(path.Dir(snap), snapshot.Name(1<<40, 2)))
		},
	}
	for what, corrupt := range damages {
		t.Run(what, func(t *testing.T) {
			var said []string
			for _, background := range []func(func()){nil, func(do func()) { do() }, func(func()) {}} {
				fs := simdisk.New(1)
				writtenFolder(t, fs, 200, 17)
				if _, err := recoverIn(t, fs, RecoverConfig{DataDir: recoverDir, Name: "n1"}); err != nil {
					t.Fatal(err)
				}
				if err := corrupt(fs, only(t, fs, "snap"), only(t, fs, "wal")); err != nil {
					t.Fatal(err)
				}
				f, err := openFolder(fs, recoverDir, owner{"n1", "test"}, func() (origin, error) { return origin{}, errors.New("it would be founded anew") }, nil)
				if err != nil {
					t.Fatal(err)
				}
				s := recoverStorage(f)
				s.background = background
				r, err := s.recover()
				if err != nil {
					said = append(said, err.Error())
					continue
				}
				said = append(said, fmt.Sprint(r.applied, len(r.snapshots), r.state.View().Digest()))
				if err := errors.Join(r.state.Check(), r.log.Close()); err != nil {
					t.Error(err)
				}
			}
			if said[1] != said[0] || said[2] != said[0] {
				t.Errorf("one after the other: %s\nat once: %s\nthe log first: %s", said[0], said[1], said[2])
			}
			if sound := !strings.Contains(said[0], " "+recoverDir) && !strings.Contains(said[0], "corrupt"); sound != (what == "nothing") {
				t.Errorf("it says: %s", said[0])
			}
		})
	}
}

// only is the path of the first file of a folder's folder.
func only(t *testing.T, fs disk.FS, dir string) string {
	t.Helper()
	names, err := fs.List(path.Join(recoverDir, dir))
	if err != nil || len(names) == 0 {
		t.Fatalf("the files of %s: %v, %v", dir, names, err)
	}
	return path.Join(recoverDir, dir, slices.Min(names))
}
