package member

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// Wires carry all packets between the members of a cluster of qkv, and can be cut. Each member is told addresses at which this process
// listens. The process forwards each packet, from a socket of its own for each sender.
type Wires struct {
	t       testing.TB
	members []*Member
	cut     atomic.Pointer[func(from, to *Member) bool] // what does not pass
	all     sync.WaitGroup

	// Lost is how many packets did not pass.
	Lost atomic.Int64

	mu      sync.Mutex
	sockets []*net.UDPConn
	closed  bool
}

// StartWired is Start of members of qkv that are connected by wires.
func StartWired(t testing.TB, count int, arguments ...string) (*Cluster, *Wires) {
	t.Helper()
	w := &Wires{t: t}
	t.Cleanup(w.close) // behind the members' end
	return startOn(t, QKV, count, func(*Member) {}, w, arguments), w
}

// Cut drops the packets for which the function is true; with nil all packets pass.
func (w *Wires) Cut(what func(from, to *Member) bool) {
	if what == nil {
		w.cut.Store(nil)
		return
	}
	w.cut.Store(&what)
}

// before puts itself before a member, and returns where.
func (w *Wires) before(m *Member) string {
	w.t.Helper()
	socket := w.listen()
	w.mu.Lock()
	w.members = append(w.members, m)
	w.mu.Unlock()
	w.all.Go(func() { w.carry(socket, m) })
	return socket.LocalAddr().String()
}

func (w *Wires) listen() *net.UDPConn {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		panic(err) // no sockets are left: nothing goes on
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sockets = append(w.sockets, socket)
	if w.closed {
		_ = socket.Close()
	}
	return socket
}

// sender is the member that sends from an address, or nil.
func (w *Wires) sender(from string) *Member {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.members {
		if m.Peer == from {
			return m
		}
	}
	return nil
}

func (w *Wires) passes(from, to *Member) bool {
	cut := w.cut.Load()
	passes := cut == nil || from != nil && to != nil && !(*cut)(from, to)
	if !passes {
		w.Lost.Add(1)
	}
	return passes
}

// carry forwards the packets for a member, and its answers.
func (w *Wires) carry(socket *net.UDPConn, to *Member) {
	at := netip.MustParseAddrPort(to.Peer)
	towards := map[netip.AddrPort]*net.UDPConn{}
	packet := make([]byte, 1<<16)
	for {
		n, from, err := socket.ReadFromUDPAddrPort(packet)
		if err != nil {
			return
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		sender := w.sender(from.String())
		out := towards[from]
		if out == nil {
			out = w.listen()
			towards[from] = out
			w.all.Go(func() {
				packet := make([]byte, 1<<16)
				for {
					n, _, err := out.ReadFromUDPAddrPort(packet)
					if err != nil {
						return
					}
					if w.passes(to, sender) {
						_, _ = socket.WriteToUDPAddrPort(packet[:n], from)
					}
				}
			})
		}
		if w.passes(sender, to) {
			_, _ = out.WriteToUDPAddrPort(packet[:n], at)
		}
	}
}

func (w *Wires) close() {
	w.mu.Lock()
	w.closed = true
	for _, socket := range w.sockets {
		_ = socket.Close()
	}
	w.mu.Unlock()
	w.all.Wait()
}
