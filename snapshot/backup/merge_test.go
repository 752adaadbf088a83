package backup

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
	"qkv/snapshot/backup/store"
)

// appendEach appends n random entries, each as an object.
func (h *history) appendEach(w *Writer, n int) (err error) {
	for range n {
		at := uint64(len(h.entries))
		h.grow(1)
		err = errors.Join(err, w.Append(background, h.from(at)))
	}
	return err
}

// ranges formats the entries of the objects of a log.
func ranges(t testing.TB, s store.Store) string {
	t.Helper()
	var all []string
	for _, of := range logs(t, s) {
		all = append(all, fmt.Sprintf("%d-%d", of.first, of.last))
	}
	return strings.Join(all, " ")
}

// The small objects of the log become one. They go when the next ones have become one: a Reader that listed them before reads on, and one that
// listed them earlier still lists the log again.
func TestMerge(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	for _, to := range [][]age.Recipient{nil, {key.Recipient()}} {
		h, on := newHistory(t, 5), newFolder(t)
		h.grow(4)
		w := open(t, on, to...)
		must(t, h.base(w))
		must(t, h.appendEach(w, 3))
		first := reading(t, on, key)
		must(t, w.mergeTail(background))
		if got := ranges(t, place(on)); got != "6-8 6-6 7-7 8-8" {
			t.Errorf("after a merge: %s", got)
		}
		must(t, w.mergeTail(background)) // nothing is small
		second := reading(t, on, key)
		must(t, h.appendEach(w, 1))
		must(t, w.mergeTail(background)) // one object stays as it is
		must(t, h.appendEach(w, 2))
		if got := ranges(t, place(on)); got != "6-8 6-6 7-7 8-8 9-9 10-10 11-11" {
			t.Errorf("before the next merge: %s", got)
		}
		must(t, w.mergeTail(background))
		if got := ranges(t, place(on)); got != "6-8 9-9 10-11 10-10 11-11" {
			t.Errorf("after the next merge: %s", got)
		}
		must(t, h.appendEach(w, 2))
		must(t, h.base(w)) // it merges, too
		if got := ranges(t, place(on)); got != "6-8 9-9 10-11 12-13 12-12 13-13" {
			t.Errorf("after a base: %s", got)
		}
		newest := reading(t, on, key)
		for what, rd := range map[string]*Reader{"before the first merge": first, "before the second one": second, "of now": newest} {
			got, err := rd.Restore(At{Wall: h.moments[7].wall}, testLimits(), nil)
			if err != nil {
				t.Fatalf("a Reader %s: %v", what, err)
			}
			h.same(got, h.at(h.moments[7].wall))
			got, err = rd.Restore(At{}, testLimits(), nil)
			if must(t, err); got.Index < 8 {
				t.Errorf("a Reader %s restores entry %d", what, got.Index)
			}
			h.same(got, got.Index)
		}
		must(t, w.Close())
		for i := range newest.log { // each merged object has the right time and term in its header
			of := newest.log[i]
			head, err := newest.header(of)
			if must(t, err); head.Wall != h.moments[of.last].wall || head.Term != h.entries[of.last-1].Term || head.Encrypted != (to != nil) {
				t.Errorf("the object of entries %d to %d has the header %+v, and the state had %+v", of.first, of.last, head, h.moments[of.last])
			}
		}
		reaches, err := newest.Reaches()
		must(t, err)
		var bytes int64
		for _, of := range newest.log {
			if slices.Contains([]uint64{6, 9, 10, 12}, of.first) && (of.last != 10 && of.last != 6 && (of.first != 12 || of.last == 13)) {
				bytes += newest.bytes[of]
			}
		}
		if reaches[0] != (Reach{Index: 13, Wall: h.moments[13].wall, Bytes: bytes}) {
			t.Errorf("the first base reaches %+v, by %d bytes", reaches[0], bytes)
		}
	}
}

// A Writer fails, and the next one of its process takes over its small objects. A lost answer may hide an object behind them.
func TestInherit(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	h.grow(4)
	w := open(t, on)
	must(t, h.base(w))
	must(t, h.appendEach(w, 3))
	next := open(t, on)
	must(t, next.Inherit(background, w))
	must(t, h.appendEach(next, 1))
	must(t, next.mergeTail(background))
	if got := ranges(t, place(on)); got != "6-9 6-6 7-7 8-8 9-9" {
		t.Errorf("the next Writer merges into %s", got)
	}
	must(t, h.appendEach(next, 2))
	must(t, h.appendEach(open(t, on), 1)) // stored, and the answer was lost
	last := open(t, on)
	must(t, last.Inherit(background, next))
	if got := ranges(t, place(on)); got != "6-9 6-6 7-7 8-8 9-9 10-11 10-10 11-11 12-12" {
		t.Errorf("after a lost answer: %s", got)
	}
	must(t, h.appendEach(last, 2))
	must(t, last.mergeTail(background))
	if got := ranges(t, place(on)); got != "6-9 6-6 7-7 8-8 9-9 10-11 12-12 13-14 13-13 14-14" {
		t.Errorf("in the end: %s", got)
	}
	rd := reading(t, on)
	for at := range uint64(14 - 5) {
		got, err := rd.Restore(At{Wall: h.moments[5+at].wall}, testLimits(), nil)
		must(t, err)
		h.same(got, h.at(h.moments[5+at].wall))
	}
	for _, of := range rd.log {
		head, err := rd.header(of)
		if must(t, err); head.Wall != h.moments[of.last].wall || head.Term != h.entries[of.last-1].Term {
			t.Errorf("the object of entries %d to %d has the header %+v, and the state had %+v", of.first, of.last, head, h.moments[of.last])
		}
	}
}

