package backup

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/internal/damage"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// Whenever the power fails during a retention, each base that is there has its file.
func TestRetainIsDurable(t *testing.T) {
	h, on := small(t)
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
			must(t, rd.Close())
		}
	})
	removed, err := w.Retain(time.Unix(0, h.wall).Add(time.Hour), 0)
	on.SetHook(nil)
	if must(t, err); len(removed) < 2 {
		t.Errorf("%q were removed", removed)
	}
	must(t, w.Close())
}

// The clocks of the cluster and of this host were years ahead while a base was made. Little is removed, and nothing more once they are
// right.
func TestRetainWithAllClocksAhead(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	w := open(t, on)
	for range 8 {
		h.grow(3)
		must(t, h.base(w))
		must(t, w.Append(h.from(w.Bases()[0].Index)))
	}
	right := time.Unix(0, h.wall)
	keep := right.Sub(time.Unix(0, w.Bases()[0].Wall))
	h.clock += int64(10 * 365 * 24 * time.Hour)
	h.grow(3)
	must(t, h.base(w))
	for _, now := range []time.Time{time.Unix(0, h.wall), right, right} {
		_, err := w.Retain(now, keep)
		must(t, err)
		if n := len(w.Bases()); n != 7 {
			t.Errorf("%d of 9 bases are left", n)
		}
	}
	must(t, w.Close())
}

// A manifest cannot be read for a while. The file that it names stays, since the base needs it afterwards.
func TestRetainWhileAManifestIsDamaged(t *testing.T) {
	h, on := small(t)
	rd := reading(t, on)
	newest := rd.Bases[1]
	must(t, rd.Close())
	name := "to/b/" + baseName(newest.Index, newest.Term)
	must(t, on.Rot(name, damage.PreludeBytes+3, 2))
	w := open(t, on)
	_, err := w.Retain(time.Unix(0, h.wall).Add(time.Hour), 0)
	must(t, errors.Join(err, w.Close()))
	must(t, on.Rot(name, damage.PreludeBytes+3, 2)) // the same bit again: the manifest is whole
	rd = reading(t, on)
	defer rd.Close()
	if len(rd.Bases) != 2 {
		t.Fatalf("%d bases", len(rd.Bases))
	}
	if _, _, err := rd.Bytes(&rd.Bases[1]); err != nil {
		t.Errorf("the base of entry %d: %v", newest.Index, err)
	}
}

// The log goes on while a base is copied, so a segment ends some entries behind its base. The segment stays for them.
func TestRetainTheEntriesBehindTheBase(t *testing.T) {
	for beside := range 4 {
		h, on := newHistory(t, 5), newFolder(t)
		h.grow(9)
		w := open(t, on)
		must(t, h.base(w))
		must(t, h.grow(5).save().Close())
		at := uint64(len(h.entries))
		h.grow(beside)
		must(t, w.Append(h.from(10)))
		from, err := openSnapshot(h, at)
		must(t, err)
		must(t, errors.Join(h.copyBase(w, from, 1<<16), from.Close()))
		h.grow(5)
		must(t, w.Append(h.from(at+uint64(beside))))
		removed, err := w.Retain(time.Unix(0, h.wall), 0)
		if must(t, errors.Join(err, w.Close())); len(removed) < 2 || len(w.Bases()) != 1 {
			t.Fatalf("%d bases stay, and %q were removed", len(w.Bases()), removed)
		}
		for e := at; e <= uint64(len(h.entries)); e++ {
			got, err := restore(on, At{Wall: h.moments[e].wall})
			if err != nil {
				t.Fatalf("%d entries behind the base in its segment: entry %d: %v", beside, e, err)
			}
			h.same(got, h.at(h.moments[e].wall))
		}
	}
}

// A damaged segment that was moved aside stays as long as the entries of its time do.
func TestRetainWhatWasMovedAside(t *testing.T) {
	h, on := small(t)
	rd := reading(t, on)
	oldest := rd.Bases[1].Index // after the retention
	must(t, rd.Close())
	early, late := segmentName(oldest)+setAside, segmentName(oldest+2)+setAside
	for _, name := range []string{early, late} {
		f, err := on.Create("to/b/" + name)
		must(t, errors.Join(err, f.Close()))
	}
	w := open(t, on)
	_, err := w.Retain(time.Unix(0, h.wall).Add(time.Hour), 0)
	must(t, errors.Join(err, w.Close()))
	if all := files(t, on); slices.Contains(all, "to/b/"+early) || !slices.Contains(all, "to/b/"+late) {
		t.Errorf("behind the base of entry %d these stay: %q", oldest, all)
	}
}

// The copy of one snapshot was interrupted, and the member has another one now: the part of the first one takes no space for ever.
func TestCopyRemovesAnotherOnesPart(t *testing.T) {
	h, on := large(t), newFolder(t)
	w := open(t, on)
	if err := h.copyBase(w, counting{h.save(), &counter{fails: 2_500_000}}, 1<<16); !errors.Is(err, errAway) {
		t.Fatal(err)
	}
	h.grow(1)
	must(t, h.base(w))
	must(t, w.Close())
	for _, name := range list(t, on, "to/b/files") {
		if strings.HasSuffix(name, temporary) {
			t.Errorf("%s is left", name)
		}
	}
}

func list(t *testing.T, on disk.FS, dir string) []string {
	t.Helper()
	names, err := on.List(dir)
	must(t, err)
	return names
}
