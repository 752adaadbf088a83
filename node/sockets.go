package node

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"slices"

	"qkv/net/etcd"
	"qkv/net/peer"
	"qkv/net/wire"
)

// sockets are all listening sockets of a member. They are opened before anything is written: an address in use changes nothing.
type sockets struct {
	clients      *net.UDPConn // nil: no native clients
	web, metrics []etcd.Listener
	dashboard    []etcd.Listener // for the dashboard alone
	peers        *net.UDPConn
	alive        net.Listener // nil: peers cannot ask whether this process runs
}

// listen opens all sockets.
func listen(c *Config, t *trust) (*sockets, error) {
	s := &sockets{}
	open := s.openTogether
	if len(c.Etcd.Listen) > 0 {
		open = s.openApart
	}
	err := open(c, t)
	if err == nil && !c.Native {
		secure := s.web[0].TLS
		if t.web != nil {
			secure = t.web.ClientsTLS(c.Etcd.ClientsMustShow)
		}
		err = s.openMetrics(c.metricsURLs, secure)
	}
	if err == nil && c.Web != "" && c.Web != c.Listen {
		err = s.openWeb(c.Web, t.credentials)
	}
	if err == nil {
		s.peers, err = peer.Listen(c.ListenPeer)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	if alive, err := peer.ListenAlive(s.peers); err == nil {
		s.alive = alive
	} else {
		c.Logger.Warn("failure detection is slower: if this process dies while it leads, the others elect a leader only after one or two election timeouts", "error", err)
	}
	return s, nil
}

// openTogether opens UDP for native clients, and TCP for etcd's, at one address. Without clients of etcd, it opens no TCP port.
func (s *sockets) openTogether(c *Config, t *trust) error {
	at, err := net.ResolveUDPAddr("udp", c.Listen)
	if err != nil {
		return usagef("--listen %s: %v", c.Listen, err)
	}
	for range portTries {
		if s.clients, err = wire.ListenUDP("clients", at); err != nil {
			return err
		}
		if c.Native {
			return nil
		}
		same := s.clients.LocalAddr().(*net.UDPAddr)
		var web *net.TCPListener
		if web, err = wire.ListenTCP(etcdClients, &net.TCPAddr{IP: same.IP, Port: same.Port, Zone: same.Zone}); err == nil {
			s.web = []etcd.Listener{{Listener: web, TLS: wire.EtcdTLS(t.credentials), Plain: c.plain(), User: etcd.UserByIdentity}}
			return nil
		}
		if err = errors.Join(err, s.clients.Close()); at.Port != 0 {
			break
		}
	}
	s.clients = nil
	return err
}

// portTries is how many UDP ports of the kernel's choice are tried, until the TCP port of the same number is free, too.
const portTries = 20

// etcdClients is the name of a socket's users, in errors.
const etcdClients = "etcd's clients"

// openApart opens TCP for etcd's clients at their address, and UDP for native clients at theirs.
func (s *sockets) openApart(c *Config, t *trust) error {
	for _, l := range c.Etcd.Listen {
		at, err := net.ResolveTCPAddr("tcp", l.Address)
		if err != nil {
			return usagef("the client address %s: %v", l.Address, err)
		}
		socket, err := wire.ListenTCP(etcdClients, at)
		if err != nil {
			return err
		}
		one := etcd.Listener{Listener: socket, Plain: !l.Secure, User: etcd.UserByCommonName}
		if l.Secure {
			one.TLS = t.web.ClientsTLS(c.Etcd.ClientsMustShow)
		}
		s.web = append(s.web, one)
	}
	if c.Listen == "" {
		return nil
	}
	at, err := net.ResolveUDPAddr("udp", c.Listen)
	if err == nil {
		s.clients, err = wire.ListenUDP("clients", at)
	}
	if err != nil { // another member of this host has the port; etcd's clients can still connect
		c.Logger.Warn("this member is not reachable by qkv's own commands, only by etcd clients", "address", c.Listen, "error", err)
		s.clients = nil
	}
	return nil
}

// openMetrics opens the addresses for metrics alone.
func (s *sockets) openMetrics(urls []*url.URL, secure *tls.Config) error {
	for _, u := range urls {
		at, err := net.ResolveTCPAddr("tcp", u.Host)
		if err != nil {
			return usagef("--listen-metrics-urls %s: %v", u, err)
		}
		one, err := wire.ListenTCP("metrics", at)
		if err != nil {
			return err
		}
		l := etcd.Listener{Listener: one, Plain: u.Scheme != "https"}
		s.metrics = append(s.metrics, l)
		if l.Plain {
			continue
		}
		if secure == nil {
			return usagef("--listen-metrics-urls %s needs a certificate, but none is configured", u)
		}
		s.metrics[len(s.metrics)-1].TLS = secure
	}
	return nil
}

// openWeb opens the address of the dashboard.
func (s *sockets) openWeb(address string, credentials *wire.Credentials) error {
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return usagef("--web %s: %v", address, err)
	}
	if credentials == nil {
		return usagef("--web %s needs the certificates of this member, which has none of its own", address)
	}
	one, err := wire.ListenTCP("the dashboard", at)
	if err != nil {
		return err
	}
	s.dashboard = []etcd.Listener{{Listener: one, TLS: wire.WebTLS(credentials), Plain: at.IP.IsLoopback(), User: etcd.UserByIdentity}}
	return nil
}

// close closes all sockets. Their users may already have closed some.
func (s *sockets) close() error {
	var errs []error
	for _, l := range slices.Concat(s.web, s.metrics, s.dashboard) {
		errs = append(errs, l.Close())
	}
	if s.alive != nil {
		errs = append(errs, s.alive.Close())
	}
	for _, c := range []*net.UDPConn{s.clients, s.peers} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	var all error
	for _, err := range errs {
		if err != nil && !errors.Is(err, net.ErrClosed) {
			all = errors.Join(all, err)
		}
	}
	return all
}
