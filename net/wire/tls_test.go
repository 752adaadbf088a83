package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// handshake lets two ends shake hands over memory and exchange a byte, and returns what each of them found wrong.
func handshake(t testing.TB, dialling, accepting *tls.Config) (atClient, atServer error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	for _, end := range []net.Conn{a, b} {
		must(t, end.SetDeadline(time.Now().Add(time.Minute)))
	}
	result := make(chan error, 1)
	go func() {
		s := tls.Server(b, accepting)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1})
		}
		result <- err
		_ = b.Close()
	}()
	c := tls.Client(a, dialling)
	atClient = c.Handshake()
	if atClient == nil {
		_, atClient = c.Read(make([]byte, 1)) // the server may still refuse
	}
	_ = a.Close()
	return atClient, <-result
}

func load2(t testing.TB, dir string) (n1, n2, alice *Credentials) {
	t.Helper()
	var err error
	n1, err = LoadMember(dir, "n1", at(noon))
	must(t, err)
	n2, err = LoadMember(dir, "n2", at(noon))
	must(t, err)
	alice, err = LoadClient(dir, "alice", at(noon))
	must(t, err)
	return n1, n2, alice
}

func TestWhoMayTalkToWhom(t *testing.T) {
	dir := folder(t, "prod", noon)
	n1, n2, alice := load2(t, dir)
	// Another cluster whose CA is believed too, and another CA of the same name.
	foreign, twin := folder(t, "test", noon), folder(t, "prod", noon)
	must(t, os.WriteFile(foreign+"/ca.crt", []byte(read(t, foreign+"/ca.crt")+read(t, dir+"/ca.crt")), 0o644))
	must(t, os.WriteFile(dir+"/ca.crt", []byte(read(t, dir+"/ca.crt")+read(t, foreign+"/ca.crt")), 0o644))
	both, _, _ := load2(t, dir) // n1 with both CAs
	foreignN1, _, foreignAlice := load2(t, foreign)
	twinN1, _, _ := load2(t, twin)
	anyMember := Identity{Class: ClassMember}
	for _, c := range []struct {
		name     string
		client   *tls.Config
		server   *tls.Config
		atClient string // part of what it says, "" for none; "-": something
		atServer string
	}{
		{"a client and a member", ClientTLS(alice, ProtocolClient, anyMember), ServerTLS(n1, ProtocolClient, ClassClient, ClassMember), "", ""},
		{"a member as a client", ClientTLS(n2, ProtocolClient, anyMember), ServerTLS(n1, ProtocolClient, ClassClient, ClassMember), "", ""},
		{"two members", ClientTLS(n2, ProtocolPeer, Identity{Class: ClassMember, Name: "n1"}), ServerTLS(n1, ProtocolPeer, ClassMember), "", ""},
		{"a client as a peer", ClientTLS(alice, ProtocolPeer, anyMember), ServerTLS(n1, ProtocolPeer, ClassMember), "-", "qkv://prod/client/alice has a client certificate, but a member certificate is required here"},
		{"a member where clients are expected", ClientTLS(n2, ProtocolClient, anyMember), ServerTLS(n1, ProtocolClient, ClassClient), "-", "a client certificate is required here"},
		{"another member than expected", ClientTLS(n2, ProtocolPeer, Identity{Class: ClassMember, Name: "n3"}), ServerTLS(n1, ProtocolPeer, ClassMember), `qkv://prod/member/n1 answers, but the member "n3" is expected`, "-"},
		{"a client as a server", ClientTLS(n1, ProtocolPeer, anyMember), ServerTLS(alice, ProtocolPeer, ClassMember), "a server cannot use a client certificate", "-"},
		{"another cluster, believed CA", ClientTLS(foreignAlice, ProtocolClient, anyMember), ServerTLS(both, ProtocolClient, ClassClient), `belongs to the cluster "prod", but this side belongs to "test"`, "-"},
		{"another cluster, to a member", ClientTLS(both, ProtocolClient, anyMember), ServerTLS(foreignN1, ProtocolClient, ClassMember), `belongs to the cluster "test", but this side belongs to "prod"`, "-"},
		{"another CA of the same name", ClientTLS(twinN1, ProtocolPeer, anyMember), ServerTLS(n2, ProtocolPeer, ClassMember), "was signed by another CA", "-"},
		{"another protocol", ClientTLS(n2, ProtocolPeer, anyMember), ServerTLS(n1, ProtocolClient, ClassMember), "-", "-"},
		{"no certificate", &tls.Config{InsecureSkipVerify: true, NextProtos: []string{ProtocolPeer}}, ServerTLS(n1, ProtocolPeer, ClassMember), "-", "-"},
		{"TLS 1.2", &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, NextProtos: []string{ProtocolPeer}}, ServerTLS(n1, ProtocolPeer, ClassMember), "-", "-"},
	} {
		atClient, atServer := handshake(t, c.client, c.server)
		expect(t, c.name+", at the client", atClient, c.atClient)
		expect(t, c.name+", at the server", atServer, c.atServer)
	}
}

