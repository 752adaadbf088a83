package backup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"pgregory.net/rapid"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log/disk/simdisk"
	"qkv/snapshot"
	"qkv/snapshot/backup/store"
)

// moments is the model of a backup: which states it must give back. It knows entries, bases and times, and nothing of files.
type moments struct {
	*history
	t        *rapid.T
	on       *simdisk.Disk
	w        *Writer
	saved    []uint64        // entries whose snapshots the member still has
	bases    map[uint64]bool // entries of the bases since the oldest kept one
	entries  map[uint64]bool // that the backup acknowledged, since that base
	kept     uint64          // no moment before that entry is promised
	lost     uint64          // entries up to this one are not in the member's log any more
	tried    uint64          // the first entry of the newest call of Append
	restored int
	faulty   bool             // a call of the disk may fail in this step
	broken   map[string]int64 // sizes of the files of bases that are missing, or cut, by name
	listed   map[uint64][]File
}

// whole reports whether the files of a base are there.
func (m *moments) whole(b uint64) bool {
	return !slices.ContainsFunc(m.listed[b], func(f File) bool { return m.broken[fileName(f)] > 0 })
}

// look notes the files of the bases, and which of them a base has copied again.
func (m *moments) look() {
	for _, b := range m.w.Bases() {
		m.listed[b.Index] = b.Files
	}
	maps.DeleteFunc(m.broken, func(name string, size int64) bool {
		f, err := m.on.Open("to/b/" + name)
		if err != nil {
			return false
		}
		defer f.Close()
		now, err := f.Size()
		return err == nil && now == size
	})
}

// harm removes or cuts a file of a base. Some other base stays whole.
func (m *moments) harm() {
	bases := slices.Sorted(maps.Keys(m.bases))
	of := m.listed[rapid.SampledFrom(bases).Draw(m.t, "base")]
	f := rapid.SampledFrom(of).Draw(m.t, "file")
	name := fileName(f)
	if m.broken[name] > 0 {
		return
	}
	m.broken[name] = f.Stored
	if !slices.ContainsFunc(bases, m.whole) {
		delete(m.broken, name)
		return
	}
	if rapid.Bool().Draw(m.t, "cut") {
		file, err := m.on.OpenWritable("to/b/" + name)
		if err = errors.Join(err, file.Truncate(f.Stored-1), file.Sync(), file.Close()); err != nil {
			m.t.Fatal(err)
		}
		return
	}
	if err := errors.Join(m.on.Remove("to/b/"+name), m.on.SyncDir("to/b/"+filesDir)); err != nil {
		m.t.Fatal(err)
	}
}

// end is the newest entry that the backup acknowledged.
func (m *moments) end() (newest uint64) {
	for e := range m.entries {
		newest = max(newest, e)
	}
	for b := range m.bases {
		newest = max(newest, b)
	}
	return newest
}

// promised reports whether the state behind an entry can be restored.
func (m *moments) promised(e uint64) bool {
	for at := e; at > 0 && e >= m.kept; at-- {
		if m.bases[at] && m.whole(at) {
			return true
		}
		if !m.entries[at] {
			return false
		}
	}
	return false
}

// open opens the folder, and takes over what a failed call may have finished. Nothing that was acknowledged is missing.
func (m *moments) open() {
	w, err := Write(background, place(m.on), true, testOf, 1)
	if err != nil {
		m.t.Fatalf("open the backup: %v", err)
	}
	m.w = w
	m.look()
	last, _ := w.Last()
	from := uint64(0)
	for e := range m.entries {
		from = max(from, e)
	}
	if last < from {
		m.t.Fatalf("entry %d was acknowledged, and the log ends with entry %d", from, last)
	}
	for e := max(from+1, m.tried); e <= last; e++ {
		m.entries[e] = true
	}
	found := map[uint64]bool{}
	for _, b := range w.Bases() {
		if found[b.Index] = true; b.Index >= m.kept {
			m.bases[b.Index] = true
		}
	}
	for b := range m.bases {
		if !found[b] {
			m.t.Fatalf("the base of entry %d is gone; there are %v", b, found)
		}
	}
}

// failed opens the backup again after a call that an injected fault has ended. The power may fail as well.
func (m *moments) failed(err error) {
	if !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ENOSPC) {
		m.t.Fatalf("a fault of the disk is reported as %v", err)
	}
	m.on.ClearFaults()
	m.reopen()
}

func (m *moments) reopen() {
	_ = m.w.Close() // it has the same error
	m.on.ClearFaults()
	switch how := rapid.IntRange(-1, int(simdisk.Variants)).Draw(m.t, "crash"); how {
	case -1:
	case int(simdisk.Variants):
		m.on.Kill()
	default:
		m.on.Crash(simdisk.Variant(how))
	}
	m.open()
}

