package node

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
	"qkv/net/peer"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

// smallParts are limits for many snapshots with many parts.
func smallParts() limits.Tunable {
	l := limits.Defaults()
	l.SnapshotBytes, l.Index.ExtentBytes, l.Index.BaseLeast = 64<<10, 20_000, 1
	return l
}

// folderWithParts is a stopped member's folder with two snapshots, and its parts.
func folderWithParts(t *testing.T) (dir string, parts []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "d")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a, err := startAloneWith(t, dir, 64<<10, smallParts())
	if err != nil {
		t.Fatal(err)
	}
	for n, since := 0, time.Now(); n%10 > 0 || !twoList(dir, 20); n++ {
		if d := a.put(t, fmt.Sprintf("k%d", n), strings.Repeat("v", 3000)); d.Result.Err != nil {
			t.Fatal(d.Result.Err)
		}
		if n%10 == 0 {
			time.Sleep(20 * time.Millisecond) // each extent is saved with syncs, before the snapshot
		}
		if time.Since(since) > wait {
			t.Fatalf("after %d puts, there are the snapshots %q and %d parts", n, list(t, dir, "snap/*.snap"), len(list(t, dir, "snap/*.part")))
		}
	}
	a.stop(t)
	return dir, list(t, dir, "snap/*.part")
}

// twoList tells whether a folder has two snapshots that list so many parts.
func twoList(dir string, parts int) bool {
	listing, err := snapshot.List(disk.OS(), filepath.Join(dir, "snap"))
	return err == nil && len(listing.Published) == 2 && len(listing.Published[0].Parts) >= parts && len(listing.Published[1].Parts) >= parts
}

// giveFrom gives parts from another folder, and counts them.
func giveFrom(dir string, given *int) func(*environment) {
	return func(env *environment) {
		env.FetchPart = func(at []string, _ *folder, to peer.PartSink) error {
			if !slices.Equal(at, []string{"127.0.0.1:7"}) {
				return fmt.Errorf("asked at %q", at)
			}
			b, err := os.ReadFile(filepath.Join(dir, "snap", to.Name()))
			if err != nil {
				return err
			}
			*given++
			for err == nil && to.Offset() < to.Size() {
				err = to.Write(b[to.Offset():min(to.Offset()+1000, int64(len(b)))])
			}
			return err
		}
	}
}

// startBeside starts a member that knows of another one.
func startBeside(t *testing.T, dir string, changes ...func(*environment)) (*alone, error) {
	t.Helper()
	beside := func(c *Config) { c.Join = []string{"127.0.0.1:7"} }
	return startAloneAs(t, dir, 64<<10, smallParts(), beside, changes...)
}

