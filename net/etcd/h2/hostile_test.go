package h2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// noLedger counts nothing.
type noLedger struct{}

func (noLedger) Begin(*StreamCharge, int) {}
func (noLedger) Data(*StreamCharge, int)  {}
func (noLedger) HalfClosed(*StreamCharge) {}
func (noLedger) Answered(*StreamCharge)   {}
func (noLedger) Over(*StreamCharge)       {}
func (noLedger) Charge(int64)             {}
func (noLedger) Reset()                   {}
func (noLedger) Idle(int)                 {}

// uncounted is a connection that nothing is counted of.
type uncounted struct{ net.Conn }

func (uncounted) Ledger() Ledger { return noLedger{} }

// bare is a connection without goroutines: a test does what they would do.
func bare(t testing.TB, nc net.Conn) *conn {
	s := NewServer(Config{
		Codec: encoding.GetCodecV2(proto.Name), ReceiveMost: 1 << 20, SendMost: 1 << 20, Streams: 2, HeaderBytes: 16 << 10,
		Handshake: time.Minute, PingLeast: time.Second, PingAfter: time.Hour, PingTimeout: time.Minute,
		Fault: func(path string, fault any, _ []byte) { t.Errorf("%s: %v", path, fault) },
	})
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "s", Streams: []grpc.StreamDesc{{
		StreamName: "Wait", ClientStreams: true, ServerStreams: true,
		Handler: func(_ any, s grpc.ServerStream) error { <-s.Context().Done(); return s.Context().Err() },
	}}}, nil)
	return newConn(s, uncounted{nc}, &peer.Peer{})
}

