package backup

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
	"qkv/snapshot"
	"qkv/snapshot/backup/store"
)

// A folder that is no backup, or of another cluster is refused in words that say what to do, and stays as it is.
func TestFolderRefused(t *testing.T) {
	h, on := small(t)
	before := inMemory(t, on)
	_, err := Write(background, place(on), true, Cluster{ID: 7, Name: "staging"}, 1)
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "is the backup of test (000000000000c1a5), and this cluster is staging (0000000000000007): give another place") {
		t.Errorf("the backup of another cluster: %v", err)
	}
	for name, b := range inMemory(t, on).files {
		if !bytes.Equal(before.files[name], b) {
			t.Errorf("%s was changed", name)
		}
	}
	home := store.OpenFolder(on, "to/home")
	must(t, on.MkdirAll("to/home/letters"))
	if _, err := Write(background, home, true, testOf, 1); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "to/home holds letters/: give an empty place") {
		t.Errorf("a folder with other files: %v", err)
	}
	for _, path := range []string{"to/home", "to/nothing"} {
		if _, err := Open(background, store.OpenFolder(on, path)); !errors.Is(err, ErrNone) {
			t.Errorf("%s is read as a backup: %v", path, err)
		}
	}
	must(t, on.MkdirAll("to/disk/lost+found"))
	w, err := Write(background, store.OpenFolder(on, "to/disk"), true, testOf, 1)
	must(t, err) // in a new file system
	must(t, w.Close())
	w = open(t, on)
	must(t, w.Append(background, h.entries)) // all are there
	must(t, w.Close())
	for _, call := range []func() error{func() error { return w.Append(background, nil) }, func() error { _, err := w.Base(h.save(), h.part); return err }} {
		if err := call(); !errors.Is(err, errClosed) {
			t.Errorf("used after its end: %v", err)
		}
	}
}

// A recipient that was forgotten once discloses nothing: an encrypted backup goes on encrypted, or not at all. It may begin clear, may
// consist of a base alone, and may have a newer base than its log.
func TestEncryptedBackupStaysEncrypted(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	h, log := small(t) // a clear one
	newer := onDisk(t, inMemory(t, log))
	h.grow(2)
	w := open(t, newer, key.Recipient())
	must(t, errors.Join(h.base(w), w.Close()))
	w = open(t, log, key.Recipient())
	must(t, errors.Join(w.Append(background, h.entries), w.Close()))
	base := newFolder(t)
	w = open(t, base, key.Recipient())
	must(t, errors.Join(h.base(w), w.Close()))
	for what, on := range map[string]disk.FS{"an encrypted change": log, "an encrypted base": base, "a newer encrypted base": newer} {
		if w, err := Write(background, place(on), true, testOf, 1); !errors.Is(err, ErrClear) || !strings.Contains(err.Error(), "no recipient is given") {
			t.Errorf("clear content behind %s: %v", what, err)
			if err == nil {
				must(t, w.Close())
			}
		}
	}
}

// The newest entry of a backup may be a base's, behind the end of its log. The cluster must have that one.
func TestContinuesBehindANewerBase(t *testing.T) {
	h, on := small(t)
	w := open(t, on)
	must(t, w.Append(background, h.from(1)))
	h.grow(6)
	must(t, h.base(w))
	newest := h.entries[len(h.entries)-1]
	must(t, w.Continues(newest))
	newest.Term++
	if err := w.Continues(newest); !errors.Is(err, ErrForeign) {
		t.Errorf("another entry %d: %v", newest.Index, err)
	}
	must(t, w.Close())
}

