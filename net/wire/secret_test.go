package wire

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qkv/internal/limits"
)

// secretOf returns a secret whose seed counts up from a number.
func secretOf(t testing.TB, from byte) ClusterSecret {
	t.Helper()
	seed := make([]byte, secretSeed)
	for i := range seed {
		seed[i] = from + byte(i)
	}
	s, err := NewSecret(bytes.NewReader(seed))
	must(t, err)
	return s
}

// The golden bytes: another version of qkv must derive the same key from the same text, or a cluster falls apart by an upgrade. The key
// was computed by another program, too.
func TestSecretGolden(t *testing.T) {
	s := secretOf(t, 0)
	if got := s.Reveal(); got != "qkvsecret1_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp53c3sfe" {
		t.Errorf("the text is %s", got)
	}
	key, err := s.key()
	must(t, err)
	scalar, err := key.Bytes()
	must(t, err)
	if got := fmt.Sprintf("%x", scalar); got != "d67be17285334e04b79459b4d4ace097e00208deddf013b46d94949540b58d60" {
		t.Errorf("the key is %s", got)
	}
	ca, err := s.authority()
	must(t, err)
	if got := fmt.Sprintf("%x", sha256.Sum256(ca.certificate.Raw)); got != "4cc52c7879c3ad61293b74deea0663628b075013bddb7fc9dae3c8bd8b13aecd" {
		t.Errorf("the hash of the CA certificate is %s", got)
	}
	if got := ca.certificate.Subject.CommonName; got != "qkv CA of the cluster secret fecededa" {
		t.Errorf("the CA is called %s", got)
	}
	if got := InsecureSecret("etcd-cluster").Reveal(); got != "qkvsecret1_jsv5vxpsemlnzr3ucxc63pu4dgoaxzzvdf74lobudfuya7rpbrdbkp5qby" {
		t.Errorf("the secret of a token is %s", got)
	}
}

func TestSecretText(t *testing.T) {
	text := secretOf(t, 9).Reveal()
	parsed, err := parseSecret(text)
	if err != nil || parsed.seed() != secretOf(t, 9).seed() {
		t.Fatalf("%v", err)
	}
	// Each character changed, each character missing, and each cut.
	for i := range text {
		with := byte('a')
		if text[i] == with {
			with = 'b'
		}
		for _, wrong := range []string{text[:i] + string(with) + text[i+1:], text[:i] + text[i+1:], text[:i]} {
			if _, err := parseSecret(wrong); err == nil || i > len(secretPrefix)+8 && strings.Contains(err.Error(), wrong[i-8:i]) {
				t.Fatalf("%s: %v", wrong, err)
			}
		}
	}
	for _, tt := range []struct{ text, want string }{
		{"", "`qkv cert secret` makes one"},
		{" \n", "`qkv cert secret` makes one"},
		{"hunter2", `begins with "qkvsecret1_"`},
		{text[:len(text)-1], "has 68 characters, but should have 69: it was cut or extended"},
		{text + "a", "has 70 characters"},
		{strings.ToUpper(text), "begins with"},
		{secretPrefix + strings.ToUpper(text[len(secretPrefix):]), "checksum mismatch"},
		{text[:len(text)-1] + string(text[len(text)-1]+1), "checksum mismatch"}, // only the unused bits of the last character differ
		{text[:30] + text[31:32] + text[30:31] + text[32:], "checksum mismatch"},
		{"qkvsecret2_" + text[len(secretPrefix):], "another version"},
		{text + "," + text, "given twice"},
		{text + "," + text[:40], "secret 2 of 2: the cluster secret has 40 characters"},
		{text + "," + secretOf(t, 1).Reveal() + "," + secretOf(t, 2).Reveal(), "3 cluster secrets are given, over the limit of 2"},
	} {
		if _, err := ParseSecrets(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
	}
	if all, err := ParseSecrets(" " + text + " ,\n" + secretOf(t, 1).Reveal() + "\n"); err != nil || len(all) != limits.ClusterSecrets || all[0].seed() != parsed.seed() {
		t.Errorf("two secrets: %d, %v", len(all), err)
	}
}

func TestSecretFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "secret")
	one, two := secretOf(t, 1), secretOf(t, 2)
	must(t, WriteSecrets(name, []ClusterSecret{one}, false))
	info, err := os.Stat(name)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
	wantError(t, WriteSecrets(name, []ClusterSecret{two}, false), name+" already exists and is never overwritten")
	must(t, WriteSecrets(name, []ClusterSecret{two, one}, true))
	all, err := ReadSecrets(name)
	if err != nil || len(all) != 2 || all[0].seed() != two.seed() || all[1].seed() != one.seed() {
		t.Errorf("%d secrets, %v", len(all), err)
	}
	must(t, os.Chmod(name, 0o644))
	_, err = ReadSecrets(name)
	wantError(t, err, "mode 0644", "chmod 600")
	must(t, os.Chmod(name, 0o660)) // a volume's fsGroup gives that access, and it is removed
	_, err = ReadSecrets(name)
	must(t, err)
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	must(t, os.Chmod(name, 0o640)) // a file of root's for the member's group
	_, err = ReadSecrets(name)
	must(t, err)
	must(t, os.Chmod(name, 0o600))
	must(t, os.WriteFile(name, []byte(one.Reveal()[:50]), 0o600))
	_, err = ReadSecrets(name)
	wantError(t, err, name+": the cluster secret has 50 characters")
}

