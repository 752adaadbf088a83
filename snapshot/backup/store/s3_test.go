package store

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7"
)

// s3Environment forgets the settings of this host.
func s3Environment(t testing.TB) {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			must(t, os.Unsetenv(name))
		}
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "us-east-1")
}

// fault answers a request in place of the server behind it, or does not: then it returns false.
type fault func(w http.ResponseWriter, r *http.Request, behind http.Handler) bool

// server is a server with faults before it.
type server struct {
	testing.TB
	*httptest.Server
	behind   http.Handler
	fault    atomic.Pointer[fault]
	requests atomic.Int64
}

// newServer starts a server with the bucket "bucket" in memory.
func newServer(t testing.TB) *server {
	t.Helper()
	backend := s3mem.New()
	must(t, backend.CreateBucket("bucket"))
	return newServerBefore(t, gofakes3.New(backend).Server())
}

func newServerBefore(t testing.TB, behind http.Handler) *server {
	t.Helper()
	s3Environment(t)
	s := &server{TB: t, behind: behind}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	t.Setenv("AWS_ENDPOINT_URL_S3", s.URL)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	if f := s.fault.Load(); f == nil || !(*f)(w, r, s.behind) {
		s.behind.ServeHTTP(w, r)
	}
}

// fail sets the fault of the next so many requests with a method.
func (s *server) fail(method string, times int64, f fault) {
	var seen atomic.Int64
	all := fault(func(w http.ResponseWriter, r *http.Request, behind http.Handler) bool {
		return (r.Method == method || method == "") && seen.Add(1) <= times && f(w, r, behind)
	})
	s.fault.Store(&all)
}

func (s *server) open(prefix string) *S3 {
	s.Helper()
	store, err := openS3("bucket", prefix)
	must(s, err)
	return store
}

// refuse answers with an error of S3.
func refuse(status int, code string, header ...string) fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>as the test wants</Message></Error>", code)
		}
		return true
	}
}

// answered lets the server work, and changes its answer.
func answered(change func(w http.ResponseWriter, answer *httptest.ResponseRecorder)) fault {
	return func(w http.ResponseWriter, r *http.Request, behind http.Handler) bool {
		answer := httptest.NewRecorder()
		behind.ServeHTTP(answer, r)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		change(w, answer)
		return true
	}
}

// cutAnswer ends the connection in the middle of an answer.
var cutAnswer = answered(func(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
})

// loseAnswer ends the connection when the work is done.
var loseAnswer = answered(func(http.ResponseWriter, *httptest.ResponseRecorder) { panic(http.ErrAbortHandler) })

// cutRequest ends the connection in the middle of a request.
func cutRequest(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
	_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
	panic(http.ErrAbortHandler)
}

// corrupt changes a byte of a request.
func corrupt(w http.ResponseWriter, r *http.Request, behind http.Handler) bool {
	b, _ := io.ReadAll(r.Body)
	b[len(b)/2]++
	r.Body = io.NopCloser(bytes.NewReader(b))
	behind.ServeHTTP(w, r)
	return true
}

// quiet is a log of faults that the tests want.
var quiet = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

// calls are all calls of a store with an object that is there, and one that is not.
func calls(s Store, content []byte) map[string]func(ctx context.Context) error {
	return map[string]func(context.Context) error{
		"put":    func(ctx context.Context) error { return s.Put(ctx, "parts/new", content) },
		"get":    func(ctx context.Context) error { _, err := s.Get(ctx, "parts/there", 0, 100); return err },
		"list":   func(ctx context.Context) error { _, err := s.List(ctx, "parts"); return err },
		"delete": func(ctx context.Context) error { return s.Delete(ctx, "parts/there") },
	}
}

// TestRetries: each call survives two failures, and reports more of them.
func TestRetries(t *testing.T) {
	content := bytes.Repeat([]byte("content"), 10_000)
	for what, f := range map[string]fault{"503": refuse(503, "SlowDown"), "no answer": loseAnswer} {
		server := newServer(t)
		s := server.open("p")
		for name, call := range calls(s, content) {
			server.fault.Store(nil)
			must(t, s.Put(t.Context(), "parts/there", content))
			server.fail("", 2, f)
			wants(t, what+" "+name, call(t.Context()))
		}
		words := map[string][]string{"503": {"s3://bucket/p", "throttles", "try again later"}, "no answer": {"s3://bucket/p"}}[what]
		for name, call := range calls(s, content) {
			server.fail("", 1<<30, f)
			before := server.requests.Load()
			wants(t, what+" "+name, call(t.Context()), words...)
			if n := server.requests.Load() - before; n > 2*attempts {
				t.Errorf("%s: %s took %d requests", what, name, n)
			}
		}
	}
}

