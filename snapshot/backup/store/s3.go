package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"qkv/internal/limits"
)

const (
	attempts        = 3               // of a request, within some seconds: callers try again, and report
	credentialsTime = 5 * time.Second // for the answer of an instance's metadata service
)

const (
	// listMost bounds the names that a list returns, in bytes with infoBytes for each: they are in memory. 120,000 objects of the log fit, which
	// have 0.9 TiB if they are full.
	listMost  = 16 << 20
	infoBytes = 32
	pageNames = 800 // of one answer; the default of most servers is 1,000
)

var (
	errMany     = fmt.Errorf("it has more than %d bytes of names, so nothing in it can be found or removed: give another place", listMost)
	errDisorder = errors.New("the names in the server's list do not rise")
)

// refusedMost is how many single deletions a server refuses before the call ends: a backup goes on only then.
const refusedMost = 10

// getAtOnce is how much of an object is in memory before its first byte has come.
const getAtOnce = 8 << 20

// S3 is a Store in a bucket of Amazon S3, or of a server with the same interface. An object's key is the prefix and its name. Objects are
// encrypted on the server if that is the bucket's default.
type S3 struct {
	client         minio.Core
	bucket, prefix string
	region         string // empty: the server is asked
}

// openS3 returns the Store of a bucket. The environment says where the server is, and with which credentials: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL
// (Amazon's if neither is set), AWS_REGION or AWS_DEFAULT_REGION, AWS_CA_BUNDLE, and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
// AWS_SESSION_TOKEN. Without these keys, the profile AWS_PROFILE in AWS_SHARED_CREDENTIALS_FILE counts, and then the role of the container
// or of the instance. openS3 makes nothing, and asks no server.
func openS3(bucket, prefix string) (*S3, error) {
	if strings.Contains(bucket, "@") {
		return nil, errors.New("the address has an @ in the name of its bucket: give s3://BUCKET/PREFIX, and the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	if err := s3utils.CheckValidBucketName(bucket); err != nil {
		return nil, fmt.Errorf("the name of the bucket %q is wrong: %w; give s3://BUCKET/PREFIX", bucket, err)
	}
	prefix, err := cleanPrefix(prefix)
	if err != nil {
		return nil, fmt.Errorf("s3://%s: %w", bucket, err)
	}
	address := cmp.Or(os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"), "https://s3.amazonaws.com")
	endpoint, err := url.Parse(address)
	if err != nil || endpoint.Scheme != "https" && endpoint.Scheme != "http" || endpoint.Host == "" || endpoint.User != nil || strings.Trim(endpoint.Path, "/") != "" {
		return nil, errors.New("AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL is no address of a server: give https://HOST or https://HOST:PORT, or http:// without TLS")
	}
	transport := &lateTransport{}
	providers := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	if !strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		providers = append(providers, &credentials.IAM{Client: &http.Client{Transport: patient{transport, credentialsTime}}})
	}
	region := cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	client, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds: credentials.NewChainCredentials(providers), Secure: endpoint.Scheme == "https", Region: region,
		// Amazon's endpoints get the bucket in the host's name, others in the path
		Transport: patient{transport, stall}, MaxRetries: attempts,
	})
	if err != nil {
		return nil, fmt.Errorf("the server %s cannot be used: %w", address, err)
	}
	return &S3{client: *client, bucket: bucket, prefix: prefix, region: region}, nil
}

// newTransport returns a transport that trusts the system's authorities, and those in AWS_CA_BUNDLE.
func newTransport() (*http.Transport, error) {
	transport, err := minio.DefaultTransport(true)
	if err != nil {
		return nil, err
	}
	transport.MaxResponseHeaderBytes = answerBytes
	file := os.Getenv("AWS_CA_BUNDLE")
	if file == "" {
		return transport, nil
	}
	bundle, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: %s has no certificate in PEM", file)
	}
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	return transport, nil
}

// Path implements Store.
func (s *S3) Path(name string) string { return "s3://" + path.Join(s.bucket, s.key(name)) }

func (s *S3) key(name string) string { return path.Join(s.prefix, name) }

// Prepare implements Store: an object is there durably, or not at all.
func (s *S3) Prepare() error { return nil }

