package server

import (
	"runtime"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// Ranges that may look at many keys are also read by the writer goroutine of their stream, one after the other and in turns
// ([admit.FairQueue]). Short work goes first, on their own stream and everywhere else.

// waitForWork waits for the token of wake, for the turn of the oldest range, or for the end of that range's deadline. It reports
// whether the turn has come.
func (w *writer) waitForWork() bool {
	if len(w.ranges) == 0 {
		<-w.s.wake
		return false
	}
	if w.turn == nil {
		w.turn = w.s.conn.server.reads.Ask()
	}
	select {
	case <-w.s.wake:
		return false
	case <-w.turn.Ready():
		return true
	default:
	}
	left := time.Until(w.ranges[0].read.until)
	if w.clock == nil {
		w.clock = time.NewTimer(left)
	} else {
		w.clock.Reset(left)
	}
	defer w.clock.Stop()
	select {
	case <-w.s.wake:
		return false
	case <-w.clock.C:
		return false
	case <-w.turn.Ready():
		return true
	}
}

// writeShort writes everything taken except ranges. That may wait for the client. Meanwhile the turn is paused: it blocks no other
// stream. The result says whether the turn is still there.
func (w *writer) writeShort(mine bool) (bool, error) {
	if w.turn != nil && w.hasAnswers() {
		w.turn.Pause()
		defer w.turn.Resume()
		mine = false
	}
	return mine, w.writeAll()
}

// readRanges continues the oldest range, if its turn has come, and refuses ranges whose clients do not wait any more.
func (w *writer) readRanges(mine bool) error {
	if w.s.conn.server.draining.Load() {
		for len(w.ranges) > 0 && !w.ranges[0].read.ofWrite() {
			if err := w.refuseRange("the member is shutting down"); err != nil {
				return err
			}
		}
	}
	for len(w.ranges) > 0 {
		why, now := "", time.Now()
		switch first := w.ranges[0].read; {
		case !now.Before(first.until):
			why = "timeout: the range was not read completely before the client's deadline"
		case first.body.heldTooLong(now, w.s.conn.server.config.Member.View().RetiredBytes()):
			why = "the range takes too long to read, and meanwhile this member keeps too much old data in memory: ask for less"
		}
		if why == "" {
			break
		}
		if err := w.refuseRange(why); err != nil {
			return err
		}
	}
	if !mine || w.turn == nil { // or its range was refused
		return nil
	}
	begun := time.Now()
	done := w.readOne(begun)
	w.turn.Done(time.Since(begun))
	w.turn = nil
	switch {
	case done:
		w.endRange()
	case len(w.out) == 0:
		return nil
	case w.reserved > 0:
		return w.sendInBackground()
	}
	return w.sendOut()
}

// readOne reads the oldest range for one turn, and reports whether its answer is encoded.
func (w *writer) readOne(begun time.Time) bool {
	x := &w.ranges[0]
	if x.read.body != nil {
		return w.readBody(x, begun)
	}
	if turn := rules[x.op].turn; turn != nil {
		return turn(w, x, begun)
	}
	if !w.begun {
		q := x.read.Range
		q.Limit = pageLimit(q.Limit)
		w.first, w.begun = index.NewRangeReader(q, w.pageBytes()), true
	}
	for {
		v := w.s.conn.server.config.Member.View()
		if refusal := w.s.conn.permitsStep(v, x); refusal != nil {
			return w.appendError(x.id, refusal.Code, refusal.Message)
		}
		found, done, err := w.first.Step(v, limits.RangeRows)
		w.s.conn.server.rangeRows.Add(limits.RangeRows)
		if err != nil {
			w.appendReadError(x.id, err)
		} else if done {
			w.appendPage(x.id, found)
		}
		runtime.KeepAlive(v)
		if done {
			return true
		}
		if time.Since(begun) >= limits.RangeTurn {
			return false
		}
	}
}

// readBody reads the body of the oldest range for one turn, and reports whether its answer is encoded.
func (w *writer) readBody(x *slot, begun time.Time) bool {
	for {
		v := w.s.conn.server.config.Member.View()
		if refusal := w.s.conn.permitsStep(v, x); refusal != nil {
			return w.appendError(x.id, refusal.Code, refusal.Message)
		}
		w.s.conn.server.rangeRows.Add(limits.RangeRows)
		if x.read.body.read(&w.buffer, v, limits.RangeRows) {
			return true
		}
		if time.Since(begun) >= limits.RangeTurn {
			return false
		}
	}
}

// pages is a streamed range that has begun.
type pages struct {
	pagesReader
	until  time.Time           // when it releases its View
	sorted *index.SortedReader // the reader of a sorted range
	taken  int64               // memory that the sorted range's notes have reserved from the stream's share

	// page is a page that did not fit after the buffered answers, read from view; last says whether it is the last page.
	page kv.RangeResult
	view *index.View
	last bool
}

// pagesReader reads a streamed range: an [index.PagesReader], an [index.SortedReader], or an [index.UsageReader].
type pagesReader interface {
	Step(newest *index.View, rows int) (page kv.RangeResult, done, last bool, err error)
	Held() *index.View
	Release()
}

func newPages(q kv.Range, until time.Time) *pages {
	if q.Usage {
		return &pages{pagesReader: index.NewUsageReader(q, limits.PageBytes, time.Now().UnixNano()), until: until}
	}
	if !q.Sorted() {
		return &pages{pagesReader: index.NewPagesReader(q, limits.PageBytes), until: until}
	}
	sorted := index.NewSortedReader(q, limits.PageBytes)
	return &pages{pagesReader: sorted, sorted: sorted, until: until}
}

// account reserves memory for the notes of a sorted range from the stream's share, or returns an error.
func (p *pages) account(share *memoryBudget) *kv.Error {
	if p.sorted == nil || p.sorted.Bytes() <= p.taken {
		return nil
	}
	more := p.sorted.Bytes() - p.taken
	if !share.reserve(more) {
		return kv.Errorf(kv.AnswerTooLarge, "the range has too many keys to sort within this client's share of the member's memory budget, at %d bytes for each %d keys: "+
			"give a limit, or sort at the client", sortedPart, sortedPart/16)
	}
	p.taken += more
	return nil
}

// sortedPart is the step in which a sorted range reserves memory for its notes.
const sortedPart = 8 << 10

// readPages reads pages of the oldest range for one turn, as many as fit one write, and reports whether the last page is encoded. A
// client that keeps reading does not time out: the full time starts again for the next page.
func (w *writer) readPages(x *slot, begun time.Time) bool {
	p := w.pages
	if p == nil {
		p = newPages(x.read.Range, begun.Add(limits.PagesHeld))
		w.pages = p
	}
	x.read.until = begun.Add(limits.RequestTimeout)
	for {
		newest := w.s.conn.server.config.Member.View()
		if refusal := w.s.conn.permitsStep(newest, x); refusal != nil {
			return w.appendError(x.id, refusal.Code, refusal.Message)
		}
		if p.view == nil {
			if p.Held() != nil && (begun.After(p.until) || newest.RetiredBytes() > limits.PagesRetired) {
				p.Release()
			}
			found, done, last, err := p.Step(newest, limits.RangeRows)
			w.s.conn.server.rangeRows.Add(limits.RangeRows)
			if err != nil {
				return w.appendReadError(x.id, err)
			}
			if refusal := p.account(w.share); refusal != nil {
				return w.appendError(x.id, refusal.Code, refusal.Message)
			}
			if !done {
				if time.Since(begun) >= limits.RangeTurn {
					return false
				}
				continue
			}
			p.page, p.last, p.view = found, last, p.Held()
			if p.view == nil {
				p.view = newest
			}
		}
		if size := pairsSize(p.page.KVs); !w.fit(wire.AnswerBytes + size) {
			if len(w.out) > 0 {
				return false
			}
			return w.appendOverBudget(x.id, size)
		}
		w.putPage(x.id, p.page)
		runtime.KeepAlive(p.view)
		p.page, p.view = kv.RangeResult{}, nil
		if p.last || len(w.out) >= writeBytes || time.Since(begun) >= limits.RangeTurn {
			return p.last
		}
	}
}

// refuseRange answers the oldest range without reading it.
func (w *writer) refuseRange(why string) error {
	refusal := w.ranges[0].read.body.refusal(why)
	w.appendError(w.ranges[0].id, refusal.Code, refusal.Message)
	if w.turn != nil {
		w.turn.Cancel()
		w.turn = nil
	}
	w.endRange()
	return w.sendOut()
}

// endRange removes the oldest range from the requests under way: its answer is about to be written.
func (w *writer) endRange() {
	w.s.conn.server.reads.End()
	if w.pages != nil {
		w.share.release(w.pages.taken)
	}
	w.s.endSlots(w.ranges[:1])
	w.ranges[0].read.recycle()
	w.ranges[0] = slot{}
	w.ranges, w.begun, w.first, w.pages = w.ranges[1:], false, index.RangeReader{}, nil
	if len(w.ranges) == 0 {
		w.ranges = nil
	}
}

// sendOut writes the encoded answers, and releases their memory.
func (w *writer) sendOut() error {
	defer w.release()
	err := w.awaitBackground()
	if err == nil {
		err = w.s.send(w.out)
	}
	w.out = w.out[:0]
	return err
}

// sendInBackground writes the encoded pages while the next are read, after the previous write has ended. It releases their memory then.
func (w *writer) sendInBackground() error {
	if err := w.awaitBackground(); err != nil {
		return err
	}
	out, outcome := w.buffer, make(chan error, 1)
	w.out, w.reserved, w.background = w.small[:0], 0, outcome
	out.small = nil
	w.s.conn.server.running.Go(func() {
		err := w.s.send(out.out)
		out.release()
		outcome <- err
	})
	return nil
}

// awaitBackground waits until no write runs in the background.
func (w *writer) awaitBackground() (err error) {
	if w.background != nil {
		err = <-w.background
		w.background = nil
	}
	return err
}

// dropRanges drops the unanswered ranges when the writer ends.
func (w *writer) dropRanges() {
	if w.turn != nil {
		w.turn.Cancel()
	}
	for len(w.ranges) > 0 {
		w.endRange()
	}
}
