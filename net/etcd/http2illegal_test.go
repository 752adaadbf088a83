package etcd_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/internal/limits"
	"qkv/net/etcd"
)

// Outcomes of illegal frames. A connection error is GOAWAY with a code, and the end of the connection; a stream error is RST_STREAM with a
// code. "400" and "431" are the statuses of answers that refuse a malformed request, in place of its reset.
const (
	connProtocol  = "goaway PROTOCOL_ERROR"
	connFrameSize = "goaway FRAME_SIZE_ERROR"
	connFlow      = "goaway FLOW_CONTROL_ERROR"
	connHPACK     = "goaway COMPRESSION_ERROR"
	connClosed    = "goaway STREAM_CLOSED"
	connCalm      = "goaway ENHANCE_YOUR_CALM"

	streamProtocol  = "reset PROTOCOL_ERROR"
	streamFrameSize = "reset FRAME_SIZE_ERROR"
	streamFlow      = "reset FLOW_CONTROL_ERROR"
	streamClosed    = "reset STREAM_CLOSED"
	streamRefused   = "reset REFUSED_STREAM"

	justClosed = "closed"  // without GOAWAY, which the RFC only recommends
	ignored    = "ignored" // nothing is said, and the connection goes on
)

// illegalRow is a client's illegal behavior, or legal behavior that looks like it.
type illegalRow struct {
	name    string
	section string   // of RFC 9113, or of RFC 7541
	rfc     []string // the outcomes that the RFC permits
	send    func(c *h2client)
}

func one(outcome ...string) []string { return outcome }

