package etcd

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"qkv/internal/admit"
	"qkv/internal/limits"
)

// The library that reads and writes JSON holds several copies of each message, at moments that cannot be observed. The memory for all
// copies is therefore reserved first. A request has at most one body or message and one answer at a time. It never waits for the memory of
// one while it holds the other.

// reservations is the pair of memory reservations of a request over HTTP.
type reservations struct{ in, out *admit.Reservation }

type reservationsKey struct{}

// answers reserves memory for an answer, in place of the previous one.
func answers(ctx context.Context, size int) error {
	own, ok := ctx.Value(reservationsKey{}).(*reservations)
	if !ok {
		return nil
	}
	return own.out.Set(ctx, heldBytes(int64(size)))
}

// overHTTP tells whether a request came as JSON.
func overHTTP(ctx context.Context) bool { return ctx.Value(reservationsKey{}) != nil }

const (
	// etcdGatewaySmall is the size up to which a message over HTTP is not charged: those of all connections are half as much as the memory
	// of all requests over HTTP.
	etcdGatewaySmall = 16 << 10
	// etcdGatewayObject is the minimum of JSON bytes per object in a message, apart from its first etcdGatewayObjects objects: the shortest
	// operation, of two objects, has 33. An object becomes 200 bytes, even if empty; a transaction is therefore charged etcdGatewayDense
	// times more. Measured before: 8 transactions of 450,000 empty operations took 700 MiB.
	etcdGatewayObject  = 12
	etcdGatewayObjects = 512
	etcdGatewayDense   = 3
)

// heldBytes is the memory of a message while it is read or written as JSON. Small messages are not charged: the connection limit bounds
// them.
func heldBytes(size int64) int64 {
	if size <= etcdGatewaySmall {
		return 0
	}
	return size * limits.EtcdGatewayTimes
}

// body is a request's body: one message, or a stream of them. When a message exceeds the small size, body reserves the memory for the
// largest possible message, so that it never waits for more in the middle of a message.
type body struct {
	io.ReadCloser
	ctx  context.Context
	end  context.CancelFunc // ends the request: a stream's reader gets no other signal
	own  *admit.Reservation
	most int64 // size limit of a message

	// Of a transaction, whose many small objects take more memory than their bytes. 0: any other message.
	dense int64 // reservation for the largest one

	read    int64 // of the current message
	objects int64 // begun in the current message
}

// reservation is the budget for the largest possible message.
func (b *body) reservation() int64 { return max(heldBytes(b.most), b.dense) }

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.read >= b.most {
		b.end()
		return 0, errJSONTooLarge
	}
	bound := b.most
	if b.read < etcdGatewaySmall {
		bound = min(bound, etcdGatewaySmall)
	} else if b.read == etcdGatewaySmall {
		if err := b.own.Set(b.ctx, b.reservation()); err != nil {
			return 0, err
		}
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), bound-b.read)])
	b.read += int64(n)
	b.own.Moved(n)
	b.objects += int64(bytes.Count(p[:n], []byte{'{'}))
	if b.objects > etcdGatewayObjects+b.read/etcdGatewayObject {
		b.end()
		return 0, rpctypes.ErrGRPCTooManyOps
	}
	return n, err
}

// next begins the next message.
func (b *body) next() {
	b.own.Shrink(0)
	b.read = 0
	b.objects = 0
}

// paced is a ResponseWriter that reports the bytes that its client takes to the memory budget.
type paced struct {
	http.ResponseWriter
	own *admit.Reservation
}

// Write implements http.ResponseWriter. It writes a large answer in pieces, to show progress.
func (p paced) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		n := 0
		n, err = p.ResponseWriter.Write(b[:min(len(b), limits.EtcdGatewayPace)])
		p.own.Moved(n)
		written += n
		b = b[n:]
	}
	return written, err
}

// Unwrap is called by http.ResponseController.
func (p paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }
