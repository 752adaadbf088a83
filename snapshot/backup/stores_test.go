package backup

import (
	"context"
	"errors"
	"io"
	iofs "io/fs"
	"strings"
	"testing"

	"filippo.io/age"

	"qkv/internal/testlong"
	"qkv/snapshot/backup/store"
)

// late is a store that answers the lists of a moment.
type late struct {
	store.Store
	lists map[string][]store.Info // nil: those of now
}

func (l *late) freeze(t testing.TB) {
	t.Helper()
	l.lists = map[string][]store.Info{}
	for _, dir := range []string{"", listsDir, filesDir, logDir} {
		all, err := l.Store.List(background, dir)
		must(t, err)
		l.lists[dir] = all
	}
}

func (l *late) List(ctx context.Context, folder string) ([]store.Info, error) {
	if l.lists != nil {
		return l.lists[folder], nil
	}
	return l.Store.List(ctx, folder)
}

// A store answers an old list to a Reader: it restores the state of that time or a later one, or says which object is missing.
func TestOldListOfAReader(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	h.grow(4)
	w := open(t, on)
	must(t, h.base(w))
	must(t, h.appendEach(w, 3))
	s := &late{Store: place(on)}
	s.freeze(t)
	was := uint64(len(h.entries))
	must(t, w.mergeTail(background))
	must(t, h.appendEach(w, 3))
	got, err := restoreFrom(s, At{})
	must(t, err)
	h.same(got, was)
	must(t, h.base(w)) // the small ones of the first merge are removed
	if _, err := restoreFrom(s, At{}); !damaged(err) || !strings.Contains(err.Error(), "log/00000000000000000006-00000000000000000006-") {
		t.Errorf("an object that is gone: %v", err)
	}
	rd, err := Open(background, s)
	must(t, err)
	s.lists = nil // it becomes up to date
	got, err = rd.Restore(At{}, testLimits(), nil)
	must(t, err)
	h.same(got, uint64(len(h.entries)))
	must(t, w.Close())
}

// A store answers old listings to a Writer: its list is refused, and it misses nothing once the listings are new.
func TestOldListOfAWriter(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	for _, to := range [][]age.Recipient{nil, {key.Recipient()}} {
		h, on := newHistory(t, 5), newFolder(t)
		h.grow(4)
		w := open(t, on, to...)
		must(t, h.base(w))
		must(t, h.appendEach(w, 3))
		s := &late{Store: place(on)}
		s.freeze(t)
		was := w.Bases()[0].Index
		must(t, errors.Join(h.base(w), h.appendEach(w, 3), h.base(w), w.Close()))

		w = writing(t, s, to...)
		must(t, w.Append(background, h.from(was)))
		h.grow(1)
		if err := h.base(w); !errors.Is(err, ErrOvertaken) || !strings.Contains(err.Error(), listName(2)) {
			t.Errorf("by an old listing, a list is made: %v", err)
		}
		if err := w.Append(background, nil); !errors.Is(err, ErrOvertaken) {
			t.Errorf("it goes on: %v", err)
		}
		s.lists = nil
		w = writing(t, s, to...)
		must(t, errors.Join(h.base(w), w.Close()))
		rd := reading(t, on, key)
		if len(rd.Bases) != 4 {
			t.Errorf("%d bases are there", len(rd.Bases))
		}
		got, err := rd.Restore(At{}, testLimits(), nil)
		must(t, err)
		h.same(got, uint64(len(h.entries)))
		must(t, rd.Verify(testLimits(), nil, func(*Verified) {}))
		must(t, rd.Dump(io.Discard, DumpOptions{}))
	}
}

// A list was removed by another Writer since it was listed: that is no damage, and no failure.
func TestListIsRemovedMeanwhile(t *testing.T) {
	h, on := small(t)
	s := &late{Store: place(on)}
	s.freeze(t)
	must(t, s.Delete(background, listName(1)))
	rd, err := Open(background, s)
	if must(t, err); len(rd.Bases) != 2 || len(rd.Faults) > 0 {
		t.Errorf("%d bases, faults %v", len(rd.Bases), rd.Faults)
	}
	got, err := rd.Restore(At{}, testLimits(), nil)
	must(t, err)
	h.same(got, uint64(len(h.entries)))
	must(t, writing(t, s).Close())
}