// answering is a stream with an answer to write.
func answering(c *conn, id uint32, data mem.Buffer) *stream {
	s := &stream{c: c, id: id, head: &head{length: -1, answer: okHeader("application/grpc")}, window: c.initial, ended: true, begun: true}
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

// TestWindowIsReturned resets streams while their answers are encoded: the connection's window lacks the bytes that are written alone, and so
// it does when the encoder fails.
func TestWindowIsReturned(t *testing.T) {
	const whole, size = 1 << 20, 10
	for _, x := range []struct {
		name string
		read func(c *conn)
		want int64
	}{
		{"no reset", func(*conn) {}, whole - size},
		{"reset by the client", func(c *conn) {
			_ = c.take(&http2.RSTStreamFrame{FrameHeader: http2.FrameHeader{StreamID: 1}})
		}, whole - size},
		{"a fault of the encoder", func(*conn) { panic("a fault") }, whole},
		{"the end of the connection", func(c *conn) { c.end(net.ErrClosed) }, whole - size},
	} {
		client, server := net.Pipe()
		defer client.Close()
		c := bare(t, server)
		c.server.config.Fault = func(string, any, []byte) {}
		c.window, c.initial, c.last, c.established = whole, whole, 1, true
		c.mu.Lock()
		s := answering(c, 1, slowBuffer{mem.SliceBuffer(make([]byte, size)), func() { x.read(c) }})
		_, _ = c.turnLocked(nil, nil)
		c.mu.Unlock()
		if c.window != x.want || s.window != x.want {
			t.Errorf("%s: the connection's window is at %d, the stream's at %d, want %d", x.name, c.window, s.window, x.want)
		}
	}
}

// TestOwnContextOfAResetRequest resets a batched request before anything asks for its own context: that has ended.
func TestOwnContextOfAResetRequest(t *testing.T) {
	c := bare(t, nil)
	s := answering(c, 1, nil)
	s.head.ctx, c.last = c.ctx, 1
	take(t, c, func(f *http2.Framer) { _ = f.WriteRSTStream(1, http2.ErrCodeCancel) })
	if err := (*Request)(s).Own().Err(); err == nil || c.ctx.Err() != nil {
		t.Errorf("the request's context: %v; the connection's: %v", err, c.ctx.Err())
	}
}

// faulty is a ledger with a fault.
type faulty struct{ noLedger }

func (faulty) Idle(int) { panic("a fault") }

// TestFaultOfTheReader: a fault in a connection's reader ends the connection, and nothing else.
func TestFaultOfTheReader(t *testing.T) {
	client, server := net.Pipe()
	c := bare(t, server)
	faults := make(chan string, 1)
	c.server.config.Fault = func(path string, _ any, _ []byte) { faults <- path }
	c.ledger = faulty{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.run()
	}()
	t.Cleanup(func() { _ = client.Close(); <-ended })
	_ = client.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		_, _ = io.WriteString(client, http2.ClientPreface)
		_ = http2.NewFramer(client, nil).WriteSettings()
	}()
	for in := http2.NewFramer(nil, client); ; {
		f, err := in.ReadFrame()
		if err != nil {
			t.Fatalf("without a GOAWAY: %v", err)
		}
		if away, ok := f.(*http2.GoAwayFrame); ok {
			if path := <-faults; away.ErrCode != http2.ErrCodeInternal || path != "a connection's reader" {
				t.Errorf("%v, %s", away.ErrCode, path)
			}
			return
		}
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

// TestTakenMessagesReturnTheWindow fills a stream's window with empty messages, so many that the client gets no window
// for them. It gets it as the handler takes them: otherwise both would wait for ever.
func TestTakenMessagesReturnTheWindow(t *testing.T) {
	c := bare(t, nil)
	s := answering(c, 1, nil)
	s.ended, s.wake = false, make(chan struct{}, 1)
	s.head.method.stream = &grpc.StreamDesc{}
	const messages = streamWindow / messageHead
	c.mu.Lock()
	s.held = messages * messageHead
	s.receiveLocked(make([]byte, s.held), false)
	held := s.held
	c.mu.Unlock()
	if held != messages*messageHead {
		t.Fatalf("the window of %d bytes is returned before a message is taken", messages*messageHead-held)
	}
	for range messages {
		if _, err := s.next(); err != nil {
			t.Fatal(err)
		}
	}
	if s.held >= streamWindow/2 {
		t.Errorf("all messages are taken, and the client still lacks the window of %d bytes", s.held)
	}
}

// TestGrownWindowWakesStreams has a client raise the window of all streams by its settings: a stream that waits for
// window is written.
func TestGrownWindowWakesStreams(t *testing.T) {
	c := bare(t, nil)
	c.initial = 0
	c.mu.Lock()
	s := answering(c, 1, mem.SliceBuffer("data"))
	waits := !s.ready && len(c.ready) == 0
	c.mu.Unlock()
	take(t, c, func(f *http2.Framer) {
		_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
	})
	if !waits || len(c.ready) != 1 || c.ready[0] != s {
		t.Errorf("the stream waited: %v; %d streams are written now", waits, len(c.ready))
	}
}

// freed counts how often a buffer is freed.
type freed struct {
	mem.Buffer
	times *int
}

func (f freed) Free() { *f.times++ }

// TestBuffersAreFreedOnce ends streams with an answer of three pieces, also while one of the pieces is encoded: each is freed once.
func TestBuffersAreFreedOnce(t *testing.T) {
	reset := func(c *conn) { _ = c.take(&http2.RSTStreamFrame{FrameHeader: http2.FrameHeader{StreamID: 1}}) }
	end := func(c *conn) { c.end(net.ErrClosed) }
	for name, over := range map[string]func(*conn){"a reset": reset, "the end of the connection": end} {
		for _, encoding := range []bool{false, true} {
			client, server := net.Pipe()
			c := bare(t, server)
			c.established, c.last = true, 1
			var times [3]int
			during := func() {}
			c.mu.Lock()
			s := answering(c, 1, freed{slowBuffer{mem.SliceBuffer(make([]byte, 10)), func() { during() }}, &times[0]})
			for i := 1; i < len(times); i++ {
				s.pushLocked(piece{data: freed{mem.SliceBuffer(make([]byte, 10)), &times[i]}})
			}
			if encoding {
				during = func() { over(c) }
				_, written := c.turnLocked(nil, nil)
				for _, one := range written {
					one.Free()
				}
			}
			c.mu.Unlock()
			over(c)
			over(c)
			if times != [3]int{1, 1, 1} {
				t.Errorf("%s, while a piece is encoded: %v: the pieces are freed %v times", name, encoding, times)
			}
			_ = client.Close()
		}
	}
}

// TestReaderGoesOnBehindResetStreams has as many handlers of reset streams run as a client may have streams: the reader
// waits, and goes on when one of them ends.
func TestReaderGoesOnBehindResetStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bare(t, nil)
		s := answering(c, 1, nil)
		s.head.ctx = c.ctx
		s.contextLocked()
		s.head.method.stream = &grpc.StreamDesc{Handler: func(any, grpc.ServerStream) error { return nil }}
		c.forgetLocked(s)
		c.handlers = int(c.server.config.Streams)
		goesOn := make(chan struct{})
		go func() {
			c.await()
			close(goesOn)
		}()
		synctest.Wait()
		s.handle()
		synctest.Wait()
		select {
		case <-goesOn:
		default:
			t.Error("the reader waits although a handler has ended")
			c.wake.Broadcast()
		}
		<-goesOn
	})
}

