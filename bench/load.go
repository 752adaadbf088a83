package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"qkv/internal/limits"
	"qkv/net/client"
)

// Op is what a load does.
type Op uint8

// The operations of a load.
const (
	Put             Op = iota // writes a value of its own for each request
	Get                       // a linearizable read of one key
	GetSerializable           // a read of whatever the member has
	Mixed                     // one put among nine linearizable reads
)

var opNames = [...]string{"put", "linearizable get", "serializable get", "mixed"}

// mixedGets is how many reads there are to each put of Mixed.
const mixedGets = 9

func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return fmt.Sprintf("Op(%d)", uint8(o))
}

// Config says what load to make. What is 0 is as the comments say.
type Config struct {
	Stores     []Store // the requests in flight are shared out evenly among them
	Op         Op
	InFlight   int           // 1000; of an open loop the most there may be
	Rate       float64       // requests a second, begun when they are due: an open loop; 0: closed
	Keys       int           // of the key space; 100,000
	Sequential bool          // keys one after the other in place of at random
	Prefix     string        // of the keys; "bench/"
	ValueBytes int           // 256
	Count      int64         // ends after so many requests were begun; none
	Duration   time.Duration // ends after so long, the warm-up not counted, and not before one request that counts; 10 s where there is no Count
	WarmUp     time.Duration // of which nothing is recorded
	Seed       uint64        // of keys and values
	Scale      float64       // of special loads' sizes; 1
	Progress   func(done int64)
}

// The rates of an open loop: its second request is due within an hour, and since it makes every request that was due, however late,
// it must not be asked for what no machine does.
const (
	LeastRate = 0.001
	MostRate  = sweepMost
)

// progressEvery is how often Progress is called.
const progressEvery = 200 * time.Millisecond

func (c *Config) complete() error {
	setDefault(&c.InFlight, 1000)
	setDefault(&c.Keys, 100_000)
	setDefault(&c.ValueBytes, 256)
	if c.Scale == 0 {
		c.Scale = 1
	}
	if c.Prefix == "" {
		c.Prefix = "bench/"
	}
	if c.Duration == 0 && c.Count == 0 {
		c.Duration = 10 * time.Second
	}
	switch {
	case len(c.Stores) == 0:
		return errors.New("bench: a load needs at least one client")
	case c.InFlight < 1 || c.InFlight > len(c.Stores)*limits.RequestsInflight:
		return fmt.Errorf("bench: %d requests in flight: 1 to %d are possible over %d clients", c.InFlight, len(c.Stores)*limits.RequestsInflight, len(c.Stores))
	case c.Rate != 0 && !(c.Rate >= LeastRate && c.Rate <= MostRate): // nor is NaN
		return fmt.Errorf("bench: %v requests a second are not possible", c.Rate)
	case c.Keys < 1 || c.ValueBytes < 1 || c.ValueBytes > limits.ValueBytes || len(c.Prefix)+keyDigits > limits.KeyBytes:
		return fmt.Errorf("bench: %d keys with the prefix %q and values of %d bytes are not possible", c.Keys, c.Prefix, c.ValueBytes)
	case c.Count < 0 || c.Duration < 0 || c.WarmUp < 0 || int(c.Op) >= len(opNames):
		return fmt.Errorf("bench: %v, %d times, for %v, warm-up %v is not possible", c.Op, c.Count, c.Duration, c.WarmUp)
	}
	return nil
}

func setDefault(n *int, value int) {
	if *n == 0 {
		*n = value
	}
}

// load is one run.
type load struct {
	// Constant.
	config  Config
	ctx     context.Context
	span           // without an end: by count
	values  []byte // from which each value is cut
	running sync.WaitGroup
	free    chan *slot // of an open loop; nil: closed

	// Shared.
	started atomic.Int64
	done    atomic.Int64
	failed  atomic.Int64
	unknown atomic.Int64
	last    atomic.Int64 // when something succeeded, in ns since begun; 0 for never
	gap     atomic.Int64 // the longest so far

	lag time.Duration // the pacer's: the longest that a request was begun after it was due

	mu    sync.Mutex
	first error
}

// share is what one store's requests record: once each, since the load's own work is done on the processors that it measures.
type share struct {
	mu      sync.Mutex
	windows []*hdrhistogram.Histogram // of windowTime each, since the warm-up's end, by when the request ended
	ended   time.Time                 // of the newest success that is recorded
}

// windowTime is how long the parts of a run are that its course is shown by.
const windowTime = time.Second

// mostWindows bounds the course of a run that lasts longer than anybody looks at: what comes later is in the last one.
const mostWindows = 3600

