package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"qkv/bench/result"
)

// Special loads mix several kinds of requests. Each is a function of a job, and a line in the table below; its results are in the run's
// values, or in its latencies.

// job is the context of a special load.
type job struct {
	Config
	ctx     context.Context
	cluster Cluster
	all     []API
	run     result.Run
}

// special is one special load.
type special struct {
	name   string
	most   int  // maximum of members; 0: any number
	event  bool // each run is one event
	writes bool // each request is one write
	alone  bool // needs a cluster of its own
	harms  bool // maintains the cluster, which affects all its users
	do     func(*job) error
}

// specials is the table. The last one changes the cluster permanently.
var specials = []special{
	{name: "transactions with contention", do: (*job).contention},
	{name: "ranges of 100 keys", do: (*job).ranges},
	{name: "a Kubernetes-like mix", do: (*job).kubernetes},
	{name: "watch fan-out", writes: true, do: (*job).fanOut},
	{name: "lease churn", do: (*job).leases},
	{name: "put while quiet", writes: true, do: (*job).quiet},
	{name: "put in maintenance", writes: true, harms: true, do: (*job).maintenance},
	{name: "pages while it is written", do: (*job).pages},
	{name: "resume of watchers", event: true, do: (*job).resume},
	{name: "mass expiry", event: true, do: (*job).expiry},
	{name: "values of 128 B", writes: true, do: sized(128)},
	{name: "values of 1 KiB", writes: true, do: sized(1 << 10)},
	{name: "values of 4 KiB", writes: true, do: sized(4 << 10)},
	{name: "values of 64 KiB", writes: true, do: sized(64 << 10)},
	{name: "many keys", most: 1, event: true, alone: true, do: (*job).many},
}

// Sizes of special loads, at full scale; a suite's Scale reduces all of them.
const (
	fullWatchers   = 1000
	fullResumed    = 10_000
	fullLeases     = 10_000
	fullKeys       = 1_000_000
	fullPaged      = 100_000
	overwrites     = 6
	callers        = 100 // concurrent callers, unless stated otherwise
	contendedKeys  = 10
	rangeKeys      = 100
	pageKeys       = 500
	expirySeconds  = 5
	compactEvery   = time.Second
	specialTimeout = 10 * time.Minute
)

func (j *job) scaled(n int) int { return max(1, int(float64(n)*j.Scale)) }

// key returns one of a load's own keys, which other loads do not use.
func (j *job) key(load string, n int) []byte {
	return fmt.Appendf(nil, "%s%s/%010d", j.Prefix, load, n)
}

// ends returns a load's first key, and the end after its last one.
func (j *job) ends(load string) (from, to []byte) {
	return fmt.Appendf(nil, "%s%s/", j.Prefix, load), fmt.Appendf(nil, "%s%s0", j.Prefix, load)
}

func (j *job) api(n int) API { return j.all[n%len(j.all)] }

// value returns a value of the load's size.
func (j *job) value() []byte { return make([]byte, j.ValueBytes) }

// set records a figure; its name ends with its unit.
func (j *job) set(name string, v float64) {
	if j.run.Values == nil {
		j.run.Values = map[string]float64{}
	}
	j.run.Values[name] = v
}

