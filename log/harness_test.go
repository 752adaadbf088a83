package log_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// full runs the sweeps whole; without it, a share of them.
var full = flag.Bool("full", false, "run the sweeps whole")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(m.Run())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const dir = "data/wal"

// options are those of a log on a simulated disk, with segments as small as in the simulator.
func options(d disk.FS, seed uint64) log.Options {
	salts := rand.New(rand.NewPCG(seed, 0x73616c74))
	return log.Options{FS: d, Dir: dir, Cluster: 0xc1, Member: 0x3e, SegmentBytes: 64 << 10, WindowBytes: limits.WindowBytes, Salt: salts.Uint64}
}

func entry(i, term uint64, data string) *raftpb.Entry {
	kind := raftpb.EntryNormal
	e := &raftpb.Entry{Index: &i, Term: &term, Type: &kind}
	if data != "" {
		e.Data = []byte(data)
	}
	return e
}

func sameEntry(a, b *raftpb.Entry) bool {
	return a.GetIndex() == b.GetIndex() && a.GetTerm() == b.GetTerm() && a.GetType() == b.GetType() && bytes.Equal(a.GetData(), b.GetData())
}

// model is what a log holds, naively.
type model struct {
	hard     log.HardState
	base     uint64 // the entry before the first one
	baseTerm uint64
	entries  []*raftpb.Entry
}

func (m *model) last() uint64 { return m.base + uint64(len(m.entries)) }

func (m *model) lastTerm() uint64 {
	if len(m.entries) == 0 {
		return m.baseTerm
	}
	return m.entries[len(m.entries)-1].GetTerm()
}

// change is one thing that was handed to the log: an entry, a marker, or a hard state.
type change struct {
	entry  *raftpb.Entry
	marker *log.Marker
	hard   *log.HardState
}

// apply returns the model after a change, which shares nothing that can be changed with the one before.
func (m model) apply(c change) model {
	switch {
	case c.entry != nil:
		n := c.entry.GetIndex() - m.base - 1
		m.entries = append(m.entries[:n:n], c.entry)
	case c.marker != nil:
		m.base, m.baseTerm, m.entries = c.marker.Index, c.marker.Term, nil
		m.hard.Commit = max(m.hard.Commit, m.base)
	default:
		m.hard = *c.hard
	}
	return m
}

// world drives a log, its window and its maker with random work, and knows what must be found after a crash.
type world struct {
	t       testing.TB
	r       *rand.Rand
	m       *simdisk.Disk
	o       log.Options
	l       *log.Log
	w       *log.Window
	maker   *log.Maker
	readers []*log.Reader // of this life

	acked    model    // what a Sync has returned for
	pending  []change // what was handed in since
	now      model    // acked and pending
	released uint64   // entries that are not needed any more
	torn     bool     // the last recovery met a torn end
}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), m: simdisk.New(seed)}
	w.m.Guard(".wal", true)
	w.o = options(w.m, seed)
	w.acked = model{hard: log.HardState{Term: 1, Commit: 1}, base: 1, baseTerm: 1}
	w.now, w.released = w.acked, 1
	return w
}

// create makes the log.
func (w *world) create() error {
	if err := w.m.MkdirAll("data"); err != nil {
		return err
	}
	if err := w.m.SyncDir("."); err != nil {
		return err
	}
	return log.Create(w.o, log.Marker{Index: 1, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}}})
}

// open opens the log and checks that it holds what it must.
func (w *world) open() error {
	l, r, err := log.Open(w.o)
	if err != nil {
		return err
	}
	got, err := w.check(r)
	if err != nil {
		return err
	}
	w.l, w.w, w.maker = l, r.Window, log.NewMaker(w.o)
	w.acked, w.now, w.pending, w.torn = got, got, nil, r.Torn != nil
	w.released = max(w.released, got.base) // a marker that was never acknowledged may have survived
	if w.released > r.Window.LastIndexOf() {
		return fmt.Errorf("released up to %d, the log ends with %d", w.released, r.Last)
	}
	w.w.Release(w.released, w.term(w.released))
	return nil
}

// term is the term of an entry that was acknowledged.
func (w *world) term(i uint64) uint64 {
	if i == w.acked.base {
		return w.acked.baseTerm
	}
	return w.acked.entries[i-w.acked.base-1].GetTerm()
}

