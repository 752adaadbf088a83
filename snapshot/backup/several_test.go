package backup

import (
	"context"
	"errors"
	"strings"
	"testing"

	"qkv/internal/damage"
	"qkv/log/disk"
)

// TestSeveral: three members have led in turn, each has a backup of its own, and nothing has the entries between two of them. A moment is
// restored from a backup that has all entries up to it. A moment in the gap, and a damaged backup, never give an older state.
func TestSeveral(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	write := func(name string, to uint64) (from uint64) {
		w, err := OpenFolder(on, "to/all/"+name, testOf)
		must(t, err)
		must(t, h.base(w))
		from, _ = h.state.Applied()
		h.grow(int(to - from))
		must(t, w.Append(h.from(from)))
		must(t, w.Close())
		return from
	}
	open := func() Several {
		all, err := OpenSeveral(on, "to/all")
		must(t, err)
		return all
	}
	h.grow(20)
	write("n2", 60) // n2 leads first: its folder sorts behind that of the next leader
	write("n1", 100)
	h.grow(20)
	third := write("n3", 160)
	all := open()
	if len(all) != 3 {
		t.Fatalf("%d backups", len(all))
	}
	restore := func(at At) (*Restored, string, error) {
		got, from, err := all.Restore(context.Background(), at, testLimits(), nil)
		if err != nil {
			return nil, "", err
		}
		return got, from.Path, nil
	}
	for _, one := range []struct {
		entry uint64
		from  string
	}{{30, "n2"}, {60, "n1"}, {80, "n1"}, {third, "n3"}, {140, "n3"}, {160, "n3"}} {
		got, from, err := restore(At{Wall: h.moments[one.entry].wall})
		must(t, err)
		h.same(got, h.at(h.moments[one.entry].wall))
		if !strings.HasSuffix(from, one.from) {
			t.Errorf("entry %d is restored from %s, and not from %s", one.entry, from, one.from)
		}
	}
	if got, from, err := restore(At{Wall: h.moments[third-5].wall}); !errors.Is(err, ErrGap) {
		t.Errorf("a moment that no backup has is restored from %s: %+v, %v", from, got, err)
	}
	if got, _, err := restore(At{Wall: h.moments[third-5].wall, AcceptLoss: true}); err != nil || got.Lost == nil || got.Index != 100 {
		t.Errorf("with the loss accepted: %+v, %v", got, err)
	}
	if _, _, err := restore(At{Revision: h.moments[160].revision + 1}); !errors.Is(err, ErrRange) {
		t.Errorf("a revision behind all of them: %v", err)
	}
	must(t, all.Close())

	// The furthest backup is damaged where no other one has the entries.
	remove(t, on, "to/all/n3/base")
	all = open()
	if got, from, err := restore(At{}); err == nil {
		t.Errorf("the newest state is of entry %d from %s, and n3 had newer entries", got.Index, from)
	}
	if got, _, err := restore(At{AcceptLoss: true}); err != nil || got.Lost == nil || got.Index != 100 {
		t.Errorf("with the loss accepted: %+v, %v", got, err)
	}
	must(t, all.Close())

	w, err := OpenFolder(on, "to/all/other", Cluster{ID: testCluster + 1, Name: "other"})
	must(t, err)
	must(t, w.Close())
	if _, err := OpenSeveral(on, "to/all"); !errors.Is(err, ErrForeign) {
		t.Errorf("a folder with backups of two clusters: %v", err)
	}
}

// With the loss accepted, the newest whole state of all backups is restored, whichever backup is looked at first: here the one that goes
// furthest is damaged early.
func TestAcceptedLossIsTheLeast(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	h.grow(19)
	ends := map[string][]uint64{"n1": {40, 50, 60}, "n2": {30, 40, 50}, "n3": {25, 60, 100}} // of the chunks of the log; the second one is damaged
	writers := map[string]*Writer{}
	for name := range ends {
		w, err := OpenFolder(on, "to/all/"+name, testOf)
		must(t, err)
		must(t, h.base(w))
		writers[name] = w
	}
	h.grow(80)
	for name, w := range writers {
		for _, to := range ends[name] {
			must(t, w.Append(h.entries[20:to]))
		}
		must(t, w.Close())
		edit(t, on, "to/all/"+name+"/"+segmentName(21), func(f disk.File) error {
			s, err := scan(name, f)
			if err == nil {
				_, err = s.chunk()
			}
			if err == nil {
				_, err = f.WriteAt([]byte{0xff}, s.next+30)
			}
			return err
		})
	}
	all, err := OpenSeveral(on, "to/all")
	must(t, err)
	defer all.Close()
	if got, _, err := all.Restore(context.Background(), At{}, testLimits(), nil); err == nil {
		t.Errorf("entry %d is restored as the newest one", got.Index)
	}
	got, from, err := all.Restore(context.Background(), At{AcceptLoss: true}, testLimits(), nil)
	must(t, err)
	if h.same(got, got.Index); got.Index != 40 || got.Lost == nil || !strings.HasSuffix(from.Path, "n1") {
		t.Errorf("entry %d is restored from %s, lost: %v", got.Index, from.Path, got.Lost)
	}
}