// fault makes one of the next calls of the disk fail, sometimes.
func (m *moments) fault() {
	if m.faulty = rapid.IntRange(0, 5).Draw(m.t, "fault") == 0; !m.faulty {
		return
	}
	f := simdisk.Fault{Err: syscall.EIO, Name: "to", Call: rapid.Int64Range(1, 12).Draw(m.t, "call")}
	if rapid.Bool().Draw(m.t, "full") {
		f.Err, f.Op, f.Short = syscall.ENOSPC, simdisk.OpWrite, true
	}
	m.on.Fail(f)
}

// append hands on the entries up to one, as a caller does that continues at the end of the backup.
func (m *moments) append(to uint64) error {
	after, _ := m.w.Last()
	if newest := slices.Max(slices.Collect(maps.Keys(m.bases))); after == 0 || m.lost > after && newest >= m.lost {
		after = newest
	}
	if m.lost > after { // the member's log begins later, and a base has to come first
		if to > m.lost {
			if err := m.w.Append(background, m.history.entries[m.lost:to]); !errors.Is(err, ErrGap) {
				m.t.Fatalf("entry %d was appended behind entry %d: %v", m.lost+1, after, err)
			}
		}
		return nil
	}
	for after < to {
		n := min(uint64(rapid.IntRange(1, 9).Draw(m.t, "entries")), to-after)
		m.tried = after + 1
		if err := m.w.Append(background, m.history.entries[after:after+n]); err != nil {
			return err
		}
		for range n {
			after++
			m.entries[after] = true
		}
	}
	return nil
}

// base copies a snapshot, and appends entries meanwhile.
func (m *moments) base(at uint64) error {
	r, err := openSnapshot(m.history, at)
	if err != nil {
		m.t.Fatal(err)
	}
	defer r.Close()
	c, err := m.w.Base(r, m.history.part)
	if err != nil {
		return err
	}
	beside := rapid.IntRange(0, 3).Draw(m.t, "appends beside")
	for done := false; !done; {
		if done, err = c.Step(background, 700); err != nil {
			return err
		}
		if to := m.end() + uint64(rapid.IntRange(1, 3).Draw(m.t, "of")); beside > 0 && !done && len(m.bases) > 0 {
			beside--
			if err := m.append(min(to, uint64(len(m.history.entries)))); err != nil {
				return err
			}
		}
	}
	m.bases[at] = true
	m.look()
	return nil
}

// retain removes what is older than a moment, which is an entry's time or just beside it.
func (m *moments) retain() error {
	newest := m.moments[m.end()].wall
	from := min(m.moments[rapid.Uint64Range(1, m.end()).Draw(m.t, "since")].wall+rapid.Int64Range(-1, 1).Draw(m.t, "beside"), newest)
	oldest := uint64(0) // what is before that base may go
	for b := range m.bases {
		if m.moments[b].wall <= from && m.whole(b) {
			oldest = max(oldest, b)
		}
	}
	m.kept = max(m.kept, min(m.at(from), m.end()))
	maps.DeleteFunc(m.bases, func(b uint64, _ bool) bool { return b < oldest })
	maps.DeleteFunc(m.entries, func(e uint64, _ bool) bool { return e <= oldest })
	before := m.w.Bases()
	_, err := removeOld(m.w, time.Duration(newest-from))
	m.w.Keep = math.MaxInt64
	if i := slices.IndexFunc(before, func(b Base) bool { return b.Index == oldest }); err == nil && i >= 0 {
		// A base that cannot be opened is as good as damaged: an older one stays for it.
		if left, want := m.w.Bases()[0].Index, before[min(i, backupBasesRemoved)].Index; left > want || left < want && !m.faulty {
			m.t.Fatalf("the oldest base is that of entry %d, and that of entry %d has the oldest kept moment", left, oldest)
		}
	}
	return err
}

// restores restores a promised moment by its time or its revision, and compares the state.
func (m *moments) restores(rd *Reader, e uint64) {
	// Whether a time before a gap is that of the state behind the last entry, only the missing entry could say.
	if at := m.at(m.moments[e].wall); m.promised(at) && (at == m.end() || m.entries[at+1]) {
		got, err := rd.Restore(At{Wall: m.moments[e].wall}, testLimits(), nil)
		m.is(got, err, at)
	}
	if rapid.IntRange(0, 9).Draw(m.t, "by revision") == 0 {
		revision := m.moments[e].revision
		got, err := rd.Restore(At{Revision: revision}, testLimits(), nil)
		first := e // the base may be of a later entry with the same revision
		for first > 1 && m.moments[first-1].revision == revision {
			first--
		}
		if err != nil && m.promised(first) {
			m.t.Fatalf("revision %d: %v", revision, err)
		}
		if err == nil && (got.Revision != revision || got.Base.Revision < revision && got.State.View().Digest() != m.cut(revision)) {
			m.t.Fatalf("the state of revision %d is another one: revision %d, entry %d", revision, got.Revision, got.Index)
		}
	}
	m.restored++
}

