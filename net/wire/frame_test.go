package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// appendFrame appends a frame around a body.
func appendFrame(dst, body []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(body))), body...)
}

// A frame's guess never shows.
func TestFrameGuess(t *testing.T) {
	body := make([]byte, 40_000)
	for i := range body {
		body[i] = byte(i)
	}
	for _, size := range []int{1, 126, 127, 128, 129, 16382, 16383, 16384, 16385, 40_000} {
		for _, guess := range []int{0, 1, 127, 128, 16383, 16384, 1 << 21} {
			dst, start := beginFrame([]byte("before"), guess)
			got := endFrame(append(dst, body[:size]...), start, guess)
			want := append([]byte("before"), appendFrame(nil, body[:size])...)
			if !bytes.Equal(got, want) {
				t.Fatalf("size %d, guess %d: % x", size, guess, got[:min(len(got), 20)])
			}
		}
	}
}

func TestSplitFrameRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"length 0":        {[]byte{0, 1, 2}, "its length is 0"},
		"over the limit":  {binary.AppendUvarint(nil, 101), "its length of 101 bytes is over the limit of 100"},
		"huge":            {binary.AppendUvarint(nil, 1<<63), "is over the limit of 100"},
		"endless":         {bytes.Repeat([]byte{0xff}, 11), "its length field is not terminated"},
		"over 64 bits":    {append(bytes.Repeat([]byte{0xff}, 9), 2), "its length field is not terminated"},
		"in more bytes":   {[]byte{0x81, 0x00, 0}, "its length 1 is encoded in 2 bytes"},
		"ten bytes of it": {bytes.Repeat([]byte{0x80}, 10), "its length field is not terminated"},
	} {
		_, _, ok, err := SplitFrame(c.b, 100)
		if ok || !errors.Is(err, ErrFrame) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	for _, b := range [][]byte{{}, {0x80}, {0xff, 0xff}, {2, 1}, {100}} {
		if _, rest, ok, err := SplitFrame(b, 100); ok || err != nil || !bytes.Equal(rest, b) {
			t.Errorf("% x: %v, %v", b, ok, err)
		}
	}
}

// readAll reads frames until the end and returns how many came with the largest batch.
func readAll(r *FrameReader) (frames [][]byte, most int, err error) {
	for {
		if err := r.Fill(); err != nil {
			return frames, most, err
		}
		for batch := 1; ; batch++ {
			frame, err := r.Next()
			if err != nil {
				return frames, most, err
			}
			if frame == nil {
				break
			}
			frames = append(frames, bytes.Clone(frame))
			most = max(most, batch)
		}
	}
}

// Frames of all sizes come out as they went in, however the stream is cut.
func TestFrameReader(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 30 {
		var stream []byte
		var want [][]byte
		for range 50 {
			size := 1 + rng.IntN(300)
			if rng.IntN(10) == 0 {
				size = 1 + rng.IntN(400_000)
			}
			body := make([]byte, size)
			for i := range body {
				body[i] = byte(rng.Uint32())
			}
			want = append(want, body)
			stream = appendFrame(stream, body)
		}
		var from io.Reader = bytes.NewReader(stream)
		switch round % 3 {
		case 1:
			from = iotest.HalfReader(from)
		case 2:
			from = &ragged{from, rng}
		}
		got, most, err := readAll(NewFrameReader(from, 400_000))
		if err != io.EOF || len(got) != len(want) || most < 2 {
			t.Fatalf("round %d: %d frames of %d, %d at once: %v", round, len(got), len(want), most, err)
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("round %d: frame %d differs", round, i)
			}
		}
	}
}

// ragged reads pieces of any size.
type ragged struct {
	from io.Reader
	rng  *rand.Rand
}

func (r *ragged) Read(b []byte) (int, error) { return r.from.Read(b[:1+r.rng.IntN(len(b))]) }

// The buffer follows what arrives: it grows with data only, and a large frame's room is given back.
func TestFrameReaderBuffer(t *testing.T) {
	const most = 1 << 20
	in, out := io.Pipe()
	go func() {
		_, _ = out.Write(binary.AppendUvarint(nil, most)) // claims a mebibyte
		_, _ = out.Write(make([]byte, 100))
		_, _ = out.Write(make([]byte, most-100))
		_, _ = out.Write([]byte{1, 7})
		_, _ = out.Write([]byte{1, 7})
		out.Close()
	}()
	r := NewFrameReader(in, most)
	for r.Partial() < 100 {
		if err := r.Fill(); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.buf) != frameBufferLeast {
		t.Errorf("a claim made the buffer %d bytes large", len(r.buf))
	}
	frames, _, err := readAll(r)
	if err != io.EOF || len(frames) != 3 || len(frames[0]) != most {
		t.Fatalf("%d frames: %v", len(frames), err)
	}
	if len(r.buf) != frameBufferMost {
		t.Errorf("the buffer stays %d bytes large", len(r.buf))
	}
}

