package peer

import (
	"net"
	"strings"
	"testing"

	"qkv/net/wire/peerframe"
)

// A peer's host says whether a process of it is there; one that never said so, because nothing listens there, says nothing by that.
func TestCheckAlive(t *testing.T) {
	members := newMembers(t, 3)
	n1, n2 := members[0], members[1]
	var shows net.Listener
	for _, m := range members[:2] {
		alive, err := ListenAlive(m.config.Listen)
		if err != nil {
			t.Skip("the port is taken for TCP: ", err)
		}
		t.Cleanup(func() { _ = alive.Close() })
		m.config.Alive, shows = alive, alive
	}
	for _, m := range members {
		m.start()
	}
	awaitAll(t, members)
	await(t, "n1 knows who tells", wait, func() bool { return n1.link(2).alive.Load() != nil })
	asked := func(ids ...uint64) {
		for _, id := range ids {
			n1.CheckAlive(id)
			await(t, "it was asked", wait, func() bool { l := n1.link(id); return l == nil || !l.checkingAlive.Load() })
		}
	}
	asked(2, 3, 7, 2)
	for _, m := range []*member{n2, members[2]} {
		if h := n1.history(m.config.Member); h != "connected" {
			t.Errorf("n1 saw of %s: %s", m.config.Name, h)
		}
	}
	if err := shows.Close(); err != nil { // as the end of the process would
		t.Fatal(err)
	}
	asked(2, 3)
	await(t, "n2 has died", wait, func() bool { return n1.history(2) == "connected died" })
	if at := n1.link(3).alive.Load(); at != nil || strings.Contains(n1.history(3), "died") {
		t.Errorf("n3, which shows nothing: asked at %v, and n1 saw %s", at, n1.history(3))
	}
}

// Of two processes of one member, at two addresses, the second one is refused while the first one lives, and takes its place when
// that has died.
func TestRival(t *testing.T) {
	members := newMembers(t, 2)
	n1, n2 := members[0], members[1]
	twin := newMembers(t, 2)[1]
	for _, m := range []*member{n2, twin} {
		alive, err := ListenAlive(m.config.Listen)
		if err != nil {
			t.Skip("the port is taken for TCP: ", err)
		}
		t.Cleanup(func() { _ = alive.Close() })
		m.config.Alive = alive
	}
	twin.peers = []Peer{n1.peers[0], twin.peers[1]}
	n1.start()
	n2.start()
	awaitAll(t, members)
	await(t, "n1 knows who tells", wait, func() bool { return n1.link(2).alive.Load() != nil })
	twin.start()
	await(t, "the second one is refused", wait, func() bool { return len(twin.refused()) > 0 })
	for _, no := range twin.refused() {
		if no.Code != peerframe.Refused || !strings.Contains(no.Text, "the data folder was copied; stop the one at ") {
			t.Errorf("it is refused because %v", no)
		}
	}
	if h := n1.history(2); h != "connected" {
		t.Errorf("n1 saw of n2: %s", h)
	}
	n1.mu.Lock()
	copies := n1.copies
	n1.mu.Unlock()
	if len(copies) == 0 || copies[0] != twin.refused()[0].Text {
		t.Errorf("n1 is told of copies: %q", copies)
	}
	if err := n2.config.Alive.Close(); err != nil { // as the end of the process would
		t.Fatal(err)
	}
	n2.kill()
	await(t, "the second one is in its place", wait, func() bool { return twin.connectedTo(1) })
}
