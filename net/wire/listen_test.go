package wire

import (
	"net"
	"strings"
	"testing"
)

func TestListenUDP(t *testing.T) {
	loopback := net.IPv4(127, 0, 0, 1)
	first, err := ListenUDP("clients", &net.UDPAddr{IP: loopback})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	for want, at := range map[string]*net.UDPAddr{
		"another process uses it":    first.LocalAddr().(*net.UDPAddr),
		"does not have that address": {IP: net.IPv4(192, 0, 2, 1)},
	} {
		if _, err := ListenUDP("peers", at); err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), at.String()) != 1 {
			t.Errorf("%v: %v", at, err)
		}
	}
}
