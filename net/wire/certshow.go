package wire

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

// CertificateInfo describes a certificate at a point in time. The JSON names and their order are a promise.
type CertificateInfo struct {
	Identity    string    `json:"identity"`     // qkv://CLUSTER/CLASS/NAME; empty: none
	Class       string    `json:"class"`        // ca, member or client; empty: none
	Error       string    `json:"error"`        // why there is no identity
	ValidFrom   time.Time `json:"valid_from"`   // UTC
	ValidUntil  time.Time `json:"valid_until"`  // UTC
	SecondsLeft int64     `json:"seconds_left"` // until then; negative: the certificate has expired
	Fingerprint string    `json:"sha256"`       // in hexadecimal digits
	Issuer      string    `json:"issuer"`
	Key         string    `json:"key"`   // algorithm and size
	Hosts       []string  `json:"hosts"` // names and addresses

	left string // the time left, in words
}

// Show describes the certificates of a file at a point in time.
func Show(name string, now time.Time) (all []CertificateInfo, err error) {
	certificates, err := readCertificates(name)
	if err != nil {
		return nil, err
	}
	for _, certificate := range certificates {
		all = append(all, infoOf(certificate, now))
	}
	return all, nil
}

func infoOf(certificate *x509.Certificate, now time.Time) CertificateInfo {
	s := CertificateInfo{
		ValidFrom: certificate.NotBefore.UTC(), ValidUntil: certificate.NotAfter.UTC(), SecondsLeft: int64(certificate.NotAfter.Sub(now).Seconds()),
		Fingerprint: fmt.Sprintf("%x", sha256.Sum256(certificate.Raw)), Issuer: certificate.Issuer.String(), Key: keyText(certificate),
		Hosts: hostsIn(certificate), left: left(certificate, now),
	}
	if id, err := IdentityOf(certificate); err != nil {
		s.Error = err.Error()
	} else {
		s.Identity, s.Class = id.String(), id.Class.String()
	}
	return s
}

// String returns one fact per line.
func (c CertificateInfo) String() string {
	var b strings.Builder
	line := func(what, text string) { fmt.Fprintf(&b, "%-12s %s\n", what, text) }
	if c.Error != "" {
		line("identity", "none: "+c.Error)
	} else {
		line("identity", c.Identity)
		line("class", c.Class)
	}
	line("valid from", stamp(c.ValidFrom))
	line("valid until", stamp(c.ValidUntil)+" ("+c.left+")")
	line("fingerprint", "SHA-256 "+c.Fingerprint)
	line("issuer", c.Issuer)
	line("key", c.Key)
	if len(c.Hosts) > 0 {
		line("hosts", strings.Join(c.Hosts, ", "))
	}
	return b.String()
}

// left returns for how long a certificate is still valid, in words.
func left(certificate *x509.Certificate, now time.Time) string {
	switch {
	case now.Before(certificate.NotBefore):
		return "not yet valid"
	case now.After(certificate.NotAfter):
		return fmt.Sprintf("expired %s ago", span(now.Sub(certificate.NotAfter)))
	default:
		return span(certificate.NotAfter.Sub(now)) + " left"
	}
}

func keyText(certificate *x509.Certificate) string {
	switch key := certificate.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	default:
		return certificate.PublicKeyAlgorithm.String()
	}
}

func hostsIn(certificate *x509.Certificate) []string {
	hosts := append([]string{}, certificate.DNSNames...)
	for _, ip := range certificate.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts
}
