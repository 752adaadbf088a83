package wire

import (
	"fmt"

	"qkv/internal/limits"
)

// CloseCode is the application error code with which a side closes a connection. The reason comes in words too.
type CloseCode uint64

const (
	// CloseDone: the side that closes has no more use for the connection.
	CloseDone CloseCode = 0
	// CloseShutdown: the member stops. Another one may serve.
	CloseShutdown CloseCode = 1
	// CloseProtocol: what arrived is no frame, or not an answer to anything.
	CloseProtocol CloseCode = 2
	// CloseLimit: a limit that the reason names is reached.
	CloseLimit CloseCode = 3
)

// StreamCode is the application error code with which a side resets one stream of a connection, which goes on.
type StreamCode uint64

const (
	// StreamEnded: the side that resets does not read or write the stream any more.
	StreamEnded StreamCode = 0
	// StreamSlow: nothing of what was sent on the stream was taken for too long, or a large frame took too long to come.
	StreamSlow StreamCode = 1
	// StreamLimit: the member has no room for another stream of this client.
	StreamLimit StreamCode = 2
)

// String says why the stream was reset.
func (c StreamCode) String() string {
	switch c {
	case StreamEnded:
		return "the stream was reset"
	case StreamSlow:
		return fmt.Sprintf("the stream was reset: what was sent on it was not taken in time, or a large request did not come in time: the limit is %v, and %v where its client has more than its share of the member's memory",
			limits.ClientWriteTimeout, limits.ClientStall)
	case StreamLimit:
		return "the stream was reset: the member has no room for another stream of this client"
	default:
		return fmt.Sprintf("the stream was reset for a reason that this version does not know: %d", uint64(c))
	}
}
