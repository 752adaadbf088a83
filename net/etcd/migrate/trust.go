package migrate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// diagnoseTimeout bounds a handshake that only finds the cause of an earlier failure.
const diagnoseTimeout = 10 * time.Second

// Diagnose explains why no member of the group is reached, if the cause is TLS, and names the remedy. For other causes it returns
// nil. gRPC does not reliably report an alert that follows the handshake.
func (g *Group) Diagnose(ctx context.Context) error {
	for _, s := range g.all {
		if err := s.diagnose(ctx); err != nil {
			return fmt.Errorf("%s: %w", g.at(s), err)
		}
	}
	return nil
}

func (s *Source) diagnose(ctx context.Context) error {
	if s.reached(ctx) {
		return nil // a qkv member accepts both TLS and plain text
	}
	ctx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	config := &tls.Config{InsecureSkipVerify: true} // this only tests whether the member speaks TLS
	if s.config != nil {
		config = s.config.Clone()
	}
	config.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", s.Endpoint)
	if err == nil {
		defer conn.Close()
		until, _ := ctx.Deadline()
		_ = conn.SetDeadline(until)
		_, err = conn.Read(make([]byte, 1)) // an alert about this side's certificate follows the handshake
	}
	if s.config == nil {
		if alert := remoteAlert(err); err == nil || alert != "" || isTimeout(err) && conn != nil {
			return errors.New("it speaks TLS, and its URL begins with http://: write https://")
		}
		return nil
	}
	if conn == nil && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) && s.plain(ctx) {
		return errNoTLS // it closed the connection silently, as etcd does
	}
	if remoteAlert(err) == "certificate required" && len(config.Certificates) > 0 {
		// Go offers no certificate whose CA the server did not name.
		return errors.New("it believes another CA than the one that has signed the certificate of --source-cert: give one that its --trusted-ca-file has signed")
	}
	return trustError(err)
}

var errNoTLS = errors.New("it does not speak TLS, and its URL begins with https://: write http://")

// plain tells whether the member speaks gRPC without TLS.
func (s *Source) plain(ctx context.Context) bool {
	other, err := Dial(s.Endpoint, nil)
	if err != nil {
		return false
	}
	defer other.Close()
	return other.reached(ctx)
}

// reached tells whether a gRPC server answers there, with any answer.
func (s *Source) reached(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	_, err := pb.NewKVClient(s.conn).Range(ctx, &pb.RangeRequest{Key: []byte("health")})
	return !Unreachable(err)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// trustError explains a handshake's error, and names the remedy.
func trustError(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return errors.New("its certificate is signed by another CA than --source-cacert has, or the host's without it: give the CA that signed it")
	}
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Errorf("its certificate is for %s, not for the host of the URL: use a URL with one of those names, or let the certificate have this one", names(name.Certificate))
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return fmt.Errorf("its certificate is valid from %s to %s, and by this host's clock it is %s: renew it there, or set the clock", day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter), day(time.Now()))
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return errNoTLS
	}
	if verify, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("its certificate is not believed: %w", verify.Err)
	}
	switch alert := remoteAlert(err); alert {
	case "":
		return nil
	case "certificate required":
		return errors.New("it serves only clients with a certificate that its CA has signed: give one by --source-cert and --source-key")
	default:
		return fmt.Errorf("it does not believe the certificate of --source-cert (%s): give one that its --trusted-ca-file has signed, for clients, that has not expired", alert)
	}
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// remoteAlert is the other side's alert, in the words of Go's library.
func remoteAlert(err error) string {
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" {
		return strings.TrimPrefix(e.Err.Error(), "tls: ")
	}
	return ""
}

// names lists the names that a certificate is for.
func names(c *x509.Certificate) string {
	all := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no name at all"
	}
	return strings.Join(all, ", ")
}
