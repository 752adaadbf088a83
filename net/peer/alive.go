package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/internal/limits"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// ListenAlive opens the listener that shows that this process is there: TCP, where peers listens for UDP.
func ListenAlive(peers *net.UDPConn) (*net.TCPListener, error) {
	at := peers.LocalAddr().(*net.UDPAddr)
	return wire.ListenTCP("peers that ask whether this process is there", &net.TCPAddr{IP: at.IP, Port: at.Port, Zone: at.Zone})
}

// showAlive takes connections and ends them, until the Transport ends. Who connects learns that this process is there.
func (t *Transport) showAlive(ctx context.Context) {
	for ctx.Err() == nil {
		c, err := t.config.Alive.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // too many files are open: connections wait, and who asks learns the same
			select {
			case <-ctx.Done():
			case <-time.After(limits.PeerDialPause):
			}
			continue
		}
		_ = c.Close() // it is of no use either way
	}
}

func (t *Transport) closeAlive() error {
	if t.config.Alive == nil {
		return nil
	}
	if err := t.config.Alive.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the listener that shows that this process is there: %w", err)
	}
	return nil
}

// findAlive finds out whether the host that a connection leads to tells that a process of the peer is there: only then can its
// refusal say that there is none.
func (l *link) findAlive(ctx context.Context, c *conn) {
	at := c.quic.RemoteAddr().String()
	if known := l.alive.Load(); known != nil && *known == at {
		return
	}
	l.alive.Store(nil)
	if askAlive(ctx, at) == nil && l.out.Load() == c {
		l.alive.Store(&at)
	}
}

// rival refuses a process of the peer that calls while another one, elsewhere, is connected and alive: somebody has copied the
// folder. It is asked before the peer is judged, since who is admitted is the one that counts from then on, and the other
// one has forgotten what it did. Two processes have never one address: who calls from that has replaced the other one.
func (l *link) rival(ctx context.Context, q *quic.Conn, theirs *peerframe.Handshake) error {
	if err := errors.Join(theirs.CheckCluster(l.transport.config.Cluster), theirs.CheckMembers(l.transport.config.Member, l.id)); err != nil {
		return asRefusal(err)
	}
	l.mu.Lock()
	c := l.choice.inUse
	other := c != nil && c.process != theirs.Process
	l.mu.Unlock()
	if !other {
		return nil
	}
	at, alive := c.quic.RemoteAddr().String(), l.alive.Load()
	if alive == nil || *alive != at || at == q.RemoteAddr().String() || askAlive(ctx, at) != nil {
		return nil
	}
	why := fmt.Sprintf("two processes are %s: one at %s, and one at %s, which is refused while the other one runs: its data folder was copied; stop the copy, and do not start it again", l.name(), at, q.RemoteAddr())
	l.transport.handler.Copied(l.id, why)
	return &peerframe.Refusal{Code: peerframe.Refused, Text: why}
}

// CheckAlive asks the peer's host whether a process of the peer is there; Handler.Died tells when there is none. It never waits.
func (t *Transport) CheckAlive(peer uint64) {
	l := (*t.links.Load())[peer]
	if l == nil {
		return
	}
	at := l.alive.Load()
	t.mu.Lock()
	defer t.mu.Unlock()
	if at == nil || t.closed || !l.asking.CompareAndSwap(false, true) {
		return
	}
	t.all.Go(func() {
		err := askAlive(l.ctx, *at)
		l.asking.Store(false)
		if errors.Is(err, syscall.ECONNREFUSED) && l.ctx.Err() == nil {
			t.handler.Died(peer)
		}
	})
}

// askAlive connects to where a process shows that it is there.
func askAlive(ctx context.Context, at string) error {
	c, err := (&net.Dialer{Timeout: limits.PeerAliveTimeout}).DialContext(ctx, "tcp", at)
	switch {
	case errors.Is(err, syscall.ECONNRESET): // it was there, and has ended already
		return nil
	case err != nil:
		return err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // nothing was said that could get lost, and nothing of it stays in the kernels
	}
	_ = c.Close()
	return nil
}
