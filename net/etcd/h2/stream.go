package h2

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// stream is a request. It is a grpc.ServerStream, and a grpc.ServerTransportStream.
type stream struct {
	c    *conn
	id   uint32
	head *head

	ctx    context.Context
	cancel context.CancelFunc

	// Guarded by c.mu.
	partial  []byte   // of an incomplete message
	messages [][]byte // complete, not taken by the handler
	waiting  int      // bytes of them, with what each costs besides
	failed   error    // why there is no other message
	ended    bool     // the client has ended its side
	served   bool     // its handler was started
	taken    bool     // of a unary request: its message has come
	received int64    // bytes of data
	held     int      // bytes whose window is not returned
	returned int      // bytes whose window may be returned
	wake     chan struct{}

	out      []piece       // to be written
	queued   int           // bytes of data in it
	writable chan struct{} // has a token when some of them are written, or the stream is over
	window   int64         // that the client grants
	ready    bool          // in c.ready
	reading  bool          // the writer reads the first piece
	begun    bool          // the answer has begun
	finished bool          // its end is in out
	over     bool          // it is not in c.streams

	header, trailer metadata.MD
	charge          StreamCharge
}

// piece is a part of an answer: a header block, or data.
type piece struct {
	block []byte
	data  mem.Buffer
	at    int // bytes of data that are written
}

// beginLocked begins a stream whose header block has come.
func (s *stream) beginLocked(ends bool) {
	h := s.head
	switch {
	case h.status != 0:
		s.ended = ends
		s.refuseLocked(h.status, h.code, h.refusal)
		return
	case !h.known:
		s.ended = ends
		s.refuseLocked(200, codes.Unimplemented, s.c.server.unknown(h.path))
		return
	}
	if h.timeout > 0 || h.method.batched == nil { // without a deadline, a batched request needs none
		s.contextLocked()
	}
	if ends {
		s.receiveLocked(nil, true)
	}
	if h.method.unary == nil {
		s.serveLocked()
	}
}

func (s *Server) unknown(path string) string {
	cut := strings.LastIndex(path, "/")
	if cut < 1 || path[0] != '/' {
		return fmt.Sprintf("malformed method name: %q", path)
	}
	service, name := path[1:cut], path[cut+1:]
	if s.knows(service) {
		return fmt.Sprintf("unknown method %v for service %v", name, service)
	}
	return fmt.Sprintf("unknown service %v", service)
}

// contextLocked makes the context for a handler.
func (s *stream) contextLocked() {
	if s.ctx != nil {
		return
	}
	if h := s.head; h.timeout > 0 {
		ctx, cancel := context.WithTimeout(h.ctx, h.timeout)
		forget := context.AfterFunc(ctx, s.expire) // otherwise each end would start a goroutine
		s.ctx, s.cancel = ctx, func() { forget(); cancel() }
	} else {
		s.ctx, s.cancel = context.WithCancel(h.ctx)
	}
	s.ctx = grpc.NewContextWithServerTransportStream(s.ctx, transportStream{s})
}

// expire ends a request whose deadline passes before the request is complete. A handler ends by itself.
func (s *stream) expire() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if !s.served && errors.Is(s.ctx.Err(), context.DeadlineExceeded) {
		s.finishLocked(s.ctx.Err())
	}
}

// serveLocked starts the handler.
func (s *stream) serveLocked() {
	s.served = true
	s.c.handlers++
	s.contextLocked()
	s.c.server.serve(s)
}

// receiveLocked takes data of a request.
func (s *stream) receiveLocked(b []byte, ends bool) {
	if ends {
		s.ended = true
		s.c.ledger.HalfClosed(&s.charge)
	}
	for s.failed == nil && len(b) > 0 && !s.taken {
		b = s.assembleLocked(b)
	}
	if ends && s.failed == nil {
		s.failed = io.EOF
		if len(s.partial) >= messageHead {
			s.failed = status.Error(codes.Unknown, io.ErrUnexpectedEOF.Error())
		}
	}
	s.returnLocked()
	m := &s.head.method
	switch {
	case m.unary == nil:
		signal(s.wake)
	case s.taken || s.finished:
	case len(s.messages) > 0 || ends:
		s.taken = true // what comes behind the first message is not looked at
		s.c.ledger.HalfClosed(&s.charge)
		if m.batched != nil && len(s.messages) > 0 {
			s.c.batched = s
			return
		}
		s.serveLocked()
	case s.failed != nil: // refused before its end
		s.finishLocked(s.failed)
	}
}

