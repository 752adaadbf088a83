package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quic-go/quic-go"
)

// Trust between two ends of a connection, by certificates with qkv identities. The rules are the same for members and clients, for
// QUIC and for TLS over TCP. ([FileTrust] is trust by etcd's kind of certificates.)
//
//  1. TLS 1.3, and both ends show a certificate.
//  2. A certificate is trusted if a CA of the own trust domain signed it, its dates hold, its key usage fits, and its one identity names
//     the own trust domain. Host names and addresses do not count: members may move, and sit behind address translation.
//  3. Its class must be one of the expected classes, and, if a named peer is dialled, its name must be that peer's.
//  4. No session is resumed: no session tickets, no 0-RTT data. Each handshake uses the current certificates.
//  5. Only a handshake checks dates: a connection outlives its certificates.
//
// Only the functions below make a tls.Config by these rules.

// The negotiated protocols (ALPN). Another version has another name.
const (
	ProtocolClient = "qkv/2"
	ProtocolPeer   = "qkv-peer/2"
	ProtocolJoin   = "qkv-join/2"
	ProtocolPart   = "qkv-part/2"
)

// ServerTLS returns how a member accepts connections: it trusts certificates of its own trust domain and of the allowed classes.
func ServerTLS(c *Credentials, protocol string, allowed ...Class) *tls.Config {
	if len(allowed) == 0 || slices.Contains(allowed, classCA) {
		panic(fmt.Sprintf("wire: a server of %s that allows %v", protocol, allowed))
	}
	config := c.base(protocol)
	// The library verifies signature, dates and usage first, and reports an error to the other side as a TLS alert.
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs = c.inUse.Load().roots
	config.VerifyConnection = func(state tls.ConnectionState) error {
		return c.admit(state, allowed, "")
	}
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := config.Clone()
		now.ClientCAs = c.fresh().roots
		return now, nil
	}
	return config
}

// PeersTLS returns how a member accepts connections on the peers' port: from its peers, from members that ask to join, and from
// members that ask for a part of a snapshot. All show a member's certificate.
func PeersTLS(c *Credentials) *tls.Config {
	config := ServerTLS(c, ProtocolPeer, ClassMember)
	config.NextProtos = append(config.NextProtos, ProtocolJoin, ProtocolPart)
	return config
}

// EtcdTLS returns how a member accepts connections of etcd's clients and of HTTP, on one port. HTTP/2 is
// preferred, as by etcd: a proxy that offers both protocols may carry gRPC.
func EtcdTLS(c *Credentials) *tls.Config {
	config := ServerTLS(c, "h2", ClassClient, ClassMember)
	config.NextProtos = append(config.NextProtos, "http/1.1")
	return config
}

// WebTLS returns how a member accepts browsers at an address for the dashboard: a client's certificate is verified if there is one.
func WebTLS(c *Credentials) *tls.Config {
	config := ServerTLS(c, "http/1.1", ClassClient)
	config.ClientAuth = tls.VerifyClientCertIfGiven
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return nil
		}
		return c.admit(state, []Class{ClassClient}, "")
	}
	return config
}

// ClientTLS returns how to dial a member. The fields that are set in expected must match: the class always, the name if it is
// known. The cluster is always the own cluster.
func ClientTLS(c *Credentials, protocol string, expected Identity) *tls.Config {
	if expected.Class != ClassMember || expected.Cluster != "" && expected.Cluster != c.Cluster() {
		panic(fmt.Sprintf("wire: %v of trust domain %q dials %v", c.Identity, c.Cluster(), expected))
	}
	config := c.base(protocol)
	// The library's verification is by host name. The stricter verification below replaces it: see the rules above.
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if _, err := verifyChain(state.PeerCertificates, c.fresh().roots, c.now(), x509.ExtKeyUsageServerAuth); err != nil {
			return err
		}
		return c.admit(state, []Class{expected.Class}, expected.Name)
	}
	return config
}

// ClientTLS returns how a client dials any member.
func (c *Credentials) ClientTLS() *tls.Config {
	return ClientTLS(c, ProtocolClient, Identity{Class: ClassMember})
}

// HTTPSClientTLS returns how to ask a member over HTTPS: by the identity in its certificate, not by its host name.
func HTTPSClientTLS(c *Credentials) *tls.Config {
	return ClientTLS(c, "http/1.1", Identity{Class: ClassMember})
}

// DialHTTPS makes the TLS handshake with a member's HTTPS port, for its certificate. An expired certificate is an error, as for any
// client.
func DialHTTPS(ctx context.Context, c *Credentials, address string) (*tls.Conn, error) {
	conn, err := (&tls.Dialer{Config: HTTPSClientTLS(c)}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return conn.(*tls.Conn), nil
}

// base has the TLS settings that both ends share.
func (c *Credentials) base(protocol string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{protocol},
		SessionTicketsDisabled: true,
		Time:                   c.now,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &c.fresh().pair, nil },
		// Shown whatever CAs the server names: a foreign certificate is then refused as foreign, not as missing.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.fresh().pair, nil },
	}
}

// admit checks the identity of a certificate whose chain was verified.
func (c *Credentials) admit(state tls.ConnectionState, allowed []Class, name string) error {
	id, err := PeerIdentity(state)
	switch {
	case err != nil:
		return &TrustError{err.Error()}
	case id.Cluster != c.Cluster():
		return &TrustError{fmt.Sprintf("%v belongs to the cluster %q, but this side belongs to %q", id, id.Cluster, c.Cluster())}
	case !slices.Contains(allowed, id.Class):
		return &TrustError{fmt.Sprintf("%v has a %v certificate, but a %v certificate is required here", id, id.Class, allowed[0])}
	case name != "" && id.Name != name:
		return &TrustError{fmt.Sprintf("%v answers, but the member %q is expected: check the addresses in the cluster list", id, name)}
	default:
		return nil
	}
}

