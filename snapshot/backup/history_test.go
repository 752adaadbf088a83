package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
	"qkv/snapshot"
	"qkv/snapshot/backup/store"
)

// full asks for the whole of each sweep; the share that is run otherwise takes seconds.
var full = os.Getenv("QKV_FULL") != ""

const testCluster = 0xc1a5

var testOf = Cluster{ID: testCluster, Name: "test", Version: "0.2.0"}

func testLimits() limits.Index {
	l := limits.Defaults().Index
	l.SlabBytes, l.ExtentBytes = 64<<10, 4_000
	return l
}

// moment is what a State was after an entry.
type moment struct {
	wall     int64 // the state's clock
	revision int64
	digest   uint64
	each     []int64 // revision after each command
}

// history is a random log, and what a State was that applied it.
type history struct {
	t        testing.TB
	random   *rand.Rand
	state    *index.State
	entries  []Entry // from index 1 on
	heads    []index.Envelope
	commands [][][]byte // of each entry
	moments  []moment   // by index; the first is that of the empty state
	member   *simdisk.Disk
	clock    int64
	wall     int64
	session  kv.WriteName
	nextID   uint64
	large    int // bytes of the largest value
}

// newHistory begins a log with its founders.
func newHistory(t testing.TB, seed uint64) *history {
	t.Helper()
	h := &history{
		t: t, random: rand.New(rand.NewPCG(seed, 30)), state: index.NewState(testLimits()), member: simdisk.New(1),
		moments: []moment{{revision: 1}}, clock: 1_700_000_000_000_000_000, nextID: 100, large: 200,
	}
	must(t, h.member.MkdirAll("snap"))
	must(t, h.member.SyncDir("."))
	h.state.Found(founders())
	h.state.Stored(0, 0, nil) // it is saved in parts
	h.add(false)
	return h
}

func founders() index.Members { return index.Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3}) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add appends an entry with these commands and applies it.
func (h *history) add(change bool, commands ...[]byte) {
	h.t.Helper()
	at, term := h.state.Applied()
	e := Entry{Index: at + 1, Term: max(term, 1), Change: change}
	head := index.Envelope{Level: index.FirstLevel, Member: 1 + h.random.Uint64N(3), First: 1}
	if len(commands) == 0 && at > 0 {
		e.Term++
	}
	if len(commands) > 0 {
		h.clock += h.random.Int64N(2_000_000_000)
		head.Wall = h.clock - h.random.Int64N(500_000_000) // the members' clocks differ
		e.Envelope = index.AppendEnvelope(nil, head, commands)
		h.wall = max(h.wall, head.Wall)
	}
	apply := h.state.Apply
	if change {
		apply = h.state.ApplyChange
	}
	results, err := apply(e.Index, e.Term, e.Envelope, nil)
	must(h.t, err)
	m := moment{wall: h.wall, revision: h.moments[len(h.moments)-1].revision, digest: h.state.View().Digest()}
	for _, r := range results {
		m.revision = max(m.revision, r.Revision) // a resent outcome has the revision of its first copy
		m.each = append(m.each, m.revision)
	}
	h.entries, h.heads, h.commands, h.moments = append(h.entries, e), append(h.heads, head), append(h.commands, commands), append(h.moments, m)
}

// grow appends n random entries.
func (h *history) grow(n int) *history {
	h.t.Helper()
	for range n {
		switch r := h.random.IntN(40); {
		case len(h.entries) == 3:
			h.add(false, index.AppendFeatureLevel(nil, index.MaxLevel).Bytes)
		case r == 0:
			h.add(false)
		case r == 1:
			h.nextID++
			h.add(true, new(index.Head).AppendMemberChange(nil, &kv.MemberChange{
				Kind: kv.AddLearner, ID: h.nextID, Name: fmt.Sprintf("m%d", h.nextID), Peers: []string{fmt.Sprintf("10.0.0.1:%d", h.nextID)},
			}).Bytes)
		case r == 2 && h.nextID > 100:
			h.add(true, new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.RemoveMember, ID: h.nextID}).Bytes)
		case r == 3:
			h.add(false, index.AppendCheck(nil).Bytes)
		default:
			var commands [][]byte
			for range 1 + h.random.IntN(6) {
				commands = append(commands, h.command())
			}
			h.add(false, commands...)
		}
	}
	return h
}

