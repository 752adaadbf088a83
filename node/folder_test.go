package node

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/actor"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
	"qkv/snapshot"
)

// A file of the data folder that a disk cannot read now may be well: only what was read and is wrong is corrupt, and a
// person who is told so might remove it.
func TestUnreadableIsNotCorrupt(t *testing.T) {
	who, begin := founding("n1", "n2")
	fs := simdisk.New(1)
	f, err := openFolder(fs, "data", who, begin, strings.NewReader(strings.Repeat("x", 100)))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.remember([]actor.Known{{Member: 2}}), f.suspend(actor.Suspension{Reason: "it forgot", By: 2})); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func() error{
		"identity":   func() error { return f.identify(who) },
		"suspension": func() error { _, err := f.suspended(); return err },
		"peers":      func() error { _, err := f.known(); return err },
	} {
		for _, op := range []simdisk.Op{simdisk.OpOpen, simdisk.OpRead} {
			fs.Fail(simdisk.Fault{Op: op, Name: name})
			if err := read(); !errors.Is(err, syscall.EIO) || errors.Is(err, damage.ErrDamaged) {
				t.Errorf("%s, when %v fails: %v", name, op, err)
			}
		}
		if err := read(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i, want := range []error{nil, damage.ErrDamaged} {
			if err := fs.Rot("data/"+name, int64(i*slotBytes+17), 3); err != nil {
				t.Fatal(err)
			}
			if err := read(); !errors.Is(err, want) {
				t.Errorf("%s, with one bit that is wrong in %d halves: %v", name, i+1, err)
			}
		}
	}
}