// The folder of a backup whose disk was unmounted stays as it is: no second backup begins on the disk below.
func TestVanishedFolder(t *testing.T) {
	h, on := small(t)
	must(t, on.MkdirAll("to/below"))
	must(t, on.MkdirAll("to/marked"))
	f, err := on.Create("to/marked/NOT-MOUNTED")
	must(t, err)
	must(t, f.Close())
	for _, dir := range []string{"to/below", "to/nothing", "to/marked"} {
		if _, err := Write(background, store.OpenFolder(on, dir), false, testOf, 1); !errors.Is(err, iofs.ErrNotExist) || errors.Is(err, ErrNone) {
			t.Errorf("%s is continued as a backup: %v", dir, err)
		}
		if names, _ := on.List(dir); len(names) > 0 && dir != "to/marked" || len(names) > 1 {
			t.Errorf("%s holds %v after it was refused", dir, names)
		}
	}
	w, err := Write(background, place(on), false, testOf, 1)
	must(t, err)
	must(t, w.There(background))
	must(t, on.Rename("to/b", "to/unmounted"))
	must(t, on.MkdirAll("to/b"))
	if err := w.There(background); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("it is there after its disk was unmounted: %v", err)
	}
	at := uint64(len(h.entries))
	h.grow(1)
	if err := w.Append(background, h.from(at)); !errors.Is(err, iofs.ErrNotExist) || len(namesIn(t, on, "to/b")) > 0 {
		t.Errorf("it is written on the disk below: %v", err)
	}
	must(t, w.Close())
}

// Entries that do not continue the backup are refused, until a base has what is between.
func TestGap(t *testing.T) {
	h, on := small(t)
	last := uint64(len(h.entries))
	h.grow(6)
	w := open(t, on)
	if err := w.Append(background, h.from(last+1)); !errors.Is(err, ErrGap) {
		t.Fatalf("entries behind a gap: %v", err)
	}
	for _, wrong := range [][]Entry{
		{h.entries[last], h.entries[last]},
		{{Index: last + 1, Term: h.entries[last-1].Term - 1}},
		{{Index: last + 1, Term: 99, Envelope: make([]byte, limits.EnvelopeBytes+1)}},
	} {
		if err := w.Append(background, wrong); err == nil || errors.Is(err, ErrGap) {
			t.Fatalf("wrong entries: %v", err)
		}
	}
	must(t, h.base(w))
	then := uint64(len(h.entries))
	h.grow(3)
	must(t, w.Append(background, h.from(then)))
	must(t, w.Close())
	got, err := restore(on, At{})
	must(t, err)
	h.same(got, uint64(len(h.entries)))
	in := h.moments[then-1].wall // between the end of the first part and the base
	if in == h.moments[last].wall || in == h.moments[then].wall {
		t.Fatal("the example has no time in the gap")
	}
	if _, err := restore(on, At{Wall: in}); !errors.Is(err, ErrGap) || !strings.Contains(err.Error(), fmt.Sprintf("entry %d is missing", last+1)) {
		t.Errorf("a time in the gap: %v", err)
	}
	got, err = restore(on, At{Wall: in, AcceptLoss: true})
	must(t, err)
	if h.same(got, last); !errors.Is(got.Lost, ErrGap) {
		t.Errorf("what was lost: %v", got.Lost)
	}
	got, err = restore(on, At{Wall: h.moments[last].wall - 1})
	must(t, err)
	h.same(got, h.at(h.moments[last].wall-1))
	rd := reading(t, on)
	gaps := 0
	must(t, rd.Verify(testLimits(), nil, func(v *Verified) {
		if v.Gap != nil {
			gaps++
		}
	}))
	if gaps != 1 {
		t.Errorf("%d gaps were found", gaps)
	}
	reaches, err := rd.Reaches()
	must(t, err)
	for i, want := range []uint64{last, last, uint64(len(h.entries))} {
		if reach := reaches[i]; reach.Index != want || reach.Wall != h.moments[want].wall || reach.Fault != nil {
			t.Errorf("base %d reaches entry %d at %d, %v", i, reach.Index, reach.Wall, err)
		}
	}
}

// A moment that the backup does not reach is refused, and says what it has.
func TestRange(t *testing.T) {
	h, on := small(t)
	rd := reading(t, on)
	first, last := rd.Bases[0], h.moments[len(h.moments)-1]
	for at, want := range map[At]string{
		{Wall: first.Wall - 1}:             "it begins at " + timeOf(first.Wall),
		{Revision: first.Revision - 1}:     fmt.Sprintf("it begins with revision %d", first.Revision),
		{Revision: last.revision + 1}:      fmt.Sprintf("it ends with revision %d", last.revision),
		{Revision: 1 << 62, Wall: 1 << 62}: "it ends with revision",
	} {
		if _, err := restore(on, at); !errors.Is(err, ErrRange) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", at, err)
		}
	}
	got, err := restore(on, At{Wall: 1 << 62})
	must(t, err)
	if h.same(got, uint64(len(h.entries))); !got.Ends {
		t.Error("it is not said that the backup ends")
	}
}

