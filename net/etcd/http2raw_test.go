package etcd_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	"qkv/net/etcd"
)

const (
	putPath   = "/etcdserverpb.KV/Put"
	rangePath = "/etcdserverpb.KV/Range"
	watchPath = "/etcdserverpb.Watch/Watch"

	initialWindow = 65535
	maxFrame      = 16384
)

// field is one line of a header block.
type field = [2]string

// h2client is an HTTP/2 client without a library's rules: tests write any frame, in any order and in any pieces. Nothing is sent before
// flush. It has no goroutine: frames of the server are read while the test waits for an answer.
//
// The client judges the server while it reads: frame order, frame sizes, both flow-control windows, and the header table's size. A fault
// is an error of the test.
type h2client struct {
	testing.TB
	conn net.Conn

	out    bytes.Buffer
	write  *http2.Framer
	pieces int // bytes of one write; 0: everything at once
	encode *hpack.Encoder
	block  bytes.Buffer
	next   uint32 // the next stream

	read    *http2.Framer
	decode  *hpack.Decoder
	answers map[uint32]*h2answer
	partial []byte // header block so far
	within  uint32 // stream of partial; 0: none
	ends    bool   // partial ends its stream

	settings      map[http2.SettingID]uint32 // of the server
	pending       []http2.Setting            // of the client, not acknowledged
	pendingFrames []int                      // settings in each frame that is not acknowledged
	table         uint32                     // size of the server's header table
	mustShrink    bool                       // the next block has to begin with a table size update
	acks          int
	pongs         [][8]byte
	goaways       []h2goaway
	ended         bool // the server has closed the connection

	manual     bool  // the test opens the windows; else data is acknowledged at once
	receive    int64 // the connection's window for the server's data
	window     int64 // the connection's window for the client's data
	windows    map[uint32]int64
	initial    int64 // of a stream's window for the server's data
	largest    int   // DATA frame of the server
	settingsIn int
}

type h2goaway struct {
	last uint32
	code http2.ErrCode
	text string
}

// h2answer is the server's side of one stream.
type h2answer struct {
	header, trailer []hpack.HeaderField
	blocks          int
	data            []byte
	ended           bool
	reset           *http2.ErrCode
	receive         int64
}

// openH2 connects, and sends the preface with some settings. The server's settings are read with the first answer.
func openH2(t testing.TB, s *etcd.Server, settings ...http2.Setting) *h2client {
	t.Helper()
	c := bareH2(t, raw(t, s, http2.ClientPreface))
	c.set(settings...)
	c.flush()
	return c
}

// bareH2 is a client on an open connection, on which nothing was sent but the preface.
func bareH2(t testing.TB, conn net.Conn) *h2client {
	c := &h2client{
		TB: t, conn: conn, next: 1, answers: map[uint32]*h2answer{}, windows: map[uint32]int64{},
		settings: map[http2.SettingID]uint32{http2.SettingInitialWindowSize: initialWindow, http2.SettingMaxFrameSize: maxFrame},
		receive:  initialWindow, window: initialWindow, initial: initialWindow, table: 4096,
	}
	c.write, c.encode = http2.NewFramer(&c.out, nil), hpack.NewEncoder(&c.block)
	c.write.AllowIllegalWrites = true
	c.read, c.decode = http2.NewFramer(nil, conn), hpack.NewDecoder(4096, nil)
	c.read.SetMaxReadFrameSize(maxFrame)
	return c
}

// flush sends what was written. A failed write shows at the next read.
func (c *h2client) flush() {
	for c.out.Len() > 0 {
		n := c.out.Len()
		if c.pieces > 0 {
			n = min(n, c.pieces)
		}
		if _, err := c.conn.Write(c.out.Next(n)); err != nil {
			c.out.Reset()
		}
	}
}

// set writes settings.
func (c *h2client) set(settings ...http2.Setting) {
	_ = c.write.WriteSettings(settings...)
	c.pending = append(c.pending, settings...)
	c.pendingFrames = append(c.pendingFrames, len(settings))
	for _, s := range settings {
		switch s.ID {
		case http2.SettingInitialWindowSize:
			if int64(s.Val) > c.initial {
				c.resize(int64(s.Val)) // the server may use it from now on
			}
		case http2.SettingHeaderTableSize:
			c.decode.SetAllowedMaxDynamicTableSize(max(s.Val, 4096))
		case http2.SettingMaxFrameSize:
			c.read.SetMaxReadFrameSize(s.Val)
		}
	}
}

