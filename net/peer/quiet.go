package peer

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// quietFor is how long a line about the same thing is not written again.
	quietFor = 10 * time.Second
	// quietMost bounds the things that are remembered; beyond it all share one place.
	quietMost = 256
)

// quiet writes log lines that others can cause, each thing at most once in quietFor, with how often it was held back.
type quiet struct {
	logger *slog.Logger

	mu   sync.Mutex
	said map[string]*saying
}

type saying struct {
	at   time.Time
	held int
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
			if now.Sub(s.at) >= quietFor {
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
	if now.Sub(s.at) < quietFor {
		s.held++
		return 0, false
	}
	held, s.held, s.at = s.held, 0, now
	return held, true
}