// Free implements Store: a bucket has no bound.
func (s *S3) Free() (bytes int64, known bool) { return 0, false }

// Put implements Store. The server compares the bytes with the MD5 in the request, and keeps all of it or nothing.
func (s *S3) Put(ctx context.Context, name string, content []byte) error {
	there, err := s.stat(ctx, name)
	sum := md5.Sum(content)
	switch {
	case err == nil && there.Size == int64(len(content)) && there.ETag == hex.EncodeToString(sum[:]):
		return nil
	case err != nil && !errors.Is(err, iofs.ErrNotExist):
		return err
	}
	_, err = s.upload(ctx, name, content, false)
	return err
}

// Create implements Store, by If-None-Match. The refusal may be of an attempt of its own whose answer was lost.
func (s *S3) Create(ctx context.Context, name string, content []byte) error {
	refusal, err := s.upload(ctx, name, content, true)
	switch status := refusal.StatusCode; {
	case status == http.StatusNotImplemented, slices.Contains([]string{"NotImplemented", "InvalidArgument", "InvalidRequest"}, refusal.Code):
		return fmt.Errorf("%w: %w", ErrUnfenced, err)
	case status == http.StatusPreconditionFailed, status == http.StatusConflict:
		got, unread := s.Get(ctx, name, 0, int64(len(content))+1)
		switch {
		case unread == nil && bytes.Equal(got, content):
			return nil
		case unread == nil:
			return fmt.Errorf("write %s: %w", s.Path(name), iofs.ErrExist)
		}
	}
	return err
}

// upload stores an object in one request, and returns a refusal. With absent, the server refuses it if an object of that name is
// there.
func (s *S3) upload(ctx context.Context, name string, content []byte, absent bool) (refusal minio.ErrorResponse, err error) {
	ctx, last := withLast(ctx)
	sum := md5.Sum(content)
	options := minio.PutObjectOptions{DisableContentSha256: true} // the signature covers the MD5
	if absent {
		options.SetMatchETagExcept("*")
	}
	info, err := s.client.PutObject(ctx, s.bucket, s.key(name), bytes.NewReader(content), int64(len(content)), base64.StdEncoding.EncodeToString(sum[:]), "", options)
	if err != nil {
		return minio.ToErrorResponse(err), s.explain(ctx, writing, name, last, err)
	}
	if info.ETag != hex.EncodeToString(sum[:]) && !strings.HasPrefix(last.header("X-Amz-Server-Side-Encryption"), "aws:kms") { // with a key of KMS, it is no MD5
		got, err := s.Get(ctx, name, 0, int64(len(content))+1)
		if err == nil && !bytes.Equal(got, content) {
			err = fmt.Errorf("write %s: the server has other bytes than were sent", s.Path(name))
		}
		return refusal, err
	}
	return refusal, nil
}

// stat describes an object. The answer to a HEAD has no words: if it fails, the answer to a GET says why.
func (s *S3) stat(ctx context.Context, name string) (minio.ObjectInfo, error) {
	ctx, last := withLast(ctx)
	info, err := s.client.StatObject(ctx, s.bucket, s.key(name), minio.StatObjectOptions{})
	if code := statusOf(err); code >= 300 && code < 500 && code != http.StatusNotFound {
		if _, getErr := s.Get(ctx, name, 0, 1); getErr != nil {
			return info, getErr
		}
	}
	if err != nil {
		return info, s.explain(ctx, reading, name, last, err)
	}
	return info, nil
}

// Get implements Store.
func (s *S3) Get(ctx context.Context, name string, offset, most int64) ([]byte, error) {
	if most <= 0 {
		_, err := s.stat(ctx, name)
		return nil, err
	}
	ctx, last := withLast(ctx)
	b, err := s.getRange(ctx, name, offset, min(most, limits.BackupFileMost))
	if statusOf(err) == http.StatusRequestedRangeNotSatisfiable { // the object ends before
		return nil, nil
	}
	if err != nil {
		return nil, s.explain(ctx, reading, name, last, err)
	}
	return b, nil
}

