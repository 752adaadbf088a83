package codec

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"qkv/internal/pack"
)

type inner struct {
	ID    uint64   `msgpack:"i"`
	Names []string `msgpack:"n"`
}

type small uint8

type outer struct {
	Flag   bool          `msgpack:"f"`
	Count  int64         `msgpack:"c"`
	Small  small         `msgpack:"s"`
	Wait   time.Duration `msgpack:"w"`
	Folder [16]byte      `msgpack:"d"`
	Bytes  []byte        `msgpack:"b"`
	Text   string        `msgpack:"t"`
	Inner  []inner       `msgpack:"in"`
	Maybe  *inner        `msgpack:"m"`
	Local  int           `msgpack:"-"`
}

// grown is outer as a newer qkv has it.
type grown struct {
	Count int64    `msgpack:"c"`
	More  []inner  `msgpack:"more"`
	Other []string `msgpack:"o"`
}

func full() outer {
	return outer{
		Flag: true, Count: -5, Small: 200, Wait: time.Hour, Folder: [16]byte{1, 15: 2}, Bytes: []byte{0, 1}, Text: "text",
		Inner: []inner{{1, []string{"a", "b"}}, {ID: 1 << 63}}, Maybe: &inner{ID: 3},
	}
}

func TestRoundTrip(t *testing.T) {
	for _, want := range []outer{{}, full()} {
		var got outer
		r := pack.NewReader(append(Append(nil, &want), "rest"...))
		if ReadNext(&r, &got); r.Err() != nil || string(r.Rest()) != "rest" || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %q, %v; want %+v", got, r.Rest(), r.Err(), want)
		}
		got = outer{}
		if err := Read(Append(nil, &want), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("of a message: %+v, %v", got, err)
		}
		got = outer{}
		if err := ReadFile(Append(nil, &want), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("of a file: %+v, %v", got, err)
		}
		for _, read := range []func([]byte, any) error{Read, ReadFile} {
			if err := read(append(Append(nil, &want), 0), new(outer)); !errors.Is(err, pack.ErrMalformed) {
				t.Errorf("a byte behind the value: %v", err)
			}
		}
	}
}

// The bytes are a format: a change of the library, or of its options, must not change them.
func TestGolden(t *testing.T) {
	got := Append([]byte("x"), &outer{Count: 300, Text: "t", Inner: []inner{{ID: 7}}})
	if want := []byte("x\x84\xa1c\xcd\x01\x2c\xa1d\xc4\x10" + strings.Repeat("\x00", 16) + "\xa1t\xa1t\xa2in\x91\x81\xa1i\x07"); !bytes.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestUnknownFields(t *testing.T) {
	newer := Append(nil, &grown{Count: 7, More: []inner{{1, []string{"x"}}}, Other: []string{"y"}})
	var got outer
	if err := Read(newer, &got); err != nil || got.Count != 7 {
		t.Errorf("a message of a newer qkv: %+v, %v", got, err)
	}
	if err := ReadFile(newer, &got); !errors.Is(err, pack.ErrNewer) || !strings.Contains(err.Error(), `"more"`) {
		t.Errorf("a file of a newer qkv: %v", err)
	}
}

func TestMalformed(t *testing.T) {
	whole := full()
	b := Append(nil, &whole)
	for n := range len(b) {
		if err := Read(b[:n], new(outer)); !errors.Is(err, pack.ErrMalformed) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(b), err)
		}
	}
	for name, one := range map[string]string{
		"too large a number":       "\x81\xa1s\xcd\x01\x00",
		"a negative one":           "\x81\xa1s\xff",
		"a float for an integer":   "\x81\xa1c\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00",
		"too few bytes of a fixed": "\x81\xa1d\xc4\x01x",
		"an array for the struct":  "\x91\x01",
		"a number as a name":       "\x81\x01\x01",
	} {
		if err := Read([]byte(one), new(outer)); !errors.Is(err, pack.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a few bytes claim is not allocated, and what many bytes hold takes at most memoryTimes their memory.
func TestMemory(t *testing.T) {
	many := func(header string, n int, element string) []byte {
		return []byte(header + string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + strings.Repeat(element, n))
	}
	for name, b := range map[string][]byte{
		"a long binary":         []byte("\x81\xa1b\xc6\xff\xff\xff\xff"),
		"a long text":           []byte("\x81\xa1t\xdb\xff\xff\xff\xff"),
		"a long array":          []byte("\x81\xa2in\xdd\xff\xff\xff\xff"),
		"a long map":            []byte("\xdf\xff\xff\xff\xff"),
		"many empty structs":    many("\x81\xa2in\xdd", 1<<20, "\x80"),
		"many absent structs":   many("\x81\xa2in\xdd", 1<<20, "\xc0"),
		"a struct many times":   many("\xdf", 1<<18, "\xa1m\x80"),
		"many of an other type": many("\x81\xa4more\xdd", 1<<20, "\x80"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = Read(b, new(outer))
		runtime.ReadMemStats(&after)
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(memoryTimes*len(b)+64<<10); got > most {
			t.Errorf("%s: %d bytes took %d bytes of memory, at most %d are allowed", name, len(b), got, most)
		}
	}
}

// The library skips an unknown field by recursion: 3 MiB of lists in lists took 512 MiB of stack, and 8 MiB ended the process.
func TestDeepUnknownFields(t *testing.T) {
	for name, level := range map[string]string{"a list": "\x91", "a long list": "\xdc\x00\x01", "a map": "\x81\xc0", "a long map": "\xdf\x00\x00\x00\x01\xc0"} {
		for depth, accepted := range map[int]bool{deepest: true, deepest + 1: false, 1 << 20: false} {
			err := Read([]byte("\x81\xa4more"+strings.Repeat(level, depth)+"\xc0"), new(outer))
			if (err == nil) != accepted || err != nil && !errors.Is(err, pack.ErrMalformed) {
				t.Errorf("%d times %s: %v", depth, name, err)
			}
		}
	}
}

func TestUnsupportedTypesPanic(t *testing.T) {
	for name, to := range map[string]any{
		"a field without a name": &struct{ A int }{},
		"two of one name": &struct {
			A int `msgpack:"a"`
			B int `msgpack:"a"`
		}{},
		"a map": &map[string]int{},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is accepted", name)
				}
			}()
			_ = Read([]byte("\x80"), to)
		}()
	}
}

// FuzzRead proves for any bytes: no panic, no more memory than allowed, and what is read is written and read again.
func FuzzRead(f *testing.F) {
	whole := full()
	f.Add(Append(nil, &whole))
	f.Add([]byte("\x81\xa1b\xc6\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var first, again outer
		if err := Read(b, &first); err != nil {
			return
		}
		encoded := Append(nil, &first)
		if err := ReadFile(encoded, &again); err != nil {
			t.Fatalf("%+v is not read again: %v", first, err)
		}
		if !bytes.Equal(Append(nil, &again), encoded) {
			t.Fatalf("%+v became %+v", first, again)
		}
	})
}
