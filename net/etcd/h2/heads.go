package h2

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// head is the metadata of a request. Requests of a connection with equal header blocks share it: it is constant.
type head struct {
	path     string
	verb     string // the method of HTTP
	method   method
	known    bool
	answer   []byte          // the header block that begins an answer
	ctx      context.Context // with the metadata
	timeout  time.Duration   // 0: none
	encoding string          // of compressed messages; "": none
	length   int64           // of the data; -1: not said
	pseudo   bool            // it has pseudo-headers

	prepared any // of a batched method

	bad     http2.ErrCode // the stream is reset; 0: not
	status  int           // of HTTP, with which the request is refused; 0: it is served
	code    codes.Code
	refusal string
}

// heads decodes header blocks. A block that only refers to fields that both sides know is decoded once: a client's requests mostly have
// equal blocks. Such a block changes nothing, and means the same as long as no other block has changed the table.
type heads struct {
	server  *Server
	ledger  Ledger
	ctx     context.Context
	decoder *hpack.Decoder
	seen    map[string]*head
	ends    bool // the stream ends with the block that is being received

	// Of the block that is being decoded.
	now    *head
	md     metadata.MD
	size   uint32
	fields int
	pseudo map[string]bool
	after  bool // a field that is no pseudo-header has come
}

// A block costs as many frames that ask for nothing as it has fields, and pieces of blockPiece. blockFree of them belong to a request.
const blockPiece, blockFree = 16, 64

// A connection keeps so many blocks, each of so many bytes of fields.
const (
	headsSeen = 16
	headBytes = 2 << 10
)

func (h *heads) init(s *Server, ledger Ledger, ctx context.Context) {
	h.server, h.ledger, h.ctx = s, ledger, ctx
	h.decoder = hpack.NewDecoder(4096, h.field)
	h.decoder.SetMaxStringLength(2 * blockMost) // no block has a longer one: Huffman's code makes 8 bytes of 5
	h.seen = map[string]*head{}
}

// read decodes a whole block.
func (h *heads) read(block []byte) (*head, error) {
	if one := h.seen[string(block)]; one != nil {
		return one, nil
	}
	h.now, h.md, h.size, h.fields, h.pseudo, h.after = &head{length: -1}, metadata.MD{}, 0, 0, map[string]bool{}, false
	if err := h.decode(block); err != nil {
		return nil, http2.ConnectionError(http2.ErrCodeCompression)
	}
	h.ledger.Idle(max(0, h.fields+len(block)/blockPiece-blockFree))
	h.finish()
	switch {
	case !refersOnly(block):
		clear(h.seen)
	case h.size <= headBytes:
		if len(h.seen) >= headsSeen {
			clear(h.seen)
		}
		h.seen[string(block)] = h.now
	}
	return h.now, nil
}

// decode decodes a block. Package hpack refuses the second of two updates of the table's size, which RFC 7541 4.2 allows at a block's
// beginning: it gets each as a block. More than two are refused.
func (h *heads) decode(block []byte) error {
	for updates := 0; ; updates++ {
		n := updateLength(block)
		last := n == 0
		if last {
			n = len(block)
		} else if updates == 2 {
			return errUpdates
		}
		if _, err := h.decoder.Write(block[:n]); err != nil {
			return err
		}
		if err := h.decoder.Close(); err != nil || last {
			return err
		}
		block = block[n:]
	}
}

var errUpdates = errors.New("more than two updates of the header table's size")

// updateLength is the length of an update of the table's size (RFC 7541, 6.3) with which a block begins; 0: it begins with none.
func updateLength(block []byte) int {
	if len(block) == 0 || block[0]&0xe0 != 0x20 {
		return 0
	}
	n := 1
	if block[0]&0x1f == 0x1f { // the size goes on
		for n < len(block) && block[n]&0x80 != 0 {
			n++
		}
		n++
	}
	return min(n, len(block))
}

// refersOnly reports whether a block consists of indexed fields alone (RFC 7541, 6.1).
func refersOnly(block []byte) bool {
	for i := 0; i < len(block); i++ {
		if block[i]&0x80 == 0 {
			return false
		}
		if block[i] == 0xff { // the index goes on
			for i++; i < len(block) && block[i]&0x80 != 0; i++ {
			}
		}
	}
	return true
}

// field takes a decoded field.
func (h *heads) field(f hpack.HeaderField) {
	if http2.VerboseLogs { // by GODEBUG=http2debug=2, in the words of package http2
		fmt.Fprintf(os.Stderr, "http2: decoded hpack field %+v\n", f)
	}
	one := h.now
	h.fields++
	if h.size += f.Size(); h.size > h.server.config.HeaderBytes {
		return
	}
	switch {
	case f.IsPseudo():
		if h.after || h.pseudo[f.Name] || f.Name != ":path" && f.Name != ":method" && f.Name != ":scheme" && f.Name != ":authority" {
			one.bad = http2.ErrCodeProtocol
		}
		h.pseudo[f.Name] = true
		one.pseudo = true
	case !httpguts.ValidHeaderFieldName(f.Name), strings.ToLower(f.Name) != f.Name:
		one.bad = http2.ErrCodeProtocol
	}
	if !httpguts.ValidHeaderFieldValue(f.Value) {
		one.bad = http2.ErrCodeProtocol
	}
	h.after = h.after || !f.IsPseudo()
	switch f.Name {
	case ":path":
		if one.path = f.Value; f.Value == "" {
			one.bad = http2.ErrCodeProtocol
		}
	case ":method":
		one.verb = f.Value
	case ":scheme":
	case ":authority", "host":
		h.md.Append(f.Name, f.Value)
	case "content-type":
		one.answer = okHeader(f.Value)
		h.md.Append(f.Name, f.Value)
	case "grpc-timeout":
		timeout, err := timeoutOf(f.Value)
		if err != nil {
			one.refuse(400, codes.Internal, fmt.Sprintf("malformed grpc-timeout: %v", err))
		}
		one.timeout = timeout
	case "grpc-encoding":
		one.encoding = f.Value
	case "content-length":
		n, err := strconv.ParseUint(f.Value, 10, 63)
		if err != nil || one.length >= 0 && one.length != int64(n) {
			one.bad = http2.ErrCodeProtocol
		}
		one.length = int64(n)
	case "te":
		if f.Value != "trailers" {
			one.bad = http2.ErrCodeProtocol
		}
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		one.bad = http2.ErrCodeProtocol
	case "grpc-accept-encoding", "grpc-message-type", "grpc-status", "grpc-message":
	default:
		value := f.Value
		if strings.HasSuffix(f.Name, "-bin") {
			b, err := binaryOf(f.Value)
			if err != nil {
				one.refuse(400, codes.Internal, fmt.Sprintf("malformed binary metadata %q in header %q: %v", f.Value, f.Name, err))
			}
			value = string(b)
		}
		h.md.Append(f.Name, value)
	}
}

