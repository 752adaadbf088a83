package clients

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestLease(t *testing.T) {
	each(t, []story{
		{"grant, use, revoke", func(t *testing.T, e *env) {
			l, err := e.Grant(e.ctx, 600)
			must(t, err)
			want(t, "its time", l.TTL, 600)
			e.put("a", "1", clientv3.WithLease(l.ID))
			last := e.put("b", "1", clientv3.WithLease(l.ID))
			left, err := e.TimeToLive(e.ctx, l.ID, clientv3.WithAttachedKeys())
			must(t, err)
			want(t, "what it has", []any{left.GrantedTTL, len(left.Keys), left.TTL > 0 && left.TTL <= 600}, []any{600, 2, true})
			all, err := e.Leases(e.ctx)
			must(t, err)
			found := false
			for _, one := range all.Leases {
				found = found || one.ID == l.ID
			}
			want(t, "it is among all", found, true)
			w := e.Watch(e.ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithRev(last+1)) // its member may be behind
			_, err = e.Revoke(e.ctx, l.ID)
			must(t, err)
			gone := e.events(w, 2)
			want(t, "one revision for both keys", gone[0].Kv.ModRevision, gone[1].Kv.ModRevision)
			_, err = e.Revoke(e.ctx, l.ID)
			fails(t, "revoke again", err, rpctypes.ErrLeaseNotFound)
			left, err = e.TimeToLive(e.ctx, l.ID)
			must(t, err)
			want(t, "what is left", left.TTL, -1)
		}},
		{"it ends by itself", func(t *testing.T, e *env) {
			var l *clientv3.LeaseGrantResponse
			var rev int64
			for rev == 0 { // on a host that stalls it may end before it has a key
				var err error
				l, err = e.Grant(e.ctx, 1)
				must(t, err)
				r, err := e.Put(e.ctx, e.key("a"), "1", clientv3.WithLease(l.ID))
				if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
					must(t, err)
					rev = r.Header.Revision
				}
			}
			w := e.Watch(e.ctx, e.key("a"), clientv3.WithRev(rev))
			want(t, "put, and delete", kinds(e.events(w, 2)), fmt.Sprintf("[put %s=1 delete %s=]", e.key("a"), e.key("a")))
			_, err := e.KeepAliveOnce(e.ctx, l.ID)
			fails(t, "keep it alive", err, rpctypes.ErrLeaseNotFound)
		}},
		{"kept alive", func(t *testing.T, e *env) {
			l, err := e.Grant(e.ctx, 3)
			must(t, err)
			e.put("a", "1", clientv3.WithLease(l.ID))
			ctx, cancel := context.WithCancel(e.ctx)
			defer cancel()
			begun := time.Now()
			kept, err := e.KeepAlive(ctx, l.ID)
			must(t, err)
			// Twice as long as its time, by the renewals that came: on a host that stalls the lease may end, and says so.
			for n := 0; time.Since(begun) < 6*time.Second; n++ {
				r, ok := <-kept
				if !ok {
					t.Skipf("not renewed in time after %d renewals: a stalled host", n)
				}
				want(t, "its time", r.TTL, 3)
			}
			want(t, "its key", e.get("a"), "1")
		}},
		{"too long", func(t *testing.T, e *env) {
			_, err := e.Grant(e.ctx, 10_000_000_000)
			fails(t, "too long", err, rpctypes.ErrLeaseTTLTooLarge)
		}},
		{"a key changes its lease", func(t *testing.T, e *env) {
			one, err := e.Grant(e.ctx, 600)
			must(t, err)
			other, err := e.Grant(e.ctx, 600)
			must(t, err)
			e.put("a", "1", clientv3.WithLease(one.ID))
			e.put("a", "2", clientv3.WithLease(other.ID))
			e.put("b", "1", clientv3.WithLease(one.ID))
			e.put("b", "2", clientv3.WithIgnoreLease())
			_, err = e.Revoke(e.ctx, one.ID)
			must(t, err)
			want(t, "what is left", []string{e.get("a"), e.get("b")}, "[2 ]")
			e.put("a", "3")
			_, err = e.Revoke(e.ctx, other.ID)
			must(t, err)
			want(t, "a key without one", e.get("a"), "3")
		}},
	})
}
