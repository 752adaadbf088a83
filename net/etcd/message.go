package etcd

import (
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"qkv/index/kv"
	"qkv/internal/buffers"
)

// codec is protobuf's codec that also takes answers.
type codec struct{ metrics *metrics }

func (c codec) Name() string { return libraryCodec.Name() }

// etcdMemberBytes bounds a request that adds or updates a member. Each address in it may be two bytes and becomes 50.
const etcdMemberBytes = 64 << 10

func (c codec) Unmarshal(data mem.BufferSlice, to any) error {
	c.metrics.received.Add(float64(data.Len()))
	switch to := to.(type) {
	case decoder:
		return to.decode(data.Materialize())
	case *pb.MemberAddRequest, *pb.MemberUpdateRequest:
		if data.Len() > etcdMemberBytes {
			return rpctypes.ErrGRPCRequestTooLarge
		}
	case *putRequest:
		to.from = buffers.Get(data.Len())[:data.Len()]
		data.CopyTo(to.from)
		if decodeBytes(to.from, &to.Key, &to.Value) {
			return nil
		}
	case *pb.RangeRequest:
		if decodeBytes(data.Materialize(), &to.Key, &to.RangeEnd) {
			return nil
		}
	}
	return libraryCodec.Unmarshal(data, to)
}

// libraryCodec is the codec of gRPC's library.
var libraryCodec = encoding.GetCodecV2(protocodec.Name)

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(from any) (out mem.BufferSlice, err error) {
	if a, ok := from.(bufferedAnswer); ok {
		out, err = a.buffers()
	} else { // of the health service
		out, err = libraryCodec.Marshal(from)
	}
	c.metrics.sent.Add(float64(out.Len()))
	return out, err
}

// putRequest is a put whose key and value lie in a pooled buffer, which is released after the answer, unless the put is refused.
type putRequest struct {
	pb.PutRequest
	from []byte
}

// decodeBytes decodes a message whose first fields are bytes, without a copy. It returns false for messages with other fields: those need
// the library, whose tables cost several times as much.
func decodeBytes(from []byte, fields ...*[]byte) bool {
	for len(from) > 0 {
		field, kind, tag := protowire.ConsumeTag(from)
		if tag < 0 || kind != protowire.BytesType || int(field) > len(fields) {
			return false
		}
		found, n := protowire.ConsumeBytes(from[tag:])
		if n < 0 {
			return false
		}
		*fields[field-1] = found[:len(found):len(found)]
		from = from[tag+n:]
	}
	return true
}

// Field numbers of the messages encoded by hand: etcd's rpc.proto and kv.proto.
const (
	headerCluster, headerMember, headerRevision, headerTerm = 1, 2, 3, 4

	putHeader = 1

	deleteHeader, deleteCount = 1, 2

	rangeHeader, rangeKVs, rangeMore, rangeCount = 1, 2, 3, 4

	streamRange = 1 // RangeStreamResponse.range_response

	pairKey, pairCreate, pairMod, pairVersion, pairValue, pairLease = 1, 2, 3, 4, 5, 6

	eventType, eventKV, eventPrev = 1, 2, 3

	leaseID, leaseTTL, leaseRemaining = 1, 2, 3
)

func appendInt(dst []byte, field protowire.Number, n int64) []byte {
	if n == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), uint64(n))
}

func appendBytes(dst []byte, field protowire.Number, b []byte) []byte {
	if len(b) == 0 {
		return dst
	}
	return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), b)
}

func sizeInt(n int64) int {
	if n == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(uint64(n)) // field numbers are below 16
}

func sizeBytes(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	return 1 + protowire.SizeBytes(len(b))
}

func sizePair(p *kv.KeyValue) int {
	return sizeBytes(p.Key) + sizeInt(p.CreateRevision) + sizeInt(p.ModRevision) + sizeInt(p.Version) + sizeBytes(p.Value) + sizeInt(p.Lease)
}

// appendPair appends a KeyValue as a field.
func appendPair(dst []byte, field protowire.Number, p *kv.KeyValue) []byte {
	return appendFields(protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.BytesType), uint64(sizePair(p))), p)
}

// appendFields appends the fields of a KeyValue.
func appendFields(dst []byte, p *kv.KeyValue) []byte {
	dst = appendInt(appendBytes(dst, pairKey, p.Key), pairCreate, p.CreateRevision)
	dst = appendInt(appendInt(dst, pairMod, p.ModRevision), pairVersion, p.Version)
	return appendInt(appendBytes(dst, pairValue, p.Value), pairLease, p.Lease)
}

