package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	{name: "watch fan-out", writes: true, do: (*job).fanOut},
	{name: "put while quiet", writes: true, do: (*job).quiet},
	{name: "put in maintenance", writes: true, harms: true, do: (*job).maintenance},
	{name: "values of 4 KiB", writes: true, do: sized(4 << 10)},
	{name: "values of 64 KiB", writes: true, do: sized(64 << 10)},
	{name: "many keys", most: 1, event: true, alone: true, do: (*job).many},
}

// Sizes of special loads, at full scale; a suite's Scale reduces all of them.
const (
	fullWatchers   = 1000
	fullKeys       = 1_000_000
	fullPaged      = 100_000
	overwrites     = 6
	callers        = 100 // concurrent callers, unless stated otherwise
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
	took := NewHistogram()
	var failed int64
	var first error
	err := j.each(at, at, func(caller int) error {
		random, own := rand.New(rand.NewPCG(j.Seed, uint64(caller))), NewHistogram()
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
				_ = Pause(j.ctx, errorPause)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		took.Merge(own)
		return nil
	})
	values := j.run.Values
	j.run = LatenciesOf(took).Run(j.Duration)
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
		next, err := j.api(w%10).Watch(ctx, from, to)
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
		for Pause(ctx, compactEvery) == nil {
			page, err := j.api(0).Read(ctx, j.key("kept", 0), nil)
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
		if Pause(ctx, middle) == nil {
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
