package wire

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// noon is when these tests happen.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func maker(now time.Time) Maker { return Maker{Now: at(now), Rand: rand.Reader} }

// folder makes a folder of certificates with the CA of a cluster, the members n1 and n2 and the client alice.
func folder(t testing.TB, cluster string, now time.Time) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "certs")
	m := maker(now)
	_, err := m.CreateCA(dir, cluster)
	must(t, err)
	_, err = m.CreateMember(dir, "n1", []string{"10.0.0.1", "n1.example.org", "*.pods.example.org"})
	must(t, err)
	_, err = m.CreateMember(dir, "n2", nil)
	must(t, err)
	_, err = m.CreateClient(dir, "alice")
	must(t, err)
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

func certificateIn(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	certificates, err := readCertificates(name)
	must(t, err)
	return certificates[0]
}

func TestFilesAndModes(t *testing.T) {
	dir := folder(t, "prod", noon)
	for name, mode := range map[string]fs.FileMode{
		"": fs.ModeDir | 0o700, "ca.crt": 0o644, "ca.key": 0o600, "member-n1.crt": 0o644, "member-n1.key": 0o600,
		"client-alice.crt": 0o644, "client-alice.key": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), mode)
		}
	}
	found, err := os.ReadDir(dir)
	must(t, err)
	if len(found) != 8 {
		t.Errorf("%d files: %v", len(found), found)
	}
}

func TestWhatCertificatesSay(t *testing.T) {
	dir := folder(t, "prod", noon)
	ca := certificateIn(t, filepath.Join(dir, "ca.crt"))
	if !ca.IsCA || ca.MaxPathLen != 0 || !ca.MaxPathLenZero || len(ca.ExtKeyUsage) != 0 {
		t.Errorf("the CA: %+v", ca)
	}
	years := ca.NotAfter.Sub(noon).Hours() / 24 / 365
	if years < 9.9 || years > 10.1 || !ca.NotBefore.Equal(noon.Add(-5*time.Minute)) {
		t.Errorf("the CA is valid from %v to %v", ca.NotBefore, ca.NotAfter)
	}
	member := certificateIn(t, filepath.Join(dir, "member-n1.crt"))
	alice := certificateIn(t, filepath.Join(dir, "client-alice.crt"))
	for _, leaf := range []*x509.Certificate{member, alice} {
		if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature {
			t.Errorf("%v: CA %v, usage %v", leaf.Subject, leaf.IsCA, leaf.KeyUsage)
		}
		if !leaf.NotAfter.Equal(noon.Add(365*day)) || !leaf.NotBefore.Equal(noon.Add(-5*time.Minute)) {
			t.Errorf("%v is valid from %v to %v", leaf.Subject, leaf.NotBefore, leaf.NotAfter)
		}
		if key, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve.Params().Name != "P-256" {
			t.Errorf("%v has the key %v", leaf.Subject, leaf.PublicKey)
		}
		must(t, leaf.CheckSignatureFrom(ca))
	}
	if len(member.ExtKeyUsage) != 2 || len(alice.ExtKeyUsage) != 1 || alice.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("usages: %v and %v", member.ExtKeyUsage, alice.ExtKeyUsage)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "10.0.0.1", "n1.example.org", "x.pods.example.org"} {
		if err := member.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if ca.SerialNumber.Cmp(member.SerialNumber) == 0 || ca.SerialNumber.BitLen() < 64 {
		t.Error("serial numbers are not random")
	}
}

// The last certificates of a CA do not outlive it.
func TestLeafEndsWithItsCA(t *testing.T) {
	dir := folder(t, "prod", noon)
	_, err := maker(noon.AddDate(9, 6, 0)).CreateClient(dir, "bob")
	must(t, err)
	ca, bob := certificateIn(t, dir+"/ca.crt"), certificateIn(t, dir+"/client-bob.crt")
	if !bob.NotAfter.Equal(ca.NotAfter) {
		t.Errorf("ends %v, the CA %v", bob.NotAfter, ca.NotAfter)
	}
	_, err = maker(noon.AddDate(11, 0, 0)).CreateClient(dir, "carol")
	wantError(t, err, "ca.crt has expired")
}

func TestNothingIsOverwritten(t *testing.T) {
	dir := folder(t, "prod", noon)
	m := maker(noon)
	before := read(t, filepath.Join(dir, "ca.key"))
	_, err := m.CreateCA(dir, "prod")
	wantError(t, err, "ca.crt already exists and is never overwritten: a new CA is made in another folder")
	_, err = m.CreateMember(dir, "n1", nil)
	wantError(t, err, "member-n1.crt already exists")
	must(t, os.Remove(filepath.Join(dir, "client-alice.crt")))
	_, err = m.CreateClient(dir, "alice")
	wantError(t, err, "client-alice.key already exists and is never overwritten, and "+filepath.Join(dir, "client-alice.crt")+" is missing: put that certificate back; or, if the command that made the key was interrupted or failed, remove the key")
	if read(t, filepath.Join(dir, "ca.key")) != before {
		t.Error("the CA's key was written over")
	}
}

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return string(b)
}