// check holds what was recovered against what may be: all that was acknowledged, and of what was handed in later any
// first part. It returns which it is.
func (w *world) check(r *log.Recovered) (model, error) {
	m, errs := w.acked, error(nil)
	for k := 0; ; k++ {
		err := w.same(r, m)
		if err == nil {
			break
		}
		errs = errors.Join(errs, err)
		if k == len(w.pending) {
			return m, fmt.Errorf("nothing that was handed in explains it: first %d last %d/%d %+v; acknowledged %d/%d %+v, with what followed: %w",
				r.First, r.Last, r.LastTerm, r.HardState, w.acked.last(), w.acked.lastTerm(), w.acked.hard, errs)
		}
		m = m.apply(w.pending[k])
	}
	m.hard = r.HardState
	old, top := w.acked.hard, w.now.hard
	hs := r.HardState
	if hs.Term < old.Term || hs.Term == old.Term && hs.Vote != old.Vote && (old.Vote != 0 || hs != (log.HardState{Term: hs.Term, Vote: top.Vote, Commit: hs.Commit})) {
		return m, fmt.Errorf("%+v after %+v was acknowledged", hs, old)
	}
	if hs.Term > top.Term || hs.Term == top.Term && hs.Vote != 0 && hs.Vote != top.Vote || hs.Commit > top.Commit {
		return m, fmt.Errorf("%+v, but nothing newer than %+v was handed in", hs, top)
	}
	for i := max(w.acked.hard.Commit, w.released, m.base) + 1; i <= hs.Commit; i++ {
		if want := w.now.at(i); want != nil && !sameEntry(m.at(i), want) {
			return m, fmt.Errorf("entry %v is committed, it was %v that was", m.at(i), want)
		}
	}
	return m, nil
}

// at returns an entry, nil when a marker stands in its place.
func (m *model) at(i uint64) *raftpb.Entry {
	if i <= m.base || i > m.last() {
		return nil
	}
	return m.entries[i-m.base-1]
}

// same compares the entries.
func (w *world) same(r *log.Recovered, m model) error {
	if r.Last != m.last() || r.LastTerm != m.lastTerm() {
		return fmt.Errorf("last entry %d/%d, not %d/%d", r.Last, r.LastTerm, m.last(), m.lastTerm())
	}
	lo := max(w.released, m.base) + 1
	if r.First > lo {
		return fmt.Errorf("first entry %d, not %d", r.First, lo)
	}
	if lo > r.Last {
		return nil
	}
	want := m.entries[lo-m.base-1:]
	s := log.Storage{Window: r.Window, Reader: w.reader()}
	for len(want) > 0 {
		got, err := s.Entries(want[0].GetIndex(), r.Last+1, 1<<40)
		if err != nil {
			return err
		}
		for i := range got {
			if !sameEntry(got[i], want[i]) {
				return fmt.Errorf("entry %v, not %v", got[i], want[i])
			}
		}
		want = want[len(got):]
	}
	return nil
}

func (w *world) hand(c change) {
	w.pending = append(w.pending, c)
	w.now = w.now.apply(c)
}

// append hands in entries from one index on, in a term.
func (w *world) append(from, term uint64, n int, hs *log.HardState) {
	var entries []*raftpb.Entry
	for i := range n {
		entries = append(entries, entry(from+uint64(i), term, w.data()))
	}
	if hs != nil {
		w.hand(change{hard: hs})
	}
	for _, e := range entries {
		w.hand(change{entry: e})
	}
	w.l.Append(hs, entries)
}

// data is mostly small, sometimes larger than a segment.
func (w *world) data() string {
	n := w.r.IntN(300)
	switch w.r.IntN(40) {
	case 0:
		n = w.r.IntN(90_000)
	case 1, 2, 3:
		n = w.r.IntN(9000)
	case 4:
		n = 0
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.r.Uint32())
	}
	return string(b)
}

// pendingEntries are the entries that were handed in to the model.
func (w *world) pendingEntries() []*raftpb.Entry {
	var entries []*raftpb.Entry
	for _, c := range w.pending {
		if c.entry != nil {
			entries = append(entries, c.entry)
		}
	}
	return entries
}

// sync makes all durable, and tells the window.
func (w *world) sync() error {
	at, err := w.l.Sync()
	if err != nil {
		return err
	}
	for _, c := range w.pending {
		switch {
		case c.entry != nil:
			w.w.Append([]*raftpb.Entry{c.entry}, at[:1])
			at = at[1:]
		case c.marker != nil:
			w.w.Reset(*c.marker)
		}
	}
	if len(at) != 0 {
		return fmt.Errorf("%d positions too many", len(at))
	}
	w.w.Publish(w.l.Segments())
	// Commit alone writes nothing: only what a frame carried is sure.
	hard := w.now.hard
	durable := w.l.Stats().HardState
	if durable.Term != hard.Term || durable.Vote != hard.Vote {
		return fmt.Errorf("%+v after a sync of %+v", durable, hard)
	}
	w.acked, w.pending = w.now, nil
	w.acked.hard = durable
	return nil
}

// step is one piece of random work, or another start.
func (w *world) step() error {
	if k := w.r.IntN(100); k < 99 {
		return w.work(k)
	}
	return w.reopen()
}

