package cli

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"qkv/net/wire"
)

// memory is a store for tests: the newest values only.
type memory struct {
	mu       sync.Mutex
	revision int64
	keys     map[string]pair
	page     int64 // most keys of an answer, whatever is asked; 0 is any
	puts     int
	failAt   int // the put that fails, counted from one; 0 is none
}

func newMemory() *memory { return &memory{revision: 1, keys: map[string]pair{}} }

var errInjected = errors.New("injected")

func (m *memory) put(_ context.Context, key, value []byte) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts++
	switch {
	case m.puts == m.failAt:
		return 0, errInjected
	case string(value) == "refused":
		return 0, wire.Errorf(wire.ValueTooLarge, "the value has 7 bytes, over the limit of 6")
	}
	m.revision++
	kv := m.keys[string(key)]
	if kv.version == 0 {
		kv = pair{key: bytes.Clone(key), create: m.revision}
	}
	kv.value, kv.mod, kv.version = bytes.Clone(value), m.revision, kv.version+1
	m.keys[string(key)] = kv
	return m.revision, nil
}

func (m *memory) get(_ context.Context, q query) (*pairs, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	answer := &pairs{revision: m.revision}
	for _, name := range slices.Sorted(maps.Keys(m.keys)) {
		key := []byte(name)
		open := len(q.end) == 1 && q.end[0] == 0
		inside := bytes.Compare(key, q.key) >= 0 && (open || bytes.Compare(key, q.end) < 0)
		if q.end == nil && !bytes.Equal(key, q.key) || q.end != nil && !inside {
			continue
		}
		answer.count++
		limit := q.limit
		if m.page > 0 {
			limit = min(m.page, max(limit, m.page))
		}
		if limit > 0 && int64(len(answer.kvs)) == limit {
			answer.more = true
			continue
		}
		answer.kvs = append(answer.kvs, m.keys[name])
	}
	return answer, nil
}

func (m *memory) del(context.Context, []byte, []byte) (int64, int64, error) {
	return 0, 0, errors.New("not used by any test")
}

func (m *memory) status(context.Context) ([]memberStatus, error) {
	return nil, errors.New("not used by any test")
}

func (m *memory) close() error { return nil }
