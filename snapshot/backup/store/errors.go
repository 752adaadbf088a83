package store

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	iofs "io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
)

// work is the purpose of a request, and the permission that it needs.
type work struct{ verb, permission string }

var (
	writing = work{"write", "s3:PutObject"}
	// without the second, Amazon denies an object that does not exist
	reading  = work{"read", "s3:GetObject and s3:ListBucket"}
	listing  = work{"list", "s3:ListBucket"}
	removing = work{"remove", "s3:DeleteObject"}
)

// inWords reports whether a refusal is in the words of an object store, and not the library's guess by its status.
func inWords(r minio.ErrorResponse) bool { return r.XMLName.Local != "" }

// statusOf returns the HTTP status of a server's refusal, and 0 for other errors.
func statusOf(err error) int { return minio.ToErrorResponse(err).StatusCode }

// explain returns an error in words: what failed, why, and what to do.
func (s *S3) explain(ctx context.Context, w work, name string, last *lastAnswer, err error) error {
	var refusal minio.ErrorResponse
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.As(err, &refusal):
		err = s.refused(w, last, refusal)
	default:
		err = s.unreachable(err)
	}
	return fmt.Errorf("%s %s: %w", w.verb, s.Path(name), err)
}

// refused explains the answer of a server.
func (s *S3) refused(w work, last *lastAnswer, r minio.ErrorResponse) error {
	answer := fmt.Sprintf("%.100s: %.400s", r.Code, strings.TrimSpace(r.Message))
	if r.StatusCode == http.StatusNotFound && !inWords(r) && strings.HasPrefix(last.header("Content-Type"), "text/") {
		return fmt.Errorf("the server %s answers with a page of its own and status 404, and not as an object store: correct AWS_ENDPOINT_URL_S3", s.client.EndpointURL().Host)
	}
	switch r.Code {
	case minio.NoSuchKey:
		return iofs.ErrNotExist
	case minio.NoSuchBucket:
		return fmt.Errorf("the bucket %s does not exist on %s: create it, or correct the address: %w", s.bucket, s.client.EndpointURL().Host, iofs.ErrNotExist)
	case "RequestTimeTooSkewed", "RequestExpired":
		return fmt.Errorf("the clock of this host%s: set it, by NTP for example (%s)", skew(last), answer)
	case "InvalidAccessKeyId", "XAdminUserNotFound", "SignatureDoesNotMatch", "InvalidToken", "InvalidTokenId", "ExpiredToken", "ExpiredTokenException", "InvalidSecurity":
		return fmt.Errorf("the credentials are wrong or have expired: correct AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN or AWS_PROFILE (%s)", answer)
	case "AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException":
		return s.otherRegion(r.Region, answer)
	case "BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "IncompleteBody":
		return fmt.Errorf("the bytes changed on their way, and the server keeps none of them: try again (%s)", answer)
	case "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded":
		return fmt.Errorf("the store is full: free some of it, or raise its quota (%s): %w", answer, syscall.ENOSPC)
	}
	switch {
	case r.StatusCode == http.StatusInsufficientStorage:
		return fmt.Errorf("the store is full: free some of it, or raise its quota (%s): %w", answer, syscall.ENOSPC)
	case r.StatusCode/100 == 3 || r.StatusCode == http.StatusBadRequest && r.Region != "" && s.region != "" && r.Region != s.region:
		return s.otherRegion(r.Region, answer)
	case r.StatusCode == http.StatusServiceUnavailable || r.StatusCode == http.StatusTooManyRequests || strings.HasPrefix(r.Code, "SlowDown"):
		return fmt.Errorf("the server throttles, or is not ready: try again later; if it stays, ask for a higher request rate (%s)", answer)
	case r.Code != minio.AccessDenied && r.StatusCode != http.StatusForbidden && r.StatusCode != http.StatusUnauthorized:
		return fmt.Errorf("the server refuses it with status %d (%s)", r.StatusCode, answer)
	case !last.signed():
		return fmt.Errorf("no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the host a role (%s)", answer)
	}
	return fmt.Errorf("access denied: the credentials need %s on the bucket %s (%s)", w.permission, s.bucket, answer)
}

func (s *S3) otherRegion(region, answer string) error {
	if region == "" {
		return fmt.Errorf("the region %q is wrong: set AWS_REGION to the bucket's (%s)", s.region, answer)
	}
	return fmt.Errorf("the region %q is wrong: the bucket is in %s, set AWS_REGION=%s (%s)", s.region, region, region, answer)
}

// unreachable explains why no answer came.
func (s *S3) unreachable(err error) error {
	host := s.client.EndpointURL().Host
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var certificate x509.CertificateInvalidError
	switch {
	case errors.As(err, &dns):
		return fmt.Errorf("the host of %s is not found: correct AWS_ENDPOINT_URL_S3, AWS_REGION, or the bucket's name: %w", host, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("the server %s refuses connections: start it, or correct AWS_ENDPOINT_URL_S3: %w", host, err)
	case errors.As(err, &authority):
		return fmt.Errorf("the certificate of %s is of an unknown authority: give the authority's certificate in the file AWS_CA_BUNDLE: %w", host, err)
	case errors.As(err, &name), errors.As(err, &certificate):
		return fmt.Errorf("the certificate of %s is not valid for it: correct AWS_ENDPOINT_URL_S3, or renew the certificate: %w", host, err)
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("the server %s has no TLS: give http:// in AWS_ENDPOINT_URL_S3, or switch TLS on: %w", host, err)
	case errors.Is(err, errStalled):
		return fmt.Errorf("the server %s does not answer: try again later: %w", host, err)
	}
	return err
}

// skew says by how much the clock differs from the server's.
func skew(last *lastAnswer) string {
	theirs, err := http.ParseTime(last.header("Date"))
	if err != nil {
		return " differs from the server's"
	}
	ahead := time.Since(theirs).Round(time.Second)
	if ahead < 0 {
		return fmt.Sprintf(" is %v behind the server's", -ahead)
	}
	return fmt.Sprintf(" is %v ahead of the server's", ahead)
}

// signed reports whether the last request had credentials.
func (l *lastAnswer) signed() bool {
	response := l.Load()
	return response == nil || response.Request == nil || response.Request.Header.Get("Authorization") != ""
}
