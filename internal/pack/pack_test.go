package pack_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
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

// pair is a struct of two fields, in which there is another one.
type pair struct {
	number uint64
	inner  struct {
		name string
		raw  []byte
		list []int64
		flag bool
	}
	last int64
}

func readPair(r *pack.Reader) (p pair) {
	s := r.Struct(3)
	p.number = r.Uint()
	inner := r.Struct(4)
	p.inner.name, p.inner.raw = r.String(), r.Bytes()
	for range r.Array() {
		p.inner.list = append(p.inner.list, r.Int())
	}
	p.inner.flag = r.Bool()
	r.End(inner)
	p.last = r.Int()
	r.End(s)
	return p
}

// pairOf appends a struct of so many fields, with an inner one of so many: those behind the known ones are of all kinds.
func pairOf(dst []byte, fields, inner int) []byte {
	raw := [][]byte{
		pack.AppendString(nil, "n"), pack.AppendBytes(nil, []byte("raw")), pack.AppendInt(pack.AppendArray(nil, 1), -7), pack.AppendBool(nil, true),
		{0x81, 0x01, 0x92, 0xc0, 0xc2},
	}
	in := pack.AppendArray(nil, inner)
	for i := range inner {
		in = append(in, raw[min(i, len(raw)-1)]...)
	}
	all := [][]byte{pack.AppendUint(nil, 300), in, pack.AppendInt(nil, -5), pack.AppendString(nil, "later")}
	dst = pack.AppendArray(dst, fields)
	for i := range fields {
		dst = append(dst, all[min(i, len(all)-1)]...)
	}
	return dst
}

func TestStructsGrow(t *testing.T) {
	var whole pair
	whole.number, whole.last = 300, -5
	whole.inner.name, whole.inner.raw, whole.inner.list, whole.inner.flag = "n", []byte("raw"), []int64{-7}, true
	for fields := range 20 {
		for inner := range 20 {
			if fields < 2 && inner > 0 {
				continue
			}
			want := whole
			if fields < 1 {
				want.number = 0
			}
			if fields < 2 || inner < 1 {
				want.inner.name = ""
			}
			if fields < 2 || inner < 2 {
				want.inner.raw = nil
			}
			if fields < 2 || inner < 3 {
				want.inner.list = nil
			}
			if fields < 2 || inner < 4 {
				want.inner.flag = false
			}
			if fields < 3 {
				want.last = 0
			}
			b := pack.AppendUint(pairOf(nil, fields, inner), 77)
			r := pack.NewReader(b)
			if got := readPair(&r); !reflect.DeepEqual(got, want) || r.Uint() != 77 || r.Done() != nil {
				t.Fatalf("%d fields with %d: %+v, want %+v: %v", fields, inner, got, want, r.Err())
			}
			r = pack.NewExactReader(b)
			got := readPair(&r)
			switch newer := fields > 3 || fields > 1 && inner > 4; {
			case newer && (!errors.Is(r.Err(), pack.ErrNewer) || errors.Is(r.Err(), pack.ErrMalformed)):
				t.Fatalf("%d fields with %d where none may be skipped: %v", fields, inner, r.Err())
			case !newer && (!reflect.DeepEqual(got, want) || r.Uint() != 77 || r.Done() != nil):
				t.Fatalf("%d fields with %d where none may be skipped: %+v, %v", fields, inner, got, r.Err())
			}
			for cut := range len(b) - 1 { // what is torn is malformed, wherever it is
				r := pack.NewReader(b[:cut])
				if readPair(&r); r.Err() == nil {
					t.Fatalf("% x, cut to %d bytes, was read", b, cut)
				}
			}
		}
	}
	r := pack.NewReader([]byte{0x90, 0x01})
	if r.Fields(r.Array()-1, 2); r.Err() == nil {
		t.Error("a struct was read whose first field says what it is, and is missing")
	}
}

// Each struct with missing fields is walked: nested ones cost their depth times their size.
func TestMissingFieldsAreBounded(t *testing.T) {
	for depth := range 8 {
		b := append(bytes.Repeat([]byte{0x91}, depth), 0x05)
		r := pack.NewReader(b)
		var open []pack.Struct
		for range depth {
			open = append(open, r.Struct(2))
		}
		if got := r.Uint(); depth <= 4 && got != 5 || (r.Err() == nil) != (depth <= 4) {
			t.Errorf("%d deep: %d, %v", depth, got, r.Err())
		}
		for i := range open {
			if second := r.Uint(); second != 0 {
				t.Errorf("%d deep: a missing field is %d", depth, second)
			}
			r.End(open[len(open)-1-i])
		}
		if depth <= 4 && r.Done() != nil {
			t.Errorf("%d deep: %v", depth, r.Err())
		}
	}
}
