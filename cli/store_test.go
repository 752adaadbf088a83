package cli

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"

	"qkv/index/kv"
	"qkv/net/client"
)

// memory is what import and export need of a cluster: the newest values only.
type memory struct {
	mu       sync.Mutex
	revision int64
	keys     map[string]kv.KeyValue
	page     int // keys of a page
	puts     int
	failAt   int // the put that fails, counted from one; 0 is none
}

func newMemory() *memory {
	return &memory{revision: 1, keys: map[string]kv.KeyValue{}, page: 1000}
}

var errInjected = errors.New("injected")

func (m *memory) Put(_ context.Context, key, value []byte) (client.Written, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts++
	switch {
	case m.puts == m.failAt:
		return client.Written{}, errInjected
	case string(value) == "refused":
		return client.Written{}, kv.Errorf(kv.ValueTooLarge, "the value has 7 bytes, over the limit of 6")
	}
	m.revision++
	m.keys[string(key)] = kv.KeyValue{Key: bytes.Clone(key), Value: bytes.Clone(value), ModRevision: m.revision}
	return client.Written{Revision: m.revision}, nil
}

func (m *memory) Get(_ context.Context, key []byte) (kv.KeyValue, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	pair, ok := m.keys[string(key)]
	return pair, ok, nil
}

func (m *memory) Pages(_ context.Context, q kv.Range) iter.Seq2[kv.RangeResult, error] {
	var all []kv.KeyValue
	for _, name := range slices.Sorted(maps.Keys(m.keys)) {
		key := []byte(name)
		if bytes.Compare(key, q.Key) >= 0 && (bytes.Equal(q.End, client.From) || bytes.Compare(key, q.End) < 0) {
			all = append(all, m.keys[name])
		}
	}
	return func(yield func(kv.RangeResult, error) bool) {
		for page := range slices.Chunk(all, m.page) {
			if !yield(kv.RangeResult{Revision: m.revision, Count: int64(len(all)), KVs: page}, nil) {
				return
			}
		}
	}
}
