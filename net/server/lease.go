package server

import (
	"math"
	"math/rand/v2"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// ask adds a query of the leader's lease clock to the batch.
func (r *reader) ask(q *wire.Request, x slot, _ int) *kv.Error {
	b := &r.batch
	b.queries = append(b.queries, x)
	b.queried = append(b.queried, kv.LeaseAsk{Lease: x.lease.ID, Renew: rules[q.Op].renews})
	b.queryTimeout = max(b.queryTimeout, q.Timeout)
	return nil
}

// newLease completes the id and the TTL of a grant. A grant with a name gets the same id on every retry, at every member.
func (r *reader) newLease(q *wire.Request, x *slot) {
	l, config := &q.Lease, &r.s.conn.server.config
	l.TTL = max(l.TTL, config.LeaseLeast)
	if l.ID == 0 && q.Once.Session != 0 {
		l.ID = q.Once.Number()
	}
	for l.ID == 0 {
		id := 1 + rand.Int64N(math.MaxInt64)
		if _, taken := config.Member.View().Lease(id); !taken {
			l.ID = id
		}
	}
	x.lease = new(*l)
}

// appendGranted appends the answer to a grant.
func (w *writer) appendGranted(v *index.View, x *slot, d *kv.Completion) bool {
	l := kv.Lease{ID: x.lease.ID, TTL: x.lease.TTL}
	if d.Result.Resent { // another member may have raised its TTL to another value
		if granted, ok := v.Lease(l.ID); ok {
			l.TTL = granted.TTL
		}
	}
	w.out = wire.AppendGranted(w.out, x.id, d.Result.Revision, l)
	return true
}

// appendLeaseTime appends the answer to a keep-alive.
func (w *writer) appendLeaseTime(_ *index.View, x *slot, d *kv.Completion) bool {
	w.out = wire.AppendLeaseTime(w.out, x.id, *d.Lease)
	return true
}

// appendLeaseKeys appends the remaining time of a lease, with the next of its keys if the request asks for them.
func (w *writer) appendLeaseKeys(v *index.View, x *slot, d *kv.Completion) bool {
	page, size := wire.LeaseKeys{TTL: d.Lease.TTL, Granted: d.Lease.Granted}, 0
	if x.lease.Keys && d.Lease.TTL >= 0 {
		most := w.pageBytes()
		v.LeaseKeys(x.lease.ID, x.lease.From, func(key []byte) bool {
			if page.More = len(page.Keys) > 0 && (int64(size) >= most || len(page.Keys) == limits.LeaseKeys); !page.More {
				page.Keys, size = append(page.Keys, key), size+len(key)
			}
			return !page.More
		})
	}
	return w.appendValue(x.id, &page)
}

// readLeases looks at some more leases, and appends the next ones that a list for the client's user contains when their page is complete.
func (b *body) readLeases(to *buffer, v *index.View) bool {
	by, _ := b.conn.author(v) // permitsStep has checked it
	page, from, looked, left := &b.leases, &b.request.Ask.Lease.ID, 0, false
	v.Leases(*from, func(l kv.Lease) bool {
		*from, left = l.ID, looked == limits.LeaseKeys
		if looked++; !left && v.ListsLease(by.Name, l) {
			if page.More = len(page.All) == limits.LeaseKeys; !page.More {
				page.All = append(page.All, l.ID)
			}
		}
		return !left && !page.More
	})
	return !left && to.appendValue(b.request.ID, page)
}
