package client_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/testlong"
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
// outcome because the time was over in the middle of one more try. The member's word has a quarter of a second for its way:
// on a busy host it comes too late now and then, and not each time of ten.
func TestNoQuorumIsNoUnknownOutcome(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	trust := servertest.NewTrust(t)
	s := servertest.Start(t, trust, cutOff{servertest.NewMember()}, nil)
	var running sync.WaitGroup
	for _, endpoints := range [][]string{{servertest.Endpoint(s)}, {servertest.Endpoint(s), closedPort(t), closedPort(t)}} {
		for timeout := 700 * time.Millisecond; timeout < 3*time.Second; timeout += 300 * time.Millisecond {
			c := open(t, trust, endpoints...)
			for what, ask := range map[string]func(context.Context) error{
				"put": func(ctx context.Context) error {
					_, err := c.Put(ctx, []byte("k"), []byte("v"))
					return err
				},
				"get": func(ctx context.Context) error {
					_, _, err := c.Get(ctx, []byte("k"))
					return err
				},
			} {
				running.Go(func() {
					var err error
					for range 10 {
						err = ask(ctxOf(t, timeout))
						if errors.Is(err, client.ErrUnavailable) && strings.Contains(err.Error(), errCutOff.Message) {
							return
						}
					}
					t.Errorf("%s in %v: %v", what, timeout, err)
				})
			}
		}
	}
	running.Wait()
}
