package server_test

import (
	"testing"

	"qkv/index/kv"
)

// The first streams of a connection cost its client's share nothing, also when others have come and gone before them: what they
// took has been given back with them.
func TestStreamsThatHaveEnded(t *testing.T) {
	e := newEndpoint(t, nil)
	first := e.raw(t)
	for id := range uint64(10) {
		r := rawOf(t, first.conn)
		r.send(put(id, "k", "v"))
		r.want(id, kv.OK)
		_ = r.stream.Close()
		_, _ = r.next() // its end
	}
	e.until(t, "an open stream costs something, though no other is", func() bool {
		r := rawOf(t, first.conn)
		r.send(put(1, "k", "v"))
		r.want(1, kv.OK)
		bytes := e.server.Stats().Bytes
		_ = r.stream.Close()
		_, _ = r.next()
		return bytes == 0
	})
}