func (m *moments) is(got *Restored, err error, want uint64) {
	if err != nil {
		m.t.Fatalf("entry %d of %d, kept since %d, bases %v: %v", want, m.end(), m.kept, m.bases, err)
	}
	was := m.moments[want]
	if at, _ := got.State.Applied(); at != want || got.Index != want || got.Revision != was.revision || got.Wall != was.wall || got.Lost != nil {
		m.t.Fatalf("restored entry %d (%d), revision %d, wall %d; want entry %d, revision %d, wall %d", got.Index, at, got.Revision, got.Wall, want, was.revision, was.wall)
	}
	if d := got.State.View().Digest(); d != was.digest {
		m.t.Fatalf("the digest at entry %d is %016x, and the state had %016x", want, d, was.digest)
	}
}

// check restores the newest moment, and all promised ones or a few.
func (m *moments) check(all bool) {
	if len(m.bases) == 0 {
		return
	}
	rd, err := Open(background, place(m.on))
	if err != nil {
		m.t.Fatal(err)
	}
	if rapid.Bool().Draw(m.t, "keep files") {
		rd.KeepParts(simdisk.New(1), "kept")
	}
	end := m.end()
	if m.promised(end) {
		got, err := rd.Restore(At{}, testLimits(), nil)
		if m.is(got, err, end); !got.Ends {
			m.t.Fatalf("entry %d is not the end: %v", end, got.Notes)
		}
	}
	for e := max(m.kept, 1); e <= end; e++ {
		if m.promised(e) && (all || rapid.IntRange(0, 11).Draw(m.t, "look") == 0) {
			m.restores(rd, e)
		}
	}
	if !all {
		return
	}
	if err := rd.Verify(testLimits(), nil, func(v *Verified) {
		whole := m.whole(v.Base.Index)
		if (v.Fault == nil) != whole || v.Log != nil || whole && v.Replayed && v.Index != end && v.Gap == nil {
			m.t.Fatalf("verified: %+v, whole: %v", v, whole)
		}
	}); err != nil && !slices.ContainsFunc(rd.Bases, func(b Base) bool { return !m.whole(b.Index) }) {
		m.t.Fatal(err)
	}
}

// Every moment since the oldest kept base restores to the exact state: after bases, appends of any size, retention, faults of the disk,
// kills and power failures in any order, and after times in which the member's log did not reach back to the end of the backup.
func TestEveryMomentRestores(t *testing.T) {
	testlong.Skip(t)
	defer otherCompressors(t)()
	restored := 0
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, rapid.Uint64().Draw(rt, "seed"))
		h.grow(rapid.IntRange(3, 9).Draw(rt, "before"))
		m := &moments{history: h, t: rt, on: newFolder(t), bases: map[uint64]bool{}, entries: map[uint64]bool{}, broken: map[string]int64{}, listed: map[uint64][]File{}}
		m.open()
		do := func(step func() error) {
			m.fault()
			if err := step(); err != nil && !errors.Is(err, iofs.ErrExist) {
				m.failed(err)
			}
			m.on.ClearFaults()
		}
		save := func() uint64 {
			at := uint64(len(h.entries))
			if !slices.Contains(m.saved, at) {
				if err := h.save().Close(); err != nil {
					rt.Fatal(err)
				}
				m.saved = append(m.saved, at)
			}
			return at
		}
		rt.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) {
				if rapid.IntRange(0, 7).Draw(rt, "check") == 0 {
					m.check(false)
				}
			},
			"write": func(*rapid.T) { h.grow(rapid.IntRange(1, 12).Draw(rt, "entries")) },
			"save":  func(*rapid.T) { save() },
			"base": func(*rapid.T) {
				at := save()
				if rapid.Bool().Draw(rt, "earlier") {
					at = rapid.SampledFrom(m.saved).Draw(rt, "of")
				}
				if at >= m.kept && at >= m.lost {
					do(func() error { return m.base(at) })
				}
			},
			"append": func(*rapid.T) {
				if len(m.bases) > 0 {
					to := min(m.end()+uint64(rapid.IntRange(1, 30).Draw(rt, "to")), uint64(len(h.entries)))
					do(func() error { return m.append(to) })
				}
			},
			"retain": func(*rapid.T) {
				if len(m.bases) > 0 {
					do(m.retain)
				}
			},
			"crash": func(*rapid.T) { m.reopen() },
			"damage": func(*rapid.T) {
				if len(m.bases) > 1 && rapid.IntRange(0, 2).Draw(rt, "now") == 0 {
					m.harm()
				}
			},
			"compact": func(*rapid.T) { // the member's log
				if rapid.IntRange(0, 3).Draw(rt, "now") == 0 {
					m.lost = min(m.end()+uint64(rapid.IntRange(0, 2).Draw(rt, "beyond")), uint64(len(h.entries)))
				}
			},
		})
		m.check(true)
		restored += m.restored
		if err := m.w.Close(); err != nil {
			rt.Fatal(err)
		}
	})
	t.Logf("%d moments were restored", restored)
}

