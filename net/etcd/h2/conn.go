package h2

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/peer"
)

// Windows and buffers.
const (
	streamWindow = 1 << 18 // bytes of a stream that the client may send before the server takes them
	connWindow   = 1 << 20 // of a connection
	frameMost    = 1 << 14 // the smallest limit of a frame, and ours
	readBytes    = 32 << 10
	outBytes     = 64 << 10 // encoded frames that wait for the writer; more wait in their streams
	streamQueue  = 64 << 10 // bytes of a stream that wait before its handler waits
	drainWait    = time.Second
)

// conn is a connection. One goroutine reads, one writes.
type conn struct {
	server *Server
	nc     net.Conn
	ledger Ledger
	ctx    context.Context // until the connection ends
	cancel context.CancelFunc

	// Owned by the reader.
	in          *bufio.Reader
	framer      *http2.Framer
	heads       heads
	block       []byte // of an incomplete header block
	last        uint32 // the highest stream that the client has begun; changed with mu
	taken       int    // bytes whose connection window is not returned
	pings       pings
	established bool    // the client's first settings have come
	batched     *stream // its request is complete, and may be served without a goroutine

	mu         sync.Mutex
	wake       sync.Cond // the writer has something to do, or the reader may continue
	streams    map[uint32]*stream
	out        []byte     // encoded frames
	ends       []*stream  // that have frames to write that need no window
	ready      []*stream  // that have data to write and window for it, in turns
	handlers   int        // that run
	window     int64      // that the client grants
	initial    int64      // of new streams
	frame      int        // the client's limit of a frame, and at most outBytes
	table      uint32     // the client's limit of its header table
	shrinks    int        // how often that has become smaller since the last header block
	drainState byte       // see drain
	writing    bool       // a goroutine writes
	spare      []byte     // for out
	try        tryFunc    // nil: nothing is written without waiting
	over       error      // the connection has ended
	lastFrame  time.Time  // the last frame
	pinged     bool       // the server's ping is not answered
	answered   bool       // a part of an answer was written since the client's last ping
	resets     [16]uint32 // the latest streams that the server has reset
	reset      int        // how many there were
}

// The states of a connection's graceful end: none, GOAWAY is sent for later streams, and no other stream is taken.
const (
	notDraining = iota
	drainBegun
	drainFinished
)

func newConn(s *Server, nc net.Conn, from *peer.Peer) *conn {
	c := &conn{server: s, nc: nc, ledger: nc.(interface{ Ledger() Ledger }).Ledger(), streams: map[uint32]*stream{}, window: 65535, initial: 65535, table: 4096, frame: frameMost, lastFrame: time.Now()}
	c.wake.L = &c.mu
	if t, ok := nc.(interface{ Trier() func([]byte) int }); ok {
		if try := t.Trier(); try != nil {
			c.try = try
		}
	}
	c.ctx, c.cancel = context.WithCancel(peer.NewContext(context.Background(), from))
	c.in = bufio.NewReaderSize(nc, readBytes)
	c.framer = http2.NewFramer(io.Discard, c.in)
	c.framer.SetReuseFrames()
	c.framer.SetMaxReadFrameSize(frameMost)
	c.heads.init(s, c.ledger, c.ctx)
	c.handshake() // before a GOAWAY of drain
	return c
}

// run serves the connection.
func (c *conn) run() {
	var writer sync.WaitGroup
	writer.Go(c.write)
	var err error
	if c.server.contain("a connection's reader", func() { err = c.read() }) != nil {
		err = http2.ConnectionError(http2.ErrCodeInternal)
	}
	c.sendGoAway(err)
	c.end(err)
	writer.Wait()
	_ = c.nc.Close()
}

// end ends the connection, and its requests. If the server ends it, the client hears which requests were not begun, and makes those at
// another server.
func (c *conn) end(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over == nil && why == net.ErrClosed {
		c.goAwayLocked(c.last, http2.ErrCodeNo, "this server serves no more")
	}
	c.endLocked(why)
}

func (c *conn) endLocked(why error) {
	if c.over != nil {
		return
	}
	c.over = why
	c.cancel()
	for _, s := range c.streams {
		s.dropLocked()
	}
	clear(c.streams)
	c.ends, c.ready = nil, nil
	c.wake.Broadcast()
	if len(c.out) == 0 && !c.writing {
		_ = c.nc.Close()
	} else { // the writer closes it behind the last frames
		_ = c.nc.SetDeadline(time.Now().Add(time.Second))
	}
}