// TestSmallPiecesOfAPage sends a page's request a byte in each frame while nobody reads it: the pieces wait as one.
func TestSmallPiecesOfAPage(t *testing.T) {
	c := bare(t, nil)
	s := answering(c, 1, nil)
	s.ended, s.wake, s.head.method = false, make(chan struct{}, 1), pages
	all := bytes.Repeat([]byte("0123456789"), 100)
	c.mu.Lock()
	for i := range all {
		s.receiveLocked(all[i:i+1], i == len(all)-1)
	}
	waiting, bytesOf := len(s.messages), s.waiting
	c.mu.Unlock()
	if waiting != 1 || bytesOf < len(all) {
		t.Errorf("%d pieces wait, of %d bytes", waiting, bytesOf)
	}
	got, err := io.ReadAll(&page{stream: s})
	if !bytes.Equal(got, all) || err != nil || s.waiting != 0 {
		t.Errorf("%q, %v; %d bytes wait", got, err, s.waiting)
	}
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
		block := blockOf("/s/Wait")
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

// TestAnswersInOrder sends messages of a stream while the writer encodes another's data: the first go to the connection's frames, the rest
// to the stream's own, and all of them are written in their order.
func TestAnswersInOrder(t *testing.T) {
	c := bare(t, nil)
	c.out, c.window, c.initial = nil, 1<<20, 1<<20
	other := answering(c, 3, nil)
	other.begun, other.wake, other.writable = false, make(chan struct{}, 1), make(chan struct{}, 1)
	const messages = 6 // of a frame each: more than the connection's frames may be
	c.mu.Lock()
	answering(c, 1, slowBuffer{mem.SliceBuffer(make([]byte, 10)), func() {
		for i := range messages {
			if err := other.send(wrapperspb.Bytes(bytes.Repeat([]byte{byte(i)}, frameMost-16)), false); err != nil {
				t.Error(err)
			}
		}
	}})
	c.mu.Unlock()
	var all []byte
	for written := 0; written <= messages*frameMost/outBytes; written++ {
		batch, _, _ := c.gather(nil, nil)
		all = append(all, batch...)
		c.writing = false
		if len(c.ready) == 0 && len(c.out) == 0 {
			break
		}
	}
	began, next := false, byte(0)
	for frames := http2.NewFramer(nil, bytes.NewReader(all)); ; {
		f, err := frames.ReadFrame()
		if err != nil {
			break
		}
		switch f := f.(type) {
		case *http2.HeadersFrame:
			began = true
		case *http2.DataFrame:
			if data := f.Data(); f.StreamID == 3 && len(data) > 16 {
				if !began || data[len(data)-1] != next {
					t.Fatalf("message %d comes before message %d (the answer has begun: %v)", data[len(data)-1], next, began)
				}
				next++
			}
		}
	}
	if next != messages {
		t.Fatalf("%d of %d messages are written", next, messages)
	}
}

// TestShrinkComesFirst lets the client make its table smaller and ends a stream while the writer encodes another's data: the first block
// behind the acknowledgment says that the table is smaller, and no other does.
func TestShrinkComesFirst(t *testing.T) {
	c := bare(t, nil)
	c.out = nil
	first, second := answering(c, 3, nil), answering(c, 5, nil)
	c.mu.Lock()
	answering(c, 1, slowBuffer{mem.SliceBuffer(make([]byte, 10)), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.shrinks++
		c.out = appendFrame(c.out, http2.FrameSettings, http2.FlagSettingsAck, 0, 0)
		second.pushLocked(piece{block: okTrailer}) // for the writer's turn
		first.finishLocked(nil)
	}})
	c.mu.Unlock()
	batch, _, _ := c.gather(nil, nil)
	var got []string
	for frames := http2.NewFramer(nil, bytes.NewReader(batch)); ; {
		f, err := frames.ReadFrame()
		if err != nil {
			break
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			got = append(got, "acknowledged")
		case *http2.HeadersFrame:
			got = append(got, fmt.Sprint(f.StreamID, f.HeaderBlockFragment()[0] == 0x20))
		}
	}
	if want := []string{"acknowledged", "3 true", "5 false"}; !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
}

