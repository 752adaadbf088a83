package etcd_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/etcd"
)

// h2row is a client's legal behavior, on a connection of its own.
type h2row struct {
	name string
	run  func(c *h2client)
}

// runRows runs rows at one server, and checks that each connection is alive after its row.
func runRows(t *testing.T, s *etcd.Server, rows []h2row) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := openH2(t, s)
			row.run(c)
			c.alive()
		})
	}
}

// alive wants an answer to one more request, with headers from the dynamic table.
func (c *h2client) alive() {
	c.Helper()
	c.pieces = 0
	c.mustPut("alive", "yes")
	if len(c.goaways) > 0 || c.ended {
		c.Errorf("the connection ends: %v", c.goaways)
	}
}

func (c *h2client) mustPut(key, value string) {
	c.Helper()
	c.must(c.ask(putPath, &pb.PutRequest{Key: []byte(key), Value: []byte(value)}), &pb.PutResponse{})
}

// mustGet returns the value of a key, or "" if there is none.
func (c *h2client) mustGet(key string) string {
	c.Helper()
	var r pb.RangeResponse
	c.must(c.ask(rangePath, &pb.RangeRequest{Key: []byte(key)}), &r)
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
}

// is fails the test unless got is one of the wanted.
func (c *h2client) is(what, got string, want ...string) {
	c.Helper()
	if !slices.Contains(want, got) {
		c.Errorf("%s: %q, want %q", what, got, want)
	}
}

func watchOf(key string) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte(key)}}}
}

// fragments writes a header block as HEADERS with the first bytes, and CONTINUATION frames with the others, of so many bytes each.
func (c *h2client) fragments(id uint32, block []byte, first, each int) {
	c.raw(http2.FrameHeaders, 0, id, block[:first]...)
	for rest := block[first:]; ; {
		n := min(each, len(rest))
		if n == len(rest) {
			c.raw(http2.FrameContinuation, http2.FlagContinuationEndHeaders, id, rest...)
			return
		}
		c.raw(http2.FrameContinuation, 0, id, rest[:n]...)
		rest = rest[n:]
	}
}

// headerRows write the header block of a request in all legal forms.
var headerRows = []struct {
	name  string
	write func(c *h2client, id uint32, all []field)
}{
	{"literals", func(c *h2client, id uint32, all []field) { c.wholeBlock(id, literals(hpackPlain, false, all...)) }},
	{"literals by Huffman", func(c *h2client, id uint32, all []field) { c.wholeBlock(id, literals(hpackPlain, true, all...)) }},
	{"never indexed", func(c *h2client, id uint32, all []field) {
		c.wholeBlock(id, literals(hpackNeverIndexed, false, all...))
	}},
	{"never indexed, by Huffman", func(c *h2client, id uint32, all []field) {
		c.wholeBlock(id, literals(hpackNeverIndexed, true, all...))
	}},
	{"static table", func(c *h2client, id uint32, all []field) {
		block := []byte{hpackIndexed | 3, hpackIndexed | 6}                                              // :method POST, :scheme http
		block = hpackString(append(block, hpackPlain|4), all[2][1], false)                               // name :path
		block = hpackString(append(block, hpackNeverIndexed|1), all[3][1], true)                         // name :authority
		block = hpackString(hpackInt(block, hpackPlain, 4, 31), all[4][1], false)                        // name content-type, an index of two bytes
		c.wholeBlock(id, append(block, literals(hpackPlain, false, field{"te", "trailers"}, all[6])...)) // and the metadata
	}},
	{"empty CONTINUATION", func(c *h2client, id uint32, all []field) {
		block := c.encoded(all...)
		c.raw(http2.FrameHeaders, 0, id, block...)
		c.raw(http2.FrameContinuation, 0, id)
		c.raw(http2.FrameContinuation, http2.FlagContinuationEndHeaders, id)
	}},
	{"padding of no bytes", func(c *h2client, id uint32, all []field) {
		c.raw(http2.FrameHeaders, http2.FlagHeadersPadded|http2.FlagHeadersEndHeaders, id, append([]byte{0}, c.encoded(all...)...)...)
	}},
	{"nothing but padding, then CONTINUATION", func(c *h2client, id uint32, all []field) {
		c.raw(http2.FrameHeaders, http2.FlagHeadersPadded, id, 3, 0, 0, 0)
		c.raw(http2.FrameContinuation, http2.FlagContinuationEndHeaders, id, c.encoded(all...)...)
	}},
	{"reserved bit and unknown flags", func(c *h2client, id uint32, all []field) {
		c.raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders|0x10|0x40|0x80, id|1<<31, c.encoded(all...)...)
	}},
	{"pseudo headers in another order", func(c *h2client, id uint32, all []field) {
		c.wholeBlock(id, c.encoded(all[3], all[2], all[1], all[0], all[5], all[4], all[6]))
	}},
	{"a cookie in pieces, empty values", func(c *h2client, id uint32, all []field) {
		c.wholeBlock(id, c.encoded(append(slices.Clone(all), field{"cookie", "a=1"}, field{"cookie", "b=2"}, field{"empty", ""})...))
	}},
}

