package etcd_test

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/net/http2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/net/etcd"
)

const bigValue = 100_000

// withBig is a server with a value of bigValue bytes.
func withBig(t *testing.T) (*member, *etcd.Server) {
	m := newMember()
	s := start(t, m, nil)
	c := openH2(t, s)
	id := c.begin(putPath)
	c.upload(id, message(&pb.PutRequest{Key: []byte("big"), Value: bytes.Repeat([]byte{'b'}, bigValue)}), maxFrame)
	c.must(id, &pb.PutResponse{})
	return m, s
}

func initialWindowOf(n uint32) http2.Setting {
	return http2.Setting{ID: http2.SettingInitialWindowSize, Val: n}
}

// held wants so many bytes of an answer, and no more before the client opens a window.
func (c *h2client) held(id uint32, n int) {
	c.Helper()
	a := c.of(id)
	c.until(func() bool { return len(a.data) >= n || a.ended || a.reset != nil })
	c.barrier()
	if len(a.data) != n || a.ended {
		c.Fatalf("%d bytes of stream %d, want %d: %s", len(a.data), id, n, c.words(id))
	}
}

// whole wants the rest of the big value.
func (c *h2client) whole(id uint32) {
	c.Helper()
	var r pb.RangeResponse
	if c.must(id, &r); len(r.Kvs) != 1 || !bytes.Equal(r.Kvs[0].Value, bytes.Repeat([]byte{'b'}, bigValue)) {
		c.Errorf("stream %d: the value differs", id)
	}
}

func (c *h2client) askBig() uint32 {
	return c.ask(rangePath, &pb.RangeRequest{Key: []byte("big")})
}

// windowRows ask for answers larger than the windows.
var windowRows = []h2row{
	{"connection", func(c *h2client) {
		c.grow(0, 1<<20)
		c.set(initialWindowOf(1 << 20))
		c.whole(c.askBig())
	}},
	{"stream in parts", func(c *h2client) {
		c.grow(0, 1<<20)
		c.set(initialWindowOf(1000))
		c.until(func() bool { return c.acks == 2 })
		id := c.askBig()
		c.held(id, 1000)
		c.grow(id, 1)
		c.held(id, 1001)
		c.grow(id, 20_000)
		c.held(id, 21_001)
		c.grow(id, 1<<20)
		c.whole(id)
	}},
	{"byte by byte", func(c *h2client) {
		c.set(initialWindowOf(0))
		c.until(func() bool { return c.acks == 2 })
		id := c.ask(putPath, &pb.PutRequest{Key: []byte("a")})
		c.until(func() bool { return c.of(id).blocks == 1 })
		for n := 1; !c.of(id).ended; n++ {
			c.grow(id, 1)
			c.until(func() bool { return len(c.of(id).data) >= n || c.of(id).ended })
		}
		c.must(id, &pb.PutResponse{})
	}},
	{"connection in parts, shared by streams", func(c *h2client) {
		c.set(initialWindowOf(1 << 20))
		c.until(func() bool { return c.acks == 2 })
		one, two := c.askBig(), c.askBig()
		both := func() int { return len(c.of(one).data) + len(c.of(two).data) }
		c.until(func() bool { return both() >= initialWindow })
		c.barrier()
		c.grow(0, 10)
		c.until(func() bool { return both() >= initialWindow+10 })
		c.barrier()
		if both() != initialWindow+10 {
			c.Errorf("%d bytes came", both())
		}
		c.grow(0, 1<<20)
		c.whole(one)
		c.whole(two)
	}},
	{"a stream that waits holds up no other", func(c *h2client) {
		c.set(initialWindowOf(0))
		c.until(func() bool { return c.acks == 2 })
		one, two := c.askBig(), c.askBig()
		c.held(one, 0)
		c.grow(0, 1<<20)
		c.grow(two, 1<<20)
		c.whole(two)
		c.held(one, 0)
		c.grow(one, 1<<20)
		c.whole(one)
	}},
	{"trailers need no window", func(c *h2client) {
		c.set(initialWindowOf(0))
		c.until(func() bool { return c.acks == 2 })
		c.is("a refusal", c.result(c.ask(putPath, &pb.PutRequest{})), "3 etcdserver: key is not provided")
	}},
	{"initial window grows", func(c *h2client) {
		c.grow(0, 1<<20)
		c.set(initialWindowOf(10))
		c.until(func() bool { return c.acks == 2 })
		id := c.askBig()
		c.held(id, 10)
		c.set(initialWindowOf(5000))
		c.held(id, 5000)
		c.set(initialWindowOf(1 << 20))
		c.whole(id)
	}},
	{"initial window shrinks below zero", func(c *h2client) {
		c.grow(0, 1<<20)
		c.set(initialWindowOf(1000))
		c.until(func() bool { return c.acks == 2 })
		id := c.askBig()
		c.held(id, 1000)
		c.set(initialWindowOf(400)) // the stream's window is -600
		c.until(func() bool { return c.acks == 3 })
		c.grow(id, 600)
		c.held(id, 1000)
		c.grow(id, 5)
		c.held(id, 1005)
		c.set(initialWindowOf(0), initialWindowOf(500)) // the last of one frame counts
		c.until(func() bool { return c.acks == 4 })
		c.held(id, 1105)
		c.set(initialWindowOf(1 << 20))
		c.whole(id)
	}},
	{"reset of an answer", func(c *h2client) {
		c.set(initialWindowOf(1000))
		c.until(func() bool { return c.acks == 2 })
		for range 30 { // what is not sent takes nothing of the connection's window
			id := c.askBig()
			c.held(id, 1000)
			_ = c.write.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		c.set(initialWindowOf(1 << 20))
		c.grow(0, 1<<20)
		c.whole(c.askBig())
	}},
}

// TestH2Windows: the server sends no more than the windows allow, and all that they allow.
func TestH2Windows(t *testing.T) {
	t.Parallel()
	m, s := withBig(t)
	runFlow(t, s, windowRows)
	if n := m.Watches(); n != 0 {
		t.Errorf("%d watches", n)
	}
}

// runFlow runs rows in which the client opens all windows itself.
func runFlow(t *testing.T, s *etcd.Server, rows []h2row) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := openH2(t, s)
			c.until(func() bool { return c.acks == 1 })
			c.manual = true
			row.run(c)
			c.manual = false
			c.grow(0, 1<<20)
			c.set(initialWindowOf(1 << 20))
			c.alive()
		})
	}
}

