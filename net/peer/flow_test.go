package peer

import (
	"bytes"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

const bulkBytes = 256 << 10 // of an offer of a snapshot with thousands of parts

// The memory of a large frame is used again, and never before QUIC has the frame: each arrives as it was.
func TestLargeFramesArriveAsTheyWere(t *testing.T) {
	const count, most = 400, 8
	members := newMembers(t, 2)
	var came, wrong atomic.Int64
	members[1].receive = func(_ uint64, _ peerframe.Class, frame []byte) {
		at := came.Add(1) - 1
		m, err := peerframe.Read(frame, 1, 2)
		if o, ok := m.(peerframe.SnapshotOffer); err != nil || !ok || o.Size != at+1 || len(o.ConfState) != bulkBytes ||
			bytes.ContainsFunc(o.ConfState, func(r rune) bool { return r != rune('a'+at%26) }) {
			wrong.Add(1)
		}
	}
	for _, m := range members {
		m.start()
	}
	awaitAll(t, members)
	piece := make([]byte, bulkBytes)
	for i := range int64(count) {
		await(t, "few are on their way", wait, func() bool { return i-came.Load() < most })
		for n := range piece {
			piece[n] = byte('a' + i%26)
		}
		members[0].Send(2, peerframe.Bulk, peerframe.Encode(peerframe.SnapshotOffer{Index: 9, Term: 1, Size: i + 1, ConfState: piece}), false)
	}
	await(t, "all are there", wait, func() bool { return came.Load() == count })
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d of %d pieces are not as they were sent", n, count)
	}
}

// A peer that takes nothing of one class: its queue fills up and drops, and the other classes go on.
func TestFloodDropsAndCounts(t *testing.T) {
	members := newMembers(t, 2)
	hold := make(chan struct{})
	var urgent atomic.Int64
	members[1].receive = func(_ uint64, class peerframe.Class, _ []byte) {
		switch class {
		case peerframe.Bulk:
			<-hold
		case peerframe.Urgent:
			urgent.Add(1)
		}
	}
	for _, m := range members {
		m.start()
	}
	awaitAll(t, members)
	frame := make([]byte, 64<<10)
	const count = 2 * peerQueueBytes / (64 << 10)
	for range count {
		members[0].Send(2, peerframe.Bulk, frame, false)
	}
	s := members[0].Status()[0]
	if s.Queued > peerQueueBytes {
		t.Errorf("%d bytes wait, the limit is %d", s.Queued, peerQueueBytes)
	}
	if s.Dropped < count/4 {
		t.Errorf("%d of %d frames were dropped", s.Dropped, count)
	}
	for range 100 {
		members[0].Send(2, peerframe.Urgent, []byte("tick"), false)
	}
	await(t, "urgent frames pass by", wait, func() bool { return urgent.Load() == 100 })
	close(hold)
	await(t, "the queue empties", wait, func() bool { return members[0].Status()[0].Queued == 0 })
	s = members[0].Status()[0]
	if s.SentFrames+s.Dropped != count+100 {
		t.Errorf("%d sent and %d dropped of %d", s.SentFrames, s.Dropped, count+100)
	}
}

// Tiny frames cost more than their bytes.
func TestQueueCountsTinyFrames(t *testing.T) {
	q := newQueue(1000)
	n := 0
	for q.put([]byte{1}, false) {
		n++
	}
	if n != 1000/(frameCost+1) {
		t.Errorf("%d frames fit", n)
	}
	taken := q.take(nil)
	if len(taken) != n || q.put([]byte{1}, false) {
		t.Error("what is being written must count")
	}
	q.written(n, n)
	if q.waiting() != 0 || !q.put([]byte{1}, false) {
		t.Error("what was written must not count")
	}
	if q.close() != 1 || q.put([]byte{1}, false) || q.take(taken) != nil {
		t.Error("a closed queue takes and gives nothing")
	}
}

// Many put while one takes: nothing is lost, each one's order stays, and no wake-up is missed.
func TestQueueUnderLoad(t *testing.T) {
	q := newQueue(1 << 30)
	const putters, each = 8, 5000
	for p := range putters {
		go func() {
			for i := range each {
				q.put([]byte{byte(p), byte(i >> 8), byte(i)}, false)
			}
		}()
	}
	next := [putters]int{}
	var frames [][]byte
	for got := 0; got < putters*each; got += len(frames) {
		frames = q.take(frames)
		for _, f := range frames {
			if i := int(f[1])<<8 | int(f[2]); i != next[f[0]] {
				t.Fatalf("putter %d: frame %d where %d was due", f[0], i, next[f[0]])
			}
			next[f[0]]++
		}
	}
}

