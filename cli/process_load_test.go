package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/net/client"
)

const (
	loadKeys    = 512
	loadWriters = 48 // callers that put, each one after the other
	loadReaders = 4  // callers that get, linearizably
	loadProvers = 4  // callers that read what was acknowledged, at its own revision, before it is compacted
	// writerPause makes some 2,400 puts/s while all is well: enough that batches form and groups are torn, and not so
	// much that what is tested is the host.
	writerPause = 20 * time.Millisecond
	readerPause = 5 * time.Millisecond
	// A put in so many has a large value, so that segments and snapshots come and go.
	largeEvery = 8
	largeValue = 16 << 10
	smallValue = 128
	callTime   = 15 * time.Second
)

// workload is callers that put and get, and what they were told: it is kept in this process, outside the members.
type workload struct {
	cluster *clusterProcess
	begun   time.Time
	stop    context.CancelFunc
	running sync.WaitGroup
	numbers atomic.Int64 // of puts

	acknowledged, unknown, refused atomic.Int64
	newest                         atomic.Int64 // when an acknowledged put began: time since begun

	toProve chan putDone

	mu      sync.Mutex
	history history
	errs    map[string]int // of puts and gets, without what differs from one to the next
}

// startWorkload opens clients, two for each member, and sets the callers to work. Stop them with end.
func startWorkload(c *clusterProcess) *workload {
	c.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l := &workload{cluster: c, begun: time.Now(), stop: stop, toProve: make(chan putDone, 1<<16), errs: map[string]int{}}
	l.history.store = map[int64]written{}
	var clients []*client.Client
	for i := range 2 * len(c.members) {
		clients = append(clients, c.open(i, callTime))
	}
	for i := range loadWriters {
		l.running.Go(func() { l.write(ctx, clients[i%len(clients)], rand.New(rand.NewPCG(uint64(i), 1))) })
	}
	for i := range loadReaders {
		l.running.Go(func() { l.read(ctx, clients[i%len(clients)], rand.New(rand.NewPCG(uint64(i), 2))) })
	}
	for i := range loadProvers {
		l.running.Go(func() { l.prove(ctx, clients[i%len(clients)]) })
	}
	c.t.Cleanup(func() {
		stop()
		l.running.Wait()
	})
	return l
}

// prove reads what was acknowledged. What it does not find is left for the end.
func (l *workload) prove(ctx context.Context, s *client.Client) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-l.toProve:
			w, found, _, err := at(ctx, s, p.revision, []int{p.key}, false)
			l.mu.Lock()
			if err == nil && found {
				l.history.store[p.revision] = w
			}
			l.mu.Unlock()
		}
	}
}

func loadKey(key int) []byte { return fmt.Appendf(nil, "load/%04d", key) }

// loadValueOf is the value of a put: its number, and something behind it.
func loadValueOf(number int64) []byte {
	size := smallValue
	if number%largeEvery == 0 {
		size = largeValue
	}
	value := append(strconv.AppendInt(nil, number, 10), ' ')
	return append(value, bytes.Repeat([]byte{'.'}, size)...)
}

func numberOf(value []byte) int64 {
	text, _, _ := strings.Cut(string(value[:min(len(value), 32)]), " ")
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1
	}
	return number
}

func (l *workload) now() time.Duration { return time.Since(l.begun) }

