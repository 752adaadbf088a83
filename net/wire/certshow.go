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

// Show returns a file's certificates as text for `qkv cert show`.
func Show(name string, now time.Time) (string, error) {
	certificates, err := readCertificates(name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, certificate := range certificates {
		if i > 0 {
			b.WriteByte('\n')
		}
		show(&b, certificate, now)
	}
	return b.String(), nil
}

// show writes one certificate, one fact a line.
func show(b *strings.Builder, certificate *x509.Certificate, now time.Time) {
	line := func(what, format string, args ...any) {
		fmt.Fprintf(b, "%-12s %s\n", what, fmt.Sprintf(format, args...))
	}
	id, err := IdentityOf(certificate)
	if err != nil {
		line("identity", "none: %v", err)
	} else {
		line("identity", "%v", id)
		line("class", "%v", id.Class)
	}
	line("valid from", "%s", stamp(certificate.NotBefore))
	line("valid until", "%s (%s)", stamp(certificate.NotAfter), left(certificate, now))
	line("fingerprint", "SHA-256 %x", sha256.Sum256(certificate.Raw))
	line("issuer", "%s", certificate.Issuer)
	line("key", "%s", keyText(certificate))
	if hosts := hostsIn(certificate); len(hosts) > 0 {
		line("hosts", "%s", strings.Join(hosts, ", "))
	}
}

// left says how long a certificate is still good.
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
	hosts := append([]string(nil), certificate.DNSNames...)
	for _, ip := range certificate.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts
}
