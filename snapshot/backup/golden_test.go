package backup

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"qkv/index"
	"qkv/index/kv"
	"qkv/log/disk"
	"qkv/snapshot"
	"qkv/snapshot/backup/store"
)

var golden = flag.Bool("golden", false, "write golden files that are missing")

// goldenLog is the log of the golden file; its base is the state after entry 2.
func goldenLog() (entries []Entry) {
	put := func(level uint64, wall int64, commands ...[]byte) {
		e := Entry{Index: uint64(len(entries) + 1), Term: 1}
		if len(commands) > 0 {
			e.Envelope = index.AppendEnvelope(nil, index.Envelope{Level: level, Member: 7, First: 1, Wall: wall}, commands)
		}
		entries = append(entries, e)
	}
	put(1, 0)
	put(1, 1_700_000_001_000_000_000, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("greeting"), Value: bytes.Repeat([]byte("hello "), 700)}).Bytes, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("a")}).Bytes)
	put(1, 1_700_000_002_000_000_000, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("greeting"), Value: []byte("hello again")}).Bytes, new(index.Head).AppendDelete(nil, &kv.Delete{Key: []byte("a")}).Bytes)
	entries = append(entries, Entry{Index: 4, Term: 2}, Entry{Index: 5, Term: 2, Change: true, Envelope: index.AppendEnvelope(nil,
		index.Envelope{Level: 1, Member: 7, First: 1, Wall: 1_700_000_003_000_000_000},
		[][]byte{new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 8, Name: "n2", Peers: []string{"10.0.0.2:2380"}}).Bytes})})
	return entries
}

// storedSource is the file of a base as a source.
type storedSource struct {
	*stored
	name string
	of   File
}

func (s storedSource) Name() string  { return s.name }
func (s storedSource) Size() int64   { return s.of.Bytes }
func (s storedSource) SHA() [32]byte { return s.of.ID }

func goldenStore() store.Store { return store.OpenFolder(disk.OS(), "testdata/backup") }

// The golden backup: it is restored to these states, and the same entries give the same objects. Their compressed bytes, and what follows from
// these, may be others with another version of the compressor, and the golden ones are read all the same. -golden writes it anew.
func TestGolden(t *testing.T) {
	entries := goldenLog()
	if *golden {
		h := newHistory(t, 1)
		h.state, h.entries = index.NewState(testLimits()), nil
		h.state.Found(index.Founders(map[string]uint64{"n1": 7}))
		for _, e := range entries[:2] {
			_, err := h.state.Apply(e.Index, e.Term, e.Envelope, nil)
			must(t, err)
		}
		must(t, os.RemoveAll("testdata/backup"))
		for name, b := range writeGolden(t, h.save(), h.part, entries).files {
			name = filepath.Join("testdata/backup", strings.TrimPrefix(name, "to/b/"))
			must(t, errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, b, 0o644)))
		}
	}
	rd, err := Open(t.Context(), goldenStore())
	must(t, err)
	for at, want := range map[At]string{
		{}:                                "entry 5 of term 2, revision 5, digest 9492d34665685eee",
		{Revision: 4}:                     "entry 3 of term 1, revision 4, digest be05417fdb2dc972",
		{Wall: 1_700_000_002_000_000_000}: "entry 4 of term 2, revision 5, digest 43cb80c85cde3c2a",
		{Wall: 1_700_000_001_500_000_000}: "entry 2 of term 1, revision 3, digest f595ce4199668db4",
	} {
		got, err := rd.Restore(at, testLimits(), nil)
		must(t, err)
		if text := fmt.Sprintf("entry %d of term %d, revision %d, digest %016x", got.Index, got.Term, got.Revision, got.State.View().Digest()); text != want {
			t.Errorf("%+v gives %s, not %s", at, text, want)
		}
	}
	stored := func(i int, name string) Source {
		of := rd.Bases[0].Files[i]
		s, err := rd.openClear(of)
		must(t, err)
		return storedSource{s, name, of}
	}
	from := stored(0, "00000000000000000002-00000000000000000001.snap")
	again := writeGolden(t, from, func(p snapshot.Part) Source { return stored(1, p.Name()) }, entries)
	was := memory{files: map[string][]byte{}}
	for _, pattern := range []string{"backup", "*/*"} {
		there, err := filepath.Glob(filepath.Join("testdata/backup", pattern))
		must(t, err)
		for _, name := range there {
			b, err := os.ReadFile(name)
			must(t, err)
			was.files["to/b/"+strings.TrimPrefix(name, "testdata/backup/")] = b
		}
	}
	want, got := contents(t, was), contents(t, again)
	for name := range maps.Keys(want) {
		if got[name] != want[name] {
			t.Errorf("%s is now %q, and was %q", name, got[name], want[name])
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("these are new: %q", got)
	}
}