func flipBitOf(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		b[len(b)/2] ^= 4
		err = os.WriteFile(name, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// A member that starts fetches lost and damaged parts from another one, and has everything. Damaged ones are kept aside.
func TestPartsAreRepaired(t *testing.T) {
	testlong.Skip(t)
	whole, all := folderWithParts(t)
	base := func(name string) string { return filepath.Base(name) }
	for name, x := range map[string]struct {
		harm             func(parts []string)
		repaired, damage int
	}{
		"lost":      {func(parts []string) { remove(t, parts[3], parts[13]) }, 2, 0},
		"bits":      {func(parts []string) { flipBitOf(t, parts[2]); flipBitOf(t, parts[9]); flipBitOf(t, parts[15]) }, 3, 3},
		"mixed":     {func(parts []string) { remove(t, parts[1]); flipBitOf(t, parts[0]) }, 2, 1},
		"misplaced": {func(parts []string) { remove(t, parts[4]); must(t, os.Rename(parts[5], parts[4])) }, 2, 1},
		"cut to 0":  {func(parts []string) { must(t, os.Truncate(parts[7], 0)) }, 1, 1},
		"a folder":  {func(parts []string) { remove(t, parts[8]); must(t, os.MkdirAll(filepath.Join(parts[8], "x"), 0o700)) }, 1, 1},
		"all parts": {func(parts []string) { remove(t, parts...) }, -1, 0},
		"log beside": {func(parts []string) {
			remove(t, parts[6])
			flipEntries(t, begun(t, filepath.Dir(filepath.Dir(parts[0])))[0])
		}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			must(t, os.CopyFS(dir, os.DirFS(whole)))
			parts := slices.Clone(all)
			for i := range parts {
				parts[i] = filepath.Join(dir, "snap", base(parts[i]))
			}
			snaps := list(t, dir, "snap/*.snap")
			x.harm(parts)
			given := 0
			a, err := startBeside(t, dir, giveFrom(whole, &given))
			if err != nil {
				t.Fatal(err)
			}
			told := 0
			for _, alarm := range a.m.alarms() {
				if alarm.Name == kv.CorruptAlarm && strings.Contains(alarm.Text, "was fetched again; nothing is lost") {
					told++
				}
			}
			if given == 0 || x.repaired >= 0 && given != x.repaired || told != given || len(list(t, dir, "damaged/*")) != x.damage {
				t.Errorf("%d parts were fetched, %d alarms raised, aside %q", given, told, list(t, dir, "damaged/*"))
			}
			if got := a.m.status.View().Digest(); got == 0 {
				t.Error("no state")
			}
			if d := a.put(t, "more", "after the repair"); d.Result.Err != nil {
				t.Error(d.Result.Err)
			}
			a.stop(t)
			if moved := list(t, dir, "damaged/*.snap"); len(moved) > 0 || len(snaps) != 2 {
				t.Errorf("sound snapshots were moved: %q", moved)
			}
			if a, err = startAloneWith(t, dir, 64<<10, smallParts()); err != nil {
				t.Fatalf("the next start, without others: %v", err)
			}
			a.stop(t)
		})
	}
}

// A start that fetches a part goes on with a transfer that was interrupted: what that has brought stays.
func TestRepairKeepsAnInterruptedTransfer(t *testing.T) {
	dir, parts := folderWithParts(t)
	whole := filepath.Join(t.TempDir(), "whole")
	must(t, os.CopyFS(whole, os.DirFS(dir)))
	content, err := os.ReadFile(filepath.Join("..", "snapshot", "testdata", "extent.part"))
	must(t, err)
	sha := content[len(content)-32:]
	came := filepath.Join(dir, "snap", fmt.Sprintf("%020d-%064x.part", 2, sha))
	comes := filepath.Join(dir, "snap", fmt.Sprintf("%020d-%064x.part.%064x.tmp", 1, sha, sha))
	must(t, errors.Join(os.WriteFile(came, content, 0o600), os.WriteFile(comes, content, 0o600)))
	flipBitOf(t, parts[3])
	given, rare := 0, smallParts()
	rare.SnapshotBytes = limits.Defaults().SnapshotBytes
	a, err := startAloneAs(t, dir, 64<<10, rare, func(c *Config) { c.Join = []string{"127.0.0.1:7"} }, giveFrom(whole, &given))
	must(t, err)
	defer a.stop(t)
	if _, err := os.Stat(came); err != nil || given != 1 {
		t.Errorf("%d parts were fetched, and the part of the transfer: %v", given, err)
	}
}

// A part is gone, or cannot be opened, when another member asks for it: then it is checked, and an alarm says so.
func TestPartThatCannotBeGiven(t *testing.T) {
	dir, parts := folderWithParts(t)
	a, err := startAloneWith(t, dir, 64<<10, smallParts())
	must(t, err)
	defer a.stop(t)
	remove(t, parts[3])
	if _, no := (peerHandler{a.m}).Part(peerframe.PartRequest{From: a.m.folder.Member, Name: "n1", Part: filepath.Base(parts[3])}); no == nil {
		t.Fatal("it is given")
	}
	for begun := time.Now(); !slices.ContainsFunc(a.m.alarms(), func(one kv.Alarm) bool { return strings.Contains(one.Text, filepath.Base(parts[3])) }); time.Sleep(time.Millisecond) {
		if time.Since(begun) > wait {
			t.Fatalf("nobody knows that it is gone: %+v", a.m.alarms())
		}
	}
}

// A repair that fails while the member runs leaves the part where it was, and no file of it open. It does not fail if the part is sound: the
// disk can read it again.
func TestFailedRepairLeavesNoFileOpen(t *testing.T) {
	dir, _ := folderWithParts(t)
	listing, err := snapshot.List(disk.OS(), filepath.Join(dir, "snap"))
	must(t, err)
	part := listing.Published[0].Parts[3]
	path := filepath.Join(dir, "snap", part.Name())
	nobody := errors.New("no member has it")
	a, err := startBeside(t, dir, func(env *environment) {
		env.FetchPart = func([]string, *folder, peer.PartSink) error { return nobody }
	})
	must(t, err)
	defer a.stop(t)
	for _, sound := range []bool{false, true} {
		flipBitOf(t, path) // and back
		if err = a.m.repairPart(part); errors.Is(err, nobody) == sound || (err == nil) != sound {
			t.Errorf("the repair of a part that is sound, %v, ended with %v", sound, err)
		}
		if _, err = os.Stat(path); err != nil {
			t.Errorf("the part is not back: %v", err)
		}
	}
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, name := range names {
		if to, err := os.Readlink("/proc/self/fd/" + name.Name()); err == nil && strings.HasPrefix(to, path) {
			t.Errorf("%s is still open", to)
		}
	}
}

// A part that is written again while the other members are asked for it stays: the damaged file does not come back in its place.
func TestFailedRepairLeavesANewFile(t *testing.T) {
	dir, _ := folderWithParts(t)
	listing, err := snapshot.List(disk.OS(), filepath.Join(dir, "snap"))
	must(t, err)
	part := listing.Published[0].Parts[3]
	path := filepath.Join(dir, "snap", part.Name())
	sound, err := os.ReadFile(path)
	must(t, err)
	a, err := startBeside(t, dir, func(env *environment) {
		env.FetchPart = func([]string, *folder, peer.PartSink) error {
			return errors.Join(os.WriteFile(path, sound, 0o600), errors.New("no member has it"))
		}
	})
	must(t, err)
	defer a.stop(t)
	flipBitOf(t, path)
	if err = a.m.repairPart(part); err != nil {
		t.Error(err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, sound) {
		t.Errorf("the part is not the one that was written again: %v", err)
	}
}

// What an earlier process received in full is verified before another member is asked: it is another part, and everything is fetched anew.
func TestReceivedPartIsAnother(t *testing.T) {
	whole, all := folderWithParts(t)
	sizes := map[int64]string{}
	for _, lost := range all {
		info, err := os.Stat(lost)
		must(t, err)
		other := sizes[info.Size()]
		if sizes[info.Size()] = lost; other == "" {
			continue
		}
		dir := filepath.Join(t.TempDir(), "d")
		must(t, os.CopyFS(dir, os.DirFS(whole)))
		name := filepath.Base(lost)
		remove(t, filepath.Join(dir, "snap", name))
		content, err := os.ReadFile(other)
		must(t, err)
		sha := strings.TrimSuffix(name[21:], ".part")
		must(t, os.WriteFile(filepath.Join(dir, "snap", name+"."+sha+".tmp"), content, 0o600))
		given := 0
		a, err := startBeside(t, dir, giveFrom(whole, &given))
		if err != nil || given != 1 {
			t.Fatalf("%d parts given, %v", given, err)
		}
		a.stop(t)
		return
	}
	t.Fatalf("no two of %d parts have the same size", len(all))
}

// Without another member the start ends, the snapshots stay where they are, and a later start repairs them.
func TestPartsThatNobodyGives(t *testing.T) {
	whole, all := folderWithParts(t)
	dir := filepath.Join(t.TempDir(), "d")
	must(t, os.CopyFS(dir, os.DirFS(whole)))
	// An extent that both snapshots list.
	lost := filepath.Join(dir, "snap", filepath.Base(all[1]))
	flipBitOf(t, lost)
	snaps := list(t, dir, "snap/*.snap")
	tries := 0
	refuse := func(env *environment) {
		env.FetchPart = func([]string, *folder, peer.PartSink) error { tries++; return errors.New("nobody is there") }
	}
	for n, start := range []func() (*alone, error){
		func() (*alone, error) { return startAloneWith(t, dir, 64<<10, smallParts()) },
		func() (*alone, error) { return startBeside(t, dir, refuse) },
		func() (*alone, error) { // wrong bytes
			given := 0
			other := filepath.Join(t.TempDir(), "d")
			must(t, os.CopyFS(other, os.DirFS(whole)))
			flipBitOf(t, filepath.Join(other, "snap", filepath.Base(lost)))
			return startBeside(t, dir, giveFrom(other, &given))
		},
	} {
		a, err := start()
		if err == nil {
			a.stop(t)
		}
		if !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), filepath.Base(lost)) || !strings.Contains(err.Error(), "qkv recover --accept-loss") {
			t.Fatalf("start %d: %v", n, err)
		}
		if got := list(t, dir, "snap/*.snap"); !slices.Equal(got, snaps) || len(list(t, dir, "damaged/*")) != 0 || len(list(t, dir, "snap/*.part")) != len(all) {
			t.Fatalf("start %d: there are %q, and aside %q", n, got, list(t, dir, "damaged/*"))
		}
	}
	if tries != 2 {
		t.Errorf("others were asked %d times for one part of two snapshots, and for a newer one", tries)
	}
	given := 0
	a, err := startBeside(t, dir, giveFrom(whole, &given))
	if err != nil || given != 1 {
		t.Fatalf("%d parts given, %v", given, err)
	}
	a.stop(t)
}

