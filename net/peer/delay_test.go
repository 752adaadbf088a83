package peer

import (
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
	"qkv/net/wire/peerframe"
)

// delayed is a way between two UDP sockets that takes a time in each direction and has any number of packets on it.
type delayed struct {
	in     *net.UDPConn // where the one who dials sends to
	out    *net.UDPConn
	dialer atomic.Pointer[net.UDPAddr]

	under     atomic.Int64 // bytes on their way from the one who dials
	mostUnder atomic.Int64
}

type delayedPacket struct {
	at time.Time
	b  []byte
}

// delay returns a way to an address that takes a time. It ends with the test.
func delay(t testing.TB, to string, by time.Duration) *delayed {
	t.Helper()
	target, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	d := &delayed{}
	for _, socket := range []**net.UDPConn{&d.in, &d.out} {
		if *socket, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			t.Fatal(err)
		}
		_ = (*socket).SetReadBuffer(4 << 20) // as much as the host allows
	}
	var all sync.WaitGroup
	carry := func(from, to *net.UDPConn, address func() *net.UDPAddr, counted bool) {
		packets := make(chan delayedPacket, 1<<16)
		all.Go(func() {
			defer close(packets)
			for b := make([]byte, 2048); ; {
				n, sender, err := from.ReadFromUDP(b)
				if err != nil {
					return
				}
				if counted {
					d.dialer.Store(sender)
					under := d.under.Add(int64(n))
					d.mostUnder.Store(max(under, d.mostUnder.Load()))
				}
				select {
				case packets <- delayedPacket{time.Now().Add(by), append([]byte(nil), b[:n]...)}:
				default: // lost
				}
			}
		})
		all.Go(func() {
			for p := range packets {
				time.Sleep(time.Until(p.at))
				_, _ = to.WriteToUDP(p.b, address())
				if counted {
					d.under.Add(-int64(len(p.b)))
				}
			}
		})
	}
	carry(d.in, d.out, func() *net.UDPAddr { return target }, true)
	carry(d.out, d.in, d.dialer.Load, false)
	t.Cleanup(func() {
		_ = d.in.Close()
		_ = d.out.Close()
		all.Wait()
	})
	return d
}

// On a way of 40 ms there and back, more is under way than the window that a connection begins with: it follows what
// the round trip needs. On a busy host the test's own way loses packets, and a connection that begins with losses takes
// them for congestion for a long time: one of a few connections is enough.
func TestWindowsFollowTheRoundTrip(t *testing.T) {
	testlong.Skip(t)
	testretry.Longer(t, 20*time.Millisecond, func(t testing.TB, by time.Duration) { // on a slow host a longer way shows it
		for range 4 {
			if windowFollows(t, by) {
				return
			}
		}
		t.Error("on none of 4 connections more was under way than the first window")
	})
}

// membersApart returns two members with a way between them that takes a time, and how many bytes have come to the second.
func membersApart(t testing.TB, by time.Duration) ([]*member, *delayed, *atomic.Int64) {
	t.Helper()
	members := newMembers(t, 2)
	way := delay(t, members[1].address(), by)
	for i, address := range []string{way.in.LocalAddr().String(), "127.0.0.1:1"} {
		peers := append([]Peer(nil), members[i].peers...)
		peers[1-i].Addresses = []string{address}
		members[i].peers = peers
	}
	came := new(atomic.Int64)
	members[1].receive = func(_ uint64, _ peerframe.Class, frame []byte) { came.Add(int64(len(frame))) }
	for _, m := range members {
		m.start()
	}
	awaitAll(t, members)
	return members, way, came
}

// windowFollows fills a new connection for some seconds, and tells whether more was under way than its first window.
func windowFollows(t testing.TB, by time.Duration) bool {
	members, way, came := membersApart(t, by)
	if rtt := members[0].Status()[0].RTT; rtt < 2*by-4*time.Millisecond {
		t.Errorf("the round trip was measured as %v", rtt)
	}
	frame := make([]byte, 64<<10)
	for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(time.Millisecond) {
		for members[0].Status()[0].Queued < limits.InflightBytes {
			members[0].Send(2, peerframe.Append, frame, false)
		}
		if way.mostUnder.Load() > 3*peerStreamBytes/2 {
			t.Logf("%d KiB under way at most, %.1f MB/s on the whole", way.mostUnder.Load()>>10, float64(came.Load())/1e6/time.Since(began).Seconds())
			return true
		}
	}
	return false
}

// TestRateOfALongWay measures what a connection carries on a way of 100 ms there and back, once its windows have grown: with the
// first window it would be 5 MB/s at most. It is the best of a few connections, since this host's own way loses packets too.
func TestRateOfALongWay(t *testing.T) {
	if os.Getenv("QKV_FULL") == "" {
		t.Skip("it measures: make full")
	}
	const by, least = 50 * time.Millisecond, 1.0 * peerStreamBytes / 0.1 / 1e6
	var rates []float64
	for range 5 {
		rates = append(rates, longWay(t, by))
	}
	slices.Sort(rates)
	t.Logf("figures: between two members %v apart, MB/s of 5 connections, 10 s each, behind 5 s: %.1f", 2*by, rates)
	if best := rates[len(rates)-1]; best < least {
		t.Errorf("%.1f MB/s at best, the first window would carry %.1f", best, least)
	}
}

// longWay fills a new connection, and returns how many megabytes a second came when it had some time.
func longWay(t testing.TB, by time.Duration) float64 {
	members, _, came := membersApart(t, by)
	frame := make([]byte, 64<<10)
	began, from, first := time.Now(), time.Time{}, int64(0)
	for ; time.Since(began) < 15*time.Second; time.Sleep(time.Millisecond) {
		for members[0].Status()[0].Queued < limits.InflightBytes {
			members[0].Send(2, peerframe.Append, frame, false)
		}
		if first == 0 && time.Since(began) > 5*time.Second {
			from, first = time.Now(), came.Load()
		}
	}
	return float64(came.Load()-first) / 1e6 / time.Since(from).Seconds()
}
