package pack_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"qkv/internal/pack"
)

var integers = []int64{
	0, 1, 31, 32, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64,
	-1, -32, -33, -128, -129, -32768, -32769, math.MinInt32, math.MinInt32 - 1, math.MinInt64,
}

var lengths = []int{0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536}

// encode writes with the library what the package writes by hand.
func encode(t *testing.T, write func(e *msgpack.Encoder) error) []byte {
	t.Helper()
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.UseCompactInts(true)
	if err := write(e); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSameBytesAsLibrary(t *testing.T) {
	for _, n := range integers {
		want := encode(t, func(e *msgpack.Encoder) error { return e.EncodeInt(n) })
		got := pack.AppendInt(nil, n)
		if !bytes.Equal(got, want) {
			t.Errorf("int %d: % x, library % x", n, got, want)
		}
		r := pack.NewReader(want)
		if back := r.Int(); back != n || r.Done() != nil {
			t.Errorf("int %d read as %d: %v", n, back, r.Err())
		}
		if n >= 0 {
			want := encode(t, func(e *msgpack.Encoder) error { return e.EncodeUint(uint64(n)) })
			if got := pack.AppendUint(nil, uint64(n)); !bytes.Equal(got, want) {
				t.Errorf("uint %d: % x, library % x", n, got, want)
			}
		}
	}
	for _, n := range lengths {
		b := bytes.Repeat([]byte{'x'}, n)
		if got, want := pack.AppendBytes(nil, b), encode(t, func(e *msgpack.Encoder) error { return e.EncodeBytes(b) }); !bytes.Equal(got, want) {
			t.Errorf("bytes of %d differ", n)
		} else if r := pack.NewReader(want); !bytes.Equal(r.Bytes(), b) || r.Done() != nil {
			t.Errorf("bytes of %d read back: %v", n, r.Err())
		}
		if got, want := pack.AppendString(nil, string(b)), encode(t, func(e *msgpack.Encoder) error { return e.EncodeString(string(b)) }); !bytes.Equal(got, want) {
			t.Errorf("string of %d differs", n)
		} else if r := pack.NewReader(want); r.String() != string(b) || r.Done() != nil {
			t.Errorf("string of %d read back: %v", n, r.Err())
		}
		if got, want := pack.AppendArray(nil, n), encode(t, func(e *msgpack.Encoder) error { return e.EncodeArrayLen(n) }); !bytes.Equal(got, want) {
			t.Errorf("array of %d differs", n)
		} else if r := pack.NewReader(append(want, make([]byte, n)...)); r.Array() != n {
			t.Errorf("array of %d read back: %v", n, r.Err())
		}
	}
	for _, b := range []bool{false, true} {
		if got, want := pack.AppendBool(nil, b), encode(t, func(e *msgpack.Encoder) error { return e.EncodeBool(b) }); !bytes.Equal(got, want) {
			t.Errorf("bool %v differs", b)
		}
	}
	if got, want := pack.AppendNil(nil), encode(t, (*msgpack.Encoder).EncodeNil); !bytes.Equal(got, want) {
		t.Error("nil differs")
	}
}

// The five bytes that make msgpack v5.4.1 ask for 34 GiB, and their kin.
func TestHostileLengths(t *testing.T) {
	for _, b := range [][]byte{
		{0xdd, 0xff, 0xff, 0xff, 0xff},
		{0xdf, 0xff, 0xff, 0xff, 0xff},
		{0xc6, 0xff, 0xff, 0xff, 0xff},
		{0xdb, 0xff, 0xff, 0xff, 0xff},
		{0xc9, 0xff, 0xff, 0xff, 0xff},
		{0xdc, 0xff, 0xff},
		{},
	} {
		for name, read := range map[string]func(r *pack.Reader){
			"array":  func(r *pack.Reader) { r.Array() },
			"bytes":  func(r *pack.Reader) { r.Bytes() },
			"string": func(r *pack.Reader) { _ = r.String() },
			"uint":   func(r *pack.Reader) { r.Uint() },
			"int":    func(r *pack.Reader) { r.Int() },
			"skip":   func(r *pack.Reader) { r.Skip() },
		} {
			r := pack.NewReader(b)
			read(&r)
			if r.Err() == nil {
				t.Errorf("% x was read as %s", b, name)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{0x93, 0x01, 0xc4, 0x01, 'a', 0xa1, 'b'})
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		skipper := pack.NewReader(b)
		skipper.Skip()
		for _, read := range []func(r *pack.Reader) int{
			(*pack.Reader).Array,
			func(r *pack.Reader) int { return len(r.Bytes()) },
			func(r *pack.Reader) int { return len(r.String()) },
		} {
			r := pack.NewReader(b)
			if n := read(&r); n > len(b) {
				t.Fatalf("%d elements or bytes out of %d", n, len(b))
			}
		}
	})
}
