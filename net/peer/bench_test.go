package peer

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"qkv/net/wire/peerframe"
)

// echoPair starts two members of which the second answers each frame with another of the same class.
func echoPair(b testing.TB, answered func(frame []byte)) (*member, *member) {
	members := newMembers(b, 2)
	echo := members[1]
	members[0].receive = func(_ uint64, _ peerframe.Class, frame []byte) { answered(frame) }
	members[1].receive = func(from uint64, class peerframe.Class, frame []byte) {
		echo.Send(from, class, frame, false)
	}
	for _, m := range members {
		m.start()
	}
	awaitAll(b, members)
	return members[0], members[1]
}

// Small frames there and back, with so many under way; the packets that one pair of frames costs are counted.
func BenchmarkEcho(b *testing.B) {
	for _, inflight := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("inflight=%d", inflight), func(b *testing.B) {
			var done atomic.Int64
			var here *member
			finished := make(chan struct{})
			frame := make([]byte, 280)
			here, _ = echoPair(b, func([]byte) {
				n := int(done.Add(1))
				if n+inflight <= b.N {
					here.Send(2, peerframe.Append, frame, false)
				}
				if n == b.N {
					close(finished)
				}
			})
			before := here.Status()[0]
			b.ReportAllocs()
			b.ResetTimer()
			for range min(inflight, b.N) {
				here.Send(2, peerframe.Append, frame, false)
			}
			select {
			case <-finished:
			case <-time.After(30 * time.Second):
				b.Fatalf("%d of %d came back: %+v", done.Load(), b.N, here.Status())
			}
			b.StopTimer()
			s := here.Status()[0]
			packets := s.PacketsSent - before.PacketsSent + s.PacketsReceived - before.PacketsReceived
			b.ReportMetric(float64(packets)/float64(b.N), "packets/op")
			b.ReportMetric(float64(s.PacketsLost), "lost")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "echoes/s")
		})
	}
}

// commitPackets plays raft with one caller: an append and its answer, then an empty append that tells the commit
// index, and the next append a little later. It returns how many packets one round costs.
func commitPackets(b testing.TB, rounds int, lazy bool) float64 {
	back := make(chan struct{}, 1)
	here, _ := echoPair(b, func(frame []byte) {
		if len(frame) > 100 {
			back <- struct{}{}
		}
	})
	frame, commit := make([]byte, 280), make([]byte, 40)
	before := here.Status()[0]
	for range rounds {
		here.Send(2, peerframe.Append, frame, false)
		<-back
		here.Send(2, peerframe.Append, commit, lazy)
		for began := time.Now(); time.Since(began) < 100*time.Microsecond; {
			runtime.Gosched()
		}
	}
	s := here.Status()[0]
	return float64(s.PacketsSent-before.PacketsSent+s.PacketsReceived-before.PacketsReceived) / float64(rounds)
}

func BenchmarkCommitFrames(b *testing.B) {
	for _, lazy := range []bool{false, true} {
		b.Run(fmt.Sprintf("lazy=%v", lazy), func(b *testing.B) {
			b.ReportMetric(commitPackets(b, b.N, lazy), "packets/op")
		})
	}
}

func TestLazySavesPackets(t *testing.T) {
	eager, lazy := commitPackets(t, 1000, false), commitPackets(t, 1000, true)
	t.Logf("packets a round: %.2f, with the commit index sent lazily %.2f", eager, lazy)
	if lazy > 2.5 || lazy > 0.8*eager {
		t.Errorf("%.2f packets a round with lazy commits, %.2f without", lazy, eager)
	}
}

// Large frames in one direction.
func BenchmarkBulk(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			members := newMembers(b, 2)
			var came atomic.Int64
			members[1].receive = func(uint64, peerframe.Class, []byte) { came.Add(1) }
			for _, m := range members {
				m.start()
			}
			awaitAll(b, members)
			piece := peerframe.SnapshotOffer{Size: 1, ConfState: make([]byte, size)}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				for int64(i)-came.Load() > int64(2<<20/size) {
					time.Sleep(50 * time.Microsecond)
				}
				members[0].Send(2, peerframe.Bulk, peerframe.Encode(piece), false)
			}
			for came.Load() < int64(b.N) {
				time.Sleep(50 * time.Microsecond)
			}
			b.StopTimer()
			b.ReportMetric(float64(members[0].Status()[0].PacketsLost), "lost")
		})
	}
}
