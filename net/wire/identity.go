package wire

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"

	"qkv/internal/limits"
)

// Class says what the holder of a certificate may be. A certificate has exactly one, so that a client's can never be
// a peer's, whatever else stands in it.
type Class uint8

// The classes of certificates.
const (
	ClassMember Class = iota + 1 // serves clients and peers, and dials peers
	ClassClient                  // dials members
	ClassCA                      // signs the two above, and is never shown in a handshake
)

func (c Class) String() string {
	switch c {
	case ClassMember:
		return "member"
	case ClassClient:
		return "client"
	case ClassCA:
		return "ca"
	default:
		return fmt.Sprintf("Class(%d)", uint8(c))
	}
}

// Identity is who a certificate speaks for. It stands in the certificate as one URI, the only part of it besides
// the signature and the dates that qkv believes:
//
//	qkv://CLUSTER/member/NAME
//	qkv://CLUSTER/client/NAME
//	qkv://CLUSTER/ca
//
// CLUSTER is the trust domain of the certificate authority: 1 to 63 of a-z 0-9 . and -; NAME is 1 to 63 of
// A-Z a-z 0-9 . _ - @ and +, so that it is a file name too. Both begin and end with a letter or digit. Nothing is
// ever escaped, so an identity has one spelling.
type Identity struct {
	Cluster string
	Class   Class
	Name    string // empty for a CA
}

const scheme = "qkv"

// String returns the identity's URI.
func (id Identity) String() string {
	if id.Class == ClassCA {
		return scheme + "://" + id.Cluster + "/ca"
	}
	return scheme + "://" + id.Cluster + "/" + id.Class.String() + "/" + id.Name
}

func (id Identity) url() *url.URL {
	return &url.URL{Scheme: scheme, Host: id.Cluster, Path: strings.TrimPrefix(id.String(), scheme+"://"+id.Cluster)}
}

func (id Identity) check() error {
	if err := CheckCluster(id.Cluster); err != nil {
		return err
	}
	switch id.Class {
	case ClassMember, ClassClient:
		return CheckName(id.Name)
	case ClassCA:
		if id.Name != "" {
			return fmt.Errorf("a CA has no name, but %q was given", id.Name)
		}
		return nil
	default:
		return fmt.Errorf("%v is no class of certificate", id.Class)
	}
}

// ParseIdentity reads an identity's URI.
func ParseIdentity(uri string) (Identity, error) {
	rest, ok := strings.CutPrefix(uri, scheme+"://")
	if !ok {
		return Identity{}, fmt.Errorf("%q is no identity: it does not begin with qkv://", uri)
	}
	cluster, path, _ := strings.Cut(rest, "/")
	class, name, named := strings.Cut(path, "/")
	id := Identity{Cluster: cluster, Name: name}
	switch {
	case class == "member" && named:
		id.Class = ClassMember
	case class == "client" && named:
		id.Class = ClassClient
	case class == "ca" && !named:
		id.Class = ClassCA
	default:
		return Identity{}, fmt.Errorf("%q is no identity: want qkv://CLUSTER/member/NAME or qkv://CLUSTER/client/NAME", uri)
	}
	if err := id.check(); err != nil {
		return Identity{}, fmt.Errorf("%q is no identity: %w", uri, err)
	}
	return id, nil
}

// IdentityOf returns the identity that stands in a certificate. It says nothing about who signed it.
func IdentityOf(certificate *x509.Certificate) (Identity, error) {
	var found []string
	for _, u := range certificate.URIs {
		if strings.EqualFold(u.Scheme, scheme) {
			found = append(found, u.String())
		}
	}
	switch len(found) {
	case 0:
		return Identity{}, fmt.Errorf("the certificate of %q holds no qkv:// identity: it was not made by `qkv cert`, or for something else", certificate.Subject)
	case 1:
		return ParseIdentity(found[0])
	default:
		return Identity{}, fmt.Errorf("the certificate of %q holds %d qkv:// identities, and may hold one", certificate.Subject, len(found))
	}
}

// CheckCluster says what is wrong with the name of a trust domain.
func CheckCluster(name string) error {
	if name != strings.ToLower(name) {
		return fmt.Errorf("cluster name %q has capital letters, and host names have none: use %q", name, strings.ToLower(name))
	}
	return checkName("cluster name", name, ".-")
}

// CheckName says what is wrong with the name of a member or a client.
func CheckName(name string) error { return checkName("name", name, "._-@+") }

// checkName checks a name's length, each of its characters, and that its ends are none of the marks.
func checkName(what, name, marks string) error {
	if name == "" || len(name) > limits.NameBytes {
		return fmt.Errorf("%s %q has %d bytes, and must have 1 to %d", what, name, len(name), limits.NameBytes)
	}
	for i, r := range name {
		plain := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		if !plain && !strings.ContainsRune(marks, r) {
			return fmt.Errorf("%s %q holds %q: letters from a to z, digits and %s are allowed", what, name, r, marks)
		}
		if !plain && (i == 0 || i == len(name)-1) {
			return fmt.Errorf("%s %q must begin and end with a letter or digit", what, name)
		}
	}
	return nil
}
