package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// plainCA signs certificates that know nothing of qkv, as kubeadm's or a company's does.
type plainCA struct {
	t           *testing.T
	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	serial      int64
}

func newPlainCA(t *testing.T) *plainCA {
	t.Helper()
	c := &plainCA{t: t, dir: t.TempDir(), serial: 1}
	c.key = newTestKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "etcd-ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, c.key.Public(), c.key)
	if err == nil {
		c.certificate, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.write("ca.crt", "CERTIFICATE", der)
	return c
}

func newTestKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (c *plainCA) write(name, block string, der []byte) string {
	c.t.Helper()
	file := filepath.Join(c.dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: block, Bytes: der}), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return file
}

// sign makes a certificate for hosts, and its key, both of mode 0644, as they are mounted into containers.
func (c *plainCA) sign(name string, change func(*x509.Certificate)) FileNames {
	c.t.Helper()
	c.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(c.serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	key := newTestKey(c.t)
	der, err := x509.CreateCertificate(rand.Reader, template, c.certificate, key.Public(), c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	return FileNames{Cert: c.write(name+".crt", "CERTIFICATE", der), Key: c.write(name+".key", "PRIVATE KEY", private), CA: filepath.Join(c.dir, "ca.crt")}
}

func forHosts(hosts ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		if err := addHosts(c, hosts); err != nil {
			panic(err)
		}
	}
}

func (c *plainCA) load(names FileNames) *FileTrust {
	c.t.Helper()
	f, err := LoadFiles(names, time.Now)
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

// meet makes a handshake, and returns what each side says of it.
func meet(t *testing.T, server, client *tls.Config) (accepted tls.ConnectionState, accepting, dialling error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		c := tls.Client(a, client)
		err := c.HandshakeContext(ctx)
		if err == nil { // with TLS 1.3 a client learns of its refusal when it reads
			_, err = c.Read(make([]byte, 1))
		}
		_ = a.Close()
		done <- err
	}()
	s := tls.Server(b, server)
	accepting = s.HandshakeContext(ctx)
	if accepting == nil {
		_, _ = s.Write([]byte{1})
	}
	accepted = s.ConnectionState()
	_ = b.Close()
	return accepted, accepting, <-done
}

// TestFilePeers dials members by certificates that name no member: who answers must be signed by the CA and have the host that is
// dialled, and who calls must be signed and vouch for its own.
func TestFilePeers(t *testing.T) {
	ca, foreign := newPlainCA(t), newPlainCA(t)
	n1 := ca.load(ca.sign("n1", forHosts("10.0.0.1", "n1.example")))
	for name, c := range map[string]struct {
		trust             *FileTrust
		dialled, accepted string // nothing: it is believed
	}{
		"by its address":    {trust: ca.load(ca.sign("n2", forHosts("10.0.0.2")))},
		"by its name":       {trust: ca.load(ca.sign("n2-by-name", forHosts("n2.example")))},
		"another host":      {ca.load(ca.sign("n3", forHosts("10.0.0.3"))), "is for 10.0.0.3, but the member is at 10.0.0.2", "but the member is at 10.0.0.2, n2.example"},
		"no host":           {ca.load(ca.sign("client", nil)), "is for no host", "is for no host"},
		"another CA":        {foreign.load(foreign.sign("n2", forHosts("10.0.0.2"))), "by another CA", "unknown authority"},
		"a qkv member":      {trust: ca.load(ca.sign("qkv", uri("qkv://prod/member/n2")))},
		"another of qkv's":  {ca.load(ca.sign("qkv-n3", uri("qkv://prod/member/n3"))), `"n3" answers, but "n2" is expected`, "it is n3"},
		"a client of qkv's": {ca.load(ca.sign("qkv-client", uri("qkv://prod/client/n2"))), "has a client certificate", "has a client certificate"},
		"that cannot serve": {ca.load(ca.sign("apiserver", func(c *x509.Certificate) {
			forHosts("10.0.0.2")(c)
			c.ExtKeyUsage = c.ExtKeyUsage[1:]
		})), "has the wrong key usage", ""},
		"that cannot call": {ca.load(ca.sign("server", func(c *x509.Certificate) {
			forHosts("10.0.0.2")(c)
			c.ExtKeyUsage = c.ExtKeyUsage[:1]
		})), "", "incompatible key usage"},
		"over": {ca.load(ca.sign("old", func(c *x509.Certificate) {
			forHosts("10.0.0.2")(c)
			c.NotAfter = time.Now().Add(-time.Minute)
		})), "is valid from", "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			address := "10.0.0.2:2380"
			if c.trust.Certificate().DNSNames != nil {
				address = "n2.example:2380"
			}
			// As the server, it may refuse who calls for its own reasons: here only what n1 says counts.
			open := c.trust.Accept()
			open.ClientAuth, open.GetConfigForClient, open.VerifyConnection = tls.RequestClientCert, nil, nil
			_, _, err := meet(t, open, n1.Dial(ProtocolPeer, "n2", address))
			says(t, "dialled", err, c.dialled)
			config := n1.Dial(ProtocolPeer, "", "")
			config.GetClientCertificate, config.VerifyConnection = c.trust.base().GetClientCertificate, nil
			state, err, _ := meet(t, n1.Accept(), config)
			is := ""
			if err == nil {
				is, err = n1.NameIn(state)
			}
			switch {
			case err == nil && is == "":
				err = n1.Vouches(state, []string{"10.0.0.2:2380", "n2.example:2380"})
			case err == nil && is != "n2":
				err = errors.New("it is " + is)
			}
			says(t, "accepted", err, c.accepted)
		})
	}
}

