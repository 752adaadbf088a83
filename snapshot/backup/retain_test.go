package backup

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/log/disk/simdisk"
)

// Whenever the power fails during a retention, each base that is there has its file.
func TestRetainIsDurable(t *testing.T) {
	_, on := small(t)
	w := open(t, on)
	calls := 0
	on.SetHook(func(simdisk.Op, string) {
		calls++
		for v := range simdisk.Variants {
			on := on.Clone(uint64(calls))
			on.Crash(simdisk.Variant(v))
			rd := reading(t, on)
			for i := range rd.Bases {
				if _, _, err := rd.Bytes(&rd.Bases[i]); err != nil {
					t.Errorf("at call %d: the base of entry %d has no file: %v", calls, rd.Bases[i].Index, err)
				}
			}
		}
	})
	removed, err := removeOld(w, 0)
	on.SetHook(nil)
	if must(t, err); len(removed) < 2 {
		t.Errorf("%q were removed", removed)
	}
	must(t, w.Close())
}

// A base that lacks one of its files, whichever it is, or has it cut, never counts as whole: retention keeps the newest base before it that can
// be restored, and every kept moment is restored.
func TestRetainWithoutAFile(t *testing.T) {
	h, on := newHistory(t, 8).grow(20), newFolder(t)
	w := open(t, on)
	put := func() {
		for b := range byte(60) { // at least one extent ends
			h.add(false, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: bytes.Repeat([]byte{b}, 200)}).Bytes)
		}
	}
	put()
	must(t, h.base(w))
	for range 2 {
		put()
		must(t, errors.Join(w.Append(background, h.from(w.Bases()[0].Index)), h.base(w)))
	}
	must(t, w.Close())
	bases := reading(t, on).Bases
	last := h.at(h.wall)
	for damaged := 1; damaged < len(bases); damaged++ {
		older := map[string]bool{}
		for _, f := range bases[damaged-1].Files {
			older[fileName(f)] = true
		}
		own := 0
		for i, f := range bases[damaged].Files {
			if older[fileName(f)] {
				continue
			}
			if i > 0 {
				own++
			}
			for _, cut := range []bool{false, true} {
				on := on.Clone(uint64(i))
				name := "to/b/" + fileName(f)
				if cut {
					file, err := on.OpenWritable(name)
					must(t, errors.Join(err, file.Truncate(f.Stored-1), file.Sync(), file.Close()))
				} else {
					must(t, on.Remove(name))
				}
				w := open(t, on)
				for range 3 { // each removes at most two bases
					_, err := removeOld(w, time.Duration(w.Newest().UnixNano()-bases[damaged].Wall))
					must(t, err)
				}
				if oldest := w.Bases()[0].Index; oldest != bases[damaged-1].Index {
					t.Errorf("base %d without file %d, cut: %v: the oldest base is that of entry %d, and that of entry %d is the last whole one", damaged, i, cut, oldest, bases[damaged-1].Index)
				}
				must(t, w.Close())
				got, err := restore(on, At{})
				must(t, err)
				h.same(got, last)
			}
		}
		if own == 0 {
			t.Errorf("base %d has no part of its own", damaged)
		}
	}
}

// Processes that end before they merge their small objects leave them. Retention removes those, too, so a backup never has more objects of the
// log than seconds in --keep, and one for each merge.
func TestRetainRemovesObjectsOfEarlierProcesses(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	h.grow(4)
	w := open(t, on)
	must(t, h.base(w))
	most := 0
	for range 8 { // intervals between bases
		for range 3 { // processes
			must(t, w.Close())
			w = open(t, on)
			must(t, h.appendEach(w, 3))
		}
		must(t, h.base(w))
		all := w.Bases()
		keep := time.Duration(h.wall - all[max(len(all)-3, 0)].Wall)
		_, err := removeOld(w, keep)
		must(t, err)
		oldest := w.Bases()[0].Index
		for _, of := range logs(t, place(on)) {
			if of.last <= oldest && of.last < w.end.index {
				t.Errorf("the object of entries %d to %d stays, and the oldest base is of entry %d", of.first, of.last, oldest)
			}
		}
		most = max(most, len(logs(t, place(on))))
	}
	if most > 3*(9+1) { // two intervals are kept, and the oldest base is a little older; each has 9 small objects, and a merged one
		t.Errorf("the log has %d objects", most)
	}
	must(t, w.Close())
	got, err := restore(on, At{})
	must(t, err)
	h.same(got, uint64(len(h.entries)))
}

// The clock of the cluster was years ahead while a base was made. Little is removed with each base.
func TestRetainWithAClockAhead(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	w := open(t, on)
	for range 8 {
		h.grow(3)
		must(t, h.base(w))
		must(t, w.Append(background, h.from(w.Bases()[0].Index)))
	}
	keep := time.Duration(h.wall - w.Bases()[0].Wall)
	h.clock += int64(10 * 365 * 24 * time.Hour)
	h.grow(3)
	w.Keep = keep
	must(t, h.base(w))
	if n := len(w.Bases()); n != 7 {
		t.Errorf("%d of 9 bases are left", n)
	}
	must(t, w.Close())
}

// The log goes on while a base is copied, so an object may end some entries behind its base. It stays for them.
func TestRetainTheEntriesBehindTheBase(t *testing.T) {
	for beside := range 4 {
		h, on := newHistory(t, 5), newFolder(t)
		h.grow(9)
		w := open(t, on)
		must(t, h.base(w))
		must(t, h.grow(5).save().Close())
		at := uint64(len(h.entries))
		h.grow(beside)
		must(t, w.Append(background, h.from(10)))
		from, err := openSnapshot(h, at)
		must(t, err)
		must(t, errors.Join(h.copyBase(w, from, 1<<16), from.Close()))
		h.grow(5)
		must(t, w.Append(background, h.from(at+uint64(beside))))
		removed, err := removeOld(w, 0)
		if must(t, errors.Join(err, w.Close())); len(removed) < 1 || len(w.Bases()) != 1 {
			t.Fatalf("%d bases stay, and %q were removed", len(w.Bases()), removed)
		}
		for e := at; e <= uint64(len(h.entries)); e++ {
			got, err := restore(on, At{Wall: h.moments[e].wall})
			if err != nil {
				t.Fatalf("%d entries behind the base in its object: entry %d: %v", beside, e, err)
			}
			h.same(got, h.at(h.moments[e].wall))
		}
	}
}

// All entries lie in the oldest base. The newest object of the log stays, so that the next Writer continues behind it.
func TestRetainTheNewestObject(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	h.grow(4)
	w := open(t, on)
	must(t, h.base(w))
	must(t, h.appendEach(w, 3))
	must(t, h.base(w))
	removed, err := removeOld(w, 0)
	if must(t, errors.Join(err, w.Close())); len(removed) < 2 || len(w.Bases()) != 1 {
		t.Errorf("%q were removed", removed)
	}
	w = open(t, on)
	if last, term := w.Last(); last != uint64(len(h.entries)) || term != h.entries[last-1].Term {
		t.Errorf("the log ends at entry %d of term %d", last, term)
	}
	must(t, w.Close())
}