// illegalFrames are about frames by themselves.
var illegalFrames = []illegalRow{
	{"DATA on stream 0", "6.1", one(connProtocol), func(c *h2client) { c.raw(http2.FrameData, 0, 0, 1) }},
	{"DATA on an idle stream", "5.1", one(connProtocol), func(c *h2client) { c.raw(http2.FrameData, 0, 9, 1) }},
	{"DATA on an idle stream of the server", "5.1", one(connProtocol), func(c *h2client) { c.raw(http2.FrameData, 0, 2, 1) }},
	{"DATA padded beyond its frame", "6.1", one(connProtocol), func(c *h2client) {
		c.raw(http2.FrameData, http2.FlagDataPadded, c.begin(putPath), 2, 0)
	}},
	{"DATA padded, without a length", "4.2", one(connFrameSize, connProtocol), func(c *h2client) { c.raw(http2.FrameData, http2.FlagDataPadded, c.begin(putPath)) }},
	{"DATA over the frame size", "4.2", one(connFrameSize, streamFrameSize), func(c *h2client) {
		c.raw(http2.FrameData, 0, c.begin(putPath), make([]byte, maxFrame+1)...)
	}},
	{"HEADERS over the frame size", "4.2", one(connFrameSize), func(c *h2client) {
		c.raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, c.stream(), make([]byte, maxFrame+1)...)
	}},
	{"unknown frame over the frame size", "4.2", one(connFrameSize), func(c *h2client) {
		c.raw(0x42, 0, 0, make([]byte, maxFrame+1)...)
	}},
	{"HEADERS on stream 0", "6.2", one(connProtocol), func(c *h2client) {
		c.raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 0, c.encoded(fields(putPath)...)...)
	}},
	{"HEADERS padded beyond its frame", "6.2", one(connProtocol), func(c *h2client) {
		c.raw(http2.FrameHeaders, http2.FlagHeadersPadded|http2.FlagHeadersEndHeaders, c.stream(), 5, 0)
	}},
	{"HEADERS padded, without a length", "4.2", one(connFrameSize, connProtocol), func(c *h2client) {
		c.raw(http2.FrameHeaders, http2.FlagHeadersPadded|http2.FlagHeadersEndHeaders, c.stream())
	}},
	{"HEADERS without the whole priority", "4.2", one(connFrameSize, connProtocol), func(c *h2client) {
		c.raw(http2.FrameHeaders, http2.FlagHeadersPriority|http2.FlagHeadersEndHeaders, c.stream(), 0, 0, 0, 1)
	}},
	{"PRIORITY on stream 0", "6.3", one(connProtocol), func(c *h2client) { c.raw(http2.FramePriority, 0, 0, 0, 0, 0, 0, 0) }},
	{"PRIORITY of 4 bytes", "6.3", one(streamFrameSize, connFrameSize), func(c *h2client) {
		c.raw(http2.FramePriority, 0, c.begin(putPath), 0, 0, 0, 0)
	}},
	{"PRIORITY on itself", "5.3.2 (RFC 7540: 5.3.1)", one(ignored, streamProtocol), func(c *h2client) {
		id := c.begin(putPath)
		_ = c.write.WritePriority(id, http2.PriorityParam{StreamDep: id})
	}},
	{"HEADERS with priority on itself", "5.3.2 (RFC 7540: 5.3.1)", one(ignored, streamProtocol), func(c *h2client) {
		id := c.stream()
		_ = c.write.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.encoded(fields(putPath)...), EndHeaders: true, Priority: http2.PriorityParam{StreamDep: id, Weight: 1}})
	}},
	{"RST_STREAM on stream 0", "6.4", one(connProtocol), func(c *h2client) { c.raw(http2.FrameRSTStream, 0, 0, 0, 0, 0, 8) }},
	{"RST_STREAM on an idle stream", "6.4", one(connProtocol), func(c *h2client) { c.raw(http2.FrameRSTStream, 0, 9, 0, 0, 0, 8) }},
	{"RST_STREAM of 3 bytes", "6.4", one(connFrameSize), func(c *h2client) { c.raw(http2.FrameRSTStream, 0, c.begin(putPath), 0, 0, 8) }},
	{"RST_STREAM of 5 bytes", "6.4", one(connFrameSize), func(c *h2client) { c.raw(http2.FrameRSTStream, 0, c.begin(putPath), 0, 0, 0, 8, 0) }},
	{"SETTINGS of 5 bytes", "6.5", one(connFrameSize), func(c *h2client) { c.raw(http2.FrameSettings, 0, 0, 0, 1, 0, 0, 0) }},
	{"SETTINGS acknowledged with a payload", "6.5", one(connFrameSize), func(c *h2client) {
		c.raw(http2.FrameSettings, http2.FlagSettingsAck, 0, 0, 1, 0, 0, 0, 0)
	}},
	{"SETTINGS on a stream", "6.5", one(connProtocol), func(c *h2client) { c.raw(http2.FrameSettings, 0, c.begin(putPath)) }},
	{"ENABLE_PUSH of 2", "6.5.2", one(connProtocol), func(c *h2client) { c.set(http2.Setting{ID: http2.SettingEnablePush, Val: 2}) }},
	{"INITIAL_WINDOW_SIZE of 2^31", "6.5.2", one(connFlow), func(c *h2client) { c.set(initialWindowOf(1 << 31)) }},
	{"INITIAL_WINDOW_SIZE after another of 2^31", "6.5.2", one(connFlow), func(c *h2client) { c.set(initialWindowOf(1<<31), initialWindowOf(initialWindow)) }},
	{"INITIAL_WINDOW_SIZE of 2^31 after another", "6.5.2", one(connFlow), func(c *h2client) { c.set(initialWindowOf(initialWindow), initialWindowOf(1<<31)) }},
	{"MAX_FRAME_SIZE of 16383", "6.5.2", one(connProtocol), func(c *h2client) { c.set(http2.Setting{ID: http2.SettingMaxFrameSize, Val: maxFrame - 1}) }},
	{"MAX_FRAME_SIZE of 2^24", "6.5.2", one(connProtocol), func(c *h2client) { c.set(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 24}) }},
	{"INITIAL_WINDOW_SIZE that takes a stream over the largest window", "6.9.2", one(connFlow), func(c *h2client) {
		c.grow(c.begin(putPath), math.MaxInt32-initialWindow)
		c.set(initialWindowOf(initialWindow + 1))
	}},
	{"PUSH_PROMISE", "8.4", one(connProtocol), func(c *h2client) {
		_ = c.write.WritePushPromise(http2.PushPromiseParam{StreamID: c.begin(putPath), PromiseID: 2, BlockFragment: literals(hpackPlain, false, fields(putPath)...), EndHeaders: true})
	}},
	{"PING of 7 bytes", "6.7", one(connFrameSize), func(c *h2client) { c.raw(http2.FramePing, 0, 0, make([]byte, 7)...) }},
	{"PING of 9 bytes", "6.7", one(connFrameSize), func(c *h2client) { c.raw(http2.FramePing, 0, 0, make([]byte, 9)...) }},
	{"PING on a stream", "6.7", one(connProtocol), func(c *h2client) { c.raw(http2.FramePing, 0, c.begin(putPath), make([]byte, 8)...) }},
	{"GOAWAY on a stream", "6.8", one(connProtocol), func(c *h2client) { c.raw(http2.FrameGoAway, 0, c.begin(putPath), make([]byte, 8)...) }},
	{"GOAWAY of 7 bytes", "4.2", one(connFrameSize), func(c *h2client) { c.raw(http2.FrameGoAway, 0, 0, make([]byte, 7)...) }},
	{"WINDOW_UPDATE of 0", "6.9", one(connProtocol), func(c *h2client) { c.raw(http2.FrameWindowUpdate, 0, 0, 0, 0, 0, 0) }},
	{"WINDOW_UPDATE of 0 on a stream", "6.9", one(streamProtocol), func(c *h2client) { c.raw(http2.FrameWindowUpdate, 0, c.begin(putPath), 0, 0, 0, 0) }},
	{"WINDOW_UPDATE of 3 bytes", "6.9", one(connFrameSize), func(c *h2client) { c.raw(http2.FrameWindowUpdate, 0, 0, 0, 0, 1) }},
	{"WINDOW_UPDATE of 5 bytes on a stream", "6.9", one(connFrameSize), func(c *h2client) { c.raw(http2.FrameWindowUpdate, 0, c.begin(putPath), 0, 0, 1, 0, 0) }},
	{"WINDOW_UPDATE on an idle stream", "5.1", one(connProtocol), func(c *h2client) { c.raw(http2.FrameWindowUpdate, 0, 9, 0, 0, 0, 1) }},
	{"window of the connection over the largest", "6.9.1", one(connFlow), func(c *h2client) { c.grow(0, math.MaxInt32-initialWindow+1) }},
	{"window of a stream over the largest", "6.9.1", one(streamFlow), func(c *h2client) { c.grow(c.begin(putPath), math.MaxInt32-initialWindow+1) }},
	{"window of a stream over the largest, in two steps", "6.9.1", one(streamFlow), func(c *h2client) {
		id := c.begin(putPath)
		c.grow(id, math.MaxInt32)
		c.grow(id, math.MaxInt32)
	}},
}

