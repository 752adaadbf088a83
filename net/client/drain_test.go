package client_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"qkv/index"
	"qkv/net/server"
	"qkv/net/server/servertest"
)

// later is a member that answers after a while, so that many requests are under way at any time.
type later struct {
	*servertest.Member
	after time.Duration
}

func (m later) Propose(p index.Proposal) {
	time.AfterFunc(m.after, func() { m.Member.Propose(p) })
}

// A member that drains and closes at once loses no call: what it took it answers, and the end of a stream tells that
// the rest did not happen, so that it is sent to another member, and happens once.
func TestDrainAndClose(t *testing.T) {
	t.Parallel()
	const rounds, callers = 10, 16
	trust := servertest.NewTrust(t)
	m := servertest.NewMember()
	last := servertest.Start(t, trust, later{m, time.Millisecond}, nil)
	happened := int64(0)
	for range rounds {
		first := servertest.Start(t, trust, later{servertest.NewMember(m), 3 * time.Millisecond}, nil)
		second := servertest.Start(t, trust, later{servertest.NewMember(m), 3 * time.Millisecond}, nil)
		c := open(t, trust, servertest.Endpoint(first), servertest.Endpoint(second), servertest.Endpoint(last))
		stop := make(chan struct{})
		var mu sync.Mutex
		var running sync.WaitGroup
		for i := range callers {
			running.Go(func() {
				for n := int64(0); ; n++ {
					select {
					case <-stop:
						mu.Lock()
						happened += n
						mu.Unlock()
						return
					default:
					}
					if _, err := c.Put(t.Context(), fmt.Appendf(nil, "k%d", i), []byte("v")); err != nil {
						t.Errorf("a write failed: %v", err)
					}
				}
			})
		}
		for _, s := range []*server.Server{first, second} {
			time.Sleep(30 * time.Millisecond)
			begun := time.Now()
			s.Drain(ctxOf(t, 5*time.Second))
			_ = s.Close()
			if took := time.Since(begun); took > 3*time.Second {
				t.Errorf("to drain and close took %v", took)
			}
		}
		time.Sleep(20 * time.Millisecond)
		close(stop)
		running.Wait()
		_ = c.Close()
	}
	if revision := m.View().Revision(); revision != 1+happened {
		t.Errorf("%d writes were acknowledged, and the store is at revision %d, not %d", happened, revision, 1+happened)
	}
}
