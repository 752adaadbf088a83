package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// ListenAlive opens the listener that proves that this process is alive: TCP, at the address where peers listens for UDP.
func ListenAlive(peers *net.UDPConn) (*net.TCPListener, error) {
	at := peers.LocalAddr().(*net.UDPAddr)
	return wire.ListenTCP("liveness checks of peers", &net.TCPAddr{IP: at.IP, Port: at.Port, Zone: at.Zone})
}

// acceptAlive accepts connections and ends them, until the Transport ends. A connecting member learns that this process is alive.
func (t *Transport) acceptAlive(ctx context.Context) {
	for ctx.Err() == nil {
		c, err := t.config.Alive.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		// too many files are open: connections wait in the kernel, and the asking member still learns that the process is alive
		case err != nil:
			select {
			case <-ctx.Done():
			case <-time.After(peerDialPause):
			}
			continue
		}
		_ = c.Close() // an error makes no difference
	}
}

func (t *Transport) closeAlive() error {
	if t.config.Alive == nil {
		return nil
	}
	if err := t.config.Alive.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the listener for liveness checks: %w", err)
	}
	return nil
}

// probeAlive checks whether the host at the other end of a connection accepts the TCP connections of ListenAlive. Only then does a
// later refusal prove that the peer's process is gone.
func (l *link) probeAlive(ctx context.Context, c *conn) {
	at := c.quic.RemoteAddr().String()
	if known := l.alive.Load(); known != nil && *known == at {
		return
	}
	l.alive.Store(nil)
	if connectAlive(ctx, at) == nil && l.out.Load() == c {
		l.alive.Store(&at)
	}
}

// refuseSecondProcess refuses a second process of the peer, from another address, while the first one is connected and alive: the folder
// was copied. The check comes before the peer is judged, because an admitted process becomes the known one, and the first one would
// then seem to have forgotten its promises. Two processes never have the same address: a process that calls from the same address
// has replaced the other one.
func (l *link) refuseSecondProcess(ctx context.Context, q *quic.Conn, theirs *peerframe.Handshake) error {
	err := theirs.CheckCluster(l.transport.config.Cluster)
	if err == nil {
		err = theirs.CheckMembers(l.transport.config.Member, l.id)
	}
	if err != nil {
		return asRefusal(err)
	}
	l.mu.Lock()
	c := l.choice.inUse
	other := c != nil && c.process != theirs.Process
	how := "their data folders differ: two hosts have one name; give one of them another --name"
	if other && c.identity.Folder == theirs.Folder {
		how = fmt.Sprintf("the data folder was copied; stop the one at %s, and never start it again", q.RemoteAddr())
	}
	l.mu.Unlock()
	if !other {
		return nil
	}
	at, alive := c.quic.RemoteAddr().String(), l.alive.Load()
	if alive == nil || *alive != at || at == q.RemoteAddr().String() || connectAlive(ctx, at) != nil {
		return nil
	}
	why := fmt.Sprintf("two processes run as %s: one at %s, and one at %s, which is refused while the first one runs: %s", l.name(), at, q.RemoteAddr(), how)
	l.transport.handler.Copied(l.id, why)
	return &peerframe.Refusal{Code: peerframe.Refused, Text: why}
}

// CheckAlive asks the peer's host whether a process of the peer is alive. If none is, Handler.Died is called. It never waits.
func (t *Transport) CheckAlive(peer uint64) {
	l := (*t.links.Load())[peer]
	if l == nil {
		return
	}
	at := l.alive.Load()
	t.mu.Lock()
	defer t.mu.Unlock()
	if at == nil || t.closed || !l.checkingAlive.CompareAndSwap(false, true) {
		return
	}
	t.all.Go(func() {
		err := connectAlive(l.ctx, *at)
		l.checkingAlive.Store(false)
		if errors.Is(err, syscall.ECONNREFUSED) && l.ctx.Err() == nil {
			t.handler.Died(peer)
		}
	})
}

// peerAliveTimeout is how long a member asks a peer's host for a process of that peer. A live host answers within a round trip, and an
// election that waits longer starts without an answer.
const peerAliveTimeout = time.Second / 2

// connectAlive connects to the TCP address of a peer's ListenAlive.
func connectAlive(ctx context.Context, at string) error {
	c, err := (&net.Dialer{Timeout: peerAliveTimeout}).DialContext(ctx, "tcp", at)
	switch {
	case errors.Is(err, syscall.ECONNRESET): // the peer accepted the connection and has ended it already
		return nil
	case err != nil:
		return err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // no data can get lost: a reset leaves no state in the kernels
	}
	_ = c.Close()
	return nil
}