// TestH2Settings changes the other settings in the middle of a connection.
func TestH2Settings(t *testing.T) {
	t.Parallel()
	_, s := withBig(t)
	frames := func(c *h2client, largest uint32) {
		c.Helper()
		c.set(http2.Setting{ID: http2.SettingMaxFrameSize, Val: largest})
		c.largest = 0
		c.whole(c.askBig())
		if c.largest > int(largest) {
			c.Errorf("a frame of %d bytes", c.largest)
		}
	}
	runRows(t, s, []h2row{
		{"frame size", func(c *h2client) {
			for _, largest := range []uint32{maxFrame, 1<<24 - 1, 20_000} {
				frames(c, largest)
			}
		}},
		{"header table of no bytes, and back", func(c *h2client) {
			for i, size := range []uint32{0, 4096, 0, 100, 1 << 20, 0} {
				c.alive()
				c.set(http2.Setting{ID: http2.SettingHeaderTableSize, Val: size})
				c.until(func() bool { return c.acks == 2+i })
				c.alive()
				c.is("a refusal", c.result(c.ask(putPath, &pb.PutRequest{})), "3 etcdserver: key is not provided")
			}
		}},
		{"header table twice in one frame", func(c *h2client) {
			c.alive()
			c.set(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096})
			c.until(func() bool { return c.acks == 2 })
			c.alive()
		}},
		{"many at once, with requests between", func(c *h2client) {
			var all []uint32
			for i := range uint32(20) {
				c.set(initialWindowOf(1000*i), http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096 - 100*i})
				all = append(all, c.askBig())
			}
			c.set(initialWindowOf(1 << 20))
			for _, id := range all {
				c.whole(id)
			}
			c.until(func() bool { return c.acks == 22 })
		}},
		{"streams of the server, push", func(c *h2client) {
			c.set(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0}, http2.Setting{ID: http2.SettingEnablePush, Val: 0})
			c.until(func() bool { return c.acks == 2 })
		}},
	})
}