// work is one piece of random work, by a number below 99.
func (w *world) work(k int) error {
	switch {
	case k < 35:
		w.append(w.now.last()+1, max(w.now.hard.Term, w.now.lastTerm()), 1+w.r.IntN(4), nil)
		return nil
	case k < 65:
		return w.sync()
	case k < 72:
		w.turn()
		return nil
	case k < 77:
		w.overlap()
		return nil
	case k < 82:
		return w.l.Fence(w.r.IntN(2) == 0)
	case k < 86:
		w.commit()
		return nil
	case k < 88:
		return w.reset()
	case k < 93:
		return w.release()
	default:
		return w.make()
	}
}

// turn begins a new term, or votes in it.
func (w *world) turn() {
	hs := w.now.hard
	if hs.Vote == 0 {
		hs.Vote = uint64(1 + w.r.IntN(3))
	} else {
		hs.Term, hs.Vote = hs.Term+1, uint64(w.r.IntN(3))
	}
	w.hand(change{hard: &hs})
	w.l.Append(&hs, nil)
}

// overlap replaces the newest entries that are not committed, as a new leader does.
func (w *world) overlap() {
	lo := max(w.now.hard.Commit, w.now.base, w.released) + 1
	if lo > w.now.last() {
		return
	}
	hs := w.now.hard
	hs.Term, hs.Vote = hs.Term+1, 0
	w.append(lo+w.r.Uint64N(w.now.last()-lo+1), hs.Term, 1+w.r.IntN(3), &hs)
}

func (w *world) commit() {
	if w.now.last() <= w.now.hard.Commit {
		return
	}
	hs := w.now.hard
	hs.Commit += 1 + w.r.Uint64N(w.now.last()-hs.Commit)
	w.hand(change{hard: &hs})
	w.l.SetCommit(hs.Commit)
}

// reset installs a snapshot that is ahead of the log, with entries behind it.
func (w *world) reset() error {
	m := log.Marker{Index: w.now.last() + w.r.Uint64N(20), Term: max(w.now.hard.Term, w.now.lastTerm()), ConfState: &raftpb.ConfState{Voters: []uint64{1}}}
	if m.Index <= w.now.hard.Commit {
		return nil
	}
	w.hand(change{marker: &m})
	w.l.Reset(m)
	if w.r.IntN(2) == 0 {
		w.append(m.Index+1, m.Term, 1+w.r.IntN(3), nil)
	}
	if err := w.sync(); err != nil {
		return err
	}
	w.released = m.Index
	return nil
}

// release lets go of committed entries.
func (w *world) release() error {
	commit := min(w.acked.hard.Commit, w.acked.last())
	if len(w.pending) > 0 || commit <= w.released {
		return nil
	}
	w.released += 1 + w.r.Uint64N(commit-w.released)
	w.released = max(w.released, w.acked.base)
	w.w.Release(w.released, w.term(w.released))
	w.l.Release(w.released)
	w.w.Publish(w.l.Segments())
	return nil
}

// sayNext says in segments which one follows.
func (w *world) sayNext() error {
	for _, p := range w.l.TakeNextPages() {
		if err := w.maker.WriteNext(p); err != nil {
			return err
		}
	}
	return nil
}

// make does what the segment maker does.
func (w *world) make() error {
	if err := w.sayNext(); err != nil {
		return err
	}
	for _, name := range w.l.TakeReleased() {
		if err := w.maker.Recycle(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if w.l.Stats().Spares > 1 {
		return nil
	}
	w.maker.Reserve, w.maker.Keeps = w.r.IntN(2) == 0, w.r.IntN(6)
	for {
		spare, done, err := w.maker.Step()
		if err != nil {
			return err
		}
		if done {
			w.l.AddSpare(spare)
			return nil
		}
		if w.r.IntN(4) == 0 {
			return nil
		}
	}
}

// reopen ends the process in one way or another, and opens the log again.
func (w *world) reopen() error {
	w.maker.Close()
	if w.r.IntN(2) == 0 {
		if err := w.l.Close(); err != nil {
			return err
		}
		for _, one := range w.readers {
			if err := one.Close(); err != nil {
				return err
			}
		}
		if left := w.m.OpenFiles(); len(left) > 0 {
			return fmt.Errorf("files that were not closed: %q", left)
		}
		w.drop()
	} else {
		w.m.Kill()
	}
	w.l, w.readers = nil, nil
	return w.open()
}

// reader reads the log; it is closed with it.
func (w *world) reader() *log.Reader {
	r := log.NewReader(w.o.FS)
	w.readers = append(w.readers, r)
	return r
}

// drop forgets what was handed in and not synced: a log that is closed drops it, too. Terms and commits may survive.
func (w *world) drop() {
	w.pending = slices.DeleteFunc(w.pending, func(c change) bool { return c.hard == nil })
}
