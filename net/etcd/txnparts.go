package etcd

import (
	"context"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"qkv/internal/limits"
)

// A part of a transaction, a comparison or an operation, may take two bytes on the wire and some 400 when it is decoded and translated.
// The parts are therefore counted before they are decoded:
//
//  1. A transaction with more parts than limits.TxnParts, or deeper than limits.TxnDepth, is refused with the same error as after
//     decoding, but never decoded.
//  2. Of the transactions with more parts than etcdTxnFew, at most etcdTxns are decoded and unanswered at a time. Others
//     wait, at most for the timeout of a request.
//
// A transaction over HTTP is decoded earlier, within the memory budget of such requests.

// decoder is a message that is decoded by hand.
type decoder interface{ decode(message []byte) error }

// encodedTxn is a transaction in its encoded form.
type encodedTxn struct{ bytes []byte }

func (e *encodedTxn) decode(message []byte) error {
	e.bytes = message
	return nil
}

// countedTxn wraps the method for transactions. It counts their parts before it decodes them.
func (s kvService) countedTxn(m grpc.MethodDesc) grpc.MethodDesc {
	handle := m.Handler
	m.Handler = func(server any, ctx context.Context, decode func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
		if overHTTP(ctx) {
			return handle(server, ctx, decode, i)
		}
		var q encodedTxn
		if err := decode(&q); err != nil {
			return nil, err
		}
		parts := 0
		if !countParts(q.bytes, 1, &parts) {
			return nil, rpctypes.ErrGRPCTooManyOps
		}
		if parts > etcdTxnFew {
			if err := s.takeLargeTxn(ctx); err != nil {
				return nil, err
			}
			defer s.admission.largeTxns.Release()
		}
		return handle(server, ctx, func(to any) error {
			if err := proto.Unmarshal(q.bytes, to.(proto.Message)); err != nil {
				return status.Errorf(codes.Internal, "grpc: error unmarshalling request: %v", err) // gRPC's text
			}
			q.bytes = nil
			return nil
		}, i)
	}
	return m
}

// takeLargeTxn waits for one of etcdTxns slots.
func (s kvService) takeLargeTxn(ctx context.Context) error {
	if s.admission.largeTxns.TryTake() { // without a timer, the usual case
		return nil
	}
	waiting, cancel := until(s.alive, ctx)
	defer cancel()
	waiting, end := context.WithTimeout(waiting, s.config.Timeout)
	defer end()
	switch {
	case s.admission.largeTxns.Take(waiting) == nil:
		return nil
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	case s.alive.Err() != nil:
		return errStopped
	default:
		return errTooManyRequests
	}
}

// The list fields of a TxnRequest, and the field of a RequestOp for a nested transaction.
const (
	txnCompare, txnSuccess, txnFailure = 1, 2, 3
	opTxn                              = 4
)

// countParts counts the comparisons and operations of a transaction and its nested ones. It returns false if they are too many or too
// deep. A malformed message is left to the library, which refuses it.
func countParts(txn []byte, depth int, parts *int) bool {
	within := depth <= limits.TxnDepth
	_ = eachField(txn, func(field protowire.Number, _ int64, part []byte) {
		if part == nil || field < txnCompare || field > txnFailure || !within {
			return
		}
		if *parts++; *parts > limits.TxnParts {
			within = false
		}
		if field == txnCompare || !within {
			return
		}
		_ = eachField(part, func(field protowire.Number, _ int64, inner []byte) {
			if field == opTxn && inner != nil && within {
				within = countParts(inner, depth+1, parts)
			}
		})
	})
	return within
}

// eachField calls f with each field of a message.
func eachField(m []byte, f func(field protowire.Number, number int64, bytes []byte)) error {
	for len(m) > 0 {
		field, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			return protowire.ParseError(n)
		}
		m = m[n:]
		var number uint64
		var part []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(m)
		case protowire.BytesType:
			part, n = protowire.ConsumeBytes(m)
			part = part[:len(part):len(part)] // nil means an absent field
		default:
			n = protowire.ConsumeFieldValue(field, kind, m)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		m = m[n:]
		f(field, int64(number), part)
	}
	return nil
}
