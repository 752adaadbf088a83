package peer

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// quietAfter lines about the same thing within quietFor, no more are written.
	quietAfter = 3
	quietFor   = 10 * time.Second
	// quietMost bounds the things that are remembered; beyond it all share one place.
	quietMost = 256
)

// quiet writes log lines that others can cause: a few about each thing, and later how many were held back.
type quiet struct {
	logger *slog.Logger

	mu   sync.Mutex
	said map[string]*saying
}

type saying struct {
	since time.Time // of the first line that counts
	lines int
	held  int
}

func (q *quiet) warn(thing, text string, args ...any) {
	if held, ok := q.pass(thing, time.Now()); ok {
		if held > 0 {
			args = append(args, "repeated", held)
		}
		q.logger.Warn(text, args...)
	}
}

func (q *quiet) info(thing, text string, args ...any) {
	if held, ok := q.pass(thing, time.Now()); ok {
		if held > 0 {
			args = append(args, "repeated", held)
		}
		q.logger.Info(text, args...)
	}
}

// pass says whether a line may be written now, and how many were held back before it.
func (q *quiet) pass(thing string, now time.Time) (held int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.said == nil {
		q.said = map[string]*saying{}
	}
	if len(q.said) >= quietMost && q.said[thing] == nil {
		for name, s := range q.said {
			if now.Sub(s.since) >= quietFor {
				delete(q.said, name)
			}
		}
		if len(q.said) >= quietMost {
			thing = ""
		}
	}
	s := q.said[thing]
	if s == nil {
		s = &saying{}
		q.said[thing] = s
	}
	if now.Sub(s.since) >= quietFor {
		held = s.held
		*s = saying{since: now}
	}
	if s.lines == quietAfter {
		s.held++
		return 0, false
	}
	s.lines++
	return held, true
}