// A restore reads the values of the history from the files that it keeps, or from the backup, and has the live ones in memory.
func TestValuesOfHistory(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	for _, keeps := range []bool{false, true} {
		for _, to := range [][]age.Recipient{nil, {key.Recipient()}} {
			h, on := newHistory(t, 8).grow(40), newFolder(t)
			put := func(b byte) int64 {
				h.add(false, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("kept"), Value: bytes.Repeat([]byte{b}, 200)}).Bytes)
				return h.state.Revision()
			}
			older := put('a')
			for b := range byte(40) { // an extent ends
				put(b)
			}
			w := open(t, on, to...)
			must(t, h.base(w))
			at, _ := h.state.Applied()
			for b := range byte(40) { // another one does, behind the base
				put(b)
			}
			last := h.state.Revision()
			h.add(false, new(index.Head).AppendCompact(nil, last-1).Bytes)
			must(t, errors.Join(w.Append(background, h.from(at)), w.Close()))
			before := inMemory(t, on)
			rd := reading(t, on, key)
			beside := 0
			rd.Background = func(do func()) { beside++; do() }
			if rd.LeaveParts(); keeps {
				rd = reading(t, on, key)
				rd.KeepParts(newFolder(t), "a/b")
			}
			got, err := rd.Restore(At{Revision: last}, testLimits(), nil)
			must(t, err)
			h.same(got, uint64(len(h.entries)-1))
			if n, size := got.State.View().Cold(); n < 39 || size < 30*200 {
				t.Errorf("%d values, %d bytes, are in files only", n, size)
			}
			value := func(key string, revision int64) ([]byte, error) {
				pair, _, err := got.State.View().Get([]byte(key), revision)
				return pair.Value, err
			}
			if b, err := value("kept", older); err != nil || !bytes.Equal(b, bytes.Repeat([]byte{'a'}, 200)) {
				t.Errorf("the older value is %q, %v", b, err)
			}
			if !maps.EqualFunc(before.files, inMemory(t, on).files, bytes.Equal) {
				t.Error("the backup has changed")
			}
			compacted, err := rd.Restore(At{}, testLimits(), nil)
			must(t, err)
			for compacted.State.View(); compacted.State.Reclaim(); {
			}
			at, term := compacted.State.Applied()
			v := compacted.State.ViewToSave()
			if _, err = snapshot.Save(newFolder(t), "to", snapshot.Meta{Index: at, Term: term}, v, snapshot.ShelfOf(v)); err != nil {
				t.Errorf("its extents cannot be saved: %v", err)
			}
			if keeps {
				continue
			}
			if beside < 2 {
				t.Errorf("%d files were read beside the others", beside)
			}
			got, err = rd.Restore(At{}, testLimits(), nil) // which has read no value yet
			must(t, err)
			for _, name := range namesIn(t, on, "to/b/parts") {
				must(t, on.Remove("to/b/parts/"+name))
			}
			if b, err := value("kept", older); err == nil {
				t.Errorf("without files, the older value is %q", b)
			}
			if b, err := value("kept", 0); err != nil || len(b) != 200 {
				t.Errorf("without files, the newest value is %q, %v", b, err)
			}
		}
	}
}

// A restore goes on with the parts that its folder has from an earlier one. What was read ahead for a part that is there is no other file's.
func TestRestoreGoesOnWithSomeParts(t *testing.T) {
	h, on, kept := newHistory(t, 8).grow(20), newFolder(t), newFolder(t)
	for b := range byte(80) { // several extents end
		h.add(false, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: bytes.Repeat([]byte{b}, 200)}).Bytes)
	}
	w := open(t, on)
	must(t, errors.Join(h.base(w), w.Close()))
	restores := func() []string {
		rd := reading(t, on)
		rd.Background = func(do func()) { do() }
		rd.KeepParts(kept, "to/snap")
		got, err := rd.Restore(At{}, testLimits(), nil)
		must(t, err)
		h.same(got, uint64(len(h.entries)))
		return namesIn(t, kept, "to/snap")
	}
	all := restores()
	if len(all) < 3 {
		t.Fatalf("the base has the parts %v", all)
	}
	for _, there := range all {
		for _, name := range all {
			if name != there {
				must(t, kept.Remove("to/snap/"+name))
			}
		}
		if now := restores(); !slices.Equal(now, all) {
			t.Errorf("with %s, the folder has %v, and the base %v", there, now, all)
		}
	}
}

