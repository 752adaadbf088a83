package compat

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// keyBytes is qkv's limit of a key. Longer ones are a known difference, and have a test of their own.
const keyBytes = 4 << 10

// generator makes the steps of a sequence, from its seed and from what was answered so far.
type generator struct {
	*rand.Rand
	r       *run
	members int // of the side that has most

	leases []int64    // the sequence's numbers of leases that were granted
	chosen int64      // the last number of a lease whose id the server chose
	hashes bool       // ids that the servers choose are attached to no key, so that hashes agree
	auth   *authModel // users and roles of the sequence; nil: it has none
}

// chosenBase is where the numbers of leases begin whose ids the servers choose.
const chosenBase = 1 << 40

func newGenerator(seed uint64, r *run, members int) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), r: r, members: members, chosen: chosenBase}
	g.hashes = g.IntN(4) > 0
	return g
}

type weight struct {
	kind   string
	weight int
}

// weights are how often each kind is taken, of their sum.
var weights = []weight{
	{kindRange, 22},
	{kindRangeStream, 6},
	{kindPut, 20},
	{kindDelete, 9},
	{kindTxn, 18},
	{kindCompact, 2},
	{kindGrant, 4},
	{kindRevoke, 2},
	{kindKeepAlive, 3},
	{kindTTL, 3},
	{kindLeases, 2},
	{kindHashKV, 3},
	{kindWatch, 6},
	{kindClose, 1},
}

func (g *generator) next() op {
	all := weights
	if g.auth != nil {
		all = slices.Concat(weights, g.auth.weights())
	}
	sum := 0
	for _, w := range all {
		sum += w.weight
	}
	n := g.IntN(sum)
	for _, w := range all {
		if n -= w.weight; n < 0 {
			return g.withUser(g.make(w.kind))
		}
	}
	panic("the weights do not add up")
}

func (g *generator) make(kind string) op {
	o := op{kind: kind}
	if g.members > 1 {
		o.member = g.IntN(g.members)
	}
	switch kind {
	case kindRange, kindRangeStream:
		o.request = g.rangeRequest(kind == kindRangeStream)
	case kindPut:
		o.request = g.put()
	case kindDelete:
		o.request = g.deletion()
	case kindTxn:
		t := g.txn(3)
		if g.one(12) {
			t = g.putThenDelete()
		}
		respect(t, deletions(t, nil))
		o.request = t
	case kindCompact:
		o.request = g.compaction()
	case kindGrant:
		o.request, o.as = g.grant()
	case kindRevoke:
		o.request = &pb.LeaseRevokeRequest{ID: g.lease(3)}
	case kindKeepAlive:
		o.request = &pb.LeaseKeepAliveRequest{ID: g.lease(4)}
	case kindTTL:
		o.request = &pb.LeaseTimeToLiveRequest{ID: g.lease(4), Keys: g.one(2)}
	case kindLeases:
		o.request = new(pb.LeaseLeasesRequest)
	case kindHashKV:
		o.request = g.hash()
	case kindWatch:
		o.stream = 1 + g.IntN(4)
		o.request = g.watch(o.stream)
	case kindClose:
		o.stream = 1 + g.IntN(4)
		if g.IntN(4) > 0 { // streams should live for a while
			return g.make(kindPut)
		}
	default:
		o.request = g.authRequest(kind)
	}
	return o
}

// one is true once in n times.
func (g *generator) one(n int) bool { return g.IntN(n) == 0 }

func pick[T any](g *generator, all ...T) T { return all[g.IntN(len(all))] }

var keys = []string{
	"a", "b", "c", "d", "e", "a/1", "a/2", "a/3", "b/1", "b/2", "\x00", "\x00\x01", "\xff", "\xff\xff", "a\x00", "Z",
}

func (g *generator) key() []byte {
	switch g.IntN(60) {
	case 0:
		return nil
	case 1:
		key := make([]byte, 1+g.IntN(9))
		for i := range key {
			key[i] = byte(g.IntN(256))
		}
		return key
	case 2:
		return bytes.Repeat([]byte{'k'}, pick(g, 255, 256, 1000, keyBytes))
	}
	return []byte(pick(g, keys...))
}

// someKey is never empty.
func (g *generator) someKey() []byte { return []byte(pick(g, keys...)) }

// end is the end of a range. With users no range has its end at or before its key: whether such a range is permitted depends on the shape
// of etcd's tree of permissions.
func (g *generator) end(key []byte) []byte {
	end := g.anyEnd(key)
	if g.auth != nil && !bytes.Equal(end, []byte{0}) && bytes.Compare(end, key) <= 0 {
		return nil
	}
	return end
}

