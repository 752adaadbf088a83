package servertest

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"qkv/internal/audit"
	"qkv/log/disk"
)

// Journal is an audit log in a temporary folder, for one endpoint.
type Journal struct {
	*audit.Log
	t    T
	file string
}

// NewJournal opens a Journal, until the test ends.
func NewJournal(t T) *Journal {
	t.Helper()
	j := &Journal{t: t, file: filepath.Join(t.TempDir(), "audit", "audit.jsonl")}
	log, err := audit.Open(audit.Config{
		FS: disk.OS(), File: j.file, FileBytes: 2 << 20, Files: 1, Member: "test", Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	check(t, err)
	j.Log = log
	t.Cleanup(func() { check(t, log.Close()) })
	return j
}

// Take returns the events that were recorded since the last call, each with its user, proof, host, API, operation, keys and result. raw has
// the whole lines of all events.
func (j *Journal) Take(seen *int) (events []string, raw string) {
	j.t.Helper()
	j.Flush()
	r := audit.NewReader(j.file)
	defer r.Close()
	for n := 0; ; n++ {
		text, err := r.Next()
		if errors.Is(err, io.EOF) {
			*seen = n
			return events, raw
		}
		check(j.t, err)
		raw += string(text)
		if one := audit.ParseLine(text); n >= *seen && !strings.HasPrefix(one.Operation, "audit ") {
			events = append(events, eventText(one))
		}
	}
}

func eventText(one *audit.Line) string {
	host, _, err := net.SplitHostPort(one.Remote)
	if err != nil {
		host = one.Remote
	}
	text := fmt.Sprintf("%s by %s from %s: %s %s", one.User, one.Proof, host, one.API, one.Operation)
	for _, r := range one.Ranges {
		text += " [" + audit.KeyText(r.Key, r.KeyBase64, r.KeyBytes)
		if end := audit.KeyText(r.End, r.EndBase64, r.EndBytes); end != "" {
			text += " " + end
		}
		text += "]"
	}
	if one.Result == "ok" && one.Message != "" {
		text += " (" + one.Message + ")"
	}
	return text + ": " + one.Result
}