func (h *history) key() []byte { return fmt.Appendf(nil, "key %02d", h.random.IntN(30)) }

func (h *history) value() []byte {
	b := make([]byte, h.random.IntN(h.large+1))
	for i := range b {
		b[i] = byte(h.random.Uint32())
	}
	return b
}

// command returns a random command.
func (h *history) command() []byte {
	v := h.state.View()
	head := &index.Head{}
	if h.random.IntN(3) == 0 {
		head.By = v.By([]string{"", "ann", "bob"}[h.random.IntN(3)])
	}
	lease := h.random.Int64N(6)
	switch h.random.IntN(16) {
	case 0:
		return new(index.Head).AppendDelete(nil, &kv.Delete{Key: h.key()}).Bytes
	case 1:
		return new(index.Head).AppendDelete(nil, &kv.Delete{Key: h.key(), End: h.key()}).Bytes
	case 2:
		return new(index.Head).AppendGrant(nil, kv.Lease{ID: 1 + lease, TTL: 1 + h.random.Int64N(1000)}).Bytes
	case 3:
		return index.AppendRevoke(nil, 1+lease, 0, 0).Bytes
	case 4:
		return new(index.Head).AppendCompact(nil, max(v.Compacted(), v.Revision()-h.random.Int64N(20))).Bytes
	case 5:
		return head.AppendAuthChange(nil, h.change()).Bytes
	case 6, 7:
		if h.session.Session == 0 || h.random.IntN(8) == 0 {
			h.session = kv.WriteName{Session: 1 + h.random.Uint64(), Window: 1, Opened: v.SessionClock()}
		}
		h.session.Sequence++
		head.Once = h.session
		return head.AppendPut(nil, &kv.Put{Key: h.key(), Value: h.value()}).Bytes
	case 8:
		put := func() kv.Op { return kv.Op{Put: &kv.Put{Key: h.key(), Value: h.value()}} }
		return head.AppendTxn(nil, &kv.Txn{Success: []kv.Op{put(), {Delete: &kv.Delete{Key: h.key()}}}}).Bytes
	default:
		p := &kv.Put{Key: h.key(), Value: h.value()}
		if _, ok := v.Lease(lease); ok {
			p.Lease = lease
		}
		return head.AppendPut(nil, p).Bytes
	}
}

// change returns a random change of users or roles.
func (h *history) change() *kv.AuthChange {
	name := []string{"ann", "bob"}[h.random.IntN(2)]
	switch h.random.IntN(4) {
	case 0:
		return &kv.AuthChange{Kind: kv.UserAdd, User: name, NoPassword: true}
	case 1:
		return &kv.AuthChange{Kind: kv.RoleAdd, Role: name}
	case 2:
		return &kv.AuthChange{Kind: kv.UserGrantRole, User: name, Role: name}
	}
	return &kv.AuthChange{Kind: kv.UserDelete, User: name}
}

// save saves the state as a member does, and returns a source of it.
func (h *history) save() *snapshot.Reader {
	h.t.Helper()
	at, term := h.state.Applied()
	_, err := snapshot.Save(h.member, "snap", snapshot.Meta{Cluster: testCluster, Member: 1, Index: at, Term: term, Version: "0.2.0"}, h.state.ViewToSave(), nil)
	if err != nil && !errors.Is(err, os.ErrExist) {
		h.t.Fatal(err)
	}
	r, err := snapshot.Open(h.member, "snap/"+snapshot.Name(at, term))
	must(h.t, err)
	return r
}

