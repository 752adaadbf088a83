package h2

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
)

// bare is a connection without goroutines: a test does what they would do.
func bare(t *testing.T, nc net.Conn) *conn {
	s := NewServer(Config{
		Codec: encoding.GetCodecV2(proto.Name), ReceiveMost: 1 << 20, SendMost: 1 << 20, Streams: 2, HeaderBytes: 16 << 10,
		Handshake: time.Minute, PingLeast: time.Second, PingAfter: time.Hour, PingTimeout: time.Minute,
		Fault: func(path string, fault any, _ []byte) { t.Errorf("%s: %v", path, fault) },
	})
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "s", Streams: []grpc.StreamDesc{{
		StreamName: "Wait", ClientStreams: true, ServerStreams: true,
		Handler: func(_ any, s grpc.ServerStream) error { <-s.Context().Done(); return s.Context().Err() },
	}}}, nil)
	return newConn(s, nc, &peer.Peer{})
}

// answering is a stream with an answer to write.
func answering(c *conn, id uint32, data mem.Buffer) *stream {
	s := &stream{c: c, id: id, head: &head{length: -1}, window: c.initial, ended: true, begun: true}
	c.streams[id] = s
	if data != nil {
		s.queued = data.Len()
		s.pushLocked(piece{data: data})
	}
	return s
}

type slowBuffer struct {
	mem.Buffer
	reads func()
}

func (b slowBuffer) ReadOnlyData() []byte {
	b.reads()
	return b.Buffer.ReadOnlyData()
}

// TestWindowIsTakenOnce sends a second stream's answer while data of the first are encoded: both together fit no window.
func TestWindowIsTakenOnce(t *testing.T) {
	c := bare(t, nil)
	c.window = 1000
	other := answering(c, 3, nil)
	other.begun = false
	var batch Batch
	answered := false
	c.mu.Lock()
	answering(c, 1, slowBuffer{mem.SliceBuffer(make([]byte, 900)), func() { answered = batch.Answer((*Request)(other), make([]byte, 900)) }})
	_, _ = c.turnLocked(nil, nil)
	c.mu.Unlock()
	if answered || c.window != 100 {
		t.Fatalf("answered %v: the client's window of 1000 bytes is at %d", answered, c.window)
	}
}

// TestLastAnswerOfDrain lets the writer write the last answer of a connection that is left: it arrives before the connection's end.
func TestLastAnswerOfDrain(t *testing.T) {
	client, server := net.Pipe()
	c := bare(t, server)
	c.out = nil
	c.drainState = drainFinished
	s := answering(c, 1, mem.SliceBuffer(make([]byte, 10)))
	c.mu.Lock()
	s.finishLocked(nil)
	c.mu.Unlock()
	go c.write()
	_ = client.SetReadDeadline(time.Now().Add(10 * time.Second))
	got, err := io.ReadAll(client)
	if err != nil || !bytes.Contains(got, []byte("grpc-status")) {
		t.Fatalf("%d bytes, without an end: %v", len(got), err)
	}
}

// TestEmptyMessagesWait sends empty messages to a handler that takes none: they end with the window.
func TestEmptyMessagesWait(t *testing.T) {
	c := bare(t, nil)
	s := answering(c, 1, nil)
	s.ended, s.wake = false, make(chan struct{}, 1)
	s.head.method.stream = &grpc.StreamDesc{}
	some := make([]byte, messageHead*1000)
	c.mu.Lock()
	defer c.mu.Unlock()
	for range 1000 {
		if s.held += len(some); s.held > streamWindow {
			if most := streamWindow/messageHead + 1000; len(s.messages) > most {
				t.Fatalf("%d messages wait, one window has %d", len(s.messages), most)
			}
			return
		}
		s.receiveLocked(some, false)
		c.out = c.out[:0]
	}
	t.Fatalf("%d messages wait", len(s.messages))
}

// TestReadsWithAllStreams opens as many streams as a client may have: the connection is still read.
func TestReadsWithAllStreams(t *testing.T) {
	client, server := net.Pipe()
	c := bare(t, server)
	go c.run()
	t.Cleanup(c.server.Stop)
	t.Cleanup(func() { _ = client.Close(); c.end(net.ErrClosed) })
	_ = client.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		f := http2.NewFramer(client, nil)
		_, _ = io.WriteString(client, http2.ClientPreface)
		_ = f.WriteSettings()
		var block []byte
		for _, one := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/s/Wait"}, {":authority", "a"}, {"content-type", "application/grpc"}} {
			block = appendField(block, one[0], one[1])
		}
		for id := range uint32(2) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*id + 1, BlockFragment: block, EndHeaders: true})
		}
		_ = f.WritePing(false, [8]byte{7})
	}()
	in := http2.NewFramer(nil, client)
	for {
		f, err := in.ReadFrame()
		if err != nil {
			t.Fatalf("no answer to a ping: %v", err)
		}
		if p, ok := f.(*http2.PingFrame); ok && p.IsAck() {
			return
		}
	}
}

// TestDrainBeforePreface drains a connection whose client has said nothing: its first frame is SETTINGS.
func TestDrainBeforePreface(t *testing.T) {
	c := bare(t, nil)
	defer c.cancel()
	c.drain()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drainState = drainFinished
	if kind := http2.FrameType(c.out[3]); kind != http2.FrameSettings || binary.BigEndian.Uint32(c.out[5:]) != 0 {
		t.Fatalf("the first frame is %v", kind)
	}
}

// TestShrinkComesFirst ends a stream while the writer encodes another's data: the smaller table is for the writer's next block to say.
func TestShrinkComesFirst(t *testing.T) {
	c := bare(t, nil)
	s := answering(c, 1, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shrinks, c.writing = 1, true
	s.finishLocked(nil)
	if c.shrinks != 1 || len(c.ends) != 1 {
		t.Fatal("a block that is written later says it")
	}
}