// counting counts what is read of a source.
type counting struct {
	Source
	*counter
}

type counter struct {
	bytes int64
	fails int64 // after that many bytes; 0: never
}

var errAway = errors.New("the member is away")

func (c counting) ReadAt(p []byte, off int64) (int, error) {
	if c.fails > 0 && c.bytes >= c.fails {
		return 0, errAway
	}
	n, err := c.Source.ReadAt(p, off)
	c.bytes += int64(n)
	return n, err
}

// large is a history whose snapshot has many parts, one of them with two chunks.
func large(t *testing.T) *history {
	h := newHistory(t, 9)
	h.large = 100_000
	var commands [][]byte
	for i := range 30 {
		b := make([]byte, 120_000)
		if i == 5 {
			b = make([]byte, 1_200_000)
		}
		for k := range b {
			b[k] = byte(h.random.Uint32())
		}
		commands = append(commands, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "large %d", i), Value: b}).Bytes)
	}
	for _, c := range commands {
		h.add(false, c)
	}
	return h
}

// announced is a source of another snapshot than its name and identity say.
type announced struct {
	Source
	sha [32]byte
}

func (a announced) SHA() [32]byte { return a.sha }

// An intact snapshot that is not the announced one is no base, and its copy is not continued.
func TestCopyOfAnotherSnapshot(t *testing.T) {
	h, on := newHistory(t, 7), newFolder(t)
	h.grow(10)
	w := open(t, on)
	r := h.save()
	defer r.Close()
	if err := h.copyBase(w, announced{r, [32]byte{7}}, 1<<16); !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), "was announced") {
		t.Errorf("%v", err)
	}
	if names := namesIn(t, on, "to/b/"+filesDir); len(w.Bases()) > 0 || len(names) > 0 {
		t.Errorf("it is there as %+v, %q", w.Bases(), names)
	}
	must(t, h.copyBase(w, r, 1<<16))
	must(t, w.Close())
}

// An interrupted copy goes on with the files that are not complete. What is there in another form is copied again.
func TestResume(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	clear, encrypted := []age.Recipient(nil), []age.Recipient{key.Recipient()}
	for what, to := range map[string][2][]age.Recipient{"clear": {clear, clear}, "encrypted": {encrypted, encrypted}, "encrypted later": {clear, encrypted}} {
		h, on := large(t), newFolder(t)
		from := counting{h.save(), &counter{fails: 2_500_000}}
		w := open(t, on, to[0]...)
		if err := h.copyBase(w, from, 1<<16); !errors.Is(err, errAway) {
			t.Fatalf("%s: %v", what, err)
		}
		must(t, w.Close())
		on.Kill()
		again := counting{from.Source, &counter{}}
		w = open(t, on, to[1]...)
		must(t, h.copyBase(w, again, 1<<16))
		base := w.Bases()[0]
		if all, _ := base.Bytes(); what == "encrypted later" != (again.bytes >= all) || what != "encrypted later" && again.bytes > all-2_000_000 {
			t.Errorf("%s: %d bytes were read before, and %d of %d afterwards", what, from.bytes, again.bytes, all)
		}
		if base.Index != uint64(len(h.entries)) || len(base.Files) < 30 {
			t.Errorf("%s: %+v was published", what, base)
		}
		if _, err := w.Base(again, h.part); !errors.Is(err, iofs.ErrExist) {
			t.Errorf("%s: the same base again: %v", what, err)
		}
		must(t, w.Close())
		rd := reading(t, on, key)
		must(t, rd.Dump(io.Discard, DumpOptions{}))
		got, err := rd.Restore(At{}, testLimits(), nil)
		must(t, err)
		h.same(got, uint64(len(h.entries)))
		if _, encrypted, err := rd.Bytes(&base); err != nil || encrypted != (what != "clear") {
			t.Errorf("%s: encrypted: %v, %v", what, encrypted, err)
		}
	}
}

