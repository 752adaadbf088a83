package wire

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// A folder of certificates (--certs-dir):
//
//	ca.crt               the CA's certificate; several while an old CA and a new one overlap
//	ca.key               the CA's key: only where certificates are made, never on a member's host
//	member-NAME.crt .key a member's; it serves and dials with it
//	client-NAME.crt .key a client's
//
// All are PEM; keys are PKCS #8 in files of mode 0600. Keys are ECDSA P-256. A certificate is valid from five minutes before its creation,
// because clocks differ; where members sign by themselves, at any time (secretca.go, localca.go). A CA's is valid for ten years, the others
// for one year, unless the caller sets another lifetime.
const (
	caName       = "ca"
	certSuffix   = ".crt"
	keySuffix    = ".key"
	certBlock    = "CERTIFICATE"
	keyBlock     = "PRIVATE KEY"
	folderMode   = 0o700
	keyMode      = 0o600
	certMode     = 0o644
	backdate     = 5 * time.Minute // of a certificate with a lifetime below 50 minutes: a tenth of its lifetime
	day          = 24 * time.Hour
	caLifetime   = 3652 * day
	leafLifetime = 365 * day

	commonNameMost = 64
)

// Maker makes certificates. The caller passes the clock and the randomness; Go's ECDSA uses only the system's randomness anyway.
type Maker struct {
	Now      func() time.Time
	Rand     io.Reader
	Lifetime time.Duration // of new certificates, at least a second; 0: the default

	always  bool            // the CA, and the beginning of other certificates, do not depend on the clock
	secrets []ClusterSecret // not empty: their CA signs, and there is none in a folder
}

// Files names the files of a new certificate.
type Files struct{ Cert, Key string }

// FileName returns the name of an identity's files, without suffix.
func (id Identity) FileName() string {
	if id.Class == classCA {
		return caName
	}
	return id.Class.String() + "-" + FileName(id.Name)
}

func filesOf(dir string, id Identity) Files {
	base := filepath.Join(dir, id.FileName())
	return Files{Cert: base + certSuffix, Key: base + keySuffix}
}

// CreateCA makes a CA for the trust domain cluster in dir, which is created if it is missing. Existing files are never overwritten:
// that would invalidate all certificates of the old CA.
func (m Maker) CreateCA(dir, cluster string) (Files, error) {
	id := Identity{Cluster: cluster, Class: classCA}
	if err := id.check(); err != nil {
		return Files{}, err
	}
	key, err := m.newKey()
	if err != nil {
		return Files{}, err
	}
	template := m.template(id, caLifetime)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	// Even in a ca.crt with other CAs, this CA signs for its own trust domain only.
	template.PermittedURIDomains, template.PermittedDNSDomainsCritical = []string{cluster}, true
	der, err := x509.CreateCertificate(m.Rand, template, template, key.Public(), key)
	if err != nil {
		return Files{}, fmt.Errorf("sign the CA's certificate: %w", err)
	}
	return m.writePair(dir, id, der, key)
}

// CreateMember makes the certificate of the member name with the CA in dir. Clients without qkv's own verification (gRPC, HTTP)
// reach the member under the names and addresses in hosts; localhost is always among them.
func (m Maker) CreateMember(dir, name string, hosts []string) (Files, error) {
	return m.create(dir, ClassMember, name, hosts)
}

// CreateClient makes the certificate of the client name with the CA in dir.
func (m Maker) CreateClient(dir, name string) (Files, error) {
	return m.create(dir, ClassClient, name, nil)
}

func (m Maker) create(dir string, class Class, name string, hosts []string) (Files, error) {
	if err := kv.CheckName(name); err != nil {
		return Files{}, err
	}
	ca, err := m.loadAuthority(dir)
	if err != nil {
		return Files{}, err
	}
	id := Identity{Cluster: ca.cluster, Class: class, Name: name}
	key, err := m.newKey()
	if err != nil {
		return Files{}, err
	}
	der, err := m.sign(ca, id, hosts, key.Public())
	if err != nil {
		return Files{}, err
	}
	return m.writePair(dir, id, der, key)
}

// Renew replaces the certificate of a member or client in a file. The CA in dir signs a new one for the same identity, key and
// hosts. The private key is not needed and stays valid. With secrets, ca.crt in dir gets their CAs.
func (m Maker) Renew(dir, name string) error {
	ca, err := m.loadAuthority(dir)
	if err != nil {
		return err
	}
	old, err := readCertificates(name)
	if err != nil {
		return err
	}
	id, err := IdentityOf(old[0])
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case id.Class == classCA:
		return fmt.Errorf("%s is a CA certificate, which cannot be renewed: make a new CA in another folder", name)
	case id.Cluster != ca.cluster:
		return fmt.Errorf("%s is the certificate of %v, but the CA in %s belongs to the cluster %q", name, id, dir, ca.cluster)
	}
	der, err := m.sign(ca, id, hostsIn(old[0]), old[0].PublicKey)
	if err != nil {
		return err
	}
	if err := m.trustSecrets(dir); err != nil {
		return err
	}
	return replaceFile(name, encodeCertificate(der), certMode)
}

// authority is a CA that can sign.
type authority struct {
	cluster     string
	certificate *x509.Certificate
	key         crypto.Signer
}