// illegalOrder is about frames that are legal elsewhere.
var illegalOrder = []illegalRow{
	{"even stream", "5.1.1", one(connProtocol), func(c *h2client) { c.headers(2, true, fields(putPath)...) }},
	{"stream below another", "5.1.1", one(connProtocol, connClosed), func(c *h2client) {
		c.next = 5
		c.begin(putPath)
		c.headers(3, true, fields(putPath)...)
	}},
	{"stream used again", "5.1.1", one(connProtocol, connClosed, streamClosed), func(c *h2client) {
		id := c.ask(putPath, &pb.PutRequest{Key: []byte("a")})
		c.must(id, &pb.PutResponse{})
		delete(c.answers, id)
		c.headers(id, true, fields(putPath)...)
	}},
	{"HEADERS after END_STREAM", "5.1", one(connClosed, streamClosed), func(c *h2client) {
		id := c.halfClosed()
		c.headers(id, true, fields(putPath)...)
	}},
	{"DATA after END_STREAM", "5.1", one(connClosed, streamClosed), func(c *h2client) { c.data(c.halfClosed(), true, []byte{0}) }},
	{"empty DATA after END_STREAM", "5.1", one(connClosed, streamClosed), func(c *h2client) { c.data(c.halfClosed(), false, nil) }},
	// The server forgets a stream that is over, and cannot tell who has ended it: frames may have been on the way.
	{"DATA after the answer", "5.1", one(connClosed, streamClosed, ignored), func(c *h2client) {
		id := c.ask(putPath, &pb.PutRequest{Key: []byte("a")})
		c.must(id, &pb.PutResponse{})
		delete(c.answers, id)
		c.data(id, false, []byte{0})
	}},
	{"DATA after RST_STREAM", "5.1", one(connClosed, streamClosed, ignored), func(c *h2client) {
		id := c.begin(putPath)
		_ = c.write.WriteRSTStream(id, http2.ErrCodeCancel)
		c.data(id, false, []byte{0})
	}},
	{"HEADERS in the middle of a request, without END_STREAM", "8.1", one(streamProtocol, "400", connProtocol), func(c *h2client) {
		id := c.begin(putPath)
		c.data(id, false, onePut[:3]) // of a whole message the answer may come first
		c.headers(id, false, field{"x", "y"})
	}},
	{"trailers of a client (legal)", "8.1", one("OK"), func(c *h2client) {
		id := c.begin(putPath)
		c.data(id, false, onePut)
		c.headers(id, true, field{"x", "y"})
	}},
	{"trailers with a pseudo header", "8.1", one(streamProtocol, "400"), func(c *h2client) {
		id := c.begin(putPath)
		c.data(id, false, onePut[:3]) // of a whole message the answer may come first
		c.headers(id, true, field{":path", "/"})
	}},
	{"trailers with an upper-case name", "8.2.1", one(streamProtocol, "400"), func(c *h2client) {
		id := c.begin(putPath)
		c.data(id, false, onePut[:3])
		c.headers(id, true, field{"X", "y"})
	}},
	{"trailers with a field of HTTP/1.1", "8.2.2", one(streamProtocol, "400"), func(c *h2client) {
		id := c.begin(putPath)
		c.data(id, false, onePut[:3])
		c.headers(id, true, field{"transfer-encoding", "chunked"})
	}},
	{"CONTINUATION without HEADERS", "6.10", one(connProtocol), func(c *h2client) { c.raw(http2.FrameContinuation, http2.FlagContinuationEndHeaders, 1) }},
	{"CONTINUATION after END_HEADERS", "6.10", one(connProtocol), func(c *h2client) {
		c.raw(http2.FrameContinuation, http2.FlagContinuationEndHeaders, c.begin(putPath))
	}},
	{"CONTINUATION after DATA", "6.10", one(connProtocol), func(c *h2client) {
		id := c.begin(putPath)
		c.data(id, false, nil)
		c.raw(http2.FrameContinuation, http2.FlagContinuationEndHeaders, id)
	}},
	{"CONTINUATION on stream 0", "6.10", one(connProtocol), func(c *h2client) { c.withinBlock(http2.FrameContinuation, http2.FlagContinuationEndHeaders, 0) }},
	{"CONTINUATION of another stream", "6.10", one(connProtocol), func(c *h2client) { c.withinBlock(http2.FrameContinuation, http2.FlagContinuationEndHeaders, 3) }},
	{"DATA within a header block", "6.10", one(connProtocol), func(c *h2client) { c.withinBlock(http2.FrameData, 0, 1) }},
	{"HEADERS within a header block", "6.10", one(connProtocol), func(c *h2client) {
		c.withinBlock(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 3, c.encoded(fields(putPath)...)...)
	}},
	{"PING within a header block", "6.10", one(connProtocol), func(c *h2client) { c.withinBlock(http2.FramePing, 0, 0, make([]byte, 8)...) }},
	{"SETTINGS within a header block", "6.10", one(connProtocol), func(c *h2client) { c.withinBlock(http2.FrameSettings, 0, 0) }},
	{"WINDOW_UPDATE within a header block", "6.10", one(connProtocol), func(c *h2client) { c.withinBlock(http2.FrameWindowUpdate, 0, 0, 0, 0, 0, 1) }},
	{"RST_STREAM within a header block", "6.10", one(connProtocol), func(c *h2client) { c.withinBlock(http2.FrameRSTStream, 0, 1, 0, 0, 0, 8) }},
	{"unknown frame within a header block", "5.5", one(connProtocol), func(c *h2client) { c.withinBlock(0x42, 0, 1) }},
}

