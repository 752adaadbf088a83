package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/testlong"
	"qkv/net/client"
	"qkv/net/server"
	"qkv/net/server/servertest"
)

// chaosMember refuses, loses, or applies and then says that it does not know, at random.
type chaosMember struct {
	*servertest.Member
	calm atomic.Bool
}

var (
	errSurely   = &kv.Error{Code: kv.Unavailable, Message: "surely not"}
	errUnknown  = &kv.Error{Code: kv.Unknown, Message: "who knows"}
	errOverload = &kv.Error{Code: kv.Overloaded, Message: "too much"}
)

func (m *chaosMember) Propose(p kv.Proposal) {
	if m.calm.Load() {
		m.Member.Propose(p)
		return
	}
	switch rand.IntN(8) {
	case 0:
		failAll(p, errSurely)
	case 1:
		failAll(p, errOverload)
	case 2: // applied, and not known
		m.Member.Propose(kv.Proposal{ReplyTo: void{}, Requests: p.Requests, Commands: p.Commands})
		failAll(p, errUnknown)
	case 3: // not applied, and not known
		failAll(p, errUnknown)
	case 4: // late
		go func() {
			time.Sleep(rand.N(30 * time.Millisecond))
			m.Member.Propose(p)
		}()
	default:
		m.Member.Propose(p)
	}
}

func failAll(p kv.Proposal, err *kv.Error) {
	done := make([]kv.Completion, len(p.Requests))
	for i, r := range p.Requests {
		done[i] = kv.Completion{Request: r, Kind: kv.CommandDone, Result: kv.Result{Err: err}}
	}
	p.ReplyTo.Complete(done)
}

type void struct{}

func (void) Complete([]kv.Completion) {}

// Members stop and start at any time, refuse, lose and do not know. A write that is acknowledged is there once, one that
// certainly did not happen is not there, and none is ever there twice.
func TestNothingTwice(t *testing.T) {
	testlong.Skip(t)
	trust := servertest.NewTrust(t)
	a := servertest.NewMember()
	members := []*chaosMember{{Member: a}, {Member: servertest.NewMember(a)}}
	var addresses []string
	servers := make([]*server.Server, len(members))
	start := func(i int, address string) {
		servers[i] = servertest.Start(t, trust, members[i], func(c *server.Config) { c.Address = address })
	}
	for i := range members {
		start(i, "")
		addresses = append(addresses, servertest.Endpoint(servers[i]))
	}
	c := open(t, trust, addresses...)

	ctx, cancel := context.WithCancel(t.Context())
	type outcome struct {
		key string
		err error
	}
	var mu sync.Mutex
	var outcomes []outcome
	report := func(key string, err error) {
		mu.Lock()
		defer mu.Unlock()
		outcomes = append(outcomes, outcome{key, err})
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := 0; ctx.Err() == nil; j++ {
				key := fmt.Sprintf("%d/%d", i, j)
				switch rand.IntN(10) {
				case 0: // a caller without patience
					short, stop := context.WithTimeout(t.Context(), rand.N(20*time.Millisecond))
					_, err := c.Put(short, []byte(key), []byte(key))
					stop()
					report(key, err)
				case 1:
					back := make(chan struct{})
					c.PutAsync([]byte(key), []byte(key), func(_ client.Written, err error) {
						report(key, err)
						close(back)
					})
					<-back
				default:
					_, err := c.Put(t.Context(), []byte(key), []byte(key))
					report(key, err)
				}
				if _, _, err := c.Get(t.Context(), []byte(key)); err != nil {
					t.Errorf("get: %v", err)
				}
			}
		})
	}
	shown := func() (all bool) {
		mu.Lock()
		defer mu.Unlock()
		var acknowledged, unknown, surely bool
		for _, o := range outcomes {
			is := errors.Is(o.err, client.ErrOutcomeUnknown)
			acknowledged, unknown, surely = acknowledged || o.err == nil, unknown || is, surely || o.err != nil && !is
		}
		return acknowledged && unknown && surely
	}
	for begun := time.Now(); time.Since(begun) < chaosTime || !shown() && time.Since(begun) < wait; {
		time.Sleep(rand.N(100 * time.Millisecond))
		i := rand.IntN(len(members))
		_ = servers[i].Close()
		time.Sleep(rand.N(100 * time.Millisecond))
		start(i, addresses[i])
	}
	cancel()
	wg.Wait()
	for _, m := range members {
		m.calm.Store(true)
	}

	var acknowledged, unknown, surely, happened int
	for _, o := range outcomes {
		pair, found, err := c.Get(t.Context(), []byte(o.key))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case found && pair.Version != 1:
			t.Errorf("%s was written %d times", o.key, pair.Version)
		case o.err == nil:
			acknowledged++
			if !found {
				t.Errorf("%s was acknowledged and is not there", o.key)
			}
		case errors.Is(o.err, client.ErrOutcomeUnknown):
			unknown++
			if found {
				happened++
			}
		default:
			surely++
			if found {
				t.Errorf("%s is there, after %v", o.key, o.err)
			}
		}
	}
	t.Logf("%d acknowledged, %d unknown of which %d happened, %d surely not", acknowledged, unknown, happened, surely)
	if acknowledged == 0 || unknown == 0 || surely == 0 {
		t.Error("the test shows nothing")
	}
}

const chaosTime = 3 * time.Second
