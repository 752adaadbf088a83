package server

import (
	"bytes"
	"io"
	"slices"
	"time"

	"qkv/index/kv"
	"qkv/net/wire"
)

// waiting are the requests of a stream that wait for a stage of the member's start, see [wire.Start]. Later requests that need less overtake
// them. They count as under way. The reader carries them out when the stage is reached: a read deadline wakes it.
type waiting struct {
	all    []waitingFrame // guarded by stream.mu, and changed by the reader alone
	waking bool           // wakeAtStart runs; guarded by stream.mu
}

type waitingFrame struct {
	frame []byte // a copy
	need  wire.Need
	until time.Time
	bytes int32 // the memory that it counts for
}

// startPoll is the longest time between two looks at the deadlines of waiting requests.
const startPoll = 100 * time.Millisecond

// waitsForStart reports whether a request waits: for a stage of the member's start, or behind earlier requests that wait for the same stage.
// A suspended member starts only after `member readmit`, and answers meanwhile what it always answers.
func (r *reader) waitsForStart(q *wire.Request, path wire.Path) bool {
	config, need := &r.s.conn.server.config, q.Op.Start()
	if config.Start.Current() && len(r.s.waiting.all) == 0 || path == wire.PathMember && config.Member.Refuse() != nil {
		return false
	}
	return !config.Start.Serves(need) || slices.ContainsFunc(r.s.waiting.all, func(w waitingFrame) bool { return w.need == need })
}

// awaitStart keeps a copy of a frame until the member has reached the stage, but no longer than timeout.
func (r *reader) awaitStart(frame []byte, need wire.Need, timeout time.Duration) *kv.Error {
	held, refusal := r.begin(len(frame))
	if refusal != nil {
		return refusal
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.waiting.all = append(r.s.waiting.all, waitingFrame{bytes.Clone(frame), need, time.Now().Add(timeout), held})
	if !r.s.waiting.waking {
		r.s.waiting.waking = true
		r.s.conn.server.running.Go(r.s.wakeAtStart)
	}
	return nil
}

// wakeAtStart wakes the reader whenever a waiting request is due, until none waits.
func (s *stream) wakeAtStart() {
	for {
		raised := s.conn.server.config.Start.Raised()
		s.mu.Lock()
		due := false
		for i := range s.waiting.all {
			due = due || s.isDue(&s.waiting.all[i], time.Now())
		}
		s.waiting.waking = len(s.waiting.all) > 0
		goOn := s.waiting.waking
		s.mu.Unlock()
		if !goOn {
			return
		}
		if due {
			_ = s.qs.SetReadDeadline(time.Unix(1, 0))
		}
		awaitStage(raised)
	}
}

func awaitStage(raised <-chan struct{}) {
	select {
	case <-raised:
	case <-time.After(startPoll):
	}
}

// isDue reports whether a waiting request can be carried out, or has to be refused. A stream of a member that stops may end without the
// refusal, which says the same.
func (s *stream) isDue(w *waitingFrame, now time.Time) bool {
	return s.conn.server.config.Start.Serves(w.need) || !now.Before(w.until) || s.conn.server.draining.Load()
}

// takeDue takes the waiting requests that are due.
func (r *reader) takeDue(now time.Time) (due []waitingFrame) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	var left []waitingFrame
	for _, w := range r.s.waiting.all {
		if r.s.isDue(&w, now) {
			due = append(due, w)
		} else {
			left = append(left, w)
		}
	}
	r.s.waiting.all = left
	return due
}

// resumeWaiting carries out the waiting requests whose stage is reached, and refuses those whose time is over. The reader calls it.
func (r *reader) resumeWaiting() (err error) {
	if len(r.s.waiting.all) == 0 {
		return nil
	}
	now := time.Now()
	due := r.takeDue(now)
	for i := range due {
		w := &due[i]
		r.s.end(1, int64(w.bytes))
		serves := r.s.conn.server.config.Start.Serves(w.need)
		switch own := r.s.watches; {
		case err != nil:
		case own != nil && serves:
			err = own.handle(w.frame)
		case own != nil: // its client begins all watches of the stream again, at another member if there is one
			own.Deliver(&kv.WatchDelivery{Kind: kv.WatchEnded, Err: wire.ErrStarting})
		default:
			err = r.handleWaiting(w, serves, now)
		}
	}
	r.flush()
	return err
}

func (r *reader) handleWaiting(w *waitingFrame, serves bool, now time.Time) error {
	q := &r.request
	if err := wire.ReadRequest(w.frame, q); err != nil {
		return err
	}
	refusal := wire.ErrStarting
	if serves {
		q.Timeout = min(q.Timeout, max(w.until.Sub(now), time.Millisecond))
		refusal = r.start(q, w.frame)
	}
	if refusal != nil {
		r.batch.answers = wire.AppendError(r.batch.answers, q.ID, refusal.Code, refusal.Message)
	}
	r.request.Txn, r.request.Ask = nil, nil
	return nil
}

// finishWaiting carries out the waiting requests of a client that sends nothing more.
func (r *reader) finishWaiting() error {
	for len(r.s.waiting.all) > 0 {
		awaitStage(r.s.conn.server.config.Start.Raised())
		if !r.s.awaitAnswersTaken() {
			return io.ErrClosedPipe
		}
		if err := r.resumeWaiting(); err != nil {
			return err
		}
	}
	return nil
}

// dropWaiting drops the waiting requests of a stream that is gone.
func (r *reader) dropWaiting() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for _, w := range r.s.waiting.all {
		r.s.end(1, int64(w.bytes))
	}
	r.s.waiting.all = nil
}
