package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/internal/limits"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// The codes that close a connection; doc.go explains them.
const (
	closeStopping   quic.ApplicationErrorCode = 0
	closeSuperseded quic.ApplicationErrorCode = 1
	// 2 and 4 to 10 are refusals: peerframe.RefusalCode
	closeBroken quic.ApplicationErrorCode = 3
)

// priorities are the QUIC urgencies of the classes: 0 goes first.
var priorities = [peerframe.Classes]int8{peerframe.Urgent: 0, peerframe.Append: 1, peerframe.Bulk: 7}

// conn is one connection with a peer, from its handshake to its end.
type conn struct {
	// Constant.
	quic        *quic.Conn
	link        *link
	since       time.Time
	established chan struct{} // closed when both sides have admitted each other

	// Owned by the link's choice.
	mine    bool     // this member dialled it
	process [16]byte // the peer's
	dial    uint64   // the dial number of the dialling side

	identity peerframe.MemberIdentity // the peer's, by its handshake; constant once the connection is in use

	// Shared.
	queues [peerframe.Classes]*queue
	lazy   atomic.Uint32 // the classes in which lazy frames wait, one bit each
	timer  *time.Timer   // ends the wait of lazy frames
	opened atomic.Uint32 // the classes whose stream the peer has opened
}

const (
	// peerQueueBytes bounds the frames queued for one peer on one stream; further ones are dropped.
	peerQueueBytes = 2*limits.InflightBytes + limits.PeerFrameBytes
	// peerWriteBytes is how much the writer of a stream hands to QUIC at a time; a frame over peerCopyBytes is sent without a copy.
	peerWriteBytes = 64 << 10
	peerCopyBytes  = 16 << 10
	// peerLazyWait is how long a lazy frame between members waits to be coalesced with others.
	peerLazyWait = time.Millisecond
)

func newConn(l *link, q *quic.Conn) *conn {
	c := &conn{quic: q, link: l, since: time.Now(), established: make(chan struct{})}
	for class := range c.queues {
		c.queues[class] = newQueue(peerQueueBytes)
	}
	c.timer = time.AfterFunc(time.Hour, c.hurry)
	c.timer.Stop()
	return c
}

// close ends the connection with a text for the other side. It returns when the connection has ended here.
func (c *conn) close(code quic.ApplicationErrorCode, text string) { closeQUIC(c.quic, code, text) }

func closeQUIC(q *quic.Conn, code quic.ApplicationErrorCode, text string) {
	_ = q.CloseWithError(code, truncate(text, limits.PeerReasonBytes)) // an error makes no difference
}

// truncate cuts a text to at most n bytes, at a boundary of characters.
func truncate(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && text[n]&0xc0 == 0x80 {
		n--
	}
	return text[:n]
}

// send puts a frame into its stream's queue and reports whether it fit.
func (c *conn) send(class peerframe.Class, frame []byte, lazy bool) bool {
	if !c.queues[class].put(frame, lazy) {
		return false
	}
	if !lazy {
		if c.lazy.Load() != 0 {
			c.hurry()
		}
	} else if c.lazy.Or(1<<class) == 0 {
		c.timer.Reset(peerLazyWait)
	}
	return true
}

// hurry makes the lazy frames of all classes ready to be written.
func (c *conn) hurry() {
	waiting := c.lazy.Swap(0)
	for class, q := range c.queues {
		if waiting&(1<<class) != 0 {
			q.hurry()
		}
	}
}

// run writes and reads the streams, until the connection and all its goroutines have ended.
func (c *conn) run() {
	var all sync.WaitGroup
	for class := range peerframe.Classes {
		all.Go(func() { c.end(c.write(class)) })
	}
	all.Go(func() { c.end(c.acceptStreams(&all)) })
	route := wire.NewRoute(c.quic)
	all.Go(route.Answer)
	if c.mine {
		all.Go(func() {
			if err := route.Watch(limits.PeerKeepAlive/3, c.hostAnswers); err != nil {
				c.stalled(err)
			}
		})
	}
	<-c.quic.Context().Done()
	c.timer.Stop()
	for _, q := range c.queues {
		c.link.dropped.Add(uint64(q.close()))
	}
	all.Wait()
}