// A small file that was cut in its second half, or has more behind that, is read, and can be written again.
func TestSmallFilesOfAnySize(t *testing.T) {
	for _, size := range []int64{2*slotBytes - 1, slotBytes + 100, slotBytes, 2*slotBytes + 1, 5 * slotBytes} {
		fs := simdisk.New(1)
		f := &folder{fs: fs, dir: "data"}
		if err := errors.Join(fs.MkdirAll("data"), f.write("small", []byte("was"))); err != nil {
			t.Fatal(err)
		}
		file, err := fs.OpenWritable("data/small")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(file.Truncate(size), file.Close()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"was", "is"} {
			if got, err := f.read("small"); err != nil || string(got) != want {
				t.Errorf("%d bytes: %q, %v", size, got, err)
			}
			if err := f.write("small", []byte("is")); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	}
	fs := simdisk.New(1)
	f := &folder{fs: fs, dir: "data"}
	file, err := fs.Create("small")
	if err := errors.Join(err, file.Close(), fs.MkdirAll("data"), fs.Rename("small", "data/small")); err != nil {
		t.Fatal(err)
	}
	if got, err := f.read("small"); !errors.Is(err, damage.ErrDamaged) {
		t.Errorf("an empty file: %q, %v", got, err)
	}
}

// A small file may be as large as a slot allows, and no larger.
func TestLargestSmallFile(t *testing.T) {
	fs := simdisk.New(1)
	f := &folder{fs: fs, dir: "data"}
	want := bytes.Repeat([]byte{7}, slotContent)
	if err := errors.Join(fs.MkdirAll("data"), f.write("small", []byte("was")), f.write("small", want)); err != nil {
		t.Fatal(err)
	}
	if got, err := f.read("small"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes are read: %v", len(got), len(want), err)
	}
	if err := f.write("small", append(want, 7)); err == nil {
		t.Error("one more byte is written")
	}
	if got, err := f.read("small"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("behind a write that was refused %d of %d bytes are read: %v", len(got), len(want), err)
	}
}

// A member is suspended for a reason of any length: its file holds the beginning.
func TestLongReasonOfASuspension(t *testing.T) {
	fs := simdisk.New(1)
	f := &folder{fs: fs, dir: "data"}
	reason := strings.Repeat("it forgot. ", slotBytes)
	if err := errors.Join(fs.MkdirAll("data"), f.suspend(actor.Suspension{By: 2, Reason: reason, Differs: true})); err != nil {
		t.Fatal(err)
	}
	q, err := f.suspended()
	if err != nil || q.By != 2 || !q.Differs || len(q.Reason) < 100 || !strings.HasPrefix(reason, q.Reason) {
		t.Errorf("%d bytes of the reason of %d: %v", len(q.Reason), q.By, err)
	}
}

// A folder that does not say whether its member takes part is damaged: it would vote although it must not.
func TestMissingAmnesiaIsDamage(t *testing.T) {
	who, begin := founding("n1", "n2")
	fs := simdisk.New(1)
	f, err := openFolder(fs, "data", who, begin, strings.NewReader(strings.Repeat("x", 100)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.suspended(); err != nil {
		t.Errorf("of a new folder: %v", err)
	}
	if err := fs.Remove("data/suspension"); err != nil {
		t.Fatal(err)
	}
	if q, err := f.suspended(); !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("without the file: %+v, %v", q, err)
	}
}

// Whatever fails in a row, and however processes end meanwhile, a small file is never lost, and what a start reads of it
// a loss of power takes back no more.
func TestSmallFilesAreReadFromTheMedium(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 2))
		fs := simdisk.New(seed)
		f := &folder{fs: fs, dir: "data"}
		if err := errors.Join(fs.MkdirAll("data"), fs.SyncDir("."), f.write("small", []byte("content 0"))); err != nil {
			t.Fatal(err)
		}
		for is := range 6 {
			if random.IntN(3) > 0 {
				fs.Fail(simdisk.Fault{Call: 1 + random.Int64N(3), Op: simdisk.OpSync, Err: syscall.EIO})
			} else if random.IntN(2) == 0 {
				left := 1 + random.IntN(10)
				fs.SetHook(func(simdisk.Op, string) {
					if left--; left == 0 {
						panic(errDied)
					}
				})
			}
			func() { // a process that may be killed at any call
				defer func() { _ = recover() }()
				_, _ = f.read("small")
				_ = f.write("small", fmt.Appendf(nil, "content %d", is+1))
			}()
			fs.SetHook(nil)
			fs.ClearFaults()
			if fs.Kill(); random.IntN(2) == 0 {
				continue // and the next one fails, too
			}
			got, err := f.read("small")
			if err != nil {
				t.Fatalf("seed %d: after %d writes: %v", seed, is+1, err)
			}
			fs.Crash(simdisk.Variant(random.IntN(int(simdisk.Variants))))
			if again, err := f.read("small"); err != nil || !bytes.Equal(again, got) {
				t.Fatalf("seed %d: %q was read, and after a loss of power it is %q, %v", seed, got, again, err)
			}
		}
	}
}

// Small files are written on a full disk, and crashes at any calls leave what was or what is.
func TestSmallFilesInPlace(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		fs := simdisk.New(seed)
		f := &folder{fs: fs, dir: "data"}
		if err := errors.Join(fs.MkdirAll("data"), fs.SyncDir("."), f.write("small", []byte("content 0"))); err != nil {
			t.Fatal(err)
		}
		fs.SetCapacity(fs.Used())
		was, is := 0, 0
		for range 4 {
			fs.Fail(simdisk.Fault{Call: 1 + random.Int64N(12), Err: syscall.EIO, Short: random.IntN(2) == 0})
			var err error
			for err == nil {
				was, is = is, is+1
				err = f.write("small", fmt.Appendf(nil, "content %d", is))
			}
			if errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("on a full disk: %v", err)
			}
			fs.ClearFaults()
			fs.Crash(simdisk.Variant(random.IntN(int(simdisk.Variants))))
			got, err := f.read("small")
			switch string(got) {
			case fmt.Sprint("content ", was):
				is = was
			case fmt.Sprint("content ", is):
			default:
				t.Fatalf("seed %d: %q after %d was written and %d begun: %v", seed, got, was, is, err)
			}
		}
	}
}

