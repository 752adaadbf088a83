package wire

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"

	"qkv/internal/limits"
)

func TestParseIdentity(t *testing.T) {
	label, name := strings.Repeat("a", labelBytes), strings.Repeat("a", limits.NameBytes)
	for _, good := range []string{
		"qkv://local/member/n1", "qkv://prod.eu-1/client/alice@example.org", "qkv://a/member/A", "qkv://a/ca",
		"qkv://" + label + "/member/" + name, "qkv://0/client/a.b_c-d+e", "qkv://local/member/..", "qkv://local/member/.n1", "qkv://local/member/n1-",
		"qkv://local/member/a%2Fb", "qkv://local/member/m%C3%BCnchen", "qkv://local/member/n%20%25%2520%3D%2C%7E",
	} {
		id, err := parseIdentity(good)
		if err != nil || id.String() != good || id.url().String() != good {
			t.Errorf("%s: %v, %v", good, id, err)
		}
	}
	for _, bad := range []string{
		"", "qkv", "qkv://", "qkv:///member/n1", "qkv://local", "qkv://local/", "qkv://local/member", "qkv://local/member/",
		"qkv://local/member/n1/", "qkv://local/member/n1/x", "qkv://local//n1", "qkv://local/Member/n1", "qkv://local/admin/n1",
		"qkv://local/ca/", "qkv://local/ca/x", "QKV://local/member/n1", "http://local/member/n1", "qkv://Local/member/n1",
		"qkv://local:80/member/n1", "qkv://u@local/member/n1", "qkv://local/member/n1?x", "qkv://local/member/n1#x",
		"qkv://local/member/n%31", "qkv://local/member/a%2fb", "qkv://local/member/a%2", "qkv://local/member/a%FFb", "qkv://local/member/a%0Ab", "qkv://.local/member/n1",
		"qkv://local/member/n 1", "qkv://local/member/n\x00", "qkv://local/member/ñ", "qkv://lo_cal/member/n1", " qkv://local/member/n1",
		"qkv://" + label + "a/member/n1", "qkv://local/member/" + name + "a",
	} {
		if id, err := parseIdentity(bad); err == nil {
			t.Errorf("%q was read as %v", bad, id)
		}
	}
}

func TestIdentityOf(t *testing.T) {
	parse := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	member, spiffe := parse("qkv://local/member/n1"), parse("spiffe://local/n1")
	if id, err := IdentityOf(&x509.Certificate{URIs: []*url.URL{spiffe, member}}); err != nil || id.Name != "n1" {
		t.Errorf("%v %v", id, err)
	}
	for _, uris := range [][]*url.URL{
		nil,
		{spiffe},
		{member, member},
		{member, parse("qkv://local/client/n1")},
		{member, parse("QKV://local/client/n1")},
		{parse("qkv://local/member/n%31")},
		{parse("qkv:local/member/n1")},
		{parse("qkv://local/member/n1/../n2")},
	} {
		if id, err := IdentityOf(&x509.Certificate{URIs: uris}); err == nil {
			t.Errorf("%v was read as %v", uris, id)
		}
	}
}

func FuzzParseIdentity(f *testing.F) {
	f.Add("qkv://local/member/n1")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := parseIdentity(s)
		if err != nil {
			return
		}
		if id.String() != s {
			t.Fatalf("%q has another spelling: %v", s, id)
		}
		u, err := url.Parse(s)
		if err != nil || u.String() != s || u.Host != id.Cluster {
			t.Fatalf("%q is %v as a URL: %v", s, u, err)
		}
		if file := id.FileName(); strings.ContainsAny(file, "/\\") || strings.HasPrefix(file, ".") || len(file)+len(certSuffix) > 255 {
			t.Fatalf("%q is no file name", file)
		}
	})
}

// TestFileName checks that names that differ never share a file, that no name leaves its folder, and that common file
// systems accept the result.
func TestFileName(t *testing.T) {
	long := strings.Repeat("/", limits.NameBytes-1)
	seen := map[string]string{}
	for _, name := range []string{"n1", "a/b", "a%2Fb", "../n1", ".", "..", "a b", "~", "münchen", long + "a", long + "b", strings.Repeat("a", 200), strings.Repeat("a", 201)} {
		file := Identity{Class: ClassMember, Name: name}.FileName()
		if other, taken := seen[file]; taken {
			t.Errorf("%q and %q have the file %s", name, other, file)
		}
		if folder := FileName(name); folder == "." || folder == ".." || strings.Contains(folder, "/") {
			t.Errorf("%q has the folder %q", name, folder)
		}
		if seen[file] = name; strings.Contains(file, "/") || len(file)+len(certSuffix) > 255 {
			t.Errorf("%q has the file %q of %d bytes", name, file, len(file))
		}
	}
}
