package wire

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// ListenTCP opens a TCP socket. The error names whom the socket is for, and the reason.
func ListenTCP(whom string, at *net.TCPAddr) (*net.TCPListener, error) {
	socket, err := net.ListenTCP("tcp", at)
	switch {
	case err == nil:
		return socket, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("cannot listen for %s on TCP %v: %w: another process uses it, `ss -tlpn` shows which", whom, at, syscall.EADDRINUSE)
	default:
		return nil, fmt.Errorf("cannot listen for %s: %w", whom, err)
	}
}

// ListenUDP opens a UDP socket. The error names whom the socket is for (clients or peers), and the reason.
func ListenUDP(whom string, at *net.UDPAddr) (*net.UDPConn, error) {
	socket, err := net.ListenUDP("udp", at)
	switch {
	case err == nil:
		return socket, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("cannot listen for %s on UDP %v: %w: another process uses it, `ss -ulpn` shows which", whom, at, syscall.EADDRINUSE)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("cannot listen for %s on UDP %v: %w: this host does not have that address, `ip addr` shows its addresses", whom, at, syscall.EADDRNOTAVAIL)
	default:
		return nil, fmt.Errorf("cannot listen for %s: %w", whom, err)
	}
}

// RouteTo returns the interface by which this host reaches an address, and its MTU. It sends no packet.
func RouteTo(address string) (name string, mtu int, err error) {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = conn.Close() }()
	local := conn.LocalAddr().(*net.UDPAddr).IP
	all, err := net.Interfaces()
	for _, one := range all {
		addresses, _ := one.Addrs()
		for _, a := range addresses {
			if network, ok := a.(*net.IPNet); ok && network.IP.Equal(local) {
				return one.Name, one.MTU, nil
			}
		}
	}
	return "", 0, cmp.Or(err, fmt.Errorf("no interface has this host's address %v", local))
}