// A member starts again and again on a disk that has no byte left.
func TestStartsOnFullDisk(t *testing.T) {
	w := diskWorld(t, 5)
	for _, h := range w.hosts {
		h.disk.SetCapacity(h.disk.Used())
	}
	for i := range 30 {
		h := w.hosts[i%3]
		if i%2 == 0 {
			h.crash()
		} else {
			h.kill()
		}
		h.disk.SetCapacity(h.disk.Used()) // what it let go of is somebody else's
		h.start()
		if w.run(300 * time.Millisecond); w.failure != "" || !h.alive() {
			t.Fatalf("start %d of %s: %s", i, h.name(), w.failure)
		}
	}
	for _, h := range w.hosts {
		h.disk.SetCapacity(1 << 50)
	}
	w.run(2 * time.Second)
	w.well(t)
}

// What a member hears of the others' folders is in its own folder before it admits them: after a restart it still knows
// who is another one now.
func TestPeersAreRemembered(t *testing.T) {
	s := drawShape(1)
	s.members, s.faults, s.amnesiacs, s.calm, s.ordered, s.loss, s.lagging, s.crashesInRecovery = 3, nil, 0, true, true, 0, "", 0
	defer seedGlobalRandom(1)()
	w := newWorld(1, s, nil)
	for _, h := range w.hosts {
		h.start()
	}
	w.run(500 * time.Millisecond)
	for _, h := range w.hosts {
		known, err := (&folder{fs: h.disk, dir: h.config.DataDir}).known()
		known = slices.DeleteFunc(known, func(k actor.Known) bool { return k.Member == h.id() }) // the log tells a member of its own folder
		if err != nil || len(known) != 2 {
			t.Fatalf("%s remembers %+v, %v", h.name(), known, err)
		}
		for _, k := range known { // start and process are no part of the log
			other := w.byID[k.Member]
			if k.Folder != other.member.folder.Folder || k.Boot != other.boot || k.Process != other.member.process {
				t.Errorf("%s remembers of %s: %+v", h.name(), other.name(), k)
			}
		}
	}
	if w.failure != "" {
		t.Error(w.failure)
	}
}

// A new data folder's own name, and those of the folders above it, are durable before anything in it counts.
func TestNewFolderKeepsItsName(t *testing.T) {
	who, begin := founding("n1")
	fs := simdisk.New(1)
	f, err := openFolder(fs, "var/lib/data", who, begin, strings.NewReader(strings.Repeat("x", 100)))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.boot([16]byte{7}); err != nil {
		t.Fatal(err)
	}
	fs.Crash(simdisk.Prefix) // nothing that was not synced is left
	again, err := openFolder(fs, "var/lib/data", who, begin, strings.NewReader(strings.Repeat("y", 100)))
	if err != nil {
		t.Fatal(err)
	}
	if again.Boot != 1 || again.Folder != f.Folder {
		t.Errorf("after a loss of power the folder is %x of start %d, it was %x of start %d", again.Folder, again.Boot, f.Folder, f.Boot)
	}
}

