package wire

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"

	"qkv/internal/limits"
)

func TestParseIdentity(t *testing.T) {
	long := strings.Repeat("a", limits.NameBytes)
	for _, good := range []string{
		"qkv://local/member/n1", "qkv://prod.eu-1/client/alice@example.org", "qkv://a/member/A", "qkv://a/ca",
		"qkv://" + long + "/member/" + long, "qkv://0/client/a.b_c-d+e",
	} {
		id, err := ParseIdentity(good)
		if err != nil || id.String() != good || id.url().String() != good {
			t.Errorf("%s: %v, %v", good, id, err)
		}
	}
	for _, bad := range []string{
		"", "qkv", "qkv://", "qkv:///member/n1", "qkv://local", "qkv://local/", "qkv://local/member", "qkv://local/member/",
		"qkv://local/member/n1/", "qkv://local/member/n1/x", "qkv://local//n1", "qkv://local/Member/n1", "qkv://local/admin/n1",
		"qkv://local/ca/", "qkv://local/ca/x", "QKV://local/member/n1", "http://local/member/n1", "qkv://Local/member/n1",
		"qkv://local:80/member/n1", "qkv://u@local/member/n1", "qkv://local/member/n1?x", "qkv://local/member/n1#x",
		"qkv://local/member/n%31", "qkv://local/member/..", "qkv://local/member/.n1", "qkv://local/member/n1-", "qkv://.local/member/n1",
		"qkv://local/member/n 1", "qkv://local/member/n\x00", "qkv://local/member/ñ", "qkv://lo_cal/member/n1", " qkv://local/member/n1",
		"qkv://" + long + "a/member/n1", "qkv://local/member/" + long + "a",
	} {
		if id, err := ParseIdentity(bad); err == nil {
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
		id, err := ParseIdentity(s)
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
		if strings.ContainsAny(id.base(), "/\\") || strings.HasPrefix(id.base(), ".") {
			t.Fatalf("%q is no file name", id.base())
		}
	})
}

// What is wrong with a name is told as it was written.
func TestNameThatIsRefused(t *testing.T) {
	for name, want := range map[string]string{"münchen": "'ü'", "a/b": "'/'", "a\xff": "'\ufffd'", "a b": "' '"} {
		if err := CheckName(name); err == nil || !strings.Contains(err.Error(), "holds "+want+":") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
