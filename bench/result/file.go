package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"qkv/bench/machine"
)

// Version is the format that [File.Write] writes.
const Version = 1

// The modes of rows.
const (
	Closed = "closed"
	Open   = "open"
	Probe  = "probe"
	Event  = "event"
)

// File holds all results of one command.
type File struct {
	Version     int                 `json:"version"`
	Kind        string              `json:"kind"` // KindDisk or "run"
	Command     []string            `json:"command"`
	Begun       time.Time           `json:"begun"`
	Environment machine.Environment `json:"environment"`
	Sides       []Side              `json:"sides"`
	Rows        []Row               `json:"rows"`
	Notes       []string            `json:"notes,omitempty"` // failed measurements, and verdicts
}

// Side is one of the compared systems: a folder, a target, a build.
type Side struct {
	Name   string          `json:"name"`
	Device *machine.Device `json:"device,omitempty"`
	Target string          `json:"target,omitempty"` // such as etcd=http://127.0.0.1:2379
}

// Row is one load on one side.
type Row struct {
	Side       string            `json:"side"`
	Name       string            `json:"name"`
	Mode       string            `json:"mode"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Runs       []Run             `json:"runs"`
}

// Run is one measurement.
type Run struct {
	Begun      time.Time `json:"begun"`
	Seconds    float64   `json:"seconds"`
	Count      int64     `json:"count"` // successes
	Failed     int64     `json:"failed,omitempty"`
	Unknown    int64     `json:"unknown,omitempty"`
	FirstError string    `json:"first_error,omitempty"`
	Rate       float64   `json:"rate"` // successes per second
	LongestGap float64   `json:"longest_gap_seconds,omitempty"`
	Histogram  *Latency  `json:"histogram,omitempty"`
	Windows    []Window  `json:"windows,omitempty"`
	// Stages are the stages of a write in the leader, for a sample of the writes.
	Stages []StageTime `json:"stages,omitempty"`
	// Values are other figures of the run by name, which ends with the unit, such as "memory_bytes".
	Values map[string]float64 `json:"values,omitempty"`
}

// Window is one part of a run.
type Window struct {
	Seconds float64 `json:"seconds"` // duration
	Count   int64   `json:"count"`
}

// Latency is a histogram in nanoseconds, in JSON as HdrHistogram V2 in base64.
type Latency struct{ *hdrhistogram.Histogram }

// MarshalJSON writes the histogram compressed.
func (l Latency) MarshalJSON() ([]byte, error) {
	b, err := l.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(b))
}

// UnmarshalJSON reads the output of MarshalJSON.
func (l *Latency) UnmarshalJSON(b []byte) (err error) {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	defer func() { // the library trusts its input
		if r := recover(); r != nil {
			err = fmt.Errorf("a histogram is damaged: %v", r)
		}
	}()
	l.Histogram, err = hdrhistogram.Decode([]byte(text))
	return err
}

// Write writes the file.
func (f *File) Write(w io.Writer) error {
	f.Version = Version
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(f)
}

// Read reads a file, and refuses one with an unknown version or contradictions.
func Read(r io.Reader) (*File, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var head struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("this is no file of `qkv bench`: %w", err)
	}
	if head.Version == nil || *head.Version < 1 {
		return nil, errors.New("this is no file of `qkv bench`: it has no version")
	}
	if *head.Version != Version {
		return nil, fmt.Errorf("the file has version %d, and this qkv reads version %d: use the qkv that wrote it, or a newer one", *head.Version, Version)
	}
	f := &File{}
	if err := json.Unmarshal(b, f); err != nil {
		return nil, fmt.Errorf("the file is damaged: %w", err)
	}
	return f, f.check()
}

func (f *File) check() error {
	for i, row := range f.Rows {
		if !slices.ContainsFunc(f.Sides, func(s Side) bool { return s.Name == row.Side }) {
			return fmt.Errorf("the file is damaged: row %d is of the side %q, which it does not name", i, row.Side)
		}
		if !slices.Contains([]string{Closed, Open, Probe, Event}, row.Mode) || row.Name == "" {
			return fmt.Errorf("the file is damaged: row %d is %q in the mode %q", i, row.Name, row.Mode)
		}
	}
	if len(f.Sides) == 0 { // tables compare with the first one
		return errors.New("the file is damaged: it names no side")
	}
	return nil
}

// CommandLine quotes a command for a shell, to be pasted.
func CommandLine(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if w == "" || strings.ContainsFunc(w, needsQuotes) {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// needsQuotes tells whether a character may have a meaning in a shell.
func needsQuotes(r rune) bool {
	plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_@%+=:,./-", r)
	return !plain
}

// Merged returns all latencies of a row; nil if it has none.
func (r Row) Merged() *hdrhistogram.Histogram {
	var all *hdrhistogram.Histogram
	for _, run := range r.Runs {
		if run.Histogram == nil || run.Histogram.Histogram == nil {
			continue
		}
		h := run.Histogram.Histogram
		if all == nil {
			all = hdrhistogram.New(h.LowestTrackableValue(), h.HighestTrackableValue(), int(h.SignificantFigures()))
		}
		all.Merge(h)
	}
	return all
}

// side returns the side of a row.
func (f *File) side(name string) Side {
	for _, s := range f.Sides {
		if s.Name == name {
			return s
		}
	}
	return Side{Name: name}
}
