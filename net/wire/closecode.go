package wire

import (
	"fmt"

	"qkv/internal/limits"
)

// CloseCode is the application error code with which a side closes a connection. A reason in words comes with it.
type CloseCode uint64

const (
	// CloseDone: the closing side does not need the connection any more.
	CloseDone CloseCode = 0
	// CloseShutdown: the member stops. Another member may serve the client.
	CloseShutdown CloseCode = 1
	// CloseProtocol: the bytes are not a frame, or the frame answers no request.
	CloseProtocol CloseCode = 2
	// CloseLimit: a limit was reached; the reason names it.
	CloseLimit CloseCode = 3
)

// StreamCode is the application error code with which a side resets one stream. The connection goes on.
type StreamCode uint64

const (
	// StreamEnded: the resetting side does not read or write the stream any more.
	StreamEnded StreamCode = 0
	// StreamSlow: the other side read nothing from the stream for too long, or a large frame took too long to arrive.
	StreamSlow StreamCode = 1
	// StreamLimit: the member has no memory budget for another stream of this client.
	StreamLimit StreamCode = 2
)

// String returns the reason for the reset.
func (c StreamCode) String() string {
	switch c {
	case StreamEnded:
		return "the stream was reset"
	case StreamSlow:
		return fmt.Sprintf("timeout: the stream was reset: its data was not read in time, or a large request did not arrive in time: the limit is %v, or %v if the client uses more than its share of the member's memory budget",
			limits.ClientWriteTimeout, limits.ClientStall)
	case StreamLimit:
		return "the stream was reset: no memory budget is left on the member for another stream of this client"
	default:
		return fmt.Sprintf("the stream was reset for an unknown reason: code %d", uint64(c))
	}
}
