package server

import (
	"math"
	"math/rand/v2"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// newLeaseRead copies a lease request, whose bytes are parts of the frame.
func newLeaseRead(q *wire.LeaseRequest) *wire.LeaseRequest {
	own := *q
	own.From = append([]byte{}, own.From...)
	return &own
}

// addAsk adds a question to the leader's lease clock to the batch.
func (s *stream) addAsk(q *wire.Request, x slot) {
	b := &s.batch
	b.asks = append(b.asks, x)
	b.leases = append(b.leases, kv.LeaseAsk{Lease: x.lease.ID, Renew: q.Op == wire.OpKeepAlive})
	b.askTimeout = max(b.askTimeout, q.Timeout)
}

// newLease returns the lease for a grant, with its id and TTL. A grant with a name gets the same id on every retry, at every
// member.
func (s *stream) newLease(q *wire.Request) kv.Lease {
	l := kv.Lease{ID: q.Lease.ID, TTL: max(q.Lease.TTL, s.conn.server.config.LeaseLeast)}
	if l.ID == 0 && q.Once.Session != 0 {
		l.ID = q.Once.Number()
	}
	for l.ID == 0 {
		id := 1 + rand.Int64N(math.MaxInt64)
		if _, taken := s.conn.server.config.Member.View().Lease(id); !taken {
			l.ID = id
		}
	}
	return l
}

// appendLease appends the answer to an op of leases. It returns false if the answer does not fit after the buffered answers.
func (b *buffer) appendLease(x *slot, v *index.View, d *kv.Completion, c *conn) bool {
	switch x.op {
	case wire.OpGrant:
		if !b.fit(wire.LeaseBytes(0, 0)) {
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
	default:
		return b.appendLeaseTime(x, v, *d.Lease)
	}
	return true
}

// appendLeaseTime appends the remaining time of a lease, with the next of its keys if the request asks for them.
func (b *buffer) appendLeaseTime(x *slot, v *index.View, left kv.LeaseTime) bool {
	var keys [][]byte
	size, more := 0, false
	if x.lease.Keys && left.TTL >= 0 {
		most := b.pageBytes()
		v.LeaseKeys(x.lease.ID, x.lease.From, func(key []byte) bool {
			if more = len(keys) > 0 && (int64(size) >= most || len(keys) == limits.LeaseKeys); !more {
				keys = append(keys, key)
				size += len(key)
			}
			return !more
		})
	}
	if size := wire.LeaseBytes(len(keys), size); !b.fit(size) {
		return len(b.out) == 0 && b.appendNoRoom(x.id, size)
	}
	b.out = wire.AppendLeaseTime(b.out, x.id, left, more, keys)
	return true
}

// leaseKeys is the access to the keys of a lease.
type leaseKeys int64

// Touches implements index.Toucher.
func (l leaseKeys) Touches(f func(kv.Touch) bool) bool { return f(kv.Touch{Lease: int64(l)}) }

// appendLeases appends the next leases. The client's user must be permitted to read the keys of each.
func (b *buffer) appendLeases(id uint64, v *index.View, from int64, c *conn) bool {
	var all []int64
	more := false
	if v.Auth().Enabled() {
		if err := c.permitsLeases(v, from); err != nil {
			return b.appendError(id, err.Code, err.Message)
		}
	}
	v.Leases(from, func(l kv.Lease) bool {
		if more = len(all) == limits.LeaseKeys; !more {
			all = append(all, l.ID)
		}
		return !more
	})
	if size := wire.LeaseBytes(len(all), 0); !b.fit(size) {
		return len(b.out) == 0 && b.appendNoRoom(id, size)
	}
	b.out = wire.AppendLeases(b.out, id, more, all)
	return true
}

// permitsLeases returns why the connection's user may not list the next leases, or nil.
func (c *conn) permitsLeases(v *index.View, from int64) (err *kv.Error) {
	listed := 0
	v.Leases(from, func(l kv.Lease) bool {
		err = c.permits(v, kv.AccessRead, leaseKeys(l.ID))
		listed++
		return err == nil && listed < limits.LeaseKeys
	})
	return err
}
