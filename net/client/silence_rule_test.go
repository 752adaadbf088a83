package client

import (
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// A host is silent when it has not answered packets, a probe among them, for as long as its link explains; and not when it is idle, when
// mere acknowledgements are unanswered, or when the looks were apart.
func TestSilence(t *testing.T) {
	quick := quic.ConnectionStats{SmoothedRTT: time.Millisecond, MeanDeviation: time.Millisecond}
	slow := quic.ConnectionStats{SmoothedRTT: 20 * time.Millisecond, MeanDeviation: 5 * time.Millisecond}
	far := quic.ConnectionStats{SmoothedRTT: 300 * time.Millisecond, MeanDeviation: time.Millisecond}
	const never = time.Hour
	for _, x := range []struct {
		name    string
		link    quic.ConnectionStats
		alone   bool
		packets int           // sent behind the last one that was heard
		every   time.Duration // between two looks
		probe   time.Duration // since the packets
		silent  time.Duration
	}{
		{"a quick link", quick, false, 2, 25 * time.Millisecond, 75 * time.Millisecond, silenceLeast},
		{"a slow link", slow, false, 2, 20 * time.Millisecond, 160 * time.Millisecond, 320 * time.Millisecond},
		{"a far host", far, false, 2, 100 * time.Millisecond, probeAfter + 50*time.Millisecond, 1200 * time.Millisecond},
		{"the only member", quick, true, 2, 25 * time.Millisecond, probeAfter, silenceMost},
		{"an acknowledgement", quick, false, 1, 25 * time.Millisecond, probeAfter, never},
		{"an idle member", quick, false, 0, 25 * time.Millisecond, probeAfter, never},
		{"a client that is paused", quick, false, 2, silenceLeast, never, never},
	} {
		var s silence
		now := time.Now()
		stats := x.link
		stats.PacketsReceived, stats.PacketsSent = 7, 7
		s.look(now, stats, x.alone)
		stats.PacketsSent += uint64(x.packets)
		probe, silent := never, never
		for at := time.Duration(0); at < 2*time.Second && silent == never; at += x.every {
			now = now.Add(x.every)
			found, ask := s.look(now, stats, x.alone)
			if ask && probe == never {
				probe = at
			} else if ask {
				t.Errorf("%s: it is probed twice", x.name)
			}
			if found > 0 {
				silent = at
			}
		}
		if probe > x.probe || probe < x.probe-x.every || silent > x.silent || silent < x.silent-x.every {
			t.Errorf("%s: probed after %v and silent after %v, want %v and %v", x.name, probe, silent, x.probe, x.silent)
		}
		stats.PacketsReceived++
		if found, ask := s.look(now.Add(x.every), stats, x.alone); found != 0 || ask {
			t.Errorf("%s: it was heard, and is silent for %v", x.name, found)
		}
	}
}
