package compat

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/net/etcd/compat/member"
)

// signer is a CA whose certificates are files, as etcd's command line takes them.
type signer struct {
	t    *testing.T
	dir  string
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	made int64
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	s := &signer{t: t, dir: t.TempDir()}
	s.file, _ = s.issue("ca", time.Hour)
	return s
}

// issue makes a certificate that lasts for so long yet, for 127.0.0.1, and its key. The first one is the CA's.
func (s *signer) issue(name string, lasts time.Duration) (certFile, keyFile string) {
	s.t.Helper()
	must := func(err error) {
		if err != nil {
			s.t.Helper()
			s.t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	s.made++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(s.made), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(lasts),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, by := s.cert, s.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	must(err)
	if s.cert == nil {
		s.cert, err = x509.ParseCertificate(der)
		must(err)
		s.key = key
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	certFile, keyFile = filepath.Join(s.dir, name+".crt"), filepath.Join(s.dir, name+".key")
	must(os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return certFile, keyFile
}

// TestMigrateTLS follows an etcd that serves clients with certificates only: a dry run, and until it is cut over. Who has no
// certificate, one that has expired, or another CA, is told so.
func TestMigrateTLS(t *testing.T) {
	ctx, trust := t.Context(), newSigner(t)
	serverCert, serverKey := trust.issue("server", time.Hour)
	clientCert, clientKey := trust.issue("client", time.Hour)
	expiredCert, expiredKey := trust.issue("expired", -time.Hour)
	secure := fmt.Sprintf("127.0.0.1:%d", member.FreePort(t))
	old := member.StartOn(t, member.Etcd, 1, func(m *member.Member) {
		m.Add("--listen-client-urls", "http://"+m.Client+",https://"+secure, "--client-cert-auth", "--trusted-ca-file", trust.file, "--cert-file", serverCert, "--key-file", serverKey)
	})
	source := connect(t, old.Endpoints()[0])
	fill(ctx, t, source, 2000, 200, 20)

	try := func(arguments ...string) (string, int) {
		t.Helper()
		cmd := member.Command(t, member.QKV, slices.Concat([]string{"migrate", "from-etcd", "--endpoints", "https://" + secure, "--timeout", "10s"}, arguments)...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	whole := []string{"--source-cacert", trust.file, "--source-cert", clientCert, "--source-key", clientKey}
	if out, code := try(append(whole, "--dry-run")...); code != 0 || !strings.Contains(out, "can be taken") {
		t.Fatalf("a dry run: exit %d\n%s", code, out)
	}
	for name, c := range map[string]struct {
		arguments []string
		want      string
	}{
		"no certificate":         {[]string{"--source-cacert", trust.file}, "give one by --source-cert"},
		"an expired certificate": {[]string{"--source-cacert", trust.file, "--source-cert", expiredCert, "--source-key", expiredKey}, "does not believe the certificate of --source-cert"},
		"another CA":             {[]string{"--source-cacert", newSigner(t).file, "--source-cert", clientCert, "--source-key", clientKey}, "signed by another CA than --source-cacert"},
	} {
		if out, code := try(append(c.arguments, "--dry-run")...); code != 5 || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d, want %q\n%s", name, code, c.want, out)
		}
	}

	here := member.Start(t, member.QKV, 1, "--quota-bytes", "0")
	home := filepath.Join(filepath.Dir(here.Members[0].Dir), "home")
	live := slices.Concat([]string{
		"--endpoints", "https://" + secure, "--to", here.Endpoints()[0], "--home", home, "--work-dir", filepath.Join(t.TempDir(), "work"), "--timeout", "60s",
	}, whole)
	m := startMigration(t, live...)
	m.await(t, "following")
	for i := range 100 {
		if _, err := pb.NewKVClient(source).Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "live/%d", i), Value: []byte("v")}); err != nil {
			t.Fatal(err)
		}
	}
	m.stop()
	m = startMigration(t, append(live, "--cut-over")...)
	m.await(t, "cut over at revision")
	if err := m.cmd.Wait(); err != nil {
		t.Errorf("the cut over: %v", err)
	}
	conn := connect(t, here.Endpoints()[0])
	if _, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	want, got := pictureOf(ctx, t, source), pictureOf(ctx, t, conn)
	got.same(t, &want, here.Endpoints()[0])
}