// TestFaultyPut: whatever happens to a PUT, the object is there as a whole or not at all, and Put knows which.
func TestFaultyPut(t *testing.T) {
	content := bytes.Repeat([]byte("content"), 30_000)
	wrongTag := answered(func(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
		w.Header().Set("ETag", `"00000000000000000000000000000000"`)
		w.WriteHeader(answer.Code)
	})
	damaged := func(w http.ResponseWriter, r *http.Request, behind http.Handler) bool {
		r.Header.Del("Content-Md5") // a server that does not look
		return corrupt(w, r, behind)
	}
	for _, c := range []struct {
		name  string
		fault fault
		times int64
		words []string
	}{
		{"cut once", cutRequest, 1, nil},
		{"cut", cutRequest, attempts, []string{"write s3://bucket/parts/a"}},
		{"lost answer", loseAnswer, 1, nil},
		{"all answers are lost", loseAnswer, attempts, nil},
		{"wrong ETag", wrongTag, 1, nil},
		{"damaged on the way", corrupt, attempts, []string{"changed on their way", "BadDigest"}},
		{"damaged on the server", damaged, 1, []string{"other bytes than were sent"}},
		{"conflict with another writer", refuse(409, "ConditionalRequestConflict"), 1, []string{"409"}},
		{"full", refuse(507, "InsufficientStorage"), 1, []string{"full", "quota"}},
		{"not kept", refuse(400, "BadDigest"), 1, []string{"changed on their way"}},
	} {
		server := newServer(t)
		s := server.open("")
		server.fail(http.MethodPut, c.times, c.fault)
		err := s.Put(t.Context(), "parts/a", content)
		if c.name == "all answers are lost" {
			if err == nil {
				t.Errorf("%s: no error", c.name)
			}
			holds(t, s, "parts/a", content)
			must(t, s.Put(t.Context(), "parts/a", content))
			continue
		}
		server.fault.Store(nil)
		wants(t, c.name, err, c.words...)
		if c.name == "full" && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			holds(t, s, "parts/a", content)
			continue
		}
		if c.name != "damaged on the server" {
			holds(t, s, "parts/a", nil)
		}
		must(t, s.Put(t.Context(), "parts/a", content))
		holds(t, s, "parts/a", content)
	}
}