// servesParts is the way to the others, as far as it gives them parts.
type servesParts struct {
	nobody
	handler peer.Handler
	peers   []peer.Peer
}

func (s *servesParts) SetPeers(all []peer.Peer) { s.peers = all }

func (s *servesParts) ServeParts(h peer.Handler) error {
	s.handler = h
	return nil
}

// While a member fetches a part, it gives the others to the members that its snapshot has, and to no one else.
func TestPartsAreGivenWhileOneIsFetched(t *testing.T) {
	whole, all := folderWithParts(t)
	dir := filepath.Join(t.TempDir(), "d")
	must(t, os.CopyFS(dir, os.DirFS(whole)))
	remove(t, filepath.Join(dir, "snap", filepath.Base(all[3])))
	way, given := &servesParts{}, 0
	give := func(env *environment) {
		env.Transport = func(*folder, [16]byte) (transport, error) { return way, nil }
		giveFrom(whole, &given)(env)
		fetch := env.FetchPart
		env.FetchPart = func(at []string, f *folder, to peer.PartSink) error {
			if way.handler == nil || len(way.peers) != 1 || way.peers[0].ID != f.Member {
				t.Fatalf("the peers are %+v", way.peers)
			}
			for _, x := range []struct {
				from uint64
				part string
				says string
			}{
				{f.Member, filepath.Base(all[4]), ""},
				{f.Member, filepath.Base(all[3]), "does not have the part"},
				{77, filepath.Base(all[4]), "is not in the member list"},
			} {
				file, no := way.handler.Part(peerframe.PartRequest{From: x.from, Name: "n", Part: x.part})
				if (no == nil) != (x.says == "") || no != nil && !strings.Contains(no.Text, x.says) {
					t.Errorf("%s for %x: %v", x.part, x.from, no)
				}
				if no == nil {
					_ = file.Close()
				}
			}
			if no := way.handler.Stranger("n9", 9); no != nil {
				t.Errorf("a stranger is told %v", no)
			}
			return fetch(at, f, to)
		}
	}
	a, err := startBeside(t, dir, give)
	if err != nil || given != 1 {
		t.Fatalf("%d parts given, %v", given, err)
	}
	a.stop(t)
}

