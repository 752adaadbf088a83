package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync/atomic"
	"time"
)

// stall is how long the transfer of an object may move no byte, and how long any other answer may take. It is a variable for tests.
var stall = 30 * time.Second

const (
	// answerBytes and answerMarks bound an answer that is no object, because its reader decodes it into memory. A page of a list has
	// pageNames names of at most 3 KiB each as it escapes them. Each begin and end of an element, and each attribute, has a mark, < or =: 24
	// a name where it has an owner and checksums, and more where names, owners or tags contain a =.
	answerBytes = 4 << 20
	answerMarks = 24_000
)

var (
	errStalled = errors.New("the connection stalled: no byte of an object, or no complete answer, came")
	errLong    = fmt.Errorf("the server's answer is longer than any list or error, or than it was asked for: lists have at most %d bytes and %d elements", answerBytes, answerMarks)
)

// lateTransport is made at the first request. AWS_CA_BUNDLE may be away while a member starts: until the file is there, requests fail.
type lateTransport struct{ atomic.Pointer[http.Transport] }

// RoundTrip implements http.RoundTripper.
func (l *lateTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	made := l.Load()
	if made == nil {
		var err error
		if made, err = newTransport(); err != nil {
			return nil, err
		}
		l.Store(made)
	}
	return made.RoundTrip(request)
}

// patient ends requests that stall, bounds answers, and notes them for explain. The library reads what is left of an answer to its end.
type patient struct {
	next  http.RoundTripper
	stall time.Duration
}

// RoundTrip implements http.RoundTripper.
func (p patient) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	timer := time.AfterFunc(p.stall, func() { cancel(fmt.Errorf("%w for %v", errStalled, p.stall)) })
	end := func() { timer.Stop(); cancel(nil) }
	request = request.WithContext(ctx)
	if request.Body != nil && request.Body != http.NoBody {
		request.Body = &watched{request.Body, ctx, func() { timer.Reset(p.stall) }, func() {}}
	}
	response, err := p.next.RoundTrip(request)
	if err != nil {
		if stalled := context.Cause(ctx); errors.Is(stalled, errStalled) {
			err = stalled
		}
		end()
		return nil, err
	}
	if noted, ok := ctx.Value(lastKey{}).(*lastAnswer); ok {
		noted.Store(response)
	}
	var first, last int
	n, _ := fmt.Sscanf(request.Header.Get("Range"), "bytes=%d-%d", &first, &last)
	if n == 2 && response.StatusCode == http.StatusPartialContent { // an object
		body := &watched{response.Body, ctx, func() { timer.Reset(p.stall) }, end}
		response.Body = &short{body, last + 1 - first, math.MaxInt}
		return response, nil
	}
	response.Body = &short{&watched{response.Body, ctx, func() {}, end}, answerBytes, answerMarks}
	return response, nil
}

// short is the body of an answer that has a bound.
type short struct {
	io.ReadCloser
	bytes, marks int // that are left
}

func (s *short) Read(b []byte) (int, error) {
	n, err := s.ReadCloser.Read(b)
	s.bytes -= n
	s.marks -= bytes.Count(b[:n], []byte("<")) + bytes.Count(b[:n], []byte("="))
	if s.bytes < 0 || s.marks < 0 {
		return 0, errLong
	}
	return n, err
}

// watched is a body that moves.
type watched struct {
	io.ReadCloser
	ctx        context.Context
	moved, end func()
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.ReadCloser.Read(b)
	if n > 0 {
		w.moved()
	}
	if stalled := context.Cause(w.ctx); err != nil && errors.Is(stalled, errStalled) {
		err = stalled
	}
	return n, err
}

func (w *watched) Close() error {
	w.end()
	return w.ReadCloser.Close()
}

// lastAnswer is the last answer that the server gave within a call. Its body is not read.
type lastAnswer struct{ atomic.Pointer[http.Response] }

type lastKey struct{}

func withLast(ctx context.Context) (context.Context, *lastAnswer) {
	last := &lastAnswer{}
	return context.WithValue(ctx, lastKey{}, last), last
}

func (l *lastAnswer) header(name string) string {
	if response := l.Load(); response != nil {
		return response.Header.Get(name)
	}
	return ""
}