// TestCondition: an object is made once, whoever makes it; an own attempt whose answer was lost is no refusal. Servers without the condition are
// refused.
func TestCondition(t *testing.T) {
	server := newServer(t)
	s, other := server.open(""), server.open("")
	must(t, s.Create(t.Context(), "a", []byte("ours")))
	must(t, s.Create(t.Context(), "a", []byte("ours")))
	for _, theirs := range []string{"them", "others"} {
		if err := other.Create(t.Context(), "a", []byte(theirs)); !errors.Is(err, iofs.ErrExist) {
			t.Errorf("made again: %v", err)
		}
	}
	holds(t, s, "a", []byte("ours"))
	server.fail(http.MethodPut, 1, loseAnswer)
	must(t, s.Create(t.Context(), "b", []byte("ours")))
	holds(t, s, "b", []byte("ours"))
	for code, status := range map[string]int{"NotImplemented": 501, "InvalidArgument": 400, "InvalidRequest": 400} {
		server.fail(http.MethodPut, 1<<30, refuse(status, code))
		err := s.Create(t.Context(), "c", []byte("c"))
		if wants(t, "without the condition", err, "use another place", code); !errors.Is(err, ErrUnfenced) {
			t.Error(err)
		}
	}
	for _, code := range []string{"BadDigest", "ExpiredToken", "RequestTimeout"} { // of this request, and not of the condition
		server.fail(http.MethodPut, 1<<30, refuse(400, code))
		if err := s.Create(t.Context(), "c", []byte("c")); err == nil || errors.Is(err, ErrUnfenced) {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// TestRequests counts the requests of a Put.
func TestRequests(t *testing.T) {
	server := newServer(t)
	s := server.open("")
	for _, c := range []struct {
		name string
		want int64
	}{{"a", 2}, {"a", 1}, {"b", 2}} {
		before := server.requests.Load()
		must(t, s.Put(t.Context(), c.name, []byte("content")))
		if n := server.requests.Load() - before; n != c.want {
			t.Errorf("put of %s: %d requests, wanted %d", c.name, n, c.want)
		}
	}
	server.fail(http.MethodPut, 1, answered(func(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
		w.Header().Set("ETag", `"00000000000000000000000000000000"`)
		w.Header().Set("X-Amz-Server-Side-Encryption", "aws:kms")
		w.WriteHeader(answer.Code)
	}))
	before := server.requests.Load()
	must(t, s.Put(t.Context(), "kms", []byte("content")))
	if n := server.requests.Load() - before; n != 2 {
		t.Errorf("encrypted with a key of KMS: %d requests", n)
	}
}

// TestFaultyGet: a Get returns all bytes that were asked for, or an error.
func TestFaultyGet(t *testing.T) {
	content := bytes.Repeat([]byte("content"), 10_000)
	size := strconv.Itoa(len(content))
	answer := func(status int, kept int, header ...string) fault {
		return answered(func(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = w.Write(answer.Body.Bytes()[:kept])
		})
	}
	for _, c := range []struct {
		name  string
		fault fault
		words []string
	}{
		{"cut", cutAnswer, []string{"read s3://bucket/a", "unexpected EOF"}},
		{"short", answer(206, 50, "Content-Length", "50"), []string{"50 of 100 bytes", "unexpected EOF"}},
		{"a shorter range", answer(206, 50, "Content-Length", "50", "Content-Range", "bytes 10-59/"+size), []string{"the range \"bytes 10-59"}},
		{"another range", answer(206, 100, "Content-Range", "bytes 0-99/"+size), []string{"the range \"bytes 0-99"}},
		{"a longer range", answer(206, 100, "Content-Range", "bytes 10-110/"+size), []string{"the range"}},
		{"no range", answer(200, 100, "Content-Range", ""), []string{"the range \"\""}},
	} {
		server := newServer(t)
		s := server.open("")
		must(t, s.Put(t.Context(), "a", content))
		server.fail(http.MethodGet, 1, c.fault)
		got, err := s.Get(t.Context(), "a", 10, 100)
		wants(t, c.name, err, c.words...)
		if got != nil {
			t.Errorf("%s: %d bytes beside the error", c.name, len(got))
		}
		if got, err = s.Get(t.Context(), "a", 10, 100); err != nil || !bytes.Equal(got, content[10:110]) {
			t.Errorf("%s: the next Get: %v", c.name, err)
		}
	}
}

// TestStalls: a request that moves nothing ends, and one that is slow goes on.
func TestStalls(t *testing.T) {
	content := bytes.Repeat([]byte("content"), 1_000_000)
	server := newServer(t)
	unhurried := server.open("")
	must(t, unhurried.Put(t.Context(), "parts/there", content))
	const limit = 150 * time.Millisecond
	before := stall
	stall = limit
	t.Cleanup(func() { stall = before })
	s := server.open("")
	over := make(chan struct{})
	t.Cleanup(func() { close(over) }) // before the server is closed
	hang := func(http.ResponseWriter, *http.Request, http.Handler) bool {
		<-over
		return true
	}
	for name, call := range calls(s, content) {
		server.fail("", 1<<30, hang)
		begun := time.Now()
		bounded, end := context.WithTimeout(t.Context(), 20*time.Second)
		wants(t, name, call(bounded), "does not answer", "stalled", "150ms")
		end()
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(20*time.Millisecond, func() { cancel(nil) })
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, which is canceled: %v", name, err)
		}
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, which was canceled before: %v", name, err)
		}
	}
	server.fail(http.MethodGet, 1, answered(func(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()[:10])
		w.(http.Flusher).Flush()
		<-over
	}))
	_, err := s.Get(t.Context(), "parts/there", 0, 100)
	wants(t, "in the middle of an answer", err, "stalled")

	// Bytes come one by one, in all for longer than the limit.
	server.fail(http.MethodGet, 1, answered(func(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
		w.WriteHeader(answer.Code)
		for _, b := range answer.Body.Bytes() {
			_, _ = w.Write([]byte{b})
			w.(http.Flusher).Flush()
			time.Sleep(limit / 10)
		}
	}))
	got, err := s.Get(t.Context(), "parts/there", 0, 20)
	if err != nil || !bytes.Equal(got, content[:20]) {
		t.Errorf("a slow answer: %d bytes: %v", len(got), err)
	}
}

