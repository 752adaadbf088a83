package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"qkv/log/limits"
	"qkv/log/pack"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

var exampleStatus = Status{
	Name: "n1", ID: 0x8e9e05c52164694d, Cluster: 0xc0ffee, Version: "0.1.0", Role: "leader", Term: 2, Leader: 0x8e9e05c52164694d,
	Commit: 9, Applied: 9, Revision: 4, Keys: 3, LogBytes: 64 << 20, SnapshotBytes: 0, Digest: math.MaxUint64, Error: "",
	Members: []Member{
		{ID: 0x8e9e05c52164694d, Name: "n1", Clients: []string{"10.0.0.1:2379", "[::1]:2379"}},
		{ID: 7, Name: "n2"},
	},
}

var examplePairs = []KeyValue{
	{Key: []byte("greeting"), Value: []byte("hello"), Create: 2, Mod: 9, Version: 3},
	{Key: []byte{0, 0xff}, Value: []byte{}, Create: math.MaxInt64, Mod: math.MaxInt64, Version: 1, Lease: 0x1234},
}

func appendPage(dst []byte, id uint64, revision, count int64, more bool, pairs []KeyValue) []byte {
	bytes := 0
	for _, kv := range pairs {
		bytes += PairBytes(len(kv.Key), len(kv.Value))
	}
	dst, page := BeginPage(dst, id, revision, count, more, len(pairs), bytes)
	for i := range pairs {
		dst = AppendPair(dst, &pairs[i])
	}
	return EndPage(dst, page)
}

// array is what the library is to encode: the elements of one frame.
type array []any

// examples are one or more frames of each kind, beside what they say.
var examples = []struct {
	name   string
	frame  []byte
	fields array
}{
	{
		"put", AppendRequest(nil, 1, OpPut, 5*time.Second, AppendPutBody(nil, []byte("greeting"), []byte("hello"), 0)),
		array{1, 1, 5000, []byte("greeting"), []byte("hello"), 0},
	},
	{
		"put of much", AppendRequest(nil, 1<<40, OpPut, 50*time.Microsecond, AppendPutBody(nil, []byte("k"), bytes.Repeat([]byte("v"), 300), 77)),
		array{1 << 40, 1, 1, []byte("k"), bytes.Repeat([]byte("v"), 300), 77},
	},
	{
		"delete", AppendRequest(nil, 300, OpDelete, time.Minute, AppendDeleteBody(nil, []byte("a"), []byte("b"))),
		array{300, 2, 60000, []byte("a"), []byte("b")},
	},
	{
		"range", AppendRequest(nil, 2, OpRange, time.Second, AppendRangeBody(nil, []byte("a"), nil, 7, 100, Serializable|Continued)),
		array{2, 3, 1000, []byte("a"), []byte{}, 7, 100, 9},
	},
	{"status", AppendRequest(nil, 3, OpStatus, time.Second, nil), array{3, 4, 1000}},
	{"written", AppendWritten(nil, 1, 2, 0), array{1, 0, 2, 0}},
	{"written large", AppendWritten(nil, math.MaxUint64, math.MaxInt64, 1000), array{uint64(math.MaxUint64), 0, math.MaxInt64, 1000}},
	{
		"page", appendPage(nil, 2, 9, 5, true, examplePairs),
		array{
			2, 0, 9, 5, true,
			array{
				array{[]byte("greeting"), []byte("hello"), 2, 9, 3, 0},
				array{[]byte{0, 0xff}, []byte{}, math.MaxInt64, math.MaxInt64, 1, 0x1234},
			},
		},
	},
	{"empty page", appendPage(nil, 2, 9, 0, false, nil), array{2, 0, 9, 0, false, array{}}},
	{"error", AppendError(nil, 4, Unavailable, "no leader"), array{4, 6, "no leader"}},
	{
		"status answer", AppendStatusAnswer(nil, 3, &exampleStatus),
		array{3, 0, array{
			"n1", uint64(0x8e9e05c52164694d), 0xc0ffee, "0.1.0", "leader", 2, uint64(0x8e9e05c52164694d), 9, 9, 4, 3,
			64 << 20, 0, uint64(math.MaxUint64), "",
			array{
				array{uint64(0x8e9e05c52164694d), "n1", array{"10.0.0.1:2379", "[::1]:2379"}},
				array{7, "n2", array{}},
			},
		}},
	},
}