func (g *generator) anyEnd(key []byte) []byte {
	switch g.IntN(12) {
	case 0, 1, 2, 3, 4:
		return nil
	case 5, 6:
		return []byte{0}
	case 7:
		return []byte(clientv3.GetPrefixRangeEnd(string(key)))
	case 8:
		return append(bytes.Clone(key), 0)
	case 9:
		return key
	}
	return g.key()
}

func (g *generator) value() []byte {
	switch g.IntN(400) {
	case 0:
		return make([]byte, pick(g, 1572864, 1573000, 1600000)) // more than one request may have
	case 1:
		return make([]byte, pick(g, 2200000, 2097152)) // more than one message may have
	case 2:
		return bytes.Repeat([]byte{'v'}, pick(g, 1572000, 70000))
	case 3:
		return make([]byte, 2097152+g.IntN(400))
	}
	if g.one(5) {
		return nil
	}
	value := make([]byte, g.IntN(5))
	for i := range value {
		value[i] = byte('a' + g.IntN(3))
	}
	return value
}

// at is a revision to read at: usually the newest, often one in the past, sometimes one that does not exist.
func (g *generator) at() int64 {
	switch g.IntN(16) {
	case 0, 1, 2, 3, 4:
		return max(g.r.compacted, 0) + g.Int64N(g.r.revision-max(g.r.compacted, 0)+1)
	case 5:
		return pick(g, g.r.compacted, g.r.compacted-1, g.r.compacted+1)
	case 6:
		return pick(g, g.r.revision, g.r.revision+1, g.r.revision+2)
	case 7:
		return pick(g, -1, math.MinInt64, math.MaxInt64, g.r.revision+1000)
	}
	return 0
}

func (g *generator) bound() int64 {
	if g.IntN(6) > 0 {
		return 0
	}
	return pick(g, g.at(), g.r.revision-g.Int64N(20))
}

func (g *generator) rangeRequest(stream bool) *pb.RangeRequest {
	r := &pb.RangeRequest{Key: g.key(), Revision: g.at()}
	r.RangeEnd = g.end(r.Key)
	if g.one(3) {
		r.Limit = pick[int64](g, 1, 2, 3, 5, 10, 1000, -1, math.MaxInt64)
	}
	if rare := !stream || g.one(8); rare && g.one(2) {
		r.SortOrder = pb.RangeRequest_SortOrder(g.IntN(3))
		r.SortTarget = pb.RangeRequest_SortTarget(g.IntN(5))
		if g.one(20) {
			r.SortOrder = pick[pb.RangeRequest_SortOrder](g, 3, -1, 100)
		}
		if g.one(20) {
			r.SortTarget = pick[pb.RangeRequest_SortTarget](g, 5, -1, 100)
		}
		if stream && r.SortOrder == pb.RangeRequest_NONE {
			r.SortTarget = pb.RangeRequest_KEY
		}
	}
	r.Serializable = g.members == 1 && g.one(4)
	r.KeysOnly, r.CountOnly = g.one(6), g.one(8)
	if !stream || g.one(10) {
		r.MinModRevision, r.MaxModRevision = g.bound(), g.bound()
		r.MinCreateRevision, r.MaxCreateRevision = g.bound(), g.bound()
	}
	return r
}

func (g *generator) put() *pb.PutRequest {
	p := &pb.PutRequest{Key: g.key(), Value: g.value(), PrevKv: g.one(3)}
	if g.one(4) {
		p.Lease = g.attachable()
	}
	if p.IgnoreValue = g.one(10); p.IgnoreValue && g.IntN(3) > 0 {
		p.Value = nil
	}
	if p.IgnoreLease = g.one(10); p.IgnoreLease && g.IntN(3) > 0 {
		p.Lease = 0
	}
	return p
}

func (g *generator) deletion() *pb.DeleteRangeRequest {
	d := &pb.DeleteRangeRequest{Key: g.key(), PrevKv: g.one(3)}
	if d.RangeEnd = g.end(d.Key); len(d.RangeEnd) == 1 && g.IntN(4) > 0 {
		d.RangeEnd = nil // not all of it each time
	}
	return d
}

