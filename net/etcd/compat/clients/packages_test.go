package clients

import (
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/naming/resolver"
	"go.etcd.io/etcd/client/v3/ordering"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func TestPackages(t *testing.T) {
	each(t, []story{
		{"namespace", func(t *testing.T, e *env) {
			kv, watcher, lease := namespace.NewKV(e.KV, e.prefix), namespace.NewWatcher(e.Watcher, e.prefix), namespace.NewLease(e.Lease, e.prefix)
			w := watcher.Watch(e.ctx, "", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
			<-w
			l, err := lease.Grant(e.ctx, 600)
			must(t, err)
			_, err = kv.Put(e.ctx, "a", "1", clientv3.WithLease(l.ID))
			must(t, err)
			r, err := kv.Txn(e.ctx).If(clientv3.Compare(clientv3.Value("a"), "=", "1")).Then(clientv3.OpPut("b", "2"), clientv3.OpGet("", clientv3.WithPrefix())).Commit()
			must(t, err)
			want(t, "its keys", []any{r.Succeeded, string(r.Responses[1].GetResponseRange().Kvs[1].Key)}, []any{true, "b"})
			want(t, "its events", kinds(e.events(w, 2)), "[put a=1 put b=2]")
			left, err := lease.TimeToLive(e.ctx, l.ID, clientv3.WithAttachedKeys())
			must(t, err)
			want(t, "its lease's keys", string(left.Keys[0]), "a")
			want(t, "the whole name", e.get("b"), "2")
			all, err := kv.Get(e.ctx, "\x00", clientv3.WithFromKey())
			must(t, err)
			want(t, "all of it", len(all.Kvs), 2)
			d, err := kv.Delete(e.ctx, "", clientv3.WithPrefix())
			must(t, err)
			want(t, "all of it is deleted", d.Deleted, 2)
		}},
		{"ordering", func(t *testing.T, e *env) {
			violations := 0
			c := e.another()
			kv := ordering.NewKV(c.KV, func(op clientv3.Op, response clientv3.OpResponse, prev int64) error {
				violations++
				return ordering.NewOrderViolationSwitchEndpointClosure(c)(op, response, prev)
			})
			for i := range 20 {
				rev := e.put("a", fmt.Sprint(i))
				r, err := kv.Get(e.ctx, e.key("a"))
				must(t, err)
				want(t, "not older than the last", r.Header.Revision >= rev, true)
				r, err = kv.Get(e.ctx, e.key("a"), clientv3.WithSerializable())
				must(t, err)
				want(t, "nor from a member that is behind", string(r.Kvs[0].Value), i)
			}
			t.Logf("%d answers from members behind were asked again", violations)
		}},
		{"leasing", func(t *testing.T, e *env) {
			a, closeA, err := leasing.NewKV(e.another(), e.prefix+"leases/")
			must(t, err)
			defer closeA()
			b, closeB, err := leasing.NewKV(e.another(), e.prefix+"leases/")
			must(t, err)
			defer closeB()
			e.put("a", "1")
			for range 3 { // the second one is from its cache
				r, err := a.Get(e.ctx, e.key("a"))
				must(t, err)
				want(t, "what it has", string(r.Kvs[0].Value), "1")
			}
			_, err = b.Put(e.ctx, e.key("a"), "2") // takes the lease away from a
			must(t, err)
			r, err := a.Get(e.ctx, e.key("a"))
			must(t, err)
			want(t, "what the other one has written", string(r.Kvs[0].Value), "2")
			x, err := a.Txn(e.ctx).If(clientv3.Compare(clientv3.Value(e.key("a")), "=", "2")).Then(clientv3.OpPut(e.key("b"), "3"), clientv3.OpGet(e.key("a"))).Commit()
			must(t, err)
			want(t, "a transaction", x.Succeeded, true)
			d, err := b.Delete(e.ctx, e.key(""), clientv3.WithRange(e.key("c")))
			must(t, err)
			want(t, "deleted", d.Deleted, 2)
			r, err = a.Get(e.ctx, e.key("a"))
			must(t, err)
			want(t, "what is left", len(r.Kvs), 0)
		}},
		{"mirror", func(t *testing.T, e *env) {
			for i := range 2500 { // more than one of its pages
				if i%100 == 0 {
					ops := make([]clientv3.Op, 100)
					for j := range ops {
						ops[j] = clientv3.OpPut(e.key(fmt.Sprintf("%04d", i+j)), "v")
					}
					_, err := e.Txn(e.ctx).Then(ops...).Commit()
					must(t, err)
				}
			}
			s := mirror.NewSyncer(e.Client, e.prefix, 0)
			pages, errs := s.SyncBase(e.ctx)
			n := 0
			for page := range pages {
				n += len(page.Kvs)
			}
			must(t, <-errs)
			want(t, "the keys that it began with", n, 2500)
			updates := s.SyncUpdates(e.ctx)
			e.put("new", "1")
			want(t, "what came later", kinds(e.events(updates, 1)), "[put "+e.key("new")+"=1]")
		}},
		{"naming", func(t *testing.T, e *env) {
			m, err := endpoints.NewManager(e.Client, e.key("service"))
			must(t, err)
			w, err := m.NewWatchChannel(e.ctx)
			must(t, err)
			address := e.cluster.Members[0].Client
			must(t, m.AddEndpoint(e.ctx, e.key("service")+"/one", endpoints.Endpoint{Addr: address}))
			u := <-w
			want(t, "what was added", []any{u[0].Op, u[0].Endpoint.Addr}, []any{endpoints.Add, address})
			for n := 0; n != 1; { // it may ask a member that is behind
				all, err := m.List(e.ctx)
				must(t, err)
				n = len(all)
			}
			b, err := resolver.NewBuilder(e.Client)
			must(t, err)
			conn, err := grpc.NewClient("etcd:///"+e.key("service"), grpc.WithResolvers(b), grpc.WithTransportCredentials(insecure.NewCredentials()))
			must(t, err)
			defer conn.Close()
			h, err := healthpb.NewHealthClient(conn).Check(e.ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
			must(t, err)
			want(t, "the health of who was found", h.Status, healthpb.HealthCheckResponse_SERVING)
			must(t, m.DeleteEndpoint(e.ctx, e.key("service")+"/one"))
			u = <-w
			want(t, "what was deleted", u[0].Op, endpoints.Delete)
		}},
	})
}