// A partly received file may have the bytes of another one, of an earlier process. The first restore finds that out, and gets all of the part.
func TestRestoreGoesOnBehindWrongBytes(t *testing.T) {
	h, on, kept := newHistory(t, 8).grow(20), newFolder(t), newFolder(t)
	for b := range byte(80) {
		h.add(false, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: bytes.Repeat([]byte{b}, 200)}).Bytes)
	}
	w := open(t, on)
	must(t, errors.Join(h.base(w), w.Close()))
	parts, err := reading(t, on).Parts(&w.Bases()[0])
	must(t, err)
	slices.SortFunc(parts, func(a, b snapshot.Part) int { return cmp.Compare(b.Bytes, a.Bytes) })
	larger, smaller := parts[0], parts[len(parts)-1]
	var b []byte
	must(t, reading(t, on).Part(smaller.Name(), smaller.Bytes, 0, func(piece []byte) error { b = append(b, piece...); return nil }))
	restores := func() (*Restored, error) {
		rd := reading(t, on)
		rd.KeepParts(kept, "to/snap")
		return rd.Restore(At{}, testLimits(), nil)
	}
	_, err = restores()
	must(t, errors.Join(err, kept.Remove("to/snap/"+larger.Name())))
	f, err := kept.Create(fmt.Sprintf("to/snap/%s.%x.tmp", larger.Name(), larger.SHA))
	must(t, err)
	_, err = f.WriteAt(b[:len(b)-1], 0)
	must(t, errors.Join(err, f.Sync(), f.Close()))
	got, err := restores()
	if err != nil || len(got.Notes) > 0 {
		t.Fatalf("restored: %+v: %v", got, err)
	}
	h.same(got, uint64(len(h.entries)))
}

// A part that stays in the backup may be shorter by now: the frame that has lost its end is damaged, and is no zeros.
func TestPartsThatEndEarly(t *testing.T) {
	h, on := newHistory(t, 8).grow(60), newFolder(t)
	w := open(t, on)
	must(t, errors.Join(h.base(w), w.Close()))
	rd := reading(t, on)
	rd.LeaveParts()
	got, err := rd.Restore(At{}, testLimits(), nil)
	must(t, err)
	p := snapshot.ShelfOf(got.State.View()).Parts()[0]
	stored, err := on.OpenWritable("to/b/" + fileName(got.Base.Files[1]))
	must(t, errors.Join(err, stored.Truncate(got.Base.Files[1].Stored-1), stored.Close()))
	f, err := got.Parts.Open("anywhere/" + p.Name())
	must(t, err)
	b := make([]byte, p.Bytes)
	if n, err := f.ReadAt(b, 0); n != 0 || !damaged(err) {
		t.Errorf("%d of %d bytes are read: %v", n, p.Bytes, err)
	}
	if n, err := f.ReadAt(b[:9], p.Bytes); n > 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%d bytes are read behind the end: %v", n, err)
	}
	if _, err := got.Parts.Open("snap/other.part"); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("another part: %v", err)
	}
}

// faulty is a store whose Get may be another one.
type faulty struct {
	store.Store
	get func(name string) ([]byte, error)
}

func (f *faulty) Get(ctx context.Context, name string, off, most int64) ([]byte, error) {
	if f.get != nil {
		return f.get(name)
	}
	return f.Store.Get(ctx, name, off, most)
}

// A value that stays in the backup and cannot be read: the error names the object in its place, and says why. It comes before a client gives up,
// and no client tries again. Live values are read.
func TestValuesOfAPlaceThatIsAway(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	for _, to := range [][]age.Recipient{nil, {key.Recipient()}} {
		h, on := newHistory(t, 8).grow(40), newFolder(t)
		for b := range byte(80) {
			h.add(false, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: bytes.Repeat([]byte{b}, 200)}).Bytes)
		}
		w := open(t, on, to...)
		must(t, errors.Join(h.base(w), w.Close()))
		at := &faulty{Store: place(on)}
		rd, err := Open(background, at, key)
		must(t, err)
		rd.LeaveParts()
		for what, one := range map[string]struct {
			get   func(t *testing.T, name string) ([]byte, error)
			words string
		}{
			"throttled": {func(_ *testing.T, name string) ([]byte, error) {
				return nil, fmt.Errorf("read %s: throttled", at.Path(name))
			}, ": throttled"},
			"hangs": {func(t *testing.T, _ string) ([]byte, error) { <-t.Context().Done(); return nil, nil }, ": no answer within 3s"},
			"unmounted": {func(_ *testing.T, name string) ([]byte, error) {
				return nil, fmt.Errorf("open %s: %w", name, iofs.ErrNotExist)
			}, "to/b holds no backup now: mount its disk again"},
			"removed": {func(_ *testing.T, name string) ([]byte, error) {
				if name == markName {
					return nil, nil
				}
				return nil, iofs.ErrNotExist
			}, " is missing"},
			"shorter": {func(*testing.T, string) ([]byte, error) { return make([]byte, 9), nil }, ""},
			"other bytes": {func(_ *testing.T, name string) ([]byte, error) {
				return bytes.Repeat([]byte{7}, int(rd.sizes[name])), nil
			}, ""},
		} {
			at.get = nil
			got, err := rd.Restore(At{}, testLimits(), nil)
			must(t, err)
			v, last := got.State.View(), h.state.Revision()
			synctest.Test(t, func(t *testing.T) {
				at.get = func(name string) ([]byte, error) { return one.get(t, name) }
				begun := time.Now()
				_, _, err := v.Get([]byte("k"), last-60)
				answer, is := errors.AsType[*kv.Error](err)
				if !is || answer.Retryable() || !strings.Contains(err.Error(), one.words) || what != "unmounted" && !strings.Contains(err.Error(), "to/b/parts/") || time.Since(begun) > 4*time.Second {
					t.Errorf("%s, %d recipients: after %v: %v", what, len(to), time.Since(begun), err)
				}
				if strings.Contains(err.Error(), ".part") || !strings.Contains(err.Error(), "in the backup") {
					t.Errorf("%s names a file of the branch: %v", what, err)
				}
				if found := snapshot.ShelfOf(v).Damaged(); found == nil || !errors.Is(found, index.ErrInBackup) || errors.Is(found, damage.ErrDamaged) != slices.Contains([]string{"removed", "shorter", "other bytes"}, what) {
					t.Errorf("%s: the part that is reported is %v", what, found)
				}
				if pair, _, err := v.Get([]byte("k"), 0); err != nil || len(pair.Value) != 200 {
					t.Errorf("%s: the live value: %v", what, err)
				}
			})
		}
	}
}

