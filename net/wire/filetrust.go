package wire

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// FileNames names the files of certificates, as etcd's flags give them.
type FileNames struct {
	Cert, Key         string
	DialCert, DialKey string // shown to servers that this process dials; empty: Cert and Key
	CA                string // the CA of the other side's certificates; empty: clients need no certificate
	CRL               string // PEM or DER; empty: nothing is revoked
	// If set, the other side's certificate must have a common name in the first list, and a host of the second list.
	AllowedNames, AllowedHosts []string
	MinVersion, MaxVersion     uint16 // of TLS, for clients; 0: the library's default
	CipherSuites               []uint16
}

// FileTrust is trust by certificate files without qkv identities, as etcd uses them. The rules for a member's certificate are:
//
//  1. The CA signed it, its dates hold, its key usage fits, and it is not revoked.
//  2. It contains the host of one of the member's addresses. If it does contain a qkv:// identity, that identity names the member.
//
// Clients have no names: every client with a valid certificate is admitted. Changed files are used from the next handshake on, as
// those of Credentials are.
type FileTrust struct {
	names FileNames
	followed[fileKeys]
}

// fileKeys is one loaded state of the files.
type fileKeys struct {
	own, dial tls.Certificate
	roots     *x509.CertPool // nil: no certificate is required
	revoked   map[string]bool
}

// LoadFiles loads the named files.
func LoadFiles(names FileNames, now func() time.Time) (*FileTrust, error) {
	f := &FileTrust{names: names}
	f.now, f.read = now, f.load
	f.files = []string{names.Cert, names.Key, names.DialCert, names.DialKey, names.CA, names.CRL}
	f.seen = statsOf(f.files)
	first, err := f.load()
	if err != nil {
		return nil, err
	}
	f.inUse.Store(first)
	return f, nil
}

func (f *FileTrust) load() (*fileKeys, error) {
	n := &f.names
	if n.Cert == "" || n.Key == "" {
		return nil, fmt.Errorf("KeyFile and CertFile must both be present[key: %v, cert: %v]", n.Key, n.Cert)
	}
	if (n.DialCert == "") != (n.DialKey == "") {
		return nil, fmt.Errorf("ClientKeyFile and ClientCertFile must both be present or both absent: key: %v, cert: %v]", n.DialKey, n.DialCert)
	}
	k := &fileKeys{}
	var err error
	if k.own, err = loadPair(n.Cert, n.Key); err != nil {
		return nil, err
	}
	if k.dial = k.own; n.DialCert != "" {
		if k.dial, err = loadPair(n.DialCert, n.DialKey); err != nil {
			return nil, err
		}
	}
	if n.CA != "" {
		if k.roots, err = loadPool(n.CA); err != nil {
			return nil, err
		}
	}
	if n.CRL != "" {
		k.revoked, err = loadRevoked(n.CRL)
	}
	return k, err
}

