package server

import (
	"math"
	"math/rand/v2"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// addLeaseQuery adds a query of the leader's lease clock to the batch.
func (r *reader) addLeaseQuery(q *wire.Request, x slot) {
	b := &r.batch
	b.queries = append(b.queries, x)
	b.queried = append(b.queried, kv.LeaseAsk{Lease: x.lease.ID, Renew: q.Op == wire.OpKeepAlive})
	b.queryTimeout = max(b.queryTimeout, q.Timeout)
}

// newLease returns the lease for a grant, with its id and TTL. A grant with a name gets the same id on every retry, at every
// member.
func (r *reader) newLease(q *wire.Request) kv.Lease {
	l := kv.Lease{ID: q.Lease.ID, TTL: max(q.Lease.TTL, r.s.conn.server.config.LeaseLeast)}
	if l.ID == 0 && q.Once.Session != 0 {
		l.ID = q.Once.Number()
	}
	for l.ID == 0 {
		id := 1 + rand.Int64N(math.MaxInt64)
		if _, taken := r.s.conn.server.config.Member.View().Lease(id); !taken {
			l.ID = id
		}
	}
	return l
}

// appendLease appends the answer to an op of leases. It returns false if the answer does not fit after the buffered answers.
func (b *buffer) appendLease(x *slot, v *index.View, d *kv.Completion, c *conn) bool {
	switch x.op {
	case wire.OpGrant:
		if !b.fit(wire.AnswerBytes) {
			return false
		}
		l := kv.Lease{ID: x.lease.ID, TTL: x.lease.TTL}
		if d.Result.Resent { // another member may have raised its TTL to another value
			if granted, ok := v.Lease(l.ID); ok {
				l.TTL = granted.TTL
			}
		}
		b.out = wire.AppendGranted(b.out, x.id, d.Result.Revision, l)
	case wire.OpLeases:
		return b.appendLeases(x.id, v, x.lease.ID, c)
	case wire.OpTimeToLive:
		return b.appendLeaseKeys(x, v, *d.Lease)
	default:
		if !b.fit(wire.AnswerBytes) {
			return false
		}
		b.out = wire.AppendLeaseTime(b.out, x.id, *d.Lease)
	}
	return true
}

// appendLeaseKeys appends the remaining time of a lease, with the next of its keys if the request asks for them.
func (b *buffer) appendLeaseKeys(x *slot, v *index.View, left kv.LeaseTime) bool {
	page, size := wire.LeaseKeys{TTL: left.TTL, Granted: left.Granted}, 0
	if x.lease.Keys && left.TTL >= 0 {
		most := b.pageBytes()
		v.LeaseKeys(x.lease.ID, x.lease.From, func(key []byte) bool {
			if page.More = len(page.Keys) > 0 && (int64(size) >= most || len(page.Keys) == limits.LeaseKeys); !page.More {
				page.Keys, size = append(page.Keys, key), size+len(key)
			}
			return !page.More
		})
	}
	return b.appendValue(x.id, &page)
}

// appendLeases appends the next of the leases that a list for the client's user contains.
func (b *buffer) appendLeases(id uint64, v *index.View, from int64, c *conn) bool {
	var page wire.List[int64]
	by, err := c.author(v)
	if err != nil {
		return b.appendError(id, err.Code, err.Message)
	}
	v.Leases(from, func(l kv.Lease) bool {
		if v.ListsLease(by.Name, l) {
			if page.More = len(page.All) == limits.LeaseKeys; !page.More {
				page.All = append(page.All, l.ID)
			}
		}
		return !page.More
	})
	return b.appendValue(id, &page)
}