// Entries of some MB become objects of the largest size, without a base. A large one stays alone, and nothing is stored twice.
func TestMergeBySize(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	w := open(t, on)
	must(t, h.base(w))
	put := func(bytes int) {
		at := uint64(len(h.entries))
		b := make([]byte, bytes)
		for i := 0; i < len(b); i += 16 {
			b[i] = byte(h.random.Uint32())
		}
		h.add(false, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: b}).Bytes)
		must(t, w.Append(background, h.from(at)))
	}
	const mb = 1 << 20
	for range 5 {
		put(mb)
	}
	if got := ranges(t, place(on)); got != "2-2 3-3 4-4 5-5 6-6" {
		t.Errorf("5 MiB are in %s", got)
	}
	put(limits.BackupObjectBytes - 6*mb)
	put(mb) // exceeds the size
	if got := ranges(t, place(on)); got != "2-7 2-2 3-3 4-4 5-5 6-6 7-7 8-8" {
		t.Errorf("8 MiB are in %s", got)
	}
	put(limits.BackupObjectBytes - mb) // does not fit either; alone it is large enough
	put(limits.BackupObjectBytes / 2)
	if got := ranges(t, place(on)); got != "2-7 2-2 3-3 4-4 5-5 6-6 7-7 8-8 9-9 10-10" {
		t.Errorf("large ones are in %s", got)
	}
	put(1)
	put(1)
	must(t, w.mergeTail(background))
	if got := ranges(t, place(on)); got != "2-7 8-8 9-9 10-10 11-12 11-11 12-12" {
		t.Errorf("in the end: %s", got)
	}
	must(t, w.Close())
	got, err := restore(on, At{})
	must(t, err)
	h.same(got, uint64(len(h.entries)))
}

// Small changes for hours, without a base: the number of objects has a bound, since a list has one.
func TestMergeByNumber(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	w := open(t, on)
	must(t, h.base(w))
	most := 0
	for range 4 {
		must(t, h.appendEach(w, tailMost-1))
		most = max(most, len(logs(t, place(on))))
	}
	if most > 2*tailMost+4 {
		t.Errorf("the log has %d objects", most)
	}
	must(t, w.Close())
	got, err := restore(on, At{})
	must(t, err)
	h.same(got, uint64(len(h.entries)))
}

// A kill or a power failure at each call of a merge: what was appended is restored, at each moment.
func TestCrashOfAMerge(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	for _, to := range [][]age.Recipient{nil, {key.Recipient()}} {
		h, on := newHistory(t, 5), newFolder(t)
		h.grow(4)
		w := open(t, on, to...)
		must(t, h.base(w))
		calls := uint64(0)
		check := func(simdisk.Op, string) {
			calls++
			for _, v := range []simdisk.Variant{simdisk.Variant(calls) % simdisk.Variants, simdisk.Variants} {
				on := on.Clone(calls<<8 + uint64(v))
				if v == simdisk.Variants {
					on.Kill()
				} else {
					on.Crash(v)
				}
				for range 2 { // as it is, and after the next Writer has opened it
					got, err := restore(on, At{}, key)
					if err != nil {
						t.Fatalf("call %d, %v: %v", calls, v, err)
					}
					h.same(got, uint64(len(h.entries)))
					again := open(t, on, to...)
					if last, term := again.Last(); last != uint64(len(h.entries)) || term != h.entries[last-1].Term {
						t.Fatalf("call %d, %v: the log ends at entry %d", calls, v, last)
					}
					must(t, again.Close())
				}
			}
		}
		for range 3 {
			must(t, h.appendEach(w, 3))
			on.SetHook(check)
			must(t, w.mergeTail(background))
			on.SetHook(nil)
		}
		if must(t, w.Close()); calls < 20 {
			t.Errorf("%d calls", calls)
		}
	}
}

