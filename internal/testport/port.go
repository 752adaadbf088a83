// Package testport finds ports for servers of tests.
//
// A test that stops a server and starts it again at its address needs that address to be free meanwhile. Of the ports that the
// system gives to sockets that ask for none, and each connection of a QUIC client is such a socket, one in some thousand restarts finds
// its port taken. These lie below, are not those of package cli's and node's tests, and are given once by a process.
package testport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	first = 3000
	ports = 9000
	// timeout with a port that another process has taken meanwhile, such as another test.
	timeout = 30 * time.Second
)

var next atomic.Int64

func init() { next.Store(rand.Int64N(ports)) }

// Unused returns the addresses of n unused UDP ports of loopback, for servers in other processes.
func Unused(n int) (addresses []string, err error) {
	for range n {
		s, err := Listen("", func(address string) (net.PacketConn, error) { return net.ListenPacket("udp", address) })
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, s.LocalAddr().String())
		if err := s.Close(); err != nil {
			return nil, err
		}
	}
	return addresses, nil
}

// Listen listens at an address as soon as it is free. If the address is empty, Listen takes an unused port of loopback.
func Listen[S any](address string, listen func(address string) (S, error)) (s S, err error) {
	begun := time.Now()
	for tries := 0; ; tries++ {
		at := address
		if at == "" {
			at = fmt.Sprintf("127.0.0.1:%d", first+next.Add(1)%ports)
		}
		s, err = listen(at)
		switch {
		case !errors.Is(err, syscall.EADDRINUSE):
			return s, err
		case address == "" && tries == ports, address != "" && time.Since(begun) > timeout:
			return s, err
		case address != "":
			time.Sleep(10 * time.Millisecond)
		}
	}
}