// The hand-written bytes are those of the library, and its bytes are read back.
func TestSameBytesAsLibrary(t *testing.T) {
	for _, x := range examples {
		var b bytes.Buffer
		e := msgpack.NewEncoder(&b)
		e.UseCompactInts(true)
		if err := e.Encode(x.fields); err != nil {
			t.Fatal(err)
		}
		want := AppendFrame(nil, b.Bytes())
		if !bytes.Equal(x.frame, want) {
			t.Errorf("%s:\n% x, the library\n% x", x.name, x.frame, want)
		}
	}
}

// The bytes are those of the first release, for ever.
func TestGolden(t *testing.T) {
	const file = "testdata/frames.txt"
	var b strings.Builder
	for _, x := range examples {
		fmt.Fprintf(&b, "%s\n%s", x.name, hex.Dump(x.frame))
	}
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("frames are not those of %s any more:\n%s", file, b.String())
	}
}

func frameOf(t testing.TB, b []byte) []byte {
	t.Helper()
	frame, rest, ok, err := SplitFrame(b, limits.ResponseBytes)
	if !ok || err != nil || len(rest) != 0 {
		t.Fatalf("no frame: %v, %d bytes left", err, len(rest))
	}
	return frame
}

func TestRequestsReadBack(t *testing.T) {
	var q Request
	read := func(b []byte) Request {
		t.Helper()
		if err := ReadRequest(frameOf(t, b), &q); err != nil {
			t.Fatal(err)
		}
		return q
	}
	same := func(got, want Request) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, wrote %+v", got, want)
		}
	}
	key, value, end := []byte("key"), []byte("value"), []byte("kez")
	same(read(AppendRequest(nil, 9, OpPut, time.Second, AppendPutBody(nil, key, value, -3))),
		Request{ID: 9, Op: OpPut, Timeout: time.Second, Key: key, Value: value, Lease: -3})
	same(read(AppendRequest(nil, 9, OpDelete, time.Second, AppendDeleteBody(nil, key, end))),
		Request{ID: 9, Op: OpDelete, Timeout: time.Second, Key: key, End: end})
	same(read(AppendRequest(nil, 9, OpRange, time.Second, AppendRangeBody(nil, key, end, -1, math.MaxInt64, KeysOnly|CountOnly))),
		Request{ID: 9, Op: OpRange, Timeout: time.Second, Key: key, End: end, Revision: -1, Limit: math.MaxInt64, Flags: KeysOnly | CountOnly})
	same(read(AppendRequest(nil, 9, OpStatus, time.Second, nil)), Request{ID: 9, Op: OpStatus, Timeout: time.Second})

	for ms, want := range map[uint64]time.Duration{
		0: limits.RequestTimeout, 1: time.Millisecond, 59_999: 59_999 * time.Millisecond, 60_001: limits.RequestTimeout, math.MaxUint64: limits.RequestTimeout,
	} {
		b := pack.AppendUint(pack.AppendUint(pack.AppendUint(pack.AppendArray(nil, 3), 1), uint64(OpStatus)), ms)
		if err := ReadRequest(b, &q); err != nil || q.Timeout != want {
			t.Errorf("timeout_ms %d: %v, %v", ms, q.Timeout, err)
		}
	}
}

