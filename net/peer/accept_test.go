package peer

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
)

// A connection that ended as it should is nothing to warn of; one whose end nobody else explains is.
func TestTurnedAway(t *testing.T) {
	from := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	for _, c := range []struct {
		cause error
		says  bool
	}{
		{&quic.ApplicationError{Remote: true, ErrorCode: closeSuperseded}, false},
		{&quic.ApplicationError{Remote: true, ErrorCode: closeStopping}, false},
		{&quic.ApplicationError{Remote: true, ErrorCode: 77}, true},
		{&quic.TransportError{Remote: true, ErrorCode: quic.ApplicationErrorErrorCode}, false}, // a close like the first two, within the handshake
		{&quic.TransportError{ErrorCode: quic.ApplicationErrorErrorCode}, true},
		{&quic.TransportError{Remote: true, ErrorCode: quic.ProtocolViolation}, true},
		{&quic.TransportError{Remote: true, ErrorCode: 0x12a, ErrorMessage: "tls: bad certificate"}, true},
		{quic.ErrTransportClosed, false},
		{errors.New("something else"), true},
	} {
		var said bytes.Buffer
		transport := &Transport{log: rateLimitedLog{logger: slog.New(slog.NewTextHandler(&said, nil))}}
		transport.unmet(from, fmt.Errorf("wrapped: %w", c.cause))
		if strings.Contains(said.String(), "refused a connection") != c.says {
			t.Errorf("%v: says %q, want something: %t", c.cause, &said, c.says)
		}
	}
}