func (s *S3) getRange(ctx context.Context, name string, offset, most int64) ([]byte, error) {
	options := minio.GetObjectOptions{}
	if err := options.SetRange(offset, offset+most-1); err != nil {
		return nil, err
	}
	body, _, header, err := s.client.GetObject(ctx, s.bucket, s.key(name), options)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var first, end, size int64
	answered := header.Get("Content-Range")
	if n, _ := fmt.Sscanf(answered, "bytes %d-%d/%d", &first, &end, &size); n < 3 || first != offset || end != min(offset+most, size)-1 {
		return nil, fmt.Errorf("the server answered with the range %q to %d bytes from byte %d on", answered, most, offset)
	}
	var b bytes.Buffer
	b.Grow(int(min(end+1-first, getAtOnce)) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(body, end+1-first)); err != nil {
		return nil, err
	}
	if int64(b.Len()) < end+1-first {
		return nil, fmt.Errorf("%d of %d bytes came: %w", b.Len(), end+1-first, io.ErrUnexpectedEOF)
	}
	return b.Bytes(), nil
}

// List implements Store.
func (s *S3) List(ctx context.Context, folder string) (all []Info, err error) {
	ctx, last := withLast(ctx)
	prefix := s.key(folder)
	if prefix != "" {
		prefix += "/"
	}
	ctx, cancel := context.WithCancelCause(ctx)
	moves := time.AfterFunc(stall, func() { cancel(fmt.Errorf("the server does not answer with a new name for %v: %w", stall, errStalled)) })
	defer moves.Stop()
	rest, newest, owners := listMost, map[bool]string{}, false
	for object := range s.client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, MaxKeys: pageNames, FetchOwner: &owners}) {
		dir := object.LastModified.IsZero() // a page has its folders behind its objects
		name, within := strings.CutPrefix(object.Key, prefix)
		rest -= len(name) + infoBytes
		switch {
		case object.Err != nil:
			return nil, s.explain(ctx, listing, folder, last, object.Err)
		case object.Key <= newest[dir] || object.Size < 0:
			return nil, s.explain(ctx, listing, folder, last, fmt.Errorf("%w: %.200q of %d bytes follows %.200q", errDisorder, object.Key, object.Size, newest[dir]))
		case rest < 0:
			return nil, s.explain(ctx, listing, folder, last, errMany)
		case within && name != "" && !strings.Contains(strings.TrimSuffix(name, "/"), "/"):
			all = append(all, Info{strings.Clone(name), object.Size}) // without the prefix
		}
		newest[dir] = object.Key
		moves.Reset(stall)
	}
	if ctx.Err() != nil { // the library ends without a word
		return nil, s.explain(ctx, listing, folder, last, ctx.Err())
	}
	slices.SortFunc(all, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return slices.Compact(all), nil // a folder may have a marker of its own, too
}

// Delete implements Store. An object whose removal the answer to the request for all objects does not confirm is removed by a request of its
// own: some servers, proxies and policies allow that alone.
func (s *S3) Delete(ctx context.Context, names ...string) error {
	ctx, last := withLast(ctx)
	results, err := s.client.RemoveObjectsWithIter(ctx, s.bucket, func(yield func(minio.ObjectInfo) bool) {
		for _, name := range names {
			if !yield(minio.ObjectInfo{Key: s.key(name)}) {
				return
			}
		}
	}, minio.RemoveObjectsOptions{})
	if err != nil {
		return s.explain(ctx, removing, "", last, err)
	}
	confirmed, removed, refused, failed := map[string]bool{}, 0, 0, ""
	for result := range results {
		confirmed[result.ObjectName] = result.Err == nil
	}
	for _, name := range names {
		var one error
		if !confirmed[s.key(name)] {
			one = s.client.RemoveObject(ctx, s.bucket, s.key(name), minio.RemoveObjectOptions{})
		}
		refusal := minio.ToErrorResponse(one)
		switch {
		case one == nil, refusal.StatusCode/100 == 2, refusal.Code == minio.NoSuchKey && inWords(refusal):
			removed++
			continue
		case err == nil:
			failed, err = name, one
		}
		// the server does not answer, or removes nothing
		if refused++; refusal.StatusCode == 0 || refused == refusedMost {
			break
		}
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%d of %d objects are removed: %w", removed, len(names), s.explain(ctx, removing, failed, last, err))
}