// finish completes a head.
func (h *heads) finish() {
	one := h.now
	if h.size > h.server.config.HeaderBytes {
		one.bad = http2.ErrCodeEnhanceYourCalm // gRPC's clients know it as RESOURCE_EXHAUSTED
		return
	}
	if one.pseudo && (!h.pseudo[":path"] || !h.pseudo[":method"] || !h.pseudo[":scheme"]) { // trailers have none
		one.bad = http2.ErrCodeProtocol
	}
	one.method, one.known = h.server.methods[one.path]
	if one.verb != "POST" || !isGRPC(strings.Join(h.md["content-type"], ",")) {
		one.method, one.known, one.status, one.timeout, one.encoding = pages, true, 0, 0, ""
	}
	switch authorities, hosts := len(h.md[":authority"]), len(h.md["host"]); {
	case authorities > 1 || hosts > 1:
		one.refuse(400, codes.Internal, fmt.Sprintf("num values of :authority: %d, num values of host: %d, both must only have 1 value as per HTTP/2 spec", authorities, hosts))
	case authorities == 0 && hosts == 0:
		one.refuse(400, codes.Internal, "no host or :authority header present")
	case authorities == 0:
		h.md[":authority"] = h.md["host"]
	}
	delete(h.md, "host")
	if one.status == 0 && one.encoding != "" && one.encoding != "identity" {
		one.refuse(200, codes.Unimplemented, fmt.Sprintf("grpc: Decompressor is not installed for grpc-encoding %q", one.encoding))
	}
	one.ctx = metadata.NewIncomingContext(h.ctx, h.md)
	if one.method.batched != nil && one.bad == 0 && one.status == 0 {
		one.prepared = h.server.config.Prepare(one.ctx)
	}
}

func (h *head) refuse(status int, code codes.Code, why string) {
	if h.status == 0 {
		h.status, h.code, h.refusal = status, code, why
	}
}

func isGRPC(contentType string) bool {
	rest, found := strings.CutPrefix(contentType, "application/grpc")
	return found && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// timeoutOf reads gRPC's form of a duration: at most eight digits and a unit.
func timeoutOf(s string) (time.Duration, error) {
	units := "numSMH"
	each := []time.Duration{time.Nanosecond, time.Microsecond, time.Millisecond, time.Second, time.Minute, time.Hour}
	switch {
	case len(s) < 2:
		return 0, fmt.Errorf("transport: timeout string is too short: %q", s)
	case len(s) > 9:
		return 0, fmt.Errorf("transport: timeout string is too long: %q", s)
	}
	unit := strings.IndexByte(units, s[len(s)-1])
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 63)
	if unit < 0 || err != nil {
		return 0, fmt.Errorf("transport: timeout unit is not recognized: %q", s)
	}
	if most := uint64(1<<63-1) / uint64(each[unit]); n > most {
		return 1<<63 - 1, nil
	}
	return max(time.Duration(n)*each[unit], 1), nil
}

func binaryOf(s string) ([]byte, error) {
	if len(s)%4 == 0 {
		return base64.StdEncoding.DecodeString(s)
	}
	return base64.RawStdEncoding.DecodeString(s)
}

// appendField appends a header block's field, as a literal that no table keeps: the encoder has no state.
func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, 0)
	dst = appendText(dst, name)
	return appendText(dst, value)
}

func appendText(dst []byte, s string) []byte {
	if n := len(s); n < 127 {
		dst = append(dst, byte(n))
	} else {
		dst = binary.AppendUvarint(append(dst, 127), uint64(n-127))
	}
	return append(dst, s...)
}

// appendMetadata appends a handler's metadata.
func appendMetadata(dst []byte, md metadata.MD) []byte {
	names := make([]string, 0, len(md))
	for name := range md {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if reserved(name) {
			continue
		}
		for _, value := range md[name] {
			if strings.HasSuffix(name, "-bin") {
				value = base64.RawStdEncoding.EncodeToString([]byte(value))
			}
			dst = appendField(dst, name, value)
		}
	}
	return dst
}

func reserved(name string) bool {
	return strings.HasPrefix(name, ":") || strings.HasPrefix(name, "grpc-") && name != "grpc-trace-bin" && name != "grpc-tags-bin" || name == "content-type" || name == "te" || name == "user-agent"
}
