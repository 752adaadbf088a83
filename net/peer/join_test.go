package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

var welcomed = peerframe.Welcome{Cluster: 0xc1, ID: 1 << 62, Members: []kv.Member{
	{ID: 1, Name: "n1", Peers: []string{"10.0.0.1:2380"}},
	{ID: 1 << 62, Name: "n3", Peers: []string{"10.0.0.3:2380", "n3.example:2380"}},
}}

var notAdded = peerframe.Refusal{Code: peerframe.Refused, Text: "n3 was not added to the cluster"}

// asked returns a member that welcomes n3 once it was asked more than some times, and refuses it before.
func asked(t *testing.T, refuses int64) (m *member, questions *atomic.Int64) {
	m, questions = newMembers(t, 1)[0], &atomic.Int64{}
	m.join = func(name string) (peerframe.Welcome, *peerframe.Refusal) {
		if questions.Add(1) <= refuses || name != "n3" {
			no := notAdded
			return peerframe.Welcome{}, &no
		}
		return welcomed, nil
	}
	m.start()
	return m, questions
}

func askWith(t testing.TB, dir string, addresses ...string) AskConfig {
	return AskConfig{Trust: credentials(t, dir, "n3"), Addresses: addresses, Name: "n3", Folder: [16]byte{3}, Logger: slog.New(slog.DiscardHandler)}
}

// idle waits until no connection keeps a place among the handshakes.
func (m *member) idle() {
	await(m.t, "no handshake is under way", wait, func() bool { return m.handshakes.Count() == 0 })
}

// The first addresses lead nowhere, the member behind the last one is behind at first, and the joiner learns who it is.
func TestJoin(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	m, questions := asked(t, 2)
	got, err := Ask(t.Context(), askWith(t, authority(), "nowhere", blackHole(t), m.address()))
	if err != nil || !reflect.DeepEqual(got, welcomed) {
		t.Errorf("%+v, %v", got, err)
	}
	if n := questions.Load(); n != 3 {
		t.Errorf("%d questions", n)
	}
	if m.history(3) != "" || len(m.Status()) != 0 {
		t.Error("the joiner is taken for a peer")
	}
	m.idle()
	await(t, "the member logs it", wait, func() bool { return strings.Contains(m.logged.String(), "sent its member ID and the member list") })
}

func TestJoinIsRefused(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	m, questions := asked(t, 1<<60)
	began := time.Now()
	_, err := Ask(t.Context(), askWith(t, authority(), m.address()))
	if no, ok := errors.AsType[*peerframe.Refusal](err); !ok || *no != notAdded {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took < joinRefusedTimeout || questions.Load() < 2 {
		t.Errorf("given up after %v and %d questions", took, questions.Load())
	}
	m.idle()
}

// Who has the name of a lost member waits until that one is replaced, also while the name is nobody's meanwhile.
func TestJoinWaitsForAReplacement(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	m, questions, since := newMembers(t, 1)[0], atomic.Int64{}, atomic.Int64{}
	taken := peerframe.Refusal{Code: peerframe.Taken, Text: "n3 has joined already: run `qkv member replace n3 --peer HOST:PORT`"}
	m.join = func(string) (peerframe.Welcome, *peerframe.Refusal) {
		switch n := questions.Add(1); {
		case n == 2:
			since.Store(time.Now().UnixNano())
			return peerframe.Welcome{}, &taken
		case n > 2 && time.Since(time.Unix(0, since.Load())) > joinRefusedTimeout+2*peerDialPauseMost:
			return welcomed, nil
		}
		no := notAdded
		return peerframe.Welcome{}, &no
	}
	m.start()
	config, logged := askWith(t, authority(), m.address()), &safeBuffer{}
	config.Logger = slog.New(slog.NewTextHandler(logged, nil))
	if got, err := Ask(t.Context(), config); err != nil || !reflect.DeepEqual(got, welcomed) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"waiting for permission to join", "qkv member replace n3", "n3 was not added"} {
		if !strings.Contains(logged.String(), text) {
			t.Errorf("the log does not say %q:\n%s", text, logged.String())
		}
	}
}

