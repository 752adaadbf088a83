package server_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/server"
	"qkv/net/server/servertest"
)

// heldFiles have the values of a View. The values of held keys are not read before letGo.
type heldFiles struct {
	to     int64
	values map[string][]byte

	mu      sync.Mutex
	held    map[string]bool
	free    chan struct{}
	reading int // reads that are held up
}

func filesOf(v *index.View) *heldFiles {
	f := &heldFiles{to: v.Revision(), values: map[string][]byte{}, held: map[string]bool{}, free: make(chan struct{})}
	v.Records(func(key []byte, one *index.Version) bool {
		f.values[fmt.Sprint(string(key), index.Position{Revision: one.Mod, Sub: one.Sub})] = bytes.Clone(one.Value)
		return true
	})
	return f
}

func (f *heldFiles) hold(keys ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range keys {
		f.held[key] = true
	}
}

func (f *heldFiles) letGo() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.free)
	f.free, f.held = make(chan struct{}), map[string]bool{}
}

func (f *heldFiles) readers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reading
}

func (f *heldFiles) To() int64 { return f.to }

func (f *heldFiles) ReadTogether([]*index.Unread) {}

func (f *heldFiles) Value(key []byte, at index.Position, sound func([]byte) bool) ([]byte, error) {
	f.mu.Lock()
	if free := f.free; f.held[string(key)] {
		f.reading++
		f.mu.Unlock()
		<-free
		f.mu.Lock()
		f.reading--
	}
	value := bytes.Clone(f.values[fmt.Sprint(string(key), at)])
	f.mu.Unlock()
	if !sound(value) {
		return nil, index.ErrElsewhere
	}
	return value, nil
}

const coldKeys = 200

func coldValue(n int) string { return fmt.Sprintf("%03d", n) + strings.Repeat("v", 200) }

// newColdEndpoint is an endpoint with the keys "000" to "199"; the values of the first hundred are in files. "hot" is in memory.
func newColdEndpoint(t *testing.T) (*endpoint, *heldFiles) {
	e := &endpoint{trust: servertest.NewTrust(t), member: servertest.NewCold()}
	e.server = servertest.Start(t, e.trust, e.member, nil)
	r := e.raw(t)
	for n := range coldKeys {
		r.send(put(uint64(n), fmt.Sprintf("%03d", n), coldValue(n)))
		r.want(uint64(n), kv.OK)
	}
	files := filesOf(e.member.View())
	e.member.Evict(files)
	r.send(put(1, "hot", "h"))
	r.want(1, kv.OK)
	e.idle(t)
	for n := range coldKeys / 2 {
		if _, unread, found, err := e.member.View().Peek(fmt.Appendf(nil, "%03d", n), 0); unread == nil || !found || err != nil {
			t.Fatalf("the value of key %d: found %v, in files %v, %v", n, found, unread != nil, err)
		}
	}
	t.Cleanup(files.letGo)
	return e, files
}

func (r *raw) page(id uint64) (values []string) {
	r.t.Helper()
	var page kv.RangeResult
	p := r.want(id, kv.OK)
	if err := p.Range(&page); err != nil {
		r.t.Fatal(err)
	}
	for _, pair := range page.KVs {
		values = append(values, string(pair.Value))
	}
	return values
}

// goesOn fails unless other requests of the stream are answered: of values in memory, and of values in files.
func (r *raw) goesOn(what string) {
	r.t.Helper()
	for _, ask := range []func(uint64, string) []byte{get, getSerializable} {
		r.send(ask(100, "hot"))
		if got := r.page(100); !slices.Equal(got, []string{"h"}) {
			r.t.Errorf("%s: %q", what, got)
		}
		r.send(ask(101, "099"))
		if got := r.page(101); !slices.Equal(got, []string{coldValue(99)}) {
			r.t.Errorf("%s: %q", what, got)
		}
	}
	r.send(put(102, "hot", "h"))
	r.want(102, kv.OK)
}

// While the values for some answers are not read, their stream goes on, whatever needs the values.
func TestFileReadsDelayNoOthers(t *testing.T) {
	e, files := newColdEndpoint(t)
	r := e.raw(t)
	failure := func(key string) kv.Txn {
		return kv.Txn{
			Compares: []kv.Compare{{Key: []byte(key), Target: kv.CompareMod, Number: 1, Result: kv.Equal}},
			Success:  []kv.Op{{Put: &kv.Put{Key: []byte(key)}}},
			Failure:  []kv.Op{{Range: &kv.Range{Key: []byte(key)}}},
		}
	}
	compared := kv.Txn{
		Compares: []kv.Compare{{Key: []byte("006"), Target: kv.CompareValue, Value: []byte(coldValue(6)), Result: kv.Equal}},
		Success:  []kv.Op{{Range: &kv.Range{Key: []byte("hot")}}},
	}
	branch := func(id uint64) []string { return []string{string(r.txn(id).Answers[0].Range.KVs[0].Value)} }
	for n, one := range []struct {
		what string
		send func(id uint64, key string) []byte
		take func(id uint64) []string
		want string
	}{
		{what: "a get", send: get, take: r.page},
		{what: "a serializable get", send: getSerializable, take: r.page},
		{what: "a get of an older revision", take: r.page, send: func(id uint64, key string) []byte {
			return getWith(id, kv.Range{Key: []byte(key), Revision: e.member.View().Revision() - 1})
		}},
		{what: "a put's previous value", take: r.previous, send: func(id uint64, key string) []byte {
			return putWith(id, kv.Put{Key: []byte(key), Value: []byte("new"), PrevKV: true})
		}},
		{what: "a delete's previous value", take: r.previous, send: func(id uint64, key string) []byte {
			return deleteWith(id, kv.Delete{Key: []byte(key), PrevKV: true}, wait)
		}},
		{what: "a failed transaction", take: branch, send: func(id uint64, key string) []byte { return txn(id, failure(key)) }},
		{what: "a comparison", take: branch, want: "h", send: func(id uint64, _ string) []byte { return txn(id, compared) }},
	} {
		key := fmt.Sprintf("%03d", n)
		files.hold(key)
		r.send(one.send(50, key))
		e.until(t, one.what+" is not read", func() bool { return files.readers() == 1 })
		r.goesOn(one.what)
		files.letGo()
		want := one.want
		if want == "" {
			want = coldValue(n)
		}
		if got := one.take(50); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, not %q", one.what, got, want)
		}
	}
	e.idle(t)
}

