package actor

import (
	"sync/atomic"
	"testing"
	"time"

	"qkv/internal/testlong"
)

// TestSpawnBesidePosts gives actors to a driver at the moment at which others begin to write to them, as it is when a
// member starts: its actors come up one after the other, and peers connect meanwhile. A wake-up that is lost then is
// lost for ever, since a mailbox requests for one only.
func TestSpawnBesidePosts(t *testing.T) {
	testlong.Skip(t)
	const times = 100_000
	came := make(chan struct{}, 1)
	for i := range times {
		r := NewRuntime()
		box := NewMailbox[hop]("new", Capacity{MustPost: 1})
		var now atomic.Bool
		go func() {
			for !now.Load() {
			}
			for range i % 1500 { // so that it meets each moment of Spawn
				now.Load()
			}
			box.MustPost(hop{})
		}()
		now.Store(true)
		Spawn(r, box, handlerFunc(func(batch []hop) {
			for range batch {
				came <- struct{}{}
			}
		}))
		select {
		case <-came:
		case <-time.After(time.Minute):
			t.Fatalf("attempt %d: the actor sleeps although a message waits for it", i)
		}
		r.Stop()
	}
}
