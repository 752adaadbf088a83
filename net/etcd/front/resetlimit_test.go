package front

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"qkv/internal/limits"
	"qkv/internal/logx"
	"qkv/net/etcd/h2"
)

// TestResetsShare has two clients give up streams without end, on one connection and on a hundred, and a third one now and then: all
// together come at the limit's pace, the two get the same, and the third one does not wait.
func TestResetsShare(t *testing.T) {
	const chunk = 10
	type connection struct {
		pacing
		next time.Time
	}
	at := func(host string) *connection {
		return &connection{pacing: pacing{client: clientAt(&net.TCPAddr{IP: net.ParseIP(host), Port: 1})}}
	}
	r, begun := newResetLimit(), time.Unix(1000, 0)
	all := []*connection{at("10.0.0.1")}
	for range 100 {
		all = append(all, at("10.0.0.2"))
	}
	seldom := at("10.0.0.3")
	came := map[string]int{}
	const seconds, warmUp = 20, 5
	for now := begun; now.Before(begun.Add(seconds * time.Second)); now = now.Add(5 * time.Millisecond) {
		for _, c := range all {
			if now.Before(c.next) {
				continue
			}
			c.frames = chunk * etcdFramesReset
			c.next = now.Add(r.wait(&c.pacing, now))
			if now.After(begun.Add(warmUp * time.Second)) {
				came[c.client] += chunk
			}
		}
		if now.Nanosecond() == 0 {
			if seldom.frames = chunk * etcdFramesReset; r.wait(&seldom.pacing, now) > 0 {
				t.Errorf("after %v one that seldom gives up waits", now.Sub(begun))
			}
		}
	}
	most := limits.EtcdResets * (seconds - warmUp)
	one, hundred := came["10.0.0.1"], came["10.0.0.2"]
	if one+hundred > most || one+hundred < most/2 {
		t.Errorf("%d came, the limit is %d", one+hundred, most)
	}
	if one < hundred/2 || hundred < one/2 {
		t.Errorf("%d of one connection, %d of a hundred of another client", one, hundred)
	}
	if r.wait(&pacing{client: "10.0.0.4", frames: etcdFramesReset}, begun.Add(time.Hour)) > 0 || len(r.recent.clients) != 1 {
		t.Errorf("an hour later %d clients count", len(r.recent.clients))
	}
}

// TestIdleFrames counts frames that ask for nothing as resets, and none that ask for something.
func TestIdleFrames(t *testing.T) {
	m := NewAccounts(1<<30, logx.NewLimited(slog.New(slog.DiscardHandler)))
	s := m.Begin(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, func() {})
	for range 10 * etcdFramesReset {
		var c h2.StreamCharge
		s.Begin(&c, 100)
		s.Data(&c, 1)
		s.HalfClosed(&c)
		s.Over(&c)
	}
	if s.pacing.frames != 0 || m.Total() != 0 || s.open() {
		t.Errorf("requests count as %d frames without one, and %d bytes are held after all", s.pacing.frames, m.Total())
	}
	for range 5*etcdFramesReset + 7 {
		s.Idle(1)
	}
	s.Reset()
	now := time.Now()
	least := now.Add(-time.Second) // before any reset
	if m.resetLimit.wait(&s.pacing, now); s.pacing.paced.Sub(least) != 6*time.Second/limits.EtcdResets || s.pacing.frames != 7 {
		t.Errorf("%d frames that ask for nothing and a reset take %v of the limit, and leave %d frames", 5*etcdFramesReset+7, s.pacing.paced.Sub(least), s.pacing.frames)
	}
}

// TestRefusedAddress has connections of an address come to nothing: it is not heard any more, until a second without any. Others are,
// and so is this host.
func TestRefusedAddress(t *testing.T) {
	var r refusals
	now := time.Unix(1000, 0)
	for n := range etcdRefused {
		for _, client := range []string{"10.0.0.1", "127.0.0.1", clientAt(&net.TCPAddr{IP: net.IPv6loopback})} {
			if r.tooMany(client, now) {
				t.Fatalf("%s is not heard after %d", client, n)
			}
			r.add(client, now)
		}
	}
	for _, c := range []struct {
		client string
		after  time.Duration
		want   bool
	}{
		{"10.0.0.1", 0, true},
		{"10.0.0.3", 0, false},
		{"127.0.0.1", 0, false},
		{"10.0.0.1", time.Second, true},
		{"10.0.0.1", 2 * time.Second, false},
	} {
		if got := r.tooMany(c.client, now.Add(c.after)); got != c.want {
			t.Errorf("%s is kept out after %v: %v, want %v", c.client, c.after, got, c.want)
		}
	}
	if len(r.recent.clients) != 0 {
		t.Errorf("%d clients count when all is over", len(r.recent.clients))
	}
}