// halfClosed is a watch whose client has ended its side; the server's side goes on.
func (c *h2client) halfClosed() uint32 {
	id := c.begin(watchPath)
	c.data(id, false, message(watchOf("half")))
	c.message(id, 0, &pb.WatchResponse{})
	c.data(id, true, nil)
	return id
}

// withinBlock writes a frame in the middle of a header block.
func (c *h2client) withinBlock(kind http2.FrameType, flags http2.Flags, id uint32, payload ...byte) {
	c.raw(http2.FrameHeaders, 0, c.stream(), c.encoded(fields(putPath)...)...)
	c.raw(kind, flags, id, payload...)
}

// hpackRow is a header block that cannot be decoded.
func hpackRow(name, section string, block ...byte) illegalRow {
	return illegalRow{name, section, one(connHPACK), func(c *h2client) {
		c.wholeBlock(c.stream(), append(literals(hpackPlain, false, fields(putPath)...), block...))
	}}
}

// illegalBlocks are about HPACK.
var illegalBlocks = []illegalRow{
	hpackRow("index 0", "RFC 7541: 6.1", hpackIndexed),
	hpackRow("index beyond both tables", "RFC 7541: 2.3.3", hpackIndexed|62),
	hpackRow("name index beyond both tables", "RFC 7541: 2.3.3", hpackIncremental|62, 1, 'x'),
	{"table size update within a block", "RFC 7541: 4.2", one(connHPACK), func(c *h2client) {
		c.wholeBlock(c.stream(), append(literals(hpackIncremental, false, fields(putPath)...), hpackSizeUpdate))
	}},
	{"table size update within a block, while the table is empty", "RFC 7541: 4.2", one(connHPACK, ignored), func(c *h2client) { // package hpack takes it
		c.wholeBlock(c.stream(), hpackInt(literals(hpackPlain, false, fields(putPath)...), hpackSizeUpdate, 5, 4096))
	}},
	hpackRow("integer that never ends", "RFC 7541: 5.1", hpackIndexed|127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
	hpackRow("integer that is cut", "RFC 7541: 5.1", hpackIndexed|127, 0xff),
	hpackRow("name that is cut", "RFC 7541: 5.2", hpackPlain, 5, 'x'),
	hpackRow("value that is missing", "RFC 7541: 5.2", hpackPlain, 1, 'x'),
	hpackRow("Huffman's end of string", "RFC 7541: 5.2", hpackPlain, 1, 'x', 0x80|4, 0xff, 0xff, 0xff, 0xff),
	hpackRow("Huffman's padding of 8 bits", "RFC 7541: 5.2", hpackPlain, 1, 'x', 0x80|2, 0x1f, 0xff),
	hpackRow("Huffman's padding of zeros", "RFC 7541: 5.2", hpackPlain, 1, 'x', 0x80|1, 0x00),
	{"table size update over the limit", "RFC 7541: 6.3", one(connHPACK), func(c *h2client) {
		c.wholeBlock(c.stream(), append(hpackInt(nil, hpackSizeUpdate, 5, 4097), literals(hpackPlain, false, fields(putPath)...)...))
	}},
	{"two table size updates that leave an entry (legal)", "RFC 7541: 4.2", one(ignored), func(c *h2client) {
		c.wholeBlock(c.stream(), literals(hpackIncremental, false, fields(putPath)...)) // its last field has 42 bytes
		c.wholeBlock(c.stream(), append(hpackInt(hpackInt(nil, hpackSizeUpdate, 5, 42), hpackSizeUpdate, 5, 4096), literals(hpackPlain, false, fields(putPath)...)...))
	}},
	{"garbage", "RFC 7541: 6.1", one(connHPACK), func(c *h2client) { c.wholeBlock(c.stream(), bytes.Repeat([]byte{0xff}, 100)) }},
	{"string over the limit of headers", "10.5.1", one("431", streamRefused, streamProtocol, "reset ENHANCE_YOUR_CALM", connHPACK, connCalm), func(c *h2client) {
		block := literals(hpackPlain, false, fields(putPath, field{"x", strings.Repeat("x", limits.EtcdHeaderBytes+1)})...)
		c.fragments(c.stream(), block, 1000, 10_000)
	}},
	{"headers over the limit", "10.5.1", one("431", streamRefused, streamProtocol, "reset ENHANCE_YOUR_CALM"), func(c *h2client) {
		all := fields(putPath)
		for range limits.EtcdHeaderBytes / 32 {
			all = append(all, field{"x", "y"})
		}
		c.headers(c.stream(), true, all...)
	}},
	{"headers far over the limit", "10.5.1", one("431", streamRefused, streamProtocol, connCalm, connProtocol), func(c *h2client) {
		c.fragments(c.stream(), literals(hpackPlain, false, slices.Repeat([]field{{"x", "y"}}, 100_000)...), 10_000, 10_000)
	}},
	{"CONTINUATION without an end", "10.5.1", one("431", streamRefused, streamProtocol, connCalm, connProtocol), func(c *h2client) {
		c.raw(http2.FrameHeaders, 0, c.stream(), c.encoded(fields(putPath)...)...)
		for range 100 {
			c.raw(http2.FrameContinuation, 0, 1, literals(hpackPlain, false, slices.Repeat([]field{{"x", strings.Repeat("y", 100)}}, 100)...)...)
		}
	}},
}

// malformed is a request that is malformed by RFC 9113, section 8: a stream error, or an answer with the status 400.
func malformed(name, section string, all []field, data ...byte) illegalRow {
	return illegalRow{name, section, one(streamProtocol, "400"), func(c *h2client) {
		id := c.stream()
		c.headers(id, false, all...)
		if data == nil {
			data = onePut
		}
		c.data(id, true, data)
	}}
}

// without are the headers of a put without one of them.
func without(i int) []field { return slices.Delete(fields(putPath), i, i+1) }

func lengthOf(n int) field { return field{"content-length", fmt.Sprint(n)} }

// illegalRequests are about the fields of headers.
var illegalRequests = []illegalRow{
	malformed("name in capitals", "8.2.1", fields(putPath, field{"X", "y"})),
	malformed("name with a space", "8.2.1", fields(putPath, field{"x y", "y"})),
	malformed("name with a control character", "8.2.1", fields(putPath, field{"x\x01", "y"})),
	malformed("name beyond ASCII", "8.2.1", fields(putPath, field{"ü", "y"})),
	malformed("name with a colon", "8.2.1", fields(putPath, field{"x:y", "y"})),
	malformed("empty name", "8.2.1", fields(putPath, field{"", "y"})),
	malformed("value with a zero byte", "8.2.1", fields(putPath, field{"x", "a\x00b"})),
	malformed("value with a new line", "8.2.1", fields(putPath, field{"x", "a\nb"})),
	malformed("value with a carriage return", "8.2.1", fields(putPath, field{"x", "a\rb"})),
	malformed("pseudo header after another", "8.3", append([]field{{"x", "y"}}, fields(putPath)...)),
	malformed("unknown pseudo header", "8.3", append([]field{{":other", "y"}}, fields(putPath)...)),
	malformed("pseudo header of an answer", "8.3", append([]field{{":status", "200"}}, fields(putPath)...)),
	malformed("two methods", "8.3", append([]field{{":method", "POST"}}, fields(putPath)...)),
	malformed("two paths", "8.3", append([]field{{":path", putPath}}, fields(putPath)...)),
	malformed("two schemes", "8.3", append([]field{{":scheme", "http"}}, fields(putPath)...)),
	malformed("two authorities", "8.3", append([]field{{":authority", "x"}}, fields(putPath)...)),
	malformed("no method", "8.3.1", without(0)),
	malformed("no scheme", "8.3.1", without(1)),
	malformed("no path", "8.3.1", without(2)),
	malformed("empty path", "8.3.1", replaced(2, "")),
	malformed("no headers", "8.3.1", nil),
	malformed("connection", "8.2.2", fields(putPath, field{"connection", "close"})),
	malformed("keep-alive", "8.2.2", fields(putPath, field{"keep-alive", "1"})),
	malformed("proxy-connection", "8.2.2", fields(putPath, field{"proxy-connection", "close"})),
	malformed("transfer-encoding", "8.2.2", fields(putPath, field{"transfer-encoding", "chunked"})),
	malformed("upgrade", "8.2.2", fields(putPath, field{"upgrade", "h2c"})),
	malformed("te of another kind", "8.2.2", replaced(5, "gzip")),
	malformed("content-length over the data", "8.1.1", fields(putPath, lengthOf(len(onePut)+1))),
	malformed("content-length below the data", "8.1.1", fields(putPath, lengthOf(len(onePut)-1))),
	malformed("content-length of no number", "8.1.1", fields(putPath, field{"content-length", "x"})),
	malformed("two content-lengths", "8.1.1", fields(putPath, lengthOf(len(onePut)), lengthOf(1))),
}

// outcome waits until the server has decided about all that was sent, and tells what it did about the connection or stream 1.
func (c *h2client) outcome() string {
	c.Helper()
	if !c.barrier() || len(c.goaways) > 0 {
		if !c.ended && !c.closed() {
			c.Error("the connection stays open after GOAWAY")
		}
		if len(c.goaways) > 0 {
			return "goaway " + c.goaways[0].code.String()
		}
		return justClosed
	}
	ids := slices.Sorted(func(yield func(uint32) bool) {
		for id := range c.answers {
			if !yield(id) {
				return
			}
		}
	})
	for _, id := range ids {
		if got := c.words(id); got != "open" {
			return got
		}
	}
	return ignored
}

// judge compares an outcome.
func (row *illegalRow) judge(t *testing.T, got string) {
	t.Helper()
	if !slices.ContainsFunc(row.rfc, func(want string) bool { return got == want || len(want) == 3 && strings.HasPrefix(got, want+" ") }) {
		t.Errorf("%s (%s): %q, want %q", row.name, row.section, got, row.rfc)
	}
}

// TestH2Illegal sends what RFC 9113 forbids. A connection that goes on after it serves another request.
func TestH2Illegal(t *testing.T) {
	t.Parallel()
	s := start(t, newMember(), nil)
	for _, table := range [][]illegalRow{illegalFrames, illegalOrder, illegalBlocks, illegalRequests} {
		for _, row := range table {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel() // after GOAWAY the library closes some connections a second later
				c := openH2(t, s)
				row.send(c)
				if id := uint32(1); row.rfc[len(row.rfc)-1] == "400" || row.rfc[0] == "OK" { // it is a whole request
					c.until(func() bool { return c.of(id).ended || c.of(id).reset != nil || len(c.goaways) > 0 })
				}
				got := c.outcome()
				row.judge(t, got)
				if !c.ended {
					c.next = max(c.next, 11)
					c.goesOn()
				}
			})
		}
	}
	t.Cleanup(func() {
		if !t.Failed() {
			openH2(t, s).alive()
		}
	})
}

