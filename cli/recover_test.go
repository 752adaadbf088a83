package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"qkv/cli/form"
)

// Nothing is recovered before everything that it costs was accepted, and on a terminal confirmed.
func TestRecoverAsks(t *testing.T) {
	dir := t.TempDir()
	for line, want := range map[string]string{
		"":                                      "--data-dir DIR is missing",
		"--data-dir " + filepath.Join(dir, "x"): "no data to recover",
		"--data-dir " + dir + " --accept-loss":  "is not a data folder",
		"--data-dir " + dir + " --accept-loss --yes more": "no arguments",
	} {
		var out, messages bytes.Buffer
		code := execute(t.Context(), append([]string{"qkv", "recover"}, strings.Fields(line)...), strings.NewReader("yes\n"), &out, &messages)
		if code != form.ExitUsage || !strings.Contains(messages.String(), want) {
			t.Errorf("qkv recover %s: %d %s", line, code, &messages)
		}
	}
}