// hostAnswers reports whether the peer's host answers a first packet, be it with an error. A host that receives nothing may still send: a
// leader that receives nothing orders an election, and its message arrives only on the existing connection.
func (c *conn) hostAnswers() bool {
	t, at := c.link.transport, c.quic.RemoteAddr()
	ctx, cancel := context.WithTimeout(c.quic.Context(), peerHandshakeTimeout/2)
	defer cancel()
	q, err := t.quic.Dial(ctx, at, t.config.Trust.Dial(wire.ProtocolPeer, c.link.name(), at.String()), dialConfig)
	if err == nil {
		closeQUIC(q, closeSuperseded, "only an answer was wanted")
	}
	return ctx.Err() == nil
}

// stalled closes the connection because its path loses large packets; it is dialled again.
func (c *conn) stalled(why error) {
	c.link.problem("dialling a peer again", why)
	c.close(closeBroken, why.Error())
}

// end closes the connection when a stream failed for a reason of its own.
func (c *conn) end(err error) {
	if err == nil || errors.Is(err, net.ErrClosed) {
		return // the connection itself ended
	}
	if c.link.ordinary(err) {
		c.close(closeBroken, err.Error())
		return
	}
	what := "a peer violated the protocol"
	if _, own := errors.AsType[*net.OpError](err); own {
		what = "this host cannot send to a peer"
	}
	c.link.problem(what, err)
	c.close(closeBroken, err.Error())
}

// write writes one stream until the connection ends.
func (c *conn) write(class peerframe.Class) error {
	stream, err := c.quic.OpenUniStream()
	if err != nil {
		return fmt.Errorf("open the stream for %v: %w", class, err)
	}
	stream.SetPriority(priorities[class], false)
	w := writer{to: stream, buf: append(make([]byte, 0, peerWriteBytes), byte(class))}
	var frames [][]byte
	q := c.queues[class]
	for {
		if frames = q.take(frames); frames == nil {
			return nil
		}
		bytes, err := w.addAll(frames)
		if err != nil {
			c.link.dropped.Add(uint64(len(frames)))
			return err
		}
		c.link.sent.add(len(frames), bytes)
		q.written(len(frames), bytes)
		for _, frame := range frames { // QUIC has copied them
			peerframe.Free(frame)
		}
	}
}

// writer coalesces many frames into few writes.
type writer struct {
	to  io.Writer
	buf []byte
}

// addAll writes frames after the buffered bytes of earlier ones, and returns the number of bytes in the frames.
func (w *writer) addAll(frames [][]byte) (bytes int, err error) {
	for _, frame := range frames {
		bytes += len(frame)
		if err := w.add(frame); err != nil {
			return 0, err
		}
	}
	return bytes, w.flush()
}

func (w *writer) add(frame []byte) error {
	room := headerBytes
	if len(frame) <= peerCopyBytes {
		room += len(frame)
	}
	if len(w.buf)+room > cap(w.buf) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.buf = appendHeader(w.buf, len(frame))
	if len(frame) <= peerCopyBytes {
		w.buf = append(w.buf, frame...)
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	_, err := w.to.Write(frame)
	return err
}

func (w *writer) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	_, err := w.to.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}

// acceptStreams starts a reader for each stream of the peer; QUIC does not let the peer open more.
func (c *conn) acceptStreams(readers *sync.WaitGroup) error {
	for range peerframe.Classes {
		stream, err := c.quic.AcceptUniStream(context.Background()) // ends with the connection
		if err != nil {
			return err
		}
		readers.Go(func() { c.end(c.read(stream)) })
	}
	return nil
}

// read hands over the frames of one stream until the connection ends.
func (c *conn) read(stream io.Reader) error {
	r := reader{from: stream, most: limits.PeerFrameBytes}
	class, err := r.class()
	if err != nil {
		return err
	}
	if c.opened.Or(1<<class)&(1<<class) != 0 {
		return fmt.Errorf("%w: a second stream for %v", errFrame, class)
	}
	for {
		frame, err := r.next()
		if err == io.EOF {
			return fmt.Errorf("%w: the stream for %v ended", errFrame, class)
		}
		if err != nil {
			return err
		}
		c.link.received.Add(uint64(len(frame)))
		if no := c.link.transport.handler.Receive(c.link.id, &c.identity, class, frame); no != nil {
			refuse(c.quic, no)
			return nil
		}
	}
}
