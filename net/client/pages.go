package client

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// pageStream is a stream on which a member sends the pages of one answer. It is for one goroutine.
type pageStream struct {
	conn    *conn
	qs      *quic.Stream
	frames  *wire.FrameReader
	filled  bool        // another frame may be available before the next Fill
	release func() bool // of the context
}

// openPages requests a range, or the rest of one, on a stream of its own, on the current connection. It returns nil if that is not
// possible.
func (c *Client) openPages(ctx context.Context, q *kv.Range) *pageStream {
	k := c.current.Load()
	if k == nil || k.retired.Load() {
		return nil
	}
	qs, err := k.qc.OpenStream()
	if err != nil {
		return nil
	}
	until := c.until(ctx, time.Now())
	_ = qs.SetWriteDeadline(until)
	if _, err := qs.Write(wire.AppendRequest(nil, 0, wire.OpPages, time.Until(until), wire.AppendPagesBody(nil, q))); err != nil {
		qs.CancelRead(quic.StreamErrorCode(wire.StreamEnded))
		qs.CancelWrite(quic.StreamErrorCode(wire.StreamEnded))
		return nil
	}
	_ = qs.Close() // no other request follows on it
	return &pageStream{
		conn: k, qs: qs, frames: wire.NewFrameReader(qs, limits.ResponseBytes),
		release: context.AfterFunc(ctx, func() { qs.CancelRead(quic.StreamErrorCode(wire.StreamEnded)) }),
	}
}

// close ends the stream. A second call does nothing.
func (s *pageStream) close() {
	s.release()
	s.qs.CancelRead(quic.StreamErrorCode(wire.StreamEnded))
}

// next returns the next page. An *Error is the member's answer; after any other error the rest can be requested elsewhere.
func (s *pageStream) next(ctx context.Context) (page kv.RangeResult, err error) {
	frame, err := s.frame(ctx)
	if err != nil {
		return page, err
	}
	p, err := wire.ReadResponse(frame)
	if err != nil {
		return page, err
	}
	if failed := p.Failed(); failed != nil {
		return page, failed
	}
	if err := p.Range(&page); err != nil {
		return page, err
	}
	return ownPage(&page), nil
}

func (s *pageStream) frame(ctx context.Context) ([]byte, error) {
	for {
		if s.filled {
			frame, err := s.frames.Next()
			if frame != nil || err != nil {
				return frame, err
			}
		}
		begun := time.Now()
		until := s.conn.link.until(ctx, begun)
		if err := s.qs.SetReadDeadline(until); err != nil {
			return nil, err
		}
		err := s.frames.Fill()
		s.filled = true
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil, s.conn.link.notSent(ctx, wire.OpPages, begun, s.conn)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, &timeoutError{until.Sub(begun).Round(time.Millisecond).String()}
		case errors.Is(err, io.EOF):
			return nil, errStopping
		default:
			return nil, wire.Explain(err)
		}
	}
}