// TestClusterSecretIsNotPrinted prints a secret in every way that code prints by accident.
func TestClusterSecretIsNotPrinted(t *testing.T) {
	s := secretOf(t, 'a')
	type holder struct {
		Secret ClusterSecret
		own    ClusterSecret
		Many   []ClusterSecret
		Source SecretSource
		Maker  Maker
	}
	h := holder{s, s, []ClusterSecret{s}, SecretSource{Secrets: []ClusterSecret{s}}, Maker{}.WithSecrets([]ClusterSecret{s})}
	var said bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&said, verb+verb+verb, s, &h, h)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&said, nil), slog.NewJSONHandler(&said, nil)} {
		slog.New(h).Info("secret", "secret", s, "holder", holder{Secret: s, own: s})
	}
	for _, v := range []any{s, h.Secret, h.Many, h.Source} {
		text, err := json.Marshal(v)
		must(t, err)
		said.Write(text)
	}
	_, err := parseSecret(s.Reveal()[:60])
	fmt.Fprint(&said, err)
	for _, part := range []string{"abcdefgh", "mfrggzdf", s.Reveal()[20:30], "6162636465", "97 98 99", "0x61, 0x62"} {
		if strings.Contains(strings.ToLower(said.String()), part) {
			t.Errorf("the secret's bytes are in the text as %q", part)
		}
	}
}

func secretMember(t testing.TB, now time.Time, name string, all ...ClusterSecret) *Credentials {
	t.Helper()
	c, err := maker(now).SecretMember(SecretSource{Name: "the cluster secret", Secrets: all}, name, []string{"10.0.0.1", "db.example"})
	must(t, err)
	return c
}

// peersMeet returns the errors of two members' handshakes: one dials the other, and the other way round.
func peersMeet(t testing.TB, a, b *Credentials) (failed []error) {
	t.Helper()
	for _, way := range [][2]*Credentials{{a, b}, {b, a}} {
		atClient, atServer := handshake(t, ClientTLS(way[0], ProtocolPeer, Identity{Class: ClassMember, Name: way[1].Identity.Name}), PeersTLS(way[1]))
		if atClient != nil || atServer != nil {
			failed = append(failed, fmt.Errorf("%w, %w", atClient, atServer))
		}
	}
	return failed
}