// Two Writers have stored overlapping objects with equal entries: each entry is restored once.
func TestOverlap(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	h.grow(4)
	w := open(t, on)
	must(t, h.base(w))
	h.grow(10) // up to entry 15
	for _, of := range [][2]uint64{{6, 8}, {7, 7}, {7, 11}, {6, 9}, {11, 13}, {12, 15}, {15, 15}, {3, 6}} {
		_, err := w.putLog(background, h.entries[of[0]-1:of[1]], h.moments[of[1]].wall)
		must(t, err)
	}
	must(t, w.Close())
	for e := uint64(5); e <= 15; e++ {
		got, err := restore(on, At{Wall: h.moments[e].wall})
		must(t, err)
		if h.same(got, h.at(h.moments[e].wall)); uint64(got.Entries) != got.Index-5 {
			t.Errorf("%d entries were applied up to entry %d", got.Entries, got.Index)
		}
	}
	must(t, reading(t, on).Verify(testLimits(), nil, func(v *Verified) {
		if v.Index != 15 {
			t.Errorf("the log ends at entry %d", v.Index)
		}
	}))
	w = open(t, on)
	if last, _ := w.Last(); last != 15 {
		t.Errorf("a Writer finds the end at entry %d", last)
	}
	must(t, w.Close())
}

// An object whose header does not fit its entries is damaged, although its hash is that of its name.
func TestForgedObjects(t *testing.T) {
	h, on := small(t)
	m, all := inMemory(t, on), logs(t, place(on))
	of := all[len(all)-1]
	entries := func() []Entry { return slices.Clone(h.entries[of.first-1 : of.last]) }
	head := func() stretch {
		return stretch{Cluster: testCluster, First: of.first, Last: of.last, Term: h.entries[of.last-1].Term, Wall: h.wall}
	}
	for what, forge := range map[string]func(*stretch, []Entry) []Entry{
		"no entry":      func(_ *stretch, e []Entry) []Entry { return e[:0] },
		"an entry less": func(_ *stretch, e []Entry) []Entry { return e[:len(e)-1] },
		"an entry more": func(_ *stretch, e []Entry) []Entry {
			return append(e, Entry{Index: of.last + 1, Term: e[len(e)-1].Term})
		},
		"another term":    func(h *stretch, e []Entry) []Entry { h.Term++; return e },
		"another index":   func(_ *stretch, e []Entry) []Entry { e[0].Index++; return e },
		"falling terms":   func(_ *stretch, e []Entry) []Entry { e[0].Term += 9; return e },
		"another cluster": func(h *stretch, e []Entry) []Entry { h.Cluster++; return e },
	} {
		h1, e := head(), entries()
		e = forge(&h1, e)
		content := appendEntries(nil, e)
		h1.Bytes = int64(len(content))
		name, object := h1.put(compress(content))
		bad := m.with("to/b/"+of.name(), nil).with("to/b/"+name.name(), object)
		if got, err := restore(bad, At{}); !damaged(err) || !strings.Contains(err.Error(), name.name()) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
		got, err := restore(bad, At{AcceptLoss: true})
		must(t, err)
		h.same(got, of.first-1)
	}
	_, object := new(head()).put(compress(appendEntries(nil, entries())))
	for _, wrong := range []span{{of.first - 1, of.last, of.sha}, {of.first, of.last + 1, of.sha}, {of.first - 1, of.last - 1, of.sha}} {
		wrong.sha = sha256.Sum256(object) // the hash is right, and the entries of the name are not
		bad := m.with("to/b/"+of.name(), nil).with("to/b/"+wrong.name(), object)
		if _, err := restore(bad, At{}); !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), "and its name says") {
			t.Errorf("the name of the entries %d to %d: %v", wrong.first, wrong.last, err)
		}
	}
}

// The log begins anew behind a base while small objects end before it. They become one object without the new entries.
func TestMergeBeforeAGap(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	h.grow(4)
	w := open(t, on)
	must(t, h.base(w))
	h.grow(9)
	must(t, h.base(w)) // of entry 14
	h.grow(2)
	for _, of := range [][2]int{{5, 6}, {6, 7}, {14, 15}, {15, 16}} {
		must(t, w.Append(background, h.entries[of[0]:of[1]]))
	}
	must(t, w.mergeTail(background))
	must(t, w.Close())
	if got := ranges(t, place(on)); got != "6-7 15-16 15-15 16-16" {
		t.Errorf("the objects are %s", got)
	}
	got, err := restore(on, At{})
	must(t, err)
	h.same(got, 16)
	if got, err = restore(on, At{Wall: h.moments[7].wall, AcceptLoss: true}); err != nil || got.Index != 7 {
		t.Errorf("before the gap: %+v, %v", got, err)
	}
}

// The base was made while a leader's clock was an hour ahead. The first object behind it has the state's clock, not that of its entries.
func TestClockBehindABase(t *testing.T) {
	h, on := newHistory(t, 6), newFolder(t)
	h.clock += int64(time.Hour)
	h.grow(6)
	w := open(t, on)
	must(t, h.base(w))
	h.clock -= int64(time.Hour)
	must(t, h.appendEach(w, 2))
	rd := reading(t, on)
	for _, of := range rd.log {
		if head, err := rd.header(of); err != nil || head.Wall != h.moments[of.last].wall || head.Wall != w.Bases()[0].Wall {
			t.Errorf("entry %d has the time %d, and the state %d: %v", of.last, head.Wall, h.moments[of.last].wall, err)
		}
	}
	if len(rd.log) != 2 || w.Newest().UnixNano() != h.wall {
		t.Errorf("%d objects, the newest time is %v", len(rd.log), w.Newest())
	}
	must(t, w.Close())
}