// base copies a snapshot of the present state into a backup.
func (h *history) base(w *Writer) error {
	r := h.save()
	defer r.Close()
	return h.copyBase(w, r, 1<<16)
}

// part returns a source of a part.
func (h *history) part(p snapshot.Part) Source {
	r, err := snapshot.Open(h.member, "snap/"+p.Name())
	must(h.t, err)
	h.t.Cleanup(func() { r.Close() })
	return r
}

func (h *history) copyBase(w *Writer, from Source, step int) error {
	part := h.part
	if c, is := from.(counting); is {
		part = func(p snapshot.Part) Source { return counting{h.part(p), c.counter} }
	}
	c, err := w.Base(from, part)
	for done := false; err == nil && !done; {
		done, err = c.Step(background, step)
	}
	return err
}

// from returns the entries behind an index.
func (h *history) from(after uint64) []Entry { return h.entries[after:] }

// same fails unless a restored state is that of an entry.
func (h *history) same(got *Restored, want uint64) {
	h.t.Helper()
	m := h.moments[want]
	if at, _ := got.State.Applied(); at != want || got.Index != want || got.Revision != m.revision || got.Wall != m.wall {
		h.t.Fatalf("restored entry %d (%d), revision %d, wall %d; want entry %d, revision %d, wall %d", got.Index, at, got.Revision, got.Wall, want, m.revision, m.wall)
	}
	if d := got.State.View().Digest(); d != m.digest {
		h.t.Fatalf("the digest at entry %d is %016x, and the state had %016x", want, d, m.digest)
	}
}

// at returns the entry of the state at a time.
func (h *history) at(wall int64) uint64 {
	i := 0
	for i+1 < len(h.moments) && h.moments[i+1].wall <= wall {
		i++
	}
	return uint64(i)
}

// cut returns the digest of the state right behind the change that made a revision: a State applies the entries up to
// there, the last one with a part of its commands.
func (h *history) cut(revision int64) uint64 {
	h.t.Helper()
	s := index.NewState(testLimits())
	s.Found(founders())
	for i := range h.entries {
		e, m := &h.entries[i], h.moments[i+1]
		envelope := e.Envelope
		if m.revision >= revision && m.revision > h.moments[i].revision {
			n := 0
			for m.each[n] < revision {
				n++
			}
			envelope = index.AppendEnvelope(nil, h.heads[i], h.commands[i][:n+1])
		}
		apply := s.Apply
		if e.Change {
			apply = s.ApplyChange
		}
		_, err := apply(e.Index, e.Term, envelope, nil)
		must(h.t, err)
		s.View()
		if m.revision >= revision {
			break
		}
	}
	return s.View().Digest()
}

// newFolder is an empty disk with a folder, durable.
func newFolder(t testing.TB) *simdisk.Disk {
	t.Helper()
	on := simdisk.New(1)
	must(t, on.MkdirAll("to"))
	must(t, on.SyncDir("."))
	return on
}

// small is a backup of some entries with two bases, each of which has a part of its own. The log behind the second one is two objects.
func small(t testing.TB) (*history, *simdisk.Disk) {
	t.Helper()
	h, on := newHistory(t, 1), newFolder(t)
	h.large = 20
	h.grow(6).weigh()
	w := open(t, on)
	must(t, h.base(w))
	at, _ := h.state.Applied()
	h.grow(3).weigh()
	must(t, w.Append(background, h.from(at)))
	must(t, h.base(w))
	h.grow(2)
	must(t, w.Append(background, h.from(at)))
	h.grow(2)
	must(t, w.Append(background, h.from(at)))
	if b := w.Bases(); len(b[0].Files) < 2 || len(b[1].Files) <= len(b[0].Files) {
		t.Fatalf("the bases have %d and %d files", len(b[0].Files), len(b[1].Files))
	}
	must(t, w.Close())
	return h, on
}