// A store fails for one read at any point of a restore. That is no damage: the same Reader restores the backup afterwards, and a branch reads
// the value.
func TestFailedReadIsNoDamage(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	for _, to := range [][]age.Recipient{nil, {key.Recipient()}} {
		h, on := newHistory(t, 8).grow(40), newFolder(t)
		for b := range byte(80) {
			h.add(false, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: bytes.Repeat([]byte{b}, 200)}).Bytes)
		}
		w := open(t, on, to...)
		must(t, errors.Join(h.base(w), w.Close()))
		failing := &failingOnce{Store: place(on)}
		rd, err := Open(background, failing, key)
		must(t, err)
		rd.LeaveParts()
		tries := func(do func() error) (n int) {
			for left := 1; ; left++ {
				failing.left = left
				err := do()
				if err == nil {
					return left
				}
				if !strings.Contains(err.Error(), "throttled") || damaged(err) {
					t.Fatalf("%d recipients, read %d: %v", len(to), left, err)
				}
				failing.left = 0
				must(t, do())
			}
		}
		var got *Restored
		if n := tries(func() (err error) {
			rd.known = map[[32]byte]examined{}
			got, err = rd.Restore(At{}, testLimits(), nil)
			return err
		}); n < 5 {
			t.Errorf("%d reads were tried", n)
		}
		part := snapshot.ShelfOf(got.State.View()).Parts()[0]
		whole, read := []byte(nil), make([]byte, part.Bytes)
		if n := tries(func() error {
			f, err := got.Parts.Open(part.Name())
			if err == nil {
				_, err = f.ReadAt(read, 0)
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if whole == nil {
				whole = bytes.Clone(read)
			}
			if !bytes.Equal(whole, read) {
				t.Errorf("%d recipients: other bytes were read", len(to))
			}
			return nil
		}); n < 2 {
			t.Errorf("%d reads of a part were tried", n)
		}
	}
}

// failingOnce is a store of which one read fails.
type failingOnce struct {
	store.Store
	left int // reads up to that one; 0: it is over
}

func (f *failingOnce) Get(ctx context.Context, name string, off, most int64) ([]byte, error) {
	if f.left--; f.left == 0 {
		return nil, fmt.Errorf("read %s: throttled", name)
	}
	return f.Store.Get(ctx, name, off, most)
}

// stopping is a store that stops sending parts, as a hanging folder does: it does not look at the context.
type stopping struct {
	store.Store
	end <-chan struct{} // nil: it sends all
}

func (s *stopping) Get(ctx context.Context, name string, off, most int64) ([]byte, error) {
	if s.end != nil && strings.HasPrefix(name, filesDir+"/") {
		<-s.end
	}
	return s.Store.Get(ctx, name, off, most)
}