// A snapshot that the disk cannot read now is not moved aside: it may be well.
func TestUnreadableSnapshotStays(t *testing.T) {
	for damaged, why := range map[bool]error{false: syscall.EIO, true: damage.ErrDamaged} {
		fs := simdisk.New(1)
		for _, dir := range []string{"data/snap", "data/damaged"} {
			if err := fs.MkdirAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		path := "data/snap/" + snapshot.Name(9, 1)
		file, err := fs.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt([]byte("a snapshot"), 0); err != nil {
			t.Fatal(err)
		}
		s := storage{folder: &folder{fs: fs, dir: "data"}, logger: slog.New(slog.DiscardHandler)}
		err = s.putAside(&recovered{}, snapshot.Info{Path: path}, fmt.Errorf("load: %w", why))
		if names, _ := fs.List("data/damaged"); (len(names) == 1) != damaged || (err == nil) != damaged || (!damaged && !errors.Is(err, why)) {
			t.Errorf("a snapshot with %v: moved %v, %v", why, names, err)
		}
	}
}

// A damaged snapshot that a full disk has no room to move aside stays, is named by an alarm, and ends no start: an older one may do.
func TestDamagedSnapshotOnFullDisk(t *testing.T) {
	for _, op := range []simdisk.Op{simdisk.OpMkdir, simdisk.OpRename} {
		fs := simdisk.New(1)
		if err := fs.MkdirAll("data/snap"); err != nil {
			t.Fatal(err)
		}
		path := "data/snap/" + snapshot.Name(9, 1)
		file, err := fs.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		s, r := storage{folder: &folder{fs: fs, dir: "data"}, logger: slog.New(slog.DiscardHandler)}, &recovered{}
		fs.Fail(simdisk.Fault{Op: op, Err: syscall.ENOSPC})
		err = s.putAside(r, snapshot.Info{Path: path}, fmt.Errorf("%w: a bit", damage.ErrDamaged))
		if err != nil || len(r.alarms) != 1 || !strings.Contains(r.alarms[0].Text, "no space is left") || !strings.Contains(r.alarms[0].Text, "a bit") {
			t.Errorf("%v finds no room: %v, alarms %+v", op, err, r.alarms)
		}
		if names, _ := fs.List("data/snap"); len(names) != 1 {
			t.Errorf("%v finds no room: left %v", op, names)
		}
	}
}

// founding is the owner of a new folder, the first of the founders, and what it begins with.
func founding(names ...string) (owner, func() (origin, error)) {
	return owner{names[0], "test"}, func() (origin, error) { return originOf("test", "", names[0], names), nil }
}

// A first start whose disk fails at any call says what the disk said, also where an earlier attempt has made the log already.
func TestFirstStartOnAFailingDisk(t *testing.T) {
	who, begin := founding("n1", "n2", "n3")
	for _, made := range []bool{false, true} {
		for call := int64(1); ; call++ {
			fs := simdisk.New(1)
			if err := fs.MkdirAll("up"); err != nil {
				t.Fatal(err)
			}
			f, err := openFolder(fs, recoverDir, who, begin, rand.NewChaCha8([32]byte{2}))
			if err != nil {
				t.Fatal(err)
			}
			s := recoverStorage(f)
			if made {
				r, err := s.recover()
				if err != nil {
					t.Fatal(err)
				}
				if err := r.log.Close(); err != nil {
					t.Fatal(err)
				}
			}
			fs.Fail(simdisk.Fault{Call: call, Err: syscall.EIO})
			r, err := s.recover()
			if err != nil && !errors.Is(err, syscall.EIO) {
				t.Errorf("with a log: %v, call %d fails: %v", made, call, err)
			}
			if err == nil {
				_ = r.log.Close()
			}
			if fs.Armed() > 0 {
				t.Logf("with a log: %v: %d calls", made, call-1)
				break
			}
		}
	}
}

// What cannot be looked at is no folder that is missing: it is said why.
func TestDataFolderThatCannotBeReached(t *testing.T) {
	loop := t.TempDir() + "/loop"
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	if err := checkMode(loop+"/data", slog.New(slog.DiscardHandler)); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a folder behind a name that leads to itself: %v", err)
	}
	if err := checkMode(t.TempDir()+"/a/b", slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("a folder that is missing is not made: %v", err)
	}
}

