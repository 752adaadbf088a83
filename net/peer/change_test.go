package peer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/internal/testport"
	"qkv/internal/testretry"
	"qkv/net/wire/peerframe"
)

// without returns the peers but one, and with them with it in another form.
func (m *member) without(id uint64) []Peer {
	return slices.DeleteFunc(slices.Clone(m.peers), func(p Peer) bool { return p.ID == id })
}

func (m *member) with(p Peer) []Peer {
	return append(slices.DeleteFunc(slices.Clone(m.peers), func(q Peer) bool { return q.Name == p.Name }), p)
}

func (m *member) tellStrangers(id uint64, no *peerframe.Refusal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stranger = map[uint64]*peerframe.Refusal{id: no}
}

// blackHole is an address that takes packets and answers none.
func blackHole(t testing.TB) string {
	t.Helper()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return socket.LocalAddr().String()
}

// Members remove each other, add each other again and change addresses while all of them send: what is said of a peer
// stays in order, and nothing of what was removed is left.
func TestPeersChangeUnderTraffic(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	members := newMembers(t, 3)
	var came, streams atomic.Int64
	for _, m := range members {
		newest := map[[2]uint64]uint64{}
		m.receive = func(from uint64, class peerframe.Class, frame []byte) {
			came.Add(1)
			m.mu.Lock()
			defer m.mu.Unlock()
			if e := m.events[from]; len(e) == 0 || e[len(e)-1] != "connected" {
				t.Errorf("%s got a frame of %d while it was not connected", m.config.Name, from)
			}
			key, number := [2]uint64{from, uint64(class)}, binary.BigEndian.Uint64(frame)
			if number <= newest[key] {
				t.Errorf("%s got %d after %d of %d", m.config.Name, number, newest[key], from)
			}
			if newest[key] == 0 {
				streams.Add(1)
			}
			newest[key] = number
		}
		m.start()
	}
	awaitAll(t, members)
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for _, from := range members {
		for class := range peerframe.Classes {
			senders.Go(func() {
				for number := uint64(1); ; number++ {
					select {
					case <-stop:
						return
					default:
					}
					for id := range uint64(4) {
						from.Send(id, class, binary.BigEndian.AppendUint64(nil, number), number%3 == 0)
					}
					time.Sleep(100 * time.Microsecond)
				}
			})
		}
	}
	await(t, "each stream is read", wait, func() bool { return streams.Load() == 3*2*int64(peerframe.Classes) })
	goroutines := runtime.NumGoroutine() - 3*int(peerframe.Classes) // without the senders
	rounds := 60
	if testing.Short() {
		rounds = 20
	}
	for range rounds {
		m, id := members[random.IntN(3)], uint64(1+random.IntN(3))
		other := slices.Clone(m.peers)
		other[id-1].Addresses = append([]string{"127.0.0.1:1"}, other[id-1].Addresses...)
		for _, list := range [][]Peer{m.without(id), other, m.peers, nil, m.peers}[random.IntN(4):] {
			m.SetPeers(list)
			if random.IntN(2) == 0 {
				time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
			}
		}
	}
	await(t, "all are connected again", wait, func() bool {
		return !slices.ContainsFunc(members, func(m *member) bool {
			return slices.ContainsFunc(m.Status(), func(s PeerStatus) bool { return !s.Connected })
		})
	})
	before := came.Load()
	await(t, "frames arrive", wait, func() bool { return came.Load() > before+100 })
	close(stop)
	senders.Wait()
	for _, m := range members {
		for id := range uint64(4) {
			if h := strings.ReplaceAll(m.history(id)+" ", "connected disconnected ", ""); h != "connected " && h != " " {
				t.Errorf("%s saw of %d: %s", m.config.Name, id, m.history(id))
			}
		}
		m.Transport.mu.Lock()
		if n := len(m.ending); n != 0 {
			t.Errorf("%s keeps %d links that have ended", m.config.Name, n)
		}
		m.Transport.mu.Unlock()
	}
	await(t, fmt.Sprintf("there are %d goroutines again", goroutines), wait, func() bool { return runtime.NumGoroutine() <= goroutines })
}