// resets counts the resets of a client.
type resets struct {
	noLedger
	n int
}

func (r *resets) Reset() { r.n++ }

// TestFaultOfAnEncoder lets an answer fail while the writer encodes it: the stream is reset at the client, and the client is not charged for
// the member's fault. The ledger's Reset is the reader's, which holds no lock for it.
func TestFaultOfAnEncoder(t *testing.T) {
	c, ledger := bare(t, nil), &resets{}
	c.ledger, c.out = ledger, nil
	c.server.config.Fault = func(string, any, []byte) {}
	c.mu.Lock()
	defer c.mu.Unlock()
	answering(c, 1, slowBuffer{mem.SliceBuffer(make([]byte, 10)), func() { panic("a fault") }})
	_, _ = c.turnLocked(nil, nil)
	want := []byte{0, 0, 4, byte(http2.FrameRSTStream), 0, 0, 0, 0, 1, 0, 0, 0, byte(http2.ErrCodeInternal)}
	if ledger.n != 0 || len(c.streams) != 0 || !bytes.Equal(c.out, want) {
		t.Errorf("%d resets are charged, %d streams are open, and %x is written, want %x", ledger.n, len(c.streams), c.out, want)
	}
}

// blockOf is a header block of a request.
func blockOf(path string) (block []byte) {
	for _, one := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "a"}, {"content-type", "application/grpc"}} {
		block = appendField(block, one[0], one[1])
	}
	return block
}

