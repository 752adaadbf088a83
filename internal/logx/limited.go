// Package logx is the rate-limited log for events that other hosts can cause.
package logx

import (
	"log/slog"
	"sync"
	"time"

	"qkv/internal/limits"
)

// Limited is a rate-limited log. Each subject gets a few lines, then reminders with the number of suppressed lines. The pause between
// reminders doubles while the problem continues.
type Limited struct {
	logger *slog.Logger

	mu       sync.Mutex
	subjects map[string]*subject
}

// subject is the state of one subject of the log.
//
// Invariants:
//
//  1. lines is at most logRepeats: the lines that are written at once.
//  2. After them the next line is due at line+pause, and pause is twice its value before line, up to its maximum.
type subject struct {
	line       time.Time // of the newest line
	last       time.Time // of the last occurrence
	lines      int
	pause      time.Duration
	suppressed int
}

// NewLimited returns a rate-limited log to logger.
func NewLimited(logger *slog.Logger) *Limited {
	return &Limited{logger: logger, subjects: map[string]*subject{}}
}

// Warn logs a warning about a subject.
func (l *Limited) Warn(about, text string, args ...any) { l.log(l.logger.Warn, about, text, args) }

// Info logs information about a subject.
func (l *Limited) Info(about, text string, args ...any) { l.log(l.logger.Info, about, text, args) }

func (l *Limited) log(write func(string, ...any), about, text string, args []any) {
	suppressed, ok := l.pass(about, time.Now())
	if !ok {
		return
	}
	if suppressed > 0 {
		args = append(args, "repeated", suppressed)
	}
	write(text, args...)
}

const (
	// logRepeats bounds the lines about one subject that other parties can cause, until logRepeatsPause after the first. logSubjects bounds
	// the distinct subjects.
	logRepeats      = 3
	logRepeatsPause = 10 * time.Second
	logSubjects     = 256
)

// pass reports whether a line may be written now, and how many were suppressed before it.
func (l *Limited) pass(about string, now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.subjects) >= logSubjects && l.subjects[about] == nil {
		for name, s := range l.subjects {
			if now.Sub(s.last) >= s.pause {
				delete(l.subjects, name)
			}
		}
		if len(l.subjects) >= logSubjects {
			about = ""
		}
	}
	s := l.subjects[about]
	if s == nil || now.Sub(s.last) >= limits.LogRepeatsPauseMost {
		s = &subject{pause: logRepeatsPause}
		l.subjects[about] = s
	}
	s.last = now
	switch {
	case s.lines < logRepeats && (s.lines == 0 || now.Sub(s.line) < s.pause):
		s.lines++
	case now.Sub(s.line) < s.pause:
		s.suppressed++
		return 0, false
	default:
		s.lines, s.pause = logRepeats, min(2*s.pause, limits.LogRepeatsPauseMost)
	}
	suppressed, s.suppressed = s.suppressed, 0
	s.line = now
	return suppressed, true
}
