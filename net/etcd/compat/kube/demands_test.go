package kube

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

const registry = "/registry/things/"

func key(i int) string { return fmt.Sprintf("%s%04d", registry, i) }

// TestShapes: a creation, a change, a deletion, and the compactor's transaction, taken and refused.
func TestShapes(t *testing.T) {
	_, c := start(t, 1)
	ctx, k := c.Ctx(), kubernetes.Client{Client: c}
	k.Kubernetes = k
	l, err := c.Grant(ctx, 3600)
	must(t, err)

	created, err := k.OptimisticPut(ctx, key(1), []byte("one"), 0, kubernetes.PutOptions{GetOnFailure: true, LeaseID: l.ID})
	must(t, err)
	want(t, "a creation", []any{created.Succeeded, created.KV == nil}, []any{true, true})
	got, err := k.Get(ctx, key(1), kubernetes.GetOptions{})
	must(t, err)
	want(t, "what is there", []any{string(got.KV.Value), got.KV.ModRevision, got.KV.CreateRevision, got.KV.Lease, got.Revision},
		[]any{"one", created.Revision, created.Revision, int64(l.ID), created.Revision})

	again, err := k.OptimisticPut(ctx, key(1), []byte("two"), 0, kubernetes.PutOptions{})
	must(t, err)
	want(t, "one more creation", []any{again.Succeeded, again.KV == nil, again.Revision}, []any{false, true, created.Revision})

	changed, err := k.OptimisticPut(ctx, key(1), []byte("two"), created.Revision, kubernetes.PutOptions{GetOnFailure: true})
	must(t, err)
	want(t, "a change", []any{changed.Succeeded, changed.Revision}, []any{true, created.Revision + 1})
	refused, err := k.OptimisticPut(ctx, key(1), []byte("three"), created.Revision, kubernetes.PutOptions{GetOnFailure: true})
	must(t, err)
	want(t, "a change of what has changed", []any{refused.Succeeded, string(refused.KV.Value), refused.KV.ModRevision, refused.Revision},
		[]any{false, "two", changed.Revision, changed.Revision})

	kept, err := k.OptimisticDelete(ctx, key(1), created.Revision, kubernetes.DeleteOptions{GetOnFailure: true})
	must(t, err)
	want(t, "a deletion of what has changed", []any{kept.Succeeded, string(kept.KV.Value)}, []any{false, "two"})
	deleted, err := k.OptimisticDelete(ctx, key(1), changed.Revision, kubernetes.DeleteOptions{GetOnFailure: true})
	must(t, err)
	want(t, "a deletion", []any{deleted.Succeeded, deleted.Revision}, []any{true, changed.Revision + 1})
	gone, err := k.OptimisticDelete(ctx, key(1), changed.Revision, kubernetes.DeleteOptions{GetOnFailure: true})
	must(t, err)
	want(t, "a deletion of nothing", []any{gone.Succeeded, gone.KV == nil, gone.Revision}, []any{false, true, deleted.Revision})

	for n := range 3 {
		time, revision, ok, err := compaction(ctx, c, int64(n), 0)
		must(t, err)
		want(t, "the compactor's transaction", []any{time, revision, ok}, []any{n + 1, deleted.Revision + 1 + int64(n), true})
	}
	time, _, ok, err := compaction(ctx, c, 1, 0)
	must(t, err)
	want(t, "of a compactor that is behind", []any{time, ok}, []any{3, false})
}

// compactRevKey is where compactors agree.
const compactRevKey = "compact_rev_key"

// compaction is the compactor's transaction: the key's version is the time that compactors agree on, its value the revision that
// was compacted last.
func compaction(ctx context.Context, c *clientv3.Client, time, revision int64) (now, newest int64, ok bool, err error) {
	r, err := c.Txn(ctx).If(clientv3.Compare(clientv3.Version(compactRevKey), "=", time)).
		Then(clientv3.OpPut(compactRevKey, strconv.FormatInt(revision, 10))).Else(clientv3.OpGet(compactRevKey)).Commit()
	if err != nil {
		return 0, 0, false, err
	}
	if r.Succeeded {
		return time + 1, r.Header.Revision, true, nil
	}
	kvs := r.Responses[0].GetResponseRange().Kvs
	if len(kvs) == 0 {
		return 0, 0, false, errors.New("the compactors' key is not there")
	}
	return kvs[0].Version, r.Header.Revision, false, nil
}

