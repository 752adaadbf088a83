package wire

import (
	"qkv/index/kv"
	"qkv/internal/pack"
)

// LeaseRequest is the body of an op of leases.
type LeaseRequest struct {
	ID   int64  // of leases: the lowest id to list; of a grant: 0 lets the member choose
	TTL  int64  // of a grant
	Keys bool   // of time to live: also list the lease's keys
	From []byte // of time to live: list the keys from this one on
}

// flagKeys asks for a lease's keys.
const flagKeys = 1

// AppendLeaseBody appends the body of an op of leases.
func AppendLeaseBody(dst []byte, op Op, l *LeaseRequest) []byte {
	dst = pack.AppendInt(dst, l.ID)
	switch op {
	case OpGrant:
		dst = pack.AppendInt(dst, l.TTL)
	case OpTimeToLive:
		flags := uint64(0)
		if l.Keys {
			flags = flagKeys
		}
		dst = pack.AppendBytes(pack.AppendUint(dst, flags), l.From)
	}
	return dst
}

// LeaseBytes bounds the answer to a time to live with so many keys of so many bytes, or to a list of so many leases.
func LeaseBytes(keys, bytes int) int { return AnswerBytes + 2*9 + 9*keys + bytes }

// AppendGranted appends the frame that answers a grant.
func AppendGranted(dst []byte, id uint64, revision int64, l kv.Lease) []byte {
	const guess = 32
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 5), id), uint64(kv.OK))
	return endFrame(pack.AppendInt(pack.AppendInt(pack.AppendInt(dst, revision), l.ID), l.TTL), start, guess)
}

// AppendLeaseTime appends the frame that answers a keep-alive or a time to live.
func AppendLeaseTime(dst []byte, id uint64, t kv.LeaseTime, more bool, keys [][]byte) []byte {
	guess := 32
	for _, key := range keys {
		guess += 5 + len(key)
	}
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 6), id), uint64(kv.OK))
	dst = pack.AppendArray(pack.AppendBool(pack.AppendInt(pack.AppendInt(dst, t.TTL), t.Granted), more), len(keys))
	for _, key := range keys {
		dst = pack.AppendBytes(dst, key)
	}
	return endFrame(dst, start, guess)
}

// AppendLeases appends the frame that answers a list of leases.
func AppendLeases(dst []byte, id uint64, more bool, leases []int64) []byte {
	guess := 16 + 9*len(leases)
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendBool(pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 4), id), uint64(kv.OK)), more)
	dst = pack.AppendArray(dst, len(leases))
	for _, lease := range leases {
		dst = pack.AppendInt(dst, lease)
	}
	return endFrame(dst, start, guess)
}

// Granted reads the answer to a grant.
func (p *Response) Granted() (revision int64, l kv.Lease, err error) {
	r, s := p.body(3, 3)
	revision, l.ID, l.TTL = r.Int(), r.Int(), r.Int()
	return revision, l, p.end(&r, s)
}

// LeaseTime reads the answer to a keep-alive or a time to live. The keys are parts of the frame.
func (p *Response) LeaseTime() (t kv.LeaseTime, more bool, keys [][]byte, err error) {
	r, s := p.body(4, 4)
	t.TTL, t.Granted, more = r.Int(), r.Int(), r.Bool()
	keys = readArray(&r, (*pack.Reader).Bytes)
	return t, more, keys, p.end(&r, s)
}

// Leases reads the answer to a list of leases.
func (p *Response) Leases() (more bool, leases []int64, err error) {
	r, s := p.body(2, 2)
	more = r.Bool()
	leases = readArray(&r, (*pack.Reader).Int)
	return more, leases, p.end(&r, s)
}
