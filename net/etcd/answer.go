package etcd

import (
	"fmt"
	"slices"
	"sync/atomic"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"qkv/internal/admit"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
)

// answer is a handler's answer that gRPC or the gateway encodes. It is used once, by exactly one of bytes, release, and gRPC's codec.
type answer interface {
	// size is the number of encoded bytes.
	size() int
	// charge returns the answer for gRPC, a bufferedAnswer. It is charged to a connection until it is written, unless it is small.
	charge(own *front.Account) answer
	// bytes encodes the answer as a whole, for the gateway.
	bytes() ([]byte, error)
	// release releases an answer that is not sent.
	release()
}

// bufferedAnswer encodes an answer for gRPC, which writes the buffers and frees them.
type bufferedAnswer interface {
	buffers() (mem.BufferSlice, error)
}

// answerOf converts a handler's result to an answer. The result is an answer already, or a message that the library encodes.
func answerOf(m any) answer {
	if a, ok := m.(answer); ok {
		return a
	}
	return libraryMessage{m.(proto.Message)}
}

// libraryMessage is a message that the library encodes. Such messages are small, except lists of leases and of their keys.
type libraryMessage struct{ proto.Message }

func (p libraryMessage) size() int                         { return proto.Size(p.Message) }
func (p libraryMessage) bytes() ([]byte, error)            { return proto.Marshal(p.Message) }
func (p libraryMessage) buffers() (mem.BufferSlice, error) { return libraryCodec.Marshal(p.Message) }
func (libraryMessage) release()                            {}

func (p libraryMessage) charge(own *front.Account) answer {
	if p.size() > smallAnswer {
		if m, err := encoded(p.Message); err == nil {
			return m.charge(own)
		}
	}
	return p
}

const smallAnswer = 16 << 10

// message is an encoded message in pieces: large data is copied only once from the state's memory, and clients can share bytes.
type message [][]byte

// encoded encodes a message that refers to the state's memory, which is only valid until the caller returns.
func encoded(m proto.Message) (message, error) {
	bytes, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode an answer: %w", err)
	}
	return message{bytes}, nil
}

func (m message) size() (n int) {
	for _, piece := range m {
		n += len(piece)
	}
	return n
}

func (m message) bytes() ([]byte, error) {
	all := make([]byte, 0, m.size())
	for _, piece := range m {
		all = append(all, piece...)
	}
	return all, nil
}

func (m message) charge(own *front.Account) answer {
	return &chargedMessage{message: m, account: own}
}

func (message) release() {}

// chargedMessage is a message whose large pieces are charged until they are written. It is the pool to which gRPC returns them then.
type chargedMessage struct {
	message
	account  *front.Account
	reserved *admit.Reservation // released with the last piece; nil: charged to the connection
	left     atomic.Int64       // bytes of large pieces that are not written
}

// reserving combines an answer with its reservation. It cuts the answer into pieces that show a client's progress.
func reserving(m message, r *admit.Reservation) answer {
	if r == nil {
		return m
	}
	var pieces message
	for _, piece := range m {
		pieces = slices.AppendSeq(pieces, slices.Chunk(piece, limits.EtcdGatewayPace))
	}
	return &chargedMessage{message: pieces, reserved: r}
}

func (c *chargedMessage) charge(own *front.Account) answer {
	c.account = own
	return c
}

func (c *chargedMessage) bytes() ([]byte, error) {
	defer c.release()
	return c.message.bytes()
}

func (c *chargedMessage) release() { c.reserved.Release() }

func (c *chargedMessage) buffers() (mem.BufferSlice, error) {
	all := make(mem.BufferSlice, 0, len(c.message))
	for i := range c.message {
		piece := &c.message[i]
		if len(*piece) == 0 {
			continue
		}
		if !mem.IsBelowBufferPoolingThreshold(cap(*piece)) { // otherwise gRPC does not tell when it is written
			c.left.Add(int64(len(*piece)))
		}
		all = append(all, mem.NewBuffer(piece, c))
	}
	switch n := c.left.Load(); {
	case n == 0:
		c.release()
	case c.reserved != nil:
		c.reserved.Transfer()
	default:
		c.account.Charge(n)
	}
	return all, nil
}

// Get implements mem.BufferPool.
func (*chargedMessage) Get(n int) *[]byte {
	return new(make([]byte, n))
}

// Put implements mem.BufferPool.
func (c *chargedMessage) Put(b *[]byte) {
	n := len(*b)
	*b = nil // c lives as long as its last piece
	if c.reserved == nil {
		c.account.Charge(-int64(n))
		return
	}
	c.reserved.Moved(n)
	if c.left.Add(-int64(n)) == 0 {
		c.release()
	}
}