func (g *generator) compare() *pb.Compare {
	c := &pb.Compare{
		Key: g.key(), Result: pb.Compare_CompareResult(g.IntN(4)), Target: pb.Compare_CompareTarget(g.IntN(5)),
	}
	if g.one(6) {
		c.RangeEnd = g.end(c.Key)
	}
	switch c.Target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: pick[int64](g, 0, 1, 2, 3, -1)}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: pick(g, 0, g.r.revision-g.Int64N(30))}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: pick(g, 0, g.r.revision-g.Int64N(30))}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: pick(g, nil, []byte("a"), []byte("b"), []byte("ab"))}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: pick(g, 0, g.explicit())}
	}
	switch g.IntN(40) {
	case 0:
		c.TargetUnion = nil
	case 1:
		c.Result = pick[pb.Compare_CompareResult](g, 4, -1)
	case 2:
		c.Target = pick[pb.Compare_CompareTarget](g, 5, -1)
	case 3:
		c.TargetUnion = &pb.Compare_Version{Version: 1} // may be another target's
	}
	return c
}

func (g *generator) txn(depth int) *pb.TxnRequest {
	t := new(pb.TxnRequest)
	for range g.IntN(3) {
		t.Compare = append(t.Compare, g.compare())
	}
	for range g.IntN(4) {
		t.Success = append(t.Success, g.operation(depth))
	}
	for range g.IntN(4) {
		t.Failure = append(t.Failure, g.operation(depth))
	}
	if depth == 3 && g.one(25) {
		get := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("a")}}}
		many := make([]*pb.RequestOp, pick(g, 128, 129, 127, 120))
		for i := range many {
			many[i] = get
		}
		if nested := g.operation(2); g.one(2) {
			many[0] = nested
		}
		t.Success = many
	}
	return t
}

func (g *generator) operation(depth int) *pb.RequestOp {
	switch n := g.IntN(40); {
	case n == 0:
		return new(pb.RequestOp)
	case n < 12:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: g.rangeRequest(false)}}
	case n < 18:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: g.deletion()}}
	case n < 26 && depth > 0:
		return nested(g.txn(depth - 1))
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: g.put()}}
}

// deletions are all of a transaction's, whichever way it goes.
func deletions(t *pb.TxnRequest, all []*pb.DeleteRangeRequest) []*pb.DeleteRangeRequest {
	for _, one := range slices.Concat(t.Success, t.Failure) {
		if d := one.GetRequestDeleteRange(); d != nil {
			all = append(all, d)
		}
		if t := one.GetRequestTxn(); t != nil {
			all = deletions(t, all)
		}
	}
	return all
}

// respect makes puts set what they would ignore, of keys that the transaction may have deleted before. Etcd looks whether they are
// there before it begins, and dies when they are not any more.
func respect(t *pb.TxnRequest, deleted []*pb.DeleteRangeRequest) {
	for _, one := range slices.Concat(t.Success, t.Failure) {
		if t := one.GetRequestTxn(); t != nil {
			respect(t, deleted)
		}
		p := one.GetRequestPut()
		if p == nil || !p.IgnoreValue && !p.IgnoreLease {
			continue
		}
		for _, d := range deleted {
			open := len(d.RangeEnd) == 1 && d.RangeEnd[0] == 0
			if bytes.Equal(p.Key, d.Key) || bytes.Compare(p.Key, d.Key) > 0 && (open || bytes.Compare(p.Key, d.RangeEnd) < 0) {
				p.IgnoreValue, p.IgnoreLease = false, false
			}
		}
	}
}

func nested(t *pb.TxnRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: t}}
}

// putThenDelete is a transaction with one that puts a key, and later ones that delete it.
func (g *generator) putThenDelete() *pb.TxnRequest {
	key := g.someKey()
	one := func(o *pb.RequestOp) *pb.RequestOp {
		t := &pb.TxnRequest{Success: []*pb.RequestOp{o}, Failure: []*pb.RequestOp{o}}
		if g.one(3) {
			t.Compare = append(t.Compare, g.compare())
		}
		return nested(t)
	}
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: g.value(), PrevKv: g.one(2)}}}
	del := func() *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: key, PrevKv: g.one(2)}}}
	}
	t := &pb.TxnRequest{Success: []*pb.RequestOp{one(put), one(del())}}
	if g.one(3) {
		t.Success = append(t.Success, one(del()))
	}
	if g.one(3) {
		read := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}}
		t.Success = append(t.Success[:1:1], append([]*pb.RequestOp{read}, t.Success[1:]...)...)
	}
	return t
}

