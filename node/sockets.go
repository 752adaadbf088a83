package node

import (
	"errors"
	"net"
	"slices"

	"qkv/net/etcd"
	"qkv/net/peer"
	"qkv/net/wire"
)

// sockets are all listening sockets of a member. They are opened before anything is written: an address in use changes nothing.
type sockets struct {
	clients   *net.UDPConn // nil: no native clients
	web       []etcd.Listener
	metrics   []etcd.Listener // for metrics and probes alone
	dashboard []etcd.Listener // for the dashboard, too
	peers     *net.UDPConn
	alive     net.Listener // nil: peers cannot ask whether this process runs
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
		err = s.openWeb(c, t)
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

// openWeb opens the addresses for metrics, probes and the dashboard.
func (s *sockets) openWeb(c *Config, t *trust) error {
	for _, u := range c.webURLs {
		if u.Host == c.Listen && c.webAtClients() {
			continue
		}
		at, err := net.ResolveTCPAddr("tcp", u.Host)
		if err != nil {
			return usagef("--listen-web %s: %v", u, err)
		}
		l := etcd.Listener{Plain: u.Scheme == "http"}
		switch {
		case l.Plain:
		case t.web != nil:
			l.TLS = t.web.ClientsTLS(c.Etcd.ClientsMustShow)
		case t.credentials != nil && len(c.Etcd.Listen) == 0:
			l.TLS = wire.WebTLS(t.credentials)
		default:
			return usagef("%s needs a certificate, but none is configured", u)
		}
		if l.Listener, err = wire.ListenTCP("metrics and the dashboard", at); err != nil {
			return err
		}
		if !c.pageAt(l.Plain, at.IP) {
			s.metrics = append(s.metrics, l)
			continue
		}
		l.User = etcd.UserByIdentity
		s.dashboard = append(s.dashboard, l)
	}
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
