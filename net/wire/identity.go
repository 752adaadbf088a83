package wire

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"qkv/index/kv"
)

// Class is the role of a certificate's holder. A certificate has exactly one class: a client's certificate is never accepted as a
// peer's, whatever else it contains.
type Class uint8

// The classes of certificates.
const (
	ClassMember Class = iota + 1 // serves clients and peers, and dials peers
	ClassClient                  // dials members
	classCA                      // signs the two above, and is never shown in a handshake
)

func (c Class) String() string {
	switch c {
	case ClassMember:
		return "member"
	case ClassClient:
		return "client"
	case classCA:
		return "ca"
	default:
		return fmt.Sprintf("Class(%d)", uint8(c))
	}
}

// Identity is the subject of a certificate, as one URI in it. Besides the signature and the dates, qkv trusts no other part of the
// certificate:
//
//	qkv://CLUSTER/member/NAME
//	qkv://CLUSTER/client/NAME
//	qkv://CLUSTER/ca
//
// CLUSTER is the trust domain of the certificate authority: 1 to labelBytes of a-z 0-9 . and -, beginning and ending with a
// letter or digit. NAME is a name that kv.CheckName accepts, escaped by escapeName: an identity has one spelling.
type Identity struct {
	Cluster string
	Class   Class
	Name    string // empty for a CA
}

const scheme = "qkv"

// String returns the identity's URI.
func (id Identity) String() string {
	if id.Class == classCA {
		return scheme + "://" + id.Cluster + "/ca"
	}
	return scheme + "://" + id.Cluster + "/" + id.Class.String() + "/" + escapeName(id.Name)
}

func (id Identity) url() *url.URL {
	u := &url.URL{Scheme: scheme, Host: id.Cluster, RawPath: strings.TrimPrefix(id.String(), scheme+"://"+id.Cluster)}
	u.Path, _ = url.PathUnescape(u.RawPath) // cannot fail: escapeName's escapes are valid
	return u
}

func (id Identity) check() error {
	if err := CheckCluster(id.Cluster); err != nil {
		return err
	}
	switch id.Class {
	case ClassMember, ClassClient:
		return kv.CheckName(id.Name)
	case classCA:
		if id.Name != "" {
			return fmt.Errorf("a CA has no name, but %q was given", id.Name)
		}
		return nil
	default:
		return fmt.Errorf("%v is not a certificate class", id.Class)
	}
}

// parseIdentity reads an identity's URI.
func parseIdentity(uri string) (Identity, error) {
	rest, ok := strings.CutPrefix(uri, scheme+"://")
	if !ok {
		return Identity{}, fmt.Errorf("%q is not an identity: it does not begin with qkv://", uri)
	}
	cluster, path, _ := strings.Cut(rest, "/")
	class, escaped, named := strings.Cut(path, "/")
	name, err := url.PathUnescape(escaped)
	if err != nil || escapeName(name) != escaped {
		return Identity{}, fmt.Errorf("%q is not an identity: its encoding differs from qkv's", uri)
	}
	id := Identity{Cluster: cluster, Name: name}
	switch {
	case class == "member" && named:
		id.Class = ClassMember
	case class == "client" && named:
		id.Class = ClassClient
	case class == "ca" && !named:
		id.Class = classCA
	default:
		return Identity{}, fmt.Errorf("%q is not an identity: want qkv://CLUSTER/member/NAME or qkv://CLUSTER/client/NAME", uri)
	}
	if err := id.check(); err != nil {
		return Identity{}, fmt.Errorf("%q is not an identity: %w", uri, err)
	}
	return id, nil
}

// IdentityOf returns the identity in a certificate. It does not verify the signature.
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
		return parseIdentity(found[0])
	default:
		return Identity{}, fmt.Errorf("the certificate of %q holds %d qkv:// identities, but may hold only one", certificate.Subject, len(found))
	}
}

// CheckCluster returns an error if the name of a trust domain is invalid.
func CheckCluster(name string) error {
	if name != strings.ToLower(name) {
		return fmt.Errorf("cluster name %q has capital letters, which host names cannot have: use %q", name, strings.ToLower(name))
	}
	return checkLabel("cluster name", name, ".-")
}

// labelBytes is the longest label of a host name, and the longest name of a cluster. Source: RFC 1035.
const labelBytes = 63

// checkLabel checks a label's length, its characters, and that it neither begins nor ends with a mark.
func checkLabel(what, name, marks string) error {
	if name == "" || len(name) > labelBytes {
		return fmt.Errorf("%s %q has %d bytes, but must have 1 to %d", what, name, len(name), labelBytes)
	}
	for i, r := range name {
		alphanumeric := plain(r, "")
		if !alphanumeric && !strings.ContainsRune(marks, r) {
			return fmt.Errorf("%s %q holds %q: letters from a to z, digits and %s are allowed", what, name, r, marks)
		}
		if !alphanumeric && (i == 0 || i == len(name)-1) {
			return fmt.Errorf("%s %q must begin and end with a letter or digit", what, name)
		}
	}
	return nil
}

// nameMarks are the characters, besides letters and digits, that stay unescaped in identities and file names.
const nameMarks = "._-@+"

func plain(r rune, marks string) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(marks, r)
}

// escapeName percent-encodes each byte of a name that is not plain, with capital hexadecimal digits. The result is ASCII without
// separators of paths or URIs. Different names have different results.
func escapeName(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool { return !plain(r, nameMarks) }) {
		return name
	}
	var b strings.Builder
	for _, c := range []byte(name) {
		if c < utf8.RuneSelf && plain(rune(c), nameMarks) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Common file systems limit file names to 255 bytes. An escaped name of more than fileNameWhole bytes is cut to fileNameCut bytes;
// "~" and a hash of the name follow. "~" never occurs in an escaped name.
const (
	fileNameWhole = 200
	fileNameCut   = 128
)

// FileName converts a name to a file name, or a part of one. Different names have different results.
func FileName(name string) string {
	escaped := escapeName(name)
	if strings.Trim(escaped, ".") == "" {
		return strings.ReplaceAll(escaped, ".", "%2E") // ".." alone would be another folder
	}
	if len(escaped) <= fileNameWhole {
		return escaped
	}
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%s~%x", escaped[:fileNameCut], sum[:16])
}
