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

// TestMigrateTLS follows an etcd that serves clients with certificates only: a dry run, and until it is cut over; and has it write a
// file. Where certificates, CAs or URLs do not fit, it is said which, and what helps.
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

	// In the folder of a member: a dry run has nothing to do with what lies there.
	here := filepath.Join(t.TempDir(), "here")
	if err := os.MkdirAll(filepath.Join(here, "qkv-data", "default", "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	try := func(arguments ...string) (string, int) {
		t.Helper()
		cmd := member.Command(t, member.QKV, slices.Concat([]string{"migrate"}, arguments)...)
		cmd.Dir = here
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	whole := []string{"--source-cacert", trust.file, "--source-cert", clientCert, "--source-key", clientKey}
	from := func(url string, more ...string) []string {
		return slices.Concat([]string{"from-etcd", "--dry-run", "--endpoints", url}, more)
	}
	if out, code := try(from("https://"+secure, whole...)...); code != 0 || !strings.Contains(out, "can be taken") {
		t.Fatalf("a dry run: exit %d\n%s", code, out)
	}
	// A member's certificate is looked at when a connection begins.
	was := map[string][]byte{serverCert: nil, serverKey: nil}
	for path := range was {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		was[path] = text
	}
	renamed := func(as string, lasts time.Duration) {
		t.Helper()
		cert, key := trust.issue(as, lasts)
		for from, to := range map[string]string{cert: serverCert, key: serverKey} {
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
	}
	renamed("ended", -time.Hour)
	if out, code := try(from("https://"+secure, whole...)...); code != 5 || !strings.Contains(out, "renew it there, or set the clock") {
		t.Errorf("a member whose certificate has expired: exit %d\n%s", code, out)
	}
	for path, text := range was {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := newSigner(t)
	otherCert, otherKey := other.issue("client", time.Hour)
	for name, c := range map[string]struct {
		url       string
		arguments []string
		want      string
	}{
		"no certificate":            {"https://" + secure, []string{"--source-cacert", trust.file}, "give one by --source-cert"},
		"an expired certificate":    {"https://" + secure, []string{"--source-cacert", trust.file, "--source-cert", expiredCert, "--source-key", expiredKey}, "does not believe the certificate of --source-cert"},
		"a certificate of others":   {"https://" + secure, []string{"--source-cacert", trust.file, "--source-cert", otherCert, "--source-key", otherKey}, "the certificate of --source-cert"},
		"another CA":                {"https://" + secure, []string{"--source-cacert", other.file, "--source-cert", clientCert, "--source-key", clientKey}, "signed by another CA than --source-cacert"},
		"no CA":                     {"https://" + secure, []string{"--source-cert", clientCert, "--source-key", clientKey}, "give the CA that signed it"},
		"TLS where there is none":   {"https://" + old.Endpoints()[0], whole, "write http://"},
		"none where there is TLS":   {"http://" + secure, whole, "write https://"},
		"another name than its own": {"https://" + strings.Replace(secure, "127.0.0.1", "localhost", 1), whole, "not for the host of the URL"},
	} {
		if out, code := try(from(c.url, c.arguments...)...); code != 5 || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d, want %q\n%s", name, code, c.want, out)
		}
	}
	toFile := func(url string, more ...string) (string, int) {
		return try(slices.Concat([]string{"to-etcd", "--snapshot", "file.db", "--endpoints", url}, more)...)
	}
	if out, code := toFile("https://"+secure, "--source-cacert", trust.file, "--timeout", "1s"); code != 5 || !strings.Contains(out, "give one by --source-cert") {
		t.Errorf("no certificate, to a file: exit %d\n%s", code, out)
	}
	if out, code := toFile("https://"+secure, append(whole, "--timeout", "1m")...); code != 0 || !strings.Contains(out, "restore it") {
		t.Errorf("to a file: exit %d\n%s", code, out)
	} else if out, code := try("from-etcd", "--snapshot", "file.db", "--name", "other", "--dry-run"); code != 0 {
		t.Errorf("of that file: exit %d\n%s", code, out)
	}

	cluster := member.StartOn(t, member.QKV, 1, func(m *member.Member) {
		p := startMigration(t, slices.Concat([]string{
			"--endpoints", "https://" + secure, "--data-dir", m.Dir, "--name", m.Name, "--work-dir", filepath.Join(t.TempDir(), "work"), "--timeout", "60s",
		}, whole)...)
		p.await(t, "following")
		for i := range 100 {
			if _, err := pb.NewKVClient(source).Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "live/%d", i), Value: []byte("v")}); err != nil {
				t.Fatal(err)
			}
		}
		p.order(t)()
	}, "--quota-bytes", "0")
	conn := connect(t, cluster.Endpoints()[0])
	want, got := pictureOf(ctx, t, source), pictureOf(ctx, t, conn)
	got.same(t, &want, cluster.Endpoints()[0])
}