// sendGoAway tells the client of its own protocol error.
func (c *conn) sendGoAway(err error) {
	code, isOne := http2.ErrCodeNo, false
	var broken http2.ConnectionError
	switch {
	case errors.As(err, &broken):
		code, isOne = http2.ErrCode(broken), true
	// a frame too short for its flags; or nobody reads this
	case errors.Is(err, http2.ErrFrameTooLarge), errors.Is(err, io.ErrUnexpectedEOF):
		code, isOne = http2.ErrCodeFrameSize, true
	}
	if isOne {
		c.mu.Lock()
		c.goAwayLocked(c.last, code, err.Error())
		c.mu.Unlock()
	}
}

func (c *conn) goAwayLocked(last uint32, code http2.ErrCode, why string) {
	c.out = appendFrame(c.out, http2.FrameGoAway, 0, 0, 8+len(why))
	c.out = binary.BigEndian.AppendUint32(c.out, last)
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(code))
	c.out = append(c.out, why...)
	c.wake.Broadcast()
}

// drain tells the client to go. Its open streams continue. Requests that are on the way are served, too: the client sees the first GOAWAY
// before its answer to the ping.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drainState != notDraining || c.over != nil {
		return
	}
	c.drainState = drainBegun
	c.goAwayLocked(math.MaxInt32, http2.ErrCodeNo, "graceful_stop")
	c.out = append(appendFrame(c.out, http2.FramePing, 0, 0, 8), drainPing[:]...)
	time.AfterFunc(drainWait, c.finishDrain)
}

// checkIdle pings a client that has been silent for long, and ends its connection if there is no answer.
func (c *conn) checkIdle(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch silent := now.Sub(c.lastFrame); {
	case c.over != nil || silent < c.server.config.PingAfter:
	case !c.pinged:
		c.pinged = true
		c.out = append(appendFrame(c.out, http2.FramePing, 0, 0, 8), idlePing[:]...)
		c.wake.Broadcast()
	case silent >= c.server.config.PingAfter+c.server.config.PingTimeout:
		c.endLocked(errSilent)
	}
}

var (
	idlePing  = [8]byte{'i', 'd', 'l', 'e'}
	errSilent = errors.New("the client does not answer a ping")
)

var drainPing = [8]byte{'d', 'r', 'a', 'i', 'n'}

// finishDrain refuses later streams.
func (c *conn) finishDrain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drainState == drainBegun && c.over == nil {
		c.drainState = drainFinished
		c.goAwayLocked(c.last, http2.ErrCodeNo, "graceful_stop")
		c.endIfDrainedLocked()
	}
}

func (c *conn) endIfDrainedLocked() {
	if c.drainState == drainFinished && len(c.streams) == 0 {
		c.endLocked(net.ErrClosed)
	}
}

// read reads frames until the connection ends, and returns why.
func (c *conn) read() error {
	_ = c.nc.SetReadDeadline(time.Now().Add(c.server.config.Handshake))
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c.in, preface); err != nil {
		return err
	}
	if string(preface) != http2.ClientPreface {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	for {
		next, _ := c.in.Peek(4)
		headers := len(next) == 4 && http2.FrameType(next[3]) == http2.FrameHeaders
		f, err := c.framer.ReadFrame()
		var broken http2.StreamError
		switch {
		case errors.As(err, &broken) && headers: // without its block, later blocks mean something else
			err = http2.ConnectionError(broken.Code)
		case errors.As(err, &broken):
			c.mu.Lock()
			c.resetLocked(broken.StreamID, broken.Code)
			c.mu.Unlock()
			err = nil
		case err == nil:
			err = c.take(f)
		}
		if err != nil {
			return err
		}
		if s := c.batched; s != nil {
			c.batched = nil
			r := (*Request)(s)
			r.Contain(func() {
				if !s.head.method.batched(r, s.messages[0]) {
					r.Serve()
				}
			})
		}
		waits := !c.buffered()
		if waits {
			c.flush()
		}
		if waits || c.overflows() {
			c.await()
		}
	}
}

// buffered reports whether the next frame can be read without waiting.
func (c *conn) buffered() bool {
	n := c.in.Buffered()
	if n < frameHead {
		return false
	}
	head, _ := c.in.Peek(3)
	return n-frameHead >= int(head[0])<<16|int(head[1])<<8|int(head[2])
}

// overflows reports whether the connection has to be read no further for now.
func (c *conn) overflows() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.overflowsLocked()
}

// overflowsLocked leaves out the handlers of open streams: they may wait for the client's data. Those of reset streams end by themselves.
func (c *conn) overflowsLocked() bool {
	return len(c.out) > 2*outBytes || c.handlers-len(c.streams) >= int(c.server.config.Streams)
}