// goesOn wants an answer to one more request, whatever the client did to the windows.
func (c *h2client) goesOn() {
	c.Helper()
	c.set(initialWindowOf(initialWindow))
	c.alive()
}

// TestH2IllegalBeginnings are connections that do not begin as they have to.
func TestH2IllegalBeginnings(t *testing.T) {
	t.Parallel()
	s := start(t, newMember(), nil)
	ping := func(c *h2client) { _ = c.write.WritePing(false, [8]byte{}) }
	for _, row := range []struct {
		illegalRow
		preface string
	}{
		{illegalRow{"another preface", "3.4", one(connProtocol, justClosed), func(*h2client) {}}, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"},
		{illegalRow{"HTTP/1.1 that looks like the preface", "3.4", one(connProtocol, justClosed), func(*h2client) {}}, "PRI * HTTP/1.1\r\nHost: x\r\n\r\n"},
		{illegalRow{"PING first", "3.4", one(connProtocol), ping}, http2.ClientPreface},
		{illegalRow{"HEADERS first", "3.4", one(connProtocol), func(c *h2client) { c.begin(putPath) }}, http2.ClientPreface},
		{illegalRow{"unknown frame first", "3.4", one(connProtocol), func(c *h2client) { c.raw(0x42, 0, 0) }}, http2.ClientPreface},
		{illegalRow{"illegal settings first", "3.4", one(connFrameSize), func(c *h2client) { c.raw(http2.FrameSettings, 0, 0, 1) }}, http2.ClientPreface},
		{illegalRow{"acknowledgment first", "3.4", one(connProtocol), func(c *h2client) { _ = c.write.WriteSettingsAck() }}, http2.ClientPreface},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := bareH2(t, raw(t, s, ""))
			c.out.WriteString(row.preface)
			row.send(c)
			row.judge(t, c.outcome())
		})
	}
}