// TestRefusals: what a server refuses is said in words.
func TestRefusals(t *testing.T) {
	server := newServer(t)
	s := server.open("p")
	must(t, s.Put(t.Context(), "parts/there", []byte("content")))
	hour := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
	later := time.Now().Add(time.Hour + 30*time.Second).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		fault fault
		words []string
	}{
		{refuse(403, "SignatureDoesNotMatch"), []string{"credentials", "AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch: as the test wants"}},
		{refuse(403, "InvalidAccessKeyId"), []string{"credentials", "AWS_ACCESS_KEY_ID"}},
		{refuse(400, "InvalidToken"), []string{"credentials", "AWS_SESSION_TOKEN"}},
		{refuse(403, "RequestTimeTooSkewed", "Date", hour), []string{"clock of this host is 1h0m", "ahead of the server's", "NTP"}},
		{refuse(403, "RequestTimeTooSkewed", "Date", later), []string{"clock of this host is 1h0m", "behind the server's"}},
		{refuse(403, "RequestTimeTooSkewed", "Date", "x"), []string{"clock of this host differs"}},
		{refuse(400, "AuthorizationHeaderMalformed", "X-Amz-Bucket-Region", "eu-west-3"), []string{"us-east-1", "AWS_REGION=eu-west-3"}},
		{refuse(301, "PermanentRedirect"), []string{"us-east-1", "AWS_REGION"}},
		{refuse(403, "AccessDenied"), []string{"access denied", "s3:", "bucket bucket"}},
		{refuse(429, "TooManyRequests"), []string{"throttles"}},
		{refuse(418, "Teapot"), []string{"418", "Teapot: as the test wants"}},
	} {
		for name, call := range calls(s, []byte("content")) {
			server.fail("", 1<<30, c.fault)
			wants(t, name, call(t.Context()), append(c.words, "s3://bucket/p")...)
		}
	}
	for name, call := range calls(s, []byte("content")) { // what is denied: a single permission
		method := map[string]string{"put": http.MethodPut, "get": http.MethodGet, "list": http.MethodGet}[name]
		permission := map[string]string{"put": "s3:PutObject", "get": "s3:GetObject", "list": "s3:ListBucket", "delete": "s3:DeleteObject"}[name]
		server.fail(method, 1<<30, refuse(403, "AccessDenied"))
		wants(t, name, call(t.Context()), permission)
	}
	server.fault.Store(nil)
	holds(t, s, "parts/there", []byte("content"))
}

// TestFaultyDelete: an object that may still be there is an error. What one request for all objects does not remove is removed one by one.
func TestFaultyDelete(t *testing.T) {
	names := []string{"a", "b", "c"}
	for what, all := range map[string]fault{ // of the request for all objects
		"501": refuse(501, "NotImplemented"), "403": refuse(403, "AccessDenied"), "400": refuse(400, "InvalidArgument"), "405": refuse(405, "MethodNotAllowed"),
		"404": page(404), "200": page(200), "nothing": page(204),
		"some": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			fmt.Fprint(w, "<DeleteResult><Error><Key>p/b</Key><Code>InvalidArgument</Code></Error></DeleteResult>")
			return true
		},
	} {
		for refused, words := range map[string][]string{
			"":  nil, // one by one
			"b": {"2 of 3", "remove s3://bucket/p/b", "s3:DeleteObject"},
			"c": {"2 of 3", "remove s3://bucket/p/c", "s3:DeleteObject"},
		} {
			server := newServer(t)
			s := server.open("p")
			for _, name := range names {
				must(t, s.Put(t.Context(), name, []byte(name)))
			}
			server.fail("", 1<<30, func(w http.ResponseWriter, r *http.Request, behind http.Handler) bool {
				return r.Method == http.MethodPost && all(w, r, behind) ||
					r.Method == http.MethodDelete && refused != "" && strings.HasSuffix(r.URL.Path, refused) && refuse(403, "AccessDenied")(w, r, behind)
			})
			wants(t, what+" "+refused, s.Delete(t.Context(), names...), words...)
			server.fault.Store(nil)
			for _, name := range names {
				if name == refused {
					holds(t, s, name, []byte(name))
				} else {
					holds(t, s, name, nil)
				}
			}
		}
	}
}