// TestJoinThatIsNormal: a joiner that has to ask again, because it is just being added, logs no warning unless that lasts.
func TestJoinThatIsNormal(t *testing.T) {
	t.Parallel()
	m, questions := newMembers(t, 1)[0], atomic.Int64{}
	m.join = func(string) (peerframe.Welcome, *peerframe.Refusal) {
		if questions.Add(1) > 1 {
			return welcomed, nil
		}
		return peerframe.Welcome{}, &peerframe.Refusal{Code: peerframe.Behind, Text: "n3 is being added by the cluster secret"}
	}
	m.start()
	config, logged := askWith(t, authority(), m.address()), &safeBuffer{}
	config.Logger = slog.New(slog.NewTextHandler(logged, nil))
	if got, err := Ask(t.Context(), config); err != nil || !reflect.DeepEqual(got, welcomed) {
		t.Errorf("%+v, %v", got, err)
	}
	if text := logged.String(); strings.Contains(text, "level=WARN") || !strings.Contains(text, "n3 is being added by the cluster secret") {
		t.Errorf("the log of a normal join:\n%s", text)
	}
	if text := m.logged.String(); strings.Contains(text, "refused a connection") || !strings.Contains(text, "a member has to ask again") {
		t.Errorf("the log of the member that was asked:\n%s", text)
	}
}

// Who is asked by a joiner and may be behind is asked again, for as long as that takes.
func TestJoinWaitsForOneThatIsBehind(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	m, since := newMembers(t, 1)[0], time.Now()
	m.join = func(string) (peerframe.Welcome, *peerframe.Refusal) {
		if time.Since(since) > joinRefusedTimeout+2*peerDialPauseMost {
			return welcomed, nil
		}
		return peerframe.Welcome{}, &peerframe.Refusal{Code: peerframe.Behind, Text: "n1 may be behind"}
	}
	m.start()
	config, logged := askWith(t, authority(), m.address()), &safeBuffer{}
	config.Logger = slog.New(slog.NewTextHandler(logged, nil))
	if got, err := Ask(t.Context(), config); err != nil || !reflect.DeepEqual(got, welcomed) {
		t.Errorf("%+v, %v", got, err)
	}
	if text := logged.String(); !strings.Contains(text, "level=WARN") {
		t.Errorf("no warning of a join request that fails for more than %v:\n%s", joinRefusedTimeout, text)
	}
}

func TestJoinIsNotAnswered(t *testing.T) {
	t.Parallel()
	nobody := blackHole(t)
	testretry.Longer(t, peerHandshakeTimeout+time.Second, func(t testing.TB, limit time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := Ask(ctx, askWith(t, authority(), "nowhere", nobody))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), nobody+": ") || !strings.Contains(err.Error(), "not HOST:PORT") {
			t.Errorf("%v", err)
		}
	})
}

// A member that takes the connection and says nothing is named as such.
func TestJoinSilence(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	silent, err := quic.ListenAddr("127.0.0.1:0", wire.PeersTLS(credentials(t, authority(), "n1")), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	testretry.Longer(t, peerDialTimeout+time.Second, func(t testing.TB, limit time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := Ask(ctx, askWith(t, authority(), silent.Addr().String()))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not answer within") {
			t.Errorf("%v", err)
		}
	})
}

func TestJoinByAnotherCA(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	m, questions := asked(t, 0)
	dir := t.TempDir()
	makeCerts(dir, "test")
	_, err := Ask(t.Context(), askWith(t, dir, m.address()))
	if _, ok := errors.AsType[*wire.TrustError](err); !ok {
		t.Errorf("%v", err)
	}
	if questions.Load() != 0 {
		t.Error("the member was asked")
	}
}