// write puts one value after the other until ctx ends. A put that was begun is waited for.
func (l *workload) write(ctx context.Context, s *client.Client, random *rand.Rand) {
	var done []putDone
	for ctx.Err() == nil {
		p := putDone{key: random.IntN(loadKeys), number: l.numbers.Add(1), begun: l.now()}
		w, err := s.Put(context.Background(), loadKey(p.key), loadValueOf(p.number))
		p.ended, p.revision = l.now(), w.Revision
		switch {
		case err == nil:
			l.acknowledged.Add(1)
			l.newest.Store(max(l.newest.Load(), int64(p.begun)))
			select {
			case l.toProve <- p:
			default:
			}
		case errors.Is(err, client.ErrOutcomeUnknown):
			p.outcome = unknown
			l.unknown.Add(1)
		default:
			p.outcome = refused
			l.refused.Add(1)
		}
		l.note("put", err)
		done = append(done, p)
		pause(ctx, p.begun+writerPause-l.now())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history.puts = append(l.history.puts, done...)
}

// read gets one key after the other until ctx ends.
func (l *workload) read(ctx context.Context, s *client.Client, random *rand.Rand) {
	var done []getDone
	for ctx.Err() == nil {
		g := getDone{key: random.IntN(loadKeys), begun: l.now()}
		answer, err := s.Range(context.Background(), kv.Range{Key: loadKey(g.key)})
		g.ended, g.store = l.now(), answer.Revision
		if len(answer.KVs) > 0 {
			g.number, g.revision = numberOf(answer.KVs[0].Value), answer.KVs[0].ModRevision
		}
		l.note("get", err)
		if err == nil {
			done = append(done, g)
		}
		pause(ctx, g.begun+readerPause-l.now())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history.gets = append(l.history.gets, done...)
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// note counts an error.
func (l *workload) note(what string, err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	text := what + ": " + err.Error()
	if len(l.errs) < 100 || l.errs[text] > 0 {
		l.errs[text]++
	}
}

// goesOn waits until a put that begins after now is acknowledged, and returns how long that took.
func (l *workload) goesOn() time.Duration {
	l.cluster.t.Helper()
	from := l.now()
	for l.newest.Load() < int64(from) {
		if l.now()-from > processWait {
			l.cluster.t.Fatalf("no put is acknowledged for %v:\n%v\n%s", processWait, l.errs, l.cluster.tails())
		}
		time.Sleep(time.Millisecond)
	}
	return l.now() - from
}

// failures are what was not acknowledged so far.
func (l *workload) failures() int64 { return l.unknown.Load() + l.refused.Load() }

// end stops the callers, reads back all that the store has of their puts, and fails the test when anything is wrong.
func (l *workload) end() *history {
	l.cluster.t.Helper()
	l.stop()
	l.running.Wait()
	l.readBack()
	for _, problem := range l.history.problems() {
		l.cluster.t.Error(problem)
	}
	if l.cluster.t.Failed() {
		l.cluster.t.Logf("what callers were told: %v\n%s", l.errs, l.cluster.tails())
	}
	return &l.history
}

// readBack reads what stands at each revision.
func (l *workload) readBack() {
	l.cluster.t.Helper()
	h := &l.history
	s := l.cluster.open(0, processWait)
	ctx, cancel := context.WithTimeout(context.Background(), 4*processWait)
	defer cancel()
	begun := l.now()
	now, err := s.Range(ctx, kv.Range{Key: []byte("load/"), End: client.Prefix([]byte("load/"))})
	if err != nil {
		l.cluster.t.Fatalf("read all keys back: %v", err)
	}
	h.last = now.Revision
	for _, pair := range now.KVs { // the last state, as if each key had been read
		key, _ := strconv.Atoi(strings.TrimPrefix(string(pair.Key), "load/"))
		h.gets = append(h.gets, getDone{
			key: key, number: numberOf(pair.Value), revision: pair.ModRevision, store: now.Revision, begun: begun, ended: l.now(),
		})
		h.store[pair.ModRevision] = written{key, numberOf(pair.Value)}
	}
	l.readRevisions(ctx, s)
}

// readRevisions reads each acknowledged put at its own revision, and looks for the others at the revisions that are
// left.
func (l *workload) readRevisions(ctx context.Context, s *client.Client) {
	l.cluster.t.Helper()
	h := &l.history
	keys := map[int64][]int{}
	var others []int // keys of puts that were not acknowledged
	for _, p := range h.puts {
		if p.outcome == acknowledged {
			keys[p.revision] = append(keys[p.revision], p.key)
		} else {
			others = append(others, p.key)
		}
	}
	var mu sync.Mutex
	next := int64(firstRevision)
	var failed error
	var reading sync.WaitGroup
	for range 64 {
		reading.Go(func() {
			for {
				mu.Lock()
				revision := next
				next++
				over := revision > h.last || failed != nil
				mu.Unlock()
				if over {
					return
				}
				candidates := keys[revision]
				if candidates == nil {
					candidates = others
				}
				w, found, compacted, err := at(ctx, s, revision, candidates, true)
				mu.Lock()
				if found {
					h.store[revision] = w
				}
				if compacted {
					h.compacted = max(h.compacted, revision)
				}
				if err != nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	reading.Wait()
	if failed != nil {
		l.cluster.t.Fatalf("read the revisions back: %v", failed)
	}
}

// at reads what was put at a revision, which is one of the keys.
func at(ctx context.Context, s *client.Client, revision int64, keys []int, serializable bool) (w written, found, compacted bool, err error) {
	for _, key := range keys {
		answer, err := s.Range(ctx, kv.Range{Key: loadKey(key), Revision: revision, Serializable: serializable})
		var refusal *kv.Error
		if errors.As(err, &refusal) && refusal.Code == kv.Compacted {
			return w, false, true, nil
		}
		if err != nil {
			return w, false, false, err
		}
		if len(answer.KVs) > 0 && answer.KVs[0].ModRevision == revision {
			return written{key, numberOf(answer.KVs[0].Value)}, true, false, nil
		}
	}
	return w, false, false, nil
}

// wellAfter waits until all members are level after a load, and fails the test when one of them has anything to
// report, or has said anything that it should not have.
func (c *clusterProcess) wellAfter() {
	c.t.Helper()
	for _, m := range c.level() {
		for _, a := range m.Alarms {
			if a.Name != "TORN" && a.Name != "SLOWDISK" { // what was being written at a kill may be torn; the disk is this host's
				c.t.Errorf("%s reports %s", m.Name, a)
			}
		}
	}
	for _, m := range c.members {
		for _, word := range []string{"ERROR", "panic", "goroutine "} {
			if line := lineWith(m.lines(), word); line != "" {
				c.t.Errorf("%s says: %s", m.name, line)
			}
		}
	}
}

// figures is the line that a campaign prints.
func (h *history) figures(t testing.TB, what string) {
	t.Helper()
	longest := h.longestGap().Round(time.Millisecond)
	t.Logf("figures: %s: %d puts, %d acknowledged, %d unknown, %d refused, %d gets, %d of %d revisions read back, longest time without an acknowledged put %v",
		what, len(h.puts), h.count(acknowledged), h.count(unknown), h.count(refused), len(h.gets), len(h.store), h.last-1, longest)
}
