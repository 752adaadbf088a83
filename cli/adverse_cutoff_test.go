package cli

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/cli/form"
	"qkv/internal/testlong"
)

// TestAdverseCutOff: a member is cut off from its peers, and reached by clients. What they ask of it is answered by
// another one soon.
func TestAdverseCutOff(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	// Who goes on to another member does so after a time of its own, whatever its caller's is: in the short variant the caller has so
	// much that half of it, which was once the answer's time, is far more than any host takes for one.
	getMost, callers := variant(processWait/2, 1500*time.Millisecond), variant(4*processWait, 12*time.Second)
	// Without the leader nobody can answer before there is another one: raft's followers campaign after one to two election timeouts
	// of a second, and a get that was sent right after the cut has waited for that, too.
	leaderMost := variant(processWait/2, 2500*time.Millisecond)
	c := newProcesses(t, 3)
	w := newWires(t, c)
	for _, m := range c.members {
		m.start()
	}
	c.level()
	s := c.open(0, processWait)
	if _, err := s.Put(t.Context(), []byte("key"), []byte("value")); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"a follower", "the leader"} {
		leader := c.leader()
		cut, most := leader, leaderMost
		if who == "a follower" {
			cut, most = c.others(leader)[0], getMost
		}
		gets, slowest := 0, time.Duration(0)
		i := strings.IndexByte("123", cut.name[1])
		s := c.open(i, callers) // is at the member that is cut off
		_, _, err := s.Get(t.Context(), []byte("key"))
		must(t, err)
		w.cut(cut)
		for begun := time.Now(); time.Since(begun) < variant(4*time.Second, 20*time.Second); gets++ {
			at := time.Now()
			if kv, _, err := s.Get(t.Context(), []byte("key")); err != nil || string(kv.Value) != "value" {
				t.Errorf("get with %s cut off: %q %v", who, kv.Value, err)
			}
			slowest = max(slowest, time.Since(at))
			time.Sleep(20 * time.Millisecond)
		}
		others := c.others(cut)
		got := c.qkv("get", "key", "--endpoints", strings.Join([]string{cut.listen, others[0].listen, others[1].listen}, ",")).exits(t, form.ExitOK)
		w.cut(nil)
		c.level()
		t.Logf("figures: %s cut off from its peers: %d gets by a client of it, the slowest within %v (at most %v); by a new client within %v",
			who, gets, slowest.Round(time.Millisecond), most, got.took.Round(time.Millisecond))
		if slowest > most || got.took > getMost {
			t.Errorf("%s cut off: a get took %v, over %v, or %v by a new client, over %v", who, slowest, most, got.took, getMost)
		}
	}
}

// wires carry all packets between members, and can be cut: each member is told addresses at which this process listens
// and passes on what comes, from a socket of its own for each sender.
type wires struct {
	t       *testing.T
	isolate atomic.Pointer[memberProcess]     // that is cut off
	between atomic.Pointer[[2]*memberProcess] // that are cut from each other
	all     sync.WaitGroup

	mu      sync.Mutex
	sockets []*net.UDPConn
	closed  bool
}

// newWires puts itself between the members, before they are started.
func newWires(t *testing.T, c *clusterProcess) *wires {
	t.Helper()
	w := &wires{t: t}
	t.Cleanup(w.close)
	list := make([]string, len(c.members))
	for i, m := range c.members {
		socket := w.listen()
		list[i] = m.name + "=" + socket.LocalAddr().String()
		w.all.Go(func() { w.carry(socket, c, m) })
	}
	for _, m := range c.members {
		m.arguments[len(m.arguments)-1] = strings.Join(list, ",")
	}
	return w
}

func (w *wires) cut(m *memberProcess) { w.isolate.Store(m) }

func (w *wires) listen() *net.UDPConn {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(w.t, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sockets = append(w.sockets, socket)
	if w.closed {
		_ = socket.Close()
	}
	return socket
}

// carry passes on what comes for a member, and what it answers.
func (w *wires) carry(socket *net.UDPConn, c *clusterProcess, to *memberProcess) {
	at := netip.MustParseAddrPort(to.listenPeer)
	towards := map[netip.AddrPort]*net.UDPConn{}
	packet := make([]byte, 1<<16)
	for {
		n, from, err := socket.ReadFromUDPAddrPort(packet)
		if err != nil {
			return
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		sender := func() *memberProcess {
			for _, m := range c.members {
				if m.listenPeer == from.String() {
					return m
				}
			}
			return nil
		}()
		passes := func() bool {
			isolated, pair := w.isolate.Load(), w.between.Load()
			if pair != nil && (*pair == [2]*memberProcess{to, sender} || *pair == [2]*memberProcess{sender, to}) {
				return false
			}
			return isolated == nil || isolated != to && isolated != sender
		}
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
					if passes() {
						_, _ = socket.WriteToUDPAddrPort(packet[:n], from)
					}
				}
			})
		}
		if passes() {
			_, _ = out.WriteToUDPAddrPort(packet[:n], at)
		}
	}
}

func (w *wires) close() {
	w.mu.Lock()
	w.closed = true
	for _, socket := range w.sockets {
		_ = socket.Close()
	}
	w.mu.Unlock()
	w.all.Wait()
}