// await waits while the client does not read its answers, or while too many handlers of reset streams run.
func (c *conn) await() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastFrame, c.pinged = time.Now(), false
	for c.overflowsLocked() && c.over == nil {
		c.wake.Wait()
	}
}

func (c *conn) handshake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	settings := []http2.Setting{
		{ID: http2.SettingMaxConcurrentStreams, Val: c.server.config.Streams},
		{ID: http2.SettingMaxHeaderListSize, Val: c.server.config.HeaderBytes},
		{ID: http2.SettingInitialWindowSize, Val: streamWindow},
	}
	c.out = appendFrame(c.out, http2.FrameSettings, 0, 0, 6*len(settings))
	for _, one := range settings {
		c.out = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(c.out, uint16(one.ID)), one.Val)
	}
	c.grantLocked(0, connWindow-65535)
}

// grantLocked returns window to the client.
func (c *conn) grantLocked(stream uint32, n int) {
	c.out = binary.BigEndian.AppendUint32(appendFrame(c.out, http2.FrameWindowUpdate, 0, stream, 4), uint32(n))
	c.wake.Broadcast()
}

// take handles a frame. An error ends the connection.
func (c *conn) take(f http2.Frame) error {
	head := f.Header()
	if _, settings := f.(*http2.SettingsFrame); !c.established && !settings {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	switch f := f.(type) {
	case *http2.DataFrame:
		if len(f.Data()) < dataLeast && !f.StreamEnded() {
			c.ledger.Idle(1)
		}
		return c.data(f)
	case *http2.HeadersFrame:
		return c.headers(head.StreamID, f.HeaderBlockFragment(), f.HeadersEnded(), f.StreamEnded())
	case *http2.ContinuationFrame:
		c.ledger.Idle(1)
		return c.headers(head.StreamID, f.HeaderBlockFragment(), f.HeadersEnded(), c.heads.ends)
	case *http2.RSTStreamFrame:
		if head.StreamID > c.last {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		c.ledger.Reset()
		c.mu.Lock()
		defer c.mu.Unlock()
		if s := c.streams[head.StreamID]; s != nil {
			c.forgetLocked(s)
		}
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.WindowUpdateFrame:
		c.ledger.Idle(1)
		return c.windowUpdate(head.StreamID, int64(f.Increment))
	case *http2.PingFrame:
		c.ledger.Idle(1)
		return c.ping(f)
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	default: // PRIORITY, GOAWAY, and unknown ones
		c.ledger.Idle(1)
	}
	return nil
}

func (c *conn) settings(f *http2.SettingsFrame) error {
	c.ledger.Idle(1 + f.NumSettings()/settingsFrame)
	if f.IsAck() {
		return nil
	}
	if !c.established {
		c.established = true
		_ = c.nc.SetReadDeadline(time.Time{})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	initial := c.initial
	err := f.ForeachSetting(func(one http2.Setting) error {
		if err := one.Valid(); err != nil {
			return err
		}
		switch one.ID {
		case http2.SettingInitialWindowSize:
			initial = int64(one.Val)
		case http2.SettingMaxFrameSize:
			c.frame = min(int(one.Val), outBytes) // a larger one would not wait in its stream, where it is charged
		case http2.SettingHeaderTableSize:
			if one.Val < c.table {
				c.shrinks++
			}
			c.table = one.Val
		}
		return nil
	})
	if grown := initial - c.initial; grown != 0 {
		c.initial = initial
		c.ledger.Idle(len(c.streams) / streamsFrame)
		for _, s := range c.streams {
			if s.window += grown; s.window > math.MaxInt32 {
				return http2.ConnectionError(http2.ErrCodeFlowControl)
			}
			s.readyLocked()
		}
	}
	c.out = appendFrame(c.out, http2.FrameSettings, http2.FlagSettingsAck, 0, 0)
	c.wake.Broadcast()
	return err
}

// What costs as much as a frame that asks for nothing: entries of settings, streams whose windows change, bytes of a stream that is over. A
// frame of fewer bytes than dataLeast is one.
const settingsFrame, streamsFrame, overFrame, dataLeast = 16, 8, 1 << 10, 16

func (c *conn) windowUpdate(id uint32, n int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id == 0 {
		if c.window += n; c.window > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		c.wake.Broadcast()
		return nil
	}
	if id > c.last {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if s := c.streams[id]; s != nil {
		if s.window += n; s.window > math.MaxInt32 {
			c.resetLocked(id, http2.ErrCodeFlowControl)
			return nil
		}
		s.readyLocked()
	}
	return nil
}

func (c *conn) ping(f *http2.PingFrame) error {
	if f.IsAck() {
		if f.Data == drainPing {
			c.finishDrain()
		}
		return nil
	}
	if err := c.pings.ping(c); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(appendFrame(c.out, http2.FramePing, http2.FlagPingAck, 0, 8), f.Data[:]...)
	c.wake.Broadcast()
	return nil
}

// resetLocked ends a stream with an error of its client. Only the reader calls it.
func (c *conn) resetLocked(id uint32, code http2.ErrCode) {
	c.ledger.Reset()
	c.appendResetLocked(id, code)
	if s := c.streams[id]; s != nil {
		c.forgetLocked(s)
	}
	c.wake.Broadcast()
}

func (c *conn) appendResetLocked(id uint32, code http2.ErrCode) {
	c.out = binary.BigEndian.AppendUint32(appendFrame(c.out, http2.FrameRSTStream, 0, id, 4), uint32(code))
	c.resets[c.reset%len(c.resets)] = id
	c.reset++
}

// forgetLocked drops a stream.
func (c *conn) forgetLocked(s *stream) {
	s.dropLocked()
	c.ledger.Over(&s.charge)
	delete(c.streams, s.id)
	c.endIfDrainedLocked()
}

// data takes a frame of a request's message.
func (c *conn) data(f *http2.DataFrame) error {
	id, size := f.StreamID, int(f.Length)
	if id > c.last {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken += size; c.taken > connWindow {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	if c.taken >= connWindow/2 {
		c.grantLocked(0, c.taken)
		c.taken = 0
	}
	s := c.streams[id]
	switch {
	case s == nil:
		c.ledger.Idle(1 + size/overFrame) // of a stream that is over: frames may be on the way
		return nil
	case s.ended:
		c.resetLocked(id, http2.ErrCodeStreamClosed)
		return nil
	case s.wrongLength(len(f.Data()), f.StreamEnded()):
		c.resetLocked(id, http2.ErrCodeProtocol)
		return nil
	}
	if s.held += size; s.held > streamWindow {
		c.resetLocked(id, http2.ErrCodeFlowControl)
		return nil
	}
	c.ledger.Data(&s.charge, size)
	s.returned += size - len(f.Data()) // padding
	s.receiveLocked(f.Data(), f.StreamEnded())
	return nil
}

// headers takes a part of a header block.
func (c *conn) headers(id uint32, part []byte, whole, ends bool) error {
	c.heads.ends = ends
	if len(c.block)+len(part) > blockMost {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	if !whole {
		c.ledger.Charge(int64(len(part)))
		c.block = append(c.block, part...)
		return nil
	}
	if len(c.block) > 0 {
		c.ledger.Charge(-int64(len(c.block)))
		c.block = append(c.block, part...)
		part = c.block
		defer func() { c.block = c.block[:0] }()
	}
	h, err := c.heads.read(part)
	if err != nil {
		return err
	}
	if id <= c.last {
		return c.trailers(id, h, ends)
	}
	if id%2 == 0 {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = id // with the stream: a GOAWAY in between would name a stream that is not served
	switch {
	case c.over != nil:
		return c.over
	case c.drainState == drainFinished:
		return nil // the client knows that it is not served
	case len(c.streams) >= int(c.server.config.Streams):
		c.resetLocked(id, http2.ErrCodeRefusedStream)
		return nil
	case h.bad != 0 || !h.pseudo:
		c.resetLocked(id, max(h.bad, http2.ErrCodeProtocol))
		return nil
	}
	s := &stream{c: c, id: id, head: h, window: c.initial}
	if h.method.batched == nil {
		s.wake, s.writable = make(chan struct{}, 1), make(chan struct{}, 1)
	}
	if s.wrongLength(0, ends) {
		c.resetLocked(id, http2.ErrCodeProtocol)
		return nil
	}
	c.streams[id] = s
	c.ledger.Begin(&s.charge, len(part))
	s.beginLocked(ends)
	return nil
}

// trailers takes a header block of a stream that has begun: gRPC's clients send none, but HTTP allows them as a stream's end.
func (c *conn) trailers(id uint32, h *head, ends bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[id]
	switch {
	case s == nil && slices.Contains(c.resets[:], id): // it was on the way
		return nil
	case s == nil || s.ended:
		return http2.ConnectionError(http2.ErrCodeStreamClosed)
	case !ends || h.pseudo || h.bad != 0 || s.wrongLength(0, true):
		c.resetLocked(id, http2.ErrCodeProtocol)
	default:
		s.receiveLocked(nil, true)
	}
	return nil
}

// blockMost bounds a header block: one whose fields exceed Config.HeaderBytes is decoded, too, since it may change the table.
const blockMost = 64 << 10
