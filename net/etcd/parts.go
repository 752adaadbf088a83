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

// A part of a transaction, a comparison or an operation, takes two bytes on its way and some 400 when it is decoded and translated. So
// the parts are counted before that:
//
//  1. A transaction with more parts than limits.TxnParts, or deeper than limits.TxnDepth, is refused as it would be afterwards, and
//     never decoded.
//  2. Of those with more parts than limits.EtcdTxnFew, limits.EtcdTxns at a time are decoded and not answered. The others wait, for as
//     long as a request may last.
//
// A transaction that came over HTTP was decoded before, in the room that such requests have.

// encodedTxn is a transaction as it came.
type encodedTxn struct{ bytes []byte }

func (e *encodedTxn) decode(message []byte) error {
	e.bytes = message
	return nil
}

// countedTxn is the method for transactions, whose parts are counted before they are decoded.
func (s *Server) countedTxn() grpc.MethodDesc {
	m := method(s, "Txn", s.txn)
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
		if parts > limits.EtcdTxnFew {
			if err := s.placeForTxn(ctx); err != nil {
				return nil, err
			}
			defer func() { <-s.txns }()
		}
		return handle(server, ctx, func(to any) error {
			if err := proto.Unmarshal(q.bytes, to.(proto.Message)); err != nil {
				return status.Errorf(codes.Internal, "grpc: error unmarshalling request: %v", err) // as gRPC says it
			}
			q.bytes = nil
			return nil
		}, i)
	}
	return m
}

// placeForTxn waits for one of limits.EtcdTxns places.
func (s *Server) placeForTxn(ctx context.Context) error {
	select { // without a timer, as most do
	case s.txns <- struct{}{}:
		return nil
	default:
	}
	waiting, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	select {
	case s.txns <- struct{}{}:
		return nil
	case <-waiting.Done():
		if err := ctx.Err(); err != nil {
			return status.FromContextError(err).Err()
		}
		return errTooManyRequests
	case <-s.stopping:
		return errStopped
	}
}

// The fields of a TxnRequest that are lists, and that of a RequestOp which is a transaction.
const (
	txnCompare, txnSuccess, txnFailure = 1, 2, 3
	opTxn                              = 4
)

// countParts counts the comparisons and operations of a transaction, and of those in it. It is false when there are more than may be, or
// they lie too deep. What is no message is left to the library, which refuses it.
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
