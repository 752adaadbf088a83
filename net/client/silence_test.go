package client_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testport"
	"qkv/net/client"
	"qkv/net/server"
	"qkv/net/server/servertest"
)

// listenUDP makes a socket, for a server that ends without a word.
func listenUDP(address string) (*net.UDPConn, error) {
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	return net.ListenUDP("udp", at)
}

// mute is a member that takes writes and says nothing of them.
type mute struct {
	*servertest.Member
	asked chan struct{}
}

func (m mute) Propose(kv.Proposal) { m.asked <- struct{}{} }

// A member that is dead and stays so leaves nobody at its port, and its host says so.
func TestKilledForGood(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	within(t, limits.ClientIdleTimeout-2*time.Second, func() { killedForGood(t, trust) })
}

func killedForGood(t *testing.T, trust servertest.Trust) {
	socket, err := testport.Listen("", listenUDP)
	if err != nil {
		t.Fatal(err)
	}
	m := mute{servertest.NewMember(), make(chan struct{}, 1)}
	c := open(t, trust, servertest.Endpoint(servertest.Start(t, trust, m, func(c *server.Config) { c.Conn = socket })))
	go func() {
		<-m.asked
		_ = socket.Close() // not a word to the client
	}()
	_, err = c.Put(ctxOf(t, wait), []byte("k"), []byte("v"))
	if !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("the write under way: %v", err)
	}
}

// A member that is killed when all packets were acknowledged leaves nothing to be repeated. A write that it had is
// told as unknown when the member is started again, and not when the caller's time is over; also when the member was asked
// before whether it lives, and has answered.
func TestKilledWhileAllIsQuiet(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	const acknowledged, asked = 100 * time.Millisecond, time.Second // QUIC may delay an acknowledgement
	for _, quiet := range []time.Duration{acknowledged, asked} {
		within(t, 4*time.Second, func() { killedWhileQuiet(t, trust, quiet) }) // a keep-alive comes after 5
	}
}

func killedWhileQuiet(t *testing.T, trust servertest.Trust, quiet time.Duration) {
	socket, err := testport.Listen("", listenUDP)
	if err != nil {
		t.Fatal(err)
	}
	m := mute{servertest.NewMember(), make(chan struct{}, 1)}
	first := servertest.Start(t, trust, m, func(c *server.Config) { c.Conn = socket })
	endpoint := servertest.Endpoint(first)
	c := open(t, trust, endpoint)
	told := make(chan error, 1)
	go func() {
		_, err := c.Put(ctxOf(t, wait), []byte("k"), []byte("v"))
		told <- err
	}()
	<-m.asked
	time.Sleep(quiet)
	_ = socket.Close() // not a word to the client
	servertest.Start(t, trust, servertest.NewMember(m.Member), func(c *server.Config) { c.Address = endpoint })
	if err := <-told; !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("the write under way: %v", err)
	}
}
