package store

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"qkv/internal/testlong"
)

// lie answers each request of a list in another way than a store does.
var lies = map[string]struct {
	answer func(w http.ResponseWriter, r *http.Request, n int) // to the request of that number
	words  []string
}{
	"names that never end": {func(w http.ResponseWriter, r *http.Request, n int) {
		listPage(w, r, n, func(i int) string { return fmt.Sprintf("%0106d", 1000*n+i) }, 1000)
	}, []string{"more than", "bytes of names", "another place"}},
	"names that repeat": {func(w http.ResponseWriter, r *http.Request, n int) {
		listPage(w, r, n, func(i int) string { return fmt.Sprintf("%09d", i) }, 1000)
	}, []string{"do not rise", "000000000"}},
	"names that go back": {func(w http.ResponseWriter, r *http.Request, n int) {
		listPage(w, r, n, func(i int) string { return fmt.Sprintf("%09d", 1<<20-n*2+i) }, 2)
	}, []string{"do not rise"}},
	"folders that repeat": {func(w http.ResponseWriter, r *http.Request, n int) {
		fmt.Fprintf(w, "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>%d</NextContinuationToken><CommonPrefixes><Prefix>p/log/a/</Prefix></CommonPrefixes></ListBucketResult>", n)
	}, []string{"do not rise"}},
	"a token that repeats": {func(w http.ResponseWriter, r *http.Request, n int) { listPage(w, r, 7, nil, 0) }, []string{"stalled", "a new name"}},
	"tokens without names": {func(w http.ResponseWriter, r *http.Request, n int) { listPage(w, r, n, nil, 0) }, []string{"stalled", "a new name"}},
	"a size below 0": {func(w http.ResponseWriter, r *http.Request, n int) {
		fmt.Fprint(w, "<ListBucketResult><Contents><Key>p/log/a</Key><LastModified>2026-11-30T00:00:00Z</LastModified><Size>-9223372036854775808</Size></Contents></ListBucketResult>")
	}, []string{"-9223372036854775808 bytes"}},
	"an endless object": {func(w http.ResponseWriter, r *http.Request, n int) {
		w.Header().Set("Content-Range", "bytes 0-9/10")
		status(206, endless("", "a"))(w, r, n)
	}, []string{"206"}},
	"one endless name":    {endless("<ListBucketResult><Contents><Key>", "a"), []string{"longer than any list"}},
	"endless elements":    {endless("<ListBucketResult>", "<Contents/>"), []string{"longer than any list"}},
	"endless attributes":  {endless("<ListBucketResult><Contents", ` a=""`), []string{"longer than any list"}},
	"endless depth":       {endless("<ListBucketResult>", "<a>"), []string{"longer than any list"}},
	"an endless error":    {status(403, endless("<Error><Code>AccessDenied</Code><Message>", "a")), []string{"longer than any list"}},
	"an endless page":     {status(404, endless("<html>", "<br>")), []string{"longer than any list"}},
	"an endless redirect": {status(307, endless("", "a")), []string{"longer than any list"}},
	"bytes now and then":  {trickle, []string{"stalled"}},
	"half of an answer":   {half, []string{"EOF"}},
	"no answer":           {func(http.ResponseWriter, *http.Request, int) { panic(http.ErrAbortHandler) }, []string{"list s3://bucket/p/log"}},
	"a page of a router":  {func(w http.ResponseWriter, _ *http.Request, _ int) { http.Error(w, "404 page not found", 404) }, []string{"a page of its own"}},
	"a long message": {status(403, func(w http.ResponseWriter, _ *http.Request, _ int) {
		fmt.Fprintf(w, "<Error><Code>AccessDenied</Code><Message>%s</Message></Error>", strings.Repeat("m", 1<<20))
	}), []string{"access denied"}},
	"endless header lines": {func(w http.ResponseWriter, _ *http.Request, _ int) { w.Header().Set("X", strings.Repeat("a", 8<<20)) }, []string{"header"}},
}

// listPage writes a page of a list which says that another one follows.
func listPage(w io.Writer, r *http.Request, token int, name func(i int) string, names int) {
	var b strings.Builder
	fmt.Fprintf(&b, "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>%d</NextContinuationToken>", token)
	for i := range names {
		fmt.Fprintf(&b, "<Contents><Key>%s%s</Key><LastModified>2026-11-30T00:00:00Z</LastModified><Size>9223372036854775807</Size></Contents>", r.URL.Query().Get("prefix"), name(i))
	}
	_, _ = io.WriteString(w, b.String()+"</ListBucketResult>")
}