// Two bases share the parts that both list: a part is copied once. It stays until no base lists it.
func TestPartsAreCopiedOnce(t *testing.T) {
	h, on := large(t), newFolder(t)
	w := open(t, on)
	must(t, h.base(w))
	h.grow(3)
	second := counting{h.save(), &counter{}}
	must(t, h.copyBase(w, second, 1<<16))
	all := w.Bases()
	if content, _ := all[1].Bytes(); second.bytes > content/10 {
		t.Errorf("%d bytes are read for the second base of %d", second.bytes, content)
	}
	_, err := removeOld(w, 0)
	must(t, err)
	if left := w.Bases(); len(left) != 1 || whole(t, on, &left[0]) != nil {
		t.Errorf("%+v are left", left)
	}
	if names := namesIn(t, on, "to/b/parts"); len(names) != len(all[1].Files) {
		t.Errorf("%d files are left for a base of %d", len(names), len(all[1].Files))
	}
	must(t, w.Close())
}

// A disk that is too small for the parts that are missing is told before they are copied.
func TestCopyDoesNotFit(t *testing.T) {
	h, on := large(t), newFolder(t)
	w := open(t, on)
	on.SetCapacity(on.Used() + 1<<18)
	if err := h.base(w); err == nil || !strings.Contains(err.Error(), "free: make room on to/b") {
		t.Errorf("no room: %v", err)
	}
	must(t, w.Close())
}

// partOf is the published name of a part of a snapshot.
func partOf(t *testing.T, from Source, i int) string {
	t.Helper()
	return from.(*snapshot.Reader).Meta().Parts[i].Name()
}

// A snapshot that is damaged at its source never becomes a base, and the damaged file is not in the backup.
func TestSourceDamaged(t *testing.T) {
	for _, part := range []bool{false, true} {
		h, on := large(t), newFolder(t)
		from, left := h.save(), 0
		name := from.Name()
		if part {
			name, left = partOf(t, from, 3), 4
		}
		must(t, h.member.Rot("snap/"+name, 300, 2))
		w := open(t, on)
		if err := h.copyBase(w, from, 1<<16); !errors.Is(err, damage.ErrDamaged) {
			t.Fatalf("a damaged snapshot: %v", err)
		}
		if names := namesIn(t, on, "to/b/parts"); len(names) != left || len(w.Bases()) != 0 {
			t.Errorf("it left %q", names)
		}
		must(t, h.member.Rot("snap/"+name, 300, 2))
		must(t, h.copyBase(w, from, 1<<16))
		must(t, w.Close())
	}
}

// What is read back from the medium is not what was written: the object does not appear, and no base is published.
func TestReadBack(t *testing.T) {
	for _, cut := range []bool{false, true} {
		h, on := large(t), newFolder(t)
		from := h.save()
		w := open(t, on)
		largest := slices.MaxFunc(from.Meta().Parts, func(a, b snapshot.Part) int { return cmp.Compare(a.Bytes, b.Bytes) })
		name := fmt.Sprintf("to/b/parts/%x-", largest.SHA)
		on.SetHook(func(op simdisk.Op, written string) {
			if op != simdisk.OpDropCache || !strings.HasPrefix(written, name) {
				return
			}
			on.SetHook(nil)
			if !cut {
				must(t, on.Rot(written, 1_150_000, 1))
				return
			}
			f, err := on.OpenWritable(written)
			must(t, err)
			must(t, errors.Join(f.Truncate(1_100_000), f.Close()))
		})
		if err := h.copyBase(w, from, 1<<16); err == nil || !strings.Contains(err.Error(), name) || len(w.Bases()) != 0 {
			t.Errorf("cut: %v: a file that the medium has damaged: %v", cut, err)
		}
		if all := files(t, on); slices.ContainsFunc(all, func(one string) bool { return strings.HasPrefix(one, name) || strings.Contains(one, ".tmp") }) {
			t.Errorf("cut: %v: the objects %q are there", cut, all)
		}
		must(t, h.copyBase(w, from, 1<<16))
		base := w.Bases()[0]
		must(t, errors.Join(w.Close(), whole(t, on, &base)))
	}
}

