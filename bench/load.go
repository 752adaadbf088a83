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

// Op is the operation of a load.
type Op uint8

// The operations of a load.
const (
	Put             Op = iota // a write with a distinct value for each request
	Get                       // linearizable read of one key
	GetSerializable           // read of the member's own state
)

var opNames = [...]string{"put", "linearizable get", "serializable get"}

func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return fmt.Sprintf("Op(%d)", uint8(o))
}

// Config configures a load. A field of 0 means the default in its comment.
type Config struct {
	Stores     []Store // the requests in flight are distributed evenly among them
	Op         Op
	InFlight   int           // 1000; for an open loop the maximum
	Rate       float64       // requests a second, started when due: an open loop; 0: closed
	Keys       int           // of the key space; 100,000
	Prefix     string        // of the keys; "bench/"
	ValueBytes int           // 256
	Duration   time.Duration // without the warm-up, and at least until one request counts; 10 s
	WarmUp     time.Duration // not recorded
	Seed       uint64        // of keys and values
	Scale      float64       // of special loads' sizes; 1

	begins func(at time.Time) // called once, before the first request, with the end of the warm-up; may be nil
}

// Bounds of an open loop's rate. At LeastRate the second request is due within an hour. MostRate exists because the loop starts every due
// request, however late: it must stay within a machine's capacity.
const (
	LeastRate = 0.001
	MostRate  = 4_000_000.0
)

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
	if c.Duration == 0 {
		c.Duration = 10 * time.Second
	}
	switch {
	case len(c.Stores) == 0:
		return errors.New("bench: a load needs at least one client")
	case c.InFlight < 1 || c.InFlight > len(c.Stores)*limits.RequestsInflight:
		return fmt.Errorf("bench: %d requests in flight: 1 to %d are possible over %d clients", c.InFlight, len(c.Stores)*limits.RequestsInflight, len(c.Stores))
	case c.Rate != 0 && !(c.Rate >= LeastRate && c.Rate <= MostRate): // NaN fails both, too
		return fmt.Errorf("bench: %v requests a second are not possible", c.Rate)
	case c.Keys < 1 || c.ValueBytes < 1 || c.ValueBytes > limits.ValueBytes || len(c.Prefix)+keyDigits > limits.KeyBytes:
		return fmt.Errorf("bench: %d keys with the prefix %q and values of %d bytes are not possible", c.Keys, c.Prefix, c.ValueBytes)
	case c.Duration < 0 || c.WarmUp < 0 || int(c.Op) >= len(opNames):
		return fmt.Errorf("bench: %v for %v, warm-up %v is not possible", c.Op, c.Duration, c.WarmUp)
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
	config Config
	ctx    context.Context
	span
	values  []byte // source of all values
	running sync.WaitGroup
	free    chan *slot // of an open loop; nil: closed

	// Shared.
	failed  atomic.Int64
	unknown atomic.Int64
	last    atomic.Int64 // time of the last success, in ns since begun; 0: never
	gap     atomic.Int64 // longest gap so far

	lag time.Duration // the longest delay of a request's start after its due time

	mu    sync.Mutex
	first error
}

// recorder records the requests of one store. Each is recorded only once, because the load competes for the processors that it measures.
type recorder struct {
	mu    sync.Mutex
	took  *hdrhistogram.Histogram
	ended time.Time // time of the newest recorded success
}

// slot is one of the requests in flight. At its end, a closed loop starts the slot's next request; in an open loop the slot becomes free.
type slot struct {
	load    *load
	store   Store
	share   *recorder
	random  *rand.Rand
	request Request
	begun   time.Time // in an open loop: when it was due
}

// Load runs a load until its count or time is reached, or ctx ends, and returns after the last request has ended. Failed requests are not
// retried: the client library has done so.
func Load(ctx context.Context, config Config) (Report, error) {
	if err := config.complete(); err != nil {
		return Report{}, err
	}
	l := &load{config: config, ctx: ctx}
	l.begun = time.Now().Add(config.WarmUp)
	if config.begins != nil {
		config.begins(l.begun)
	}
	l.ends = l.begun.Add(config.Duration)
	random := rand.New(rand.NewPCG(config.Seed, 1))
	l.values = make([]byte, config.ValueBytes+4096)
	for i := range l.values {
		l.values[i] = byte(random.Uint32())
	}
	shares := make([]*recorder, len(config.Stores))
	for i := range shares {
		shares[i] = &recorder{took: NewHistogram(), ended: l.begun}
	}
	slots := make([]*slot, config.InFlight)
	for i := range slots {
		s := &slot{load: l, store: config.Stores[i%len(shares)], share: shares[i%len(shares)]}
		s.random = rand.New(rand.NewPCG(config.Seed, uint64(i)+2))
		s.request.Done = s.end
		slots[i] = s
	}
	if config.Rate > 0 {
		l.pace(slots)
	} else {
		l.running.Add(len(slots))
		for _, s := range slots {
			s.begin(time.Now())
		}
	}
	l.running.Wait()
	return l.report(shares), ctx.Err()
}

