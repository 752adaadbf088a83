package backup

import (
	"context"
	"errors"
	iofs "io/fs"
	"math"
	"slices"
	"testing"
	"time"

	"filippo.io/age"
	"pgregory.net/rapid"

	"qkv/snapshot"
	"qkv/snapshot/backup/store"
)

// pair is two leaders of one store, each in a goroutine of which one runs at a time. The schedule changes at calls of the store. A call may be
// lost, its answer may be, and it may be carried out much later, when its Writer has long given up.
type pair struct {
	*history
	t     *rapid.T
	s     store.Store
	turns [2]chan int // the goroutine may go on; what becomes of its next call
	yield chan bool   // it makes a call; false: its step is over
	late  []func() error
	calls bool // may go wrong
	made  []uint64
	lists map[uint64]list
}

var errLost = errors.New("no answer came")

// leader is the store as one of the leaders sees it.
type leader struct {
	store.Store
	p    *pair
	turn chan int
}

// call makes a call that changes something.
func (l leader) call(do func() error) error {
	l.p.yield <- true
	switch <-l.turn {
	case 1:
		return errLost
	case 2:
		l.p.late = append(l.p.late, do)
		return errLost
	case 3:
		_ = do()
		return errLost
	}
	return do()
}

func (l leader) Put(ctx context.Context, name string, content []byte) error {
	return l.call(func() error { return l.Store.Put(ctx, name, content) })
}

func (l leader) Create(ctx context.Context, name string, content []byte) error {
	return l.call(func() error { return l.Store.Create(ctx, name, content) })
}

func (l leader) Delete(ctx context.Context, names ...string) error {
	for _, name := range names { // others may call in between
		if err := l.call(func() error { return l.Store.Delete(ctx, name) }); err != nil {
			return err
		}
	}
	return nil
}

func (l leader) List(ctx context.Context, folder string) ([]store.Info, error) {
	l.p.yield <- true
	<-l.turn
	return l.Store.List(ctx, folder)
}

// steps runs a step of both leaders at once, and lets rapid choose whose call is next.
func (p *pair) steps(steps [2]func(s store.Store) error) (errs [2]error) {
	running := []int{}
	p.yield = make(chan bool)
	for i, step := range steps {
		p.turns[i] = make(chan int)
		running = append(running, i)
		go func() {
			<-p.turns[i]
			errs[i] = step(leader{p.s, p, p.turns[i]})
			p.yield <- false
		}()
	}
	for len(running) > 0 {
		k := 0
		if len(running) > 1 {
			k = rapid.IntRange(0, 1).Draw(p.t, "turn")
		}
		fate := 0
		if p.calls {
			fate = rapid.IntRange(0, 40).Draw(p.t, "fate")
		}
		p.turns[running[k]] <- fate
		if !<-p.yield {
			running = slices.Delete(running, k, k+1)
		}
		if len(p.late) > 0 && rapid.IntRange(0, 20).Draw(p.t, "late") == 0 {
			p.arrive(rapid.IntRange(0, len(p.late)-1).Draw(p.t, "call"))
		}
		p.look()
	}
	return errs
}

// arrive carries out a call whose Writer has given it up.
func (p *pair) arrive(i int) {
	do := p.late[i]
	p.late = slices.Delete(p.late, i, i+1)
	_ = do() // nobody hears of it
}

// look fails if the newest list names an object that is not there, or one that the list before has condemned.
func (p *pair) look() {
	l, _, faults, err := newestList(background, p.s, testCluster, true)
	if err != nil || len(faults) > 0 {
		p.t.Fatal(err, faults)
	}
	sizes, _, err := listSizes(background, p.s)
	if err != nil {
		p.t.Fatal(err)
	}
	before, is := p.lists[l.Number-1]
	for _, f := range l.Files {
		if fault := lacks(p.s, sizes, f); fault != nil {
			p.t.Fatalf("list %d: %v", l.Number, fault)
		}
		if is && f.Number < l.Number && !slices.Contains(before.Files, f) {
			p.t.Fatalf("list %d has %s, which list %d does not have", l.Number, fileName(f), before.Number)
		}
	}
	if was, is := p.lists[l.Number]; is && was.Writer != l.Writer || l.Number > 0 && l.Term < before.Term {
		p.t.Fatalf("list %d was made twice, or by an earlier leader: %+v, then %+v", l.Number, was, l)
	}
	p.lists[l.Number] = l
}