// whole returns why a base is not whole, byte for byte.
func whole(t *testing.T, on disk.FS, b *Base) error {
	t.Helper()
	rd := reading(t, on)
	_, _, err := rd.Bytes(b)
	return errors.Join(err, rd.Dump(io.Discard, DumpOptions{}))
}

// A Writer that finds the newest object damaged goes on behind the one before it. What the damaged one had is appended again, also if that
// makes an object of the same name.
func TestGoesOnBehindDamage(t *testing.T) {
	h, on := small(t)
	m := inMemory(t, on)
	name, all := newestLog(m), logs(t, place(on))
	of, end := all[len(all)-1], uint64(len(h.entries))
	h.grow(4)
	for at := 0; at < len(m.files[name]); at += 13 {
		for _, length := range []uint64{of.last - of.first + 1, 1, 6} {
			bad := bytes.Clone(m.files[name])
			bad[at] ^= 0x55
			if at%2 == 1 {
				bad = bad[:at]
			}
			on := onDisk(t, m.with(name, bad))
			w := open(t, on)
			if last, term := w.Last(); last != of.first-1 || term != h.entries[last-1].Term || w.Newest().UnixNano() != h.moments[last].wall {
				t.Fatalf("the log ends at entry %d of term %d, and the damaged object begins with entry %d", last, term, of.first)
			}
			must(t, w.Append(background, h.entries[of.first-1:of.first-1+length]))
			must(t, w.Append(background, h.entries))
			must(t, w.Close())
			got, err := restore(on, At{})
			must(t, err)
			h.same(got, uint64(len(h.entries)))
			must(t, reading(t, on).Verify(testLimits(), nil, func(*Verified) {}))
		}
	}
	if of.last != end || of.first == end {
		t.Errorf("the example has the object %+v, and ends at entry %d", of, end)
	}
}

// A base is copied again whose list is damaged, or was removed. Its own files are stored again, since the damaged list may have condemned them.
func TestListIsMadeAgain(t *testing.T) {
	h, on := small(t)
	m := inMemory(t, on)
	base := reading(t, on).Bases[1]
	name := "to/b/" + listName(2)
	bad := bytes.Clone(m.files[name])
	bad[len(bad)/2] ^= 1
	for what, b := range map[string][]byte{"damaged": bad, "cut": bad[:20], "missing": nil} {
		on := onDisk(t, m.with(name, b))
		w := open(t, on)
		from, err := openSnapshot(h, base.Index)
		must(t, err)
		must(t, errors.Join(h.copyBase(w, from, 1<<16), from.Close(), w.Close()))
		rd := reading(t, on)
		if len(rd.Bases) != 2 || (len(rd.Faults) > 0) != (b != nil) {
			t.Errorf("%s: %d bases, %v", what, len(rd.Bases), rd.Faults)
		}
		for _, f := range rd.Bases[1].Files {
			if want := w.number; f.Number != 1 && f.Number != want {
				t.Errorf("%s: the base lists %s", what, fileName(f))
			}
		}
	}
}

// Objects of the log have at most their size, a large entry has one of its own, and all of it is restored.
func TestObjectsOfTheLog(t *testing.T) {
	testlong.Skip(t)
	h, on := large(t), newFolder(t)
	w := open(t, on)
	must(t, h.base(w))
	from := uint64(len(h.entries))
	for i := range 40 {
		b := make([]byte, 1_000_000)
		for k := 0; k < len(b); k += 8 {
			b[k] = byte(h.random.Uint32())
		}
		h.add(false, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "k%d", i%3), Value: b}).Bytes)
	}
	must(t, w.Append(background, h.from(from)))
	must(t, w.Close())
	all := logs(t, place(on))
	if len(all) != 5 {
		t.Errorf("40 MB are in %+v", all)
	}
	stored := 0
	for _, one := range files(t, on) {
		n := len(slurp(t, on, one))
		if stored += n; strings.Contains(one, "/log/") && n > limits.BackupObjectBytes/2 {
			t.Errorf("%s has %d bytes", one, n)
		}
	}
	read := int64(0)
	rd := reading(t, on)
	got, err := rd.Restore(At{}, testLimits(), func(done, total int64) {
		if done < read || total < done {
			t.Errorf("%d of %d bytes after %d", done, total, read)
		}
		read = done
	})
	must(t, err)
	h.same(got, uint64(len(h.entries)))
	if read < int64(stored)-2*backupProgress {
		t.Errorf("%d bytes of %d were reported", read, stored)
	}
}