// resize changes the windows of all streams for the server's data, which may become negative.
func (c *h2client) resize(initial int64) {
	for _, a := range c.answers {
		a.receive += initial - c.initial
	}
	c.initial = initial
}

// acknowledged puts the settings of the oldest frame into effect.
func (c *h2client) acknowledged() {
	c.acks++
	if len(c.pendingFrames) == 0 {
		c.Error("an acknowledgment of settings that were not sent")
		return
	}
	n := c.pendingFrames[0]
	for _, s := range c.pending[:n] {
		switch s.ID {
		case http2.SettingInitialWindowSize:
			c.resize(int64(s.Val))
		case http2.SettingHeaderTableSize:
			c.mustShrink = c.mustShrink || s.Val < c.table
			c.decode.SetAllowedMaxDynamicTableSize(s.Val)
		}
	}
	c.pendingFrames, c.pending = c.pendingFrames[1:], c.pending[n:]
}

// fields are the headers of a request, with more metadata.
func fields(path string, more ...field) []field {
	return append([]field{{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"}}, more...)
}

// encoded returns a header block made by the connection's encoder, with references to its dynamic table.
func (c *h2client) encoded(fields ...field) []byte {
	c.block.Reset()
	for _, f := range fields {
		_ = c.encode.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return bytes.Clone(c.block.Bytes())
}

// stream returns a new stream's number.
func (c *h2client) stream() uint32 {
	id := c.next
	c.next += 2
	c.begun(id)
	return id
}

func (c *h2client) begun(id uint32) {
	c.answers[id] = &h2answer{receive: c.initial}
	c.windows[id] = int64(c.settings[http2.SettingInitialWindowSize])
}

// headers writes a whole header block as one frame.
func (c *h2client) headers(id uint32, end bool, fields ...field) {
	_ = c.write.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.encoded(fields...), EndHeaders: true, EndStream: end})
}

// data writes a DATA frame without a look at the windows.
func (c *h2client) data(id uint32, end bool, data []byte) {
	c.window -= int64(len(data))
	c.windows[id] -= int64(len(data))
	_ = c.write.WriteData(id, end, data)
}

// raw writes a frame of any kind.
func (c *h2client) raw(kind http2.FrameType, flags http2.Flags, id uint32, payload ...byte) {
	_ = c.write.WriteRawFrame(kind, flags, id, payload)
}

// begin opens a stream with metadata.
func (c *h2client) begin(path string, more ...field) uint32 {
	id := c.stream()
	c.headers(id, false, fields(path, more...)...)
	return id
}

// ask writes a whole unary request, and returns its stream.
func (c *h2client) ask(path string, m proto.Message, more ...field) uint32 {
	id := c.begin(path, more...)
	c.data(id, true, message(m))
	return id
}

// step reads one frame, and returns false at the end of the connection.
func (c *h2client) step() bool {
	c.Helper()
	c.flush()
	f, err := c.read.ReadFrame()
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			c.Fatal("the server sends nothing")
		}
		if errors.Is(err, http2.ErrFrameTooLarge) {
			c.Errorf("a frame over the client's limit: %v", err)
		}
		c.ended = true
		return false
	}
	if _, more := f.(*http2.ContinuationFrame); c.within != 0 && !more {
		c.Errorf("%v within a header block", f)
	}
	switch f := f.(type) {
	case *http2.SettingsFrame:
		c.cameSettings(f)
	case *http2.PingFrame:
		if f.IsAck() {
			c.pongs = append(c.pongs, f.Data)
		} else {
			_ = c.write.WritePing(true, f.Data)
		}
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			c.window += int64(f.Increment)
		} else {
			c.windows[f.StreamID] += int64(f.Increment)
		}
	case *http2.HeadersFrame:
		c.within, c.ends, c.partial = f.StreamID, f.StreamEnded(), bytes.Clone(f.HeaderBlockFragment())
		c.cameBlock(f.HeadersEnded())
	case *http2.ContinuationFrame:
		c.partial = append(c.partial, f.HeaderBlockFragment()...)
		c.cameBlock(f.HeadersEnded())
	case *http2.DataFrame:
		c.cameData(f)
	case *http2.RSTStreamFrame:
		code := f.ErrCode
		c.of(f.StreamID).reset = &code
	case *http2.GoAwayFrame:
		c.goaways = append(c.goaways, h2goaway{f.LastStreamID, f.ErrCode, string(f.DebugData())})
	case *http2.PushPromiseFrame:
		c.Error("the server pushes")
	}
	return true
}