// loadPair loads a certificate and its key. It does not check their file modes.
func loadPair(cert, key string) (tls.Certificate, error) {
	c, err := readBounded(cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	k, err := readBounded(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(c, k)
	if err != nil {
		return pair, fmt.Errorf("%s with %s: %w", cert, key, err)
	}
	return pair, nil
}

func loadPool(name string) (*x509.CertPool, error) {
	certificates, err := readCertificates(name)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range certificates {
		pool.AddCert(c)
	}
	return pool, nil
}

// loadRevoked reads a list of revoked certificates.
func loadRevoked(name string) (map[string]bool, error) {
	text, err := readBounded(name)
	if err != nil {
		return nil, err
	}
	lists := [][]byte{text}
	if bytes.Contains(text, []byte("-----BEGIN")) {
		lists = nil
		for {
			var block *pem.Block
			if block, text = pem.Decode(text); block == nil {
				break
			}
			lists = append(lists, block.Bytes)
		}
	}
	revoked := map[string]bool{}
	for _, der := range lists {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, fmt.Errorf("%s is not a certificate revocation list (X.509 CRL, PEM or DER): %w", name, err)
		}
		for _, one := range list.RevokedCertificateEntries {
			revoked[revocation(list.RawIssuer, one.SerialNumber.Bytes())] = true
		}
	}
	return revoked, nil
}

// revocation returns the key of a certificate in the revoked map.
func revocation(issuer, serial []byte) string { return string(issuer) + "/" + string(serial) }

// Source names the certificate, for messages.
func (f *FileTrust) Source() string { return f.names.Cert }

// Certificate returns the certificate in use.
func (f *FileTrust) Certificate() *x509.Certificate { return f.inUse.Load().own.Leaf }

// NotAfter returns when the certificate in use expires.
func (f *FileTrust) NotAfter() time.Time { return f.Certificate().NotAfter }

// Problem returns the message for the operator if the certificate has expired or expires soon, or if its files have changed and
// cannot be used. It is empty when all is well.
func (f *FileTrust) Problem() string {
	err := f.refresh()
	own := f.Certificate()
	now := f.now()
	what, left := "the certificate "+f.names.Cert, own.NotAfter.Sub(now)
	switch {
	case now.Before(own.NotBefore):
		what += notYetValid(own, now)
	case left <= 0:
		what += fmt.Sprintf(" expired at %s: existing connections continue, new ones are refused", stamp(own.NotAfter))
	case left < min(warnBefore, lifetimeOf(own)/3):
		what += fmt.Sprintf(" expires at %s, in %s", stamp(own.NotAfter), span(left))
	case err == nil:
		return ""
	}
	if err != nil {
		return what + "; the changed files cannot be used: " + err.Error()
	}
	return what + ": replace its files; the new ones are used without a restart"
}

// ClientsTLS returns how a member accepts connections of etcd's clients and of HTTP. Clients must show a certificate if there is a
// CA, or if required is set: without a CA of its own, the member then trusts the system's CAs.
func (f *FileTrust) ClientsTLS(required bool) *tls.Config {
	config := f.base("h2", "http/1.1")
	config.MinVersion, config.MaxVersion, config.CipherSuites = f.names.MinVersion, f.names.MaxVersion, f.names.CipherSuites
	if f.names.CA != "" || required {
		f.demand(config, func(*x509.Certificate) error { return nil })
	}
	return config
}

// Accept returns how a member accepts connections on the peers' port.
func (f *FileTrust) Accept() *tls.Config {
	config := f.base(ProtocolPeer, ProtocolJoin, ProtocolPart)
	f.demand(config, func(c *x509.Certificate) error { return notClient(c) })
	return config
}

// Dial returns how to dial the member of a name at an address; an empty name is any member.
func (f *FileTrust) Dial(protocol, name, address string) *tls.Config {
	config := f.base(protocol)
	config.InsecureSkipVerify = true // verifyChain below replaces the library's verification
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if _, err := verifyChain(state.PeerCertificates, f.fresh().roots, f.now(), x509.ExtKeyUsageServerAuth); err != nil {
			return err
		}
		if err := f.allowed(state.PeerCertificates); err != nil {
			return err
		}
		is, err := f.NameIn(state)
		switch {
		case err != nil:
			return &TrustError{err.Error()}
		case is == "":
			return f.Vouches(state, []string{address})
		case name != "" && is != name:
			return &TrustError{fmt.Sprintf("the member %q answers, but %q is expected: check the addresses in the cluster list", is, name)}
		}
		return nil
	}
	return config
}

// Belongs returns an error if the certificate belongs to another member than name.
func (f *FileTrust) Belongs(name string) error {
	if id, err := IdentityOf(f.Certificate()); err == nil && (id.Class != ClassMember || id.Name != name) {
		return fmt.Errorf("%s is the certificate of %v, but this is the member %q", f.names.Cert, id, name)
	}
	return nil
}

// NameIn returns the member that a certificate names; most certificates name none.
func (f *FileTrust) NameIn(state tls.ConnectionState) (string, error) {
	if len(state.PeerCertificates) == 0 {
		return "", errors.New("the other side presented no certificate")
	}
	id, err := IdentityOf(state.PeerCertificates[0])
	if err != nil {
		return "", nil // the certificate has no qkv identity
	}
	return id.Name, notClient(state.PeerCertificates[0])
}

// notClient refuses a certificate of qkv's own clients.
func notClient(c *x509.Certificate) error {
	if id, err := IdentityOf(c); err == nil && id.Class != ClassMember {
		return &TrustError{fmt.Sprintf("%v has a %v certificate, but a member certificate is required here", id, id.Class)}
	}
	return nil
}