func TestSecretMembers(t *testing.T) {
	old, next := secretOf(t, 1), secretOf(t, 2)
	n1 := secretMember(t, noon, "n1", old)
	for _, tt := range []struct {
		what  string
		other *Credentials
		want  string // of the error; empty: they meet
	}{
		{"the same secret", secretMember(t, noon, "n2", old), ""},
		{"a clock an hour ahead", secretMember(t, noon.Add(time.Hour), "n2", old), ""},
		{"a clock an hour behind", secretMember(t, noon.Add(-time.Hour), "n2", old), ""},
		{"a clock ten years ahead", secretMember(t, noon.AddDate(10, 0, 0), "n2", old), "expired or is not yet valid"},
		{"another cluster's secret", secretMember(t, noon, "n2", next), "signed by another CA"},
		{"the new one and the old one", secretMember(t, noon, "n2", next, old), ""},
		{"the old one and the new one", secretMember(t, noon, "n2", old, next), ""},
	} {
		failed := peersMeet(t, n1, tt.other)
		switch {
		case tt.want == "" && len(failed) > 0:
			t.Errorf("%s: %v", tt.what, failed)
		case tt.want != "" && (len(failed) != 2 || !strings.Contains(failed[0].Error(), tt.want) && !strings.Contains(failed[1].Error(), tt.want)):
			t.Errorf("%s: %v, want two of %q", tt.what, failed, tt.want)
		}
	}
	if failed := peersMeet(t, secretMember(t, noon, "n1", next, old), secretMember(t, noon, "n2", next)); len(failed) > 0 {
		t.Errorf("the second half of a rotation: %v", failed)
	}
	// A library that verifies host names takes the certificate, by the CA that is written for clients.
	dir := t.TempDir()
	must(t, maker(noon).WithSecrets([]ClusterSecret{old}).trustSecrets(dir))
	roots, err := loadRoots(dir)
	must(t, err)
	for _, host := range []string{"localhost", "10.0.0.1", "db.example"} {
		config := &tls.Config{RootCAs: roots, ServerName: host, Time: at(noon), NextProtos: []string{"h2"}}
		atClient, _ := handshake(t, config, secretMember(t, noon, "n1", next, old).webTLS())
		if atClient != nil {
			t.Errorf("%s: %v", host, atClient)
		}
	}
}

// webTLS is EtcdTLS without a demand for the client's certificate.
func (c *Credentials) webTLS() *tls.Config {
	config := EtcdTLS(c).Clone()
	config.ClientAuth, config.VerifyConnection, config.GetConfigForClient = tls.NoClientCert, nil, nil
	return config
}

// A client's certificate of a secret is for clients only, and is renewed under the next secret.
func TestSecretClients(t *testing.T) {
	old, next, dir := secretOf(t, 1), secretOf(t, 2), t.TempDir()
	m := maker(noon).WithSecrets([]ClusterSecret{old})
	files, err := m.CreateClient(dir, "admin")
	must(t, err)
	if _, err := os.Stat(filepath.Join(dir, "ca.key")); err == nil {
		t.Error("the CA's key was written")
	}
	admin, err := LoadClient(dir, "", at(noon))
	must(t, err)
	meet := func(member *Credentials) error {
		atClient, atServer := handshake(t, ClientTLS(admin, ProtocolClient, Identity{Class: ClassMember}), ServerTLS(member, ProtocolClient, ClassClient))
		return errors.Join(atClient, atServer)
	}
	must(t, meet(secretMember(t, noon, "n1", old)))
	must(t, meet(secretMember(t, noon, "n1", next, old)))
	expect(t, "a client's certificate on the peer port", func() error {
		_, atServer := handshake(t, ClientTLS(admin, ProtocolPeer, Identity{Class: ClassMember}), PeersTLS(secretMember(t, noon, "n1", old)))
		return atServer
	}(), "member certificate is required")
	expect(t, "after the rotation", meet(secretMember(t, noon, "n1", next)), "another CA")
	m = m.WithSecrets([]ClusterSecret{next, old})
	must(t, m.Renew(dir, files.Cert))
	must(t, meet(secretMember(t, noon, "n1", next, old)))
	must(t, meet(secretMember(t, noon, "n1", next)))
}

