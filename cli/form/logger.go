package form

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"sync"

	"github.com/urfave/cli/v2"
)

// LevelOf returns the least level of --log-level, which may change later.
func LevelOf(c *cli.Context) *slog.LevelVar {
	level := new(slog.LevelVar)
	_ = level.UnmarshalText([]byte(c.String("log-level"))) // the flag allows only valid levels
	return level
}

// NewLogger writes a member's messages: text lines on a terminal, JSON anywhere else. Lines of JSON are collected from many members:
// each names its member.
func NewLogger(w io.Writer, format string, least slog.Leveler, member string) *slog.Logger {
	if format == "auto" && IsTerminal(w) {
		format = "text"
	}
	if format == "text" {
		return slog.New(NewLineHandler(w, least))
	}
	return slog.New(NewJSONHandler(w, &slog.HandlerOptions{Level: least})).With("member", member)
}

// NewJSONHandler is slog's, whose lines do not steer a terminal.
func NewJSONHandler(w io.Writer, options *slog.HandlerOptions) slog.Handler {
	return slog.NewJSONHandler(jsonLines{w}, options)
}

// jsonLines escapes in lines of JSON what steers a terminal: package json escapes only what ends a string.
type jsonLines struct{ w io.Writer }

func (j jsonLines) Write(line []byte) (int, error) {
	_, err := j.w.Write(steering.ReplaceAllFunc(line, func(c []byte) []byte { return fmt.Appendf(nil, `\u%04x`, bytes.Runes(c)[0]) }))
	return len(line), err
}

var steering = regexp.MustCompile("[\x7f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

// lineHandler writes `2006-01-02 15:04:05.000 INFO  message key=value ...`. The attributes are slog's own text format.
type lineHandler struct {
	slog.Handler // writes the attributes into line
	shared       *lineShared
}

// lineShared belongs to a handler and all handlers derived from it.
type lineShared struct {
	mu   sync.Mutex
	line bytes.Buffer
	w    io.Writer
}

func NewLineHandler(w io.Writer, least slog.Leveler) *lineHandler {
	s := &lineShared{w: w}
	return &lineHandler{shared: s, Handler: slog.NewTextHandler(&s.line, &slog.HandlerOptions{
		Level: least,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{}
			}
			return a
		},
	})}
}

// Handle writes one line in one call, so that lines of several processes do not mix.
func (h *lineHandler) Handle(ctx context.Context, r slog.Record) error {
	h.shared.mu.Lock()
	defer h.shared.mu.Unlock()
	line := &h.shared.line
	line.Reset()
	line.WriteString(r.Time.Format("2006-01-02 15:04:05.000 "))
	level := r.Level.String()
	line.WriteString(level + "     "[min(len(level), 5):] + " " + escapeExcept(r.Message, "") + " ")
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	_, err := h.shared.w.Write(append(bytes.TrimRight(line.Bytes(), " \n"), '\n'))
	return err
}

// WithAttrs returns a handler whose lines also hold the attributes.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &lineHandler{h.Handler.WithAttrs(attrs), h.shared}
}

// WithGroup returns a handler whose attribute names have the group as prefix.
func (h *lineHandler) WithGroup(name string) slog.Handler {
	return &lineHandler{h.Handler.WithGroup(name), h.shared}
}