// loadAuthority loads the CA that can sign from dir, or derives that of the secrets.
func (m Maker) loadAuthority(dir string) (*authority, error) {
	if len(m.secrets) > 0 {
		return m.secrets[0].authority()
	}
	files := filesOf(dir, Identity{Class: classCA})
	certificates, err := readCertificates(files.Cert)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("no CA in %s (%s is missing): make one with `qkv cert ca --certs-dir %s --cluster NAME`, or copy it here", dir, files.Cert, dir)
		}
		return nil, err
	}
	key, err := readKey(files.Key)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s is missing, so no certificate can be signed here: make certificates where the CA was made, and copy them", files.Key)
		}
		return nil, err
	}
	ca := certificates[0]
	id, err := IdentityOf(ca)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", files.Cert, err)
	case id.Class != classCA || !ca.IsCA:
		return nil, fmt.Errorf("%s is the certificate of %v, not of a CA: put the CA's first in that file", files.Cert, id)
	case !samePublicKey(ca.PublicKey, key.Public()):
		return nil, fmt.Errorf("%s is not the key of %s: one of them was replaced; restore both from where the CA was made", files.Key, files.Cert)
	}
	if err := checkDates(files.Cert, ca, m.Now()); err != nil {
		return nil, err
	}
	return &authority{cluster: id.Cluster, certificate: ca, key: key}, nil
}

// sign returns the certificate of a member or client.
func (m Maker) sign(ca *authority, id Identity, hosts []string, public crypto.PublicKey) ([]byte, error) {
	if err := id.check(); err != nil {
		return nil, err
	}
	template := m.template(id, leafLifetime)
	if template.NotAfter.After(ca.certificate.NotAfter) {
		template.NotAfter = ca.certificate.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if id.Class == ClassMember {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		if err := addHosts(template, append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)); err != nil {
			return nil, err
		}
	}
	der, err := x509.CreateCertificate(m.Rand, template, ca.certificate, public, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %v: %w", id, err)
	}
	return der, nil
}

// template has the fields that all certificates share. The subject is for people; nothing in qkv reads it. X.509 limits a common
// name to 64 characters: a longer name is cut.
func (m Maker) template(id Identity, lifetime time.Duration) *x509.Certificate {
	now := m.Now().UTC()
	if m.Lifetime > 0 {
		lifetime = m.Lifetime
	}
	from, to := now.Add(-min(backdate, lifetime/10)), now.Add(lifetime)
	if m.always || len(m.secrets) > 0 {
		from = alwaysFrom
		if id.Class == classCA {
			to = alwaysTo
		}
	}
	name := escapeName(id.Name)
	if name = name[:min(len(name), commonNameMost)]; id.Class == classCA {
		name = "qkv CA of " + id.Cluster
	}
	return &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"qkv " + id.Cluster}, OrganizationalUnit: []string{id.Class.String()}, CommonName: name},
		NotBefore: from,
		NotAfter:  to,
		URIs:      []*url.URL{id.url()},
	}
}

// leafLifetime returns the lifetime of a new certificate of a member or client.
func (m Maker) leafLifetime() time.Duration { return cmp.Or(m.Lifetime, leafLifetime) }

// addHosts adds names and addresses, each once.
func addHosts(template *x509.Certificate, hosts []string) error {
	seen := map[string]bool{}
	for _, host := range hosts {
		if seen[host] {
			continue
		}
		seen[host] = true
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		if err := checkHost(host); err != nil {
			return err
		}
		template.DNSNames = append(template.DNSNames, host)
	}
	return nil
}

// checkHost checks a host name, which may begin with a wildcard label.
func checkHost(host string) error {
	labels := strings.Split(strings.TrimPrefix(host, "*."), ".")
	for _, label := range labels {
		if len(host) > limits.HostBytes || checkLabel("label", label, "-_") != nil {
			return fmt.Errorf("%q is neither an address nor a host name: give it without a port", host)
		}
	}
	return nil
}

func (m Maker) newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), m.Rand)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

// writePair writes a new certificate and its new key, and with secrets the ca.crt, after all checks. The key comes before its certificate,
// which is never without it.
func (m Maker) writePair(dir string, id Identity, der []byte, key crypto.Signer) (Files, error) {
	files := filesOf(dir, id)
	instead := "`qkv cert renew` renews a certificate; move it away if it is not needed any more"
	if id.Class == classCA {
		instead = "a new CA is made in another folder"
	}
	_, noCert := os.Lstat(files.Cert)
	_, noKey := os.Lstat(files.Key)
	switch {
	case noCert == nil:
		return Files{}, fmt.Errorf("%s already exists and is never overwritten: %s", files.Cert, instead)
	case noKey == nil:
		return Files{}, fmt.Errorf("%s already exists and is never overwritten, and %s is missing: put that certificate back; or, if the command that made the key was interrupted or failed, remove the key and run the command again", files.Key, files.Cert)
	}
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return Files{}, fmt.Errorf("make the folder for certificates: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err == nil {
		err = m.trustSecrets(dir)
	}
	if err != nil {
		return Files{}, err
	}
	if err := createFile(files.Key, keyPEM, keyMode); err != nil {
		return Files{}, err
	}
	if err := createFile(files.Cert, encodeCertificate(der), certMode); err != nil {
		return Files{}, err // the key stays: the certificate may have its name, on a disk that failed to sync that
	}
	return files, storage.syncDir(filepath.Dir(dir)) // dir may be new
}
