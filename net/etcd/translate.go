package etcd

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// bounds returns the bounds of a request's keys and values.
func (s *core) bounds() kv.Bounds {
	return kv.Bounds{Key: limits.KeyBytes, Value: limits.ValueBytes}
}

// requestOverhead is the overhead that etcd adds to a request before it checks the size: two tags, a length, and an id of 64 bits.
const requestOverhead = 20

// checkSize refuses requests that are too large; like etcd, after all other checks, also that of a token.
func (s *core) checkSize(ctx context.Context, m proto.Message) error {
	if proto.Size(m)+requestOverhead <= s.config.MaxRequestBytes {
		return nil
	}
	if v := s.config.Member.View(); v.Auth().Enabled() && s.callerOf(ctx).err != nil {
		return s.callerOf(ctx).err
	}
	return rpctypes.ErrGRPCRequestTooLarge
}

func refused(err *kv.Error) error {
	if err == nil {
		return nil
	}
	return statusOf(err)
}

func (s kvService) putOf(q *pb.PutRequest) (kv.Put, error) {
	p := kv.Put{
		Key: q.Key, Value: q.Value, Lease: q.Lease, PrevKV: q.PrevKv, IgnoreValue: q.IgnoreValue, IgnoreLease: q.IgnoreLease,
	}
	return p, refused(p.Check(s.bounds()))
}

func (s kvService) deleteOf(q *pb.DeleteRangeRequest) (kv.Delete, error) {
	d := kv.Delete{Key: q.Key, End: q.RangeEnd, PrevKV: q.PrevKv}
	return d, refused(d.Check(s.bounds()))
}

// rangeOf translates a range. As in etcd, a limit below 1 means no limit, and a revision below 1 the newest. In a transaction a negative
// revision counts as compacted.
func (s kvService) rangeOf(q *pb.RangeRequest, nested bool) (kv.Range, error) {
	r := kv.Range{
		Key: q.Key, End: q.RangeEnd, Revision: q.Revision, Limit: max(q.Limit, 0), Serializable: q.Serializable,
		KeysOnly: q.KeysOnly, CountOnly: q.CountOnly, Sort: kv.SortTarget(q.SortTarget), Order: kv.SortOrder(q.SortOrder),
		MinMod: q.MinModRevision, MaxMod: q.MaxModRevision, MinCreate: q.MinCreateRevision, MaxCreate: q.MaxCreateRevision,
	}
	// In a transaction, etcd compares with the compacted revision, which is -1 before the first compaction.
	if !nested || q.Revision == -1 && s.config.Member.View().Compacted() == 0 {
		r.Revision = max(q.Revision, 0)
	}
	switch {
	case len(q.Key) == 0:
		return r, rpctypes.ErrGRPCEmptyKey
	case pb.RangeRequest_SortOrder_name[int32(q.SortOrder)] == "", pb.RangeRequest_SortTarget_name[int32(q.SortTarget)] == "":
		return r, rpctypes.ErrGRPCInvalidSortOption
	}
	if sortsPage(q) {
		// The sort applies to the pairs within the limit, and one more.
		if r.Limit > 0 && r.Limit+1 > 0 {
			r.Limit++
		}
		r.Sort, r.KeysOnly = kv.SortByKey, r.KeysOnly && q.SortTarget != pb.RangeRequest_VALUE
	} else if q.SortOrder == pb.RangeRequest_NONE && q.SortTarget != pb.RangeRequest_KEY {
		r.Order = kv.SortAscend
	}
	checked := r
	checked.Revision = max(r.Revision, 0)
	return r, refused(checked.Check(s.bounds()))
}

// sortsPage tells whether a range has a sort target, no order and a limit: etcd then applies the limit first, and sorts the rest.
func sortsPage(q *pb.RangeRequest) bool {
	return q.SortOrder == pb.RangeRequest_NONE && q.SortTarget != pb.RangeRequest_KEY && q.Limit > 0 &&
		q.MinModRevision|q.MaxModRevision|q.MinCreateRevision|q.MaxCreateRevision == 0
}

// sortPage applies that sort to a result.
func sortPage(q *pb.RangeRequest, found *kv.RangeResult) {
	if !sortsPage(q) {
		return
	}
	sortPairs(found.KVs, q.SortTarget)
	if found.More = int64(len(found.KVs)) > q.Limit; found.More {
		found.KVs = found.KVs[:q.Limit]
	}
	if q.KeysOnly {
		for i := range found.KVs {
			found.KVs[i].Value = nil
		}
	}
}

// sortPairs sorts by a target other than the key.
func sortPairs(pairs []kv.KeyValue, by pb.RangeRequest_SortTarget) {
	slices.SortStableFunc(pairs, func(a, b kv.KeyValue) int {
		switch by {
		case pb.RangeRequest_VERSION:
			return cmp.Compare(a.Version, b.Version)
		case pb.RangeRequest_CREATE:
			return cmp.Compare(a.CreateRevision, b.CreateRevision)
		case pb.RangeRequest_MOD:
			return cmp.Compare(a.ModRevision, b.ModRevision)
		default:
			return bytes.Compare(a.Value, b.Value)
		}
	})
}

// txnOf translates a transaction. Its checks follow etcd's order: first all checks of each request, then duplicate keys.
func (s kvService) txnOf(q *pb.TxnRequest) (*kv.Txn, error) {
	t, err := s.nestedOf(q, s.config.TxnOperations, 1, new(int))
	if err != nil {
		return nil, err
	}
	return t, refused(t.Check(s.bounds(), s.config.TxnOperations))
}

