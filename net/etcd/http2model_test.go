package etcd_test

import (
	"bytes"
	"flag"
	"fmt"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/net/etcd"
)

// h2model runs random legal requests on one connection, with random frames, and knows each answer. A key has one request at a time, since
// requests of a connection may overtake each other.
type h2model struct {
	*h2client
	r      *rapid.T
	prefix string
	state  map[string]string // what each key has
	open   []*h2request
	sized  bool // the next block begins with a table size update
}

// h2request is a request on its way.
type h2request struct {
	id    uint32
	key   string
	value string // of a put
	put   bool
	rest  []byte // not sent yet
	sent  bool
}

func (m *h2model) random(name string, most int) int { return rapid.IntRange(0, most).Draw(m.r, name) }

// busy tells whether a key has a request on its way.
func (m *h2model) busy(key string) bool {
	for _, q := range m.open {
		if q.key == key {
			return true
		}
	}
	return false
}

// begin opens a stream, with headers in random frames.
func (m *h2model) begin() {
	key := fmt.Sprintf("%s/%d", m.prefix, m.random("key", 7))
	if m.busy(key) {
		return
	}
	q := &h2request{id: m.stream(), key: key, put: rapid.Bool().Draw(m.r, "put")}
	var request proto.Message = &pb.RangeRequest{Key: []byte(key)}
	path := rangePath
	if q.put {
		q.value = string(bytes.Repeat([]byte{byte('a' + m.random("letter", 25))}, m.random("bytes", 3)*m.random("times", 9000)+1))
		path, request = putPath, &pb.PutRequest{Key: []byte(key), Value: []byte(q.value)}
	}
	q.rest = message(request)
	var more []field
	for i := range m.random("metadata", 3) {
		more = append(more, field{fmt.Sprintf("x-%d", i), fmt.Sprint(m.random("value", 5))})
	}
	block := m.encoded(fields(path, more...)...)
	m.sized = false
	switch cut := m.random("cut", 3); cut {
	case 0:
		m.fragments(q.id, block, m.random("first", len(block)), 1+m.random("each", len(block)))
	default:
		_ = m.write.WriteHeaders(http2.HeadersFrameParam{
			StreamID: q.id, BlockFragment: block, EndHeaders: true, PadLength: uint8(m.random("pad", 255) * (cut - 1) / 2),
			Priority: http2.PriorityParam{StreamDep: uint32(m.random("dependency", 1)) * (q.id + 2), Weight: uint8(m.random("weight", 9))},
		})
	}
	m.open = append(m.open, q)
}

// send sends a piece of a request, or all of it.
func (m *h2model) send(q *h2request, n int) {
	pad := m.random("pad", 20)
	m.until(func() bool {
		return m.window >= int64(pad)+1 && m.windows[q.id] >= int64(pad)+1
	})
	n = int(min(int64(n), int64(len(q.rest)), maxFrame-300, m.window-int64(pad)-1, m.windows[q.id]-int64(pad)-1))
	end := n == len(q.rest) && rapid.Bool().Draw(m.r, "end")
	if pad > 0 {
		m.window -= int64(n + pad + 1)
		m.windows[q.id] -= int64(n + pad + 1)
		_ = m.write.WriteDataPadded(q.id, end, q.rest[:n], make([]byte, pad))
	} else {
		m.data(q.id, end, q.rest[:n])
	}
	q.rest, q.sent = q.rest[n:], end
}

// finish waits for the answer to a request, and compares it.
func (m *h2model) finish(i int) {
	q := m.open[i]
	for !q.sent {
		m.send(q, len(q.rest))
	}
	m.grow(q.id, 100_000) // its window may be small, or negative
	if q.put {
		m.must(q.id, &pb.PutResponse{})
		m.state[q.key] = q.value
	} else {
		var r pb.RangeResponse
		m.must(q.id, &r)
		got := ""
		if len(r.Kvs) > 0 {
			got = string(r.Kvs[0].Value)
		}
		if got != m.state[q.key] {
			m.Fatalf("%s is %.20q (%d bytes), want %.20q (%d bytes)", q.key, got, len(got), m.state[q.key], len(m.state[q.key]))
		}
	}
	m.open = append(m.open[:i], m.open[i+1:]...)
}

// resets gives up a request.
func (m *h2model) resets(i int) {
	q := m.open[i]
	_ = m.write.WriteRSTStream(q.id, http2.ErrCodeCancel)
	m.open = append(m.open[:i], m.open[i+1:]...)
	if q.put && len(q.rest) == 0 { // the server may do it at any time from now on: the next requests have other keys
		m.prefix += "+"
	}
}

// change sends other frames between.
func (m *h2model) change() {
	switch m.random("frame", 6) {
	case 0:
		m.set(initialWindowOf(uint32(m.random("window", 100_000))))
	case 1:
		m.set(http2.Setting{ID: http2.SettingHeaderTableSize, Val: uint32(m.random("table", 5000))})
	case 2:
		if !m.sized { // x/net's decoder refuses two updates, as a row of illegalBlocks shows
			m.encode.SetMaxDynamicTableSize(uint32(m.random("own table", 4096)))
		}
		m.sized = true
	case 3:
		_ = m.write.WritePriority(m.next+2, http2.PriorityParam{Weight: 1})
	case 4:
		m.raw(http2.FrameType(0x40+m.random("kind", 100)), http2.Flags(m.random("flags", 255)), uint32(m.random("stream", 9)), make([]byte, m.random("length", 50))...)
	case 5:
		m.pieces = m.random("pieces", 50)
	case 6:
		m.flush()
	}
}

// act does one thing.
func (m *h2model) act() {
	if len(m.open) == 0 || m.random("what", 9) < 3 {
		m.begin()
		return
	}
	i := m.random("which", len(m.open)-1)
	switch m.random("do", 9) {
	case 0:
		m.resets(i)
	case 1, 2:
		m.finish(i)
	case 3, 4:
		m.change()
	default:
		if q := m.open[i]; !q.sent {
			m.send(q, 1+m.random("piece", 40)*m.random("larger", 400))
		}
	}
}

// TestH2Model compares random requests with a map.
func TestH2Model(t *testing.T) {
	t.Parallel()
	_ = flag.Set("rapid.nofailfile", "true") // a file in testdata would be a story
	s := start(t, newMember(), nil)
	var runs atomic.Int64
	rapid.Check(t, func(r *rapid.T) { runModel(t, s, r, fmt.Sprint(runs.Add(1))) })
}

func runModel(t *testing.T, s *etcd.Server, r *rapid.T, prefix string) {
	m := &h2model{h2client: openH2(t, s), r: r, prefix: prefix, state: map[string]string{}}
	defer m.conn.Close()
	m.TB = failing{t, r}
	for range 1 + m.random("steps", 40) {
		m.act()
	}
	m.set(initialWindowOf(initialWindow))
	for len(m.open) > 0 {
		m.finish(0)
	}
	if m.ended || len(m.goaways) > 0 {
		m.Fatalf("the connection ends: %v", m.goaways)
	}
	m.alive()
}

// failing reports failures to rapid, which then looks for a shorter example.
type failing struct {
	testing.TB
	r *rapid.T
}

func (f failing) Errorf(format string, args ...any) { f.r.Errorf(format, args...) }
func (f failing) Error(args ...any)                 { f.r.Error(args...) }
func (f failing) Fatalf(format string, args ...any) { f.r.Fatalf(format, args...) }
func (f failing) Fatal(args ...any)                 { f.r.Fatal(args...) }
