package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qkv/cli/form"
)

// onTerminal runs a command line whose stdout and stderr are a terminal of so many columns, and returns what the terminal gets.
func (b *rig) onTerminal(t *testing.T, columns uint16, words ...string) (code int, seen string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be made here: %v", err)
	}
	defer master.Close()
	fd := int(master.Fd())
	must(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	must(t, err)
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	must(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}))
	all := make(chan string)
	go func() {
		var seen bytes.Buffer
		_, _ = io.Copy(&seen, master) // ends with an error when the terminal is closed
		all <- strings.ReplaceAll(seen.String(), "\r\n", "\n")
	}()
	code = execute(context.Background(), append(append([]string{"qkv"}, words...), b.flags...), strings.NewReader(""), terminal, terminal)
	must(t, terminal.Close())
	return code, <-all
}

// TestTerminalGetsNoControlCharacters: keys and values do not command the terminal that shows them. Pipes, and --raw, get every byte.
func TestTerminalGetsNoControlCharacters(t *testing.T) {
	b := newRig(t, nil)
	key, value := "k\x1b]0;title\a", "line\n\tünd\x1b[2J\x9b2J日本\r\x7f"
	b.expect(t, 0, "OK\n", "", "put", key, value)
	b.expect(t, 0, key+"\n"+value+"\n", "", "get", "k", "--prefix")
	safeKey, safeValue := `k\x1b]0;title\a`, "line\n\tünd"+`\x1b[2J\x9b2J日本\r\x7f`
	for line, want := range map[string]string{
		"get k --prefix":             safeKey + "\n" + safeValue + "\n",
		"watch k --prefix --rev 1":   "PUT\n" + safeKey + "\n" + safeValue + "\n",
		"get k --prefix -w plain":    safeKey + "\n" + safeValue + "\n",
		"get k --prefix --keys-only": safeKey + "\n",
	} {
		words := strings.Fields(line)
		if words[0] == "watch" {
			words = append(words, "--limit", "1")
		}
		if code, seen := b.onTerminal(t, 80, words...); code != form.ExitOK || seen != want {
			t.Errorf("%s: exit code %d\n%q\nwant\n%q", line, code, seen, want)
		}
	}
	b.expect(t, 0, "OK\n", "", "put", "two\nlines\u202e", "v\u2066\n")
	b.expect(t, 0, "two\nlines\u202e\n", "", "get", "two", "--prefix", "--keys-only") // as etcdctl prints it
	for line, want := range map[string]string{
		"get two --prefix --keys-only":         `two\nlines\u202e` + "\n",
		"get two --prefix":                     `two\nlines\u202e` + "\n" + `v\u2066` + "\n\n",
		"watch two --prefix --rev 1 --limit 1": "PUT\n" + `two\nlines\u202e` + "\n" + `v\u2066` + "\n\n",
		"get two --prefix --keys-only -w json": "",
	} {
		if code, seen := b.onTerminal(t, 80, strings.Fields(line)...); code != form.ExitOK || want != "" && seen != want || strings.Contains(seen, "\u202e") {
			t.Errorf("%s: exit code %d\n%q\nwant\n%q", line, code, seen, want)
		}
	}
	if code, seen := b.onTerminal(t, 80, "get", key, "--raw"); code != form.ExitOK || seen != value {
		t.Errorf("--raw: %d %q", code, seen)
	}
}

// TestEscapesAcrossWrites: a character that two writes have in part stays whole.
func TestEscapesAcrossWrites(t *testing.T) {
	const text = "日本 ü\x1b\x9b🙂\n"
	for size := 1; size <= len(text); size++ {
		var out bytes.Buffer
		w := &form.AnswerWriter{W: &out, Escape: true}
		for rest := []byte(text); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if n, err := w.Write(rest[:min(size, len(rest))]); err != nil || n != min(size, len(rest)) {
				t.Fatal(n, err)
			}
		}
		if want := "日本 ü" + `\x1b\x9b` + "🙂\n"; out.String() != want {
			t.Errorf("in writes of %d: %q", size, &out)
		}
	}
}

// TestTableFitsTheTerminal: rows do not break at the terminal's width, and numbers are whole.
func TestTableFitsTheTerminal(t *testing.T) {
	b := newRig(t, nil)
	b.expect(t, 0, "OK\n", "", "put", "a/"+strings.Repeat("k", 60), strings.Repeat("日本 ", 30))
	b.expect(t, 0, "OK\n", "", "put", "a/b", "short")
	for _, columns := range []uint16{60, 80, 132} {
		for _, line := range []string{"get a/ --prefix -w table", "get a/ a0 -w table --limit 9", "history a/b"} {
			code, seen := b.onTerminal(t, columns, strings.Fields(line)...)
			for row := range strings.Lines(seen) {
				if strings.HasPrefix(row, "qkv: no answer yet") { // a busy host took over a second
					continue
				}
				if n := form.ColumnsOf(strings.TrimRight(row, "\n")); code != form.ExitOK || n > int(columns) {
					t.Errorf("%s on %d columns: a row of %d, exit code %d\n%s", line, columns, n, code, seen)
				}
			}
			if strings.HasPrefix(line, "get") && !strings.Contains(seen, "short") {
				t.Errorf("%s on %d columns lacks a value that would fit:\n%s", line, columns, seen)
			}
		}
	}
	if _, out, _ := b.qkv(t, "", "get", "a/", "--prefix", "-w", "table"); !strings.Contains(out, strings.Repeat("k", 60)) {
		t.Errorf("a pipe gets no whole key:\n%s", out)
	}
}

// TestWaitingIsSaidOnATerminal: a command that finds no member says after a second what it tries, where a person sees it.
func TestWaitingIsSaidOnATerminal(t *testing.T) {
	b := newRig(t, nil)
	b.flags[1] = deadEndpoint(t)
	notice := "qkv: no answer yet from " + b.flags[1] + " (from --endpoints or QKV_ENDPOINTS), trying for 1.5s\n"
	if code, seen := b.onTerminal(t, 80, "get", "k", "--timeout", "1500ms"); code != form.ExitUnavailable || !strings.HasPrefix(seen, notice) {
		t.Errorf("%d %q, not %q", code, seen, notice)
	}
	begun := time.Now()
	if code, _, stderr := b.qkv(t, "", "get", "k", "--timeout", "1200ms"); code != form.ExitUnavailable || strings.Contains(stderr, "no answer yet") {
		t.Errorf("%d %q after %v", code, stderr, time.Since(begun))
	}
}