// Retention leaves everything since its time, at least one whole base, and nothing that is not needed.
func TestRetain(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	h.grow(10)
	w := open(t, on)
	var bases []uint64
	for range 5 {
		must(t, h.base(w))
		bases = append(bases, uint64(len(h.entries)))
		h.grow(5)
		must(t, w.Append(background, h.from(bases[0])))
	}
	now := time.Unix(0, h.moments[len(h.moments)-1].wall)
	if removed, err := removeOld(w, now.Sub(time.Unix(0, h.moments[bases[0]].wall))); err != nil || len(w.Bases()) != 5 {
		t.Errorf("since the oldest base, %q were removed, %v", removed, err)
	}
	for i, at := range bases {
		wall := h.moments[at].wall + 1 // right after the base
		_, err := removeOld(w, now.Sub(time.Unix(0, wall)))
		must(t, err)
		got, err := restore(on, At{Wall: wall})
		must(t, err)
		h.same(got, h.at(wall))
		got, err = restore(on, At{})
		must(t, err)
		h.same(got, uint64(len(h.entries)))
		names, err := on.List("to/b/parts")
		must(t, err)
		files := map[File]bool{}
		for _, b := range w.Bases() {
			for _, f := range b.Files {
				files[f] = true
			}
		}
		if len(names) != len(files) || len(w.Bases()) != len(bases)-i {
			t.Errorf("with everything since base %d, %d bases and %d files stay", i, len(w.Bases()), len(names))
		}
		for _, of := range logs(t, place(on)) {
			if of.last <= at {
				t.Errorf("with everything since base %d, of entry %d, the object %s stays", i, at, of.name())
			}
		}
	}
	removed, err := removeOld(w, 0)
	if err != nil || len(removed) != 0 || len(w.Bases()) != 1 {
		t.Errorf("the last base: %q were removed, %v", removed, err)
	}
	must(t, w.Close())
}

// A base whose file is damaged does not count as the whole one that stays.
func TestRetainDamaged(t *testing.T) {
	h, on := small(t)
	rd := reading(t, on)
	newest := rd.Bases[1]
	name := "to/b/" + fileName(newest.Files[0])
	f, err := on.OpenWritable(name)
	must(t, err)
	must(t, errors.Join(f.Truncate(200), f.Close()))
	w := open(t, on)
	removed, err := removeOld(w, 0)
	must(t, err)
	must(t, w.Close())
	if len(w.Bases()) != 2 {
		t.Errorf("%q were removed", removed)
	}
	got, err := restore(on, At{})
	must(t, err)
	h.same(got, uint64(len(h.entries)))
}

// The log has to lead to the state of each base that it passes.
func TestDigestsOnTheWay(t *testing.T) {
	h, on := small(t)
	m := inMemory(t, on)
	rd := reading(t, on)
	second := rd.Bases[1]
	second.Digest++
	forged := newFolder(t)
	must(t, open(t, forged).Close())
	name := forge(t, forged, 3, testCluster, rd.Bases[0], second)
	bad := m.with(name, slurp(t, forged, name))
	for _, at := range []At{{}, {AcceptLoss: true}} {
		if got, err := restore(bad, at); !errors.Is(err, errDiffers) {
			t.Errorf("%+v: %+v, %v", at, got, err)
		}
	}
	named(t, bad, name, "a base of another state")
	got, err := restore(bad, At{Wall: second.Wall - 1})
	must(t, err)
	h.same(got, h.at(second.Wall-1))
}