// TestDeniedDelete: a server that denies each deletion is not asked for each of many objects. The backup waits for the answers.
func TestDeniedDelete(t *testing.T) {
	server := newServerBefore(t, http.NotFoundHandler())
	s := server.open("p")
	var asked atomic.Int64
	server.fail("", 1<<30, func(w http.ResponseWriter, r *http.Request, behind http.Handler) bool {
		asked.Add(1)
		return refuse(403, "AccessDenied")(w, r, behind)
	})
	wants(t, "1,000 objects", s.Delete(t.Context(), strings.Fields(strings.Repeat("a ", 1000))...), "0 of 1000", "s3:DeleteObject")
	if n := asked.Load(); n != 1+refusedMost {
		t.Errorf("%d requests", n)
	}
}

// TestRichPage: a server may say much of each object, as Ceph does with owners and checksums, under a prefix with a =.
func TestRichPage(t *testing.T) {
	server := newServerBefore(t, http.NotFoundHandler())
	s := server.open("env=prod/team=a")
	server.fail("", 1<<30, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		most := 1000
		if n, err := strconv.Atoi(r.URL.Query().Get("max-keys")); err == nil {
			most = n
		}
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><MaxKeys>%d</MaxKeys>`, most)
		for i := range most {
			fmt.Fprintf(w, "<Contents><Key>env=prod/team=a/log/%020d-%020d-%064x</Key><LastModified>2026-11-30T00:00:00Z</LastModified><ETag>&quot;%032x&quot;</ETag>"+
				"<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>1</Size><StorageClass>STANDARD</StorageClass>"+
				"<Owner><ID>%080x</ID><DisplayName>backup of production</DisplayName></Owner><Type>Normal</Type></Contents>", i+1, i+1, i, i, i)
		}
		fmt.Fprint(w, "</ListBucketResult>")
		return true
	})
	all, err := s.List(t.Context(), "log")
	must(t, err)
	if len(all) < 800 {
		t.Errorf("%d objects", len(all))
	}
}

// page answers with a page of a router.
func page(status int) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			fmt.Fprint(w, "<html><body>page</body></html>")
		}
		return true
	}
}

// TestRouter: a page of another program is no answer of an object store.
func TestRouter(t *testing.T) {
	server := newServer(t)
	s := server.open("p")
	server.fail("", 1<<30, page(404))
	for name, call := range calls(s, []byte("content")) {
		if name == "put" {
			continue // it begins with a HEAD, whose answer has no page
		}
		err := call(t.Context())
		if wants(t, name, err, "s3://bucket/p", "a page of its own", "AWS_ENDPOINT_URL_S3"); errors.Is(err, iofs.ErrNotExist) {
			t.Errorf("%s: %v is fs.ErrNotExist", name, err)
		}
	}
}

// TestBucketNames: those of Ceph's tenants, and of other servers, are used as they are.
func TestBucketNames(t *testing.T) {
	for _, bucket := range []string{"Upper", "under_score", "tenant:bucket"} {
		server := newServerBefore(t, http.NotFoundHandler())
		s, err := openS3(bucket, "p")
		must(t, err)
		server.fail("", 1<<30, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if r.URL.Path != "/"+bucket+"/" {
				t.Errorf("%s: %s is asked", bucket, r.URL.Path)
			}
			w.Header().Set("X-Padding", strings.Repeat("a", 40<<10))
			fmt.Fprint(w, "<ListBucketResult></ListBucketResult>")
			return true
		})
		_, err = s.List(t.Context(), "log")
		must(t, err)
	}
}

func TestNoBucket(t *testing.T) {
	for _, region := range []string{"us-east-1", ""} {
		server := newServerBefore(t, gofakes3.New(s3mem.New()).Server())
		t.Setenv("AWS_REGION", region)
		for name, call := range calls(server.open("p"), []byte("content")) {
			err := call(t.Context())
			wants(t, name, err, "s3://bucket/p", "the bucket bucket does not exist", "create it")
			if !errors.Is(err, iofs.ErrNotExist) {
				t.Errorf("%s: %v is not fs.ErrNotExist", name, err)
			}
		}
	}
}

// TestCredentials: the usual variables and files say who asks.
func TestCredentials(t *testing.T) {
	server := newServer(t)
	must(t, os.WriteFile(filepath.Join(os.Getenv("HOME"), "keys"), []byte("[default]\naws_access_key_id=first\naws_secret_access_key=x\n[other]\naws_access_key_id=second\naws_secret_access_key=x\n"), 0o600))
	for _, c := range []struct {
		environment []string
		signed      string
		token       string
	}{
		{[]string{"AWS_ACCESS_KEY_ID", "id", "AWS_SECRET_ACCESS_KEY", "secret"}, "Credential=id/", ""},
		{[]string{"AWS_ACCESS_KEY_ID", "id", "AWS_SECRET_ACCESS_KEY", "secret", "AWS_SESSION_TOKEN", "token"}, "Credential=id/", "token"},
		{[]string{"AWS_REGION", "", "AWS_DEFAULT_REGION", "eu-west-3", "AWS_ACCESS_KEY_ID", "id", "AWS_SECRET_ACCESS_KEY", "secret"}, "/eu-west-3/s3/", ""},
		{[]string{"AWS_SHARED_CREDENTIALS_FILE", filepath.Join(os.Getenv("HOME"), "keys")}, "Credential=first/", ""},
		{[]string{"AWS_SHARED_CREDENTIALS_FILE", filepath.Join(os.Getenv("HOME"), "keys"), "AWS_PROFILE", "other"}, "Credential=second/", ""},
	} {
		s3Environment(t)
		t.Setenv("AWS_ENDPOINT_URL", server.URL)
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		for i := 0; i < len(c.environment); i += 2 {
			t.Setenv(c.environment[i], c.environment[i+1])
		}
		var asked atomic.Int64
		server.fail("", 1<<30, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			asked.Add(1)
			if !strings.HasPrefix(r.URL.Path, "/bucket/") || !strings.Contains(r.Header.Get("Authorization"), c.signed) || r.Header.Get("X-Amz-Security-Token") != c.token {
				t.Errorf("%v: %s with %v", c.environment, r.URL, r.Header)
			}
			return false
		})
		must(t, server.open("").Put(t.Context(), c.signed, []byte("content")))
		if asked.Load() == 0 {
			t.Errorf("%v: nothing was asked", c.environment)
		}
	}
	s3Environment(t)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	server.fail("", 1<<30, refuse(403, "AccessDenied"))
	for name, call := range calls(server.open(""), []byte("content")) {
		wants(t, name, call(t.Context()), "no credentials", "AWS_ACCESS_KEY_ID", "AWS_PROFILE")
	}
}

// TestAmazon: without an endpoint, the bucket is in the host's name; with one of another server, in the path.
func TestAmazon(t *testing.T) {
	s3Environment(t)
	for endpoint, want := range map[string]string{
		"":                                   "https://bucket.s3.dualstack.us-east-1.amazonaws.com/p/a",
		"https://s3.us-east-1.amazonaws.com": "https://bucket.s3.dualstack.us-east-1.amazonaws.com/p/a",
		"https://s3.example.com:9000/":       "https://s3.example.com:9000/bucket/p/a",
		"http://[::1]:9000":                  "http://[::1]:9000/bucket/p/a",
	} {
		t.Setenv("AWS_ENDPOINT_URL_S3", endpoint)
		s, err := openS3("bucket", "p")
		must(t, err)
		at, err := s.client.PresignedGetObject(t.Context(), "bucket", s.key("a"), time.Hour, nil)
		must(t, err)
		if at.RawQuery = ""; at.String() != want {
			t.Errorf("%q: %s, wanted %s", endpoint, at, want)
		}
	}
	for _, endpoint := range []string{"s3.example.com", "ftp://s3.example.com", "https://", "https://key:geheim@host", "https://host/path", "http://a b"} {
		t.Setenv("AWS_ENDPOINT_URL_S3", endpoint)
		_, err := openS3("bucket", "p")
		wants(t, endpoint, err, "AWS_ENDPOINT_URL_S3", "https://HOST")
		if strings.Contains(err.Error(), "geheim") {
			t.Errorf("the error has the secret: %v", err)
		}
	}
}

// TestUnreachable: why no answer comes is said in words.
func TestUnreachable(t *testing.T) {
	server := newServer(t)
	secure := httptest.NewUnstartedServer(server.behind)
	secure.Config.ErrorLog = quiet
	secure.StartTLS()
	t.Cleanup(secure.Close)
	try := func(endpoint, bundle string) error {
		t.Setenv("AWS_ENDPOINT_URL_S3", endpoint)
		t.Setenv("AWS_CA_BUNDLE", bundle)
		s, err := openS3("bucket", "")
		if err != nil {
			return err
		}
		return s.Put(t.Context(), "a", []byte("content"))
	}
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	must(t, os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600))
	empty := filepath.Join(t.TempDir(), "empty.pem")
	must(t, os.WriteFile(empty, nil, 0o600))
	wants(t, "unknown authority", try(secure.URL, ""), "unknown authority", "AWS_CA_BUNDLE")
	wants(t, "known authority", try(secure.URL, bundle))
	wants(t, "no bundle", try(secure.URL, bundle+"x"), "AWS_CA_BUNDLE", "bundle.pemx")
	t.Setenv("AWS_CA_BUNDLE", bundle+"x")
	late, err := openS3("bucket", "")
	must(t, err)
	wants(t, "a bundle that is away", late.Put(t.Context(), "late", nil), "AWS_CA_BUNDLE", "bundle.pemx")
	must(t, os.Rename(bundle, bundle+"x"))
	wants(t, "a bundle that has come", late.Put(t.Context(), "late", nil))
	must(t, os.Rename(bundle+"x", bundle))
	wants(t, "an empty bundle", try(secure.URL, empty), "AWS_CA_BUNDLE", "no certificate")
	wants(t, "no TLS", try(strings.Replace(server.URL, "http:", "https:", 1), ""), "no TLS", "http://")
	wants(t, "another name", try(strings.Replace(secure.URL, "127.0.0.1", "localhost", 1), bundle), "not valid for it")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, listener.Close())
	wants(t, "nobody listens", try("http://"+listener.Addr().String(), ""), "refuses connections", "start it")
	wants(t, "no such host", server.open("").unreachable(fmt.Errorf("dial: %w", &net.DNSError{Err: "no such host"})), "not found", "AWS_ENDPOINT_URL_S3")
	wants(t, "an expired certificate", server.open("").unreachable(x509.CertificateInvalidError{Reason: x509.Expired}), "renew")
}

// TestForeignObjects: markers of folders and objects of others are in no list.
func TestForeignObjects(t *testing.T) {
	server := newServer(t)
	s, root := server.open("p"), server.open("")
	for _, key := range []string{"p/log/a", "p/log/deep/b", "p2/log/c", "p/logs/d", "q"} {
		must(t, root.Put(t.Context(), key, []byte(key)))
	}
	for _, marker := range []string{"p/log/", "p/"} { // as consoles make them
		_, err := root.client.PutObject(t.Context(), "bucket", marker, bytes.NewReader(nil), 0, "", "", minio.PutObjectOptions{DisableContentSha256: true})
		must(t, err)
	}
	if all, err := s.List(t.Context(), "log"); err != nil || !slices.Equal(all, []Info{{"a", 7}, {"deep/", 0}}) {
		t.Errorf("log: %v, %v", all, err)
	}
	if all, err := s.List(t.Context(), ""); err != nil || !slices.Equal(all, []Info{{"log/", 0}, {"logs/", 0}}) {
		t.Errorf("the prefix: %v, %v", all, err)
	}
	if all, err := root.List(t.Context(), ""); err != nil || !slices.Equal(all, []Info{{"p/", 0}, {"p2/", 0}, {"q", 1}}) {
		t.Errorf("the bucket: %v, %v", all, err)
	}
	must(t, s.Prepare())
	if _, known := s.Free(); known {
		t.Error("the free bytes of a bucket are known")
	}
}
