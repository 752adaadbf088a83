package server_test

import (
	"testing"

	"qkv/index/kv"
)

// TestIdleWatchHasNothingUnread: the memory of a stream itself is no unread answer.
func TestIdleWatchHasNothingUnread(t *testing.T) {
	e := newEndpoint(t, nil)
	var all []*raw
	for i := range 5 {
		r := e.raw(t)
		r.send(watchOf(uint64(i+1), "key"))
		r.delivered(kv.WatchCreated)
		all = append(all, r)
	}
	for range 4 { // streams that are charged
		r := rawOf(t, all[0].conn)
		r.send(watchOf(1, "key"))
		r.delivered(kv.WatchCreated)
	}
	for _, c := range e.server.Clients() {
		if c.Watches != 9 || c.Bytes != 0 {
			t.Errorf("%+v", c)
		}
	}
}