// contents returns the contents of a backup's objects before compression, by their names without hashes of what is stored.
func contents(t *testing.T, on memory) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, b := range on.files {
		name, base := strings.TrimPrefix(name, "to/b/"), filepath.Base(name)
		if of, ok := parseFile(base); ok {
			of.Sum = [32]byte{}
			all[fileName(of)] = string(unpack(t, b))
		} else if of, ok := parseSpan(base); ok {
			h, payload, err := readStretch(name, of, b)
			must(t, err)
			of.sha = [32]byte{}
			all[of.name()] = fmt.Sprintf("%+v %s", h, unpack(t, payload))
		} else if number, ok := parseList(base); ok {
			l, err := loadList(t.Context(), place(on), number, 0)
			must(t, err)
			for i := range l.Bases {
				for k := range l.Bases[i].Files {
					f := &l.Bases[i].Files[k]
					f.Sum, f.Stored = [32]byte{}, 0
				}
			}
			all[name] = fmt.Sprintf("%d %d %+v", l.Cluster, l.Writer, l.Bases)
		} else {
			all[name] = string(b)
		}
	}
	return all
}

func writeGolden(t *testing.T, from Source, part func(snapshot.Part) Source, entries []Entry) memory {
	t.Helper()
	on, n, draws := newFolder(t), uint64(0), random
	random = func() uint64 { n++; return n }
	w := open(t, on)
	random = draws
	c, err := w.Base(from, part)
	for done := false; err == nil && !done; {
		done, err = c.Step(t.Context(), 1<<20)
	}
	must(t, err)
	must(t, w.Append(t.Context(), entries[:3]))
	must(t, w.Append(t.Context(), entries))
	must(t, w.mergeTail(t.Context()))
	must(t, w.Close())
	return inMemory(t, on)
}

// What a dump shows of the golden backup.
func TestDump(t *testing.T) {
	rd, err := Open(t.Context(), goldenStore())
	must(t, err)
	for name, o := range map[string]DumpOptions{"dump.txt": {Entries: true}, "dump.json": {JSON: true}} {
		o.Describe = func(data []byte) string { return ": " + index.Describe(data) }
		var got bytes.Buffer
		must(t, rd.Dump(&got, o))
		path := filepath.Join("testdata", name)
		if *golden {
			must(t, os.WriteFile(path, got.Bytes(), 0o644))
		}
		want, err := os.ReadFile(path)
		must(t, err)
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s is now\n%s", path, &got)
		}
	}
}

// TestGoldenNames: writers of one cluster with the same recipients give an encrypted file one identity, in each version of qkv. A file that is
// not encrypted has its own identity.
func TestGoldenNames(t *testing.T) {
	sha := [32]byte{1, 31: 2}
	w := &Writer{key: bytes.Repeat([]byte("k"), kv.BackupKeyBytes)}
	if id := w.id(sha); id != sha {
		t.Errorf("without recipients it is %x", id)
	}
	for _, text := range []string{"age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa", "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg"} {
		to, err := age.ParseX25519Recipient(text)
		must(t, err)
		w.to = append(w.to, to)
	}
	const want = "parts/0ed8cc01d61d1c61e6cb4f589775990a73377f5c52840fb042deefabd17b479c-0000000000000000000000000000000000000000000000000000000000000000-3.zst.age"
	if name := fileName(File{ID: w.id(sha), Number: 3, Encrypted: true}); name != want {
		t.Errorf("it is called %s, not %s", name, want)
	}
	slices.Reverse(w.to)
	if name := fileName(File{ID: w.id(sha), Number: 3, Encrypted: true}); name != want {
		t.Errorf("with the recipients in another order it is called %s", name)
	}
}