func (c *h2client) cameSettings(f *http2.SettingsFrame) {
	if f.IsAck() {
		c.acknowledged()
		return
	}
	c.settingsIn++
	_ = f.ForeachSetting(func(s http2.Setting) error {
		if s.ID == http2.SettingInitialWindowSize {
			for id := range c.windows {
				c.windows[id] += int64(s.Val) - int64(c.settings[s.ID])
			}
		}
		c.settings[s.ID] = s.Val
		return nil
	})
	_ = c.write.WriteSettingsAck()
}

// of returns the answer on a stream. A server may reset streams that the test did not count.
func (c *h2client) of(id uint32) *h2answer {
	if c.answers[id] == nil {
		c.answers[id] = &h2answer{receive: c.initial}
	}
	return c.answers[id]
}

func (c *h2client) cameBlock(whole bool) {
	if !whole {
		return
	}
	a, block := c.of(c.within), c.partial
	c.within, c.partial = 0, nil
	c.cameTable(block)
	decoded, err := c.decode.DecodeFull(block)
	if err != nil {
		c.Fatalf("the server's header block %x: %v", block, err)
	}
	if a.ended || a.reset != nil {
		c.Errorf("headers after the end of a stream: %v", decoded)
	}
	regular := false
	for _, f := range decoded {
		pseudo := strings.HasPrefix(f.Name, ":")
		if pseudo && regular || f.Name != strings.ToLower(f.Name) {
			c.Errorf("an illegal header %v", f)
		}
		regular = regular || !pseudo
	}
	if a.blocks++; a.blocks == 1 {
		a.header = decoded
	}
	if a.ended = c.ends; a.ended {
		a.trailer = decoded
	}
}

// cameTable takes note of the size of the server's header table. After the acknowledgment of a smaller limit, the next block begins with it.
func (c *h2client) cameTable(block []byte) {
	c.Helper()
	updated := false
	for ; len(block) > 0 && block[0]>>5 == hpackSizeUpdate>>5; updated = true {
		size, n := uint64(block[0]&31), 1
		if size == 31 {
			more, bytes := binary.Uvarint(block[1:])
			size, n = size+more, 1+max(bytes, 0)
		}
		c.table, block = uint32(size), block[n:]
	}
	if c.mustShrink && !updated {
		c.Error("the header table has to shrink, and the block does not begin with that")
	}
	c.mustShrink = false
}

func (c *h2client) cameData(f *http2.DataFrame) {
	a := c.of(f.StreamID)
	if a.blocks == 0 || a.ended || a.reset != nil {
		c.Errorf("data outside of an answer on stream %d", f.StreamID)
	}
	n := int64(f.Length)
	c.largest = max(c.largest, int(n))
	c.receive -= n
	a.receive -= n
	if n > 0 && (c.receive < 0 || a.receive < 0) {
		c.Errorf("data beyond the window: %d are left of the connection's, %d of the stream's", c.receive, a.receive)
	}
	a.data = append(a.data, f.Data()...)
	a.ended = f.StreamEnded()
	if !c.manual && n > 0 {
		c.grow(0, uint32(n))
		if !a.ended {
			c.grow(f.StreamID, uint32(n))
		}
	}
}

// grow opens a window for the server's data; stream 0 is the connection.
func (c *h2client) grow(id, n uint32) {
	_ = c.write.WriteWindowUpdate(id, n)
	if id == 0 {
		c.receive += int64(n)
	} else {
		c.of(id).receive += int64(n)
	}
}

// until reads frames until a condition holds; it returns false if the connection ended before.
func (c *h2client) until(holds func() bool) bool {
	c.Helper()
	for c.flush(); !holds(); {
		if !c.step() {
			return holds()
		}
	}
	return true
}

// barrier waits until the server has answered all that it decides while it reads: a ping's answer comes after it.
func (c *h2client) barrier() bool {
	c.Helper()
	var data [8]byte
	binary.BigEndian.PutUint64(data[:], uint64(0xabc0+len(c.pongs)))
	_ = c.write.WritePing(false, data)
	return c.until(func() bool { return slices.Contains(c.pongs, data) })
}

// result waits for the end of an answer, and returns it in words.
func (c *h2client) result(id uint32) string {
	c.Helper()
	a := c.of(id)
	c.until(func() bool { return a.ended || a.reset != nil })
	return c.words(id)
}

