package wire

import (
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"slices"
	"time"
)

// The CA of a cluster secret exists in no file: each member derives its key and certificate from the secret, signs its own certificate,
// and keeps that in memory.
//
//  1. The CA certificate is the same on every host. It is valid for ever; rotation replaces it.
//  2. A member renews its certificate after half of its lifetime, whenever it is not valid now, and at each start.
//  3. While two secrets are in force, the first one signs. Its CA certificate, signed by the second CA, is sent along: members and clients
//     that trust the second CA alone verify the chain through it.
//  4. The trust domain is SecretCluster under every secret. The CA's key alone distinguishes clusters.

// SecretCluster is the trust domain of the CAs of cluster secrets.
const SecretCluster = "secret"

// The validity of a CA that members make by themselves: RFC 5280, 4.1.2.5 has that end for certificates without one. What it signs begins
// then as well: each host signs by its own clock, which may be years ahead for a while, or begin in 1970.
var (
	alwaysFrom = time.Unix(0, 0).UTC()
	alwaysTo   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// SecretSource is where a process has the secrets in force from.
type SecretSource struct {
	Name    string // for messages
	File    string // followed: a changed file is in force at the next handshake; empty: Secrets are in force for ever
	Secrets []ClusterSecret
}

func (s *SecretSource) load() ([]ClusterSecret, error) {
	if s.File == "" {
		return s.Secrets, nil
	}
	return ReadSecrets(s.File)
}

// authority returns the secret's CA.
func (s ClusterSecret) authority() (*authority, error) {
	key, err := s.key()
	if err != nil {
		return nil, err
	}
	template, err := secretTemplate(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	certificate, err := signCA(template, template, &key.PublicKey, key)
	return &authority{cluster: SecretCluster, certificate: certificate, key: key}, err
}

// secretTemplate returns the CA certificate of a key derived from a secret. A CA between it and a leaf is allowed: the next secret's.
func secretTemplate(key *ecdsa.PublicKey) (*x509.Certificate, error) {
	id, err := keyID(key)
	if err != nil {
		return nil, err
	}
	name, err := fingerprint(key)
	if err != nil {
		return nil, err
	}
	identity := Identity{Cluster: SecretCluster, Class: classCA}
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(append([]byte{1}, id[:15]...)),
		Subject:      pkix.Name{Organization: []string{"qkv " + SecretCluster}, OrganizationalUnit: []string{classCA.String()}, CommonName: "qkv CA of the cluster secret " + name},
		NotBefore:    alwaysFrom, NotAfter: alwaysTo, URIs: []*url.URL{identity.url()},
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1, SubjectKeyId: id,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		// a verifier that does not know constraints refuses the CA
		PermittedURIDomains: []string{SecretCluster}, PermittedDNSDomainsCritical: true,
	}, nil
}

// signCA signs a CA certificate. Without randomness the signature is a function of key and content (RFC 6979).
func signCA(template, parent *x509.Certificate, of *ecdsa.PublicKey, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(nil, template, parent, of, by)
	if err != nil {
		return nil, fmt.Errorf("sign the CA's certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("sign the CA's certificate: %w", err)
	}
	return certificate, nil
}

// secretAuthority returns the CA of the first secret, the CA certificates to trust, and the certificates to send along.
func secretAuthority(all []ClusterSecret) (signer *authority, trusted, along []*x509.Certificate, err error) {
	for i, s := range all {
		ca, err := s.authority()
		if err != nil {
			return nil, nil, nil, err
		}
		trusted = append(trusted, ca.certificate)
		if i == 0 {
			signer = ca
			continue
		}
		template, first := *signer.certificate, signer.key.(*ecdsa.PrivateKey)
		template.MaxPathLen, template.MaxPathLenZero = 0, true
		crossed, err := signCA(&template, ca.certificate, &first.PublicKey, ca.key.(*ecdsa.PrivateKey))
		if err != nil {
			return nil, nil, nil, err
		}
		along = append(along, crossed)
	}
	return signer, trusted, along, nil
}

// SecretMember returns credentials of the member name under the cluster's secrets. Clients without qkv's own verification reach the member
// under the hosts.
func (m Maker) SecretMember(source SecretSource, name string, hosts []string) (*Credentials, error) {
	id := Identity{Cluster: SecretCluster, Class: ClassMember, Name: name}
	if err := id.check(); err != nil {
		return nil, err
	}
	key, err := m.newKey()
	if err != nil {
		return nil, err
	}
	c := &Credentials{Source: "of " + source.Name, caSource: source.Name, lifetime: m.leafLifetime(), followed: followed[keys]{files: []string{source.File}, now: m.Now}}
	return c.start(func() (*keys, error) {
		secrets, err := source.load()
		if err != nil {
			return nil, err
		}
		m.secrets = secrets
		return m.secretKeys(id, hosts, key)
	})
}

// secretKeys signs a certificate by the secrets in force.
func (m Maker) secretKeys(id Identity, hosts []string, key *ecdsa.PrivateKey) (*keys, error) {
	ca, trusted, along, err := secretAuthority(m.secrets)
	if err != nil {
		return nil, err
	}
	der, err := m.sign(ca, id, hosts, key.Public())
	if err != nil {
		return nil, err
	}
	own, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %v: %w", id, err)
	}
	k := &keys{certificate: own, roots: x509.NewCertPool()}
	k.pair.PrivateKey, k.pair.Leaf = key, own
	for _, root := range trusted {
		k.roots.AddCert(root)
	}
	chain := append([]*x509.Certificate{own}, along...)
	for _, one := range chain {
		k.pair.Certificate = append(k.pair.Certificate, one.Raw)
	}
	if err := k.check("the certificate of "+id.String(), chain, id, m.Now()); err != nil {
		return nil, err
	}
	return k, nil
}

// WithSecrets returns a Maker whose CA is that of the first secret, whatever the folder is.
func (m Maker) WithSecrets(all []ClusterSecret) Maker {
	m.secrets = all
	return m
}

// trustSecrets writes the CA certificates of the secrets in force into ca.crt of dir. A rotation shares a secret with the file. A file
// that shares none is never replaced: it is the trust of another cluster.
func (m Maker) trustSecrets(dir string) error {
	if len(m.secrets) == 0 {
		return nil
	}
	_, trusted, _, err := secretAuthority(m.secrets)
	if err != nil {
		return err
	}
	name := filesOf(dir, Identity{Class: classCA}).Cert
	there, err := readCertificates(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: nothing was written; give another --certs-dir", err)
	}
	shared := func(t *x509.Certificate) bool {
		return slices.ContainsFunc(trusted, func(c *x509.Certificate) bool { return samePublicKey(c.PublicKey, t.PublicKey) })
	}
	if len(there) > 0 && !slices.ContainsFunc(there, shared) {
		return fmt.Errorf("%s is the certificate of another CA or another cluster secret (%s): nothing was written; give another --certs-dir", name, there[0].Subject)
	}
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return fmt.Errorf("make the folder for certificates: %w", err)
	}
	var text []byte
	for _, certificate := range trusted {
		text = append(text, encodeCertificate(certificate.Raw)...)
	}
	return replaceFile(name, text, certMode)
}