// pairOf returns a KeyValue that shares the slices of p.
func pairOf(p *kv.KeyValue) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{
		Key: p.Key, Value: p.Value, CreateRevision: p.CreateRevision, ModRevision: p.ModRevision, Version: p.Version, Lease: p.Lease,
	}
}

func pairsOf(all []kv.KeyValue) []*mvccpb.KeyValue {
	pairs := make([]*mvccpb.KeyValue, len(all))
	for i := range all {
		pairs[i] = pairOf(&all[i])
	}
	return pairs
}

// headerBytes is the largest size of a header, as a field.
const headerBytes = 2 + 4*(1+10)

// appendHeader appends a header as a field.
func appendHeader(dst []byte, field protowire.Number, h *pb.ResponseHeader) []byte {
	size := sizeInt(int64(h.ClusterId)) + sizeInt(int64(h.MemberId)) + sizeInt(h.Revision) + sizeInt(int64(h.RaftTerm))
	dst = protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.BytesType), uint64(size))
	dst = appendInt(appendInt(dst, headerCluster, int64(h.ClusterId)), headerMember, int64(h.MemberId))
	return appendInt(appendInt(dst, headerRevision, h.Revision), headerTerm, int64(h.RaftTerm))
}

// pieceBytes is the size of the pieces of a long answer.
const pieceBytes = 256 << 10

// sizeField is the size that appendPair appends.
func sizeField(p *kv.KeyValue) int { return 1 + protowire.SizeBytes(sizePair(p)) }

// rangeAnswer is the answer to a range while its pairs are added. An answer of more than most bytes is only measured, to be encoded later.
type rangeAnswer struct {
	most   int // 0: encoded at any size
	cuts   []cut
	pieces message
	now    []byte // the last piece, still growing
	size   int

	measured bool // nothing is encoded: the bytes of some values are not read
}

func (a *rangeAnswer) add(p *kv.KeyValue) {
	need := sizeField(p)
	a.size += need
	if a.most > 0 {
		if n := len(a.cuts); n == 0 || int(a.cuts[n-1].bytes)+need > etcdPieceBytes {
			a.cuts = append(a.cuts, cut{})
		}
		last := &a.cuts[len(a.cuts)-1]
		last.pairs++
		last.bytes += int32(need)
	}
	if a.large() || a.measured {
		a.pieces, a.now = nil, nil
		return
	}
	if cap(a.now)-len(a.now) < need {
		a.close()
		a.now = make([]byte, 0, max(need, min(pieceBytes, max(1<<10, 2*a.size))))
	}
	a.now = appendPair(a.now, rangeKVs, p)
}

// large tells whether the answer is to be encoded later.
func (a *rangeAnswer) large() bool { return a.most > 0 && a.size > a.most }

// holds is its memory in bytes.
func (a *rangeAnswer) holds() int {
	if a.large() || a.measured {
		return 8 * len(a.cuts)
	}
	return a.size
}

func (a *rangeAnswer) close() {
	if len(a.now) > 0 {
		a.pieces = append(a.pieces, a.now)
	}
	a.now = nil
}

// finish returns the whole message. Without a header it is a chunk of a stream with further chunks.
func (a *rangeAnswer) finish(h *pb.ResponseHeader, more bool, count int64) message {
	a.close()
	head, tail := a.around(h, more, count)
	all := make(message, 0, len(a.pieces)+2)
	return append(append(append(all, head), a.pieces...), tail)
}

// around returns the bytes before and after the pairs.
func (a *rangeAnswer) around(h *pb.ResponseHeader, more bool, count int64) (head, tail []byte) {
	if h != nil {
		head = appendHeader(make([]byte, 0, headerBytes), rangeHeader, h)
	}
	return head, appendCount(make([]byte, 0, countBytes), more, count)
}

// countBytes bounds the bytes that appendCount appends.
const countBytes = 1 + 1 + 1 + 10

// appendCount appends the last fields of a range's answer.
func appendCount(dst []byte, more bool, count int64) []byte {
	if more {
		dst = appendInt(dst, rangeMore, 1)
	}
	return appendInt(dst, rangeCount, count)
}

// inStream wraps a range's message into a stream's message.
func (m message) inStream() message {
	head := protowire.AppendVarint(protowire.AppendTag(nil, streamRange, protowire.BytesType), uint64(m.size()))
	return append(message{head}, m...)
}