func (g *generator) compaction() *pb.CompactionRequest {
	c := &pb.CompactionRequest{Physical: g.IntN(5) > 0}
	switch g.IntN(8) {
	case 0:
		c.Revision = pick(g, 0, 1, -1, math.MaxInt64, g.r.revision+1)
	case 1:
		c.Revision = g.r.compacted
	case 2:
		c.Revision = g.r.revision
	default: // most keep some of the history
		c.Revision = max(g.r.compacted, 0) + g.Int64N((g.r.revision-max(g.r.compacted, 0))/2+1)
	}
	if g.r.compacted < 0 {
		c.Revision = max(c.Revision, 1)
	}
	return c
}

func (g *generator) grant() (request *pb.LeaseGrantRequest, as int64) {
	request = &pb.LeaseGrantRequest{TTL: pick[int64](g, 1000, 5000, 100000, 9_000_000_000)}
	switch g.IntN(20) {
	case 0:
		request.TTL = pick[int64](g, 9_000_000_001, math.MaxInt64)
	case 1:
		if g.auth == nil { // to end it takes an administrator
			request.TTL = pick[int64](g, 0, -1, 1, 2, 60, math.MinInt64)
		}
	}
	if g.one(6) {
		g.chosen++
		g.leases = append(g.leases, g.chosen)
		return request, g.chosen
	}
	request.ID = g.explicit()
	if request.TTL >= shortTTL && request.TTL <= 9_000_000_000 {
		g.leases = append(g.leases, request.ID)
	}
	return request, 0
}

// explicit is an id of a lease that a client chooses.
func (g *generator) explicit() int64 {
	if g.one(10) {
		return pick[int64](g, -1, math.MinInt64, math.MaxInt64, -5)
	}
	return 1 + g.Int64N(12)
}

// lease is the number of a lease, once in n times of one that need not exist.
func (g *generator) lease(n int) int64 {
	if len(g.leases) == 0 || g.one(n) {
		return pick(g, 0, 4711, g.explicit())
	}
	return pick(g, g.leases...)
}

// attachable is a lease for keys.
func (g *generator) attachable() int64 {
	if n := g.lease(12); n < chosenBase || n > g.chosen || !g.hashes {
		return n
	}
	return g.explicit()
}

func (g *generator) hash() *pb.HashKVRequest {
	h := &pb.HashKVRequest{Revision: g.at()}
	if !g.hashes {
		// What only hashes differ in: revisions that are refused.
		h.Revision = pick(g, g.r.revision+1, math.MaxInt64)
	}
	if g.r.loose && h.Revision <= g.r.compacted || g.r.compactions[h.Revision] {
		h.Revision = 0
	}
	return h
}

func (g *generator) watch(stream int) *pb.WatchRequest {
	mine := g.r.streams[stream]
	switch n := g.IntN(20); {
	case n < 4 && len(mine) > 0, len(mine) > 12:
		id := pick(g, mine...).id
		for _, w := range mine {
			// What a second end answers is for a test of its own.
			if w.id == id && w.over {
				id = 4711
			}
		}
		if g.one(8) {
			id = pick[int64](g, 4711, -1, math.MaxInt64)
		}
		return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}}
	case n < 7:
		return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: new(pb.WatchProgressRequest)}}
	case n == 7:
		return new(pb.WatchRequest)
	}
	c := &pb.WatchCreateRequest{Key: g.key(), PrevKv: g.one(2), ProgressNotify: g.one(4), Fragment: g.one(4)}
	c.RangeEnd = g.end(c.Key)
	switch g.IntN(8) {
	case 0, 1, 2:
		c.StartRevision = max(g.r.compacted, 1) + g.Int64N(g.r.revision-max(g.r.compacted, 1)+1)
	case 3:
		if stream == 4 { // one of the future keeps the progress of its stream back
			c.StartRevision = g.r.revision + 1 + g.Int64N(6)
		}
	case 4:
		c.StartRevision = pick(g, g.r.compacted, g.r.compacted-1, -1, 1, g.r.compacted+1)
	}
	if stream == 4 && c.StartRevision <= g.r.revision {
		c.StartRevision = 0
	}
	if g.r.loose && c.StartRevision == g.r.compacted {
		c.StartRevision = 0
	}
	for range g.IntN(2) * g.IntN(3) {
		c.Filters = append(c.Filters, pb.WatchCreateRequest_FilterType(g.IntN(3)))
	}
	if g.one(4) {
		c.WatchId = pick[int64](g, 1, 2, 5, 77, -7, math.MinInt64)
	}
	return createRequest(c)
}
