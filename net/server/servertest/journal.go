package servertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"

	"qkv/internal/audit"
)

// Journal is an audit log for one endpoint, in memory.
type Journal struct {
	*audit.Log
	t     T
	mu    sync.Mutex
	lines bytes.Buffer
}

// NewJournal returns an empty Journal.
func NewJournal(t T) *Journal {
	j := &Journal{t: t}
	j.Log = audit.New(slog.NewJSONHandler(j, nil), nil)
	return j
}

// Write implements io.Writer.
func (j *Journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.Write(line)
}

// auditLine has the attributes of an audit line.
type auditLine struct {
	User, Proof, Address, API, What, Result, Detail string
	Keys                                            []string
}

// Take returns the events that were recorded since the last call, each with its user, proof, host, API, operation, keys and result. raw has
// the whole lines of all events.
func (j *Journal) Take(seen *int) (events []string, raw string) {
	j.t.Helper()
	j.mu.Lock()
	raw = j.lines.String()
	j.mu.Unlock()
	n := 0
	for text := range strings.Lines(raw) {
		if n++; n > *seen {
			var one auditLine
			check(j.t, json.Unmarshal([]byte(text), &one))
			events = append(events, one.String())
		}
	}
	*seen = n
	return events, raw
}

func (one *auditLine) String() string {
	host, _, err := net.SplitHostPort(one.Address)
	if err != nil {
		host = one.Address
	}
	text := fmt.Sprintf("%s by %s from %s: %s %s", one.User, one.Proof, host, one.API, one.What)
	if len(one.Keys) > 0 {
		text += fmt.Sprint(" ", one.Keys)
	}
	if one.Result == "ok" && one.Detail != "" {
		text += " (" + one.Detail + ")"
	}
	return text + ": " + one.Result
}
