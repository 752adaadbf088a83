package migrate_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"qkv/net/etcd/migrate"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue makes a certificate for an address and a name, that has ended for so long.
func (a *authority) issue(ip, name string, ended time.Duration) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(time.Hour - ended),
		DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip != "" {
		template.IPAddresses = []net.IP{net.ParseIP(ip)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestDiagnose dials a member's port with what does not fit it, and says what that is, and what helps.
func TestDiagnose(t *testing.T) {
	own, other := newAuthority(t, "own"), newAuthority(t, "other")
	const past = 48 * time.Hour
	fits := []tls.Certificate{own.issue("127.0.0.1", "member", 0)}
	client := []tls.Certificate{own.issue("", "client", 0)}
	forced := func(c tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
	}
	for name, c := range map[string]struct {
		server []tls.Certificate // none: it has no TLS
		config *tls.Config       // nil: the URL has none
		want   string            // empty: it is nothing of TLS
	}{
		"fits":                           {fits, &tls.Config{RootCAs: own.pool(), Certificates: client}, ""},
		"another CA":                     {fits, &tls.Config{RootCAs: other.pool(), Certificates: client}, "signed by another CA than --source-cacert has"},
		"another name":                   {[]tls.Certificate{own.issue("", "etcd.example", 0)}, &tls.Config{RootCAs: own.pool(), Certificates: client}, "is for etcd.example, not for the host of the URL"},
		"expired":                        {[]tls.Certificate{own.issue("127.0.0.1", "member", past)}, &tls.Config{RootCAs: own.pool(), Certificates: client}, "renew it there, or set the clock"},
		"no certificate":                 {fits, &tls.Config{RootCAs: own.pool()}, "give one by --source-cert and --source-key"},
		"a foreign one":                  {fits, &tls.Config{RootCAs: own.pool(), Certificates: []tls.Certificate{other.issue("", "client", 0)}}, "believes another CA than the one that has signed the certificate of --source-cert"},
		"one that is shown all the same": {fits, &tls.Config{RootCAs: own.pool(), GetClientCertificate: forced(other.issue("", "client", 0))}, "does not believe the certificate of --source-cert"},
		"an expired one":                 {fits, &tls.Config{RootCAs: own.pool(), Certificates: []tls.Certificate{own.issue("", "client", past)}}, "does not believe the certificate of --source-cert"},
		"no TLS":                         {nil, &tls.Config{RootCAs: own.pool(), Certificates: client}, "it does not speak TLS"},
		"TLS after all":                  {fits, nil, "write https://"},
		"neither":                        {nil, nil, ""},
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if len(c.server) > 0 {
			listener = tls.NewListener(listener, &tls.Config{Certificates: c.server, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: own.pool(), NextProtos: []string{"h2"}})
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
					_, _ = io.Copy(io.Discard, conn)
				}()
			}
		}()
		s, err := migrate.Dial(listener.Addr().String(), c.config)
		if err != nil {
			t.Fatal(err)
		}
		g := migrate.NewGroup("old", s)
		switch err := g.Diagnose(t.Context()); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), listener.Addr().String())):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		_ = g.Close()
		_ = listener.Close()
	}
}

// TestDiagnoseSilent dials a port without TLS that closes what it does not understand without a word, as etcd's does.
func TestDiagnoseSilent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	defer server.Stop()
	go func() { _ = server.Serve(listener) }()
	s, err := migrate.Dial(listener.Addr().String(), &tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	g := migrate.NewGroup("old", s)
	defer g.Close()
	if err := g.Diagnose(t.Context()); err == nil || !strings.Contains(err.Error(), "write http://") {
		t.Errorf("%v, want that it does not speak TLS", err)
	}
}