// sent counts the bytes of endless answers.
var sent atomic.Int64

func endless(begin, more string) func(w http.ResponseWriter, r *http.Request, n int) {
	more = strings.Repeat(more, 1+(64<<10)/max(len(more), 1))
	return func(w http.ResponseWriter, r *http.Request, _ int) {
		_, err := io.WriteString(w, begin)
		for i := 0; err == nil && i < 1<<30 && r.Method != http.MethodHead; i += len(more) {
			_, err = io.WriteString(w, more)
			sent.Add(int64(len(more)))
		}
	}
}

func status(code int, body func(w http.ResponseWriter, r *http.Request, n int)) func(w http.ResponseWriter, r *http.Request, n int) {
	return func(w http.ResponseWriter, r *http.Request, n int) {
		w.WriteHeader(code)
		body(w, r, n)
	}
}

func trickle(w http.ResponseWriter, r *http.Request, _ int) {
	for r.Context().Err() == nil && r.Method != http.MethodHead {
		_, _ = io.WriteString(w, " ")
		w.(http.Flusher).Flush()
		time.Sleep(20 * time.Millisecond)
	}
}

func half(w http.ResponseWriter, r *http.Request, n int) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>p/lo")
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// TestLies: whatever a store answers to a list or a deletion, the call ends soon, in little memory, with words. So does each call of a service
// that gives credentials.
func TestLies(t *testing.T) {
	testlong.Skip(t)
	before := stall
	t.Cleanup(func() { stall = before })
	for what, lie := range lies {
		stall = 20 * time.Second
		if slices.Contains(lie.words, "stalled") {
			stall = 300 * time.Millisecond
		}
		server := newServerBefore(t, http.NotFoundHandler())
		server.Config.ErrorLog = quiet
		s := server.open("p")
		var asked atomic.Int64
		server.fail("", 1<<30, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			lie.answer(w, r, int(asked.Add(1)))
			return true
		})
		begun, memory := time.Now(), heapPeak()
		_, err := s.List(t.Context(), "log")
		grown := memory()
		wants(t, what, err, append(lie.words, "s3://bucket/p/log")...)
		t.Logf("%s: %v, %d bytes", what, time.Since(begun), grown)
		if took := time.Since(begun); took > 30*time.Second || grown > 64<<20 || len(err.Error()) > 2000 {
			t.Errorf("%s: after %v and %d bytes: %d bytes of words", what, took, grown, len(err.Error()))
		}
		if what != "one endless name" && what != "endless elements" && what != "bytes now and then" && what != "an endless object" {
			continue
		}
		for name, call := range map[string]func() error{
			"get":    func() error { _, err := s.Get(t.Context(), "log/a", 0, 10); return err },
			"delete": func() error { return s.Delete(t.Context(), "log/a") },
			"put":    func() error { return s.Put(t.Context(), "log/a", []byte("content")) },
			"credentials": func() error {
				t.Setenv("AWS_EC2_METADATA_DISABLED", "")
				t.Setenv("AWS_ACCESS_KEY_ID", "")
				t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.URL)
				_, err := server.open("p").List(t.Context(), "log")
				return err
			},
		} {
			begun, memory = time.Now(), heapPeak()
			sent.Store(0)
			err := call()
			t.Logf("%s, %s: %v", what, name, time.Since(begun))
			if sent.Load() > 64<<20 {
				t.Errorf("%s: %s read %d bytes", what, name, sent.Load())
			}
			if took, grown := time.Since(begun), memory(); err == nil && name != "delete" || took > 30*time.Second || grown > 64<<20 || err != nil && len(err.Error()) > 2000 {
				t.Errorf("%s: %s: after %v and %d bytes: %.2000v", what, name, took, grown, err) // a deletion may be done, whatever follows status 200
			}
		}
	}
}

// heapPeak measures the heap until the returned function is called, which says by how much it grew at most.
func heapPeak() func() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, most := int64(m.HeapAlloc), int64(0)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			runtime.ReadMemStats(&m)
			most = max(most, int64(m.HeapAlloc)-before)
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return func() int64 { cancel(); <-ended; return most }
}
