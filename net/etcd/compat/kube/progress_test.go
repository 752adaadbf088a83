package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"
)

// seen is what a watcher was told, in its order.
type seen struct {
	progress int64 // the largest
	told     int
	events   map[int64]int // how many of a revision
	last     int64
}

// take looks at one answer of a watch.
func (s *seen) take(r clientv3.WatchResponse) error {
	if err := r.Err(); err != nil {
		return err
	}
	if r.IsProgressNotify() {
		s.told++
		s.progress = max(s.progress, r.Header.Revision)
		return nil
	}
	for _, e := range r.Events {
		switch at := e.Kv.ModRevision; {
		case at <= s.progress:
			return fmt.Errorf("an event of revision %d comes after progress of %d", at, s.progress)
		case at < s.last:
			return fmt.Errorf("an event of revision %d comes after one of %d", at, s.last)
		default:
			s.last = at
			s.events[at]++
		}
	}
	return nil
}

// TestProgress: watchers of each member ask for progress all the time while things are written and a member is killed, as the
// apiserver does while a reader waits. What progress says is behind them never comes later, and was told.
func TestProgress(t *testing.T) {
	cluster, c := start(t, 3, map[bool][]string{true: {"--watch-progress-notify-interval", "100ms"}}[*against == "etcd"]...)
	ctx := c.Ctx()
	r, err := c.Put(ctx, "first", "")
	must(t, err)
	from := r.Header.Revision + 1
	rounds := 40
	if full {
		rounds = 600
	}

	watching, cancel := context.WithCancel(metadata.AppendToOutgoingContext(clientv3.WithRequireLeader(ctx), "source", "cache"))
	defer cancel()
	var done sync.WaitGroup
	const watchers = 9
	all := make([]*seen, watchers)
	for i := range all {
		all[i] = &seen{events: map[int64]int{}}
		own := client(t, cluster.Endpoints()...)
		if i%3 != 0 { // some stay with one member, and are there when it comes back
			own = client(t, cluster.Endpoints()[i%3])
		}
		done.Go(func() {
			w := own.Watch(watching, registry, clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithProgressNotify(), clientv3.WithRev(from))
			poll := time.NewTicker(5 * time.Millisecond)
			defer poll.Stop()
			for {
				select {
				case r, ok := <-w:
					if !ok && watching.Err() != nil {
						return
					}
					if errors.Is(r.Err(), rpctypes.ErrNoLeader) { // the apiserver begins again behind what it has
						w = own.Watch(watching, registry, clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithProgressNotify(), clientv3.WithRev(max(from, all[i].last+1)))
						continue
					}
					if err := all[i].take(r); err != nil && watching.Err() == nil {
						t.Errorf("watcher %d: %v", i, err)
						return
					}
				case <-poll.C:
					err := own.RequestProgress(watching)
					if errors.Is(rpctypes.Error(err), rpctypes.ErrNoLeader) { // its watch has ended with that, as above
						continue
					}
					if err != nil && watching.Err() == nil {
						t.Errorf("watcher %d asks for progress: %v", i, err)
						return
					}
				case <-watching.Done():
					return
				}
			}
		})
	}

	// Each round writes until the writes are many, and one in ten kills a member.
	written := map[int64]int{}
	for round := range rounds {
		killed := round%10 == 5
		victim := cluster.Members[round/10%3]
		if killed {
			victim.Kill()
		}
		for i := range 25 {
			for {
				try, over := context.WithTimeout(ctx, 10*time.Second)
				r, err := c.Txn(try).Then(clientv3.OpPut(key(i), fmt.Sprint(round)), clientv3.OpPut(key(i+100), fmt.Sprint(round))).Commit()
				over()
				if err == nil {
					written[r.Header.Revision] = 2
					break
				}
				must(t, ctx.Err())
			}
		}
		if killed {
			victim.Start()
			must(t, victim.Await())
		}
	}
	// They have all of it when progress says so.
	end, err := c.Get(ctx, "first")
	must(t, err)
	last := c.Watch(ctx, registry, clientv3.WithPrefix(), clientv3.WithRev(from))
	history := &seen{events: map[int64]int{}}
	for history.progress < end.Header.Revision {
		must(t, c.RequestProgress(ctx))
		must(t, history.take(<-last))
	}
	time.Sleep(time.Second) // for those that would tell something twice, or late
	cancel()
	done.Wait()
	for revision, n := range written {
		want(t, fmt.Sprintf("events of revision %d", revision), history.events[revision], n)
	}
	told := 0
	for i, s := range all {
		told += s.told
		for revision, n := range history.events {
			if revision <= s.progress && s.events[revision] != n {
				t.Errorf("watcher %d was told progress of %d, and %d of %d events of %d", i, s.progress, s.events[revision], n, revision)
			}
		}
	}
	if told == 0 {
		t.Error("no progress was told")
	}
	t.Logf("%d revisions, %d watchers, %d times progress, %d kills: never ahead of events", len(history.events), watchers, told, rounds/10)
}

// TestCompactor: some of the apiserver's compactors beside each other, for some intervals, during writes. One of them compacts
// in each interval, and none has an error.
func TestCompactor(t *testing.T) {
	_, c := start(t, 3)
	stop := writers(t, c, 3, 50)
	defer stop()
	ctx := c.Ctx()
	const compactors, intervals = 3, 4
	type state struct{ time, revision int64 }
	states := make([]state, compactors)
	compacted := 0
	for range intervals {
		for i := range states {
			s := &states[i]
			before := s.revision
			now, newest, ok, err := compaction(ctx, c, s.time, before)
			must(t, err)
			s.time, s.revision = now, newest
			if !ok || before == 0 {
				continue
			}
			_, err = c.Compact(ctx, before)
			must(t, err)
			compacted++
			_, err = c.Get(ctx, registry, clientv3.WithPrefix(), clientv3.WithRev(before-1))
			if !errors.Is(err, rpctypes.ErrCompacted) {
				t.Fatalf("a list at %d, below the compacted %d: %v", before-1, before, err)
			}
		}
		time.Sleep(200 * time.Millisecond) // an interval
	}
	stop()
	if compacted < intervals-1 {
		t.Fatalf("%d compactions in %d intervals", compacted, intervals)
	}
	t.Logf("%d compactors, %d intervals, %d compactions, no error", compactors, intervals, compacted)
}
