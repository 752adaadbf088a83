package cli

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"qkv/cli/form"
)

// TestWatchCommandOfALargeValue: what fits no environment comes in a file, which is gone afterwards. The sizes are around the bound of
// Linux for the value, and for etcdctl's name of it, which is longer and quoted.
func TestWatchCommandOfALargeValue(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	b := newRig(t, nil)
	const most = 128<<10 - len("QKV_WATCH_VALUE=") - 1 // bytes that fit, with the zero byte at the end
	script := `if [ -n "$QKV_WATCH_VALUE_FILE" ]; then stat -c %a "$QKV_WATCH_VALUE_FILE"; cat "$QKV_WATCH_VALUE_FILE" | sha256sum; else printf %s "$QKV_WATCH_VALUE" | sha256sum; fi`
	for _, c := range []struct {
		value  string
		inFile bool
	}{
		{strings.Repeat("x", 1000), false},
		{strings.Repeat("x", most), false},
		{strings.Repeat("x", most+1), true},
		{strings.Repeat("\x01", 40_000), false}, // quoted, it is four times as long
		{strings.Repeat("x", 1<<20), true},
		{"with a \x00 byte", true},
	} {
		if code, _, stderr := b.qkv(t, c.value, "put", "k", "-"); code != form.ExitOK {
			t.Fatal(stderr)
		}
		revision := fmt.Sprint(b.member.View().Revision())
		code, out, stderr := b.qkv(t, "", "watch", "k", "--rev", revision, "--limit", "1", "-w", "json", "--", "sh", "-c", script)
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		want := []string{fmt.Sprintf("%x  -", sha256.Sum256([]byte(c.value)))}
		if c.inFile {
			want = append([]string{"600"}, want...)
		}
		if got := strings.Join(lines[1:], "\n"); code != form.ExitOK || got != strings.Join(want, "\n") {
			t.Errorf("a value of %d bytes: exit code %d, %s\n got %s\nwant %s", len(c.value), code, stderr, got, want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(temporary, "qkv-watch-*")); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
	if code, _, stderr := b.qkv(t, "", "watch", "k", "--rev", "2", "--limit", "1", "--", filepath.Join(temporary, "none")); code != form.ExitFailed || !strings.Contains(stderr, "no such file") {
		t.Errorf("a command that is not there: %d %s", code, stderr)
	}
}