// wrongLength counts data, and reports whether they are not as many as the client has announced (RFC 9113, 8.1.1).
func (s *stream) wrongLength(more int, ends bool) bool {
	s.received += int64(more)
	want := s.head.length
	return want >= 0 && (s.received > want || ends && s.received < want)
}

// messageHead is the size of gRPC's head of a message: whether it is compressed, and its length.
const messageHead = 5

// messageOver is the memory of a message besides its bytes: empty ones would be free.
const messageOver = 59

// assembleLocked takes what belongs to one message, and returns the rest.
func (s *stream) assembleLocked(b []byte) []byte {
	if s.head.method.stream == pages.stream { // any data
		if len(s.messages) == 0 {
			s.messages, s.waiting = [][]byte{nil}, messageHead+messageOver
		}
		s.messages[0] = append(s.messages[0], b...) // pieces of a byte each would take many times their bytes
		s.waiting += len(b)
		s.returned += len(b)
		return nil
	}
	if lacks := messageHead - len(s.partial); lacks > 0 {
		n := min(lacks, len(b))
		s.partial = append(s.partial, b[:n]...)
		s.returned += n
		if b = b[n:]; n < lacks {
			return b
		}
		size := binary.BigEndian.Uint32(s.partial[1:])
		switch most := s.c.server.config.ReceiveMost; {
		case s.partial[0] == 1:
			s.failed = status.Error(codes.Internal, "grpc: compressed flag set with identity or empty encoding")
			return nil
		case s.partial[0] != 0:
			s.failed = status.Errorf(codes.Internal, "grpc: received unexpected payload format %d", s.partial[0])
			return nil
		case uint64(size) > uint64(most):
			s.failed = status.Errorf(codes.ResourceExhausted, "grpc: received message larger than max (%d vs. %d)", size, most)
			return nil
		}
		if int(size) <= len(b) { // otherwise it grows as the data come: a head alone reserves nothing
			s.partial = slices.Grow(s.partial, int(size))
		}
	}
	size := messageHead + int(binary.BigEndian.Uint32(s.partial[1:]))
	n := min(size-len(s.partial), len(b))
	s.partial = append(s.partial, b[:n]...)
	if len(s.partial) == size {
		s.messages = append(s.messages, s.partial[messageHead:])
		s.partial = nil
		s.waiting += size + messageOver
	}
	s.returned += n
	return b[n:]
}

// returnLocked returns window to the client, not in too small pieces, and not while the handler has many messages to take.
func (s *stream) returnLocked() {
	if s.returned >= streamWindow/2 && s.waiting <= streamWindow && !s.ended && !s.over {
		s.c.grantLocked(s.id, s.returned)
		s.held -= s.returned
		s.returned = 0
	}
}

// next returns the next message.
func (s *stream) next() ([]byte, error) {
	for {
		s.c.mu.Lock()
		if len(s.messages) > 0 {
			b := s.messages[0]
			s.messages[0] = nil // the stream may stay for long without another one
			s.messages = s.messages[1:]
			s.waiting -= messageHead + len(b) + messageOver
			s.returnLocked()
			s.c.mu.Unlock()
			return b, nil
		}
		err := s.failed
		s.c.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-s.wake:
		case <-s.ctx.Done():
			return nil, status.FromContextError(s.ctx.Err()).Err()
		}
	}
}

func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// handle runs the handler.
func (s *stream) handle() {
	defer s.cancel()
	var err error
	if fault := s.c.server.contain(s.head.path, func() { err = s.call() }); fault != nil {
		err = fault
	}
	if err != nil && s.ctx.Err() != nil && !isStatus(err) {
		err = status.FromContextError(s.ctx.Err()).Err()
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.handlers--
	s.finishLocked(err)
	s.c.wake.Broadcast()
}

func isStatus(err error) bool {
	_, ok := status.FromError(err)
	return ok
}

func (s *Server) contain(path string, f func()) error { return Contain(s.config.Fault, path, f) }

// Contain runs f, a part of a request's service. If f panics, the fault is reported, and returned.
func Contain(report func(path string, fault any, stack []byte), path string, f func()) (fault error) {
	defer func() {
		if r := recover(); r != nil {
			report(path, r, debug.Stack())
			fault = status.Errorf(codes.Internal, "etcdserver: a fault in this member: %v", r)
		}
	}()
	f()
	return nil
}

func (s *stream) call() error {
	m := &s.head.method
	if m.unary == nil {
		return m.stream.Handler(m.server, s)
	}
	out, err := m.unary.Handler(m.server, s.ctx, s.decode, nil)
	if err != nil {
		return err
	}
	return s.send(out, true)
}

// decode decodes the one message of a unary request.
func (s *stream) decode(to any) error {
	s.c.mu.Lock()
	whole, failed := s.messages, s.failed
	s.messages = nil
	s.c.mu.Unlock()
	switch {
	case len(whole) > 0:
		return s.unmarshal(whole[0], to)
	case failed != nil && failed != io.EOF:
		return failed
	default:
		return status.Error(codes.Unknown, io.EOF.Error())
	}
}

func (s *stream) unmarshal(b []byte, to any) error {
	if err := s.c.server.config.Codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, to); err != nil {
		if isStatus(err) {
			return err
		}
		return status.Errorf(codes.Internal, "grpc: error unmarshalling request: %v", err)
	}
	return nil
}