func expect(t *testing.T, what string, err error, part string) {
	t.Helper()
	switch {
	case part == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case part != "" && err == nil:
		t.Errorf("%s: nothing was wrong, want %q", what, part)
	case len(part) > 1 && !strings.Contains(Explain(err).Error(), part):
		t.Errorf("%s: %v, want %q", what, Explain(err), part)
	}
}

// What the server finds wrong before it looks at the identity.
func TestServerRefusesForeignAndExpired(t *testing.T) {
	dir := folder(t, "prod", noon)
	n1, n2, _ := load2(t, dir)
	twin, _, _ := load2(t, folder(t, "prod", noon))
	careless := ClientTLS(twin, ProtocolPeer, Identity{Class: ClassMember})
	careless.VerifyConnection = nil
	_, atServer := handshake(t, careless, ServerTLS(n1, ProtocolPeer, ClassMember))
	expect(t, "foreign", atServer, "the certificate of qkv://prod/member/n1 was signed by another CA")
	later, err := LoadMember(dir, "n1", at(noon))
	must(t, err)
	later.now = at(noon.Add(400 * day))
	careless = ClientTLS(n2, ProtocolPeer, Identity{Class: ClassMember})
	careless.VerifyConnection = nil
	_, atServer = handshake(t, careless, ServerTLS(later, ProtocolPeer, ClassMember))
	expect(t, "expired", atServer, "is valid from 2026-11-20 11:55:00Z to 2027-11-20 12:00:00Z, and it is not now")
	// And the one who dials with its own clock ahead.
	ahead, err := LoadMember(dir, "n2", at(noon))
	must(t, err)
	ahead.now = at(noon.Add(400 * day))
	atClient, _ := handshake(t, ClientTLS(ahead, ProtocolPeer, Identity{Class: ClassMember}), ServerTLS(n1, ProtocolPeer, ClassMember))
	expect(t, "expired for the one who dials", atClient, "this host's clock says 2027-12-25")
}

// A CA that is believed for one trust domain cannot speak for another one.
func TestCASpeaksForItsOwnDomain(t *testing.T) {
	dir := folder(t, "test", noon)
	m := maker(noon)
	ca, err := m.loadAuthority(dir)
	must(t, err)
	key, err := m.newKey()
	must(t, err)
	der, err := m.sign(ca, Identity{Cluster: "prod", Class: ClassMember, Name: "n1"}, nil, key.Public())
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	roots, err := loadRoots(dir)
	must(t, err)
	_, err = verifyChain([]*x509.Certificate{leaf}, roots, noon, x509.ExtKeyUsageServerAuth)
	wantError(t, err, "qkv://prod/member/n1", "not permitted")
}

func TestNothingIsResumed(t *testing.T) {
	n1, n2, _ := load2(t, folder(t, "prod", noon))
	accepting := ServerTLS(n1, ProtocolPeer, ClassMember)
	dialling := ClientTLS(n2, ProtocolPeer, Identity{Class: ClassMember})
	for _, c := range []*tls.Config{accepting, dialling} {
		if !c.SessionTicketsDisabled || c.ClientSessionCache != nil || c.MinVersion != tls.VersionTLS13 || c.MaxVersion != 0 {
			t.Errorf("%+v", c)
		}
	}
}

func TestConstructorsRefuseNonsense(t *testing.T) {
	n1, _, _ := load2(t, folder(t, "prod", noon))
	for name, f := range map[string]func(){
		"nobody allowed":  func() { ServerTLS(n1, ProtocolPeer) },
		"a CA allowed":    func() { ServerTLS(n1, ProtocolPeer, ClassMember, classCA) },
		"a client dialed": func() { ClientTLS(n1, ProtocolPeer, Identity{Class: ClassClient}) },
		"another cluster": func() { ClientTLS(n1, ProtocolPeer, Identity{Class: ClassMember, Cluster: "test"}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestExplain(t *testing.T) {
	for alert, part := range map[quic.TransportErrorCode]string{
		42: "another CA or cluster", 43: "wrong class", 45: "expired", 48: "same ca.crt", 70: "TLS 1.3", 116: "requires a certificate", 120: "wrong port",
	} {
		err := Explain(&quic.TransportError{Remote: true, ErrorCode: 0x100 + alert})
		if _, ok := errors.AsType[*TrustError](err); !ok || !strings.Contains(err.Error(), part) {
			t.Errorf("alert %d: %v", alert, err)
		}
	}
	for _, err := range []error{
		errors.New("something else"), &quic.TransportError{Remote: true, ErrorCode: 0x100 + 80}, &quic.TransportError{ErrorCode: 7}, &quic.IdleTimeoutError{},
	} {
		if Explain(err) != err {
			t.Errorf("%v became %v", err, Explain(err))
		}
	}
}