// Who the asking one is, its certificate says alone.
func TestJoinAsAnother(t *testing.T) {
	m, questions := asked(t, 0)
	q := joining(t, m, "n2")
	_, err := requestJoin(q, &peerframe.JoinRequest{Name: "n3", Folder: [16]byte{3}})
	if no, ok := errors.AsType[*peerframe.Refusal](answered(err)); !ok || !strings.Contains(no.Text, `for member "n3", but the certificate is for "n2"`) {
		t.Errorf("%v", err)
	}
	q, err = dialAs(t, m.address(), wire.ClientTLS(credentials(t, authority(), "n1"), wire.ProtocolJoin, wire.Identity{Class: wire.ClassMember}))
	if err := whyEnded(t, q, err); !strings.Contains(err.Error(), "own name") {
		t.Errorf("%v", err)
	}
	alice, err := wire.LoadClient(authority(), "alice", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	q, err = dialAs(t, m.address(), wire.ClientTLS(alice, wire.ProtocolJoin, wire.Identity{Class: wire.ClassMember}))
	if err := whyEnded(t, q, err); !strings.Contains(err.Error(), "the wrong class") {
		t.Errorf("%v", err)
	}
	if questions.Load() != 0 {
		t.Error("the member was asked")
	}
	for want, c := range map[string]AskConfig{
		`this is the member "n4"`: {Trust: credentials(t, authority(), "n3"), Addresses: []string{"a:1"}, Name: "n4"},
		"qkv://test/client/alice": {Trust: alice, Addresses: []string{"a:1"}, Name: "alice"},
		"no address of a member":  {Trust: credentials(t, authority(), "n3"), Name: "n3"},
	} {
		if _, err := Ask(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// nameless is trust in certificates that name no member. A certificate is for one host.
type nameless struct {
	*wire.Credentials
	host string
}

func (nameless) NameIn(tls.ConnectionState) (string, error) { return "", nil }

func (n nameless) Vouches(_ tls.ConnectionState, addresses []string) error {
	if !slices.ContainsFunc(addresses, func(a string) bool { return strings.HasPrefix(a, n.host+":") }) {
		return &wire.TrustError{Reason: "the certificate is for another host"}
	}
	return nil
}

// A joiner whose certificate names no member must be at an address that was recorded for the member, whatever address it gives itself.
func TestJoinAtAnAddressOfItsOwn(t *testing.T) {
	t.Parallel()
	for host, welcome := range map[string]bool{"n3.example": true, "stranger.example": false} {
		m := newMembers(t, 1)[0]
		m.config.Trust = nameless{credentials(t, authority(), "n1"), host}
		m.join = func(string) (peerframe.Welcome, *peerframe.Refusal) { return welcomed, nil }
		m.start()
		_, err := requestJoin(joining(t, m, "n3"), &peerframe.JoinRequest{Name: "n3", Folder: [16]byte{3}, Addresses: []string{"stranger.example:2380"}})
		if no, refused := errors.AsType[*peerframe.Refusal](answered(err)); welcome && err != nil || !welcome && (!refused || !strings.Contains(no.Text, "another host")) {
			t.Errorf("a certificate for %s: %v", host, err)
		}
	}
}

// A peer whose certificate names no member must be at a recorded address. The address that it calls from counts only while none is recorded.
func TestPeerAtAnAddressOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, recorded := range []string{"", "127.0.0.9:1"} {
		members := newMembers(t, 2)
		here, other := members[0], members[1]
		here.config.Trust = nameless{credentials(t, authority(), "n1"), "127.0.0.1"}
		here.peers = slices.Clone(here.peers)
		if here.peers[1].Addresses = nil; recorded != "" {
			here.peers[1].Addresses = []string{recorded}
		}
		here.start()
		other.start()
		refused := func() bool {
			return slices.ContainsFunc(other.refused(), func(r peerframe.Refusal) bool { return strings.Contains(r.Text, "another host") })
		}
		await(t, "n1 has judged n2", wait, func() bool { return refused() || here.connectedTo(2) })
		if connected := here.connectedTo(2); connected != (recorded == "") {
			t.Errorf("recorded is %q, and n2 at 127.0.0.1 is connected: %v", recorded, connected)
		}
	}
}

// joining returns a connection for a question with a certificate that the member believes.
func joining(t *testing.T, m *member, name string) *quic.Conn {
	t.Helper()
	q, err := dialAs(t, m.address(), wire.ClientTLS(credentials(t, authority(), name), wire.ProtocolJoin, wire.Identity{Class: wire.ClassMember}))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestHostileJoin(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	m, questions := asked(t, 0)
	request := peerframe.JoinRequest{Name: "n3", Folder: [16]byte{3}}
	whole := peerframe.AppendFirst([]byte{0, 0, 0, 5}, &request)
	for name, sent := range map[string][]byte{
		"length 0":        {0, 0, 0, 0},
		"huge length":     {0xff, 0xff, 0xff, 0xff, 1, 2, 3},
		"over the limit":  {0, 0, 4, 1},
		"not msgpack":     {0, 0, 0, 2, 0xc1, 1},
		"huge array":      {0, 0, 0, 5, 0xdd, 0xff, 0xff, 0xff, 0xff},
		"another version": {0, 0, 0, 3, 0x92, 7, 7},
		"cut":             whole[:6],
	} {
		t.Run(name, func(t *testing.T) {
			q := joining(t, m, "n3")
			stream, err := q.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = stream.Write(sent)
			_ = stream.Close()
			if err := whyEnded(t, q, nil); !strings.Contains(err.Error(), "join request") {
				t.Errorf("ended by %v", err)
			}
		})
	}
	if questions.Load() != 0 {
		t.Error("the member was asked")
	}
	for name, write := range map[string]func(*quic.Stream){
		"silence": nil,
		"half":    func(s *quic.Stream) { _, _ = s.Write(whole[:6]) },
		"slow": func(s *quic.Stream) {
			for _, b := range whole {
				_, _ = s.Write([]byte{b})
				time.Sleep(peerHandshakeTimeout / 4)
			}
		},
		"the answer is not taken": func(s *quic.Stream) { _, _ = s.Write(whole) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := joining(t, m, "n3")
			began := time.Now()
			if write != nil {
				stream, err := q.OpenStream()
				if err != nil {
					t.Fatal(err)
				}
				write(stream)
			}
			_ = whyEnded(t, q, nil)
			if took := time.Since(began); took > wait/2 {
				t.Errorf("it was let be for %v", took)
			}
		})
	}
	t.Cleanup(m.idle) // before the member is stopped, after the parallel ones
}

// A list of members that a joiner would not read is not sent.
func TestJoinAnswerHasALimit(t *testing.T) {
	m, _ := asked(t, 0)
	m.mu.Lock()
	m.join = func(string) (peerframe.Welcome, *peerframe.Refusal) {
		w := welcomed
		w.Members = slices.Clone(w.Members)
		w.Members[0].Peers = slices.Repeat([]string{strings.Repeat("h", limits.AddressBytes)}, joinAnswerBytes/limits.AddressBytes)
		return w, nil
	}
	m.mu.Unlock()
	_, err := requestJoin(joining(t, m, "n3"), &peerframe.JoinRequest{Name: "n3", Folder: [16]byte{3}})
	if no, ok := errors.AsType[*peerframe.Refusal](answered(err)); !ok || !strings.Contains(no.Text, "the member list has") {
		t.Errorf("%v", err)
	}
}

// What answers need not be a member that keeps to the rules.
func TestAskSomebodyElse(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	transport := &quic.Transport{Conn: socket}
	listener, err := transport.Listen(wire.PeersTLS(credentials(t, authority(), "n1")), acceptConfig)
	if err != nil {
		t.Fatal(err)
	}
	forAnother := peerframe.Welcome{Cluster: 1, ID: 1, Members: welcomed.Members}
	answers := [][]byte{{0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 1, 0xc1}, {}, peerframe.AppendFirst([]byte{0, 0, 0, 0}, &forAnother)}
	answers[3][3] = byte(len(answers[3]) - headerBytes)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			q, err := listener.Accept(t.Context())
			if err != nil {
				return
			}
			if stream, err := q.AcceptStream(t.Context()); err == nil {
				_, _ = stream.Write(answers[n%len(answers)])
				_ = stream.Close()
			}
			<-q.Context().Done()
		}
	}()
	testretry.Longer(t, 4*time.Second, func(t testing.TB, limit time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		said := &safeBuffer{}
		c := askWith(t, authority(), socket.LocalAddr().String())
		c.Logger = slog.New(slog.NewTextHandler(said, nil))
		if w, err := Ask(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%+v, %v", w, err)
		}
		if !strings.Contains(said.String(), "length 4294967295 bytes") || !strings.Contains(said.String(), "the answer cannot be read") {
			t.Error(said.String())
		}
	})
	_ = transport.Close()
	_ = socket.Close()
	<-done
}
