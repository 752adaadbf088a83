package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/internal/testlong"
)

// TestAddedFigure: a figure is a line of package figures, and the line that sets it. A program built with two such lines more shows it in the
// JSON and the fields of status, and in /metrics.
func TestAddedFigure(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	root, err := filepath.Abs("..")
	must(t, err)
	dir := t.TempDir()
	replaced := map[string]string{}
	for file, lines := range map[string][2]string{
		"internal/figures/figures.go": {"	Term ", "	Added = add(4711, Gauge, Seconds, \"added\", \"A figure of a test.\")\n"},
		"node/figures.go":             {"	figures.Set(to, figures.Term, ", "	figures.Set(to, figures.Added, 1500*time.Millisecond)\n"},
	} {
		text, err := os.ReadFile(filepath.Join(root, file))
		must(t, err)
		before, after, found := strings.Cut(string(text), lines[0])
		if !found {
			t.Fatalf("%s has no line %q", file, lines[0])
		}
		copied := filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
		must(t, os.WriteFile(copied, []byte(before+lines[1]+lines[0]+after), 0o600))
		replaced[filepath.Join(root, file)] = copied
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	must(t, err)
	list, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "qkv")
	must(t, os.WriteFile(list, overlay, 0o600))
	build := exec.Command("go", "build", "-overlay", list, "-o", program, ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	c := newProcesses(t, 1)
	m := c.members[0]
	m.before = []string{"/bin/sh", "-c", `shift; exec "$0" "$@"`, program}
	m.start()
	c.level()
	status := exec.Command(program, "status", "-w", form.JSON)
	status.Env = append(run.WithoutSettings(os.Environ()), c.environment()...)
	if out, err := status.Output(); err != nil || !strings.Contains(string(out), `"added_s":1.5,"term":`) {
		t.Errorf("%v\n%s", err, out)
	}
	answer, err := http.Get("http://" + m.listen + "/metrics")
	must(t, err)
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(text), "# HELP qkv_added_seconds A figure of a test.\n# TYPE qkv_added_seconds gauge\nqkv_added_seconds 1.5\n") {
		t.Errorf("%v; /metrics has no qkv_added_seconds:\n%.2000s", err, text)
	}
}