// PeerIdentity returns the identity of the other end of a connection whose handshake is complete.
func PeerIdentity(state tls.ConnectionState) (Identity, error) {
	if len(state.PeerCertificates) == 0 {
		return Identity{}, errors.New("the other side presented no certificate")
	}
	return IdentityOf(state.PeerCertificates[0])
}

// TrustError is the error for a certificate that is not trusted, with the reason.
type TrustError struct{ Reason string }

// OtherPort is the error of a handshake with a side that uses another protocol. No further attempt helps, as with certificates.
var OtherPort = &TrustError{"the other side uses another protocol: this is the wrong port (clients and peers have different ones), or another version"}

func (e *TrustError) Error() string { return e.Reason }

// verifyChain verifies signature, dates and usage of a certificate, and returns its chains to a CA; chain[1:] are intermediate
// candidates.
func verifyChain(chain []*x509.Certificate, roots *x509.CertPool, now time.Time, usage x509.ExtKeyUsage) ([][]*x509.Certificate, error) {
	if len(chain) == 0 {
		return nil, &TrustError{"the other side presented no certificate"}
	}
	between := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	ways, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return nil, &TrustError{reason(chain[0], err, now)}
	}
	return ways, nil
}

// reason translates the library's error about a certificate into plain words; now is zero if it is unknown.
func reason(certificate *x509.Certificate, err error, now time.Time) string {
	who := certificate.Subject.String()
	if id, err := IdentityOf(certificate); err == nil {
		who = id.String()
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Sprintf("the certificate of %s was signed by another CA (issuer %q): both sides need the same ca.crt or the same cluster secret", who, certificate.Issuer)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch invalid.Reason {
		case x509.Expired:
			clock := "it is not now"
			if !now.IsZero() {
				clock = "this host's clock says " + stamp(now)
			}
			return fmt.Sprintf("the certificate of %s has expired or is not yet valid: it is valid from %s to %s, and %s: run `qkv cert renew` where the CA is, or set the clock",
				who, stamp(certificate.NotBefore), stamp(certificate.NotAfter), clock)
		case x509.IncompatibleUsage:
			return fmt.Sprintf("the certificate of %s has the wrong key usage: a server cannot use a client certificate", who)
		}
	}
	return fmt.Sprintf("the certificate of %s is not trusted: %v", who, err)
}

// Explain says in plain words why a handshake failed; an error without relation to trust is returned unchanged. This side knows its
// own reason exactly; the other side's reason is known only as the number of an alert.
func Explain(err error) error {
	if trust, ok := errors.AsType[*TrustError](err); ok {
		return trust
	}
	if unverified, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(unverified.UnverifiedCertificates) > 0 {
		return &TrustError{reason(unverified.UnverifiedCertificates[0], unverified.Err, time.Time{})}
	}
	if e, ok := errors.AsType[*quic.TransportError](err); ok && e.ErrorCode.IsCryptoError() {
		if e.Remote && e.ErrorCode == 0x100+alertNoProtocol {
			return OtherPort
		}
		if text := alertText(uint8(e.ErrorCode-0x100), e.Remote); text != "" {
			return &TrustError{text}
		}
	}
	if e, ok := errors.AsType[*quic.TransportError](err); ok && e.Remote && e.ErrorCode == quic.ConnectionRefused {
		return fmt.Errorf("it accepts no more handshakes for now, from this address or in total: its port may be flooded, see its log: %w", err)
	}
	if e, ok := errors.AsType[*quic.StreamError](err); ok && e.Remote {
		return fmt.Errorf("%v: %w", StreamCode(e.ErrorCode), err)
	}
	return err
}

// RefusedCertificate reports whether a handshake failed because the other side refused this side's certificate.
func RefusedCertificate(err error) bool {
	e, ok := errors.AsType[*quic.TransportError](err)
	return ok && e.Remote && e.ErrorCode >= 0x100+alertBadCertificate && e.ErrorCode <= 0x100+alertUnknownCA
}

// The numbers of TLS alerts (RFC 8446, 6.2) that concern trust.
const (
	alertBadCertificate      = 42
	alertUnsupported         = 43
	alertRevoked             = 44
	alertExpired             = 45
	alertUnknownCertificate  = 46
	alertUnknownCA           = 48
	alertProtocolVersion     = 70
	alertCertificateRequired = 116
	alertNoProtocol          = 120
)

func alertText(alert uint8, remote bool) string {
	if !remote {
		if alert == alertCertificateRequired {
			return "the other side presented no certificate"
		}
		if alert == alertNoProtocol {
			return "the other side uses another protocol: it is a client on the peer port, or another version"
		}
		return ""
	}
	switch alert {
	case alertUnknownCA:
		return "the other side refused this certificate: it was signed by another CA; both sides need the same ca.crt or the same cluster secret"
	case alertExpired:
		return "the other side refused this certificate: by the other side's clock it has expired or is not yet valid; `qkv cert show` shows the dates"
	case alertBadCertificate, alertUnsupported, alertRevoked, alertUnknownCertificate:
		return "the other side refused this certificate: another CA or cluster, the wrong class, or not valid by the other side's clock; see the log there"
	case alertCertificateRequired:
		return "the other side requires a certificate"
	case alertProtocolVersion:
		return "the other side does not speak TLS 1.3"
	default:
		return ""
	}
}