func TestCreateRefuses(t *testing.T) {
	m := maker(noon)
	empty := t.TempDir()
	_, err := m.CreateMember(empty, "n1", nil)
	wantError(t, err, "no CA in", "qkv cert ca --certs-dir")
	_, err = m.CreateCA(empty, "Prod")
	wantError(t, err, "capital letters", `use "prod"`)
	_, err = m.CreateCA(empty, "")
	wantError(t, err, "must have 1 to 63")
	dir := folder(t, "prod", noon)
	_, err = m.CreateMember(dir, "n\n1", nil)
	wantError(t, err, "control character at byte 1")
	_, err = m.CreateMember(dir, "n3", []string{"10.0.0.1:2379"})
	wantError(t, err, `"10.0.0.1:2379" is neither an address nor a host name`)
	must(t, os.Rename(dir+"/ca.key", dir+"/kept"))
	_, err = m.CreateMember(dir, "n3", nil)
	wantError(t, err, "ca.key is missing, so no certificate can be signed here")
	must(t, os.WriteFile(dir+"/ca.key", []byte(read(t, dir+"/member-n1.key")), 0o600))
	_, err = m.CreateMember(dir, "n3", nil)
	wantError(t, err, "ca.key is not the key of", "ca.crt")
	must(t, os.WriteFile(dir+"/ca.crt", []byte(read(t, dir+"/member-n1.crt")), 0o600))
	_, err = m.CreateMember(dir, "n3", nil)
	wantError(t, err, "qkv://prod/member/n1, not of a CA")
	if names := namesIn(dir, ClassMember); len(names) != 2 {
		t.Errorf("%v were made", names)
	}
}

// shown is what the certificates of a file say, as text.
func shown(t *testing.T, name string, now time.Time) string {
	t.Helper()
	all, err := Show(name, now)
	must(t, err)
	return strings.Join(all, "\n")
}

func TestShow(t *testing.T) {
	dir := folder(t, "prod", noon)
	unstable := regexp.MustCompile(`SHA-256 [0-9a-f]{64}`)
	show := func(name string, now time.Time) string {
		text := shown(t, filepath.Join(dir, name), now)
		return unstable.ReplaceAllString(text, "SHA-256 ...")
	}
	want := `identity     qkv://prod/member/n1
class        member
valid from   2026-11-20 11:55:00Z
valid until  2027-11-20 12:00:00Z (355 days left)
fingerprint  SHA-256 ...
issuer       CN=qkv CA of prod,OU=ca,O=qkv prod
key          ECDSA P-256
hosts        localhost, n1.example.org, *.pods.example.org, 127.0.0.1, ::1, 10.0.0.1
`
	if got := show("member-n1.crt", noon.Add(10*day)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for text, now := range map[string]time.Time{"(not yet valid)": noon.Add(-day), "(expired 5 days ago)": noon.Add(370 * day)} {
		if got := show("client-alice.crt", now); !strings.Contains(got, text) {
			t.Errorf("%s lacks %s", got, text)
		}
	}
	must(t, os.WriteFile(dir+"/two.crt", []byte(read(t, dir+"/ca.crt")+read(t, dir+"/member-n2.crt")), 0o600))
	if got := show("two.crt", noon); !strings.Contains(got, "qkv://prod/ca\nclass        ca\n") || !strings.Contains(got, "\n\nidentity     qkv://prod/member/n2\n") {
		t.Error(got)
	}
	_, err := Show(dir+"/ca.key", noon)
	wantError(t, err, `holds a "PRIVATE KEY", but should hold certificates only`)
}

func TestFingerprintIsOfTheCertificate(t *testing.T) {
	dir := folder(t, "prod", noon)
	text := shown(t, dir+"/ca.crt", noon)
	found := regexp.MustCompile(`SHA-256 ([0-9a-f]{64})`).FindStringSubmatch(text)
	if _, err := hex.DecodeString(found[1]); err != nil {
		t.Error(err)
	}
	again, other := shown(t, dir+"/ca.crt", noon), shown(t, dir+"/member-n1.crt", noon)
	if !strings.Contains(again, found[1]) || strings.Contains(other, found[1]) {
		t.Error("it is not the certificate's own")
	}
}
