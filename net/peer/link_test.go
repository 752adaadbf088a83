package peer

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// Who was refused waits for longer than who was not reached. But other addresses are dialled at once, and again as if nobody had
// refused before.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &link{jitter: rand.New(rand.NewPCG(1, 2)), changed: make(chan struct{}, 1)}
		for _, c := range []struct {
			what        string
			before      func()
			least, most time.Duration
		}{
			{"the first dial", func() {}, 0, 0},
			{"behind one that failed", func() { l.failures = 1 }, peerDialPause / 2, peerDialPause},
			{"behind a refusal", func() { l.wait() }, peerRefusedPause, peerRefusedPauseMost},
			{"at another address", func() { l.wait(); l.setAddresses([]string{"h:1"}) }, 0, 0},
			{"when that failed, too", func() { l.failures = 1 }, peerDialPause / 2, peerDialPause},
		} {
			c.before()
			begun := time.Now()
			l.pause(t.Context())
			if took := time.Since(begun); took < c.least || took > c.most {
				t.Errorf("%s: a pause of %v, want %v to %v", c.what, took, c.least, c.most)
			}
		}
	})
}