// span is the time of a load. If requests of the warm-up have stalled for all of it, one more request is sent and counts: a stalled disk
// is a result, too.
type span struct {
	begun  time.Time // the warm-up comes before it
	ends   time.Time
	counts atomic.Bool
}

// begins tells whether another request is to be started.
func (s *span) begins(now time.Time) bool {
	if !now.Before(s.ends) {
		return s.counts.CompareAndSwap(false, true)
	}
	if !now.Before(s.begun) && !s.counts.Load() {
		s.counts.Store(true)
	}
	return true
}

// begin starts the slot's next request, or ends the slot.
func (s *slot) begin(now time.Time) {
	if s.load.ctx.Err() != nil || !s.load.begins(now) {
		s.load.running.Done()
		return
	}
	s.ask(now)
}

// ask sends the slot's request, whose latency counts from due.
func (s *slot) ask(due time.Time) {
	config := &s.load.config
	r := &s.request
	r.Key = appendKey(r.Key[:0], config.Prefix, s.random.Int64N(int64(config.Keys)))
	if r.Op = config.Op; r.Op == Put {
		from := s.random.IntN(len(s.load.values) - config.ValueBytes)
		r.Value = s.load.values[from : from+config.ValueBytes]
	}
	s.begun = due
	s.store.Do(r)
}

// errorPause is the backoff of a slot after an error, which avoids a tight loop against an unavailable cluster. It also makes errors
// harmless that arrive before the call has returned.
const errorPause = 10 * time.Millisecond

// end records the result of the slot's request and starts the next one.
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

// record records the latency of a request that started after the warm-up.
func (s *slot) record(now time.Time) {
	if s.begun.Before(s.load.begun) {
		return
	}
	s.share.mu.Lock()
	defer s.share.mu.Unlock()
	record(s.share.took, now.Sub(s.begun))
	if now.After(s.share.ended) {
		s.share.ended = now
	}
}

// pace starts requests when they are due, until the end. If no slot is free, the request waits. Its latency includes that wait, since it
// counts from the due time: every delay by the cluster is measured.
func (l *load) pace(slots []*slot) {
	l.free = make(chan *slot, len(slots))
	for _, s := range slots {
		l.free <- s
	}
	begun := l.begun.Add(-l.config.WarmUp) // the end is relative to it, too: exactly the requested number is due
	interval := float64(time.Second) / l.config.Rate
	for i := 0; ; i++ {
		due := begun.Add(time.Duration(float64(i) * interval))
		if due.After(l.ends) {
			due = l.ends // do not wait for later ones
		}
		SleepUntil(l.ctx, due)
		if l.ctx.Err() != nil || !l.begins(due) {
			return
		}
		s := <-l.free
		l.lag = max(l.lag, time.Since(due))
		l.running.Add(1)
		s.ask(due)
	}
}

// sleepMost bounds one sleep of an open loop, and thus its delay in noticing the end.
const sleepMost = 100 * time.Millisecond

// SleepUntil returns at the given time, or when ctx has ended. The runtime's own timers may be a millisecond late on an idle machine,
// which would add to every latency.
func SleepUntil(ctx context.Context, due time.Time) {
	for ctx.Err() == nil {
		rest := min(time.Until(due), sleepMost)
		if rest <= 0 {
			return
		}
		t := unix.NsecToTimespec(int64(rest))
		_ = unix.Nanosleep(&t, nil) // a signal ends it early
	}
}

// succeed records a success for the gaps.
func (l *load) succeed(now time.Time) {
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

// report merges the records.
func (l *load) report(shares []*recorder) Report {
	all := NewHistogram()
	ended := l.begun
	for _, s := range shares {
		all.Merge(s.took)
		if s.ended.After(ended) {
			ended = s.ended
		}
	}
	r := Report{
		Done: all.TotalCount(), Elapsed: ended.Sub(l.begun), Latencies: LatenciesOf(all),
		Failed: l.failed.Load(), Unknown: l.unknown.Load(), LongestGap: time.Duration(l.gap.Load()), Lag: l.lag,
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

// keyDigits is the length of the number in a key.
const keyDigits = 10

// appendKey appends the key with a number: all keys have the same length.
func appendKey(dst []byte, prefix string, n int64) []byte {
	dst = append(dst, prefix...)
	var text [20]byte
	number := strconv.AppendInt(text[:0], n, 10)
	for range keyDigits - len(number) {
		dst = append(dst, '0')
	}
	return append(dst, number...)
}
