package client_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/net/client"
	"qkv/net/server/servertest"
)

// cutOff is a member that reaches no other: it says so when the time that it was given is over, and its clock has ticked.
type cutOff struct{ *servertest.Member }

var errCutOff = &kv.Error{Code: kv.Unavailable, Message: "n1 cannot reach n2, n3"}

func (m cutOff) answer(to kv.ReplyTo, requests []uint64, kind kv.CompletionKind, after time.Duration) {
	time.AfterFunc(after+30*time.Millisecond, func() {
		for _, r := range requests {
			to.Complete([]kv.Completion{{Request: r, Kind: kind, Result: kv.Result{Err: errCutOff}}})
		}
	})
}

func (m cutOff) Propose(p kv.Proposal) {
	m.answer(p.ReplyTo, p.Requests, kv.CommandDone, p.Timeout)
}

func (m cutOff) ReadIndex(to kv.ReplyTo, requests []uint64, timeout time.Duration) {
	m.answer(to, requests, kv.ReadReady, timeout)
}

// However often a write was tried, it ends with the member's word that it did not happen, and not with an unknown
// outcome because the time was over in the middle of one more try.
func TestNoQuorumIsNoUnknownOutcome(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	s := servertest.Start(t, trust, cutOff{servertest.NewMember()}, nil)
	var running sync.WaitGroup
	for _, endpoints := range [][]string{{servertest.Endpoint(s)}, {servertest.Endpoint(s), closedPort(t), closedPort(t)}} {
		for timeout := 700 * time.Millisecond; timeout < 3*time.Second; timeout += 300 * time.Millisecond {
			c := open(t, trust, endpoints...)
			running.Go(func() {
				_, err := c.Put(ctxOf(t, timeout), []byte("k"), []byte("v"))
				if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), errCutOff.Message) {
					t.Errorf("put in %v: %v", timeout, err)
				}
			})
			running.Go(func() {
				_, _, err := c.Get(ctxOf(t, timeout), []byte("k"))
				if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), errCutOff.Message) {
					t.Errorf("get in %v: %v", timeout, err)
				}
			})
		}
	}
	running.Wait()
}