// A store that stops sending a part is an error in words after a while, whatever wants the part, and whether it is encrypted or
// not. The readers that wait for another one do not wait one behind the other.
func TestPartsThatStop(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	for _, to := range [][]age.Recipient{nil, {key.Recipient()}} {
		h, on := newHistory(t, 8).grow(60), newFolder(t)
		w := open(t, on, to...)
		must(t, errors.Join(h.base(w), w.Close()))
		part := func(got *Restored) string { return snapshot.ShelfOf(got.State.View()).Parts()[0].Name() }
		var left *Restored // in the backup
		for what, one := range map[string]struct {
			wait time.Duration
			do   func(r *Reader) error
		}{
			"a restore": {backupRead, func(r *Reader) error { _, err := r.Restore(At{}, testLimits(), nil); return err }},
			"a restore that reads ahead": {backupRead, func(r *Reader) error {
				r.Background = func(do func()) { go do() }
				_, err := r.Restore(At{}, testLimits(), nil)
				return err
			}},
			"a folder with all of the data": {backupRead, func(r *Reader) error {
				r.KeepParts(simdisk.New(1), "kept")
				_, err := r.Restore(At{}, testLimits(), nil)
				return err
			}},
			"the begin of a branch": {backupRead, func(r *Reader) error { r.LeaveParts(); _, err := r.Restore(At{}, testLimits(), nil); return err }},
			"a seed": {backupRead, func(r *Reader) error {
				return r.Part(part(left), left.Base.Files[1].Bytes, 0, func([]byte) error { return nil })
			}},
			"values of a branch": {branchRead, func(*Reader) error {
				failed, name := make(chan error), part(left)
				for range limits.ValueReads {
					go func() {
						f, err := left.Parts.Open(name)
						if err == nil {
							_, err = f.ReadAt(make([]byte, 9), 0)
						}
						failed <- err
					}()
				}
				for range limits.ValueReads - 1 {
					if <-failed == nil {
						return nil
					}
				}
				return <-failed
			}},
		} {
			synctest.Test(t, func(t *testing.T) {
				at := &stopping{Store: place(on)}
				r, err := Open(background, at, key)
				must(t, err)
				r.LeaveParts()
				left, err = r.Restore(At{}, testLimits(), nil)
				must(t, err)
				r.leave, r.known = false, map[[32]byte]examined{}
				end := make(chan struct{})
				at.end = end
				begun := time.Now()
				err = one.do(r)
				if words := fmt.Sprintf("no answer within %v", one.wait); err == nil || damaged(err) || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "to/b/parts/") || time.Since(begun) > one.wait {
					t.Errorf("%s, %d recipients: after %v: %v", what, len(to), time.Since(begun), err)
				}
				close(end)
			})
		}
	}
}

// Reads of a folder that hangs go on when nobody waits for them any more: no more than the slots begin.
func TestHangingReadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end, begun := make(chan struct{}), atomic.Int64{}
		b := newBounded(hanging{place(newFolder(t)), &begun, end})
		for range limits.ValueReads + 2 {
			if _, err := b.Get(t.Context(), markName, 0, 1); err == nil || !strings.Contains(err.Error(), "no answer within") {
				t.Fatalf("a read that hangs: %v", err)
			}
		}
		if n := begun.Load(); n != limits.ValueReads {
			t.Errorf("%d reads hang, the bound is %d", n, limits.ValueReads)
		}
		close(end)
	})
}

// hanging is a store whose reads hang until the end, whatever the context says.
type hanging struct {
	store.Store
	begun *atomic.Int64
	end   <-chan struct{}
}

func (h hanging) Get(context.Context, string, int64, int64) ([]byte, error) {
	h.begun.Add(1)
	<-h.end
	return nil, io.EOF
}

// A window has the bytes of a file at any offset, whatever the order. The bound of a store's time is that of each piece.
func TestBoundOfEachPiece(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := bytes.Repeat([]byte("an object of a backup"), filePiece/16)
		of := File{Bytes: int64(len(content)), Stored: int64(len(content))}
		wait := backupRead - 1
		read := func(off, n int64) ([]byte, error) {
			b := newBounded(pieces{place(newFolder(t)), content, wait})
			got := make([]byte, n)
			did, err := inPieces(t.Context(), b, of).ReadAt(got, off)
			return got[:did], err
		}
		for _, off := range []int64{0, 1, filePiece - 1, filePiece, filePiece + 5, of.Stored - 1} {
			for _, n := range []int64{1, 5, filePiece - 1, filePiece + 9, of.Stored - off} {
				want := content[off:min(off+n, of.Stored)]
				if got, err := read(off, n); !bytes.Equal(got, want) || (err != nil) != (int64(len(want)) < n) {
					t.Errorf("%d bytes from byte %d on: %d came, %v", n, off, len(got), err)
				}
			}
		}
		for _, stored := range []int64{of.Stored - 1, of.Stored + 1} { // the object is longer, or shorter
			of.Stored = stored
			if _, err := read(filePiece, 9); !damaged(err) {
				t.Errorf("%d bytes of %d: %v", len(content), stored, err)
			}
		}
		wait = backupRead + 1
		if got, err := read(0, 100); err == nil || !strings.Contains(err.Error(), "no answer within") {
			t.Errorf("%q, %v", got, err)
		}
		time.Sleep(time.Second) // the read goes on until then
	})
}

// pieces is a store of one object, each part of which takes a while.
type pieces struct {
	store.Store
	content []byte
	takes   time.Duration
}

func (p pieces) Get(_ context.Context, _ string, off, most int64) ([]byte, error) {
	time.Sleep(p.takes)
	from := min(off, int64(len(p.content)))
	return bytes.Clone(p.content[from:min(from+most, int64(len(p.content)))]), nil
}