// Certificates of a secret are never written where another CA or another secret is trusted, and a refused command writes no file.
func TestSecretsTrustIsNeverReplaced(t *testing.T) {
	first, second := maker(noon).WithSecrets([]ClusterSecret{secretOf(t, 1)}), maker(noon).WithSecrets([]ClusterSecret{secretOf(t, 2)})
	dir, production := t.TempDir(), folder(t, "prod", noon)
	files, err := first.CreateClient(dir, "admin")
	must(t, err)
	damaged := t.TempDir()
	must(t, os.WriteFile(filepath.Join(damaged, "ca.crt"), []byte("cut"), 0o600))
	for _, into := range []string{dir, production, damaged} {
		before := filesIn(t, into)
		_, err := second.CreateClient(into, "other")
		wantError(t, err, "nothing was written")
		wantError(t, second.Renew(into, files.Cert), "nothing was written")
		if after := filesIn(t, into); !maps.Equal(before, after) {
			t.Errorf("a refused command left %v, before there was %v", after, before)
		}
	}
	before := filesIn(t, dir)
	both := maker(noon).WithSecrets([]ClusterSecret{secretOf(t, 2), secretOf(t, 1)})
	_, err = both.CreateClient(dir, "admin")
	wantError(t, err, "never overwritten")
	if after := filesIn(t, dir); !maps.Equal(before, after) {
		t.Error("a client's certificate that exists already: ca.crt was changed")
	}
}

// filesIn returns the contents of the files in a folder.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		all[e.Name()] = string(text)
	}
	return all
}

// A member signs its certificate again after half of its life, and follows the file of its secrets.
func TestSecretMemberRenews(t *testing.T) {
	name := filepath.Join(t.TempDir(), "secret")
	old, next := secretOf(t, 1), secretOf(t, 2)
	must(t, WriteSecrets(name, []ClusterSecret{old}, false))
	now := noon
	m := Maker{Now: func() time.Time { return now }, Rand: maker(noon).Rand}
	c, err := m.SecretMember(SecretSource{Name: "the cluster secret in " + name, File: name}, "n1", nil)
	must(t, err)
	first := c.Certificate()
	for range 20 { // years
		now = now.Add(leafLifetime / 2)
		must(t, c.refresh())
		if c.NotAfter().Before(now.Add(leafLifetime-time.Minute)) || c.Problem() != "" {
			t.Fatalf("at %v the certificate ends at %v: %s", now, c.NotAfter(), c.Problem())
		}
	}
	if !samePublicKey(first.PublicKey, c.Certificate().PublicKey) || first.SerialNumber.Cmp(c.Certificate().SerialNumber) == 0 {
		t.Error("the certificate is the same, or has another key")
	}
	other := func(all ...ClusterSecret) []error {
		t.Helper()
		return peersMeet(t, c, secretMember(t, now, "n2", all...))
	}
	if failed := other(next); len(failed) != 2 {
		t.Errorf("another secret: %v", failed)
	}
	must(t, os.WriteFile(name, []byte("qkvsecret1_cut\n"), 0o600))
	if failed := other(old); len(failed) > 0 || !strings.Contains(c.Problem(), "it was cut or extended") {
		t.Errorf("with a cut secret in the file: %v, %s", failed, c.Problem())
	}
	must(t, WriteSecrets(name, []ClusterSecret{next, old}, true))
	if failed := append(other(old), other(next)...); len(failed) > 0 || c.Problem() != "" {
		t.Errorf("with both secrets in the file: %v, %s", failed, c.Problem())
	}
	must(t, WriteSecrets(name, []ClusterSecret{next}, true))
	if failed := other(old); len(failed) != 2 {
		t.Errorf("the old secret after the rotation: %v", failed)
	}
}
