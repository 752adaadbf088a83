package clients

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"qkv/net/etcd/compat/member"
)

// events waits for n events of a watch.
func (e *env) events(w clientv3.WatchChan, n int) (all []*clientv3.Event) {
	e.t.Helper()
	for len(all) < n {
		r, ok := <-w
		if !ok {
			e.t.Fatalf("the watch has ended after %d of %d events", len(all), n)
		}
		must(e.t, r.Err())
		all = append(all, r.Events...)
	}
	want(e.t, "the number of events", len(all), n)
	return all
}

func TestWatch(t *testing.T) {
	each(t, []story{
		{"past, present", func(t *testing.T, e *env) {
			first := e.put("a", "1")
			e.put("a", "2")
			w := e.Watch(e.ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithRev(first), clientv3.WithPrevKV())
			e.events(w, 2)
			_, err := e.Delete(e.ctx, e.key("a"))
			must(t, err)
			last := e.events(w, 1)[0]
			want(t, "the value before a delete", []any{last.Type, string(last.PrevKv.Value)}, []any{"DELETE", "2"})
			want(t, "a create, and no modify", []any{last.IsCreate(), last.IsModify()}, []any{false, false})
		}},
		{"one revision at once", func(t *testing.T, e *env) {
			w := e.Watch(e.ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
			want(t, "created", (<-w).Created, true)
			_, err := e.Txn(e.ctx).Then(clientv3.OpPut(e.key("a"), "1"), clientv3.OpPut(e.key("b"), "2"), clientv3.OpPut(e.key("c"), "3")).Commit()
			must(t, err)
			r := <-w
			want(t, "events", kinds(r.Events), fmt.Sprintf("[put %s=1 put %s=2 put %s=3]", e.key("a"), e.key("b"), e.key("c")))
		}},
		{"filters", func(t *testing.T, e *env) {
			rev := e.put("a", "1")
			_, err := e.Delete(e.ctx, e.key("a"))
			must(t, err)
			puts := e.Watch(e.ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithRev(rev), clientv3.WithFilterDelete())
			deletes := e.Watch(e.ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithRev(rev), clientv3.WithFilterPut())
			want(t, "puts", kinds(e.events(puts, 1)), "[put "+e.key("a")+"=1]")
			want(t, "deletes", kinds(e.events(deletes, 1)), "[delete "+e.key("a")+"=]")
		}},
		{"many on one stream, and cancelled", func(t *testing.T, e *env) {
			ctx, cancel := context.WithCancel(e.ctx)
			var all []clientv3.WatchChan
			for i := range 50 {
				of := ctx
				if i%2 == 0 {
					of = e.ctx
				}
				w := e.Watch(of, e.key(fmt.Sprint(i)), clientv3.WithCreatedNotify())
				<-w
				all = append(all, w)
			}
			cancel()
			for i := range 50 {
				e.put(fmt.Sprint(i), "v")
			}
			for i, w := range all {
				if i%2 == 0 {
					e.events(w, 1)
					continue
				}
				for range w { // it ends
				}
			}
		}},
		{"progress", func(t *testing.T, e *env) {
			w := e.Watch(e.ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
			<-w
			rev := e.put("a", "1")
			e.events(w, 1)
			for {
				must(t, e.RequestProgress(e.ctx))
				r := <-w
				must(t, r.Err())
				if r.IsProgressNotify() && r.Header.Revision >= rev {
					return
				}
			}
		}},
		{"compacted", func(t *testing.T, e *env) {
			e.put("a", "1")
			old := e.put("a", "2")
			rev := e.put("a", "3")
			one := e.another(e.Endpoints()[0]) // others may not have compacted yet
			_, err := one.Compact(e.ctx, rev)
			must(t, err)
			r := <-one.Watch(e.ctx, e.key("a"), clientv3.WithRev(old))
			fails(t, "a watch of the past", r.Err(), rpctypes.ErrCompacted)
			want(t, "where it may begin", r.CompactRevision, rev)
			want(t, "at that revision", kinds(e.events(e.Watch(e.ctx, e.key("a"), clientv3.WithRev(rev)), 1)), "[put "+e.key("a")+"=3]")
		}},
		{"fragments", func(t *testing.T, e *env) {
			w := e.Watch(e.ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithFragment(), clientv3.WithCreatedNotify())
			<-w
			for i := range 12 {
				e.put(fmt.Sprintf("%02d", i), strings.Repeat("v", 400000))
			}
			rev := e.put("rest", "")
			e.events(w, 13)
			again := e.Watch(e.ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithFragment(), clientv3.WithRev(rev-12))
			e.events(again, 13)
		}},
		{"a leader is there", func(t *testing.T, e *env) {
			w := e.Watch(clientv3.WithRequireLeader(e.ctx), e.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
			<-w
			e.put("a", "1")
			e.events(w, 1)
		}},
	})
}

// TestWatchGoesOn kills the member that a watch is connected to: the client goes on with another one, and nothing is lost or
// told twice.
func TestWatchGoesOn(t *testing.T) {
	cluster := member.Start(t, *against, 3)
	e := newEnv(t, cluster, "goes-on/")
	w := e.Watch(e.ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-w
	const each = 100
	writer := e.another()
	for round, m := range cluster.Members {
		m.Kill()
		for i := range each {
			for { // a put that finds no leader is made again; twice is a new version of the same key
				ctx, cancel := context.WithTimeout(e.ctx, timeout/10)
				_, err := writer.Put(ctx, e.key(fmt.Sprintf("%d/%03d", round, i)), "v")
				cancel()
				if err == nil {
					break
				}
				must(t, e.ctx.Err())
			}
		}
		m.Start()
		must(t, m.Await())
	}
	seen := map[string]bool{}
	var last int64
	for len(seen) < 3*each {
		r, ok := <-w
		if !ok {
			t.Fatalf("the watch has ended after %d keys", len(seen))
		}
		must(t, r.Err())
		for _, one := range r.Events {
			if one.Kv.ModRevision <= last {
				t.Fatalf("revision %d comes after %d", one.Kv.ModRevision, last)
			}
			last = one.Kv.ModRevision
			seen[string(one.Kv.Key)] = true
		}
	}
	history, err := e.Get(e.ctx, e.prefix, clientv3.WithPrefix())
	must(t, err)
	for _, one := range history.Kvs {
		if !seen[string(one.Key)] {
			t.Fatalf("the watch has not told of %s", one.Key)
		}
	}
	t.Logf("%d keys, three members killed one after the other: none lost, none twice", len(seen))
}