// A peer that is removed hears why, as often as it comes back; the handler of the one that removed it hears of the end of
// the connection, and nothing more.
func TestRemovedPeer(t *testing.T) {
	t.Parallel()
	members := newMembers(t, 3)
	n1, n2 := members[0], members[1]
	var admitted atomic.Int64
	n1.admit = func(from uint64) error {
		if from == 2 {
			admitted.Add(1)
		}
		return nil
	}
	for _, m := range members {
		m.start()
	}
	awaitAll(t, members)
	asked := admitted.Load()
	no := peerframe.Refusal{Code: peerframe.RemovedByLeader, Text: "n2 was removed from the cluster"}
	n1.tellStrangers(2, &no)
	old := n1.link(2)
	n1.SetPeers(n1.without(2))
	n1.Send(2, peerframe.Append, []byte("nobody"), false)
	if s := n1.Status(); len(s) != 1 || s[0].ID != 3 {
		t.Errorf("n1 still knows %+v", s)
	}
	select {
	case <-old.ended:
	case <-time.After(wait):
		t.Fatal("the link of a removed peer does not end")
	}
	if old.inUse() != nil {
		t.Error("the link has ended and uses a connection")
	}
	await(t, "n2 hears of it twice", wait, func() bool { return len(n2.refused()) >= 2 })
	for _, r := range n2.refused() {
		if r != no {
			t.Errorf("n2 was told %+v", r)
		}
	}
	if s := n2.Status()[0]; s.Connected || !strings.Contains(s.LastErr, no.Text) {
		t.Errorf("n2 sees %+v", s)
	}
	if h := n1.history(2); h != "connected disconnected" {
		t.Errorf("n1 saw of n2: %s", h)
	}
	if n := admitted.Load(); n != asked {
		t.Errorf("n1 was asked %d times to admit n2 when it was no peer", n-asked)
	}
	if len(n1.refused()) != 0 {
		t.Errorf("n1 was refused: %+v", n1.refused())
	}
	if h := n1.history(3); h != "connected" {
		t.Errorf("n1 saw of n3: %s", h)
	}
	n1.SetPeers(n1.peers)
	await(t, "n2 is connected again", wait, func() bool { return n1.connectedTo(2) && n2.connectedTo(1) })
	if h := n1.history(2); h != "connected disconnected connected" {
		t.Errorf("n1 saw of n2: %s", h)
	}
}

// A member was removed, and another one added under its name: they are two, and each is told which one it is.
func TestOtherIDUnderTheName(t *testing.T) {
	t.Parallel()
	members := newMembers(t, 2)
	n1, old := members[0], members[1]
	for _, m := range members {
		m.start()
	}
	awaitAll(t, members)
	no := peerframe.Refusal{Code: peerframe.Removed, Text: "you were replaced"}
	n1.tellStrangers(2, &no)
	replaced := Peer{ID: 9, Name: "n2", Addresses: []string{old.address()}}
	n1.peers = n1.with(replaced)
	n1.SetPeers(n1.peers)
	await(t, "the old one hears of it", wait, func() bool { return len(old.refused()) > 0 && old.refused()[0] == no })
	await(t, "n1 hears that the old one is another", wait, func() bool {
		return strings.Contains(n1.Status()[0].LastErr, "the sender expects 0000000000000009, the receiver is 0000000000000002") ||
			strings.Contains(n1.Status()[0].LastErr, "the sender has 0000000000000002")
	})
	address := old.address()
	old.stop()
	fresh := &member{t: t, config: old.config, peers: n1.peers, logged: &safeBuffer{}, came: map[string][]string{}, events: map[uint64][]string{}}
	fresh.config.Member = 9
	defer fresh.stop()
	var err error
	if fresh.config.Listen, err = testport.Listen(address, Listen); err != nil {
		t.Fatal(err)
	}
	fresh.start()
	await(t, "the new one is connected", wait, func() bool { return n1.connectedTo(9) && fresh.connectedTo(1) })
	fresh.Send(1, peerframe.Append, []byte("here"), false)
	await(t, "its frame arrives as its own", wait, func() bool { return len(n1.frames(9, peerframe.Append)) == 1 })
	if a, b := n1.history(2), n1.history(9); a != "connected disconnected" || b != "connected" {
		t.Errorf("n1 saw of the old one: %s, and of the new one: %s", a, b)
	}
}

