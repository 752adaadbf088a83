package backup

import (
	"context"
	"errors"
	"io"
	iofs "io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"pgregory.net/rapid"

	"qkv/internal/testlong"
	"qkv/snapshot"
	"qkv/snapshot/backup/store"
)

// unlocked is a store without a lock. before, if not nil, is told of each call, before it.
type unlocked struct {
	store.Store
	before func(call, name string)
}

func (u unlocked) tell(call, name string) {
	if u.before != nil {
		u.before(call, name)
	}
}

func (u unlocked) Lock(make bool) (io.Closer, error) {
	if make {
		lock, err := u.Store.Lock(true) // a folder needs its file
		if err != nil {
			return nil, err
		}
		lock.Close()
	}
	return io.NopCloser(nil), nil
}

func (u unlocked) Put(ctx context.Context, name string, content []byte) error {
	u.tell("put", name)
	return u.Store.Put(ctx, name, content)
}

func (u unlocked) Get(ctx context.Context, name string, offset, most int64) ([]byte, error) {
	u.tell("get", name)
	return u.Store.Get(ctx, name, offset, most)
}

func (u unlocked) List(ctx context.Context, folder string) ([]store.Info, error) {
	u.tell("list", folder)
	return u.Store.List(ctx, folder)
}

func (u unlocked) Delete(ctx context.Context, names ...string) error {
	for _, name := range names { // others may call in between
		u.tell("delete", name)
		if err := u.Store.Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// late is a store that answers the lists of a moment.
type late struct {
	store.Store
	lists map[string][]store.Info // nil: those of now
}

func (l *late) freeze(t testing.TB) {
	t.Helper()
	l.lists = map[string][]store.Info{}
	for _, dir := range []string{"", baseDir, filesDir, logDir} {
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

// A store answers old lists to a Writer: it repeats what is there, and misses nothing.
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
		must(t, h.base(w))
		must(t, h.appendEach(w, 3))
		third := h.save()
		must(t, h.copyBase(w, third, 1<<16))
		must(t, errors.Join(w.Close(), third.Close()))

		w = writing(t, s, to...)
		if last, _ := w.Last(); last != 0 || len(w.Bases()) != 1 { // the objects of the list are gone
			t.Errorf("by an old list, the log ends at entry %d, and there are %d bases", last, len(w.Bases()))
		}
		must(t, w.Append(background, h.from(was)))
		third = h.save()
		must(t, h.copyBase(w, third, 1<<16)) // it is there, and not in the list
		must(t, h.appendEach(w, 2))
		must(t, h.base(w))
		if removed, err := removeOld(w, time.Unix(0, h.wall).Add(time.Hour), 0); err != nil || slices.ContainsFunc(removed, func(name string) bool { return !strings.Contains(name, "/"+logDir+"/") }) {
			t.Errorf("by an old list, %q are removed, %v", removed, err) // by the sizes that it knows, the newer bases are not whole
		}
		must(t, errors.Join(w.Close(), third.Close()))
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

// A manifest was removed by another Writer since it was listed: that is no damage, and no failure.
func TestManifestIsRemovedMeanwhile(t *testing.T) {
	h, on := small(t)
	s := &late{Store: place(on)}
	s.freeze(t)
	oldest := reading(t, on).Bases[0]
	must(t, s.Delete(background, baseName(oldest.Index, oldest.Term)))
	rd, err := Open(background, s)
	if must(t, err); len(rd.Bases) != 1 || len(rd.Faults) > 0 {
		t.Errorf("%d bases, faults %v", len(rd.Bases), rd.Faults)
	}
	got, err := rd.Restore(At{}, testLimits(), nil)
	must(t, err)
	h.same(got, uint64(len(h.entries)))
	must(t, writing(t, s).Close())
}

// Files that no base lists stay for backupGrace of the steady clock after they were first seen, and go then. Another Writer's files are
// not removed, if they are younger or its manifest comes in time.
func TestGrace(t *testing.T) {
	h, on := large(t), newFolder(t)
	s := unlocked{Store: place(on)}
	w := writing(t, s)
	must(t, h.base(w))
	h.add(false, h.command())
	at := uint64(len(h.entries))
	other := writing(t, s)
	c, err := other.Base(h.save(), h.part)
	must(t, err)
	for len(c.base.Files) == 0 || c.file != nil || len(c.missing) > 0 {
		_, err := c.Step(background, 1<<20)
		must(t, err)
	}
	left := func() (n int) {
		for _, f := range c.base.Files {
			if slices.Contains(list(t, on, "to/b/"+filesDir), strings.TrimPrefix(fileName(f), filesDir+"/")) {
				n++
			}
		}
		return n
	}
	now, r := time.Unix(0, h.wall), Retention{Keep: time.Hour}
	clock := time.Duration(77)
	for _, wait := range []time.Duration{0, backupGrace / 2, backupGrace/2 - 1} {
		clock += wait
		removed, err := r.Remove(background, w, now, clock)
		if must(t, err); len(removed) > 0 || left() != len(c.base.Files) {
			t.Fatalf("after %v, %q were removed", clock, removed)
		}
	}
	if removed, err := new(Retention).Remove(background, w, now, clock+backupGrace); err != nil || len(removed) > 0 {
		t.Errorf("a process that begins removes %q, %v", removed, err)
	}
	shared := left()
	removed, err := r.Remove(background, w, now, clock+1)
	if must(t, err); len(removed) == 0 || left() >= shared {
		t.Fatalf("after the time of grace, %q were removed", removed)
	}
	for _, name := range removed {
		if !strings.Contains(name, "/"+filesDir+"/") {
			t.Errorf("%s was removed", name)
		}
	}
	if again, err := r.Remove(background, w, now, clock+2); err != nil || len(again) > 0 {
		t.Errorf("%q were removed once more, %v", again, err)
	}
	_, err = c.Step(background, 1)
	if err == nil || !strings.Contains(err.Error(), "it is missing, and its base has") || len(reading(t, on).Bases) != 1 {
		t.Errorf("a base is published whose files were removed: %v", err)
	}
	from, err := openSnapshot(h, at)
	must(t, err)
	must(t, h.copyBase(other, from, 1<<20))
	if removed, err := r.Remove(background, w, now, clock+2*backupGrace); err != nil || len(removed) > 0 {
		t.Errorf("with the manifest of another Writer, %q were removed, %v", removed, err)
	}
	must(t, errors.Join(w.Close(), other.Close(), whole(t, on, &reading(t, on).Bases[1])))
}

// The own copy's files stay, however long it takes.
func TestGraceOfTheOwnCopy(t *testing.T) {
	h, on := large(t), newFolder(t)
	w := open(t, on)
	must(t, h.base(w))
	h.add(false, h.command())
	c, err := w.Base(h.save(), h.part)
	must(t, err)
	r := Retention{Keep: time.Hour}
	clock := time.Duration(0)
	for done := false; !done; clock += backupGrace {
		done, err = c.Step(background, 1<<20)
		must(t, err)
		if len(c.base.Files) == 0 {
			continue
		}
		removed, err := r.Remove(background, w, time.Unix(0, h.wall), clock)
		if must(t, err); len(removed) > 0 {
			t.Fatalf("%q were removed", removed)
		}
	}
	must(t, w.Close())
	base := c.Published()
	must(t, whole(t, on, &base))
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

// pair is two Writers of one store without a lock, each in a goroutine of which one runs at a time. The schedule changes at calls of the store.
type pair struct {
	*history
	t     *rapid.T
	s     store.Store
	turns [2]chan bool  // the goroutine may go on; false: it ends
	yield chan error    // it has made a call, or its step is over
	clock time.Duration // steady
	made  []uint64      // entries whose snapshots the members have
}

var errOver = errors.New("the step is over")

// steps runs a step of both writers at once, and lets rapid choose whose call is next.
func (p *pair) steps(steps [2]func(s store.Store) error) (errs [2]error) {
	running := []int{}
	for i := range steps {
		p.turns[i] = make(chan bool)
		running = append(running, i)
	}
	p.yield = make(chan error)
	for i, step := range steps {
		go func() {
			<-p.turns[i]
			s := unlocked{p.s, func(string, string) { p.yield <- nil; <-p.turns[i] }}
			errs[i] = step(s)
			p.yield <- errOver
		}()
	}
	for len(running) > 0 {
		k := 0
		if len(running) > 1 {
			k = rapid.IntRange(0, 1).Draw(p.t, "turn")
		}
		p.turns[running[k]] <- true
		if <-p.yield == errOver {
			running = slices.Delete(running, k, k+1)
		}
		p.manifests()
	}
	return errs
}

// manifests fails if a manifest lists an object that is not there.
func (p *pair) manifests() {
	bases, faults, err := listBases(background, p.s, testCluster)
	if err != nil || len(faults) > 0 {
		p.t.Fatal(err, faults)
	}
	sizes, _, err := listSizes(background, p.s)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, b := range bases {
		for _, f := range b.Files {
			if fault := lacks(p.s, sizes, f); fault != nil {
				p.t.Fatalf("the base of entry %d: %v", b.Index, fault)
			}
		}
	}
}

// Two Writers of one cluster write to one store without a lock, for instance a leader and the one before it. Whatever the order of their calls,
// each manifest lists only objects that are there, and every moment restores as soon as one of them has stored it.
func TestTwoWriters(t *testing.T) {
	testlong.Skip(t)
	key, err := age.GenerateX25519Identity()
	must(t, err)
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, rapid.Uint64().Draw(rt, "seed"))
		h.grow(rapid.IntRange(3, 9).Draw(rt, "before"))
		on := newFolder(t)
		p := &pair{history: h, t: rt, s: place(on)}
		var to []age.Recipient
		if rapid.IntRange(0, 3).Draw(rt, "encrypted") == 0 {
			to = []age.Recipient{key.Recipient()}
		}
		var writers [2]*Writer
		var retentions [2]Retention
		m := &moments{history: h, bases: map[uint64]bool{}, entries: map[uint64]bool{}} // what is promised
		save := func() uint64 {
			at := uint64(len(h.entries))
			if !slices.Contains(p.made, at) {
				if err := h.save().Close(); err != nil {
					rt.Fatal(err)
				}
				p.made = append(p.made, at)
			}
			return at
		}
		save()
		step := func(i int) func(store.Store) error {
			kind := rapid.SampledFrom([]string{"open", "append", "append", "append", "base", "base", "retain", "nothing"}).Draw(rt, "step")
			if writers[i] == nil || writers[i].err != nil {
				kind = "open"
			}
			at := rapid.SampledFrom(p.made).Draw(rt, "snapshot")
			many := rapid.IntRange(1, 4).Draw(rt, "entries")
			since := rapid.Uint64Range(1, uint64(len(h.entries))).Draw(rt, "since")
			return func(s store.Store) error {
				w := writers[i]
				if w != nil {
					w.store = s
				}
				switch kind {
				case "open":
					again, err := Write(background, s, true, testOf, to...)
					if err == nil {
						writers[i] = again
					}
					return err
				case "append":
					last, _ := w.Last()
					if n := len(w.bases); last == 0 && n > 0 {
						last = w.bases[n-1].Index
					}
					if last == 0 {
						return nil
					}
					for last < uint64(len(h.entries)) {
						next := min(last+uint64(many), uint64(len(h.entries)))
						if err := w.Append(background, h.entries[last:next]); err != nil {
							return err
						}
						for last < next {
							last++
							m.entries[last] = true
						}
					}
				case "base":
					if at < m.kept {
						return nil
					}
					from, err := openSnapshot(h, at)
					if err != nil {
						return err
					}
					part := func(one snapshot.Part) Source { return h.part(one) }
					c, err := w.Base(from, part)
					for done := false; err == nil && !done; {
						done, err = c.Step(background, 1<<12)
					}
					if errors.Is(err, iofs.ErrExist) {
						err = nil
					} else if err == nil {
						m.bases[at] = true
					}
					return errors.Join(err, from.Close())
				case "retain":
					if len(w.bases) == 0 {
						return nil
					}
					newest := w.Newest()
					from := min(h.moments[since].wall, newest.UnixNano())
					m.kept = max(m.kept, h.at(from))
					retentions[i].Keep = time.Duration(newest.UnixNano() - from)
					_, err := retentions[i].Remove(background, w, newest, p.clock)
					return err
				}
				return nil
			}
		}
		rounds := rapid.IntRange(3, 12).Draw(rt, "rounds")
		for range rounds {
			h.grow(rapid.IntRange(0, 5).Draw(rt, "grow"))
			if rapid.Bool().Draw(rt, "save") {
				save()
			}
			if rapid.IntRange(0, 3).Draw(rt, "wait") == 0 {
				p.clock += backupGrace // between the copies: each takes less
			}
			errs := p.steps([2]func(store.Store) error{step(0), step(1)})
			for i, err := range errs {
				if err != nil {
					rt.Fatalf("writer %d: %v", i, err)
				}
			}
			rd, err := Open(background, p.s, key)
			if err != nil {
				rt.Fatal(err)
			}
			for range 3 {
				if len(rd.Bases) == 0 {
					break
				}
				e := rapid.Uint64Range(1, uint64(len(h.entries))).Draw(rt, "moment")
				if h.moments[e].wall == 0 {
					continue // it means the newest moment
				}
				want := h.at(h.moments[e].wall)
				promised := m.promised(want) && (m.entries[want+1] || want >= m.end()) // what is behind a gap may have the same time
				got, err := rd.Restore(At{Wall: h.moments[e].wall}, testLimits(), nil)
				switch {
				case err == nil:
					if got.Index > want || got.Index < want && (!got.Ends || promised) {
						rt.Fatalf("entry %d is restored instead of %d", got.Index, want)
					}
					h.same(got, got.Index)
				case promised || !errors.Is(err, ErrRange) && !errors.Is(err, ErrGap):
					rt.Fatalf("the moment of entry %d: %v; kept since %d, bases %v", want, err, m.kept, m.bases)
				}
			}
			if err := rd.Dump(io.Discard, DumpOptions{}); err != nil {
				rt.Fatal(err)
			}
		}
	})
}
