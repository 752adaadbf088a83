package form

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"qkv/cli/form/formtest"
)

// TestLogger: lines on a terminal or when asked, JSON anywhere else, and nothing below the level.
func TestLogger(t *testing.T) {
	var out bytes.Buffer
	logger := NewLogger(&out, "text", slog.LevelInfo, "n1").With("peer", "n2")
	logger.Debug("not shown")
	logger.Info("became leader", "term", 2)
	logger.WithGroup("peer").Warn("slow disk", "took", "1 s")
	want := `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO  became leader peer=n2 term=2
\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARN  slow disk peer=n2 peer\.took="1 s"
$`
	if !regexp.MustCompile(want).Match(out.Bytes()) {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

// TestLogLinesDoNotSteer: text of another host in a line neither ends the line, nor commands the terminal, nor turns text around.
func TestLogLinesDoNotSteer(t *testing.T) {
	const name = "n1\u202e\u2066\n\x1b[2J\u009b2J\x7f"
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		NewLogger(&out, format, slog.LevelInfo, name).Info("member "+name, "peer", name)
		line := strings.TrimSuffix(out.String(), "\n")
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e' || r == '\u2066' }) {
			t.Errorf("%s: %q", format, line)
		}
		var fields map[string]string
		if format == "json" && (json.Unmarshal(out.Bytes(), &fields) != nil || fields["msg"] != "member "+name || fields["peer"] != name || fields["member"] != name) {
			t.Errorf("%q is read as %v", line, fields)
		}
	}
}

func TestLoggerJSON(t *testing.T) {
	var out bytes.Buffer
	logger := NewLogger(&out, "auto", slog.LevelDebug, "n1")
	logger.Debug("shown", "n", 1)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["msg"] != "shown" || line["n"] != 1.0 || line["member"] != "n1" {
		t.Errorf("%s: %v", &out, err)
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	formtest.Must(t, err)
	if _, text := NewLogger(file, "auto", slog.LevelInfo, "n1").Handler().(*slog.JSONHandler); !text {
		t.Error("a file is no terminal, and gets JSON")
	}
}
