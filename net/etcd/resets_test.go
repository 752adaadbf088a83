package etcd

import (
	"net"
	"testing"
	"time"

	"qkv/internal/limits"
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
	r, begun := newResets(), time.Unix(1000, 0)
	all := []*connection{at("10.0.0.1")}
	for range 100 {
		all = append(all, at("10.0.0.2"))
	}
	seldom := at("10.0.0.3")
	came := map[string]int{}
	const seconds, settled = 20, 5
	for now := begun; now.Before(begun.Add(seconds * time.Second)); now = now.Add(5 * time.Millisecond) {
		for _, c := range all {
			if now.Before(c.next) {
				continue
			}
			c.resets = chunk
			c.next = now.Add(r.wait(&c.pacing, now))
			if now.After(begun.Add(settled * time.Second)) {
				came[c.client] += chunk
			}
		}
		if now.Nanosecond() == 0 {
			if seldom.resets = chunk; r.wait(&seldom.pacing, now) > 0 {
				t.Errorf("after %v one that seldom gives up waits", now.Sub(begun))
			}
		}
	}
	most := limits.EtcdResets * (seconds - settled)
	one, hundred := came["10.0.0.1"], came["10.0.0.2"]
	if one+hundred > most || one+hundred < most/2 {
		t.Errorf("%d came, the limit is %d", one+hundred, most)
	}
	if one < hundred/2 || hundred < one/2 {
		t.Errorf("%d of one connection, %d of a hundred of another client", one, hundred)
	}
	if r.wait(&pacing{client: "10.0.0.4", resets: 1}, begun.Add(time.Hour)) > 0 || len(r.clients) != 1 {
		t.Errorf("an hour later %d clients count", len(r.clients))
	}
}
