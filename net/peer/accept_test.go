package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/internal/logx"
	"qkv/net/wire"
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
		transport := &Transport{log: logx.NewLimited(slog.New(slog.NewTextHandler(&said, nil)))}
		transport.links.Store(&map[uint64]*link{})
		transport.logUnfinished(from, fmt.Errorf("wrapped: %w", c.cause))
		if strings.Contains(said.String(), "refused a connection") != c.says {
			t.Errorf("%v: says %q, want something: %t", c.cause, &said, c.says)
		}
	}
}

// A connection that ends within the handshake gives its place back: those that are begun and left would else keep all others out.
func TestPlaceOfAnUnmetConnection(t *testing.T) {
	transport := &Transport{log: logx.NewLimited(slog.New(slog.DiscardHandler)), handshakes: wire.NewHandshakes(8, 8, 8)}
	ctx, end := context.WithCancel(t.Context())
	if _, err := transport.beginHandshake(ctx, &quic.ClientInfo{RemoteAddr: &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1)}}); err != nil || transport.handshakes.Count() != 1 {
		t.Fatalf("%d places are taken, %v", transport.handshakes.Count(), err)
	}
	end()
	for begun := time.Now(); transport.handshakes.Count() > 0; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatal("its place is taken for ever")
		}
	}
}