// Two leaders write to one store: one of them was deposed, and may not know it. Whatever the order of their calls, and however late some of them
// arrive, the newest list has only objects that are there, and every moment restores as soon as one of them has stored it.
func TestTwoLeaders(t *testing.T) {
	defer otherCompressors(t)()
	key, err := age.GenerateX25519Identity()
	must(t, err)
	made, removals, overtaken, restored := 0, 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, rapid.Uint64().Draw(rt, "seed"))
		h.grow(rapid.IntRange(3, 9).Draw(rt, "before"))
		on := newFolder(t)
		p := &pair{history: h, t: rt, s: place(on), calls: rapid.Bool().Draw(rt, "calls go wrong"), lists: map[uint64]list{}}
		var to []age.Recipient
		if rapid.IntRange(0, 3).Draw(rt, "encrypted") == 0 {
			to = []age.Recipient{key.Recipient()}
		}
		var writers [2]*Writer
		term := uint64(1)
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
			kind := rapid.SampledFrom([]string{"elected", "again", "append", "append", "append", "base", "base", "base", "sweep", "nothing"}).Draw(rt, "step")
			w := writers[i]
			if w == nil || w.err != nil && kind != "elected" {
				kind = "again"
			}
			own := term
			if kind == "elected" {
				term++
				own = term
			} else if w != nil && rapid.Bool().Draw(rt, "deposed") {
				own = w.term
			}
			at := rapid.SampledFrom(p.made).Draw(rt, "snapshot")
			many := rapid.IntRange(1, 4).Draw(rt, "entries")
			since := rapid.Uint64Range(1, uint64(len(h.entries))).Draw(rt, "since")
			retains := rapid.IntRange(0, 2).Draw(rt, "retain") == 0
			return func(s store.Store) error {
				if w != nil {
					w.store = s
				}
				switch kind {
				case "elected", "again":
					again, err := Write(background, s, true, testOf, own, to...)
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
					from, err := openSnapshot(h, at)
					if err != nil {
						return err
					}
					if w.Keep = math.MaxInt64; retains {
						newest := max(w.Newest().UnixNano(), h.moments[at].wall)
						w.Keep = time.Duration(max(newest-h.moments[since].wall, 0))
						m.kept = max(m.kept, h.at(newest-int64(w.Keep)))
					}
					c, err := w.Base(from, func(one snapshot.Part) Source { return h.part(one) })
					for done := false; err == nil && !done; {
						done, err = c.Step(background, 1<<12)
					}
					switch {
					case errors.Is(err, iofs.ErrExist):
						err = nil
					case err == nil:
						m.bases[at] = true
						made++
					}
					return errors.Join(err, from.Close())
				case "sweep":
					removed, err := w.Sweep(background)
					removals += len(removed)
					return err
				}
				return nil
			}
		}
		check := func() {
			rd, err := Open(background, p.s, key)
			if errors.Is(err, ErrNone) {
				return
			}
			if err != nil {
				rt.Fatal(err)
			}
			end := m.end() // also of calls whose leader does not know that they were carried out
			for _, b := range rd.Bases {
				end = max(end, b.Index)
			}
			for _, of := range rd.log {
				end = max(end, of.last)
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
				promised := m.promised(want) && (m.entries[want+1] || want >= end) // what is behind a gap may have the same time
				got, err := rd.Restore(At{Wall: h.moments[e].wall}, testLimits(), nil)
				switch {
				case err == nil:
					if got.Index > want || got.Index < want && (!got.Ends || promised) {
						rt.Fatalf("entry %d is restored instead of %d", got.Index, want)
					}
					h.same(got, got.Index)
					restored++
				case promised || !errors.Is(err, ErrRange) && !errors.Is(err, ErrGap):
					rt.Fatalf("the moment of entry %d: %v; kept since %d, bases %v", want, err, m.kept, m.bases)
				}
			}
		}
		rounds := rapid.IntRange(3, 14).Draw(rt, "rounds")
		for range rounds {
			h.grow(rapid.IntRange(0, 5).Draw(rt, "grow"))
			if rapid.Bool().Draw(rt, "save") {
				save()
			}
			for i, err := range p.steps([2]func(store.Store) error{step(0), step(1)}) {
				if errors.Is(err, ErrOvertaken) {
					overtaken++
				} else if err != nil && !errors.Is(err, errLost) {
					rt.Fatalf("leader %d: %v", i, err)
				}
			}
			check()
		}
		for len(p.late) > 0 {
			p.arrive(0)
			p.look()
		}
		check()
	})
	t.Logf("%d bases, %d removals, %d times overtaken, %d moments restored", made, removals, overtaken, restored)
	if made == 0 || removals == 0 || overtaken == 0 || restored == 0 {
		t.Error("something never happened")
	}
}