// words tells how a stream has ended: "OK", the code and message of gRPC, with the status of HTTP before it if that is not 200, or the
// code of a reset.
func (c *h2client) words(id uint32) string {
	switch a := c.of(id); {
	case a.ended:
		said := ""
		if s := value(a.header, ":status"); s != "200" {
			said = s + " "
		}
		text, err := url.PathUnescape(value(a.trailer, "grpc-message"))
		if err != nil {
			text = err.Error()
		}
		text = strings.ReplaceAll(text, "\u00a0", " ") // protobuf's errors have either, by the build
		if code := value(a.trailer, "grpc-status"); code != "0" {
			return said + strings.TrimSpace(code+" "+text)
		}
		return said + "OK"
	case a.reset != nil:
		return "reset " + a.reset.String()
	case c.ended && len(c.goaways) > 0:
		return "goaway " + c.goaways[len(c.goaways)-1].code.String()
	case c.ended:
		return "closed"
	}
	return "open"
}

// value is a header's first value.
func value(of []hpack.HeaderField, name string) string {
	for _, f := range of {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// messages cuts an answer's data; it fails if the last one is not whole.
func (a *h2answer) messages(t testing.TB) (all [][]byte) {
	t.Helper()
	for rest := a.data; len(rest) > 0; {
		if len(rest) < 5 || rest[0] != 0 || uint64(len(rest)-5) < uint64(binary.BigEndian.Uint32(rest[1:])) {
			t.Fatalf("%d bytes are no message", len(rest))
		}
		n := 5 + int(binary.BigEndian.Uint32(rest[1:]))
		all = append(all, rest[5:n])
		rest = rest[n:]
	}
	return all
}

// must wants an answer with status OK and one message.
func (c *h2client) must(id uint32, to proto.Message) {
	c.Helper()
	if got := c.result(id); got != "OK" {
		c.Fatalf("stream %d: %s", id, got)
	}
	c.unpack(id, to)
}

// unpack wants one message.
func (c *h2client) unpack(id uint32, to proto.Message) {
	c.Helper()
	all := c.of(id).messages(c)
	if len(all) != 1 {
		c.Fatalf("stream %d has %d messages", id, len(all))
	}
	if err := proto.Unmarshal(all[0], to); err != nil {
		c.Fatal(err)
	}
}

// message waits for message number n of a stream of answers.
func (c *h2client) message(id uint32, n int, to proto.Message) {
	c.Helper()
	a := c.of(id)
	whole := func() bool { return len(wholeMessages(a.data)) > n }
	c.until(func() bool { return whole() || a.ended || a.reset != nil })
	if !whole() {
		c.Fatalf("stream %d has no message %d: %s", id, n, c.words(id))
	}
	if err := proto.Unmarshal(wholeMessages(a.data)[n], to); err != nil {
		c.Fatal(err)
	}
}

// wholeMessages are those that have come so far.
func wholeMessages(data []byte) (all [][]byte) {
	for len(data) >= 5 && len(data)-5 >= int(binary.BigEndian.Uint32(data[1:])) {
		n := 5 + int(binary.BigEndian.Uint32(data[1:]))
		all, data = append(all, data[5:n]), data[n:]
	}
	return all
}

// closed waits for the end of the connection.
func (c *h2client) closed() bool {
	c.Helper()
	return !c.until(func() bool { return false })
}

// String is for messages of failed tests.
func (f h2goaway) String() string { return fmt.Sprintf("%v after %d %q", f.code, f.last, f.text) }

// hpackInt appends an integer with a prefix of so many bits.
func hpackInt(dst []byte, first byte, bits int, n uint64) []byte {
	most := uint64(1)<<bits - 1
	if n < most {
		return append(dst, first|byte(n))
	}
	dst = append(dst, first|byte(most))
	return binary.AppendUvarint(dst, n-most)
}

// hpackString appends a string, with Huffman's code or without it.
func hpackString(dst []byte, s string, huffman bool) []byte {
	if huffman {
		return append(hpackInt(dst, 0x80, 7, hpack.HuffmanEncodeLength(s)), hpack.AppendHuffmanString(nil, s)...)
	}
	return append(hpackInt(dst, 0, 7, uint64(len(s))), s...)
}

// The first bits of a literal.
const (
	hpackIndexed      = 0x80
	hpackIncremental  = 0x40
	hpackSizeUpdate   = 0x20
	hpackNeverIndexed = 0x10
	hpackPlain        = 0
)

// literals encodes all fields as literals of one kind, with their names in full.
func literals(kind byte, huffman bool, fields ...field) (block []byte) {
	for _, f := range fields {
		block = hpackString(hpackString(append(block, kind), f[0], huffman), f[1], huffman)
	}
	return block
}

// withDeadline is a context for what a test does beside its raw connection.
func withDeadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	t.Cleanup(cancel)
	return ctx
}