// slot is one of the requests in flight: when it ends, a closed loop's begins the next, an open loop's is free.
type slot struct {
	load    *load
	store   Store
	share   *share
	random  *rand.Rand
	request Request
	begun   time.Time // when it was due, in an open loop
}

// Load makes a load until its count or time is over, or ctx ends, and returns when the last request has ended. Requests
// that fail are tried no further: the client library has done that.
func Load(ctx context.Context, config Config) (Report, error) {
	if err := config.complete(); err != nil {
		return Report{}, err
	}
	l := &load{config: config, ctx: ctx}
	l.begun = time.Now().Add(config.WarmUp)
	if config.Duration > 0 {
		l.ends = l.begun.Add(config.Duration)
	}
	random := rand.New(rand.NewPCG(config.Seed, 1))
	l.values = make([]byte, config.ValueBytes+4096)
	for i := range l.values {
		l.values[i] = byte(random.Uint32())
	}
	shares := make([]*share, len(config.Stores))
	for i := range shares {
		shares[i] = &share{ended: l.begun}
	}
	slots := make([]*slot, config.InFlight)
	for i := range slots {
		s := &slot{load: l, store: config.Stores[i%len(shares)], share: shares[i%len(shares)]}
		s.random = rand.New(rand.NewPCG(config.Seed, uint64(i)+2))
		s.request.Done = s.end
		slots[i] = s
	}
	stop := l.watch()
	if config.Rate > 0 {
		l.pace(slots)
	} else {
		l.running.Add(len(slots))
		for _, s := range slots {
			s.begin(time.Now())
		}
	}
	l.running.Wait()
	stop()
	return l.report(shares), ctx.Err()
}

// watch calls Progress now and then until the function that it returns is called.
func (l *load) watch() (stop func()) {
	if l.config.Progress == nil {
		return func() {}
	}
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-over:
				l.config.Progress(l.done.Load())
				return
			case <-ticker.C:
				l.config.Progress(l.done.Load())
			}
		}
	}()
	return func() { close(over); <-ended }
}

// span is a load's time. Where what was begun in the warm-up has stood for all of it, there is one more request, which counts: a disk
// that stands is a figure, too.
type span struct {
	begun  time.Time // the warm-up is before
	ends   time.Time // zero: never
	counts atomic.Bool
}

// begins says whether a request is still to be begun.
func (s *span) begins(now time.Time) bool {
	if !s.ends.IsZero() && !now.Before(s.ends) {
		return s.counts.CompareAndSwap(false, true)
	}
	if !now.Before(s.begun) && !s.counts.Load() {
		s.counts.Store(true)
	}
	return true
}

// next says whether one more request is to be begun, and its number.
func (l *load) next(now time.Time) (int64, bool) {
	if l.ctx.Err() != nil || !l.begins(now) {
		return 0, false
	}
	n := l.started.Add(1)
	return n - 1, l.config.Count == 0 || n <= l.config.Count
}

// begin begins the slot's next request, or ends the slot.
func (s *slot) begin(now time.Time) {
	n, more := s.load.next(now)
	if !more {
		s.load.running.Done()
		return
	}
	s.ask(n, now)
}

// ask sends the slot's request, whose latency counts from a time on.
func (s *slot) ask(n int64, due time.Time) {
	config := &s.load.config
	which := n % int64(config.Keys)
	if !config.Sequential {
		which = s.random.Int64N(int64(config.Keys))
	}
	r := &s.request
	r.Key = appendKey(r.Key[:0], config.Prefix, which)
	if r.Op = config.Op; r.Op == Mixed {
		r.Op = Get
		if s.random.IntN(mixedGets+1) == 0 {
			r.Op = Put
		}
	}
	if r.Op == Put {
		from := s.random.IntN(len(s.load.values) - config.ValueBytes)
		r.Value = s.load.values[from : from+config.ValueBytes]
	}
	s.begun = due
	s.store.Do(r)
}

// errorPause is how long a slot rests after an error, so that a cluster that is away is not asked in a tight loop. It also
// makes errors that come before the call has returned harmless.
const errorPause = 10 * time.Millisecond

// end records how the slot's request ended and begins the next.
func (s *slot) end(err error) {
	now := time.Now()
	if err == nil {
		s.load.succeed(now)
		s.record(now)
	} else {
		s.load.fail(err)
	}
	switch {
	case s.load.free != nil:
		s.load.free <- s
		s.load.running.Done()
	case err != nil:
		time.AfterFunc(errorPause, func() { s.begin(time.Now()) })
	default:
		s.begin(now)
	}
}