// room is a number of bytes for buffers.
type room struct{ left int }

func (r *room) Take(bytes int) bool {
	if bytes > r.left {
		return false
	}
	r.left -= bytes
	return true
}

func (r *room) Give(bytes int) { r.left += bytes }

// A frame for which there is no room is skipped, however the stream is cut; those before and behind it come out.
func TestFrameReaderWithoutRoom(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, given := range []int{0, 4 << 10, 60 << 10, 200 << 10, 1 << 20} {
		var stream []byte
		var sizes []int
		for i := range 200 {
			size := 10 + rng.IntN(300)
			if rng.IntN(5) == 0 {
				size = 10 + rng.IntN(400_000)
			}
			sizes = append(sizes, size)
			body := bytes.Repeat([]byte{byte(i)}, size)
			stream = appendFrame(stream, body)
		}
		have := &room{given}
		r := NewBoundedFrameReader(&ragged{bytes.NewReader(stream), rng}, 400_000, have)
		next, refused := 0, 0
		see := func(head []byte, size int) {
			if next == len(sizes) || size != sizes[next] || head[0] != byte(next) {
				t.Fatalf("frame %d: %d bytes that begin with %d", next, size, head[0])
			}
			next++
		}
		var err error
		for err == nil {
			err = r.Fill()
			if none, ok := errors.AsType[*NoBudgetError](err); ok {
				see(none.Head, none.Size)
				refused++
				err = nil
			}
			for err == nil {
				var frame []byte
				if frame, err = r.Next(); frame == nil {
					break
				}
				see(frame, len(frame))
			}
			if have.left < 0 {
				t.Fatalf("%d bytes more than there were", -have.left)
			}
		}
		if err != io.EOF || next != len(sizes) || (refused == 0) != (given == 1<<20) {
			t.Errorf("with %d bytes: %d frames, %d of them refused: %v", given, next, refused, err)
		}
		if r.Trim(); r.Grown() || have.left != given {
			t.Errorf("with %d bytes: trimmed, and %d are left", given, have.left)
		}
		if r.Release(); have.left != given {
			t.Errorf("with %d bytes: released, and %d are left", given, have.left)
		}
	}
}

func TestFrameReaderEndsWithinFrame(t *testing.T) {
	r := NewFrameReader(bytes.NewReader([]byte{5, 1, 2}), 100)
	if _, _, err := readAll(r); !errors.Is(err, ErrFrame) || !strings.Contains(err.Error(), "after 3 bytes") {
		t.Error(err)
	}
}

func FuzzFrameReader(f *testing.F) {
	f.Add([]byte{1, 7, 2, 7, 7}, uint8(1))
	f.Add(binary.AppendUvarint(nil, 1<<40), uint8(3))
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		got, _, err := readAll(NewFrameReader(&stepped{stream, int(step%16) + 1}, 1000))
		var back []byte
		for _, frame := range got {
			back = appendFrame(back, frame)
		}
		if !bytes.HasPrefix(stream, back) {
			t.Fatalf("frames that were not there: % x of % x", back, stream)
		}
		if err == io.EOF && len(back) != len(stream) {
			t.Fatalf("%d bytes of %d, and no error", len(back), len(stream))
		}
	})
}

type stepped struct {
	rest []byte
	step int
}

func (s *stepped) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.rest[:min(len(s.rest), s.step)])
	s.rest = s.rest[n:]
	return n, nil
}

// A buffer that a burst left is given up after a while; one that is used, or small, is not.
func TestReuse(t *testing.T) {
	for _, x := range []struct{ len, cap, times int }{
		{0, 0, 100}, {0, 1 << 10, 100}, {0, 64 << 10, 100}, {32 << 10, 256 << 10, 100}, {1000, 256 << 10, reuseSmall}, {reuseMost, reuseMost + 1, 0},
	} {
		var r Reuse
		times := 0
		for b := make([]byte, x.len, x.cap); times < 100; times++ {
			if b = r.Of(b[:x.len]); len(b) != 0 || cap(b) != x.cap {
				break
			}
		}
		if times != x.times {
			t.Errorf("of %d bytes in %d: used %d times, wanted %d", x.len, x.cap, times, x.times)
		}
	}
}
