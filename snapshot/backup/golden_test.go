package backup

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/log/disk"
	"qkv/snapshot"
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
}

func (s storedSource) Name() string  { return s.name }
func (s storedSource) Size() int64   { return s.of.Bytes }
func (s storedSource) SHA() [32]byte { return s.of.SHA }

// The golden file: it is restored to these states, and the same entries give the same bytes. -golden writes it anew.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "backup.tar")
	entries := goldenLog()
	if *golden {
		must(t, os.RemoveAll(path))
		h := newHistory(t, 1)
		h.state, h.entries = index.NewState(testLimits()), nil
		h.state.Found(index.Founders(map[string]uint64{"n1": 7}))
		for _, e := range entries[:2] {
			_, err := h.state.Apply(e.Index, e.Term, e.Envelope, nil)
			must(t, err)
		}
		writeGolden(t, disk.OS(), path, h.save(), h.part, entries)
	}
	rd, err := Open(disk.OS(), path)
	must(t, err)
	defer rd.Close()
	for at, want := range map[At]string{
		{}:                                "entry 5 of term 2, revision 5, digest 9492d34665685eee",
		{Revision: 4}:                     "entry 3 of term 1, revision 4, digest be05417fdb2dc972",
		{Wall: 1_700_000_002_000_000_000}: "entry 4 of term 2, revision 5, digest 43cb80c85cde3c2a",
		{Wall: 1_700_000_001_500_000_000}: "entry 2 of term 1, revision 3, digest f595ce4199668db4",
	} {
		got, err := rd.Restore(t.Context(), at, testLimits(), nil)
		must(t, err)
		if text := fmt.Sprintf("entry %d of term %d, revision %d, digest %016x", got.Index, got.Term, got.Revision, got.State.View().Digest()); text != want {
			t.Errorf("%+v gives %s, not %s", at, text, want)
		}
	}
	again := newFolder(t)
	stored := func(i int, name string) Source {
		s, err := rd.openClear(rd.Bases[0].Files[i])
		must(t, err)
		t.Cleanup(func() { s.Close() })
		return storedSource{s, name}
	}
	from := stored(0, "00000000000000000002-00000000000000000001.snap")
	writeGolden(t, again, "to/again", from, func(p snapshot.Part) Source { return stored(1, p.Name()) }, entries)
	if !bytes.Equal(slurp(t, again, "to/again"), slurp(t, disk.OS(), path)) {
		t.Errorf("the same backup has other bytes now than %s", path)
	}
}

func writeGolden(t *testing.T, on disk.FS, path string, from Source, part func(snapshot.Part) Source, entries []Entry) {
	t.Helper()
	w, err := CreateFile(on, path, testOf)
	must(t, err)
	c, err := w.Base(from, part)
	for done := false; err == nil && !done; {
		done, err = c.Step(1 << 20)
	}
	must(t, err)
	must(t, w.Append(entries[:3]))
	must(t, w.Append(entries))
	must(t, w.Finish())
}

// What a dump shows of the golden file.
func TestDump(t *testing.T) {
	rd, err := Open(disk.OS(), filepath.Join("testdata", "backup.tar"))
	must(t, err)
	defer rd.Close()
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
