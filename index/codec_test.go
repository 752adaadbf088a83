package index

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/cockroachdb/datadriven" // has -rewrite
	"github.com/vmihailenco/msgpack/v5"

	"qkv/log/limits"
	"qkv/log/pack"
)

// The formats as msgpack's library knows them.
type (
	msgEnvelope struct {
		Version, Level, Member, Incarnation, First uint64
		Wall                                       int64
		Commands                                   []msgCommand
	}
	msgCommand struct {
		Kind, Version           uint64
		Principal               string
		Auth, Session, Sequence uint64
		Body                    any
	}
	msgPut struct {
		Key, Value []byte
		Lease      int64
	}
	msgDelete struct {
		Key, End []byte
	}
	msgAnnouncement struct {
		Member        uint64
		Name, Version string
		Folder        [16]byte
		Boot          uint64
		Process       [16]byte
		Clients       []string
		Peer          string
	}
	msgLevel struct {
		Level uint64
	}
)

// library encodes with vmihailenco/msgpack.
func library(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.UseCompactInts(true)
	e.UseArrayEncodedStructs(true)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func testAnnouncement() Announcement {
	return Announcement{
		Member: 0x8e9e05c52164694d, Name: "n1", Version: "0.1.0", Folder: [16]byte{1, 2, 3}, Boot: 300,
		Process: [16]byte{15: 9}, Clients: []string{"10.0.0.1:2379", ""}, Peer: "10.0.0.1:2380",
	}
}

// samples are commands of every kind, with the same as the library writes them.
func samples() (names []string, commands [][]byte, same []msgCommand) {
	add := func(name string, b []byte, kind uint64, body any) {
		names = append(names, name)
		commands = append(commands, b)
		same = append(same, msgCommand{Kind: kind, Version: 1, Body: body})
	}
	for _, n := range []int{0, 1, 255, 256, 65536} {
		value := bytes.Repeat([]byte{'v'}, n)
		add(fmt.Sprintf("put of %d", n), AppendPut(nil, []byte("key"), value, 0), 1, msgPut{Key: []byte("key"), Value: value})
	}
	add("put with lease", AppendPut(nil, []byte{0}, nil, 1<<40), 1, msgPut{Key: []byte{0}, Value: []byte{}, Lease: 1 << 40})
	add("delete", AppendDelete(nil, []byte("key"), nil), 2, msgDelete{Key: []byte("key"), End: []byte{}})
	add("delete range", AppendDelete(nil, []byte("key"), []byte{0}), 2, msgDelete{Key: []byte("key"), End: []byte{0}})
	a := testAnnouncement()
	add("announce", AppendAnnounce(nil, a), 3, msgAnnouncement(a))
	add("announce nothing", AppendAnnounce(nil, Announcement{}), 3, msgAnnouncement{Clients: []string{}})
	add("level", AppendFeatureLevel(nil, 1), 4, msgLevel{Level: 1})
	return names, commands, same
}

// TestSameBytesAsLibrary compares what is written by hand with the library, and reads back what the library writes.
func TestSameBytesAsLibrary(t *testing.T) {
	names, commands, same := samples()
	for i, name := range names {
		want := library(t, same[i])
		if !bytes.Equal(commands[i], want) {
			t.Errorf("%s:\n% x, library\n% x", name, commands[i], want)
		}
		var c command
		r := pack.NewReader(want)
		if err := errors.Join(c.read(&r), r.Done()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	e := Envelope{Level: 1, Member: 0x8e9e05c52164694d, Incarnation: 1<<64 - 1, First: 70_000, Wall: 1_795_000_000_000_000_000}
	got := AppendEnvelope([]byte("before"), e, commands)[len("before"):]
	want := library(t, msgEnvelope{Version: 1, Level: 1, Member: e.Member, Incarnation: e.Incarnation, First: e.First, Wall: e.Wall, Commands: same})
	if !bytes.Equal(got, want) {
		t.Errorf("envelope:\n% x, library\n% x", got, want)
	}
	back, err := ReadEnvelope(want)
	if err != nil || back.Count != len(commands) || !bytes.Equal(back.Commands, bytes.Join(commands, nil)) {
		t.Fatalf("read back as %+v: %v", back, err)
	}
	back.Commands, back.Count, back.Version = nil, 0, 0
	if fmt.Sprint(back) != fmt.Sprint(e) {
		t.Errorf("read back as %+v, want %+v", back, e)
	}
	if err := CheckEnvelope(want); err != nil {
		t.Error(err)
	}
	var a Announcement
	r := pack.NewReader(appendAnnouncement(nil, new(testAnnouncement())))
	if readAnnouncement(&r, &a); fmt.Sprint(a) != fmt.Sprint(testAnnouncement()) || r.Done() != nil {
		t.Errorf("announcement read back as %+v: %v", a, r.Err())
	}
}

// TestGolden holds the bytes that were once released, and opens them.
func TestGolden(t *testing.T) {
	names, commands, _ := samples()
	var text strings.Builder
	for i, name := range names {
		if len(commands[i]) < 1000 {
			fmt.Fprintf(&text, "%s\n%s", name, hex.Dump(commands[i]))
		}
	}
	envelope := AppendEnvelope(nil, Envelope{Level: 1, Member: 2, Incarnation: 3, First: 4, Wall: 5}, [][]byte{put("a", "b"), del("a", "")})
	fmt.Fprintf(&text, "envelope\n%s", hex.Dump(envelope))
	s := NewState()
	batch(t, s, 5e9, AppendAnnounce(nil, testAnnouncement()), put("a", "1"), put("b", "2"), del("a", "c"), put("c", "3"))
	batch(t, s, 7e9, put("c", "4"))
	fmt.Fprintf(&text, "meta\n%s", hex.Dump(s.View().AppendMeta(nil)))
	fmt.Fprintf(&text, "digest\n%016x\n", s.View().Digest())
	golden(t, "bytes.golden", text.String())
}

// golden compares with a file of testdata, which -rewrite writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if rewriting() {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; what was released must stay readable for ever:\n%s", path, got)
	}
}

// rewriting says whether the flag of datadriven is set.
func rewriting() bool { return flag.Lookup("rewrite").Value.String() == "true" }

func TestRefusals(t *testing.T) {
	long := bytes.Repeat([]byte{'v'}, limits.ValueBytes+1)
	for _, c := range []struct {
		name    string
		command []byte
		code    Code
		want    string
	}{
		{"empty key", put("", "v"), CodeEmptyKey, "a key has at least one byte"},
		{"no key to delete", del("", "x"), CodeEmptyKey, "a key has at least one byte"},
		{"long key", put(string(tooLong), ""), CodeKeyTooLarge, "a key of 4097 bytes, the limit is 4096"},
		{"long key to delete", del(string(tooLong), ""), CodeKeyTooLarge, "a key of 4097 bytes, the limit is 4096"},
		{"long end", del("a", string(tooLong)+"x"), CodeKeyTooLarge, "the end of a range has 4098 bytes, the limit is 4097"},
		{"long value", AppendPut(nil, []byte("k"), long, 0), CodeValueTooLarge, "a value of 1572865 bytes, the limit is 1572864"},
		{"level 0", AppendFeatureLevel(nil, 0), CodeFeatureLevel, "there is no feature level 0, the first one is 1"},
		{"lease", AppendPut(nil, []byte("k"), nil, 7), CodeBadRequest, "lease 7 does not exist: this cluster has no leases yet"},
		{
			"long announcement", AppendAnnounce(nil, Announcement{Name: strings.Repeat("n", limits.PeerHelloBytes)}), CodeBadRequest,
			"an announcement of 16429 bytes, the limit is 16384",
		},
	} {
		err := CheckCommand(c.command)
		var refused *Error
		if !errors.As(err, &refused) || refused.Code != c.code || refused.Message != c.want || !refused.Certain() {
			t.Errorf("%s is checked as %v", c.name, err)
		}
		s := NewState()
		batch(t, s, 1, put("a", "b"))
		before := s.View().Digest()
		results := batch(t, s, 1, c.command)
		if r := results[0]; r.Code != c.code || r.Detail != c.want || r.Revision != 2 || r.Err().Code != c.code {
			t.Errorf("%s is applied as %+v", c.name, r)
		}
		if s.View().Digest() != before {
			t.Errorf("%s changed the state", c.name)
		}
	}
	for _, ok := range [][]byte{
		put("k", ""), put(string(tooLong[1:]), string(long[1:])), del("k", string(tooLong)), AppendFeatureLevel(nil, MaxLevel),
	} {
		if err := CheckCommand(ok); err != nil {
			t.Errorf("refused: %v", err)
		}
		if level, err := CommandLevel(ok); level != FirstLevel || err != nil {
			t.Errorf("level %d: %v", level, err)
		}
	}
}

// unknown are entries that this qkv must not apply, and must not skip.
func unknown() map[string][]byte {
	envelope := func(commands ...[]byte) []byte { return AppendEnvelope(nil, Envelope{Level: 1}, commands) }
	with := func(at int, b byte) []byte {
		c := put("key", "value")
		c[at] = b
		return envelope(put("a", "b"), c)
	}
	version2 := envelope()
	version2[1] = 2
	return map[string][]byte{
		"kind 5":              with(1, 5),
		"kind 0":              with(1, 0),
		"command version 2":   with(2, 2),
		"a principal":         with(3, 0xa1),
		"a sequence":          with(6, 1),
		"more fields":         with(0, 0x98),
		"level 2":             envelope(AppendFeatureLevel(nil, 2)),
		"proposed at level 2": AppendEnvelope(nil, Envelope{Level: 2}, nil),
		"envelope version 2":  version2,
		"a short envelope":    {0x96, 1, 1, 1, 1, 1, 1},
		"left over bytes":     append(envelope(put("a", "b")), 0),
		"a command missing":   envelope(put("a", "b"))[:20],
		"no envelope":         {0xc0},
		"a short id":          envelope(shortID()),
	}
}

func shortID() []byte {
	b := pack.AppendArray(appendHead(nil, kindAnnounce), announcementFields)
	b = pack.AppendString(pack.AppendString(pack.AppendUint(b, 1), ""), "")
	return pack.AppendBytes(b, []byte("short"))
}

func TestUnknownStopsTheMember(t *testing.T) {
	for name, data := range unknown() {
		s := NewState()
		batch(t, s, 1, put("a", "b"))
		before := s.View()
		results, err := s.Apply(2, 1, data, nil)
		if err == nil || len(results) > 0 {
			t.Errorf("%s was applied: %v", name, results)
			continue
		}
		after := s.View()
		applied, _ := after.Applied()
		if after.Digest() != before.Digest() || applied != 1 || s.Check() != nil {
			t.Errorf("%s had an effect", name)
		}
		if CheckEnvelope(data) == nil && name != "proposed at level 2" {
			t.Errorf("%s may be proposed", name)
		}
		batch(t, s, 1, put("a", "c")) // the state is not spoilt
	}
	if CheckEnvelope(make([]byte, limits.EnvelopeBytes+1)) == nil {
		t.Error("an envelope over the limit may be proposed")
	}
}

func TestErrors(t *testing.T) {
	for c := CodeOK; c < codes+2; c++ {
		e := &Error{Code: c}
		if e.Error() != c.String() || c.String() == "" {
			t.Errorf("code %d is %q and %q", c, e.Error(), c)
		}
		if want := c != CodeUnknown && c != CodeInternal && c < codes; e.Certain() != want {
			t.Errorf("%v is certain: %v", c, !want)
		}
	}
	if (&Result{Revision: 3}).Err() != nil {
		t.Error("a good result is an error")
	}
}

func FuzzEnvelope(f *testing.F) {
	_, commands, _ := samples()
	f.Add(AppendEnvelope(nil, Envelope{Level: 1, Wall: 3}, commands[:2]))
	f.Add(AppendEnvelope(nil, Envelope{Level: 1}, commands[5:]))
	f.Add(AppendEnvelope(nil, Envelope{Level: 1}, [][]byte{put("a", "b"), put("b", ""), del("a", "\x00"), put("a", "")}))
	for _, b := range unknown() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		e, headErr := ReadEnvelope(b)
		checkErr := CheckEnvelope(b)
		if headErr != nil && checkErr == nil || e.Count > len(b) {
			t.Fatalf("head %+v: %v, all of it: %v", e, headErr, checkErr)
		}
		s := NewState()
		results, err := s.Apply(1, 1, b, nil)
		if (err == nil) != (checkErr == nil) && e.Level <= MaxLevel {
			t.Fatalf("checked as %v, applied as %v", checkErr, err)
		}
		if err == nil && len(results) != e.Count {
			t.Fatalf("%d results of %d commands", len(results), e.Count)
		}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			v := s.View()
			if restored(t, v).View().Digest() != v.Digest() {
				t.Fatal("another digest after a restore")
			}
		}
	})
}

func FuzzCommand(f *testing.F) {
	_, commands, _ := samples()
	for _, c := range commands {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		level, levelErr := CommandLevel(b)
		if CheckCommand(b) != nil {
			return
		}
		if levelErr != nil || level < FirstLevel || level > MaxLevel {
			t.Fatalf("level %d: %v", level, levelErr)
		}
		if results := batch(t, NewState(), 1, b); results[0].Code != CodeOK && results[0].Code != CodeAmnesia {
			t.Fatalf("checked, but applied as %+v", results[0])
		}
	})
}
