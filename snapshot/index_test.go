package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// apply puts one entry of these commands into a state.
func apply(t testing.TB, s *index.State, commands ...[]byte) {
	t.Helper()
	applied, term := s.View().Applied()
	e := index.Envelope{Level: 1, Member: 7, Incarnation: 8, First: applied, Wall: 1_700_000_000e9 + int64(applied)*5e8}
	results, err := s.Apply(applied+1, max(term, 1), index.AppendEnvelope(nil, e, commands), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatalf("a command was refused: %v", r.Err)
		}
	}
}

// entry is an entry of random puts, deletes of keys and of ranges, and now and then an announcement.
func entry(r *rand.Rand) [][]byte {
	var commands [][]byte
	key := func() []byte { return fmt.Appendf(nil, "key %03d", r.IntN(300)) }
	for range 1 + r.IntN(30) {
		switch n := r.IntN(20); {
		case n < 14:
			commands = append(commands, new(index.Head).AppendPut(nil, &kv.Put{Key: key(), Value: sized(r.IntN(1 << r.IntN(13)))(r.Int64())}).Bytes)
		case n < 18:
			commands = append(commands, new(index.Head).AppendDelete(nil, &kv.Delete{Key: key(), End: nil}).Bytes)
		case n < 18+r.IntN(2):
			var puts []kv.Op
			for i := range 1 + r.IntN(4) {
				puts = append(puts, kv.Op{Put: &kv.Put{Key: fmt.Appendf(key(), "-%d", i), Value: sized(r.IntN(200))(r.Int64())}})
			}
			commands = append(commands, new(index.Head).AppendTxn(nil, &kv.Txn{Success: puts}).Bytes)
		case n < 19:
			from := key()
			commands = append(commands, new(index.Head).AppendDelete(nil, &kv.Delete{Key: from, End: append(from[:len(from):len(from)], 'z')}).Bytes)
		default:
			commands = append(commands, index.AppendAnnounce(nil, &kv.Member{ID: 7, Name: "n1", Version: "0.1.0", Boot: 1}).Bytes)
		}
	}
	return commands
}

func metaOf(v *index.View) Meta {
	applied, term := v.Applied()
	return Meta{Cluster: 0xc1, Member: 7, Index: applied, Term: term, ConfState: []byte{8, 7}, Version: "0.1.0"}
}

func saveView(t testing.TB, fs disk.FS, dir string, v *index.View, step int) string {
	t.Helper()
	sv, err := Begin(fs, dir, metaOf(v), v)
	if err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		if done, err = sv.Step(step); err != nil {
			t.Fatal(err)
		}
	}
	return sv.Info().Path
}

// sameView compares all that two views hold, versions that are superseded and deleted included.
func sameView(t testing.TB, got, want *index.View) {
	t.Helper()
	if err := compareHead(Meta{
		Index: first(want.Applied()), Term: second(want.Applied()), Revision: want.Revision(), Digest: want.Digest(),
	}, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.AppendMeta(nil), want.AppendMeta(nil)) {
		t.Fatal("what is no key differs")
	}
	var a, b fake
	for v, to := range map[*index.View]*fake{got: &a, want: &b} {
		v.Scan(nil, func(key []byte, versions []index.Version) bool {
			for i := range versions {
				if err := versions[i].Read(); err != nil {
					t.Fatal(err)
				}
			}
			return to.key(key, versions) == nil
		})
		runtime.KeepAlive(v)
	}
	equal(t, &a, &b)
}

func first(a, _ uint64) uint64  { return a }
func second(_, b uint64) uint64 { return b }

// A loaded state is the saved one, and stays it while both apply the same entries. What was applied while the
// snapshot was being written is not in it.
func TestLoad(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 3))
		s := index.NewState(limits.Defaults().Index)
		s.Found(index.Founders(map[string]uint64{"n1": 7}))
		for range r.IntN(200) {
			apply(t, s, entry(r)...)
		}
		v := s.ViewToSave()
		fs := newDisk(t)
		sv, err := Begin(fs, "d", metaOf(v), v)
		if err != nil {
			t.Fatal(err)
		}
		var later [][][]byte
		for done := false; !done; {
			later = append(later, entry(r))
			apply(t, s, later[len(later)-1]...)
			if done, err = sv.Step(1 << r.IntN(20)); err != nil {
				t.Fatal(err)
			}
		}
		loaded, m, err := Load(fs, sv.Info().Path, limits.Defaults().Index)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if m.Digest != v.Digest() || m.Revision != v.Revision() || m.Member != 7 || string(m.ConfState) != "\x08\x07" {
			t.Errorf("seed %d: head %+v", seed, m)
		}
		sameView(t, loaded.ViewToSave(), v)
		for _, commands := range later {
			apply(t, loaded, commands...)
		}
		sameView(t, loaded.ViewToSave(), s.ViewToSave())
	}
}

// A key whose history needs several blocks is handed to the index as one.
func TestLoadLongHistory(t *testing.T) {
	s := index.NewState(limits.Defaults().Index)
	for i := range 30 {
		var commands [][]byte
		for range 20 {
			commands = append(commands, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("hot"), Value: sized(3000)(int64(i))}).Bytes)
		}
		apply(t, s, append(commands, new(index.Head).AppendDelete(nil, &kv.Delete{Key: []byte("hot"), End: nil}).Bytes, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("cold")}).Bytes)...)
	}
	fs := newDisk(t)
	loaded, _, err := Load(fs, saveView(t, fs, "d", s.ViewToSave(), 1), limits.Defaults().Index)
	if err != nil {
		t.Fatal(err)
	}
	sameView(t, loaded.ViewToSave(), s.ViewToSave())
}