// Vouches checks a certificate without an identity: it must contain the host of one of the member's addresses.
func (f *FileTrust) Vouches(state tls.ConnectionState, addresses []string) error {
	var hosts []string
	own := state.PeerCertificates[0]
	for _, address := range addresses {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = address
		}
		if own.VerifyHostname(host) == nil {
			return nil
		}
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return &TrustError{fmt.Sprintf("its certificate (%s) is for %s, but the member is at %s: the certificate must name one of these",
		own.Subject, orNothing(hostsIn(own)), orNothing(hosts))}
}

func orNothing(words []string) string {
	if len(words) == 0 {
		return "no host"
	}
	return strings.Join(words, ", ")
}

// demand requires a valid certificate from the other side, which fits must accept.
func (f *FileTrust) demand(config *tls.Config, fits func(*x509.Certificate) error) {
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs = f.inUse.Load().roots
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if err := f.allowed(state.PeerCertificates); err != nil {
			return err
		}
		return fits(state.PeerCertificates[0])
	}
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := config.Clone()
		now.ClientCAs = f.fresh().roots
		return now, nil
	}
}

// allowed refuses a revoked certificate, and one without an allowed name or host.
func (f *FileTrust) allowed(chain []*x509.Certificate) error {
	revoked := f.inUse.Load().revoked
	for _, c := range chain {
		if revoked[revocation(c.RawIssuer, c.SerialNumber.Bytes())] {
			return &TrustError{fmt.Sprintf("the certificate of %s was revoked (%s)", c.Subject, f.names.CRL)}
		}
	}
	if names := f.names.AllowedNames; len(names) > 0 && !slices.Contains(names, chain[0].Subject.CommonName) {
		return &TrustError{fmt.Sprintf("the common name of the certificate is %q, but must be one of %s", chain[0].Subject.CommonName, strings.Join(names, ", "))}
	}
	holds := func(host string) bool { return chain[0].VerifyHostname(host) == nil }
	if hosts := f.names.AllowedHosts; len(hosts) > 0 && !slices.ContainsFunc(hosts, holds) {
		return &TrustError{fmt.Sprintf("the certificate of %s names none of the hosts %s", chain[0].Subject, strings.Join(hosts, ", "))}
	}
	return nil
}

// base has the TLS settings that both ends share.
func (f *FileTrust) base(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             protocols,
		SessionTicketsDisabled: true,
		Time:                   f.now,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &f.fresh().own, nil },
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &f.fresh().dial, nil },
	}
}

// Accept returns how a member accepts connections on the peers' port.
func (c *Credentials) Accept() *tls.Config { return PeersTLS(c) }

// Dial returns how to dial the member of a name; an empty name is any member. The address does not matter for the identity.
func (c *Credentials) Dial(protocol, name, _ string) *tls.Config {
	return ClientTLS(c, protocol, Identity{Class: ClassMember, Name: name})
}

// Belongs returns an error if these are not the credentials of the member name.
func (c *Credentials) Belongs(name string) error {
	if id := c.Identity; id.Class != ClassMember || id.Name != name {
		return fmt.Errorf("%s is the certificate of %v, but this is the member %q", c.Source, id, name)
	}
	return nil
}

// NameIn returns the member that a certificate names.
func (c *Credentials) NameIn(state tls.ConnectionState) (string, error) {
	id, err := PeerIdentity(state)
	return id.Name, err
}

// Vouches accepts every certificate: these name their member, and NameIn checks it.
func (c *Credentials) Vouches(tls.ConnectionState, []string) error { return nil }

// SelfSigned writes a self-signed certificate and its key to files, unless a valid certificate is there.
func (m Maker) SelfSigned(cert, key string, hosts []string) error {
	if pair, err := loadPair(cert, key); err == nil && checkDates(cert, pair.Leaf, m.Now()) == nil {
		return nil
	}
	private, err := m.newKey()
	if err != nil {
		return err
	}
	template := m.template(Identity{Cluster: "self-signed", Class: ClassMember, Name: "self-signed"}, leafLifetime)
	template.URIs, template.NotBefore = nil, alwaysFrom
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if err := addHosts(template, hosts); err != nil {
		return err
	}
	der, err := x509.CreateCertificate(m.Rand, template, template, private.Public(), private)
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	text, err := encodeKey(private)
	if err != nil {
		return err
	}
	if err := replaceFile(key, text, keyMode); err != nil {
		return err
	}
	return replaceFile(cert, encodeCertificate(der), certMode)
}
