package form

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Progress is a bar on a terminal. Elsewhere it prints nothing, or an occasional line if lines is set.
type Progress struct {
	bar *progressbar.ProgressBar

	lines       io.Writer
	what        string
	done, total int
	next        time.Time // when the next line is due
}

func NewProgress(w io.Writer, what string, total int) *Progress {
	if !IsTerminal(w) {
		return &Progress{}
	}
	return &Progress{bar: progressbar.NewOptions(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("keys"),
		progressbar.OptionSetWidth(32),
		progressbar.OptionThrottle(100_000_000),
		progressbar.OptionClearOnFinish(),
	)}
}

// lineEvery is the interval of progress lines without a terminal: an hour makes 120 lines.
const lineEvery = 30 * time.Second

// NewSlowProgress is for items that take minutes each: without a terminal it writes a line at intervals. One goroutine uses it.
func NewSlowProgress(w io.Writer, what string, total int) *Progress {
	p := NewProgress(w, what, total)
	if p.bar == nil {
		p.lines, p.total, p.next = w, total, time.Now().Add(lineEvery)
	}
	return p
}

// NewBytesProgress is a bar of bytes; the first update sets its total.
func NewBytesProgress(w io.Writer, what string) *Progress {
	if !IsTerminal(w) {
		return &Progress{}
	}
	return &Progress{bar: progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(32),
		progressbar.OptionThrottle(100_000_000),
		progressbar.OptionClearOnFinish(),
	)}
}

// Set sets the done and the remaining amount.
func (p *Progress) Set(done, left int64) {
	if p.bar != nil {
		p.bar.ChangeMax64(done + left)
		_ = p.bar.Set64(done)
	}
}

// Describe names the current step.
func (p *Progress) Describe(what string) {
	if p.bar != nil {
		p.bar.Describe(what)
	}
	if p.lines != nil {
		p.what = what
	}
}

// Add counts items; it may be called from any goroutine.
func (p *Progress) Add(n int) {
	if p.bar != nil {
		_ = p.bar.Add(n)
	}
	if p.lines == nil {
		return
	}
	p.done += n
	if now := time.Now(); !now.Before(p.next) {
		p.next = now.Add(lineEvery)
		of := ""
		if p.total > 0 { // a search does not know its end
			of = fmt.Sprintf(" of %d", p.total)
		}
		fmt.Fprintf(p.lines, "%d%s: %s\n", p.done, of, p.what)
	}
}

func (p *Progress) End() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