func (s kvService) nestedOf(q *pb.TxnRequest, operations, depth int, parts *int) (*kv.Txn, error) {
	most := max(len(q.Compare), len(q.Success), len(q.Failure))
	if *parts += len(q.Compare) + len(q.Success) + len(q.Failure); most > operations || depth > limits.TxnDepth || *parts > limits.TxnParts {
		return nil, rpctypes.ErrGRPCTooManyOps
	}
	t := &kv.Txn{}
	for _, c := range q.Compare {
		if len(c.GetKey()) == 0 {
			return nil, rpctypes.ErrGRPCEmptyKey
		}
		t.Compares = append(t.Compares, compareOf(c))
	}
	for _, list := range []struct {
		from []*pb.RequestOp
		to   *[]kv.Op
	}{{q.Success, &t.Success}, {q.Failure, &t.Failure}} {
		for _, one := range list.from {
			o, err := s.opOf(one, operations-most, depth, parts)
			if err != nil {
				return nil, err
			}
			*list.to = append(*list.to, o)
		}
	}
	return t, nil
}

func (s kvService) opOf(q *pb.RequestOp, operations, depth int, parts *int) (o kv.Op, err error) {
	switch q := q.GetRequest().(type) {
	case *pb.RequestOp_RequestRange:
		r, e := s.rangeOf(q.RequestRange, true)
		o.Range, err = &r, e
	case *pb.RequestOp_RequestPut:
		p, e := s.putOf(q.RequestPut)
		o.Put, err = &p, e
	case *pb.RequestOp_RequestDeleteRange:
		d, e := s.deleteOf(q.RequestDeleteRange)
		o.Delete, err = &d, e
	case *pb.RequestOp_RequestTxn:
		o.Txn, err = s.nestedOf(q.RequestTxn, operations, depth+1, parts)
	default:
		err = rpctypes.ErrGRPCKeyNotFound
	}
	return o, err
}

// compareOf translates a comparison. As in etcd, an unknown target equals everything, and an unknown result holds; the caller needs the
// permission to read the keys in any case. A comparison of a value fails if the key does not exist.
func compareOf(q *pb.Compare) kv.Compare {
	c := kv.Compare{Key: q.Key, End: q.RangeEnd, Target: kv.CompareTarget(q.Target), Result: kv.CompareResult(q.Result)}
	byVersion := func(result kv.CompareResult, number int64) kv.Compare {
		return kv.Compare{Key: q.Key, End: q.RangeEnd, Target: kv.CompareVersion, Result: result, Number: number}
	}
	always, never := byVersion(kv.Greater, -1), byVersion(kv.Less, 0)
	known := pb.Compare_CompareResult_name[int32(q.Result)] != ""
	switch q.Target {
	case pb.Compare_VERSION:
		c.Number = q.GetVersion()
	case pb.Compare_CREATE:
		c.Number = q.GetCreateRevision()
	case pb.Compare_MOD:
		c.Number = q.GetModRevision()
	case pb.Compare_LEASE:
		c.Number = q.GetLease()
	case pb.Compare_VALUE:
		c.Value = q.GetValue()
		if !known { // holds if there is a value
			return byVersion(kv.Greater, 0)
		}
	default:
		if !known || q.Result == pb.Compare_EQUAL {
			return always
		}
		return never
	}
	if !known {
		return always
	}
	return c
}

// txnAnswer builds the answer to a transaction. As in etcd, the header of each operation has the store's revision after it, and that of a
// nested transaction is empty.
type txnAnswer struct{ revision int64 }

// txnAnswerOf returns the answer to the transaction q.
func txnAnswerOf(q *pb.TxnRequest, found *kv.TxnResult) *pb.TxnResponse {
	a := txnAnswer{revision: found.Revision}
	if changes(found) {
		a.revision--
	}
	return a.of(q, found)
}

// changes tells whether a transaction made a revision.
func changes(found *kv.TxnResult) bool {
	return slices.ContainsFunc(found.Answers, func(one kv.Answer) bool {
		return one.Put != nil || one.Delete != nil && one.Delete.Deleted > 0 || one.Txn != nil && changes(one.Txn)
	})
}

func (a *txnAnswer) of(q *pb.TxnRequest, found *kv.TxnResult) *pb.TxnResponse {
	answer := &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: found.Succeeded, Responses: make([]*pb.ResponseOp, len(found.Answers))}
	ops := q.Failure
	if found.Succeeded {
		ops = q.Success
	}
	for i := range found.Answers {
		answer.Responses[i] = a.op(ops[i], &found.Answers[i])
	}
	return answer
}

func (a *txnAnswer) op(q *pb.RequestOp, found *kv.Answer) *pb.ResponseOp {
	switch {
	case found.Put != nil:
		a.revision = found.Put.Revision
		put := &pb.PutResponse{Header: a.header()}
		if found.Put.Prev != nil {
			put.PrevKv = pairOf(found.Put.Prev)
		}
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: put}}
	case found.Delete != nil:
		if found.Delete.Deleted > 0 {
			a.revision = found.Delete.Revision
		}
		deleted := &pb.DeleteRangeResponse{Header: a.header(), Deleted: found.Delete.Deleted, PrevKvs: pairsOf(found.Delete.Prev)}
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: deleted}}
	case found.Range != nil:
		sortPage(q.GetRequestRange(), found.Range)
		page := &pb.RangeResponse{Header: a.header(), Kvs: pairsOf(found.Range.KVs), More: found.Range.More, Count: found.Range.Count}
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: page}}
	default:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: a.of(q.GetRequestTxn(), found.Txn)}}
	}
}

func (a *txnAnswer) header() *pb.ResponseHeader { return &pb.ResponseHeader{Revision: a.revision} }
