package etcd

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"qkv/index"
	"qkv/internal/admit"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
)

// Some answers cannot be read twice: sorted or filtered ranges, and answers of transactions. They are held in memory as a whole, within
// one memory budget.

// build reserves memory for an answer that is built as a whole, unless it has its own reservation already. It waits for the memory, at most
// for the timeout of a request.
func (s *core) build(ctx context.Context, own *admit.Reservation, size int) (*admit.Reservation, error) {
	if own != nil || size <= s.wholeMost(ctx) || overHTTP(ctx) { // bounded by the budget of all connections, and over HTTP by its own
		return own, nil
	}
	refusal := s.errTooManyLarge()
	if !s.admission.building.TryTake() {
		return nil, refusal
	}
	defer s.admission.building.Release()
	r := s.admission.buffered.Answer(front.AccountOf(ctx).Close, 0)
	waiting, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	if err := r.Set(waiting, int64(size)); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, refusal
	}
	return r, nil
}

func (s *core) errTooManyLarge() error {
	return status.Errorf(codes.ResourceExhausted, "etcdserver: too many large answers: those that are sorted, filtered or of transactions take %d bytes of this member's memory together, its limit: ask for pages, for a plain range, or again", s.config.Limits.BuiltBytes)
}

// encodeBuilt encodes an answer with a reservation, which it may have already.
func (s *core) encodeBuilt(ctx context.Context, m proto.Message, reserved *admit.Reservation) (_ answer, err error) {
	if reserved, err = s.build(ctx, reserved, proto.Size(m)); err != nil {
		return nil, err
	}
	all, err := encoded(m)
	if err != nil {
		reserved.Release()
		return nil, err
	}
	reserved.Shrink(int64(all.size()))
	return reserving(all, reserved), nil
}

// wholeMost is the largest size of a range answer that is encoded at once. It is smaller while clients hold much memory.
func (s *core) wholeMost(ctx context.Context) int {
	if overHTTP(ctx) || s.accounts.AboveQuarter() {
		return etcdPieceBytes
	}
	return etcdWholeBytes
}

// bufferedRead is a read whose results stay in memory until they are answered or reserved in the budget. A long one takes one of
// etcdWideReads slots. A read that waits for a slot drops its results and reads again.
type bufferedRead struct {
	s       *core
	ctx     context.Context
	begun   time.Time
	steps   int
	hasSlot bool
}

func (s *core) bufferedRead(ctx context.Context) *bufferedRead {
	return &bufferedRead{s: s, ctx: ctx, begun: time.Now()}
}

// heldTooLong tells whether a View taken at since must be released: a held View keeps the memory of all later changes from being freed.
func (s *core) heldTooLong(since time.Time) bool {
	return tooLong(time.Since(since), &s.config.Limits, func() int64 { return s.config.Member.View().RetiredBytes() })
}

func tooLong(held time.Duration, bounds *limits.Etcd, retired func() int64) bool {
	return held > bounds.AnswerHeld || held > bounds.Stall && retired() > limits.PagesRetired
}

// errTooLong ends an answer that cannot continue from a newer View.
var errTooLong = status.Error(codes.ResourceExhausted, "etcdserver: the answer takes too long to read for what this member would have to keep in memory meanwhile: ask for less, for pages, or for a plain range")

// read calls step, in turns, until it is done. begin resets the read before the first step.
func (w *bufferedRead) read(begin func(), step func() (bool, error)) error {
	done := false
	for {
		err := w.s.read(w.ctx, func() (_ bool, err error) {
			if w.steps++; w.s.heldTooLong(w.begun) {
				return false, errTooLong
			}
			done, err = step()
			return done || !w.hasSlot && w.steps >= etcdWideSteps, err
		})
		if err != nil || done {
			return err
		}
		if _, err := w.takeSlot(begin); err != nil {
			return err
		}
	}
}

// measuredReader is a reader whose first read may only measure the values that are in files.
type measuredReader[T any] interface {
	Measure()
	Measured() (unread, all int64)
	Step(v *index.View, rows int) (found T, done bool, err error)
}

// readMeasured reads a result with the readers that begin makes. If values are in files, the first read only measures
// them. Unless enough says that this is enough, the memory of the values and of the encoded answer is reserved, and the
// second read reads the values. A long read takes turns.
func readMeasured[T any, R measuredReader[T]](w *bufferedRead, v *index.View, begin func() R, long bool, enough func(T) bool,
) (found T, own *admit.Reservation, err error) {
	for measures := true; ; measures = false {
		var r R
		again := func() {
			if r = begin(); measures {
				r.Measure()
			}
		}
		step := func() (done bool, err error) {
			found, done, err = r.Step(v, limits.RangeRows)
			return done, err
		}
		if again(); long {
			err = w.read(again, step)
		} else {
			for done := false; !done && err == nil; {
				done, err = step()
			}
		}
		if err != nil || !measures {
			if err != nil {
				own.Release()
			}
			return found, own, statusOf(err)
		}
		unread, all := r.Measured()
		if unread == 0 || enough(found) {
			return found, nil, nil
		}
		if own, err = w.s.build(w.ctx, nil, int(min(unread+all, w.s.config.Limits.BuiltBytes))); err != nil {
			return found, nil, err
		}
		w.steps = 0 // with the memory it waits for no slot: who has one may wait for memory
	}
}

// takeSlot takes a slot, if the read has none yet. If it has to wait, the read begins anew.
func (w *bufferedRead) takeSlot(begin func()) (anew bool, err error) {
	if w.hasSlot {
		return false, nil
	}
	if w.s.admission.longReads.TryTake() {
		w.hasSlot = true
		return false, nil
	}
	begin()
	until := time.NewTimer(w.s.config.Timeout)
	defer until.Stop()
	look := time.NewTicker(heldCheckInterval)
	defer look.Stop()
	for !w.s.heldTooLong(w.begun) {
		select {
		case w.s.admission.longReads <- struct{}{}:
			w.hasSlot = true
			return true, nil
		case <-w.ctx.Done():
			return true, w.ctx.Err()
		case <-until.C:
			return true, w.s.errTooManyLarge()
		case <-look.C:
		}
	}
	return true, errTooLong
}

// heldCheckInterval is the interval of checks for a View held for too long.
const heldCheckInterval = 100 * time.Millisecond

func (w *bufferedRead) end() {
	if w.hasSlot {
		w.s.admission.longReads.Release()
	}
}
