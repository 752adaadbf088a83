// Package codec encodes rare messages and small files: a member's status, lists, rare requests, handshakes, the small files of the data
// folder, the heads of snapshots, the manifests of backups.
// Each is a Go struct with `msgpack:"name"` tags, encoded by vmihailenco/msgpack v5 as a map with short names, without the zero fields.
//
// A map grows by names: an older qkv ignores the fields of a message that it does not know, and refuses them in a file ([pack.ErrNewer]).
// So a field is never used for something else, and its name never again.
//
// The library allocates what a length claims before it reads so many bytes. The functions here therefore walk over the bytes first, with
// the type beside them. They check each length against the bytes that are left, each number against its field, and the memory of the value
// against its bytes (memoryTimes). Nothing else may call the library's decoder: cli/floors_test.go checks that.
// Package pack encodes entries, commands, keys and values, events, and all that a digest covers: their speed counts, or their bytes must be
// equal on all members.
//
// Types may have booleans, integers, strings, slices, arrays of bytes, pointers and structs of those. Another type is a programmer's error,
// and panics. All functions may be called concurrently.
package codec

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/vmihailenco/msgpack/v5"

	"qkv/internal/pack"
)

// A decoded value takes at most memoryTimes the memory of its bytes, and memoryLeast. An unknown field nests at most deepest lists and maps:
// the library skips them by recursion, and Go ends a process whose stack is full.
const (
	memoryTimes = 16
	memoryLeast = 32 << 10
	deepest     = 100
)

// Append appends the encoding of a value.
func Append(dst []byte, value any) []byte {
	to := bytes.NewBuffer(dst)
	e := msgpack.GetEncoder()
	defer msgpack.PutEncoder(e)
	e.Reset(to)
	e.UseCompactInts(true)
	e.SetOmitEmpty(true)
	if err := e.Encode(value); err != nil {
		panic(fmt.Sprintf("encode a %T: %v", value, err))
	}
	return to.Bytes()
}

// Read decodes a message, which is all of b, into what to points to. Unknown fields are ignored. The error wraps [pack.ErrMalformed]. The
// value keeps none of the bytes.
func Read(b []byte, to any) error { return whole(b, to, false) }

// ReadFile is Read for the content of a file. Unknown fields are refused with [pack.ErrNewer].
func ReadFile(b []byte, to any) error { return whole(b, to, true) }

// ReadNext is Read for a value that is next in a Reader.
func ReadNext(r *pack.Reader, to any) {
	if r.Err() != nil {
		return
	}
	rest, err := read(r.Rest(), to, false)
	if err != nil {
		r.Fail(err.Error())
		return
	}
	r.Drop(len(r.Rest()) - len(rest))
}

func whole(b []byte, to any, known bool) error {
	rest, err := read(b, to, known)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes are left over", pack.ErrMalformed, len(rest))
	}
	return err
}

func read(b []byte, to any, known bool) (rest []byte, err error) {
	w := walk{Reader: pack.NewReader(b), known: known, memory: memoryTimes*len(b) + memoryLeast}
	w.value(reflect.TypeOf(to).Elem())
	if w.Err() != nil {
		return nil, w.Err()
	}
	if w.newer != "" {
		return nil, fmt.Errorf("%w: it has a field %q", pack.ErrNewer, w.newer)
	}
	rest = w.Rest()
	d := msgpack.GetDecoder()
	defer msgpack.PutDecoder(d)
	d.Reset(bytes.NewReader(b[:len(b)-len(rest)]))
	if err := d.Decode(to); err != nil {
		return nil, fmt.Errorf("%w: %w", pack.ErrMalformed, err)
	}
	return rest, nil
}

// walk checks bytes before the library decodes them.
type walk struct {
	pack.Reader
	known  bool   // unknown fields are an error
	newer  string // an unknown field
	memory int    // that the value may still take
}

// take notes that the value takes n times the memory of a type.
func (w *walk) take(n int, t reflect.Type) {
	if size := int(t.Size()); size > 0 && n > w.memory/size {
		w.Fail("it would take too much memory for its size")
		return
	}
	w.memory -= n * int(t.Size())
}

func (w *walk) value(t reflect.Type) {
	if w.Nil() || w.Err() != nil {
		return
	}
	switch t.Kind() {
	case reflect.Bool:
		w.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n := w.Int(); reflect.Zero(t).OverflowInt(n) {
			w.Fail(fmt.Sprintf("%d is too large for a field", n))
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n := w.Uint(); reflect.Zero(t).OverflowUint(n) {
			w.Fail(fmt.Sprintf("%d is too large for a field", n))
		}
	case reflect.String:
		w.Text()
	case reflect.Array:
		w.Fixed(make([]byte, t.Len()))
	case reflect.Slice:
		w.slice(t.Elem())
	case reflect.Pointer:
		w.take(1, t.Elem())
		w.value(t.Elem())
	case reflect.Struct:
		w.fields(t)
	default:
		panic(fmt.Sprintf("package codec encodes no %v", t))
	}
}

func (w *walk) slice(of reflect.Type) {
	if of.Kind() == reflect.Uint8 {
		w.Bytes()
		return
	}
	n := w.Array()
	w.take(2*n, of) // a slice that grows has up to twice the capacity that it needs
	for range n {
		if w.Err() != nil {
			return
		}
		w.value(of)
	}
}

func (w *walk) fields(t reflect.Type) {
	types := fieldsOf(t)
	for range w.Map() {
		name := w.Text()
		if w.Err() != nil {
			return
		}
		if of, ok := types[string(name)]; ok {
			w.value(of)
			continue
		}
		if w.known && w.newer == "" {
			w.newer = string(name)
		}
		w.skip(deepest)
	}
}

// skip skips a value that nests at most depth lists and maps.
func (w *walk) skip(depth int) {
	n, b := 0, w.Rest()
	switch {
	case len(b) > 0 && (b[0]&0xf0 == 0x90 || b[0] == 0xdc || b[0] == 0xdd):
		n = w.Array()
	case len(b) > 0 && (b[0]&0xf0 == 0x80 || b[0] == 0xde || b[0] == 0xdf):
		n = 2 * w.Map()
	default:
		w.Skip()
		return
	}
	if depth == 0 {
		w.Fail(fmt.Sprintf("an unknown field nests more than %d lists and maps", deepest))
	}
	for i := 0; i < n && w.Err() == nil; i++ {
		w.skip(depth - 1)
	}
}

var fieldTypes sync.Map // of map[string]reflect.Type by reflect.Type

// fieldsOf returns the types of a struct's fields by their names in the encoding. Each field must have a name: Go's names are not a format.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if known, ok := fieldTypes.Load(t); ok {
		return known.(map[string]reflect.Type)
	}
	types := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("msgpack"), ",")
		if _, twice := types[name]; name == "" || twice {
			panic(fmt.Sprintf("%v.%s has no name of its own in the encoding", t, f.Name))
		}
		if name != "-" {
			types[name] = f.Type
		}
	}
	fieldTypes.Store(t, types)
	return types
}