// record notes what a request took that began after the warm-up.
func (s *slot) record(now time.Time) {
	if s.begun.Before(s.load.begun) {
		return
	}
	s.share.mu.Lock()
	defer s.share.mu.Unlock()
	took := now.Sub(s.begun)
	window := min(int(now.Sub(s.load.begun)/windowTime), mostWindows-1)
	for len(s.share.windows) <= window {
		s.share.windows = append(s.share.windows, newHistogram())
	}
	record(s.share.windows[window], took)
	if now.After(s.share.ended) {
		s.share.ended = now
	}
}

// pace begins requests when they are due, until the run is over. One that no slot is free for waits, and the wait is in
// its latency, since that counts from when it was due: nothing that the cluster delays goes unseen.
func (l *load) pace(slots []*slot) {
	l.free = make(chan *slot, len(slots))
	for _, s := range slots {
		l.free <- s
	}
	begun := l.begun.Add(-l.config.WarmUp) // by which its end is told, too: as many are due as were asked for
	interval := float64(time.Second) / l.config.Rate
	for i := 0; ; i++ {
		due := begun.Add(time.Duration(float64(i) * interval))
		if !l.ends.IsZero() && due.After(l.ends) {
			due = l.ends // what is due later is not waited for
		}
		sleepUntil(l.ctx, due)
		n, more := l.next(due)
		if !more {
			return
		}
		s := <-l.free
		l.lag = max(l.lag, time.Since(due))
		l.running.Add(1)
		s.ask(n, due)
	}
}

// sleepMost is how long an open loop sleeps at a time: so long it does not see that it is to end.
const sleepMost = 100 * time.Millisecond

// sleepUntil returns when it is as late as that, or ctx has ended. The runtime's own timers are as late as a millisecond where
// nothing else runs, which would be in every latency.
func sleepUntil(ctx context.Context, due time.Time) {
	for ctx.Err() == nil {
		rest := min(time.Until(due), sleepMost)
		if rest <= 0 {
			return
		}
		t := unix.NsecToTimespec(int64(rest))
		_ = unix.Nanosleep(&t, nil) // a signal ends it early
	}
}

// succeed notes when something succeeded.
func (l *load) succeed(now time.Time) {
	l.done.Add(1)
	at := int64(now.Sub(l.begun.Add(-l.config.WarmUp))) + 1
	before := l.last.Swap(at)
	if before == 0 {
		return
	}
	for {
		longest := l.gap.Load()
		if at-before <= longest || l.gap.CompareAndSwap(longest, at-before) {
			return
		}
	}
}

func (l *load) fail(err error) {
	if errors.Is(err, client.ErrOutcomeUnknown) {
		l.unknown.Add(1)
	} else {
		l.failed.Add(1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = err
	}
}

// report merges what was recorded.
func (l *load) report(shares []*share) Report {
	all := newHistogram()
	ended := l.begun
	var windows []*hdrhistogram.Histogram
	for _, s := range shares {
		for i, w := range s.windows {
			all.Merge(w)
			if i == len(windows) {
				windows = append(windows, newHistogram())
			}
			windows[i].Merge(w)
		}
		if s.ended.After(ended) {
			ended = s.ended
		}
	}
	r := Report{
		Done: all.TotalCount(), Elapsed: ended.Sub(l.begun), Latencies: latencies(all),
		Failed: l.failed.Load(), Unknown: l.unknown.Load(), LongestGap: time.Duration(l.gap.Load()), Lag: l.lag,
	}
	whole := int(r.Elapsed / windowTime) // what is left of the last one would look like a fall
	for _, w := range windows[:min(whole, len(windows))] {
		r.Windows = append(r.Windows, latencies(w))
	}
	if r.Elapsed > 0 {
		r.Rate = float64(r.Done) / r.Elapsed.Seconds()
	}
	if l.first != nil {
		r.FirstError = l.first.Error()
	}
	if last := l.last.Load(); last > 0 {
		r.Last = l.begun.Add(time.Duration(last) - l.config.WarmUp)
	}
	return r
}

// keyDigits is how long the number in a key is.
const keyDigits = 10

// Key is the key of a number, among those that loads write behind a prefix.
func Key(prefix string, n int) []byte { return appendKey(nil, prefix, int64(n)) }

// appendKey appends the key of a number: all keys have the same length.
func appendKey(dst []byte, prefix string, n int64) []byte {
	dst = append(dst, prefix...)
	var text [20]byte
	number := strconv.AppendInt(text[:0], n, 10)
	for range keyDigits - len(number) {
		dst = append(dst, '0')
	}
	return append(dst, number...)
}