// wholeBlock writes a whole block as one frame.
func (c *h2client) wholeBlock(id uint32, block []byte) {
	c.raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, id, block...)
}

// TestH2HeaderBlocks sends the headers of a put in each legal form, in one write and in writes of a byte.
func TestH2HeaderBlocks(t *testing.T) {
	t.Parallel()
	m := newMember()
	s := start(t, m, nil)
	for _, row := range headerRows {
		for _, pieces := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s/%d", row.name, pieces), func(t *testing.T) {
				c := openH2(t, s)
				c.pieces = pieces
				id := c.stream()
				row.write(c, id, fields(putPath, field{"x", "y"}))
				c.data(id, true, message(&pb.PutRequest{Key: []byte(row.name), Value: []byte("v")}))
				c.must(id, &pb.PutResponse{})
				c.is("what was put", c.mustGet(row.name), "v")
				c.alive()
			})
		}
	}
}

// putOf is a put as gRPC sends it.
func putOf(key string) []byte { return message(&pb.PutRequest{Key: []byte(key), Value: []byte("v")}) }

// eachByte sends a put byte by byte, and wants its answer.
func (c *h2client) eachByte(id uint32, all []byte, write func(b []byte)) {
	c.Helper()
	for i := range all {
		write(all[i : i+1])
	}
	c.data(id, true, nil)
	c.must(id, &pb.PutResponse{})
}

