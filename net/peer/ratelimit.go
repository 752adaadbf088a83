package peer

import (
	"log/slog"
	"sync"
	"time"

	"qkv/internal/limits"
)

// rateLimitedLog limits log lines that other hosts can cause. Each subject gets a few lines, then reminders with the number of
// suppressed lines. The pause between reminders doubles for as long as the problem goes on.
type rateLimitedLog struct {
	logger *slog.Logger

	mu   sync.Mutex
	said map[string]*saying
}

// saying is the state of one subject of the log.
//
// Invariants:
//
//  1. lines is at most limits.LogRepeats: the lines that are written at once.
//  2. After them the next line is due at line+pause, and pause is twice its value before line, up to its maximum.
type saying struct {
	line  time.Time // of the newest line
	last  time.Time // of the last occurrence
	lines int
	pause time.Duration
	held  int
}

func (r *rateLimitedLog) warn(thing, text string, args ...any) {
	if held, ok := r.pass(thing, time.Now()); ok {
		if held > 0 {
			args = append(args, "repeated", held)
		}
		r.logger.Warn(text, args...)
	}
}

func (r *rateLimitedLog) info(thing, text string, args ...any) {
	if held, ok := r.pass(thing, time.Now()); ok {
		if held > 0 {
			args = append(args, "repeated", held)
		}
		r.logger.Info(text, args...)
	}
}

// pass reports whether a line may be written now, and how many were suppressed before it.
func (r *rateLimitedLog) pass(thing string, now time.Time) (held int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.said == nil {
		r.said = map[string]*saying{}
	}
	if len(r.said) >= limits.LogSubjects && r.said[thing] == nil {
		for name, s := range r.said {
			if now.Sub(s.last) >= s.pause {
				delete(r.said, name)
			}
		}
		if len(r.said) >= limits.LogSubjects {
			thing = ""
		}
	}
	s := r.said[thing]
	if s == nil || now.Sub(s.last) >= limits.LogRepeatsPauseMost {
		s = &saying{pause: limits.LogRepeatsPause}
		r.said[thing] = s
	}
	s.last = now
	switch {
	case s.lines < limits.LogRepeats && (s.lines == 0 || now.Sub(s.line) < s.pause):
		s.lines++
	case now.Sub(s.line) < s.pause:
		s.held++
		return 0, false
	default:
		s.lines, s.pause = limits.LogRepeats, min(2*s.pause, limits.LogRepeatsPauseMost)
	}
	held, s.held = s.held, 0
	s.line = now
	return held, true
}
