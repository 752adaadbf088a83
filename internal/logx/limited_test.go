package logx

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A reminder says how many lines were held back since the one before it, and not since the beginning.
func TestRemindersCountAnew(t *testing.T) {
	r := NewLimited(slog.New(slog.DiscardHandler))
	now := time.Now()
	for range logRepeats {
		if held, ok := r.pass("it", now); !ok || held != 0 {
			t.Fatalf("one of the first lines: %v, %d held back", ok, held)
		}
	}
	for round, pause := range []time.Duration{logRepeatsPause, 2 * logRepeatsPause} {
		for range 3 {
			if _, ok := r.pass("it", now); ok {
				t.Fatalf("round %d: it is said again at once", round)
			}
		}
		now = now.Add(pause)
		if held, ok := r.pass("it", now); !ok || held != 3 {
			t.Errorf("round %d: %v, %d held back, want 3", round, ok, held)
		}
	}
}

func TestQuiet(t *testing.T) {
	out := &strings.Builder{}
	q := NewLimited(slog.New(slog.NewTextHandler(out, nil)))
	for range logRepeats + 4 {
		q.Warn("a", "it rains")
	}
	q.Warn("b", "it snows")
	if got := out.String(); strings.Count(got, "it rains") != logRepeats || strings.Count(got, "it snows") != 1 {
		t.Error(got)
	}
	if held, ok := q.pass("a", time.Now().Add(logRepeatsPause)); !ok || held != 4 {
		t.Errorf("%d held back, %v", held, ok)
	}
	// A thing that goes on for a day is worth a line every ten minutes; when it comes back after a while, lines at once.
	begun, lines, last := time.Now(), 0, 0
	for at := time.Duration(0); at < 24*time.Hour; at += time.Second {
		if _, ok := q.pass("dead", begun.Add(at)); ok {
			lines++
			if at > time.Hour {
				last++
			}
		}
	}
	if lines > 160 || last < 135 || last > 139 {
		t.Errorf("%d lines in a day, %d of them after the first hour", lines, last)
	}
	for range logRepeats {
		if _, ok := q.pass("dead", begun.Add(25*time.Hour)); !ok {
			t.Error("what comes back after an hour is held back")
		}
	}
	for i := range 10 * logSubjects {
		q.Warn(fmt.Sprint(i), "many things")
	}
	if n := len(q.subjects); n > logSubjects+1 {
		t.Errorf("%d things are remembered", n)
	}
	if n := strings.Count(out.String(), "many things"); n > logSubjects+logRepeats {
		t.Errorf("%d lines", n)
	}
}
