package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qkv/index/kv"
)

// lines returns a log, and a function that returns its lines since the last call, each without its time.
func lines(t *testing.T) (*Log, func() []string) {
	t.Helper()
	var out bytes.Buffer
	timeless := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	return New(slog.NewJSONHandler(&out, timeless), nil), func() []string {
		defer out.Reset()
		return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	}
}

// The attributes of lines: a client's texts are cut, and its control and direction characters are escaped.
func TestLines(t *testing.T) {
	l, taken := lines(t)
	for _, one := range []struct {
		event Event
		want  string
	}{
		{Event{Operation: "member added", Message: "n2"}, `"what":"member added","result":"ok","detail":"n2"`},
		{
			Event{User: "ci", Proof: Token, Remote: "10.0.0.7:41022", API: Native, Operation: "put", Ranges: []Range{{Key: []byte("a")}, {Key: []byte("b"), End: []byte("c")}}, Refusal: kv.Errorf(kv.NotAllowed, "no")},
			`"user":"ci","proof":"token","address":"10.0.0.7:41022","api":"native","what":"put","keys":["a","[b, c)"],"result":"not allowed","detail":"no"`,
		},
		{Event{User: "a\u202eb\n\x00\xff\"\\", Operation: Login}, `"user":"a\\u202eb\\n\\x00\\xff\"\\\\","what":"login","result":"ok"`},
		{Event{User: strings.Repeat("é", 300), Operation: Login, Revision: 7}, `"user":"` + strings.Repeat("é", 256) + `…","what":"login","revision":7,"result":"ok"`},
		{Event{Operation: "put", Ranges: make([]Range, 10)}, `"what":"put","keys":["","","","","","","",""],"more_keys":2,"result":"ok"`},
	} {
		l.Record(one.event)
		if got := taken(); len(got) != 1 || got[0] != `{"level":"INFO","msg":"audit","audit":true,`+one.want+`}` {
			t.Errorf("%s, want %s", got, one.want)
		}
	}
	var none *Log
	none.Record(Event{Operation: Login})
	none.Close()
}

// A client has ten lines a second about refusals, and the next line counts the others. Other clients, and what is no refusal, have theirs.
func TestRefusalsOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, taken := lines(t)
		refused := func(host string, port int, user string) {
			l.Record(Event{User: user, Remote: fmt.Sprint(host, ":", port), Operation: "put", Refusal: kv.Errorf(kv.NotAllowed, "no")})
		}
		for port := range 25 {
			refused("h1", port, "ci")
		}
		if got := taken(); len(got) != refusalLines {
			t.Errorf("%d lines of 25", len(got))
		}
		refused("h2", 1, "ci")
		refused("h1", 1, "other")
		for range 20 {
			l.Record(Event{Operation: Login, Remote: "h1:1"})
		}
		if got := taken(); len(got) != 22 {
			t.Errorf("%d lines of others, want 22", len(got))
		}
		time.Sleep(time.Second)
		refused("h1", 1, "ci")
		refused("h1", 1, "ci")
		if got := taken(); len(got) != 2 || !strings.HasSuffix(got[0], `"uncounted":15}`) || strings.Contains(got[1], "uncounted") {
			t.Errorf("a second later: %s", got)
		}
		for i := range 2 * clientsMost {
			l.Record(Event{User: fmt.Sprint("claimed", i), Remote: "h3:1", Operation: Login, Refusal: kv.Errorf(kv.AuthFailed, "no")})
		}
		if got := taken(); len(got) != refusalLines {
			t.Errorf("%d lines of guessed users", len(got))
		}
		for i := range 2 * clientsMost {
			refused(fmt.Sprint("host", i), 1, "")
		}
		if got := taken(); len(got) > clientsMost || len(l.clients) > clientsMost {
			t.Errorf("%d lines of %d clients", len(got), len(l.clients))
		}
		time.Sleep(time.Second)
		refused("new", 1, "")
		if got := taken(); !strings.Contains(got[0], `"uncounted":`) {
			t.Errorf("after many clients: %s", got)
		}
	})
}

// linesOf returns the details of the lines of a file.
func linesOf(t *testing.T, name string) (all []string) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		var one struct {
			Audit  bool
			Detail string
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil || !one.Audit {
			t.Fatalf("%v %q", err, line)
		}
		all = append(all, one.Detail)
	}
	return all
}

// The lines are appended to a file for its owner alone. When another program has moved it, the next line a second later begins a new one.
func TestFileIsOpenedAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit", "a.jsonl")
	opened := func() *Log {
		f, err := OpenFile(name, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		go f.Run()
		return New(slog.DiscardHandler, f)
	}
	l := opened()
	l.Record(Event{Operation: "x", Message: "1"})
	l.Close()
	l = opened()
	l.Record(Event{Operation: "x", Message: "2"})
	l.Close()
	if got := linesOf(t, name); len(got) != 2 || got[1] != "2" {
		t.Errorf("after a start: %q", got)
	}
	f := opened().file
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	close(f.quit)
	<-f.ended
	f.looked = time.Now().Add(-fileLook)
	if err := f.write([]byte("{\"audit\":true,\"detail\":\"3\"}\n")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if got := append(linesOf(t, name+".1"), linesOf(t, name)...); strings.Join(got, " ") != "1 2 3" {
		t.Errorf("after a rotation: %q", got)
	}
	if err := f.open.Close(); err != nil {
		t.Fatal(err)
	}
}

// A line that cannot be written is counted and logged. The line after a failed write begins on a line of its own.
func TestFileOnAFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	dir := t.TempDir()
	name, said := filepath.Join(dir, "a.jsonl"), bytes.Buffer{}
	if err := os.Symlink("/dev/full", name); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFile(name, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	go f.Run()
	l := New(slog.DiscardHandler, f)
	l.Record(Event{Operation: "x"})
	l.Close()
	if l.Lost() != 1 || !strings.Contains(said.String(), "a line of the audit log is lost") || !strings.Contains(said.String(), "no space left") || !f.torn {
		t.Errorf("%d lost: %s", l.Lost(), said.String())
	}
	sink, err := os.Create(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	f.open, f.looked = sink, time.Now()
	if err := f.write([]byte("line\n")); err != nil || f.torn {
		t.Error(err, f.torn)
	}
	if got, err := os.ReadFile(sink.Name()); err != nil || string(got) != "\nline\n" {
		t.Errorf("%q %v", got, err)
	}
}

// The queue of lines does not grow, and no caller waits for the disk.
func TestFileThatIsSlow(t *testing.T) {
	f, err := OpenFile(filepath.Join(t.TempDir(), "a.jsonl"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l := New(slog.DiscardHandler, f)
	for range fileQueue + 3 {
		l.Record(Event{Operation: "x"})
	}
	if l.Lost() != 3 {
		t.Errorf("%d lines are lost", l.Lost())
	}
	go f.Run()
	l.Close()
	if got := linesOf(t, f.name); len(got) != fileQueue {
		t.Errorf("%d lines", len(got))
	}
}