// take gives frames to a connection as its reader would.
func take(t testing.TB, c *conn, write func(f *http2.Framer)) {
	t.Helper()
	c.established = true
	var sent bytes.Buffer
	write(http2.NewFramer(&sent, nil))
	for frames := http2.NewFramer(nil, &sent); ; {
		f, err := frames.ReadFrame()
		if err == io.EOF {
			return
		}
		if err == nil {
			err = c.take(f)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestLargeFramesWait lets a client take frames of 16 MiB, with windows for them: a message that it does not read waits in its stream, where
// it is charged and where a slow encoder holds no lock.
func TestLargeFramesWait(t *testing.T) {
	c := bare(t, nil)
	c.out = nil
	take(t, c, func(f *http2.Framer) {
		_ = f.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1<<24 - 1}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
		_ = f.WriteWindowUpdate(0, 1<<30)
	})
	if err := answering(c, 1, nil).send(wrapperspb.Bytes(make([]byte, 1<<19)), false); err != nil || len(c.out) > outBytes {
		t.Fatalf("%d bytes wait in the connection's frames: %v", len(c.out), err)
	}
	c.out, c.ends = nil, nil
	for range 1 << 19 / outBytes {
		batch, _, _ := c.gather(nil, nil)
		if c.writing = false; len(batch) > 2*outBytes {
			t.Fatalf("%d bytes are written at once", len(batch))
		}
	}
}

// TestGoAwayServesItsLast lets a drain end while a stream begins: the GOAWAY names no stream that is not served.
func TestGoAwayServesItsLast(t *testing.T) {
	c := bare(t, nil)
	begun := make(chan error, 1)
	c.mu.Lock() // as finishDrain does
	go func() { begun <- c.headers(1, blockOf("/s/None"), true, false) }()
	time.Sleep(50 * time.Millisecond)
	last := c.last
	c.drainState = drainFinished
	c.mu.Unlock()
	if err := <-begun; err != nil || last != 0 || len(c.streams) != 0 {
		t.Errorf("GOAWAY names stream %d, and %d are served: %v", last, len(c.streams), err)
	}
}

// idle counts the frames that ask for nothing.
type idle struct {
	noLedger
	n int
}

func (i *idle) Idle(n int) { i.n += n }

// frameCosts are frames that ask for nothing, or for much at once, and as how many frames they count.
var frameCosts = []struct {
	name    string
	streams int // that are open: their numbers are odd
	write   func(f *http2.Framer)
	want    int
}{
	{"no data", 1, func(f *http2.Framer) { _ = f.WriteData(1, false, nil) }, 1},
	{"no padding", 1, func(f *http2.Framer) { _ = f.WriteDataPadded(1, false, nil, []byte{}) }, 1},
	{"padding", 1, func(f *http2.Framer) { _ = f.WriteDataPadded(1, false, nil, make([]byte, 255)) }, 1},
	{"a byte", 1, func(f *http2.Framer) { _ = f.WriteDataPadded(1, false, []byte{1}, make([]byte, 255)) }, 1},
	{"more bytes", 1, func(f *http2.Framer) { _ = f.WriteData(1, false, make([]byte, dataLeast)) }, 0},
	{"an end", 1, func(f *http2.Framer) { _ = f.WriteDataPadded(1, true, nil, []byte{}) }, 0},
	{"data of a stream that is over", 0, func(f *http2.Framer) { _ = f.WriteData(1, true, make([]byte, 100)) }, 1},
	{"much of it", 0, func(f *http2.Framer) { _ = f.WriteData(1, true, make([]byte, frameMost)) }, 1 + frameMost/overFrame},
	{"ping", 0, func(f *http2.Framer) { _ = f.WritePing(true, [8]byte{}) }, 1},
	{"priority", 0, func(f *http2.Framer) { _ = f.WritePriority(3, http2.PriorityParam{}) }, 1},
	{"window", 1, func(f *http2.Framer) { _ = f.WriteWindowUpdate(1, 1) }, 1},
	{"no settings", 0, func(f *http2.Framer) { _ = f.WriteSettings() }, 1},
	{"settings", 0, func(f *http2.Framer) { _ = f.WriteSettings(slices.Repeat(windowSettings, 1000)...) }, 1 + 3000/settingsFrame},
	{"settings of all windows", 800, func(f *http2.Framer) { _ = f.WriteSettings(windowSettings[0]) }, 1 + 800/streamsFrame},
	{"many settings of all windows", 800, func(f *http2.Framer) { _ = f.WriteSettings(slices.Repeat(windowSettings, 100)...) }, 1 + 300/settingsFrame + 800/streamsFrame},
	{"the same window", 800, func(f *http2.Framer) { _ = f.WriteSettings(windowSettings[1]) }, 1},
	{"a usual header block", 0, blockFrame(usual), 0},
	{"many fields", 0, blockFrame(manyFields), 5 + 300 + len(manyFields)/blockPiece - blockFree},
	{"a large field", 0, blockFrame(largeField), 6 + len(largeField)/blockPiece - blockFree},
	{"updates of the table", 0, blockFrame(append([]byte{0x20, 0x21}, manyFields...)), 5 + 300 + (2+len(manyFields))/blockPiece - blockFree},
}

var (
	usual      = blockOf("/s/Unknown")
	manyFields = append(blockOf("/s/Unknown"), bytes.Repeat([]byte{0x80 | 19}, 300)...) // of the static table
	largeField = appendField(blockOf("/s/Unknown"), "x", strings.Repeat("x", 8<<10))
)

var windowSettings = []http2.Setting{
	{ID: http2.SettingInitialWindowSize, Val: 1 << 20}, {ID: http2.SettingInitialWindowSize, Val: 65535}, {ID: http2.SettingInitialWindowSize, Val: 1 << 19},
}

func blockFrame(block []byte) func(*http2.Framer) {
	return func(f *http2.Framer) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 9999, BlockFragment: block, EndHeaders: true, EndStream: true})
	}
}

