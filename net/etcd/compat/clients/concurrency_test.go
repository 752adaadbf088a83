package clients

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

func (e *env) session(options ...concurrency.SessionOption) *concurrency.Session {
	e.t.Helper()
	s, err := concurrency.NewSession(e.another(), append(options, concurrency.WithContext(e.ctx))...)
	must(e.t, err)
	e.t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConcurrency(t *testing.T) {
	each(t, []story{
		{"a mutex", func(t *testing.T, e *env) {
			holders, most, sum := 0, 0, 0
			var guard sync.Mutex
			var done sync.WaitGroup
			for range 6 {
				m := concurrency.NewMutex(e.session(), e.key("m"))
				done.Go(func() {
					for range 5 {
						if err := m.Lock(e.ctx); err != nil {
							t.Error(err)
							return
						}
						guard.Lock()
						holders++
						most, sum = max(most, holders), sum+1
						guard.Unlock()
						guard.Lock()
						holders--
						guard.Unlock()
						if err := m.Unlock(e.ctx); err != nil {
							t.Error(err)
						}
					}
				})
			}
			done.Wait()
			want(t, "at once, and in all", []int{most, sum}, "[1 30]")
		}},
		{"a mutex that is taken", func(t *testing.T, e *env) {
			a, b := concurrency.NewMutex(e.session(), e.key("m")), concurrency.NewMutex(e.session(), e.key("m"))
			must(t, a.Lock(e.ctx))
			fails(t, "try it", b.TryLock(e.ctx), concurrency.ErrLocked)
			r, err := e.Txn(e.ctx).If(a.IsOwner()).Then(clientv3.OpPut(e.key("x"), "1")).Commit()
			must(t, err)
			want(t, "its owner writes", r.Succeeded, true)
			must(t, a.Unlock(e.ctx))
			must(t, b.TryLock(e.ctx))
			r, err = e.Txn(e.ctx).If(a.IsOwner()).Then(clientv3.OpPut(e.key("x"), "2")).Commit()
			must(t, err)
			want(t, "one that was writes", r.Succeeded, false)
		}},
		{"a session that ends gives its mutex back", func(t *testing.T, e *env) {
			first := e.session(concurrency.WithTTL(600))
			a, b := concurrency.NewMutex(first, e.key("m")), concurrency.NewMutex(e.session(), e.key("m"))
			must(t, a.Lock(e.ctx))
			got := make(chan error, 1)
			go func() { got <- b.Lock(e.ctx) }()
			must(t, first.Close())
			must(t, <-got)
		}},
		{"an election", func(t *testing.T, e *env) {
			a, b := concurrency.NewElection(e.session(), e.key("e")), concurrency.NewElection(e.session(), e.key("e"))
			seen := concurrency.NewElection(e.session(), e.key("e")).Observe(e.ctx)
			must(t, a.Campaign(e.ctx, "a"))
			want(t, "seen", string((<-seen).Kvs[0].Value), "a")
			got := make(chan error, 1)
			go func() { got <- b.Campaign(e.ctx, "b") }()
			must(t, a.Proclaim(e.ctx, "a2"))
			want(t, "seen", string((<-seen).Kvs[0].Value), "a2")
			l, err := b.Leader(e.ctx)
			must(t, err)
			want(t, "who leads", string(l.Kvs[0].Value), "a2")
			must(t, a.Resign(e.ctx))
			must(t, <-got)
			want(t, "seen", string((<-seen).Kvs[0].Value), "b")
			fails(t, "proclaim what one does not lead", a.Proclaim(e.ctx, "x"), concurrency.ErrElectionNotLeader)
		}},
		{"transactional memory", func(t *testing.T, e *env) {
			e.put("from", "1000")
			e.put("to", "0")
			var done sync.WaitGroup
			for _, level := range []concurrency.Isolation{concurrency.SerializableSnapshot, concurrency.Serializable, concurrency.SerializableSnapshot} {
				c := e.another()
				done.Go(func() {
					for range 10 {
						_, err := concurrency.NewSTM(c, func(s concurrency.STM) error {
							var from, to int
							if _, err := fmt.Sscan(s.Get(e.key("from")), &from); err != nil {
								return err
							}
							if _, err := fmt.Sscan(s.Get(e.key("to")), &to); err != nil {
								return err
							}
							s.Put(e.key("from"), fmt.Sprint(from-1))
							s.Put(e.key("to"), fmt.Sprint(to+1))
							return nil
						}, concurrency.WithAbortContext(e.ctx), concurrency.WithIsolation(level))
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
			done.Wait()
			want(t, "what was moved", []string{e.get("from"), e.get("to")}, "[970 30]")
		}},
		{"recipes", func(t *testing.T, e *env) {
			q := recipe.NewQueue(e.Client, e.key("queue"))
			for i := range 5 {
				must(t, q.Enqueue(fmt.Sprint(i)))
			}
			for i := range 5 {
				v, err := q.Dequeue()
				must(t, err)
				want(t, "in order", v, i)
			}
			p := recipe.NewPriorityQueue(e.Client, e.key("priority"))
			must(t, p.Enqueue("low", 9))
			must(t, p.Enqueue("high", 1))
			v, err := p.Dequeue()
			must(t, err)
			want(t, "by priority", v, "high")
			b := recipe.NewBarrier(e.Client, e.key("barrier"))
			must(t, b.Hold())
			got := make(chan error, 1)
			other := recipe.NewBarrier(e.another(), e.key("barrier"))
			go func() { got <- other.Wait() }()
			must(t, b.Release())
			must(t, <-got)
			var done sync.WaitGroup
			for range 3 {
				d := recipe.NewDoubleBarrier(e.session(), e.key("double"), 3)
				done.Go(func() {
					if err := errors.Join(d.Enter(), d.Leave()); err != nil {
						t.Error(err)
					}
				})
			}
			done.Wait()
			rw := recipe.NewRWMutex(e.session(), e.key("rw"))
			must(t, rw.RLock())
			more := recipe.NewRWMutex(e.session(), e.key("rw"))
			must(t, more.RLock())
			writes := make(chan error, 1)
			writer := recipe.NewRWMutex(e.session(), e.key("rw"))
			go func() { writes <- writer.Lock() }()
			must(t, rw.RUnlock())
			must(t, more.RUnlock())
			must(t, <-writes)
			must(t, writer.Unlock())
		}},
		{"a session is orphaned", func(t *testing.T, e *env) {
			l, err := e.Grant(e.ctx, 600)
			must(t, err)
			s := e.session(concurrency.WithLease(l.ID))
			s.Orphan()
			<-s.Done()
			left, err := e.TimeToLive(e.ctx, l.ID)
			must(t, err)
			want(t, "its lease is there", left.TTL > 0, true)
		}},
		{"a wait that is given up", func(t *testing.T, e *env) {
			waits := e.session()
			a, b := concurrency.NewMutex(e.session(), e.key("m")), concurrency.NewMutex(waits, e.key("m"))
			must(t, a.Lock(e.ctx))
			ctx, cancel := context.WithCancel(e.ctx)
			got := make(chan error, 1)
			r, err := e.Get(e.ctx, a.Key())
			must(t, err)
			w := e.Watch(e.ctx, e.key("m"), clientv3.WithPrefix(), clientv3.WithRev(r.Kvs[0].ModRevision+1)) // its member may be behind
			go func() { got <- b.Lock(ctx) }()
			e.events(w, 1) // it waits in line
			cancel()
			fails(t, "the wait", <-got, context.Canceled)
			must(t, waits.Close()) // it may have been given up before its client knew that it waits
			e.events(w, 1)         // and it does so no more
			must(t, a.Unlock(e.ctx))
		}},
	})
}
