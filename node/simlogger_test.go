package node

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// simLogger counts what members say, and shows it in a trace.
type simLogger struct {
	w     *world
	host  *host
	attrs []slog.Attr
}

// Enabled implements slog.Handler.
func (l *simLogger) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || l.w.verbose || l.w.shape.spares > 0
}

// Handle implements slog.Handler.
func (l *simLogger) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "ignoring conf change") { // and what proposed it would wait for ever
		l.w.failf("%s lets raft drop a change of the membership: %s", l.host.name(), r.Message)
	}
	if r.Level < slog.LevelInfo && !l.w.verbose {
		return nil
	}
	if l.w.hear != nil {
		l.w.hear(l.host.name(), r.Message)
	}
	switch r.Message {
	case "snapshot installed":
		l.w.totals.Installs++
		l.host.saved = 0
	case "snapshot saved":
		l.w.totals.Snapshots++
		h := l.host
		h.saved++
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "index" {
				h.savedIndex = a.Value.Uint64()
			}
			return true
		})
	case "handing leadership over":
		l.w.totals.Transfers++
	}
	if l.w.tracing {
		var b strings.Builder
		add := func(a slog.Attr) bool {
			fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
			return true
		}
		for _, a := range l.attrs {
			add(a)
		}
		r.Attrs(add)
		l.w.trace("%s %s %s%s", l.host.name(), r.Level, r.Message, b.String())
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (l *simLogger) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &simLogger{w: l.w, host: l.host, attrs: append(append([]slog.Attr{}, l.attrs...), attrs...)}
}

// WithGroup implements slog.Handler.
func (l *simLogger) WithGroup(string) slog.Handler { return l }