// Context implements grpc.ServerStream.
func (s *stream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream.
func (s *stream) RecvMsg(to any) error {
	b, err := s.next()
	if err != nil {
		return err
	}
	if !s.head.method.stream.ClientStreams {
		switch _, err := s.next(); {
		case err == nil:
			return status.Error(codes.Internal, "cardinality violation: received multiple request messages for non-client-streaming RPC")
		case err != io.EOF:
			return err
		}
	}
	s.c.ledger.Data(&s.charge, -messageHead-len(b))
	return s.unmarshal(b, to)
}

// SendMsg implements grpc.ServerStream. It waits while much of the stream is not written.
func (s *stream) SendMsg(m any) error {
	if err := s.send(m, false); err != nil {
		return err
	}
	return s.awaitWritten(streamQueue)
}

// awaitWritten waits while more data than most are not written.
func (s *stream) awaitWritten(most int) error {
	for {
		s.c.mu.Lock()
		waits, over := s.queued > most, s.over
		s.c.mu.Unlock()
		switch {
		case over:
			return s.closedError()
		case !waits:
			return nil
		}
		select {
		case <-s.writable:
		case <-s.ctx.Done():
			return s.closedError()
		}
	}
}

func (s *stream) closedError() error {
	if s.ctx == nil {
		return errDone
	}
	if err := s.ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.Canceled, errDone.Error())
}

// SetHeader implements grpc.ServerStream.
func (s *stream) SetHeader(md metadata.MD) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.begun {
		return errors.New("the header has been sent")
	}
	s.header = metadata.Join(s.header, md)
	return nil
}

// SendHeader implements grpc.ServerStream: the header goes with the first message, or with the end.
func (s *stream) SendHeader(md metadata.MD) error {
	return s.SetHeader(md)
}

// SetTrailer implements grpc.ServerStream.
func (s *stream) SetTrailer(md metadata.MD) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.trailer = metadata.Join(s.trailer, md)
}

// send encodes and queues a message, with the end of the answer if it is the last one.
func (s *stream) send(m any, last bool) error {
	buffers, err := s.c.server.config.Codec.Marshal(m)
	if err != nil {
		return status.Errorf(codes.Internal, "grpc: error while marshaling: %v", err)
	}
	size := buffers.Len()
	if size > s.c.server.config.SendMost {
		buffers.Free()
		return status.Errorf(codes.ResourceExhausted, "trying to send message larger than max (%d vs. %d)", size, s.c.server.config.SendMost)
	}
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.over || s.finished {
		buffers.Free()
		return s.closedError()
	}
	n := messageHead + size
	if len(s.out) == 0 && !s.reading && n <= c.frame && int64(n) <= s.window && int64(n) <= c.window && len(c.out) < outBytes {
		c.answered = true
		if !s.begun {
			c.out = c.appendBlockLocked(c.out, s.id, false, s.headerLocked())
			c.ledger.Answered(&s.charge)
		}
		c.out = binary.BigEndian.AppendUint32(append(appendFrame(c.out, http2.FrameData, 0, s.id, n), 0), uint32(size))
		for _, b := range buffers {
			c.out = append(c.out, b.ReadOnlyData()...)
		}
		buffers.Free()
		s.window -= int64(n)
		c.window -= int64(n)
		c.wake.Broadcast()
		return nil
	}
	if !s.begun {
		s.pushLocked(piece{block: s.headerLocked()})
	}
	s.queued += n
	s.pushLocked(piece{data: mem.SliceBuffer(binary.BigEndian.AppendUint32(make([]byte, 1, messageHead), uint32(size)))})
	for _, b := range buffers {
		s.pushLocked(piece{data: b})
	}
	return nil
}