// A damaged or missing part is named as it is in the backup, so that it can be removed there.
func TestDamagedPartsAreNamed(t *testing.T) {
	h, on := newHistory(t, 8).grow(60), newFolder(t)
	w := open(t, on)
	must(t, errors.Join(h.base(w), w.Close()))
	name := "to/b/" + fileName(reading(t, on).Bases[0].Files[1])
	for _, leaves := range []bool{false, true} {
		for what, harm := range map[string]func(on *simdisk.Disk) error{
			"missing": func(on *simdisk.Disk) error { return on.Remove(name) },
			"damaged": func(on *simdisk.Disk) error { return on.Rot(name, 2, 2) },
		} {
			on := on.Clone(1)
			must(t, harm(on))
			rd := reading(t, on)
			rd.leave = leaves
			_, err := rd.Restore(At{}, testLimits(), nil)
			if !damaged(err) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), ".part") {
				t.Errorf("%s, leaves=%v: %v", what, leaves, err)
			}
		}
	}
}

// A state for which the process lacks memory is refused, whatever is done with its parts.
func TestRestoreShortOfMemory(t *testing.T) {
	h, on := small(t)
	w := open(t, on)
	must(t, errors.Join(h.base(w), w.Close()))
	live := h.state.View().LiveBytes()
	for memory, fits := range map[int64]bool{live: true, live - 1: false} {
		rd := reading(t, on)
		rd.Memory = memory
		if _, err := rd.Restore(At{AcceptLoss: true}, testLimits(), nil); (err == nil) != fits || err != nil && !errors.Is(err, errMemory) {
			t.Errorf("%d bytes of keys in %d: %v", live, memory, err)
		}
	}
}

// A restore since a time has all changes from then on, also those that the cluster has compacted, and the same keys as without. It can be saved
// and loaded.
func TestHistorySince(t *testing.T) {
	testlong.Skip(t)
	pairs := func(v *index.View, revision int64) string {
		got, err := v.Range(kv.Range{Key: []byte{0}, End: []byte{0}, Revision: revision}, 1<<30)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%+v", got.KVs)
	}
	hidden, rebased := 0, 0
	for seed := range uint64(20) {
		h, on := newHistory(t, seed), newFolder(t)
		w := open(t, on)
		had, compacted := map[int64]string{}, map[uint64]int64{}
		for i := range 150 {
			if h.grow(1); i < 100 && h.random.IntN(30) == 0 {
				must(t, errors.Join(h.base(w), w.Append(background, h.from(w.end.index))))
			}
			v := h.state.View()
			if all := v.Extents(); i > 100 && len(all) > 2 && all[1].To < v.Compacted() {
				h.add(false, index.AppendRebase(nil, all[1].To).Bytes)
				rebased++
			}
			at, _ := v.Applied()
			had[v.Revision()], compacted[at] = pairs(v, 0), v.Compacted()
		}
		if len(w.bases) == 0 {
			continue
		}
		must(t, errors.Join(w.Append(background, h.from(w.end.index)), w.Close()))
		since := h.moments[h.random.IntN(len(h.moments))].wall
		want := w.bases[0]
		for _, b := range w.bases {
			if b.Wall <= since {
				want = b
			}
		}
		plain, err := reading(t, on).Restore(At{}, testLimits(), nil)
		must(t, err)
		got, err := reading(t, on).Restore(At{Since: since}, testLimits(), nil)
		must(t, err)
		if got.Base.Index != want.Index || got.Index != plain.Index || got.Revision != plain.Revision {
			t.Fatalf("seed %d: the base is %d of %d, entry %d of %d: %v", seed, got.Base.Index, want.Index, got.Index, plain.Index, got.Notes)
		}
		must(t, got.State.Check())
		got.State.ResetExtents()
		saved := newFolder(t)
		at, term := got.State.Applied()
		_, err = snapshot.Save(saved, "to", snapshot.Meta{Cluster: 1, Member: 1, Index: at, Term: term}, got.State.ViewToSave(), nil)
		must(t, err)
		loaded, _, err := snapshot.LoadIn(index.NewReserve(), saved, saved, "to/"+snapshot.Name(at, term), testLimits())
		must(t, err)
		for _, v := range []*index.View{got.State.View(), loaded.View()} {
			if oldest := compacted[want.Index]; v.Compacted() != oldest || pairs(v, 0) != pairs(plain.State.View(), 0) {
				t.Fatalf("seed %d: the history begins with %d, and that of the base with %d", seed, v.Compacted(), oldest)
			}
			for revision, text := range had {
				if revision >= v.Compacted() && pairs(v, revision) != text {
					t.Fatalf("seed %d: at revision %d the keys are %s, and were %s", seed, revision, pairs(v, revision), text)
				}
				if revision >= v.Compacted() && revision < plain.State.View().Compacted() {
					hidden++
				}
			}
		}
		small := reading(t, on)
		if small.Memory = h.state.View().LiveBytes() + 1; want.Index < got.Index-100 {
			if _, err := small.Restore(At{Since: since}, testLimits(), nil); !errors.Is(err, errMemory) {
				t.Errorf("seed %d: with memory for the keys alone: %v", seed, err)
			}
		}
	}
	if hidden < 100 || rebased < 5 {
		t.Errorf("%d revisions were compacted and are read, and %d times the base has changed", hidden, rebased)
	}
}
