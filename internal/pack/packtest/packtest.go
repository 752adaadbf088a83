// Package packtest tests the growth rules of formats: [Grows] checks a struct that [pack.Reader.Struct] reads.
package packtest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"qkv/internal/pack"
)

// Grows checks the struct at a path of encoded. The path is the indexes of the elements that lead to the struct's
// array; without a path, encoded is the array.
//
//   - With unknown fields behind the known ones it decodes to the same value, or, if exact, fails with pack.ErrNewer.
//   - With fields missing at its end, down to least, it decodes as if these fields were zero.
//   - Torn anywhere it does not decode.
//
// exact is for replicated state, which skips no field.
func Grows[T any](t *testing.T, name string, encoded []byte, decode func([]byte) (T, error), exact bool, least int, path ...int) {
	t.Helper()
	whole, err := decode(encoded)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	before, fields, after := at(encoded, path)
	build := func(fields ...[]byte) []byte {
		return slices.Concat(before, pack.AppendArray(nil, len(fields)), bytes.Join(fields, nil), after)
	}
	later := [][]byte{pack.AppendString(nil, "later"), {0x81, 0x01, 0x92, 0xc0, 0xc2}, pack.AppendUint(nil, 1<<40)}
	for n := 1; n <= len(later); n++ {
		got, err := decode(build(append(fields[:len(fields):len(fields)], later[:n]...)...))
		switch {
		case exact && (!errors.Is(err, pack.ErrNewer) || errors.Is(err, pack.ErrMalformed)):
			t.Errorf("%s at %v with %d fields more: %v, not ErrNewer", name, path, n, err)
		case !exact && (err != nil || !same(reflect.ValueOf(got), reflect.ValueOf(whole))):
			t.Errorf("%s at %v with %d fields more: %+v, %v, not %+v", name, path, n, got, err, whole)
		}
	}
	var zeros [][]byte // of the missing fields
	for n := len(fields) - 1; n >= least; n-- {
		got, err := decode(build(fields[:n]...))
		agrees := false
		for _, fixed := range []bool{true, false} {
			some := append([][]byte{zero(fields[n], fixed)}, zeros...)
			want, wrong := decode(build(append(fields[:n:n], some...)...))
			if agrees = wrong == nil && same(reflect.ValueOf(got), reflect.ValueOf(want)); agrees {
				zeros = some
				break
			}
		}
		if err != nil || !agrees {
			t.Errorf("%s at %v with %d fields of %d: %+v, %v, which is not what it is with zeros there", name, path, n, len(fields), got, err)
			break
		}
	}
	if len(path) == 0 {
		for n := range encoded {
			if _, err := decode(encoded[:n]); err == nil {
				t.Errorf("%s, torn to %d bytes of %d, was decoded", name, n, len(encoded))
			}
		}
	}
}

// at returns the elements of the array at a path, and the bytes before and after the array.
func at(b []byte, path []int) (before []byte, elements [][]byte, after []byte) {
	r := pack.NewReader(b)
	for _, n := range path {
		r.Array()
		for range n {
			r.Skip()
		}
	}
	before = b[:len(b)-len(r.Rest())]
	for range r.Array() {
		rest := r.Rest()
		r.Skip()
		elements = append(elements, rest[:len(rest)-len(r.Rest())])
	}
	if r.Err() != nil {
		panic(fmt.Sprintf("no array at %v of % x: %v", path, b, r.Err()))
	}
	return before, elements, r.Rest()
}

// zero returns the zero of a value's type. For a binary of fixed length, such as an id, that is as many zero bytes.
func zero(b []byte, fixed bool) []byte {
	r := pack.NewReader(b)
	switch c := b[0]; {
	case c == 0xc2 || c == 0xc3:
		return []byte{0xc2}
	case c >= 0xc4 && c <= 0xc6:
		if fixed {
			return pack.AppendBytes(nil, make([]byte, len(r.Bytes())))
		}
		return []byte{0xc4, 0}
	case c >= 0xa0 && c <= 0xbf || c >= 0xd9 && c <= 0xdb:
		return []byte{0xa0}
	case c >= 0x90 && c <= 0x9f || c == 0xdc || c == 0xdd:
		return []byte{0x90}
	case c == 0xc0:
		return []byte{0xc0}
	default:
		return []byte{0}
	}
}

// same is reflect.DeepEqual, except that it treats an empty slice as nil.
func same(a, b reflect.Value) bool {
	if a.IsValid() != b.IsValid() || a.IsValid() && a.Type() != b.Type() {
		return false
	}
	if !a.IsValid() {
		return true
	}
	switch a.Kind() {
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		for i := range a.NumField() {
			if !same(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return same(a.Elem(), b.Elem())
	case reflect.Bool:
		return a.Bool() == b.Bool()
	case reflect.String:
		return a.String() == b.String()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return a.Int() == b.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return a.Uint() == b.Uint()
	default:
		return a.IsZero() && b.IsZero()
	}
}
