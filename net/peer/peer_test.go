package peer

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"go.uber.org/goleak"

	"qkv/internal/limits"
	"qkv/internal/testport"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// wait is for how long a test waits for what must come.
const wait = time.Minute

// A host that stands still for some seconds is not to cost the tests their connections.
func TestMain(m *testing.M) {
	dialConfig.MaxIdleTimeout, acceptConfig.MaxIdleTimeout = 2*wait, 2*wait
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if authorityDir != "" {
			_ = os.RemoveAll(authorityDir)
		}
		os.Exit(code)
	}))
}

// authority makes a CA once for all tests, with certificates of the members n1 to n4 and of a client.
var authority = sync.OnceValue(func() string {
	var err error
	if authorityDir, err = os.MkdirTemp("", "qkv-peer-test-"); err != nil {
		panic(err)
	}
	makeCerts(authorityDir, "test")
	return authorityDir
})

var authorityDir string // of authority, once it was asked for

func makeCerts(dir, cluster string) {
	m := wire.Maker{Now: time.Now, Rand: rand.Reader}
	if _, err := m.CreateCA(dir, cluster); err != nil {
		panic(err)
	}
	for i := 1; i <= 4; i++ {
		if _, err := m.CreateMember(dir, fmt.Sprintf("n%d", i), nil); err != nil {
			panic(err)
		}
	}
	if _, err := m.CreateClient(dir, "alice"); err != nil {
		panic(err)
	}
}

