package backup

import (
	"context"
	"errors"
	"strings"
	"testing"

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

// remove removes the files in a folder.
func remove(t *testing.T, on disk.FS, dir string) {
	t.Helper()
	names, err := on.List(dir)
	must(t, err)
	for _, name := range names {
		must(t, on.Remove(dir+"/"+name))
	}
}
