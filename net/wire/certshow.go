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

// Show describes the certificates of a file at a point in time, each by one fact per line.
func Show(name string, now time.Time) (all []string, err error) {
	certificates, err := readCertificates(name)
	if err != nil {
		return nil, err
	}
	for _, certificate := range certificates {
		all = append(all, described(certificate, now))
	}
	return all, nil
}

func described(c *x509.Certificate, now time.Time) string {
	var b strings.Builder
	line := func(what, text string) { fmt.Fprintf(&b, "%-12s %s\n", what, text) }
	if id, err := IdentityOf(c); err != nil {
		line("identity", "none: "+err.Error())
	} else {
		line("identity", id.String())
		line("class", id.Class.String())
	}
	line("valid from", stamp(c.NotBefore.UTC()))
	line("valid until", stamp(c.NotAfter.UTC())+" ("+left(c, now)+")")
	line("fingerprint", fmt.Sprintf("SHA-256 %x", sha256.Sum256(c.Raw)))
	line("issuer", c.Issuer.String())
	line("key", keyText(c))
	if hosts := hostsIn(c); len(hosts) > 0 {
		line("hosts", strings.Join(hosts, ", "))
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
