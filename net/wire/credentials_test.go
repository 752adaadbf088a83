package wire

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	dir := folder(t, "prod", noon)
	c, err := LoadMember(dir, "n1", at(noon))
	must(t, err)
	if c.Identity.String() != "qkv://prod/member/n1" || c.Cluster() != "prod" || !c.NotAfter().Equal(noon.Add(365*day)) || c.Source != dir+"/member-n1.crt" {
		t.Errorf("%+v", c)
	}
	c, err = LoadClient(dir, "", at(noon))
	if err != nil || c.Identity.Name != "alice" {
		t.Errorf("%+v %v", c, err)
	}
	_, err = maker(noon).CreateClient(dir, "bob")
	must(t, err)
	if c, err = LoadClient(dir, "bob", at(noon)); err != nil || c.Identity.Name != "bob" {
		t.Errorf("%+v %v", c, err)
	}
	_, err = LoadClient(dir, "", at(noon))
	wantError(t, err, "2 clients (alice, bob)")
}

// Each way in which a folder can be wrong has an error that says what, and most what to do.
func TestLoadErrors(t *testing.T) {
	other := folder(t, "prod", noon)
	write := func(name, text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)) }
	}
	remove := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, name))) }
	}
	copied := func(from, to string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { write(to, read(t, filepath.Join(dir, from)))(t, dir) }
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir string)
		now    time.Time
		want   []string
	}{
		{"no certificate", remove("member-n1.crt"), noon, []string{"holds no certificate member-n1.crt (it has certificates of n2): give one of these names with --name, or make it with", "qkv cert member --certs-dir", " n1"}},
		{"no key", remove("member-n1.key"), noon, []string{"member-n1.crt exists, but its key", "member-n1.key is missing"}},
		{"no CA", remove("ca.crt"), noon, []string{"ca.crt is missing", "qkv cert ca"}},
		{"expired", nil, noon.Add(366 * day), []string{"member-n1.crt has expired: it was valid until 2027-11-20 12:00:00Z", "this host's clock says 2027-11-21", "qkv cert"}},
		{"not yet valid", nil, noon.Add(-time.Hour), []string{"member-n1.crt is not yet valid", "is valid from 2026-11-20 11:55:00Z", "set the clock"}},
		{"key of another", copied("member-n2.key", "member-n1.key"), noon, []string{"member-n1.key is not the key of", "member-n1.crt"}},
		{"another member's", func(t *testing.T, dir string) {
			copied("member-n2.key", "member-n1.key")(t, dir)
			copied("member-n2.crt", "member-n1.crt")(t, dir)
		}, noon, []string{`is the certificate of qkv://prod/member/n2, not of "n1"`}},
		{"a client's", func(t *testing.T, dir string) {
			copied("client-alice.key", "member-n1.key")(t, dir)
			copied("client-alice.crt", "member-n1.crt")(t, dir)
		}, noon, []string{"is a client certificate (qkv://prod/client/alice), but a member certificate is required", "qkv cert member"}},
		{"another CA's", write("ca.crt", read(t, other+"/ca.crt")), noon, []string{"member-n1.crt is not trusted by the CA in the same folder", "was signed by another CA", "same ca.crt"}},
		{"no CA in ca.crt", copied("member-n2.crt", "ca.crt"), noon, []string{"ca.crt holds the certificate of", "which is not a CA"}},
		{"empty", write("member-n1.crt", ""), noon, []string{"member-n1.crt holds no certificate", "empty, damaged"}},
		{"damaged", write("member-n1.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), noon, []string{"member-n1.crt is damaged"}},
		{"damaged key", write("member-n1.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), noon, []string{"member-n1.key is damaged"}},
		{"no key in key", copied("member-n1.crt", "member-n1.key"), noon, []string{"member-n1.key holds no private key"}},
		{"key for all", func(t *testing.T, dir string) { must(t, os.Chmod(dir+"/member-n1.key", 0o644)) }, noon, []string{"member-n1.key has mode 0644", "chmod 600"}},
		{"huge", write("member-n1.crt", strings.Repeat("x", 2<<20)), noon, []string{"more than 1048576 bytes"}},
		{"no folder", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, noon, []string{"cannot be used", "no such file", "qkv cert ca"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t, "prod", noon)
			if c.change != nil {
				c.change(t, dir)
			}
			loaded, err := LoadMember(dir, "n1", at(c.now))
			wantError(t, err, c.want...)
			if loaded != nil {
				t.Error("credentials came with the error")
			}
		})
	}
	_, err := LoadClient(t.TempDir(), "", at(noon))
	wantError(t, err, "holds no certificate client-NAME.crt (it has no such certificate): make it with `qkv cert client")
	_, err = LoadMember(other, "n\n1", at(noon))
	wantError(t, err, "control character")
}

// A group may read a key: containers' secrets are mounted so.
func TestKeyForAGroup(t *testing.T) {
	dir := folder(t, "prod", noon)
	must(t, os.Chmod(dir+"/member-n1.key", 0o660)) // a volume's fsGroup gives that access, and it is removed
	_, err := LoadMember(dir, "n1", at(noon))
	must(t, err)
	if info, err := os.Stat(dir + "/member-n1.key"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v, %v", info.Mode(), err)
	}
	must(t, os.Chmod(dir+"/member-n1.key", 0o640))
	_, err = LoadMember(dir, "n1", at(noon))
	must(t, err)
}

// While a CA is replaced, ca.crt holds the old one and the new one, and certificates of both are good.
func TestTwoCAs(t *testing.T) {
	old, fresh := folder(t, "prod", noon), folder(t, "prod", noon)
	both := read(t, old+"/ca.crt") + read(t, fresh+"/ca.crt")
	for _, dir := range []string{old, fresh} {
		must(t, os.WriteFile(dir+"/ca.crt", []byte(both), 0o644))
	}
	a, err := LoadMember(old, "n1", at(noon))
	must(t, err)
	b, err := LoadMember(fresh, "n2", at(noon))
	must(t, err)
	if here, there := handshake(t, ClientTLS(a, ProtocolPeer, Identity{Class: ClassMember, Name: "n2"}), ServerTLS(b, ProtocolPeer, ClassMember)); here != nil || there != nil {
		t.Errorf("%v, %v", here, there)
	}
}