// each calls do n times, from at goroutines, and returns the first error.
func (j *job) each(n, at int, do func(i int) error) error {
	ctx, stop := context.WithCancelCause(j.ctx)
	defer stop(nil)
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(at, n) {
		running.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				if err := do(i); err != nil {
					stop(err)
					return
				}
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// closed calls do repeatedly from at goroutines, and records the latency of each call.
func (j *job) closed(at int, do func(random *rand.Rand, caller int) error) error {
	begun := time.Now().Add(j.WarmUp)
	if j.begins != nil {
		j.begins(begun)
	}
	all := span{begun: begun, ends: begun.Add(j.Duration)}
	var mu sync.Mutex
	took := newHistogram()
	var failed int64
	var first error
	err := j.each(at, at, func(caller int) error {
		random, own := rand.New(rand.NewPCG(j.Seed, uint64(caller))), newHistogram()
		for j.ctx.Err() == nil {
			asked := time.Now()
			if !all.begins(asked) {
				break
			}
			err := do(random, caller)
			if err == nil && !asked.Before(begun) {
				record(own, time.Since(asked))
			}
			if err != nil {
				mu.Lock()
				failed++
				if first == nil {
					first = err
				}
				mu.Unlock()
				_ = pause(j.ctx, errorPause)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		took.Merge(own)
		return nil
	})
	values := j.run.Values
	j.run = latencies(took).Run(j.Duration)
	j.run.Values, j.run.Failed = values, failed
	if first != nil {
		j.run.FirstError = first.Error()
	}
	return err
}

// fill writes a load's keys.
func (j *job) fill(load string, keys int) error {
	value := j.value()
	return j.each(keys, min(1000, j.InFlight), func(i int) error { return put(j.ctx, j.api(i), j.key(load, i), value) })
}

// put writes a key and waits.
func put(ctx context.Context, s Store, key, value []byte) error {
	done := make(chan error, 1)
	s.Do(&Request{Op: Put, Key: key, Value: value, Done: func(err error) { done <- err }})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		<-done
		return ctx.Err()
	}
}

// contention reads one of a few keys and writes it if it is unchanged: the rate counts the successful writes.
func (j *job) contention() error {
	var tried, lost atomic.Int64
	err := j.closed(min(callers, j.InFlight), func(random *rand.Rand, caller int) error {
		key := j.key("contended", random.IntN(contendedKeys))
		for {
			page, err := j.api(caller).Read(j.ctx, Read{From: key})
			if err != nil {
				return err
			}
			tried.Add(1)
			won, err := j.api(caller).Swap(j.ctx, key, j.value(), page.LastRevision)
			if err != nil || won {
				return err
			}
			lost.Add(1)
		}
	})
	j.set("lost_share", float64(lost.Load())/float64(max(1, tried.Load())))
	return err
}

func (j *job) ranges() error {
	keys := max(2*rangeKeys, j.scaled(fullPaged))
	if err := j.fill("ranges", keys); err != nil {
		return err
	}
	return j.closed(min(callers, j.InFlight), func(random *rand.Rand, caller int) error {
		first := random.IntN(keys - rangeKeys)
		page, err := j.api(caller).Read(j.ctx, Read{From: j.key("ranges", first), To: j.key("ranges", first+rangeKeys)})
		if err == nil && page.Keys != rangeKeys {
			err = fmt.Errorf("a range of %d keys has %d", rangeKeys, page.Keys)
		}
		return err
	})
}

// kubernetes simulates an API server: watched objects, mostly updates with a compare, then gets and lists.
func (j *job) kubernetes() error {
	const objects, watches = 1000, 10
	keys := max(pageKeys, j.scaled(objects*10))
	if err := j.fill("objects", keys); err != nil {
		return err
	}
	events, stop, err := j.count("objects", watches)
	defer stop()
	if err != nil {
		return err
	}
	_, to := j.ends("objects")
	begun := time.Now()
	err = j.closed(min(callers, j.InFlight), func(random *rand.Rand, caller int) error {
		key := j.key("objects", random.IntN(keys))
		switch dice := random.IntN(100); {
		case dice < 60: // a status update
			page, err := j.api(caller).Read(j.ctx, Read{From: key})
			if err == nil {
				_, err = j.api(caller).Swap(j.ctx, key, j.value(), page.LastRevision)
			}
			return err
		case dice < 95:
			_, err := j.api(caller).Read(j.ctx, Read{From: key})
			return err
		default:
			_, err := j.api(caller).Read(j.ctx, Read{From: key, To: to, Limit: pageKeys})
			return err
		}
	})
	j.set("events_rate", float64(events.Load())/time.Since(begun).Seconds())
	return err
}

// count starts watchers of the same keys, and counts their events until stop, which must be called.
func (j *job) count(keys string, watchers int) (events *atomic.Int64, stop func(), err error) {
	ctx, cancel := context.WithCancel(j.ctx)
	events = new(atomic.Int64)
	var watching sync.WaitGroup
	stop = func() {
		cancel()
		watching.Wait()
	}
	from, to := j.ends(keys)
	for w := range watchers {
		next, err := j.api(w%10).Watch(ctx, from, to, 0)
		if err != nil {
			return events, stop, err
		}
		watching.Go(func() {
			for {
				n, err := next()
				if err != nil {
					return
				}
				events.Add(int64(n))
			}
		})
	}
	return events, stop, nil
}

// fanOut has many watchers of the same keys: the rate counts their events.
func (j *job) fanOut() error {
	watchers := j.scaled(fullWatchers)
	events, stop, err := j.count("fan", watchers)
	defer stop()
	if err != nil {
		return err
	}
	value := j.value()
	var counted int64
	timer := time.AfterFunc(j.WarmUp, func() { atomic.StoreInt64(&counted, events.Load()) })
	defer timer.Stop()
	err = j.closed(min(10, j.InFlight), func(random *rand.Rand, caller int) error {
		return put(j.ctx, j.api(caller), j.key("fan", random.IntN(1000)), value)
	})
	j.set("events_rate", float64(events.Load()-atomic.LoadInt64(&counted))/j.Duration.Seconds())
	return err
}

func (j *job) leases() error {
	value := j.value()
	return j.closed(min(callers, j.InFlight), func(_ *rand.Rand, caller int) error {
		lease, err := j.api(caller).Grant(j.ctx, 60)
		if err == nil {
			err = j.api(caller).PutLease(j.ctx, j.key("leased", caller), value, lease)
		}
		if err == nil {
			err = j.api(caller).Revoke(j.ctx, lease)
		}
		return err
	})
}

// quiet is the reference for maintenance.
func (j *job) quiet() error {
	keys := j.scaled(fullPaged * 2)
	if err := j.fill("kept", keys); err != nil {
		return err
	}
	return j.overwrite("kept", keys)
}

func (j *job) overwrite(load string, keys int) error {
	value := j.value()
	return j.closed(min(callers, j.InFlight), func(random *rand.Rand, caller int) error {
		return put(j.ctx, j.api(caller), j.key(load, random.IntN(keys)), value)
	})
}

// maintenance is quiet with a compaction a second, and a defragmentation and a snapshot in the middle.
func (j *job) maintenance() error {
	ctx, stop := context.WithCancel(j.ctx)
	defer stop()
	asked := j.Duration
	defer func() { j.Duration = asked }()
	j.Duration = max(j.Duration, 3*compactEvery) // time for at least one
	var compacting, maintaining error
	var maintained time.Duration
	var beside sync.WaitGroup
	beside.Go(func() {
		compacted := int64(0)
		for pause(ctx, compactEvery) == nil {
			page, err := j.api(0).Read(ctx, Read{From: j.key("kept", 0)})
			if err == nil && page.Revision > compacted { // without new writes it would be refused
				compacted = page.Revision
				err = j.api(0).Compact(ctx, compacted)
			}
			if err != nil && ctx.Err() == nil {
				compacting = errors.Join(compacting, err)
			}
		}
	})
	middle := j.WarmUp + j.Duration/3
	beside.Go(func() {
		if pause(ctx, middle) == nil {
			begun := time.Now()
			maintaining = j.api(0).Maintain(context.WithoutCancel(ctx))
			maintained = time.Since(begun)
		}
	})
	err := j.overwrite("kept", j.scaled(fullPaged*2))
	stop()
	beside.Wait()
	if maintained > 0 {
		j.set("maintained_seconds", maintained.Seconds())
	}
	return errors.Join(err, compacting, maintaining)
}

// pages reads a large range to its end, page by page, at one revision, during writes.
func (j *job) pages() error {
	keys := j.scaled(fullPaged)
	if err := j.fill("paged", keys); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(j.ctx)
	var writing sync.WaitGroup
	defer writing.Wait()
	defer stop()
	value := j.value()
	for w := range 10 {
		random := rand.New(rand.NewPCG(j.Seed, uint64(w)))
		writing.Go(func() {
			for ctx.Err() == nil {
				if put(ctx, j.api(w), j.key("paged", random.IntN(keys)), value) != nil {
					_ = pause(ctx, errorPause)
				}
			}
		})
	}
	begun, h := time.Now(), newHistogram()
	if j.begins != nil {
		j.begins(begun)
	}
	from, to := j.ends("paged")
	read, revision := 0, int64(0)
	for {
		asked := time.Now()
		page, err := j.api(0).Read(j.ctx, Read{From: from, To: to, Limit: pageKeys, Revision: revision})
		if err != nil {
			return err
		}
		record(h, time.Since(asked))
		if read += page.Keys; !page.More {
			break
		}
		if revision == 0 {
			revision = page.Revision
		}
		from = append(slices.Clone(page.Last), 0)
	}
	if read != keys {
		return fmt.Errorf("pages of one revision have %d of %d keys", read, keys)
	}
	values := j.run.Values
	j.run = latencies(h).Run(time.Since(begun))
	j.run.Values = values
	j.set("whole_seconds", time.Since(begun).Seconds())
	return nil
}

// resume starts many watches at a past revision, as after a restart of the watchers.
func (j *job) resume() error {
	const behind = 100
	watchers := j.scaled(fullResumed)
	page, err := j.api(0).Read(j.ctx, Read{From: j.key("resumed", 0)})
	if err != nil {
		return err
	}
	if err := j.fill("resumed", behind); err != nil {
		return err
	}
	from, to := j.ends("resumed")
	ctx, stop := context.WithCancel(j.ctx)
	defer stop()
	begun := time.Now()
	err = j.each(watchers, watchers, func(w int) error {
		next, err := j.api(w).Watch(ctx, from, to, page.Revision+1)
		for got := 0; err == nil && got < behind; {
			var n int
			n, err = next()
			got += n
		}
		return err
	})
	j.set("all_resumed_seconds", time.Since(begun).Seconds())
	j.set("events_rate", float64(watchers*behind)/time.Since(begun).Seconds())
	return err
}

// expiry lets many leases expire at once, each with a key, and measures the delay of the last deletion.
func (j *job) expiry() error {
	leases := j.scaled(fullLeases)
	value := j.value()
	var latest atomic.Int64
	err := j.each(leases, min(callers, j.InFlight), func(i int) error {
		lease, err := j.api(i).Grant(j.ctx, expirySeconds)
		if err == nil {
			due := time.Now().Add(expirySeconds * time.Second).UnixNano()
			for at := latest.Load(); due > at && !latest.CompareAndSwap(at, due); at = latest.Load() {
			}
			err = j.api(i).PutLease(j.ctx, j.key("expiring", i), value, lease)
		}
		return err
	})
	if err != nil {
		return err
	}
	from, to := j.ends("expiring")
	for {
		page, err := j.api(0).Read(j.ctx, Read{From: from, To: to, CountOnly: true})
		if err != nil {
			return err
		}
		if page.Count == 0 {
			break
		}
		if err := pause(j.ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	j.set("last_late_seconds", max(0, time.Since(time.Unix(0, latest.Load())).Seconds()))
	return nil
}

// sized is puts of another size.
func sized(bytes int) func(*job) error {
	return func(j *job) error {
		config := j.Config
		config.ValueBytes, config.InFlight = bytes, min(config.InFlight, max(16, 8<<20/bytes))
		config.Keys = min(config.Keys, max(100, 256<<20/bytes))
		report, err := Load(j.ctx, config)
		j.run = report.Run()
		return err
	}
}

// runSpecial runs a special load on a cluster.
func runSpecial(ctx context.Context, c Cluster, s special, config Config) (result.Run, error) {
	if err := config.complete(); err != nil {
		return result.Run{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, specialTimeout)
	defer cancel()
	j := &job{Config: config, ctx: ctx, cluster: c}
	for _, store := range config.Stores {
		if a, can := store.(API); can {
			j.all = append(j.all, a)
		}
	}
	if len(j.all) == 0 {
		return result.Run{}, ErrNotPossible
	}
	begun := time.Now()
	err := s.do(j)
	if j.run.Seconds == 0 {
		j.run.Seconds = time.Since(begun).Seconds()
	}
	j.run.Count = max(j.run.Count, 1)
	if err != nil && strings.Contains(err.Error(), "context deadline exceeded") && ctx.Err() != nil {
		err = fmt.Errorf("not over after %v: %w", specialTimeout, err)
	}
	return j.run, err
}
