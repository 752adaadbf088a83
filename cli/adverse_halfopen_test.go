package cli

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/cli/form"
	"qkv/internal/testlong"
	"qkv/net/wire"
)

// TestAdverseHalfOpen: somebody without a certificate begins handshakes all the time and finishes none. Others' clients
// connect all the same.
func TestAdverseHalfOpen(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	const (
		each   = 50 * time.Millisecond // for how long one is pursued
		atOnce = 16                    // so that some 300 begin in a second
	)
	connectMost := variant(processWait/4, 2*time.Second)
	c := startProcesses(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), variant(5*time.Second, 30*time.Second))
	defer cancel()
	credentials, err := form.CertMaker().LocalClient(c.home)
	must(t, err)
	config := wire.ClientTLS(credentials, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember})
	var begun atomic.Int64
	var hostile sync.WaitGroup
	for _, m := range c.members {
		to, err := net.ResolveUDPAddr("udp", m.listen)
		must(t, err)
		for range atOnce {
			hostile.Go(func() {
				for ctx.Err() == nil {
					halfOpen(ctx, t, to, config, each)
					begun.Add(1)
				}
			})
		}
	}
	var slowest time.Duration
	commands := 0
	for ; ctx.Err() == nil; commands++ {
		put := c.qkv("put", "key", "value", "--timeout", processWait.String()).exits(t, form.ExitOK)
		slowest = max(slowest, put.took)
	}
	hostile.Wait()
	t.Logf("figures: %d handshakes begun and left in %v at three members: %d new clients put, the slowest within %v",
		begun.Load(), variant(5*time.Second, 30*time.Second), commands, slowest.Round(time.Millisecond))
	if slowest > connectMost {
		t.Errorf("a new client took %v, over %v", slowest, connectMost)
	}
	c.allRun()
	c.level()
}

// halfOpen begins one handshake from another address of this host, and does not go on with it.
func halfOpen(ctx context.Context, t *testing.T, to *net.UDPAddr, config *tls.Config, timeout time.Duration) {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
	if err != nil {
		t.Error(err)
		return
	}
	defer socket.Close()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if conn, err := quic.Dial(ctx, &deafSocket{socket}, to, config, nil); err == nil {
		_ = conn.CloseWithError(0, "")
		t.Error("a handshake was finished by a socket that hears nothing")
	}
}

// deafSocket hears nothing but a Retry, so that it shows that its address is its own and goes no further.
type deafSocket struct{ net.PacketConn }

// SetReadBuffer, SetWriteBuffer and SyscallConn keep the library from complaining of a socket that it does not know.
func (d *deafSocket) SetReadBuffer(int) error { return nil }

// SetWriteBuffer does nothing.
func (d *deafSocket) SetWriteBuffer(int) error { return nil }

// SyscallConn implements syscall.Conn.
func (d *deafSocket) SyscallConn() (syscall.RawConn, error) {
	return d.PacketConn.(*net.UDPConn).SyscallConn()
}

// ReadFrom implements net.PacketConn.
func (d *deafSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := d.PacketConn.ReadFrom(p)
		if err != nil || n > 0 && p[0]&0xf0 == 0xf0 {
			return n, from, err
		}
	}
}