// The files of an encrypted backup: writers with the cluster's key and the same recipients find each other's, whatever the order. Others copy
// their own, and each identity restores its base. No name or list tells what is in a file.
func TestNamesOfEncryptedFiles(t *testing.T) {
	testlong.Skip(t)
	one, err := age.GenerateX25519Identity()
	must(t, err)
	two, err := age.GenerateX25519Identity()
	must(t, err)
	h, on := large(t), newFolder(t)
	stored := func() (n int) {
		for name, content := range inMemory(t, on).files {
			if strings.Contains(name, "/"+filesDir+"/") {
				n += len(content)
			}
		}
		return n
	}
	copied := func(names string, to ...age.Recipient) int {
		t.Helper()
		before := stored()
		w := open(t, on, to...)
		w.NameBy([]byte(names))
		h.grow(2)
		r := h.save()
		defer r.Close()
		c, err := w.Base(r, h.part)
		for done := false; err == nil && !done; {
			done, err = c.Step(background, 1<<20)
		}
		must(t, errors.Join(err, w.Append(background, h.from(w.end.index)), w.Close()))
		for _, p := range r.Meta().Parts {
			sha := fmt.Sprintf("%x", p.SHA)
			for name, content := range inMemory(t, on).files {
				if strings.Contains(name, sha) || bytes.Contains(content, p.SHA[:]) {
					t.Errorf("%s tells the identity of a part", name)
				}
			}
		}
		return stored() - before
	}
	whole := copied("key", one.Recipient(), two.Recipient())
	if n := copied("key", two.Recipient(), one.Recipient()); n > whole/10 {
		t.Errorf("the second writer copies %d of %d bytes", n, whole)
	}
	if n := copied("other", two.Recipient(), one.Recipient()); n < whole {
		t.Errorf("a writer with another key finds files: it copies %d of %d bytes", n, whole)
	}
	if n := copied("key", two.Recipient()); n < whole {
		t.Errorf("a writer with another recipient uses the files of others: it copies %d of %d bytes", n, whole)
	}
	rd := reading(t, on, two)
	got, err := rd.Restore(At{}, testLimits(), nil)
	if err != nil || got.State.View().Digest() != h.state.View().Digest() {
		t.Errorf("restored with the new identity: %+v, %v", got, err)
	}
	parts, err := rd.Parts(&rd.Bases[len(rd.Bases)-1])
	must(t, err)
	must(t, rd.Part(parts[0].Name(), parts[0].Bytes, 0, func([]byte) error { return nil }))
}

// A file that an interrupted base has left, and whose bytes have changed since, is not taken over by the next base: it is copied again.
func TestChangedFileOfAnInterruptedBase(t *testing.T) {
	h, on := newHistory(t, 8).grow(20), newFolder(t)
	h.weigh()
	r := h.save()
	t.Cleanup(func() { r.Close() })
	w := open(t, on)
	c, err := w.Base(r, h.part)
	for must(t, err); len(namesIn(t, on, "to/b/parts")) < 2; {
		_, err := c.Step(background, 1<<20)
		must(t, err)
	}
	must(t, w.Close())
	part := ""
	for _, name := range namesIn(t, on, "to/b/parts") {
		if !strings.HasPrefix(name, fmt.Sprintf("%x", r.SHA())) {
			part = name
		}
	}
	must(t, on.Rot("to/b/parts/"+part, 100, 2))
	w = open(t, on)
	must(t, errors.Join(h.copyBase(w, r, 1<<16), w.Close()))
	if len(w.Mended) != 1 || !strings.Contains(w.Mended[0], part) {
		t.Errorf("copied again: %q", w.Mended)
	}
	got, err := restore(on, At{})
	must(t, err)
	h.same(got, uint64(len(h.entries)))
}

// A base is refused with which the backup could not be opened any more. The log goes on, and a base is made when old ones are gone.
func TestFilesOfAllBases(t *testing.T) {
	h, on := newHistory(t, 5).grow(9), newFolder(t)
	w := open(t, on)
	must(t, h.base(w))
	bases := w.bases
	w.bases = append(slices.Repeat([]Base{{Files: make([]File, basesFiles/16)}}, 16), bases...)
	must(t, h.appendEach(w, 3))
	if err := h.base(w); err == nil || !strings.Contains(err.Error(), "--backup-keep") {
		t.Errorf("the base is made: %v", err)
	}
	must(t, h.appendEach(w, 3))
	w.bases = bases
	must(t, errors.Join(h.base(w), w.Close()))
	if rd := reading(t, on); len(rd.Bases) != 2 {
		t.Errorf("%d bases", len(rd.Bases))
	}
}