// remove removes the files in a folder.
func remove(t *testing.T, on disk.FS, dir string) {
	t.Helper()
	names, err := on.List(dir)
	must(t, err)
	for _, name := range names {
		must(t, on.Remove(dir+"/"+name))
	}
}

// TestSeveralDamaged: one member's backup goes on behind the end of another one's, and is damaged. What is left of it tells how far it
// went, so the other one's end is never taken for the newest state.
func TestSeveralDamaged(t *testing.T) {
	flip := func(at int64) func(f disk.File) error {
		return func(f disk.File) error { _, err := f.WriteAt([]byte{0xff}, at); return err }
	}
	for _, one := range []struct {
		name   string
		damage func(t *testing.T, on disk.FS, dir string)
		index  uint64 // of the newest state; 0: it is refused
	}{
		{"no damage", func(*testing.T, disk.FS, string) {}, 100},
		{"the marker is gone", func(t *testing.T, on disk.FS, dir string) { must(t, on.Remove(dir+"/"+markName)) }, 100},
		{"the marker and all bases are gone", func(t *testing.T, on disk.FS, dir string) {
			must(t, on.Remove(dir+"/"+markName))
			remove(t, on, dir+"/"+baseDir)
		}, 0},
		{"the newest segment's header is damaged", func(t *testing.T, on disk.FS, dir string) {
			edit(t, on, dir+"/"+segmentName(51), flip(30))
		}, 0},
		{"a chunk's header is damaged", func(t *testing.T, on disk.FS, dir string) {
			edit(t, on, dir+"/"+segmentName(51), flip(headerBytes+30))
		}, 0},
		{"the newest segment is torn behind its header", func(t *testing.T, on disk.FS, dir string) {
			edit(t, on, dir+"/"+segmentName(51), func(f disk.File) error { return f.Truncate(headerBytes + 10) })
		}, 70},
		{"the newest manifest is damaged, and the log is gone", func(t *testing.T, on disk.FS, dir string) {
			bases, err := on.List(dir + "/" + baseDir)
			must(t, err)
			edit(t, on, dir+"/"+baseDir+"/"+bases[len(bases)-1], flip(damage.PreludeBytes+30))
			remove(t, on, dir+"/"+logDir)
		}, 0},
	} {
		t.Run(one.name, func(t *testing.T) {
			h, on := newHistory(t, 5), newFolder(t)
			h.grow(19)
			n1, err := OpenFolder(on, "to/all/n1", testOf)
			must(t, err)
			n2, err := OpenFolder(on, "to/all/n2", testOf)
			must(t, err)
			must(t, h.base(n1))
			must(t, h.base(n2))
			h.grow(30)
			must(t, n2.Append(h.from(20)))
			must(t, h.base(n2)) // a new segment begins
			h.grow(20)
			must(t, n1.Append(h.from(20)))
			must(t, n2.Append(h.from(50)))
			h.grow(10)
			must(t, n2.Append(h.from(70)))
			if strings.Contains(one.name, "manifest") {
				must(t, h.base(n2))
			}
			h.grow(20)
			must(t, n2.Append(h.from(80)))
			must(t, errors.Join(n1.Close(), n2.Close()))

			one.damage(t, on, "to/all/n2")
			all, err := OpenSeveral(on, "to/all")
			var got *Restored
			if err == nil {
				defer all.Close()
				got, _, err = all.Restore(context.Background(), At{}, testLimits(), nil)
			}
			switch {
			case one.index == 0 && err == nil:
				t.Errorf("the newest state is of entry %d, and the damaged backup went on", got.Index)
			case one.index != 0 && err != nil:
				t.Error(err)
			case one.index != 0 && got.Index != one.index:
				t.Errorf("the newest state is of entry %d instead of %d", got.Index, one.index)
			case err != nil:
				t.Log(err)
			}
		})
	}
}

// edit changes a file.
func edit(t *testing.T, on disk.FS, name string, how func(f disk.File) error) {
	t.Helper()
	f, err := on.OpenWritable(name)
	must(t, err)
	must(t, errors.Join(how(f), f.Close()))
}