// A link in the folder's place that leads to nothing, as one to a disk that is not mounted, is said to be that.
func TestDataFolderBehindADanglingLink(t *testing.T) {
	link := t.TempDir() + "/link"
	if err := os.Symlink("/not/mounted", link); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{link, link + "/n1"} {
		if err := checkMode(dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), link+" is a symbolic link to /not/mounted") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// This user's folder is closed to other users, whatever its mode was (etcd CVE-2020-15113), and a warning says so.
func TestDataFolderMode(t *testing.T) {
	for _, mode := range []os.FileMode{0o700, 0o500, 0o755, 0o770, 0o070} {
		dir := t.TempDir()
		must(t, os.Chmod(dir, mode))
		var lines strings.Builder
		if err := checkMode(dir, slog.New(slog.NewTextHandler(&lines, nil))); err != nil {
			t.Errorf("%04o: %v", mode, err)
		}
		info, err := os.Stat(dir)
		must(t, err)
		if warned := strings.Contains(lines.String(), fmt.Sprintf("mode=%04o", mode)); info.Mode().Perm() != 0o700 || warned != (mode != 0o700) {
			t.Errorf("%04o: it has mode %v now, and the log says %q", mode, info.Mode(), lines.String())
		}
	}
}

// A folder of another user holds the data in a folder of its own; root and the owner use the folder itself.
func TestOwnFolder(t *testing.T) {
	dir := t.TempDir()
	own := os.Geteuid()
	for uid, want := range map[int]string{own: dir, own + 1: dir + "/qkv", 0: dir} {
		if got := ownFolder(dir, uid); got != want {
			t.Errorf("for user %d of a folder of %d: %s", uid, own, got)
		}
	}
	if got := ownFolder(dir+"/none", own+1); got != dir+"/none" {
		t.Errorf("a folder that is missing: %s", got)
	}
	for _, name := range []string{"identity", "wal", "member"} { // a member's data, of qkv or of etcd: never an empty member beside it
		of := t.TempDir()
		if err := os.WriteFile(of+"/"+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := ownFolder(of, own+1); got != of {
			t.Errorf("for a user who owns not %s, in which is %s: %s", of, name, got)
		}
	}
}

// A folder knows its last starts, however many there were.
func TestLastStarts(t *testing.T) {
	f, err := openFolder(simdisk.New(1), "data", owner{"n1", "test"}, func() (origin, error) {
		return originOf("test", "t", "n1", []string{"n1"}), nil
	}, rand.NewChaCha8([32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	process := func(start int) [16]byte { return [16]byte{1, byte(start), byte(start >> 8)} }
	const kept = limits.PeerPastBytes / 8
	for start := range kept + 3 {
		if err := f.boot(process(start)); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.Past) != limits.PeerPastBytes {
		t.Fatalf("%d bytes of starts", len(f.Past))
	}
	for i := range kept {
		if want := process(i + 3); !bytes.Equal(f.Past[8*i:8*i+8], want[:8]) {
			t.Fatalf("of %d starts the %dth that is kept is %x, want %x", kept+3, i+1, f.Past[8*i:8*i+8], want[:8])
		}
	}
	again := &folder{fs: f.fs, dir: f.dir}
	if err := again.whose(); err != nil || !bytes.Equal(again.Past, f.Past) {
		t.Errorf("after %d starts the folder reads as one of %d: %v", kept+3, len(again.Past)/8, err)
	}
}

// A small file of which one half is old, as a crash between its two writes leaves it, or damaged, holds its content twice after a
// start: damage to the other half brings nothing older back.
func TestRepairSmallFiles(t *testing.T) {
	const slotHead = damage.PreludeBytes - 4 // there the content begins
	for name, corrupt := range map[string]func(file disk.File) error{
		"a crash": func(file disk.File) error {
			_, err := file.WriteAt(slotOf(slotFormat, 9, []byte("new")), 0)
			return err
		},
		"damage": func(file disk.File) error {
			_, err := file.WriteAt([]byte{0xff}, slotBytes+slotHead)
			return err
		},
	} {
		fs := simdisk.New(1)
		f := &folder{fs: fs, dir: "data"}
		if err := errors.Join(fs.MkdirAll("data"), f.write("small", []byte("old"))); err != nil {
			t.Fatal(err)
		}
		file, err := fs.OpenWritable("data/small")
		if err := errors.Join(err, corrupt(file), file.Sync(), file.Close()); err != nil {
			t.Fatal(err)
		}
		want, err := f.read("small")
		if err != nil {
			t.Fatal(err)
		}
		if damaged, err := f.repair("small"); err != nil || damaged != (name == "damage") {
			t.Errorf("%s: damaged %v, %v", name, damaged, err)
		}
		for _, at := range []int64{slotHead, slotBytes + slotHead} {
			if err := fs.Rot("data/small", at, 1); err != nil {
				t.Fatal(err)
			}
			if got, err := f.read("small"); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, and damage at %d: %q, %v, want %q", name, at, got, err, want)
			}
			if err := fs.Rot("data/small", at, 1); err != nil {
				t.Fatal(err)
			}
		}
		if damaged, err := f.repair("small"); damaged || err != nil {
			t.Errorf("%s: repaired again: %v, %v", name, damaged, err)
		}
	}
}
