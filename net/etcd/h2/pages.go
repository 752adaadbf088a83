package h2

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// pages is the method of requests that are not gRPC's: Config.Pages serves each, in a handler as a stream has.
var pages = method{stream: &grpc.StreamDesc{ClientStreams: true, ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
	p := &page{stream: s.(*stream), header: http.Header{}}
	p.c.ledger.Charge(pageBytes)
	defer p.c.ledger.Charge(-pageBytes)
	return p.serve()
}}}

// pageBytes is charged for a request until its answer is written: for its handler, and for the bytes that wait in its stream.
const pageBytes = 128 << 10

// page is a request that is not gRPC's. It is the http.ResponseWriter of its handler, and the body of its http.Request.
type page struct {
	*stream
	header http.Header
	rest   []byte // of the request's data
}

func (p *page) serve() error {
	from, _ := peer.FromContext(p.ctx)
	md, _ := metadata.FromIncomingContext(p.ctx)
	r := &http.Request{
		Method: p.head.verb, RequestURI: p.head.path, Proto: "HTTP/2.0", ProtoMajor: 2, Host: md[":authority"][0], RemoteAddr: from.Addr.String(),
		Header: http.Header{}, Body: io.NopCloser(p), ContentLength: p.head.length,
	}
	delete(md, ":authority")
	for name, values := range md {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	var err error
	if r.URL, err = url.ParseRequestURI(p.head.path); err != nil {
		p.WriteHeader(http.StatusBadRequest)
	} else {
		// As from net/http: the listener's address, and none of gRPC's metadata.
		ctx := context.WithValue(metadata.NewIncomingContext(p.ctx, nil), http.LocalAddrContextKey, from.LocalAddr)
		p.c.server.config.Pages.ServeHTTP(p, r.WithContext(ctx))
	}
	p.Flush()
	err = p.awaitWritten(0) // until then, the answer is charged
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if err == nil && !p.over {
		p.finished = true
		p.endLocked([]byte{})
	}
	return err
}

// Header implements http.ResponseWriter.
func (p *page) Header() http.Header { return p.header }

// WriteHeader implements http.ResponseWriter.
func (p *page) WriteHeader(code int) {
	if p.begun { // only this goroutine changes it
		return
	}
	p.header.Del("Connection") // fields of HTTP/1.1
	p.header.Del("Transfer-Encoding")
	block := appendField(nil, ":status", strconv.Itoa(code))
	for name, values := range p.header {
		for _, value := range values {
			block = appendField(block, strings.ToLower(name), value)
		}
	}
	p.pass(piece{block: block}, 0)
}

// Flush implements http.Flusher. What is written is not buffered.
func (p *page) Flush() { p.WriteHeader(http.StatusOK) }

// Write implements http.ResponseWriter. It waits while the client does not read.
func (p *page) Write(b []byte) (int, error) {
	if !p.begun && p.header["Content-Type"] == nil {
		p.header.Set("Content-Type", http.DetectContentType(b))
	}
	p.Flush()
	if p.head.verb != http.MethodHead {
		p.pass(piece{data: mem.SliceBuffer(bytes.Clone(b))}, len(b))
	}
	return len(b), p.awaitWritten(streamQueue)
}

// pass queues a piece of the answer.
func (p *page) pass(one piece, size int) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if !p.over {
		p.begun = true
		p.queued += size
		p.pushLocked(one)
	}
}

// Read implements io.Reader, of the request's data.
func (p *page) Read(b []byte) (n int, err error) {
	for len(p.rest) == 0 {
		if p.rest, err = p.next(); err != nil {
			return 0, err
		}
	}
	n = copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