// A known id under another member's certificate is not believed.
func TestIDOfAnother(t *testing.T) {
	members := newMembers(t, 2)
	m := members[0]
	m.start()
	q := hostile(t, m, "n3")
	_, _, err := exchange(q, &peerframe.Handshake{
		Cluster: 0xc1, From: 2, To: 1, Dial: 1, MemberIdentity: peerframe.MemberIdentity{Folder: folderOf(2), Process: [16]byte{1}},
	})
	if err := whyEnded(t, q, nil); !strings.Contains(err.Error(), `"n3" with ID 0000000000000002 is not in the member list`) {
		t.Errorf("ended by %v", err)
	}
	if err == nil || m.history(2) != "" {
		t.Errorf("n1 saw of n2: %s, %v", m.history(2), err)
	}
}

func TestAddressesAreTriedInTurn(t *testing.T) {
	t.Parallel()
	members := newMembers(t, 2)
	real := members[1].address()
	members[0].peers = members[0].with(Peer{ID: 2, Name: "n2", Addresses: []string{"nowhere", blackHole(t), real}})
	members[1].peers = members[1].with(Peer{ID: 1, Name: "n1"}) // it cannot dial
	for _, m := range members {
		m.start()
	}
	awaitAll(t, members)
	if s := members[0].Status()[0]; !s.Dialled || !slices.Equal(s.Addresses, members[0].peers[1].Addresses) {
		t.Errorf("%+v", s)
	}
}

// Other addresses are dialled at once, also when the last dial still waits for an answer, and a connection in use stays.
func TestOtherAddresses(t *testing.T) {
	t.Parallel()
	testretry.Again(t, 5, otherAddresses)
}

func otherAddresses(t testing.TB) {
	members := newMembers(t, 2)
	n1, real := members[0], members[1].address()
	nobody := blackHole(t)
	n1.peers = n1.with(Peer{ID: 2, Name: "n2", Addresses: []string{nobody}})
	members[1].peers = members[1].with(Peer{ID: 1, Name: "n1"})
	for _, m := range members {
		m.start()
	}
	await(t, "n1 dials", wait, func() bool {
		l := n1.link(2)
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.dialling != nil
	})
	n1.SetPeers(n1.with(Peer{ID: 2, Name: "n2", Addresses: []string{real}}))
	if took := await(t, "they are connected", wait, func() bool { return n1.connectedTo(2) }); took > time.Second {
		t.Errorf("it took %v", took) // the dial that was under way would have ended after two
	}
	since := n1.Status()[0].Since
	n1.SetPeers(n1.with(Peer{ID: 2, Name: "n2", Addresses: []string{nobody}}))
	time.Sleep(100 * time.Millisecond)
	if s := n1.Status()[0]; !s.Connected || s.Since != since || s.Addresses[0] != nobody {
		t.Errorf("%+v", s)
	}
	members[1].stop()
	await(t, "the connection ends", wait, func() bool { return !n1.connectedTo(2) })
	members[1].start()
	time.Sleep(500 * time.Millisecond)
	if n1.connectedTo(2) {
		t.Error("n1 still dials the address from before")
	}
	n1.SetPeers(n1.with(Peer{ID: 2, Name: "n2", Addresses: []string{real}}))
	await(t, "they are connected again", wait, func() bool { return n1.connectedTo(2) })
}

// Peers may be set before the start as often as one likes, and after the end it does nothing.
func TestSetPeersBeforeAndAfter(t *testing.T) {
	members := newMembers(t, 2)
	for _, m := range members {
		transport, err := New(m.config)
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range [][]Peer{m.peers, nil, {{ID: 77, Name: "n4"}}, m.peers} {
			transport.SetPeers(list)
		}
		if s := transport.Status(); len(s) != 1 || s[0].LastErr != "not connected yet" {
			t.Errorf("%+v", s)
		}
		if err := transport.Start(m); err != nil {
			t.Fatal(err)
		}
		m.Transport = transport
	}
	awaitAll(t, members)
	if err := members[0].Close(); err != nil {
		t.Error(err)
	}
	seen := members[0].history(2)
	members[0].SetPeers(nil)
	members[0].SetPeers(members[0].peers)
	if h := members[0].history(2); h != seen {
		t.Errorf("after the end: %s", h)
	}
}
