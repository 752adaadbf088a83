package etcd

import (
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qkv/index"
	"qkv/internal/admit"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
)

// TestWideReadsWait: a read that waits for a place among those that hold all that they read holds nothing, and begins again with it; it
// keeps the place until it ends, and is refused when there is none in time. A short one needs none.
func TestWideReadsWait(t *testing.T) {
	s := &core{admission: admission{longReads: make(admit.Slots, 1), reads: admit.NewFairQueue(new(atomic.Int64))}, config: Config{Timeout: time.Hour, Limits: limits.Etcd{AnswerHeld: time.Hour, Stall: time.Hour}}}
	steps := func(w *bufferedRead, n int, begun *int) error {
		read := 0
		return w.read(func() { *begun, read = *begun+1, 0 }, func() (bool, error) {
			read++
			return read == n, nil
		})
	}
	first, again := s.bufferedRead(t.Context()), 0
	if err := steps(first, 10*etcdWideSteps, &again); err != nil || again != 0 || !first.hasSlot {
		t.Fatalf("the first one: %v, begun again %d times, has a place: %v", err, again, first.hasSlot)
	}
	short := s.bufferedRead(t.Context())
	if err := steps(short, etcdWideSteps, &again); err != nil || again != 0 || short.hasSlot {
		t.Errorf("a short one: %v, begun again %d times, has a place: %v", err, again, short.hasSlot)
	}
	short.end()
	waits, begun, done := s.bufferedRead(t.Context()), make(chan struct{}), make(chan error, 1)
	go func() {
		read := 0
		done <- waits.read(func() { read = 0; close(begun) }, func() (bool, error) {
			read++
			return read == 10*etcdWideSteps, nil
		})
	}()
	select {
	case <-begun: // it has let go of what it has read
	case <-time.After(time.Minute):
		t.Fatal("who waits for a place keeps what it has read")
	}
	first.end()
	if err := <-done; err != nil || !waits.hasSlot || waits.steps != 11*etcdWideSteps {
		t.Errorf("one that has waited: %v, has a place: %v, %d steps", err, waits.hasSlot, waits.steps)
	}
	s.config.Timeout = time.Millisecond
	if err := steps(s.bufferedRead(t.Context()), 10*etcdWideSteps, &again); status.Code(err) != codes.ResourceExhausted || again != 1 {
		t.Errorf("one that has no place in time: %v, begun again %d times", err, again)
	}
	s.config.Timeout, s.config.Limits.AnswerHeld = time.Hour, time.Nanosecond
	if err := steps(s.bufferedRead(t.Context()), 1, &again); !errors.Is(err, errTooLong) {
		t.Errorf("one that holds what it reads for too long: %v", err)
	}
	s.config.Limits.AnswerHeld = 50 * time.Millisecond
	if err := steps(s.bufferedRead(t.Context()), 10*etcdWideSteps, &again); !errors.Is(err, errTooLong) || again != 2 {
		t.Errorf("one that waits for a place for too long: %v, begun again %d times", err, again)
	}
	waits.end()
	if len(s.admission.longReads) != 0 {
		t.Errorf("%d places are taken by nobody", len(s.admission.longReads))
	}
}

// measuredSteps is a read of some steps, whose values are in files.
type measuredSteps struct{ left int }

func (*measuredSteps) Measure() {}

func (*measuredSteps) Measured() (unread, all int64) { return 1, 1 }

func (m *measuredSteps) Step(*index.View, int) (found int, done bool, err error) {
	m.left--
	return 0, m.left == 0, nil
}

// TestMeasuredReadsWaitOnce: a read that has measured its values without a place reads them without one. It has their memory by then, and
// reads with a place may wait for memory.
func TestMeasuredReadsWaitOnce(t *testing.T) {
	s := &core{
		admission: admission{longReads: make(admit.Slots, 1), reads: admit.NewFairQueue(new(atomic.Int64))}, accounts: front.NewAccounts(1, nil),
		config: Config{Timeout: time.Millisecond, Limits: limits.Etcd{AnswerHeld: time.Hour, Stall: time.Hour, BuiltBytes: 1}},
	}
	s.admission.longReads.TryTake()
	for steps, want := range map[int]codes.Code{1: codes.OK, etcdWideSteps: codes.OK, etcdWideSteps + 1: codes.ResourceExhausted} {
		begin := func() *measuredSteps { return &measuredSteps{left: steps} }
		_, _, err := readMeasured(s.bufferedRead(t.Context()), nil, begin, true, func(int) bool { return false })
		if status.Code(err) != want {
			t.Errorf("%d steps while no place is free: %v, want %v", steps, err, want)
		}
	}
}

// TestHeldTooLong has a View let go of when it is old, and before when others' memory waits for it.
func TestHeldTooLong(t *testing.T) {
	bounds := limits.Defaults().Etcd
	for _, c := range []struct {
		held    time.Duration
		retired int64
		want    bool
	}{
		{bounds.Stall, math.MaxInt64, false},
		{bounds.Stall + 1, limits.PagesRetired + 1, true},
		{bounds.Stall + 1, limits.PagesRetired, false},
		{bounds.AnswerHeld, limits.PagesRetired, false},
		{bounds.AnswerHeld + 1, 0, true},
	} {
		if got := tooLong(c.held, &bounds, func() int64 { return c.retired }); got != c.want {
			t.Errorf("for %v, with %d bytes that wait for it: %v", c.held, c.retired, got)
		}
	}
}