// Neither keys alone nor counts need values.
func TestKeysNeedNoFiles(t *testing.T) {
	e, files := newColdEndpoint(t)
	files.hold("000")
	r := e.raw(t)
	r.send(getWith(1, kv.Range{Key: []byte("000"), KeysOnly: true}))
	if got := r.page(1); !slices.Equal(got, []string{""}) {
		t.Errorf("a key: %q", got)
	}
	r.send(getWith(2, kv.Range{Key: []byte("000"), CountOnly: true}))
	if got := r.page(2); len(got) > 0 {
		t.Errorf("a count: %q", got)
	}
	e.idle(t)
}

// However many answers of a stream need values from files, few are read at a time. Others follow.
func TestFileReadsAreBounded(t *testing.T) {
	e, files := newColdEndpoint(t)
	r := e.raw(t)
	for n := range 50 {
		files.hold(fmt.Sprintf("%03d", n))
	}
	for id := range uint64(50) {
		r.send(get(id, fmt.Sprintf("%03d", id)))
	}
	e.until(t, "too few values are read", func() bool { return files.readers() == server.FileReadersMost })
	r.send(get(100, "hot"))
	r.page(100)
	if n := files.readers(); n != server.FileReadersMost {
		t.Errorf("%d values are read at a time, not %d", n, server.FileReadersMost)
	}
	files.letGo()
	answered := map[uint64]bool{}
	for range 50 {
		p, err := r.next()
		var page kv.RangeResult
		if err != nil || p.Code != kv.OK || answered[p.ID] || p.Range(&page) != nil || string(page.KVs[0].Value) != coldValue(int(p.ID)) {
			t.Fatalf("%+v, %v", p, err)
		}
		answered[p.ID] = true
	}
	e.idle(t)
}

// A stream that ends while values are read leaves nothing behind.
func TestFileReadsOfEndedStream(t *testing.T) {
	e, files := newColdEndpoint(t)
	r := e.raw(t)
	for n := range 50 {
		files.hold(fmt.Sprintf("%03d", n))
	}
	for id := range uint64(50) {
		r.send(get(id, fmt.Sprintf("%03d", id)))
	}
	r.send(putWith(50, kv.Put{Key: []byte("000"), PrevKV: true}))
	e.until(t, "too few values are read", func() bool { return files.readers() == server.FileReadersMost })
	r.stream.CancelWrite(0)
	r.stream.CancelRead(0)
	_ = r.conn.CloseWithError(0, "")
	e.until(t, "the waiting reads are not dropped", func() bool { return e.server.Stats().Requests <= server.FileReadersMost })
	files.letGo()
	e.idle(t)
}

// The memory for large values is reserved before they are read. Those that do not fit wait for others. One that never fits is refused.
func TestFileReadsReserve(t *testing.T) {
	const size, large = 300 << 10, 8
	for name, bytes := range map[string]int64{"enough": limits.ClientBytes, "for three": 8 << 20} {
		t.Run(name, func(t *testing.T) {
			e := &endpoint{trust: servertest.NewTrust(t), member: servertest.NewCold()}
			e.server = servertest.Start(t, e.trust, e.member, func(c *server.Config) { c.Limits.Bytes = bytes })
			r := e.raw(t)
			for n := range large {
				r.send(put(uint64(n), fmt.Sprint(n), strings.Repeat(fmt.Sprint(n), size)))
				r.want(uint64(n), kv.OK)
			}
			files := filesOf(e.member.View())
			e.member.Evict(files)
			t.Cleanup(files.letGo)
			e.idle(t)
			most := 0
			for n := range large {
				files.hold(fmt.Sprint(n))
				r.send(get(uint64(n), fmt.Sprint(n)))
			}
			r.send(put(large, "hot", "h"))
			r.want(large, kv.OK)
			e.until(t, "no value is read", func() bool {
				most = max(most, files.readers())
				return most == large || most == 3 && bytes < limits.ClientBytes
			})
			if s := e.server.Stats(); s.Bytes < int64(most)*size {
				t.Errorf("%d bytes are reserved for %d values of %d bytes", s.Bytes, most, size)
			}
			files.letGo()
			for range large {
				p, err := r.next()
				var page kv.RangeResult
				if err != nil || p.Code != kv.OK || p.Range(&page) != nil || string(page.KVs[0].Value) != strings.Repeat(fmt.Sprint(p.ID), size) {
					t.Fatalf("%+v, %v", p.Code, err)
				}
			}
			e.idle(t)
			end := e.server.Hunger()
			r.send(get(1, "1"))
			r.want(1, kv.Overloaded)
			end()
			r.send(get(2, "2"))
			r.want(2, kv.OK)
			e.idle(t)
		})
	}
}
