package client

import (
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// A host is silent when it has not answered packets, a probe among them, for as long as its link explains; and not when it is idle, when
// mere acknowledgements are unanswered, or when the looks were apart.
func TestSilence(t *testing.T) {
	near, far := quic.ConnectionStats{SmoothedRTT: time.Millisecond}, quic.ConnectionStats{SmoothedRTT: 300 * time.Millisecond}
	const never = time.Hour
	const tick = 25 * time.Millisecond
	for _, x := range []struct {
		name    string
		link    quic.ConnectionStats
		late    time.Duration // answers come after so long; 0: before the next look
		answers int
		alone   bool
		packets int           // sent behind the last one that was heard
		every   time.Duration // between two looks
		probe   time.Duration // since the packets
		silent  time.Duration
	}{
		{"a quick link", near, 0, answersLeast, false, 2, tick, silenceLeast / 2, silenceLeast + tick/2}, // half of it from a look on
		{"late answers", near, 2 * tick, answersLeast, false, 2, tick, 8 * tick, 16 * tick},
		{"answers that are too late", near, 3 * tick, answersLeast, false, 2, tick, probeAfter, silenceMost},
		{"one answer too few", near, 0, answersLeast - 1, false, 2, tick, probeAfter, silenceMost},
		{"a far host", far, 0, 0, false, 2, 100 * time.Millisecond, probeAfter, 1200 * time.Millisecond},
		{"the only member", near, 0, answersLeast, true, 2, tick, probeAfter, silenceMost},
		{"an acknowledgement", near, 0, answersLeast, false, 1, tick, probeAfter, never},
		{"an idle member", near, 0, answersLeast, false, 0, tick, probeAfter, never},
		{"a client that is paused", near, 0, answersLeast, false, 2, silenceLeast, never, never},
	} {
		var s silence
		now := time.Now()
		stats := x.link
		for range x.answers {
			now = now.Add(tick)
			stats.PacketsReceived++
			s.look(now, stats, x.alone)
			stats.PacketsSent++
			for at := time.Duration(0); at < x.late; at += tick {
				now = now.Add(tick)
				s.look(now, stats, x.alone)
			}
		}
		stats.PacketsReceived++
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
		near := func(at, want time.Duration) bool { return at == want || at >= want-x.every && at < want+x.every }
		if !near(probe, x.probe) || !near(silent, x.silent) {
			t.Errorf("%s: probed after %v and silent after %v, want %v and %v", x.name, probe, silent, x.probe, x.silent)
		}
		stats.PacketsReceived++
		if found, ask := s.look(now.Add(x.every), stats, x.alone); found != 0 || ask {
			t.Errorf("%s: it was heard, and is silent for %v", x.name, found)
		}
	}
}

// A far host whose answers come all the time, as under load, shows no lateness. Its round trip alone makes no silence behind a pause.
func TestSilenceIsLongerThanARoundTrip(t *testing.T) {
	const tick, trip = 25 * time.Millisecond, 300 * time.Millisecond
	var s silence
	now, stats := time.Now(), quic.ConnectionStats{SmoothedRTT: trip}
	look := func(received uint64) (time.Duration, bool) {
		now = now.Add(tick)
		stats.PacketsReceived += received
		return s.look(now, stats, false)
	}
	for range answersLeast + 2 {
		stats.PacketsSent++
		look(1)
	}
	stats.PacketsSent += 2
	for at := tick; at <= trip; at += tick {
		if silent, _ := look(0); silent != 0 {
			t.Fatalf("%v after packets over a round trip of %v it is silent for %v", at, trip, silent)
		}
	}
	if look(1); s.late < trip-2*tick {
		t.Errorf("the answer took %v, and its lateness is %v", trip, s.late)
	}
}

// The lateness of a link is that of answers. The time in which this process was paused, or had no request under way, is none. Packets that
// nothing was sent for, as events of watches, tell nothing of it.
func TestLatenessIsOfAnswers(t *testing.T) {
	const tick = 25 * time.Millisecond
	near := quic.ConnectionStats{SmoothedRTT: time.Millisecond}
	for name, between := range map[string]func(s *silence) time.Duration{
		"a pause": func(*silence) time.Duration { return time.Second },
		"a rest":  func(s *silence) time.Duration { s.rest(); return silenceLeast - tick },
	} {
		s, now, stats := silence{answers: answersLeast}, time.Now(), near
		s.look(now, stats, false)
		stats.PacketsSent++
		now = now.Add(tick)
		s.look(now, stats, false)
		now = now.Add(between(&s))
		stats.PacketsReceived++
		if s.look(now, stats, false); s.late != 0 || s.answers != answersLeast {
			t.Errorf("%s counts as an answer that was %v late", name, s.late)
		}
	}
	s, now, stats := silence{}, time.Now(), near
	for range 2 * answersLeast {
		now = now.Add(tick)
		stats.PacketsReceived++
		s.look(now, stats, false)
	}
	if s.answers != 0 {
		t.Errorf("nothing was sent, and there are %d answers", s.answers)
	}
}

// An idle member that acknowledges nothing for long, because it was sent an acknowledgement alone, has half of the time for its answer to a
// probe.
func TestSilenceEndsWithAProbe(t *testing.T) {
	const tick = 25 * time.Millisecond
	s, now, stats := silence{answers: answersLeast}, time.Now(), quic.ConnectionStats{PacketsReceived: 7, PacketsSent: 7}
	s.look(now, stats, false)
	stats.PacketsSent++ // an acknowledgement
	look := func() (time.Duration, bool) {
		now = now.Add(tick)
		return s.look(now, stats, false)
	}
	for at := tick; ; at += tick {
		silent, probe := look()
		if silent != 0 || at > 2*probeAfter {
			t.Fatalf("after %v it is silent for %v, and was not probed", at, silent)
		}
		if probe {
			break
		}
	}
	stats.PacketsSent += 2 // the probe, repeated
	for at := tick; at < silenceLeast/2; at += tick {
		if silent, _ := look(); silent != 0 {
			t.Errorf("%v after the probe it is silent for %v", at, silent)
		}
	}
	if silent, _ := look(); silent == 0 {
		t.Error("it does not answer the probe, and is not silent")
	}
}