// pushLocked queues a piece.
func (s *stream) pushLocked(p piece) {
	s.out = append(s.out, p)
	s.readyLocked()
}

func (s *stream) popLocked() {
	s.out[0] = piece{}
	if s.out = s.out[1:]; len(s.out) == 0 {
		s.out = nil
	}
}

// readyLocked lets the writer take the stream, if it has something that it may write.
func (s *stream) readyLocked() {
	if s.ready || s.reading || s.over || len(s.out) == 0 || s.out[0].block == nil && s.window <= 0 {
		return
	}
	s.ready = true
	if s.out[0].block != nil {
		s.c.ends = append(s.c.ends, s)
	} else {
		s.c.ready = append(s.c.ready, s)
	}
	s.c.wake.Broadcast()
}

// headerLocked returns the header block that begins the answer.
func (s *stream) headerLocked() []byte {
	s.begun = true
	if len(s.header) == 0 {
		return s.head.answer
	}
	return appendMetadata(slices.Clone(s.head.answer), s.header)
}

// okHeader returns the header block of an answer: ":status 200" by its index, and "content-type" with its name by the index.
func okHeader(contentType string) []byte { return appendText([]byte{0x88, 0x0f, 0x10}, contentType) }

// finishLocked ends the answer.
func (s *stream) finishLocked(err error) {
	if s.over || s.finished {
		return
	}
	if s.head.method.stream == pages.stream { // it ends its answer itself, unless that fails
		s.c.appendResetLocked(s.id, http2.ErrCodeInternal)
		s.c.forgetLocked(s)
		return
	}
	s.finished = true
	st := status.Convert(err)
	if err != nil && !isStatus(err) {
		st = status.FromContextError(err)
	}
	var block []byte
	if !s.begun {
		block = slices.Clip(s.headerLocked())
	}
	block = appendStatus(block, st)
	s.endLocked(appendMetadata(block, s.trailer))
}

func (s *stream) endLocked(block []byte) {
	c := s.c
	c.answered = true
	if len(s.out) == 0 && !s.reading && len(c.out) < outBytes {
		c.out = c.appendBlockLocked(c.out, s.id, true, block)
		c.closeLocked(s)
		c.wake.Broadcast()
		return
	}
	s.pushLocked(piece{block: block})
}

// refuseLocked ends a request that has no handler.
func (s *stream) refuseLocked(httpStatus int, code codes.Code, why string) {
	s.begun, s.finished = true, true
	s.cancel = func() {}
	block := appendField(nil, ":status", fmt.Sprint(httpStatus))
	block = appendField(block, "content-type", "application/grpc")
	block = appendField(block, "grpc-accept-encoding", "identity") // a compressed request is refused, too
	s.endLocked(appendStatus(block, status.New(code, why)))
}

func appendStatus(block []byte, st *status.Status) []byte {
	if st.Code() == codes.OK {
		return append(block, okTrailer...)
	}
	block = appendField(block, "grpc-status", fmt.Sprint(uint32(st.Code())))
	block = appendField(block, "grpc-message", percent(st.Message()))
	if p := st.Proto(); len(p.GetDetails()) > 0 {
		if b, err := proto.Marshal(p); err == nil {
			block = appendField(block, "grpc-status-details-bin", base64.RawStdEncoding.EncodeToString(b))
		}
	}
	return block
}

// percent encodes a message for the trailer: gRPC's own escape of what HTTP does not allow.
func percent(s string) string {
	var out strings.Builder
	for i := range len(s) {
		if b := s[i]; b < ' ' || b > '~' || b == '%' {
			fmt.Fprintf(&out, "%%%02X", b)
		} else {
			out.WriteByte(b)
		}
	}
	return out.String()
}

// dropLocked ends the stream at once.
func (s *stream) dropLocked() {
	if s.over {
		return
	}
	s.over = true
	if s.cancel != nil {
		s.cancel()
	}
	if !s.reading {
		s.freeLocked()
	}
	signal(s.wake)
	signal(s.writable)
}

func (s *stream) freeLocked() {
	for _, p := range s.out {
		if p.data != nil {
			p.data.Free()
		}
	}
	s.out = nil
}

// transportStream is the stream as the functions of package grpc know it.
type transportStream struct{ *stream }

// Method implements grpc.ServerTransportStream.
func (t transportStream) Method() string { return t.head.path }

// SetTrailer implements grpc.ServerTransportStream.
func (t transportStream) SetTrailer(md metadata.MD) error {
	t.stream.SetTrailer(md)
	return nil
}