// writer changes things at random until ctx ends: creations, changes and deletions, as the apiserver makes them.
func writer(ctx context.Context, c *clientv3.Client, seed uint64, things int) (writes int, err error) {
	random := rand.New(rand.NewPCG(seed, 1))
	for ctx.Err() == nil {
		k, value := key(random.IntN(things)), fmt.Sprint(random.IntN(1000))
		r, err := c.Get(ctx, k)
		if err == nil && len(r.Kvs) == 0 {
			_, err = c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(k), "=", 0)).Then(clientv3.OpPut(k, value)).Else(clientv3.OpGet(k)).Commit()
		} else if err == nil {
			op := clientv3.OpPut(k, value)
			if random.IntN(3) == 0 {
				op = clientv3.OpDelete(k)
			}
			_, err = c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(k), "=", r.Kvs[0].ModRevision)).Then(op).Else(clientv3.OpGet(k)).Commit()
		}
		if err != nil && ctx.Err() == nil {
			return writes, err
		}
		writes++
	}
	return writes, nil
}

// writers are some of them, until the test calls stop, or ends.
func writers(t *testing.T, c *clientv3.Client, count, things int) (stop func()) {
	ctx, cancel := context.WithCancel(c.Ctx())
	var done sync.WaitGroup
	for i := range count {
		done.Go(func() {
			if _, err := writer(ctx, c, uint64(i), things); err != nil {
				t.Error(err)
			}
		})
	}
	stop = func() {
		cancel()
		done.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// TestPages: each page of a list is of the revision of the first one, its count is what that revision has from the page's
// begin on, and its header is the newest revision.
func TestPages(t *testing.T) {
	cluster, c := start(t, 3)
	const things = 300
	ctx := c.Ctx()
	for i := range things {
		_, err := c.Put(ctx, key(i), "")
		must(t, err)
	}
	stop := writers(t, c, 4, things)
	defer stop()
	end := clientv3.GetPrefixRangeEnd(registry)
	pages := 0
	for n := range 60 {
		one := client(t, cluster.Endpoints()[n%3]) // pages come from members that may be behind the one before
		first, err := one.Get(ctx, registry, clientv3.WithRange(end), clientv3.WithLimit(int64(10+n)))
		must(t, err)
		pinned, newest, total := first.Header.Revision, first.Header.Revision, first.Count
		listed := len(first.Kvs)
		for page := first; page.More; pages++ {
			want(t, "count says that there is more", int64(len(page.Kvs)) < page.Count, true)
			from := string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
			page, err = c.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(int64(10+n)), clientv3.WithRev(pinned))
			must(t, err)
			want(t, "the count of a page", page.Count, total-int64(listed))
			if page.Header.Revision < newest {
				t.Fatalf("a header of revision %d after one of %d", page.Header.Revision, newest)
			}
			newest = page.Header.Revision
			for _, kv := range page.Kvs {
				if kv.ModRevision > pinned {
					t.Fatalf("a page of revision %d has a key that changed at %d", pinned, kv.ModRevision)
				}
			}
			listed += len(page.Kvs)
		}
		want(t, "what was listed", listed, total)
		counted, err := c.Get(ctx, registry, clientv3.WithRange(end), clientv3.WithCountOnly(), clientv3.WithRev(pinned))
		must(t, err)
		want(t, "what is counted", []any{counted.Count, len(counted.Kvs)}, []any{total, 0})
		keys, err := c.Get(ctx, registry, clientv3.WithRange(end), clientv3.WithKeysOnly(), clientv3.WithRev(pinned))
		must(t, err)
		want(t, "keys alone", len(keys.Kvs), total)
	}
	stop()
	t.Logf("60 lists of %d further pages, during writes", pages)
}

// TestErrors: lists and watches that are too old or too new are told so by the errors that the apiserver compares by identity.
func TestErrors(t *testing.T) {
	_, c := start(t, 1)
	ctx := c.Ctx()
	var revisions []int64
	for range 10 {
		r, err := c.Put(ctx, key(1), "v")
		must(t, err)
		revisions = append(revisions, r.Header.Revision)
	}
	_, err := c.Compact(ctx, revisions[5])
	must(t, err)
	is := func(what string, got, wanted error) {
		t.Helper()
		if !errors.Is(got, wanted) {
			t.Fatalf("%s: %v is not %v", what, got, wanted)
		}
	}
	_, err = c.Get(ctx, registry, clientv3.WithPrefix(), clientv3.WithRev(revisions[4]), clientv3.WithLimit(500))
	is("a list that goes on below the compacted revision", err, rpctypes.ErrCompacted)
	_, err = c.Get(ctx, registry, clientv3.WithPrefix(), clientv3.WithRev(revisions[5]), clientv3.WithLimit(500))
	must(t, err)
	_, err = c.Get(ctx, key(1), clientv3.WithRev(revisions[9]+1))
	is("a revision of the future", err, rpctypes.ErrFutureRev)
	_, err = c.Compact(ctx, revisions[5])
	is("a compaction again", err, rpctypes.ErrCompacted)
	_, err = c.Compact(ctx, revisions[9]+1)
	is("a compaction of the future", err, rpctypes.ErrFutureRev)
	w := <-c.Watch(clientv3.WithRequireLeader(ctx), registry, clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(revisions[4]), clientv3.WithProgressNotify())
	is("a watch from below", w.Err(), rpctypes.ErrCompacted)
	want(t, "where it may begin", w.CompactRevision, revisions[5])
	w = <-c.Watch(ctx, registry, clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(revisions[5]+1))
	must(t, w.Err())
	if w.Events[0].PrevKv == nil {
		t.Fatal("the first event behind the compacted revision has no value before")
	}
}

// TestPrevious: while things are written, and the past is compacted, every event that is no creation has the value before, and
// each is the one that the key had.
func TestPrevious(t *testing.T) {
	cluster, c := start(t, 3)
	ctx := c.Ctx()
	r, err := c.Put(ctx, "first", "")
	must(t, err)
	var done sync.WaitGroup
	events := 1500
	if full {
		events = 30000
	}
	told := make([]atomic.Int64, 3) // up to which revision each has all
	for i, endpoint := range cluster.Endpoints() {
		w := client(t, endpoint).Watch(clientv3.WithRequireLeader(ctx), registry, clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(r.Header.Revision+1), clientv3.WithProgressNotify())
		done.Go(func() {
			values := map[string]string{}
			for n := 0; n < events; {
				got, ok := <-w
				if !ok || got.Err() != nil {
					t.Errorf("the watch has ended: %v", got.Err())
					return
				}
				for _, e := range got.Events {
					n++
					before, was := values[string(e.Kv.Key)]
					switch {
					case e.IsCreate() == was || was && e.PrevKv == nil || !was && e.PrevKv != nil:
						t.Errorf("an event of %s at %d: created %v, there before %v, value before %v", e.Kv.Key, e.Kv.ModRevision, e.IsCreate(), was, e.PrevKv)
						return
					case was && string(e.PrevKv.Value) != before:
						t.Errorf("the value of %s before %d is %q, not %q", e.Kv.Key, e.Kv.ModRevision, e.PrevKv.Value, before)
						return
					}
					if values[string(e.Kv.Key)] = string(e.Kv.Value); e.Type == clientv3.EventTypeDelete {
						delete(values, string(e.Kv.Key))
					}
					told[i].Store(e.Kv.ModRevision - 1) // there may be more of it
				}
			}
			told[i].Store(math.MaxInt64)
		})
	}
	stop := writers(t, c, 4, 40)
	compacting, cancel := context.WithCancel(ctx)
	var compactor sync.WaitGroup
	compactions := 0
	compactor.Go(func() {
		for compacting.Err() == nil {
			// As far as all have come: what is compacted under a watcher ends it.
			least := min(told[0].Load(), told[1].Load(), told[2].Load())
			_, err := c.Compact(compacting, least)
			if err != nil && compacting.Err() == nil && !errors.Is(err, rpctypes.ErrCompacted) && !errors.Is(err, rpctypes.ErrFutureRev) {
				t.Error(err)
				return
			}
			if err == nil {
				compactions++
			}
		}
	})
	done.Wait()
	cancel()
	compactor.Wait()
	stop()
	t.Logf("%d events to each of 3 watchers, during %d compactions", events, compactions)
}