// dataRows cut messages into frames.
var dataRows = []h2row{
	{"empty frames between", func(c *h2client) {
		id := c.begin(putPath)
		c.eachByte(id, putOf("a"), func(b []byte) {
			c.data(id, false, nil)
			c.data(id, false, b)
			_ = c.write.WriteDataPadded(id, false, nil, make([]byte, 3))
		})
	}},
	{"padding alone ends the stream", func(c *h2client) {
		id := c.begin(putPath)
		c.data(id, false, putOf("a"))
		_ = c.write.WriteDataPadded(id, true, nil, make([]byte, 255))
		c.must(id, &pb.PutResponse{})
	}},
	{"padding of no bytes", func(c *h2client) {
		id := c.begin(putPath)
		c.raw(http2.FrameData, http2.FlagDataPadded|http2.FlagDataEndStream, id, append([]byte{0}, putOf("a")...)...)
		c.must(id, &pb.PutResponse{})
	}},
	{"unknown flags", func(c *h2client) {
		id := c.begin(putPath)
		c.raw(http2.FrameData, http2.FlagDataEndStream|0x20|0x40|0x80, id, putOf("a")...)
		c.must(id, &pb.PutResponse{})
	}},
	{"empty frame that ends a watch's requests", func(c *h2client) {
		id := c.begin(watchPath)
		c.data(id, false, message(watchOf("w")))
		var r pb.WatchResponse
		if c.message(id, 0, &r); !r.Created {
			c.Fatalf("%v", &r)
		}
		for i := range 3 {
			c.mustPut("w", fmt.Sprint(i))
			if c.message(id, 1+i, &r); string(r.Events[0].Kv.Value) != fmt.Sprint(i) {
				c.Errorf("event %d: %v", i, &r)
			}
		}
		c.data(id, true, nil) // a watch outlives that, as in etcd
		c.mustPut("w", "last")
		if c.message(id, 4, &r); string(r.Events[0].Kv.Value) != "last" {
			c.Errorf("%v", &r)
		}
		_ = c.write.WriteRSTStream(id, http2.ErrCodeCancel)
	}},
	{"messages of a stream in one frame", func(c *h2client) {
		id := c.begin(watchPath)
		c.data(id, false, append(message(watchOf("a")), message(watchOf("b"))...))
		c.message(id, 0, &pb.WatchResponse{})
		c.message(id, 1, &pb.WatchResponse{})
	}},
	{"messages of a stream byte by byte", func(c *h2client) {
		id := c.begin(watchPath)
		for _, b := range append(message(watchOf("a")), message(watchOf("b"))...) {
			c.data(id, false, []byte{b})
		}
		c.message(id, 1, &pb.WatchResponse{})
	}},
}

// TestH2Data cuts messages into frames and writes in all ways.
func TestH2Data(t *testing.T) {
	t.Parallel()
	s := start(t, newMember(), nil)
	for _, pieces := range []int{0, 1, 7} {
		t.Run(fmt.Sprint(pieces), func(t *testing.T) {
			for _, row := range dataRows {
				t.Run(row.name, func(t *testing.T) {
					c := openH2(t, s)
					c.pieces = pieces
					row.run(c)
					c.alive()
				})
			}
		})
	}
}

// upload sends a whole request as the windows allow.
func (c *h2client) upload(id uint32, data []byte, each int) {
	c.Helper()
	for len(data) > 0 {
		c.until(func() bool { return c.window > 0 && c.windows[id] > 0 || c.of(id).ended || c.of(id).reset != nil })
		n := int(min(int64(len(data)), int64(each), c.window, c.windows[id]))
		if n <= 0 {
			return
		}
		c.data(id, n == len(data), data[:n])
		data = data[n:]
	}
}