// unreadable is a disk with a file that cannot be opened, and perhaps not be moved.
type unreadable struct {
	disk.FS
	name         string
	fixed, moved bool
}

func (u *unreadable) Open(name string) (disk.File, error) {
	if name == u.name && !u.moved {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EIO}
	}
	return u.FS.Open(name)
}

func (u *unreadable) Rename(from, to string) error {
	switch {
	case from == u.name && u.fixed:
		return &fs.PathError{Op: "rename", Path: from, Err: syscall.EPERM}
	case from == u.name:
		u.moved = true
	}
	return u.FS.Rename(from, to)
}

// A part that the disk cannot read is fetched like a damaged one. It stays in its place if no member gives it: the next start may read it.
// If it cannot be moved away, the error says what helps.
func TestUnreadablePart(t *testing.T) {
	whole, all := folderWithParts(t)
	given := 0
	for name, x := range map[string]struct {
		fixed bool
		give  func(*environment)
		says  string
	}{
		"given": {give: giveFrom(whole, &given)},
		"alone": {give: func(*environment) {}, says: "could not be fetched from another member"},
		"stuck": {fixed: true, give: giveFrom(whole, &given), says: "move it away by hand"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			must(t, os.CopyFS(dir, os.DirFS(whole)))
			part := filepath.Join(dir, "snap", filepath.Base(all[3]))
			broken := func(env *environment) { env.FS = &unreadable{FS: env.FS, name: part, fixed: x.fixed} }
			a, err := startBeside(t, dir, broken, x.give)
			aside := len(list(t, dir, "damaged/*"))
			if x.says == "" {
				if err != nil || aside != 1 {
					t.Fatalf("%d files aside: %v", aside, err)
				}
				a.stop(t)
				return
			}
			if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), x.says) || !strings.Contains(err.Error(), filepath.Base(part)) || aside != 0 {
				t.Fatalf("%d files aside: %v", aside, err)
			}
			if a, err = startAloneWith(t, dir, 64<<10, smallParts()); err != nil {
				t.Fatalf("the disk can read it again: %v", err)
			}
			a.stop(t)
		})
	}
}

