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
)

var opNames = [...]string{"put", "linearizable get", "serializable get"}

func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return fmt.Sprintf("Op(%d)", uint8(o))
}

// Config says what load to make. What is 0 is as the comments say.
type Config struct {
	Clients    []*client.Client // the requests in flight are shared out evenly among them
	Op         Op
	InFlight   int           // 1000
	Keys       int           // of the key space; 100,000
	Sequential bool          // keys one after the other in place of at random
	Prefix     string        // of the keys; "bench/"
	ValueBytes int           // 256
	Count      int64         // ends after so many requests were begun; none
	Duration   time.Duration // ends after so long, the warm-up not counted; 10 s where there is no Count
	WarmUp     time.Duration // of which nothing is recorded
	Seed       uint64        // of keys and values
	Progress   func(done int64)
}

// progressEvery is how often Progress is called.
const progressEvery = 200 * time.Millisecond

func (c *Config) complete() error {
	setDefault(&c.InFlight, 1000)
	setDefault(&c.Keys, 100_000)
	setDefault(&c.ValueBytes, 256)
	if c.Prefix == "" {
		c.Prefix = "bench/"
	}
	if c.Duration == 0 && c.Count == 0 {
		c.Duration = 10 * time.Second
	}
	switch {
	case len(c.Clients) == 0:
		return errors.New("bench: a load needs at least one client")
	case c.InFlight < 1 || c.InFlight > len(c.Clients)*limits.RequestsInflight:
		return fmt.Errorf("bench: %d requests in flight: 1 to %d are possible over %d clients", c.InFlight, len(c.Clients)*limits.RequestsInflight, len(c.Clients))
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
	begun   time.Time // the warm-up's end
	ends    time.Time // zero: by count
	values  []byte    // from which each value is cut
	running sync.WaitGroup

	// Shared.
	started atomic.Int64
	done    atomic.Int64
	failed  atomic.Int64
	unknown atomic.Int64
	last    atomic.Int64 // when something succeeded, in ns since begun; 0 for never
	gap     atomic.Int64 // the longest so far

	mu    sync.Mutex
	first error
}

// share is what one client's requests record.
type share struct {
	mu        sync.Mutex
	histogram *hdrhistogram.Histogram
	ended     time.Time // of the newest success that is recorded
}

// slot is one of the requests in flight: when it ends, the slot begins the next.
type slot struct {
	load   *load
	client *client.Client
	share  *share
	random *rand.Rand
	key    []byte
	begun  time.Time
	wrote  func(client.Written, error)
	got    func(client.KeyValue, bool, error)
}

// Load makes a load until its count or time is over, or ctx ends, and returns when the last request has ended. Requests
// that fail are tried no further: the client library has done that.
func Load(ctx context.Context, config Config) (Report, error) {
	if err := config.complete(); err != nil {
		return Report{}, err
	}
	l := &load{config: config, ctx: ctx, begun: time.Now().Add(config.WarmUp)}
	if config.Duration > 0 {
		l.ends = l.begun.Add(config.Duration)
	}
	random := rand.New(rand.NewPCG(config.Seed, 1))
	l.values = make([]byte, config.ValueBytes+4096)
	for i := range l.values {
		l.values[i] = byte(random.Uint32())
	}
	shares := make([]*share, len(config.Clients))
	for i := range shares {
		shares[i] = &share{histogram: newHistogram(), ended: l.begun}
	}
	l.running.Add(config.InFlight)
	for i := range config.InFlight {
		s := &slot{load: l, client: config.Clients[i%len(shares)], share: shares[i%len(shares)]}
		s.random = rand.New(rand.NewPCG(config.Seed, uint64(i)+2))
		s.wrote = func(_ client.Written, err error) { s.end(err) }
		s.got = func(_ client.KeyValue, _ bool, err error) { s.end(err) }
		s.begin(time.Now())
	}
	stop := l.watch()
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

// next says whether one more request is to be begun, and its number.
func (l *load) next(now time.Time) (int64, bool) {
	if !l.ends.IsZero() && !now.Before(l.ends) || l.ctx.Err() != nil {
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
	config := &s.load.config
	which := n % int64(config.Keys)
	if !config.Sequential {
		which = s.random.Int64N(int64(config.Keys))
	}
	s.key = appendKey(s.key[:0], config.Prefix, which)
	s.begun = now
	switch config.Op {
	case Put:
		from := s.random.IntN(len(s.load.values) - config.ValueBytes)
		s.client.PutAsync(s.key, s.load.values[from:from+config.ValueBytes], s.wrote)
	default:
		s.client.GetAsync(s.key, config.Op == GetSerializable, s.got)
	}
}

// errorPause is how long a slot rests after an error, so that a cluster that is away is not asked in a tight loop. It also
// makes errors that come before the call has returned harmless.
const errorPause = 10 * time.Millisecond

// end records how the slot's request ended and begins the next.
func (s *slot) end(err error) {
	now := time.Now()
	if err != nil {
		s.load.fail(err)
		time.AfterFunc(errorPause, func() { s.begin(time.Now()) })
		return
	}
	s.load.succeed(now)
	if !s.begun.Before(s.load.begun) {
		s.share.mu.Lock()
		record(s.share.histogram, now.Sub(s.begun))
		if now.After(s.share.ended) {
			s.share.ended = now
		}
		s.share.mu.Unlock()
	}
	s.begin(now)
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
	for _, s := range shares {
		all.Merge(s.histogram)
		if s.ended.After(ended) {
			ended = s.ended
		}
	}
	r := Report{
		Done: all.TotalCount(), Elapsed: ended.Sub(l.begun), Latencies: latencies(all),
		Failed: l.failed.Load(), Unknown: l.unknown.Load(), LongestGap: time.Duration(l.gap.Load()),
	}
	if r.Elapsed > 0 {
		r.Rate = float64(r.Done) / r.Elapsed.Seconds()
	}
	if l.first != nil {
		r.FirstError = l.first.Error()
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