// The leader of an earlier term stops, and so does one whose list is no longer the newest. A store that creates an object twice is refused.
func TestFence(t *testing.T) {
	h, on := small(t)
	write := func(term uint64) (*Writer, error) { return Write(background, place(on), false, testOf, term) }
	early, err := write(1)
	must(t, err)
	w, err := write(7)
	must(t, err)
	h.grow(2)
	must(t, h.base(w))
	h.grow(2)
	if err := h.base(early); !errors.Is(err, ErrOvertaken) {
		t.Errorf("the leader before makes a list: %v", err)
	}
	if _, err := write(6); !errors.Is(err, ErrOvertaken) || !strings.Contains(err.Error(), "is of term 7, and this member leads in term 6") {
		t.Errorf("an earlier term: %v", err)
	}
	asleep, err := write(7)
	must(t, err)
	for range listsKept + 2 { // the number that it would give is free again
		h.grow(1)
		must(t, h.base(w))
		_, err := w.Sweep(background)
		must(t, err)
	}
	h.grow(1)
	if err := h.base(asleep); !errors.Is(err, ErrOvertaken) || !strings.Contains(err.Error(), "follows") {
		t.Errorf("a Writer that slept makes a list: %v", err)
	}
	if removed, err := asleep.Sweep(background); !errors.Is(err, ErrOvertaken) || len(removed) > 0 {
		t.Errorf("a Writer that slept deletes %v: %v", removed, err)
	}
	must(t, w.Append(background, h.from(w.end.index)))
	must(t, whole(t, on, &w.bases[len(w.bases)-1]))
	if _, err := Write(background, overwriting{place(newFolder(t))}, true, testOf, 1); !errors.Is(err, store.ErrUnfenced) || !strings.Contains(err.Error(), "use another place") {
		t.Errorf("a store without conditional writes: %v", err)
	}
}

// overwriting is a store that ignores the condition of a create.
type overwriting struct{ store.Store }

func (o overwriting) Create(ctx context.Context, name string, content []byte) error {
	if err := o.Store.Create(ctx, name, content); !errors.Is(err, iofs.ErrExist) {
		return err
	}
	return o.Put(ctx, name, content)
}

// A file of the list is gone, or has another size, when the base is to be published.
func TestPublishRefused(t *testing.T) {
	testlong.Skip(t)
	key, err := age.GenerateX25519Identity()
	must(t, err)
	for what, corrupt := range map[string]func(s store.Store, name string) error{
		"gone":  func(s store.Store, name string) error { return s.Delete(background, name) },
		"short": func(s store.Store, name string) error { return s.Put(background, name, []byte("short")) },
		"long":  func(s store.Store, name string) error { return s.Put(background, name, make([]byte, 1<<20+1_300_000)) },
	} {
		for i, to := range [][]age.Recipient{nil, nil, {key.Recipient()}} { // the snapshot, and a part that another base has
			i = min(i, 1)
			h, on := large(t), newFolder(t)
			w := open(t, on, to...)
			must(t, h.base(w))
			h.add(false, h.command())
			c, err := w.Base(h.save(), h.part)
			must(t, err)
			for len(c.base.Files) == 0 || c.file != nil || len(c.missing) > 0 {
				_, err := c.Step(background, 1<<20)
				must(t, err)
			}
			name := fileName(c.base.Files[i])
			must(t, corrupt(place(on), name))
			done, err := c.Step(background, 1)
			if done || err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: a base is published without the file %d: %v", what, i, err)
			}
			if len(reading(t, on).Bases) != 1 || len(w.Bases()) != 1 {
				t.Errorf("%s: the base is there", what)
			}
			from, err := openSnapshot(h, uint64(len(h.entries)))
			must(t, err)
			must(t, h.copyBase(w, from, 1<<20)) // another copy makes it again
			base := w.Bases()[1]
			must(t, errors.Join(w.Close(), whole(t, on, &base)))
		}
	}
}