// A disk that is full while a part is fetched is named, and not the other members.
func TestFullDiskWhileAPartComes(t *testing.T) {
	whole, all := folderWithParts(t)
	dir := filepath.Join(t.TempDir(), "d")
	must(t, os.CopyFS(dir, os.DirFS(whole)))
	remove(t, filepath.Join(dir, "snap", filepath.Base(all[1])))
	given := 0
	_, err := startBeside(t, dir, giveFrom(whole, &given), func(env *environment) { env.FS = noRoom{env.FS} })
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "Free space on this member's disk") || strings.Contains(err.Error(), "another member is reachable") {
		t.Error(err)
	}
	a, err := startBeside(t, dir, giveFrom(whole, &given))
	must(t, err)
	a.stop(t)
}

// noRoom is a disk without space.
type noRoom struct{ disk.FS }

func (noRoom) Free(string) (int64, error) { return 0, nil }

// A stray folder with the name of a part that no snapshot lists cannot be removed: the error says what helps.
func TestStrayFolderOfAPartsName(t *testing.T) {
	dir, all := folderWithParts(t)
	stray := filepath.Join(dir, "snap", "00000000000000000777"+filepath.Base(all[0])[20:])
	must(t, os.MkdirAll(filepath.Join(stray, "x"), 0o700))
	if _, err := startAloneWith(t, dir, 64<<10, smallParts()); err == nil || !strings.Contains(err.Error(), stray) || !strings.Contains(err.Error(), "move it away by hand") {
		t.Errorf("%v", err)
	}
	must(t, os.RemoveAll(stray))
	a, err := startAloneWith(t, dir, 64<<10, smallParts())
	must(t, err)
	a.stop(t)
}