func TestLazyFrames(t *testing.T) {
	members := newMembers(t, 2)
	type arrival struct {
		class peerframe.Class
		at    time.Time
	}
	came := make(chan arrival, 100)
	members[1].receive = func(_ uint64, class peerframe.Class, _ []byte) { came <- arrival{class, time.Now()} }
	for _, m := range members {
		m.start()
	}
	awaitAll(t, members)
	// Alone, a lazy frame leaves by itself after a while.
	var alone []time.Duration
	for range 20 {
		began := time.Now()
		members[0].Send(2, peerframe.Append, []byte("commit"), true)
		alone = append(alone, (<-came).at.Sub(began))
		time.Sleep(2 * time.Millisecond)
	}
	for _, took := range alone {
		if took < peerLazyWait {
			t.Errorf("a lazy frame arrived after %v", took)
		}
	}
	// With company it leaves at once, whatever the company's class.
	quick := 0
	for i := range 50 {
		began := time.Now()
		members[0].Send(2, peerframe.Append, []byte("commit"), true)
		members[0].Send(2, peerframe.Class(i%2), []byte("company"), false)
		if a, b := <-came, <-came; a.at.Sub(began) < peerLazyWait && b.at.Sub(began) < peerLazyWait {
			quick++
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Logf("alone after %v, %d of 50 at once in company", alone[len(alone)/2], quick)
}

// What does not wait takes the lazy frames of all classes with it.
func TestLazyFramesLeaveWithCompany(t *testing.T) {
	c := newConn(&link{}, nil)
	for _, class := range []peerframe.Class{peerframe.Append, peerframe.Bulk} {
		c.send(class, []byte("commit"), true)
	}
	c.timer.Stop() // which would end their wait otherwise
	c.send(peerframe.Append, []byte("company"), false)
	for class, n := range map[peerframe.Class]int{peerframe.Append: 2, peerframe.Bulk: 1} {
		taken := make(chan [][]byte, 1)
		go func() { taken <- c.queues[class].take(nil) }()
		select {
		case frames := <-taken:
			if len(frames) != n {
				t.Errorf("%d frames of %v", len(frames), class)
			}
		case <-time.After(wait):
			t.Errorf("the lazy frames of %v stay", class)
			c.queues[class].close()
		}
	}
}

// chunks is a reader that returns what it holds in pieces of some size.
type chunks struct {
	b    []byte
	size int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.size)], c.b)
	c.b = c.b[n:]
	return n, nil
}

func TestReader(t *testing.T) {
	var frames [][]byte
	var stream []byte
	for i := range 400 {
		size := 1 + i*7%1000
		switch i % 50 {
		case 10:
			size = peerReadBytes/2 - headerBytes - 1 + i/50%3 // around what counts as large
		case 20:
			size = 3*peerReadBytes + i
		}
		f := bytes.Repeat([]byte{byte(i + 1)}, size)
		frames = append(frames, f)
		stream = append(appendHeader(stream, size), f...)
	}
	for _, size := range []int{1, 3, 1000, peerReadBytes, 1 << 20} {
		r := reader{from: &chunks{stream, size}, most: limits.PeerFrameBytes}
		var got [][]byte
		for {
			f, err := r.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("pieces of %d: %v", size, err)
			}
			if cap(f) != len(f) {
				t.Fatalf("a frame of %d bytes has room for %d: an append would write into the next one", len(f), cap(f))
			}
			got = append(got, f)
		}
		if len(got) != len(frames) {
			t.Fatalf("pieces of %d: %d frames of %d", size, len(got), len(frames))
		}
		for i := range got { // after all was read: none may have been written over
			if !bytes.Equal(got[i], frames[i]) {
				t.Fatalf("pieces of %d: frame %d of %d bytes differs", size, i, len(frames[i]))
			}
		}
	}
	for cut := range 30 {
		r := reader{from: &chunks{stream[:cut], 7}, most: limits.PeerFrameBytes}
		var err error
		for err == nil {
			_, err = r.next()
		}
		if (err == io.EOF) != (cut == 0 || cut == 5 || cut == 17) {
			t.Errorf("cut after %d bytes: %v", cut, err)
		}
	}
}

func TestReaderAllocatesLittle(t *testing.T) {
	stream := bytes.Repeat(append(appendHeader(nil, 280), make([]byte, 280)...), 10_000)
	allocations := testing.AllocsPerRun(5, func() {
		r := reader{from: &chunks{stream, 8 << 10}, most: limits.PeerFrameBytes}
		for {
			if _, err := r.next(); err != nil {
				return
			}
		}
	})
	if allocations > 60 { // 2.8 MB in pieces of 64 KiB
		t.Errorf("%v allocations for 10,000 frames", allocations)
	}
}

// TestReaderOfLargeFrames: beside the memory of a large frame, which its user keeps, a reader takes none.
func TestReaderOfLargeFrames(t *testing.T) {
	const size, count = 70 << 10, 500
	stream := bytes.Repeat(append(appendHeader(nil, size), make([]byte, size)...), count)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := reader{from: &chunks{stream, 20 << 10}, most: limits.PeerFrameBytes}
	for range count {
		if f, err := r.next(); err != nil || len(f) != size {
			t.Fatalf("%d bytes, %v", len(f), err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / count; each > size+8<<10 { // in whole pages of the allocator
		t.Errorf("%d bytes are allocated for each frame of %d", each, size)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 7, 0, 0, 0, 2, 8, 9}, uint8(3))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		r := reader{from: &chunks{b, int(size) + 1}, most: 1 << 20}
		total := 0
		for {
			frame, err := r.next()
			if err != nil {
				return
			}
			if total += len(frame) + headerBytes; len(frame) == 0 || total > len(b) {
				t.Fatalf("%d bytes of frames out of %d", total, len(b))
			}
		}
	})
}

func TestCloseWhileSending(t *testing.T) {
	for range 5 {
		members := startAll(t, 3)
		var all sync.WaitGroup
		stop := make(chan struct{})
		for _, m := range members {
			transport := m.Transport // which the end of m takes away
			all.Go(func() {
				for i := uint64(0); ; i++ {
					select {
					case <-stop:
						return
					default:
						transport.Send(1+i%4, peerframe.Class(i%3), make([]byte, 100), i%5 == 0)
					}
				}
			})
		}
		time.Sleep(20 * time.Millisecond)
		for _, m := range members {
			m.stop()
		}
		close(stop)
		all.Wait()
	}
}