// What is not understood is answered, and only what has no id is not.
func TestRequestsRefused(t *testing.T) {
	raw := func(fields ...any) []byte {
		var b bytes.Buffer
		e := msgpack.NewEncoder(&b)
		e.UseCompactInts(true)
		if err := e.Encode(fields); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		frame []byte
		want  string
	}{
		"unknown op":        {raw(5, 99, 1), "op 99 is not known here: this member knows 1 to 4"},
		"op 0":              {raw(5, 0, 1), "op 0 is not known here"},
		"op of 64 bits":     {raw(5, uint64(math.MaxUint64), 1), "is not known here"},
		"op 257":            {raw(5, 257, 1), "op 257 is not known here"},
		"no timeout":        {raw(5, 1), "without op and timeout"},
		"only an id":        {raw(5), "without op and timeout"},
		"one field more":    {raw(5, 1, 1, []byte("k"), []byte("v"), 0, 0), "a put of 7 fields: this member knows 6"},
		"one field less":    {raw(5, 2, 1, []byte("k")), "a delete of 4 fields: this member knows 5"},
		"a string as a key": {raw(5, 2, 1, "k", []byte{}), "a delete that cannot be read"},
		"unknown flag":      {raw(5, 3, 1, []byte("k"), []byte{}, 0, 0, 16), "flags 0x10, of which 0xf are known here"},
		"bytes behind":      {append(raw(5, 4, 1), 0), "1 bytes are left over"},
	} {
		var q Request
		err := ReadRequest(c.frame, &q)
		var answer *Error
		if !errors.As(err, &answer) || answer.Code != BadRequest || q.ID != 5 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: id %d, %v, wanted %q", name, q.ID, err, c.want)
		}
	}
	for name, b := range map[string][]byte{
		"empty": {}, "a map": {0x81, 1, 1}, "no id": {0x90}, "id of another kind": {0x91, 0xa0}, "huge array": {0xdd, 0xff, 0xff, 0xff, 0xff},
	} {
		var q Request
		if err := ReadRequest(b, &q); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	long := bytes.Repeat([]byte("k"), limits.KeyBytes+1)
	for name, c := range map[string]struct {
		q    Request
		code Code
		want string
	}{
		"empty key":            {Request{Op: OpPut}, EmptyKey, "the key is empty"},
		"empty key of a range": {Request{Op: OpRange}, EmptyKey, "the key is empty"},
		"long key":             {Request{Op: OpPut, Key: long}, KeyTooLarge, "the key has 4097 bytes, over the limit of 4096"},
		"long end":             {Request{Op: OpDelete, Key: []byte("k"), End: long}, KeyTooLarge, "the end of the range has 4097 bytes, over the limit of 4096"},
		"longest key":          {Request{Op: OpRange, Key: long[1:]}, OK, ""},
		"large value":          {Request{Op: OpPut, Key: []byte("k"), Value: make([]byte, 11)}, ValueTooLarge, "the value has 11 bytes, over the limit of 10"},
		"largest value":        {Request{Op: OpPut, Key: []byte("k"), Value: make([]byte, 10)}, OK, ""},
		"negative revision":    {Request{Op: OpRange, Key: []byte("k"), Revision: -1}, BadRequest, "revision -1 is negative"},
		"negative limit":       {Request{Op: OpRange, Key: []byte("k"), Limit: -1}, BadRequest, "limit -1 is negative"},
		"lease":                {Request{Op: OpPut, Key: []byte("k"), Lease: 255}, FeatureLevel, "lease ff"},
		"status":               {Request{Op: OpStatus}, OK, ""},
	} {
		err := c.q.Check(10)
		if c.code == OK {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || err.Code != c.code || !strings.Contains(err.Message, c.want) {
			t.Errorf("%s: %v, wanted %v %q", name, err, c.code, c.want)
		}
	}
}

func TestAnswersReadBack(t *testing.T) {
	read := func(b []byte, id uint64, code Code) *Response {
		t.Helper()
		p, err := ReadResponse(frameOf(t, b))
		if err != nil || p.ID != id || p.Code != code {
			t.Fatalf("answer %d %v, wanted %d %v: %v", p.ID, p.Code, id, code, err)
		}
		return &p
	}
	if revision, deleted, err := read(AppendWritten(nil, 7, 12, 3), 7, OK).Written(); err != nil || revision != 12 || deleted != 3 {
		t.Errorf("written %d %d %v", revision, deleted, err)
	}
	if err := read(AppendError(nil, 8, Unknown, "perhaps"), 8, Unknown).Failed(); err == nil || err.Message != "perhaps" || err.Certain() {
		t.Errorf("error %v", err)
	}
	var page Range
	if err := read(appendPage(nil, 9, 4, 2, true, examplePairs), 9, OK).Range(&page); err != nil {
		t.Fatal(err)
	}
	if want := (Range{Revision: 4, Count: 2, More: true, Pairs: examplePairs}); !reflect.DeepEqual(page, want) {
		t.Errorf("page %+v, wanted %+v", page, want)
	}
	if s, err := read(AppendStatusAnswer(nil, 10, &exampleStatus), 10, OK).Status(); err != nil || !reflect.DeepEqual(s, exampleStatus) {
		t.Errorf("status %+v, %v", s, err)
	}
}

// An answer of a later version has more fields, in each array that has any.
func TestAnswersGrow(t *testing.T) {
	later := func(fields ...any) *Response {
		var b bytes.Buffer
		if err := msgpack.NewEncoder(&b).Encode(array(fields)); err != nil {
			t.Fatal(err)
		}
		p, err := ReadResponse(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return &p
	}
	if revision, _, err := later(1, 0, 5, 0, "more", array{1}).Written(); err != nil || revision != 5 {
		t.Errorf("written: %d, %v", revision, err)
	}
	var page Range
	pair := array{[]byte("k"), []byte("v"), 1, 2, 3, 4, "more"}
	if err := later(1, 0, 5, 1, false, array{pair}, nil).Range(&page); err != nil || string(page.Pairs[0].Value) != "v" {
		t.Errorf("range: %+v, %v", page, err)
	}
	status := array{"n", 1, 2, "v", "r", 3, 4, 5, 6, 7, 8, 9, 10, 11, "", array{array{1, "n", array{"a"}, "more"}}, "more"}
	if s, err := later(1, 0, status, 3).Status(); err != nil || s.Members[0].Clients[0] != "a" {
		t.Errorf("status: %+v, %v", s, err)
	}
	if err := later(1, 200, "of the future").Failed(); err == nil || err.Certain() || err.Retryable() || err.Code.String() != "code 200" {
		t.Errorf("code 200: %v", err)
	}
	for name, err := range map[string]error{
		"written": func() error { _, _, err := later(1, 0, 5).Written(); return err }(),
		"range":   later(1, 0, 5, 1, false).Range(&page),
		"status":  func() error { _, err := later(1, 0).Status(); return err }(),
		"pair":    later(1, 0, 5, 1, false, array{array{[]byte("k")}}).Range(&page),
	} {
		if !errors.Is(err, ErrFrame) {
			t.Errorf("a short %s: %v", name, err)
		}
	}
}

func TestCodes(t *testing.T) {
	for c := range Code(codes) {
		e := &Error{Code: c}
		if e.Error() == "" || e.Error() != c.String() {
			t.Errorf("code %d has no name", c)
		}
		if certain := c != Unknown && c != Internal; e.Certain() != certain {
			t.Errorf("%v: certain %v", c, e.Certain())
		}
	}
}

// Hostile lengths at each place where a length stands.
func TestHostileLengths(t *testing.T) {
	for _, evil := range [][]byte{
		{0xdd, 0xff, 0xff, 0xff, 0xff},
		{0xdf, 0xff, 0xff, 0xff, 0xff},
		{0xc6, 0xff, 0xff, 0xff, 0xff},
		{0xdb, 0xff, 0xff, 0xff, 0xff},
		{0xc9, 0xff, 0xff, 0xff, 0xff},
	} {
		for _, x := range examples {
			frame := frameOf(t, x.frame)
			for at := range frame {
				decodeAll(append(append([]byte{}, frame[:at]...), evil...))
			}
		}
	}
}

// decodeAll reads bytes as everything that they may be.
func decodeAll(frame []byte) {
	var q Request
	if ReadRequest(frame, &q) == nil {
		_ = q.Check(limits.ValueBytes)
	}
	p, err := ReadResponse(frame)
	if err != nil {
		return
	}
	_ = p.Failed()
	_, _, _ = p.Written()
	_ = p.Range(&Range{})
	_, _ = p.Status()
}

func FuzzMessages(f *testing.F) {
	for _, x := range examples {
		f.Add(frameOf(f, x.frame))
	}
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeAll(b)
		var q Request
		if ReadRequest(b, &q) != nil {
			return
		}
		// What is read is written the same way, but for how it was spelled.
		var body []byte
		switch q.Op {
		case OpPut:
			body = AppendPutBody(nil, q.Key, q.Value, q.Lease)
		case OpDelete:
			body = AppendDeleteBody(nil, q.Key, q.End)
		case OpRange:
			body = AppendRangeBody(nil, q.Key, q.End, q.Revision, q.Limit, q.Flags)
		}
		var again Request
		if err := ReadRequest(frameOf(t, AppendRequest(nil, q.ID, q.Op, q.Timeout, body)), &again); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(q) != fmt.Sprint(again) {
			t.Fatalf("%+v was written as %+v", q, again)
		}
	})
}

func BenchmarkPut(b *testing.B) {
	key, value := []byte("key/0000001234"), make([]byte, 256)
	buf, body := make([]byte, 0, 1024), make([]byte, 0, 1024)
	var q Request
	b.ReportAllocs()
	for b.Loop() {
		body = AppendPutBody(body[:0], key, value, 0)
		buf = AppendRequest(buf[:0], 1234, OpPut, time.Second, body)
		n, header := binary.Uvarint(buf)
		if err := ReadRequest(buf[header:header+int(n)], &q); err != nil {
			b.Fatal(err)
		}
		buf = AppendWritten(buf[:0], q.ID, 12345, 0)
	}
}