// An older snapshot that needs no lost part is enough, with the log behind it; the newer one is moved aside then.
func TestOlderSnapshotWithoutTheLostPart(t *testing.T) {
	dir, all := folderWithParts(t)
	snaps := list(t, dir, "snap/*.snap")
	newest := listedOnlyBy(t, dir, snaps[1], snaps[0])
	if newest == "" {
		t.Skipf("both snapshots list the same of %d parts", len(all))
	}
	remove(t, newest)
	a, err := startAloneWith(t, dir, 64<<10, smallParts())
	if err != nil {
		t.Fatal(err)
	}
	alarms := a.m.alarms()
	if len(list(t, dir, "damaged/*.snap")) != 1 || !slices.ContainsFunc(alarms, func(w kv.Alarm) bool { return strings.Contains(w.Text, "could not be fetched from another member") }) {
		t.Errorf("aside: %q, alarms %+v", list(t, dir, "damaged/*"), alarms)
	}
	a.stop(t)
}

// listedOnlyBy returns a part that one snapshot lists and the other one does not.
func listedOnlyBy(t *testing.T, dir, one, other string) string {
	t.Helper()
	listing, err := snapshot.List(disk.OS(), filepath.Join(dir, "snap"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string][]snapshot.Part{}
	for _, info := range listing.Published {
		listed[info.Path] = info.Parts
	}
	for _, p := range listed[one] {
		if !slices.Contains(listed[other], p) {
			return filepath.Join(dir, "snap", p.Name())
		}
	}
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A single member has a damaged part. Its recovery names the keys that are lost before anything is changed, if that loss was accepted, and
// serves the others.
func TestRecoverWithoutAPart(t *testing.T) {
	testlong.Skip(t)
	dir, parts := folderWithParts(t)
	flipBitOf(t, parts[len(parts)/2])
	recoverWith := func(accept bool, agree func(Recoverable) error) error {
		c := RecoverConfig{DataDir: dir, Logger: slog.New(slog.DiscardHandler), AcceptLoss: accept, Agree: agree}
		_, err := recoverOn(t.Context(), c, disk.OS(), rand.Reader, smallParts())
		return err
	}
	var loss *Loss
	changesNothing := func(where string) {
		t.Helper()
		files := func() []string { return append(list(t, dir, "snap/*"), list(t, dir, "damaged/*")...) }
		before := files()
		unasked := func(Recoverable) error { t.Error("it would go on"); return nil }
		if err := recoverWith(false, unasked); err == nil || !strings.Contains(err.Error(), "qkv recover --accept-loss") {
			t.Fatalf("%s, a recovery that accepts no loss says %v", where, err)
		}
		no := errors.New("no")
		if err := recoverWith(true, func(from Recoverable) error { loss = from.Loss; return no }); !errors.Is(err, no) || loss == nil {
			t.Fatalf("%s: %v, %+v", where, err, loss)
		}
		if after := files(); !slices.Equal(before, after) {
			t.Errorf("%s: before there are %q, and then %q", where, before, after)
		}
	}
	changesNothing("with the part in its place")
	if _, err := startAloneWith(t, dir, 64<<10, smallParts()); err == nil || !strings.Contains(err.Error(), "qkv recover --accept-loss") {
		t.Fatalf("a start says %v", err)
	}
	changesNothing("after a start that failed")
	if len(loss.Places) != 1 || len(loss.Keys) == 0 || loss.Places[0].Records != int64(len(loss.Keys)) || loss.Had-loss.Has != int64(len(loss.Keys)) {
		t.Fatalf("%+v", loss)
	}
	must(t, recoverWith(true, nil))
	a, err := startAloneWith(t, dir, 64<<10, smallParts())
	must(t, err)
	defer a.stop(t)
	if d := a.put(t, "more", "after the recovery"); d.Result.Err != nil {
		t.Fatal(d.Result.Err)
	}
	lost := map[string]bool{}
	for _, one := range loss.Keys {
		lost[string(one.Key)] = true
	}
	v := a.m.status.View()
	n := 0
	for ; n < int(loss.Had); n++ {
		key := fmt.Sprintf("k%d", n)
		if _, found, err := v.Get([]byte(key), 0); err != nil || found == lost[key] {
			t.Errorf("%s: found is %v, lost is %v, %v", key, found, lost[key], err)
		}
	}
	if v.Keys() < int64(n-len(lost)) {
		t.Errorf("there are %d keys", v.Keys())
	}
}

// A damaged part that no other member gives stays in its place, also after a power loss.
func TestPartThatNobodyGivesStays(t *testing.T) {
	part := snapshot.Part{Number: 1, From: 2, To: 3, Bytes: 100}
	for variant := range simdisk.Variants {
		fs, status := simdisk.New(1), &actor.Status{}
		must(t, fs.MkdirAll("d/snap"))
		file, err := fs.Create("d/snap/" + part.Name())
		must(t, err)
		must(t, errors.Join(file.Sync(), file.Close(), fs.SyncDir("d/snap"), fs.SyncDir("d"), fs.SyncDir(".")))
		actor.NewApplier(actor.ApplierConfig{State: index.NewState(limits.Defaults().Index), Status: status})
		m := &member{folder: &folder{fs: fs, dir: "d"}, status: status}
		m.storage.folder = m.folder
		m.storage.repairs.fetch = func(index.Members, peer.PartSink) error { return errors.New("nobody is there") }
		err = m.repairPart(part)
		fs.Crash(variant)
		if _, gone := fs.Open("d/snap/" + part.Name()); err == nil || gone != nil {
			t.Errorf("power loss %d: %v, after %v", variant, gone, err)
		}
	}
}

// If the file of the newest snapshot is damaged, too, the older one is recovered, with the log behind it.
func TestRecoverTheOlderSnapshotWithoutAPart(t *testing.T) {
	dir, _ := folderWithParts(t)
	listing, err := snapshot.List(disk.OS(), filepath.Join(dir, "snap"))
	must(t, err)
	newer, older := listing.Published[0], listing.Published[1]
	flipBitOf(t, newer.Path)
	flipBitOf(t, filepath.Join(dir, "snap", older.Parts[0].Name()))
	var from Recoverable
	c := RecoverConfig{DataDir: dir, Logger: slog.New(slog.DiscardHandler), AcceptLoss: true, Agree: func(r Recoverable) error { from = r; return nil }}
	if _, err := recoverOn(t.Context(), c, disk.OS(), rand.Reader, smallParts()); err != nil {
		t.Fatal(err)
	}
	if from.Loss == nil || from.Loss.Revision >= from.Revision || len(from.Loss.Places) != 1 || from.Entry < newer.Index {
		t.Errorf("%+v, %+v", from, from.Loss)
	}
}

// The description of a member's newest snapshot is not made of two members' answers, if the first one breaks.
func TestNewestSnapshotOfOneMember(t *testing.T) {
	first, second := peerframe.Newest{Index: 7, Term: 1, Size: 100, SHA: [32]byte{1}}, peerframe.Newest{Index: 9, Term: 2, Size: 200, SHA: [32]byte{2}}
	sink := newestSink{usable: func(*peerframe.Newest) error { return nil }}
	must(t, sink.Write(first.Append(nil)[:20]))
	must(t, sink.Write(second.Append(nil)[sink.Offset():]))
	if sink.offer != second || sink.Offset() != sink.Size() {
		t.Errorf("it offers %+v", sink.offer)
	}
}

// Only a snapshot that is behind the end of the log, in raft's order, may take its place: the log never goes back.
func TestNewerStateFollowsTheLog(t *testing.T) {
	found := &log.Recovered{Last: 100, LastTerm: 5, HardState: log.HardState{Commit: 80}}
	for at, want := range map[[2]uint64]bool{{5, 101}: true, {5, 100}: false, {5, 99}: false, {4, 200}: false, {6, 81}: true, {6, 80}: false, {6, 101}: true} {
		if got := follows(found, snapshot.Info{Meta: snapshot.Meta{Term: at[0], Index: at[1]}}); got != want {
			t.Errorf("term %d, entry %d: %v", at[0], at[1], got)
		}
	}
}