// weigh appends an entry that ends an extent, and small ones: the next snapshot lists a further part.
func (h *history) weigh() *history {
	h.t.Helper()
	for _, bytes := range []int64{testLimits().ExtentBytes, 1} {
		h.add(false, new(index.Head).AppendPut(nil, &kv.Put{Key: h.key(), Value: make([]byte, bytes)}).Bytes)
	}
	return h
}

// background is the context of calls that nothing ends.
var background = context.Background()

// place is the backup's folder. A simulated disk is for one goroutine, and reads ahead and readers that nothing waits for have their own.
func place(on disk.FS) store.Store { return &inTurn{Store: store.OpenFolder(on, "to/b")} }

// inTurn is a store that reads for one goroutine at a time.
type inTurn struct {
	store.Store
	mu sync.Mutex
}

func (s *inTurn) Get(ctx context.Context, name string, off, most int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Store.Get(ctx, name, off, most)
}

func open(t testing.TB, on disk.FS, to ...age.Recipient) *Writer {
	t.Helper()
	return writing(t, place(on), to...)
}

func writing(t testing.TB, s store.Store, to ...age.Recipient) *Writer {
	t.Helper()
	w, err := Write(background, s, true, testOf, 1, to...)
	must(t, err)
	return w
}

func reading(t testing.TB, on disk.FS, keys ...age.Identity) *Reader {
	t.Helper()
	r, err := Open(background, place(on), keys...)
	must(t, err)
	return r
}

func restore(on disk.FS, at At, keys ...age.Identity) (*Restored, error) {
	return restoreFrom(place(on), at, keys...)
}

func restoreFrom(s store.Store, at At, keys ...age.Identity) (*Restored, error) {
	r, err := Open(background, s, keys...)
	if err != nil {
		return nil, err
	}
	return r.Restore(at, testLimits(), nil)
}

// removeOld removes what no moment within a time before the newest one needs.
func removeOld(w *Writer, keep time.Duration) (removed []string, err error) {
	w.Keep = keep
	return w.Retain(background)
}

var errClosed = errors.New("the backup is closed")

// Close ends a Writer. A production one is just forgotten.
func (w *Writer) Close() error {
	w.err = cmp.Or(w.err, errClosed)
	return nil
}

// forge stores a list that no Writer has made, and returns its path.
func forge(t testing.TB, on disk.FS, number, cluster uint64, bases ...Base) string {
	t.Helper()
	w := &Writer{cluster: Cluster{ID: cluster}, number: number - 1, term: 1}
	_, b := w.encode(bases)
	must(t, place(on).Put(background, listName(number), b))
	return "to/b/" + listName(number)
}

// files returns the paths of all objects of the backup.
func files(t testing.TB, on disk.FS) (all []string) {
	t.Helper()
	for _, dir := range []string{"", listsDir, filesDir, logDir} {
		for _, name := range namesIn(t, on, path.Join("to/b", dir)) {
			if !slices.Contains([]string{listsDir, filesDir, logDir}, name) {
				all = append(all, path.Join("to/b", dir, name))
			}
		}
	}
	return all
}

// namesIn returns the names in a folder, none if it is not there.
func namesIn(t testing.TB, on disk.FS, dir string) []string {
	t.Helper()
	names, err := on.List(dir)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

// logs returns the objects of the log in a store.
func logs(t testing.TB, s store.Store) []span {
	t.Helper()
	spans, _, _, err := listLog(background, s)
	must(t, err)
	return spans
}

func slurp(t testing.TB, on disk.FS, path string) []byte {
	t.Helper()
	f, err := on.Open(path)
	must(t, err)
	defer f.Close()
	n, err := f.Size()
	must(t, err)
	b := make([]byte, n)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return b
}

// openSnapshot opens the snapshot of an entry that was saved.
func openSnapshot(h *history, at uint64) (*snapshot.Reader, error) {
	return snapshot.Open(h.member, "snap/"+snapshot.Name(at, h.entries[at-1].Term))
}