// ignoredRows have no effect.
var ignoredRows = []h2row{
	{"unknown frames", func(c *h2client) {
		id := c.begin(putPath)
		for _, stream := range []uint32{0, id, id + 2, id + 3, 1<<31 - 1} {
			c.raw(0x42, 0xff, stream, 1, 2, 3)
			c.raw(0xff, 0, stream)
		}
		c.raw(0xa, 0, id, 0, 0, 'x') // ALTSVC
		c.raw(0xc, 0, 0, 0, 0)       // ORIGIN
		c.data(id, true, message(&pb.PutRequest{Key: []byte("a")}))
		c.must(id, &pb.PutResponse{})
	}},
	{"unknown settings", func(c *h2client) {
		c.set(http2.Setting{ID: 0xfff0, Val: math.MaxUint32}, http2.Setting{ID: 0, Val: 1})
		c.until(func() bool { return c.acks == 2 })
	}},
	{"empty settings", func(c *h2client) {
		for range 10 {
			c.set()
		}
		c.until(func() bool { return c.acks == 11 })
	}},
	{"settings with unknown flags", func(c *h2client) {
		c.raw(http2.FrameSettings, 0xf0, 0)
		c.pendingFrames = append(c.pendingFrames, 0)
		c.until(func() bool { return c.acks == 2 })
	}},
	{"ping", func(c *h2client) {
		c.alive()
		_ = c.write.WritePing(false, [8]byte{1, 2, 3, 4, 5, 6, 7, 8})
		c.until(func() bool { return len(c.pongs) == 1 })
		if c.pongs[0] != [8]byte{1, 2, 3, 4, 5, 6, 7, 8} {
			c.Errorf("%v", c.pongs)
		}
	}},
	{"an answer to no ping", func(c *h2client) { _ = c.write.WritePing(true, [8]byte{1}) }},
	{"priority of any stream", func(c *h2client) {
		for _, id := range []uint32{1, 2, 99, 1<<31 - 1} {
			_ = c.write.WritePriority(id, http2.PriorityParam{StreamDep: 3, Weight: 1})
		}
	}},
	{"GOAWAY of the client", func(c *h2client) {
		id := c.begin(putPath)
		_ = c.write.WriteGoAway(0, http2.ErrCodeNo, []byte("bye"))
		c.data(id, true, message(&pb.PutRequest{Key: []byte("a")}))
		c.must(id, &pb.PutResponse{})
	}},
	{"frames of streams that are over", func(c *h2client) {
		id := c.ask(putPath, &pb.PutRequest{Key: []byte("a")})
		c.must(id, &pb.PutResponse{})
		_ = c.write.WriteWindowUpdate(id, 100)
		_ = c.write.WriteRSTStream(id, http2.ErrCodeCancel)
		_ = c.write.WritePriority(id, http2.PriorityParam{})
	}},
	{"window of the connection at its largest", func(c *h2client) {
		c.grow(0, math.MaxInt32-initialWindow)
		c.manual = true
		id := c.stream()
		c.headers(id, false, fields(putPath)...)
		c.grow(id, math.MaxInt32-initialWindow)
		c.data(id, true, message(&pb.PutRequest{Key: []byte("a")}))
		c.must(id, &pb.PutResponse{})
	}},
	{"ids with gaps", func(c *h2client) {
		c.next = 101
		c.alive()
		c.next = 1<<31 - 3
	}},
}

// TestH2Ignored sends what a server has to take without an effect.
func TestH2Ignored(t *testing.T) {
	t.Parallel()
	runRows(t, start(t, newMember(), nil), ignoredRows)
}