// member is one end of the tests: a Transport, and what came out of it.
type member struct {
	t       testing.TB
	config  Config
	receive func(from uint64, class peerframe.Class, frame []byte) // in place of what keeps frames; set before the start
	bars    func(its *peerframe.MemberIdentity) *peerframe.Refusal // judges each frame's connection; nil lets all pass
	peers   []Peer                                                 // for the next start
	*Transport
	logged *safeBuffer

	mu       sync.Mutex
	came     map[string][]string // by "from/class"
	events   map[uint64][]string
	refusals []peerframe.Refusal
	copies   []string
	admit    func(from uint64) error
	turned   []string                      // what TurnedAway was told
	stranger map[uint64]*peerframe.Refusal // what Stranger says, by id
	join     func(name string) (peerframe.Welcome, *peerframe.Refusal)
	part     func(request peerframe.PartRequest) (PartFile, *peerframe.Refusal)
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newMembers returns n members that know each other and listen, but are not started.
func newMembers(t testing.TB, n int) []*member {
	t.Helper()
	var peers []Peer
	var all []*member
	for i := 1; i <= n; i++ {
		socket, err := testport.Listen("", Listen)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("n%d", i)
		peers = append(peers, Peer{ID: uint64(i), Name: name, Addresses: []string{socket.LocalAddr().String()}})
		m := &member{t: t, logged: &safeBuffer{}, came: map[string][]string{}, events: map[uint64][]string{}}
		m.config = Config{Cluster: 0xc1, Name: name, Member: uint64(i), Listen: socket}
		m.config.Seed = uint64(time.Now().UnixNano()) + uint64(i)
		m.config.ResetKey = [32]byte{byte(i)}
		m.config.Trust = credentials(t, authority(), name)
		m.config.Logger = slog.New(slog.NewTextHandler(m.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		all = append(all, m)
	}
	for _, m := range all {
		m.peers = peers
	}
	t.Cleanup(func() {
		for _, m := range all {
			m.stop()
			if t.Failed() {
				t.Logf("%s logged:\n%s", m.config.Name, m.logged)
			}
		}
	})
	return all
}

func credentials(t testing.TB, dir, name string) *wire.Credentials {
	t.Helper()
	c, err := wire.LoadMember(dir, name, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// folderOf is the folder id that a member shows, so that the others can tell whose identity it is.
func folderOf(id uint64) (folder [16]byte) {
	copy(folder[:], fmt.Sprintf("folder of n%d", id))
	return folder
}

// Identity implements Handler.
func (m *member) Identity() peerframe.MemberIdentity {
	return peerframe.MemberIdentity{Folder: folderOf(m.config.Member), Process: m.config.Process}
}

// Admit implements Handler.
func (m *member) Admit(from uint64, its peerframe.MemberIdentity) error {
	if its.Folder != folderOf(from) {
		m.t.Errorf("n%d shows the folder %q", from, its.Folder)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.admit != nil {
		return m.admit(from)
	}
	return nil
}

// Receive implements Handler.
func (m *member) Receive(from uint64, its *peerframe.MemberIdentity, class peerframe.Class, frame []byte) *peerframe.Refusal {
	if m.bars != nil {
		if no := m.bars(its); no != nil {
			return no
		}
	}
	if m.receive != nil {
		m.receive(from, class, frame)
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := fmt.Sprintf("%d/%d", from, class)
	m.came[key] = append(m.came[key], string(frame))
	return nil
}

// Connected implements Handler.
func (m *member) Connected(id uint64) { m.event(id, "connected") }

// Disconnected implements Handler.
func (m *member) Disconnected(id uint64) { m.event(id, "disconnected") }

// Died implements Handler.
func (m *member) Died(id uint64) { m.event(id, "died") }

// Copied implements Handler.
func (m *member) Copied(_ uint64, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.copies = append(m.copies, why)
}

func (m *member) event(id uint64, what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events[id] = append(m.events[id], what)
}

// Refused implements Handler.
func (m *member) Refused(_ uint64, why peerframe.Refusal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refusals = append(m.refusals, why)
}

// Distrusted implements Handler.
func (m *member) Distrusted(id uint64, why string) {
	fmt.Fprintf(m.logged, "distrusted by %d: %s\n", id, why)
}

// TurnedAway implements Handler.
func (m *member) TurnedAway(who, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turned = append(m.turned, who+": "+why)
}

// Stranger implements Handler.
func (m *member) Stranger(_ string, id uint64) *peerframe.Refusal {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stranger[id]
}

// Join implements Handler.
func (m *member) Join(request peerframe.JoinRequest) (peerframe.Welcome, *peerframe.Refusal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.join(request.Name)
}

// Part implements Handler.
func (m *member) Part(request peerframe.PartRequest) (PartFile, *peerframe.Refusal) {
	m.mu.Lock()
	part := m.part
	m.mu.Unlock()
	return part(request)
}

// link is what the Transport has for a peer.
func (m *member) link(id uint64) *link { return (*m.links.Load())[id] }

func (m *member) start() {
	m.t.Helper()
	if m.config.Listen == nil {
		socket, err := testport.Listen(m.address(), Listen)
		if err != nil {
			m.t.Fatal(err)
		}
		m.config.Listen = socket
	}
	if _, err := rand.Read(m.config.Process[:]); err != nil {
		m.t.Fatal(err)
	}
	transport, err := New(m.config)
	if err == nil {
		transport.SetPeers(m.peers)
		err = transport.Start(m)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.Transport = transport
}

func (m *member) address() string {
	for _, p := range m.peers {
		if p.ID == m.config.Member {
			return p.Addresses[0]
		}
	}
	panic("not in its own list")
}

func (m *member) stop() {
	if m.Transport != nil {
		if err := m.Close(); err != nil {
			m.t.Errorf("close: %v", err)
		}
	} else if m.config.Listen != nil {
		_ = m.config.Listen.Close()
	}
	m.Transport, m.config.Listen = nil, nil
}

// kill ends a member as the kernel would: nothing is said to anybody.
func (m *member) kill() {
	_ = m.config.Listen.Close() // first, so that no goodbye gets out
	_ = m.Close()
	m.Transport, m.config.Listen = nil, nil
}

// connectedTo says whether a connection is in use, and the member was told so: the one comes right after the other.
func (m *member) connectedTo(id uint64) bool {
	for _, s := range m.Status() {
		if s.ID == id && s.Connected {
			m.mu.Lock()
			defer m.mu.Unlock()
			e := m.events[id]
			return len(e) > 0 && e[len(e)-1] == "connected"
		}
	}
	return false
}

func (m *member) frames(from uint64, class peerframe.Class) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.came[fmt.Sprintf("%d/%d", from, class)]
}

func (m *member) refused() []peerframe.Refusal {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]peerframe.Refusal(nil), m.refusals...)
}

func (m *member) history(id uint64) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.events[id], " ")
}

// await waits for a condition; real sockets and clocks are at work.
func await(t testing.TB, what string, limit time.Duration, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

func awaitAll(t testing.TB, members []*member) {
	t.Helper()
	await(t, "all are connected", wait, func() bool {
		for _, a := range members {
			for _, b := range members {
				if a != b && !a.connectedTo(b.config.Member) {
					return false
				}
			}
		}
		return true
	})
}

func startAll(t testing.TB, n int) []*member {
	t.Helper()
	members := newMembers(t, n)
	for _, m := range members {
		m.start()
	}
	awaitAll(t, members)
	return members
}

func TestOrderOfEachClass(t *testing.T) {
	members := startAll(t, 3)
	const count = 3000
	var all sync.WaitGroup
	for _, from := range members {
		for class := range peerframe.Classes {
			all.Go(func() {
				for i := range count {
					for _, to := range members {
						if to != from {
							from.Send(to.config.Member, class, numbered(i, class), i%7 == 0)
						}
					}
				}
			})
		}
	}
	all.Wait()
	for _, to := range members {
		for _, from := range members {
			for class := range peerframe.Classes {
				if to == from {
					continue
				}
				await(t, fmt.Sprintf("%v from %s at %s", class, from.config.Name, to.config.Name), wait, func() bool {
					return len(to.frames(from.config.Member, class)) == count
				})
				for i, frame := range to.frames(from.config.Member, class) {
					if frame != string(numbered(i, class)) {
						t.Fatalf("frame %d of %v is not the one that was sent as such", i, class)
					}
				}
			}
		}
	}
}

// numbered is a frame of some length that only i makes; each 500th is large.
func numbered(i int, class peerframe.Class) []byte {
	size := 8 + i%300
	if i%500 == 499 {
		size = 20_000 + 97*i
	}
	b := bytes.Repeat([]byte{byte(i)}, size)
	binary.BigEndian.PutUint64(b, uint64(i)<<8|uint64(class))
	return b
}

// Both dial at once, again and again: they must agree on one connection, and it must stay.
func TestSimultaneousDial(t *testing.T) {
	for range 15 {
		members := newMembers(t, 2)
		var both sync.WaitGroup
		for _, m := range members {
			both.Go(m.start)
		}
		both.Wait()
		awaitAll(t, members)
		time.Sleep(20 * time.Millisecond) // for what is left of the other connection
		awaitAll(t, members)
		a, b := members[0].Status()[0], members[1].Status()[0]
		if a.Dialled == b.Dialled {
			t.Fatalf("n1 dialled: %v, n2 dialled: %v, so they are two connections", a.Dialled, b.Dialled)
		}
		members[0].Send(2, peerframe.Append, []byte("there"), false)
		await(t, "a frame arrives", wait, func() bool { return len(members[1].frames(1, peerframe.Append)) == 1 })
		for _, m := range members {
			m.stop()
			for id := range uint64(3) {
				if h := m.history(id); strings.Contains(h, "connected connected") || strings.HasPrefix(h, "dis") {
					t.Fatalf("%s saw of %d: %s", m.config.Name, id, h)
				}
			}
		}
	}
}

func TestKilledPeerIsNoticedWhenItIsBack(t *testing.T) {
	for _, victim := range []int{0, 1} {
		members := startAll(t, 2)
		other := members[1-victim]
		id := members[victim].config.Member
		before := other.Status()[0].Since
		members[victim].kill()
		members[victim].start()
		took := await(t, "the restarted peer is connected", wait, func() bool {
			s := other.Status()[0]
			return s.Connected && s.Since != before
		})
		t.Logf("noticed and connected after %v", took)
		awaitAll(t, members)
		if h := other.history(id); h != "connected disconnected connected" {
			t.Errorf("the other one saw: %s", h)
		}
	}
}

// A restarted peer that cannot dial is noticed by the stateless reset alone.
func TestStatelessReset(t *testing.T) {
	t.Parallel()
	members := startAll(t, 2)
	// The one who dialled keeps the other's token: that is n1 or n2.
	victim := members[1]
	if !members[0].Status()[0].Dialled {
		victim = members[0]
	}
	other := members[0]
	if other == victim {
		other = members[1]
	}
	victim.kill()
	list := victim.peers
	victim.peers = nil
	socket, err := testport.Listen(other.peerAddress(victim.config.Member), Listen)
	if err != nil {
		t.Fatal(err)
	}
	victim.config.Listen = socket
	victim.start()
	victim.peers = list
	took := await(t, "the reset is noticed", wait, func() bool { // and not that the other one is silent
		// QUIC answers only to packets that are longer than a bare sign of life: raft's heartbeats are.
		other.Send(victim.config.Member, peerframe.Urgent, make([]byte, 30), false)
		time.Sleep(20 * time.Millisecond)
		return strings.Contains(other.logged.String(), "the peer was restarted")
	})
	t.Logf("noticed after %v", took)
}

func (m *member) peerAddress(id uint64) string {
	for _, p := range m.peers {
		if p.ID == id {
			return p.Addresses[0]
		}
	}
	panic("no such peer")
}

func TestSilentPeerIsGivenUp(t *testing.T) {
	inTests := [2]*quic.Config{dialConfig, acceptConfig}
	t.Cleanup(func() { dialConfig, acceptConfig = inTests[0], inTests[1] }) // after the members have ended
	dialConfig, acceptConfig = quicConfig(-1), quicConfig(1)
	members := startAll(t, 2)
	members[1].kill()
	took := await(t, "the dead peer is given up", wait, func() bool { return !members[0].connectedTo(2) })
	if took < limits.PeerIdleTimeout/2 || took > wait/2 {
		t.Errorf("given up after %v", took)
	}
	members[0].Send(2, peerframe.Urgent, []byte("into the void"), false)
	if s := members[0].Status()[0]; s.Dropped == 0 || s.LastErr == "" {
		t.Errorf("%+v", s)
	}
}

func TestRefusalArrives(t *testing.T) {
	t.Parallel()
	members := newMembers(t, 2)
	members[0].admit = func(uint64) error {
		return &peerframe.Refusal{Code: peerframe.ForgotByLeader, Text: "AMNESIA: you forgot index 7"}
	}
	for _, m := range members {
		m.start()
	}
	await(t, "the refusal arrives", wait, func() bool { return len(members[1].refused()) > 0 })
	if r := members[1].refused()[0]; r != (peerframe.Refusal{Code: peerframe.ForgotByLeader, Text: "AMNESIA: you forgot index 7"}) {
		t.Errorf("refused with %+v", r)
	}
	await(t, "it is the last error", wait, func() bool { return strings.Contains(members[1].Status()[0].LastErr, "AMNESIA") })
	begun, before := time.Now(), len(members[1].refused())
	time.Sleep(time.Second)
	if n, took := len(members[1].refused())-before, time.Since(begun); n > 4+4*int(took/time.Second) {
		t.Errorf("refused %d times within %v: nobody waits", n, took)
	}
	members[0].mu.Lock()
	members[0].admit = nil
	members[0].mu.Unlock()
	took := await(t, "they are connected when nothing is refused any more", wait, func() bool { return members[1].connectedTo(1) })
	t.Logf("connected %v later", took)
	for _, m := range members {
		if h := m.history(3 - m.config.Member); strings.Contains(h, "dis") {
			t.Errorf("%s served a connection that was refused: %s", m.config.Name, h)
		}
	}
}