// costly returns a connection with open streams, which counts frames.
func costly(t testing.TB, streams int) (*conn, *idle) {
	c, ledger := bare(t, nil), &idle{}
	c.ledger, c.heads.ledger, c.last, c.established = ledger, ledger, 1, true
	for i := range streams {
		c.last = uint32(2*i + 1)
		s := answering(c, c.last, nil)
		s.ended, s.wake, s.head.method.stream = false, make(chan struct{}, 1), &grpc.StreamDesc{}
	}
	return c, ledger
}

// TestFramesCost counts what clients make a connection do.
func TestFramesCost(t *testing.T) {
	for _, row := range frameCosts {
		c, ledger := costly(t, row.streams)
		if take(t, c, row.write); ledger.n != row.want {
			t.Errorf("%s: counts as %d frames, want %d", row.name, ledger.n, row.want)
		}
		c.cancel()
	}
}

// BenchmarkFramesCost measures the time of each frame beside its count: ns/count is to be alike.
func BenchmarkFramesCost(b *testing.B) {
	for _, row := range frameCosts {
		b.Run(row.name, func(b *testing.B) {
			c, ledger := costly(b, row.streams)
			defer c.cancel()
			var in bytes.Buffer
			row.write(http2.NewFramer(&in, nil))
			from := bytes.NewReader(nil)
			f := http2.NewFramer(nil, from)
			f.SetReuseFrames()
			for b.Loop() {
				from.Reset(in.Bytes())
				one, err := f.ReadFrame()
				if err == nil {
					err = c.take(one)
				}
				if err != nil {
					b.Fatal(err)
				}
				c.out, c.taken = c.out[:0], 0
				if c.last == 9999 {
					clear(c.heads.seen)
					c.last = 1
				}
				if s := c.streams[1]; s != nil {
					s.held, s.partial, s.messages = 0, nil, nil
				}
				if c.initial != 65535 {
					c.initial++ // the next frame changes the windows, too
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(ledger.n, 1)), "ns/count")
		})
	}
}

// blockBytes counts the bytes of incomplete header blocks.
type blockBytes struct {
	noLedger
	now int64
}

func (b *blockBytes) Charge(n int64) { b.now += n }

// TestHeaderBlockIsReleasedOnce has a header block arrive in three parts: the bytes of the first two are charged until the third part
// arrives, and are released once.
func TestHeaderBlockIsReleasedOnce(t *testing.T) {
	c, ledger := bare(t, nil), &blockBytes{}
	c.ledger = ledger
	var block []byte
	for _, one := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/s/Unknown"}, {"content-type", "application/grpc"}} {
		block = appendField(block, one[0], one[1])
	}
	for i, want := range []int64{10, 15, 0} {
		part := [][]byte{block[:10], block[10:15], block[15:]}[i]
		if err := c.headers(1, part, i == 2, true); err != nil || ledger.now != want {
			t.Fatalf("behind part %d, %d bytes are charged, want %d: %v", i+1, ledger.now, want, err)
		}
	}
}