// The golden file of a whole state: all later versions must load it to the same digest.
func TestGoldenState(t *testing.T) {
	path := filepath.Join("testdata", "state.snap")
	if *golden {
		s := index.NewState(limits.Defaults().Index)
		s.Found(index.Founders(map[string]uint64{"n1": 7}))
		apply(t, s, index.AppendAnnounce(nil, &kv.Member{
			ID: 7, Name: "n1", Version: "0.1.0", Folder: [16]byte{1}, Boot: 1, Process: [16]byte{2}, Clients: []string{"127.0.0.1:2379"}, Peers: []string{"127.0.0.1:2380"},
		}).Bytes)
		once := index.Head{Once: kv.WriteName{Session: 9, Sequence: 1, Window: 1, Opened: 1}}
		apply(t, s, once.AppendPut(nil, &kv.Put{Key: []byte("greeting"), Value: []byte("hello")}).Bytes, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("a")}).Bytes)
		apply(t, s, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("greeting"), Value: []byte("hello again")}).Bytes, new(index.Head).AppendDelete(nil, &kv.Delete{Key: []byte("a"), End: nil}).Bytes)
		fs := newDisk(t)
		if err := os.WriteFile(path, slurp(t, fs, saveView(t, fs, "d", s.ViewToSave(), 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, m, err := Load(disk.OS(), path, limits.Defaults().Index)
	if err != nil {
		t.Fatal(err)
	}
	v := s.ViewToSave()
	pair, found, err := v.Get([]byte("greeting"), 0)
	if err != nil || !found || string(pair.Value) != "hello again" || pair.CreateRevision != 2 || pair.ModRevision != 4 || pair.Version != 2 {
		t.Errorf("greeting is %+v, %v, %v", pair, found, err)
	}
	if pair, found, err = v.Get([]byte("greeting"), 2); err != nil || !found || string(pair.Value) != "hello" {
		t.Errorf("greeting was %+v, %v, %v", pair, found, err)
	}
	if _, found, err = v.Get([]byte("a"), 0); err != nil || found {
		t.Errorf("the deleted key: %v, %v", found, err)
	}
	if m.Revision != 5 || v.Revision() != 5 || v.Sessions() != 1 || m.Digest != v.Digest() || len(v.Members().All()) != 1 || v.Members().NameOf(7) != "n1" {
		t.Errorf("head %+v, members %+v", m, v.Members().All())
	}
}

// Checksums are not the last word: a state that is not the one in the head is refused.
func TestLoadDisagrees(t *testing.T) {
	s := index.NewState(limits.Defaults().Index)
	apply(t, s, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: []byte("v")}).Bytes)
	v := s.ViewToSave()
	for what, change := range map[string]func(*liar){
		"nothing":  func(*liar) {},
		"digest":   func(l *liar) { l.digest++ },
		"revision": func(l *liar) { l.revision++ },
		"index":    func(l *liar) { l.applied++ },
	} {
		l := &liar{View: v, digest: v.Digest(), revision: v.Revision(), applied: first(v.Applied())}
		change(l)
		m := metaOf(v)
		m.Index = l.applied
		fs := newDisk(t)
		sv, err := Begin(fs, "d", m, l)
		if err != nil {
			t.Fatal(err)
		}
		for done := false; !done && err == nil; { // the saver proves the file by the checks of a load
			done, err = sv.Step(1)
		}
		if err == nil {
			_, _, err = Load(fs, sv.Info().Path, limits.Defaults().Index)
		}
		if what == "nothing" && err != nil || what != "nothing" && !errors.Is(err, damage.ErrDamaged) {
			t.Errorf("another %s: %v", what, err)
		}
	}
}

// liar is a source that is not what it says.
type liar struct {
	*index.View
	digest   uint64
	revision int64
	applied  uint64
}

func (l *liar) Digest() uint64            { return l.digest }
func (l *liar) Revision() int64           { return l.revision }
func (l *liar) Applied() (uint64, uint64) { return l.applied, second(l.View.Applied()) }

// What the index refuses is not called corrupt: a newer version may have written it.
func TestLoadRefusedByIndex(t *testing.T) {
	fs := newDisk(t)
	_, _, err := Load(fs, save(t, fs, "d", small(), 1), limits.Defaults().Index)
	if err == nil || errors.Is(err, damage.ErrDamaged) {
		t.Errorf("a state that the index cannot read: %v", err)
	}
	if _, _, err := Load(fs, "d/none", limits.Defaults().Index); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// million is a state of 1,000,000 keys with values of 256 bytes.
func million(b *testing.B) *index.State {
	b.Helper()
	l := limits.Defaults().Index
	l.ExtentBytes = 1 << 40 // all is in one file
	s := index.NewState(l)
	value := sized(benchValue)(1)
	for i := 0; i < benchKeys; {
		var commands [][]byte
		for range 500 {
			commands = append(commands, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "key%012d", i), Value: value}).Bytes)
			i++
		}
		apply(b, s, commands...)
	}
	return s
}

func BenchmarkSave(b *testing.B) {
	v := million(b).ViewToSave()
	dir := b.TempDir()
	for b.Loop() {
		path := saveView(b, disk.OS(), dir, v, 1<<20)
		b.StopTimer()
		if err := Remove(disk.OS(), path); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkLoad(b *testing.B) {
	path := saveView(b, disk.OS(), b.TempDir(), million(b).ViewToSave(), 1<<20)
	runtime.GC()
	for b.Loop() {
		if _, _, err := Load(disk.OS(), path, limits.Defaults().Index); err != nil {
			b.Fatal(err)
		}
	}
}