// TestH2BeyondWindow sends more data than the stream's window, while its handler takes none.
func TestH2BeyondWindow(t *testing.T) {
	t.Parallel()
	m := newMember()
	s := start(t, m, nil)
	c := openH2(t, s)
	c.until(func() bool { return c.settingsIn > 0 })
	release := waiting(m)
	defer release()
	id := c.begin(putPath)
	c.data(id, false, onePut)
	c.flush()
	eventually(t, func() bool { return m.Proposals.Load() > 0 })
	for n := 0; n <= int(c.settings[http2.SettingInitialWindowSize]); n += 10_000 {
		c.data(id, false, make([]byte, 10_000))
	}
	c.is("a stream over its window", c.result(id), streamFlow)
}

// TestH2MostStreams opens more streams than SETTINGS_MAX_CONCURRENT_STREAMS allows: those beyond are refused, until others end.
func TestH2MostStreams(t *testing.T) {
	t.Parallel()
	const most = 4
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.Streams = most })
	c := openH2(t, s)
	for round := range 3 {
		var all []uint32
		for range most {
			all = append(all, c.begin(putPath))
		}
		for range 3 {
			c.is("one stream more", c.result(c.ask(putPath, &pb.PutRequest{Key: []byte("a")})), streamRefused, streamProtocol)
		}
		for i, id := range all {
			if i%2 == round%2 {
				_ = c.write.WriteRSTStream(id, http2.ErrCodeCancel)
				continue
			}
			c.data(id, true, onePut)
			c.must(id, &pb.PutResponse{})
		}
	}
	if c.settings[http2.SettingMaxConcurrentStreams] != most {
		t.Errorf("%v", c.settings)
	}
	c.alive()
}

// TestH2TooManyPings: a client that pings without requests is sent away in etcd's words.
func TestH2TooManyPings(t *testing.T) {
	t.Parallel()
	c := openH2(t, start(t, newMember(), nil))
	for range 10 {
		_ = c.write.WritePing(false, [8]byte{})
	}
	if !c.closed() {
		t.Error("the connection goes on")
	}
	if len(c.goaways) != 1 || c.goaways[0].code != http2.ErrCodeEnhanceYourCalm || c.goaways[0].text != "too_many_pings" {
		t.Errorf("%v", c.goaways)
	}
}
