package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Credentials are what one process proves itself with and believes others by: a certificate with its key, and the
// CAs of its trust domain. They are loaded whole or not at all, and never change; new ones need new connections.
//
//  1. The key is the certificate's, one of the CAs signed it, and it was valid when it was loaded.
//  2. It holds one identity; the trust domain is that identity's cluster, and no other is believed.
type Credentials struct {
	Identity    Identity
	Certificate *x509.Certificate
	Source      string // the certificate's file, for messages

	pair  tls.Certificate
	roots *x509.CertPool
	now   func() time.Time
}

// Cluster returns the trust domain.
func (c *Credentials) Cluster() string { return c.Identity.Cluster }

// NotAfter returns when the certificate expires.
func (c *Credentials) NotAfter() time.Time { return c.Certificate.NotAfter }

// LoadMember loads the credentials of the member name from a folder of certificates.
func LoadMember(dir, name string, now func() time.Time) (*Credentials, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	return load(dir, dir, ClassMember, name, now)
}

// LoadClient loads the credentials of the client name from a folder of certificates. An empty name means the only
// client certificate there.
func LoadClient(dir, name string, now func() time.Time) (*Credentials, error) {
	if name == "" {
		names := namesIn(dir, ClassClient)
		if len(names) > 1 {
			return nil, fmt.Errorf("%s holds the certificates of %d clients (%s): say which one to use", dir, len(names), strings.Join(names, ", "))
		}
		if len(names) == 0 {
			return nil, missing(dir, ClassClient, "NAME")
		}
		name = names[0]
	}
	if err := CheckName(name); err != nil {
		return nil, err
	}
	return load(dir, dir, ClassClient, name, now)
}

// load reads one certificate from dir and the CAs from caDir, and checks that all of them fit.
func load(caDir, dir string, class Class, name string, now func() time.Time) (*Credentials, error) {
	want := Identity{Class: class, Name: name}
	files := filesOf(dir, want)
	chain, err := readCertificates(files.Cert)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(dir, class, name)
	}
	if err != nil {
		return nil, err
	}
	key, err := readKey(files.Key)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s is there, but its key %s is missing: copy it from where the certificate was made", files.Cert, files.Key)
	}
	if err != nil {
		return nil, err
	}
	roots, err := loadRoots(caDir)
	if err != nil {
		return nil, err
	}
	c := &Credentials{Certificate: chain[0], Source: files.Cert, roots: roots, now: now}
	c.pair = tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, certificate := range chain {
		c.pair.Certificate = append(c.pair.Certificate, certificate.Raw)
	}
	if !samePublicKey(chain[0].PublicKey, key.Public()) {
		return nil, fmt.Errorf("%s is not the key of %s: one of them was replaced; copy both again from where they were made", files.Key, files.Cert)
	}
	if err := c.check(chain, want); err != nil {
		return nil, err
	}
	return c, nil
}

// check checks what the certificate says, and that it is believed by the CAs.
func (c *Credentials) check(chain []*x509.Certificate, want Identity) (err error) {
	if c.Identity, err = IdentityOf(chain[0]); err != nil {
		return fmt.Errorf("%s: %w", c.Source, err)
	}
	if c.Identity.Class != want.Class {
		return fmt.Errorf("%s is the certificate of a %v (%v), and one of a %v is needed: make it with `qkv cert %v`",
			c.Source, c.Identity.Class, c.Identity, want.Class, want.Class)
	}
	if c.Identity.Name != want.Name {
		return fmt.Errorf("%s is the certificate of %v, not of %q: was it renamed?", c.Source, c.Identity, want.Name)
	}
	if err := checkDates(c.Source, chain[0], c.now()); err != nil {
		return err
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if want.Class == ClassMember {
		usages = append(usages, x509.ExtKeyUsageServerAuth)
	}
	for _, usage := range usages {
		if err := verifyChain(chain, c.roots, c.now(), usage); err != nil {
			return fmt.Errorf("%s is not believed by the CA beside it: %w", c.Source, err)
		}
	}
	return nil
}

// loadRoots reads ca.crt.
func loadRoots(dir string) (*x509.CertPool, error) {
	name := filesOf(dir, Identity{Class: ClassCA}).Cert
	certificates, err := readCertificates(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s is missing, so nobody could be believed: copy it from where the CA was made (`qkv cert ca`)", name)
	}
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	for _, certificate := range certificates {
		if !certificate.IsCA {
			return nil, fmt.Errorf("%s holds the certificate of %q, which is no CA: it should hold the CA's only", name, certificate.Subject)
		}
		roots.AddCert(certificate)
	}
	return roots, nil
}

// missing is the error of a certificate that is not there.
func missing(dir string, class Class, name string) error {
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("the folder of certificates cannot be used: %w: make it with `qkv cert ca --certs-dir %s --cluster NAME` and `qkv cert %v`", err, dir, class)
	}
	there := "none is there"
	if names := namesIn(dir, class); len(names) > 0 {
		there = "there are those of " + strings.Join(names, ", ")
	}
	return fmt.Errorf("%s holds no certificate %v-%s.crt (%s): make it with `qkv cert %v --certs-dir %s %s` where the CA is, and copy it with its key",
		dir, class, name, there, class, dir, name)
}

// namesIn returns whose certificates of a class are in a folder.
func namesIn(dir string, class Class) []string {
	found, _ := filepath.Glob(filepath.Join(escapeGlob(dir), class.String()+"-*"+certSuffix))
	var names []string
	for _, f := range found {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), class.String()+"-"), certSuffix))
	}
	slices.Sort(names)
	return names
}

func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}
