package h2

import (
	"errors"
	"slices"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/mem"
)

// appendBlockLocked appends the frames of a header block. If the client has made its table smaller, the next block has to say so (RFC 7541,
// 4.2); the table is empty. No block at all stands for data without bytes, which end a page.
func (c *conn) appendBlockLocked(dst []byte, id uint32, ends bool, block []byte) []byte {
	if len(block) == 0 {
		return appendFrame(dst, http2.FrameData, http2.FlagDataEndStream, id, 0)
	}
	if c.shrinks > 0 {
		c.shrinks = 0
		block = append([]byte{0x20}, block...)
	}
	var flags http2.Flags
	if ends {
		flags = http2.FlagHeadersEndStream
	}
	for kind := http2.FrameHeaders; ; kind = http2.FrameContinuation {
		part := block[:min(len(block), frameMost)]
		if block = block[len(part):]; len(block) == 0 {
			return append(appendFrame(dst, kind, flags|http2.FlagHeadersEndHeaders, id, len(part)), part...)
		}
		dst = append(appendFrame(dst, kind, flags, id, len(part)), part...)
		flags = 0
	}
}

// frameHead is the size of a frame's head.
const frameHead = 9

// appendFrame appends the head of a frame.
func appendFrame(dst []byte, kind http2.FrameType, flags http2.Flags, stream uint32, length int) []byte {
	return append(dst, byte(length>>16), byte(length>>8), byte(length), byte(kind), byte(flags), byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

// write writes until the connection ends. Small writes of others do not wait for it (flush).
func (c *conn) write() {
	defer c.nc.Close() // the reader ends with it
	var batch []byte
	var written []mem.Buffer
	for {
		var ok bool
		if batch, written, ok = c.gather(batch[:0], written[:0]); !ok {
			return
		}
		_, err := c.nc.Write(batch)
		for _, one := range written {
			one.Free()
		}
		clear(written)
		c.mu.Lock()
		c.writing = false
		c.mu.Unlock()
		if err != nil {
			c.end(err)
			return
		}
		if cap(batch) > outBytes {
			batch = nil
		}
	}
}

// gather waits for frames to write, and returns them. It returns false when the connection has ended and nothing is left.
func (c *conn) gather(batch []byte, written []mem.Buffer) ([]byte, []mem.Buffer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for c.writing || len(c.out) == 0 && !c.writableLocked() && c.over == nil {
			c.wake.Wait()
		}
		c.writing = true // from now on: what is in batch comes before what others encode
		for batch = c.takeLocked(batch); len(batch) < outBytes && c.over == nil && c.writableLocked(); batch = c.takeLocked(batch) {
			batch, written = c.turnLocked(batch, written)
		}
		if len(batch) > 0 {
			return batch, written, true
		}
		c.writing = false
		if c.over != nil {
			return batch, written, false
		}
	}
}

// takeLocked moves the encoded frames into batch. A turn releases the lock, and others may encode earlier frames of the stream that is next.
func (c *conn) takeLocked(batch []byte) []byte {
	if len(c.out) > 2*outBytes {
		c.wake.Broadcast() // the reader
	}
	if len(batch) == 0 {
		batch, c.out = c.out, batch
	} else if batch, c.out = append(batch, c.out...), c.out[:0]; cap(c.out) > outBytes {
		c.out = nil
	}
	return batch
}

// tryFunc writes as much as the kernel takes at once.
type tryFunc func([]byte) int

// flush writes the encoded frames as far as that needs no waiting; the writer writes the rest.
func (c *conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) == 0 || c.over != nil {
		return
	}
	if c.try == nil || c.writing {
		c.wake.Broadcast()
		return
	}
	c.writing = true
	for len(c.out) > 0 {
		batch := c.out
		c.out = c.spare[:0]
		c.mu.Unlock()
		n := c.try(batch)
		c.mu.Lock()
		if c.spare = batch[:0]; cap(batch) > outBytes {
			c.spare = nil
		}
		if n < len(batch) {
			c.out = append(slices.Clone(batch[n:]), c.out...)
			break
		}
	}
	c.writing = false
	c.wake.Broadcast()
}

// writableLocked reports whether a stream can write. Streams without window of their own are not in the lists.
func (c *conn) writableLocked() bool { return len(c.ends) > 0 || len(c.ready) > 0 && c.window > 0 }

// turnLocked writes a frame of the next stream.
func (c *conn) turnLocked(batch []byte, written []mem.Buffer) ([]byte, []mem.Buffer) {
	from := &c.ready
	if len(c.ends) > 0 {
		from = &c.ends
	}
	s := (*from)[0]
	(*from)[0] = nil
	*from = (*from)[1:]
	s.ready = false
	if s.over {
		return batch, written
	}
	c.answered = true
	if block := s.out[0].block; block != nil {
		ends := len(s.out) == 1 && s.finished
		batch = c.appendBlockLocked(batch, s.id, ends, block)
		if s.popLocked(); ends {
			c.closeLocked(s)
		} else {
			c.ledger.Answered(&s.charge)
		}
		s.readyLocked()
		return batch, written
	}
	return c.dataLocked(s, batch, written)
}

// dataLocked writes a frame of a stream's data. It releases the lock while the data are read, since that may encode them.
func (c *conn) dataLocked(s *stream, batch []byte, written []mem.Buffer) ([]byte, []mem.Buffer) {
	n := int(max(0, min(c.window, s.window, int64(c.frame))))
	c.window -= int64(n) // others may use the rest meanwhile
	s.window -= int64(n)
	s.reading = true
	piece := s.out[0]
	c.mu.Unlock()
	var data []byte
	fault := c.server.contain(s.head.path, func() { data = piece.data.ReadOnlyData()[piece.at:] })
	most := n
	n = min(n, len(data))
	if n > 0 {
		batch = append(appendFrame(batch, http2.FrameData, 0, s.id, n), data[:n]...)
	}
	c.mu.Lock()
	s.reading = false
	c.window += int64(most - n)
	s.window += int64(most - n)
	if s.over {
		s.freeLocked()
		return batch, written
	}
	if fault != nil { // the client has a part of the answer. No error of the client's, and Reset is the reader's
		c.appendResetLocked(s.id, http2.ErrCodeInternal)
		c.forgetLocked(s)
		return batch, written
	}
	s.queued -= n
	if s.out[0].at += n; n == len(data) {
		written = append(written, piece.data)
		s.popLocked()
	}
	signal(s.writable)
	s.readyLocked()
	return batch, written
}

// closeLocked ends a stream whose last frame is written. If the client has not ended its side, the stream is reset: the client stops
// sending.
func (c *conn) closeLocked(s *stream) {
	if !s.ended {
		c.appendResetLocked(s.id, http2.ErrCodeNo)
	}
	c.forgetLocked(s)
}

var errDone = errors.New("the stream is over")