// TestH2FirstWrite sends the preface, settings and requests in one write, in writes of a byte, and without waiting for settings.
func TestH2FirstWrite(t *testing.T) {
	t.Parallel()
	s := start(t, newMember(), nil)
	for _, pieces := range []int{0, 1, 3} {
		c := bareH2(t, raw(t, s, ""))
		c.pieces = pieces
		c.out.WriteString(http2.ClientPreface)
		c.set(http2.Setting{ID: http2.SettingEnablePush, Val: 0}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
		id, other := c.ask(putPath, &pb.PutRequest{Key: []byte("a")}), c.ask(rangePath, &pb.RangeRequest{Key: []byte("b")})
		c.must(id, &pb.PutResponse{})
		c.must(other, &pb.RangeResponse{})
		if c.settingsIn == 0 || c.acks != 1 || c.settings[http2.SettingMaxConcurrentStreams] != limits.EtcdStreams || c.settings[http2.SettingMaxHeaderListSize] != limits.EtcdHeaderBytes {
			c.Errorf("%d settings came, %d acknowledgments, %v", c.settingsIn, c.acks, c.settings)
		}
	}
}

// TestH2Deadlines uses each unit of a timeout.
func TestH2Deadlines(t *testing.T) {
	t.Parallel()
	m := newMember()
	release := make(chan struct{})
	m.SetBefore(func(writes, _ int) *kv.Error {
		if writes > 0 {
			<-release
		}
		return nil
	})
	s := start(t, m, nil)
	t.Cleanup(func() { close(release) })
	exceeded := []string{"4 context deadline exceeded", "reset CANCEL"} // both, as the timer or the handler comes first
	waits, get := &pb.PutRequest{Key: []byte("a")}, &pb.RangeRequest{Key: []byte("a")}
	c := openH2(t, s)
	for _, timeout := range []string{"1n", "99n", "1u", "0S", "20m", "20000u", "20000000n", "00000020m"} {
		c.is(timeout, c.result(c.ask(putPath, waits, field{"grpc-timeout", timeout})), exceeded...)
	}
	id := c.begin(watchPath, field{"grpc-timeout", "30m"})
	c.data(id, false, message(watchOf("a")))
	c.is("watch", c.result(id), exceeded...)
	for _, timeout := range []string{"60S", "99999999u", "99999m", "1M", "1H", "99999999H", "99999999M", "00000001H"} {
		c.is(timeout, c.result(c.ask(rangePath, get, field{"grpc-timeout", timeout})), "OK")
	}
	for timeout, why := range map[string]string{
		"": `transport: timeout string is too short: ""`, "1": `transport: timeout string is too short: "1"`, "1x": `transport: timeout unit is not recognized: "1x"`,
		"123456789S": `transport: timeout string is too long: "123456789S"`, "-1S": "", "S": `transport: timeout string is too short: "S"`, "1 S": "", "1s": `transport: timeout unit is not recognized: "1s"`,
	} {
		if got := c.result(c.ask(rangePath, get, field{"grpc-timeout", timeout})); !strings.HasPrefix(got, "400 13 malformed grpc-timeout: "+why) {
			t.Errorf("timeout %q: %s", timeout, got)
		}
	}
	c.is("afterwards", c.result(c.ask(rangePath, get)), "OK")
}

// refusalRows are requests that no handler gets, and their answers.
var refusalRows = []struct {
	name   string
	fields []field
	data   []byte
	want   string
}{
	{"unknown method", fields("/etcdserverpb.KV/None"), nil, "12 unknown method None for service etcdserverpb.KV"},
	{"unknown service", fields("/etcdserverpb.None/Put"), nil, "12 unknown service etcdserverpb.None"},
	{"no service", fields("/Put"), nil, `12 malformed method name: "/Put"`},
	{"no method", fields("/etcdserverpb.KV/"), nil, "12 unknown method  for service etcdserverpb.KV"},
	{"another path", fields("/a/b/c"), nil, "12 unknown service a/b"},
	{"path without a slash", fields("etcdserverpb.KV/Put"), nil, `12 malformed method name: "etcdserverpb.KV/Put"`},
	{"path *", fields("*"), nil, `12 malformed method name: "*"`},
	{"content type +proto", replaced(4, "application/grpc+proto"), onePut, "OK"},
	{"content type ;charset", replaced(4, "application/grpc; charset=utf-8"), onePut, "OK"},
	{"content type +json", replaced(4, "application/grpc+json"), onePut, "OK"},
	{"no te", fields(putPath)[:5], onePut, "OK"},
	{"scheme https", replaced(1, "https"), onePut, "OK"},
	{"no authority", slices.Delete(fields(putPath), 3, 4), onePut, "400 13 no host or :authority header present"},
	{"host for authority", append(slices.Delete(fields(putPath), 3, 4), field{"host", "x"}), onePut, "OK"},
	{"host beside authority", fields(putPath, field{"host", "x"}), onePut, "OK"},
	{"two hosts", fields(putPath, field{"host", "x"}, field{"host", "x"}), onePut, "400 13 num values of :authority: 1, num values of host: 2, both must only have 1 value as per HTTP/2 spec"},
	{"binary metadata", fields(putPath, field{"x-bin", "AAEC"}, field{"y-bin", "AAE="}, field{"z-bin", "AAE"}), onePut, "OK"},
	{"malformed binary metadata", fields(putPath, field{"x-bin", "!"}), onePut, `400 13 malformed binary metadata "!" in header "x-bin": illegal base64 data at input byte 0`},
	{"spaces at the edges", fields(putPath, field{"x", " a\t"}), onePut, "OK"}, // RFC 9113, 8.2.1 forbids them; etcd takes them
	{"reserved metadata", fields(putPath, field{"grpc-other", "x"}, field{"grpc-tags-bin", "AA"}, field{"user-agent", "x"}), onePut, "OK"},
	{"metadata that is no text", fields(putPath, field{"hasleader", "\xff"}, field{"x-other", "\xff\xfe\xfd"}, field{"token", "\xc3\x28"}), onePut, "OK"},
	{"a version of the API", fields(putPath, field{"client-api-version", "3.7"}), onePut, "OK"},
	{"a version that is no text", fields(putPath, field{"client-api-version", "\xff\xfe"}), onePut, "3 etcdserver: invalid client api version"},
	{"identity", fields(putPath, field{"grpc-encoding", "identity"}, field{"grpc-accept-encoding", "identity,gzip"}), onePut, "OK"},
	{"compressed without an encoding", fields(putPath), compressedPut, "13 grpc: compressed flag set with identity or empty encoding"},
	{"compressed by identity", fields(putPath, field{"grpc-encoding", "identity"}), compressedPut, "13 grpc: compressed flag set with identity or empty encoding"},
	{"unknown encoding", fields(putPath, field{"grpc-encoding", "none"}), compressedPut, `12 grpc: Decompressor is not installed for grpc-encoding "none"`},
	{"unknown encoding of a message that is not compressed", fields(putPath, field{"grpc-encoding", "none"}), onePut, `12 grpc: Decompressor is not installed for grpc-encoding "none"`},
	{"unknown encoding of a stream", fields(watchPath, field{"grpc-encoding", "none"}), message(watchOf("a")), `12 grpc: Decompressor is not installed for grpc-encoding "none"`},
	{"unknown flag of a message", fields(putPath), append([]byte{2}, onePut[1:]...), "13 grpc: received unexpected payload format 2"},
	{"no message", fields(putPath), []byte{}, "2 EOF"},
	{"part of a message's head", fields(putPath), onePut[:3], "2 EOF"},
	{"message longer than the data", fields(putPath), onePut[:len(onePut)-1], "2 unexpected EOF"},
	{"two messages", fields(putPath), append(slices.Clone(onePut), onePut...), "OK"},
	{"two messages of a stream of answers", fields("/etcdserverpb.KV/RangeStream"), append(message(&pb.RangeRequest{Key: []byte("a")}), message(&pb.RangeRequest{Key: []byte("a")})...), "13 cardinality violation: received multiple request messages for non-client-streaming RPC"},
	{"no protobuf", fields(putPath), []byte{0, 0, 0, 0, 2, 0xff, 0xff}, "13 grpc: error unmarshalling request: proto: cannot parse invalid wire-format data"},
	{"message over the limit", fields(putPath), binary.BigEndian.AppendUint32([]byte{0}, 64<<20), fmt.Sprintf("8 grpc: received message larger than max (%d vs. %d)", 64<<20, limits.RequestBytesWritten+etcd.EtcdRequestOver)},
	{"message of 4 GiB", fields(putPath), binary.BigEndian.AppendUint32([]byte{0}, math.MaxUint32), fmt.Sprintf("8 grpc: received message larger than max (%d vs. %d)", uint32(math.MaxUint32), limits.RequestBytesWritten+etcd.EtcdRequestOver)},
	{"value over the limit", fields(putPath), message(&pb.PutRequest{Key: []byte("a"), Value: make([]byte, limits.RequestBytesWritten)}), "3 etcdserver: request is too large"},
	{"percent in a message", fields("/a%bü/x"), nil, "12 unknown service a%bü"},
}

var (
	onePut        = message(&pb.PutRequest{Key: []byte("a"), Value: []byte("v")})
	compressedPut = append([]byte{1}, onePut[1:]...)
)

// replaced are the headers of a put with another value of one of them.
func replaced(i int, value string) []field {
	all := fields(putPath)
	all[i][1] = value
	return all
}

// TestH2Refusals: each request is answered in gRPC's words, as trailers alone, and its connection goes on. Without data, the headers end the
// stream; with data, the request is also sent in a form that does not end its stream.
func TestH2Refusals(t *testing.T) {
	t.Parallel()
	s := start(t, newMember(), nil)
	for _, row := range refusalRows {
		t.Run(row.name, func(t *testing.T) {
			c := openH2(t, s)
			id := c.stream()
			c.headers(id, row.data == nil, row.fields...)
			if len(row.data) > 0 {
				c.upload(id, row.data, maxFrame)
			} else if row.data != nil {
				c.data(id, true, nil)
			}
			got := c.result(id)
			if got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
			a := c.of(id)
			if strings.HasPrefix(got, "12 grpc:") && value(a.header, "grpc-accept-encoding") != "identity" {
				t.Errorf("%v", a.header)
			}
			if ok := got == "OK"; a.blocks != map[bool]int{true: 2, false: 1}[ok] || !strings.HasPrefix(value(a.header, "content-type"), "application/grpc") || !ok && len(a.data) > 0 {
				t.Errorf("%d header blocks, first %v, %d bytes", a.blocks, a.header, len(a.data))
			}
			c.alive()
		})
	}
}

// TestH2RefusedOpen refuses requests whose client has not ended its side: the stream is reset without an error, or ended by the client, and
// what the client sends meanwhile does not end the connection.
func TestH2RefusedOpen(t *testing.T) {
	t.Parallel()
	s := start(t, newMember(), nil)
	runRows(t, s, []h2row{
		{"unknown method", func(c *h2client) { c.refusedOpen(fields("/etcdserverpb.KV/None")) }},
		{"page", func(c *h2client) { c.refusedOpen(replaced(4, "text/html")) }},
		{"encoding", func(c *h2client) { c.refusedOpen(fields(putPath, field{"grpc-encoding", "none"})) }},
	})
}

func (c *h2client) refusedOpen(of []field) {
	c.Helper()
	id := c.stream()
	c.headers(id, false, of...)
	a := c.of(id)
	c.until(func() bool { return a.ended || a.reset != nil })
	c.barrier()
	if !a.ended || a.reset == nil || *a.reset != http2.ErrCodeNo {
		c.Errorf("%s, reset: %v", c.words(id), a.reset)
	}
	for range 3 { // on their way when the answer came
		c.data(id, false, make([]byte, 100))
	}
	c.data(id, true, nil)
}

// TestH2Answer: the headers of an answer.
func TestH2Answer(t *testing.T) {
	t.Parallel()
	c := openH2(t, start(t, newMember(), nil))
	id := c.ask(putPath, &pb.PutRequest{Key: []byte("a")})
	c.must(id, &pb.PutResponse{})
	a := c.of(id)
	wantHeader := []hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"}}
	wantTrailer := []hpack.HeaderField{{Name: "grpc-status", Value: "0"}}
	if !slices.Equal(a.header, wantHeader) || !slices.Equal(a.trailer, wantTrailer) {
		t.Errorf("%v, %v", a.header, a.trailer)
	}
	for _, path := range []string{putPath, "/etcdserverpb.Maintenance/Status"} { // of a batched request, and of a handler
		id = c.stream()
		all := fields(path)
		all[4][1] = "application/grpc+proto"
		c.headers(id, false, all...)
		c.data(id, true, onePut)
		c.result(id)
		if got := value(c.of(id).header, "content-type"); got != all[4][1] {
			t.Errorf("the content type is %q", got)
		}
	}
	id = c.ask(putPath, &pb.PutRequest{})
	c.result(id)
	if a = c.of(id); a.blocks != 1 || len(a.header) != 4 || value(a.header, ":status") != "200" || value(a.header, "grpc-status") != "3" {
		t.Errorf("%v", a.header)
	}
}

// TestH2LargeMetadata sends metadata over the limit beside a watch: the request alone is reset, with the code that gRPC's clients know as
// RESOURCE_EXHAUSTED, and later blocks still refer to what the large one has inserted. A block without an end ends the connection.
func TestH2LargeMetadata(t *testing.T) {
	t.Parallel()
	c := openH2(t, start(t, newMember(), nil))
	watch := c.begin(watchPath)
	c.data(watch, false, message(watchOf("a")))
	c.message(watch, 0, &pb.WatchResponse{})
	for _, size := range []int{limits.EtcdHeaderBytes, 20 << 10, 60 << 10} {
		id := c.stream()
		c.fragments(id, c.encoded(fields(putPath, field{"before", fmt.Sprint(size)}, field{"token", strings.Repeat("~", size)}, field{"after", fmt.Sprint(size)})...), maxFrame, maxFrame)
		c.is(fmt.Sprint(size, " bytes"), c.result(id), "reset ENHANCE_YOUR_CALM")
		c.is("the next request", c.result(c.ask(putPath, &pb.PutRequest{Key: []byte("b")}, field{"before", fmt.Sprint(size)}, field{"after", fmt.Sprint(size)})), "OK")
	}
	c.mustPut("a", "1")
	var changed pb.WatchResponse
	c.message(watch, 1, &changed)
	if len(changed.Events) != 1 {
		t.Errorf("%v", &changed)
	}
	c.fragments(c.stream(), c.encoded(fields(putPath, field{"token", strings.Repeat("~", 300<<10)})...), maxFrame, maxFrame)
	if got := c.outcome(); got != "goaway ENHANCE_YOUR_CALM" {
		t.Errorf("300 KiB: %s", got)
	}
}

// waiting is a request that the member holds until release is called.
func waiting(m *member) (release func()) {
	hold := make(chan struct{})
	m.SetBefore(func(writes, _ int) *kv.Error {
		if writes > 0 {
			<-hold
		}
		return nil
	})
	return func() {
		m.SetBefore(nil)
		close(hold)
	}
}

// TestH2Drain: a graceful end announces itself, takes the requests that crossed its announcement, answers the requests in flight, ends
// watches, and closes the connection.
func TestH2Drain(t *testing.T) {
	t.Parallel()
	m := newMember()
	s := start(t, m, nil)
	c := openH2(t, s)
	w := c.begin(watchPath)
	c.data(w, false, message(watchOf("a")))
	c.message(w, 0, &pb.WatchResponse{})
	release := waiting(m)
	put := c.ask(putPath, &pb.PutRequest{Key: []byte("a")})
	c.flush()
	eventually(t, func() bool { return s.Stats().Serving > 0 && m.Proposals.Load() > 0 })
	drained := make(chan struct{})
	go func() {
		s.Drain(withDeadline(t))
		close(drained)
	}()
	c.until(func() bool { return len(c.goaways) > 0 })
	late := c.ask(rangePath, &pb.RangeRequest{Key: []byte("a")}) // before the client answers the ping that follows
	c.is("a request that crossed the announcement", c.result(late), "14 etcdserver: server stopped")
	c.is("the watch", c.result(w), "14 etcdserver: server stopped")
	c.until(func() bool { return len(c.goaways) == 2 })
	unheard := c.ask(rangePath, &pb.RangeRequest{Key: []byte("a")})
	c.barrier()
	select {
	case <-drained:
		t.Error("it is drained while a request waits")
	default:
	}
	c.is("a request beyond the last", c.words(unheard), "open")
	release()
	c.must(put, &pb.PutResponse{})
	if !c.closed() {
		t.Error("the connection stays open")
	}
	last := c.goaways[len(c.goaways)-1]
	if len(c.goaways) != 2 || c.goaways[0].last != math.MaxInt32 || c.goaways[0].code != http2.ErrCodeNo || last.last != late || last.code != http2.ErrCodeNo {
		t.Errorf("%v", c.goaways)
	}
	<-drained
	eventually(t, func() bool { return m.Watches() == 0 })
}