func says(t *testing.T, what string, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

func uri(text string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		u, err := url.Parse(text)
		if err != nil {
			panic(err)
		}
		c.URIs = []*url.URL{u}
	}
}

// TestFileClients lets clients in as etcd does: anybody where there is no CA, and else who is signed, has one of the hosts that are
// allowed, and is not revoked; and from the next handshake on by the files as they are then.
func TestFileClients(t *testing.T) {
	ca, foreign := newPlainCA(t), newPlainCA(t)
	names := ca.sign("server", forHosts("127.0.0.1"))
	pool := x509.NewCertPool()
	pool.AddCert(ca.certificate)
	client := func(from *plainCA, change func(*x509.Certificate)) (*tls.Config, *x509.Certificate) {
		f := from.load(from.sign("client", change))
		return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", GetClientCertificate: f.base().GetClientCertificate}, f.Certificate()
	}
	known, own := client(ca, forHosts("client.example"))
	stranger, _ := client(foreign, nil)
	nobody := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
	try := func(f *FileTrust, c *tls.Config, want string) {
		t.Helper()
		_, accepting, dialling := meet(t, f.ClientsTLS(false), c)
		says(t, "accepting", accepting, want)
		if want == "" {
			says(t, "dialling", dialling, "")
		}
	}
	open := names
	open.CA = ""
	f := ca.load(open)
	try(f, nobody, "")
	try(f, stranger, "")
	f = ca.load(names)
	try(f, known, "")
	try(f, nobody, "didn't provide a certificate")
	try(f, stranger, "unknown authority")
	if _, accepting, _ := meet(t, ca.load(open).ClientsTLS(true), nobody); accepting == nil {
		t.Error("a client without a certificate came in where it must have one")
	}

	old := nobody.Clone()
	old.MaxVersion = tls.VersionTLS12
	names12 := open
	names12.MinVersion = tls.VersionTLS12
	try(ca.load(names12), old, "")
	names12.MinVersion = tls.VersionTLS13
	try(ca.load(names12), old, "unsupported versions")

	allowed := names
	allowed.AllowedHosts = []string{"other.example"}
	try(ca.load(allowed), known, "names none of the hosts other.example")
	allowed.AllowedHosts = append(allowed.AllowedHosts, "client.example")
	try(ca.load(allowed), known, "")
	allowed.AllowedNames = []string{"boss"}
	try(ca.load(allowed), known, `must be one of boss`)

	// A list without it, then one with it, and then one that is damaged.
	revoking := names
	revoking.CRL = ca.revoke()
	f = ca.load(revoking)
	try(f, known, "")
	ca.revoke(own.SerialNumber)
	try(f, known, "was revoked")
	if err := os.WriteFile(revoking.CRL, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	try(f, known, "was revoked")
	if problem := f.Problem(); !strings.Contains(problem, "the changed files cannot be used") {
		t.Errorf("the damaged list is not told of: %q", problem)
	}

	// A new certificate in the old one's place.
	f = ca.load(names)
	before := f.Certificate().SerialNumber
	ca.sign("server", forHosts("127.0.0.1", "localhost"))
	try(f, known, "")
	if f.Certificate().SerialNumber.Cmp(before) == 0 {
		t.Error("the new certificate is not used")
	}

	// Another CA in the first one's place, for who listens already.
	listening := f.ClientsTLS(false)
	der, err := os.ReadFile(filepath.Join(foreign.dir, "ca.crt"))
	if err == nil {
		err = os.WriteFile(names.CA, der, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, accepting, _ := meet(t, listening, stranger)
	says(t, "accepting whom the new CA has signed", accepting, "")
	_, accepting, _ = meet(t, listening, known)
	says(t, "accepting whom the old CA has signed", accepting, "unknown authority")
}

// TestFileDialling: who dials shows the certificate that it has for that, and does not believe one that was revoked.
func TestFileDialling(t *testing.T) {
	ca := newPlainCA(t)
	n2 := ca.load(ca.sign("n2", forHosts("10.0.0.2")))
	names, caller := ca.sign("n1", forHosts("10.0.0.1")), ca.sign("caller", nil)
	names.DialCert, names.DialKey, names.CRL = caller.Cert, caller.Key, ca.revoke()
	n1 := ca.load(names)
	state, accepting, dialling := meet(t, n2.Accept(), n1.Dial(ProtocolPeer, "n2", "10.0.0.2:2380"))
	says(t, "accepting", accepting, "")
	says(t, "dialling", dialling, "")
	if shown := state.PeerCertificates; len(shown) == 0 || shown[0].Subject.CommonName != "caller" {
		t.Errorf("the certificate for dialling is not shown: %v", shown)
	}
	ca.revoke(n2.Certificate().SerialNumber)
	_, _, dialling = meet(t, n2.Accept(), n1.Dial(ProtocolPeer, "n2", "10.0.0.2:2380"))
	says(t, "dialling one that was revoked", dialling, "was revoked")
}

// A list revokes whom it names, also one that has signed another's certificate.
func TestRevokedAboveTheCertificate(t *testing.T) {
	ca := newPlainCA(t)
	names := ca.sign("n1", nil)
	own, above := ca.load(ca.sign("n2", nil)).Certificate(), ca.load(ca.sign("above", nil)).Certificate()
	names.CRL = ca.revoke(above.SerialNumber)
	f := ca.load(names)
	says(t, "with one above it that was revoked", f.allowed([]*x509.Certificate{own, above}), "was revoked")
	says(t, "alone", f.allowed([]*x509.Certificate{own}), "")
}

// Files that could not be read for the time being are read again, also when they do not change any more.
func TestFilesThatCouldNotBeRead(t *testing.T) {
	ca := newPlainCA(t)
	f := ca.load(ca.sign("n1", nil))
	f.lastErr = syscall.EMFILE
	if problem := f.Problem(); strings.Contains(problem, "cannot be used") {
		t.Errorf("they can be read again: %q", problem)
	}
}

// revoke writes the list of revoked certificates.
func (c *plainCA) revoke(serials ...*big.Int) string {
	c.t.Helper()
	c.serial++
	list := &x509.RevocationList{Number: big.NewInt(c.serial), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, c.certificate, c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.write("crl.pem", "X509 CRL", der)
}

// TestFilesMissing refuses what cannot work.
func TestFilesMissing(t *testing.T) {
	ca := newPlainCA(t)
	good := ca.sign("n1", forHosts("10.0.0.1"))
	other := ca.sign("n2", forHosts("10.0.0.2"))
	for want, change := range map[string]func(*FileNames){
		"KeyFile and CertFile must both be present": func(n *FileNames) { n.Key = "" },
		"must both be present or both absent":       func(n *FileNames) { n.DialCert = n.Cert },
		"no such file":                              func(n *FileNames) { n.CA = "nowhere" },
		"does not match":                            func(n *FileNames) { n.Key = other.Key },
		"not a certificate revocation list":         func(n *FileNames) { n.CRL = n.Key },
		"should hold certificates only":             func(n *FileNames) { n.CA = n.Key },
	} {
		n := good
		change(&n)
		if _, err := LoadFiles(n, time.Now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f := ca.load(ca.sign("qkv", uri("qkv://prod/member/n2")))
	says(t, "n2's", f.Belongs("n2"), "")
	says(t, "n2's as n1's", f.Belongs("n1"), "this is the member")
}

// TestSelfSigned makes a certificate once, and again when its time is over.
func TestSelfSigned(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "a.crt"), filepath.Join(dir, "a.key")
	now := time.Now()
	m := Maker{Now: func() time.Time { return now }, Rand: rand.Reader, Lifetime: time.Hour}
	serial := func() string {
		t.Helper()
		if err := m.SelfSigned(cert, key, []string{"10.0.0.1", "localhost"}); err != nil {
			t.Fatal(err)
		}
		f, err := LoadFiles(FileNames{Cert: cert, Key: key}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Certificate().VerifyHostname("10.0.0.1"); err != nil {
			t.Error(err)
		}
		return f.Certificate().SerialNumber.String()
	}
	first := serial()
	if serial() != first {
		t.Error("it was made again")
	}
	if now = now.Add(2 * time.Hour); serial() == first {
		t.Error("it was not made again when it was over")
	}
}
