package wire

import (
	"qkv/index/kv"
	"qkv/internal/pack"
)

// LeaseKeys answers a time to live.
type LeaseKeys struct {
	TTL     int64    `msgpack:"t"`
	Granted int64    `msgpack:"g"`
	More    bool     `msgpack:"m"` // keys
	Keys    [][]byte `msgpack:"k"`
}

// AppendLeaseBody appends the body of a grant, a revocation or a keep-alive.
func AppendLeaseBody(dst []byte, op Op, l *LeaseRequest) []byte {
	dst = pack.AppendInt(dst, l.ID)
	if op == OpGrant {
		dst = pack.AppendInt(dst, l.TTL)
	}
	return dst
}

// AppendGranted appends the frame that answers a grant.
func AppendGranted(dst []byte, id uint64, revision int64, l kv.Lease) []byte {
	const guess = 32
	dst, start := beginAnswer(dst, id, 3, guess)
	return endFrame(pack.AppendInt(pack.AppendInt(pack.AppendInt(dst, revision), l.ID), l.TTL), start, guess)
}

// AppendLeaseTime appends the frame that answers a keep-alive.
func AppendLeaseTime(dst []byte, id uint64, t kv.LeaseTime) []byte {
	const guess = 32
	dst, start := beginAnswer(dst, id, 2, guess)
	return endFrame(pack.AppendInt(pack.AppendInt(dst, t.TTL), t.Granted), start, guess)
}

// Granted reads the answer to a grant.
func (p *Response) Granted() (revision int64, l kv.Lease, err error) {
	r, s := p.body(3, 3)
	revision, l.ID, l.TTL = r.Int(), r.Int(), r.Int()
	return revision, l, p.end(&r, s)
}

// LeaseTime reads the answer to a keep-alive.
func (p *Response) LeaseTime() (t kv.LeaseTime, err error) {
	r, s := p.body(2, 2)
	t.TTL, t.Granted = r.Int(), r.Int()
	return t, p.end(&r, s)
}
