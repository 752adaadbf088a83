package cli

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"testing"
)

// TestLogger: lines on a terminal or when asked, JSON anywhere else, and nothing below the level.
func TestLogger(t *testing.T) {
	var out bytes.Buffer
	logger := newLogger(&out, "text", slog.LevelInfo, "n1").With("peer", "n2")
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

func TestLoggerJSON(t *testing.T) {
	var out bytes.Buffer
	logger := newLogger(&out, "auto", slog.LevelDebug, "n1")
	logger.Debug("shown", "n", 1)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["msg"] != "shown" || line["n"] != 1.0 || line["member"] != "n1" {
		t.Errorf("%s: %v", &out, err)
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	if _, text := newLogger(file, "auto", slog.LevelInfo, "n1").Handler().(*slog.JSONHandler); !text {
		t.Error("a file is no terminal, and gets JSON")
	}
}