// TestH2Resets ends streams from the client's side in every state.
func TestH2Resets(t *testing.T) {
	t.Parallel()
	m, s := withBig(t)
	reset := func(c *h2client, id uint32) { _ = c.write.WriteRSTStream(id, http2.ErrCodeCancel) }
	runRows(t, s, []h2row{
		{"after the headers", func(c *h2client) {
			for range 50 {
				reset(c, c.begin(putPath))
			}
		}},
		{"in the middle of a request", func(c *h2client) {
			for n := range onePut {
				id := c.begin(putPath)
				c.data(id, false, onePut[:n])
				reset(c, id)
			}
		}},
		{"of a whole request", func(c *h2client) {
			for range 50 {
				reset(c, c.ask(rangePath, &pb.RangeRequest{Key: []byte("a")}))
			}
		}},
		{"of an answer that comes", func(c *h2client) {
			for range 10 {
				id := c.askBig()
				c.until(func() bool { return len(c.of(id).data) > 0 })
				reset(c, id)
			}
			c.whole(c.askBig())
		}},
		{"of a watch", func(c *h2client) {
			before := m.Watches()
			id := c.begin(watchPath)
			c.data(id, false, message(watchOf("w")))
			c.message(id, 0, &pb.WatchResponse{})
			reset(c, id)
			c.flush()
			eventually(c, func() bool { return m.Watches() == before && s.Stats().Watches == 0 })
			c.mustPut("w", "1")
			c.is("the watch", c.words(id), "open")
		}},
		{"of a request that waits", func(c *h2client) {
			release := waiting(m)
			id := c.ask(putPath, &pb.PutRequest{Key: []byte("waits")})
			c.flush()
			eventually(c, func() bool { return s.Stats().Serving == 1 })
			reset(c, id)
			c.flush()
			eventually(c, func() bool { return s.Stats().Serving == 0 })
			release()
		}},
		{"twice", func(c *h2client) {
			id := c.begin(putPath)
			reset(c, id)
			reset(c, id)
		}},
		{"with any code", func(c *h2client) {
			for _, code := range []http2.ErrCode{0, 1, 5, 13, 0xffff} {
				_ = c.write.WriteRSTStream(c.begin(putPath), code)
			}
		}},
	})
	eventually(t, func() bool { return s.Stats().MessageBytes == 0 })
}

// TestH2UploadWindows: the server gives back the windows for all that it takes: messages, padding, and data of streams that are over.
func TestH2UploadWindows(t *testing.T) {
	t.Parallel()
	_, s := withBig(t)
	const rounds = 30 // of some 16 KiB: many times the connection's first window
	room := func(c *h2client) {
		c.Helper()
		if !c.until(func() bool { return c.window >= maxFrame }) {
			c.Fatalf("the connection ends: %v", c.goaways)
		}
	}
	runRows(t, s, []h2row{
		{"padding", func(c *h2client) {
			for range 10 * rounds {
				room(c)
				id := c.begin(putPath)
				c.window -= 256
				_ = c.write.WriteDataPadded(id, false, nil, make([]byte, 255))
				c.data(id, true, onePut)
				c.is("put", c.result(id), "OK")
			}
		}},
		{"one stream's padding", func(c *h2client) {
			id := c.begin(putPath)
			for range 600 {
				c.until(func() bool { return c.window >= 256 && c.windows[id] >= 256 })
				c.window -= 256
				c.windows[id] -= 256
				_ = c.write.WriteDataPadded(id, false, nil, make([]byte, 255))
			}
			c.data(id, true, onePut)
			c.is("put", c.result(id), "OK")
		}},
		{"streams that are reset", func(c *h2client) {
			for range rounds {
				room(c)
				id := c.begin(putPath)
				c.data(id, false, append([]byte{0, 0, 1, 0, 0}, make([]byte, maxFrame-5)...))
				_ = c.write.WriteRSTStream(id, http2.ErrCodeCancel)
			}
		}},
		{"streams that are refused", func(c *h2client) {
			for range rounds {
				room(c)
				id := c.begin("/a/b")
				c.is("refusal", c.result(id), "12 unknown service a")
				c.data(id, true, make([]byte, maxFrame))
			}
		}},
		{"values", func(c *h2client) {
			for i := range rounds {
				id := c.begin(putPath)
				c.upload(id, message(&pb.PutRequest{Key: fmt.Appendf(nil, "v/%d", i), Value: make([]byte, 50_000)}), 10_000)
				c.is("put", c.result(id), "OK")
			}
		}},
	})
}
