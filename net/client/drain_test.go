package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// later is a member that answers after a while, so that many requests are under way at any time.
type later struct {
	*servertest.Member
	after time.Duration
}

func (m later) Propose(p kv.Proposal) {
	time.AfterFunc(m.after, func() { m.Member.Propose(p) })
}

// A member that drains and closes at once loses no call: what it took it answers, and the end of a stream tells that
// the rest did not happen, so that it is sent to another member, and happens once.
func TestDrainAndClose(t *testing.T) {
	testlong.Skip(t)
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
			s.Drain(ctxOf(t, wait))
			_ = s.Close()
			if took := time.Since(begun); took > wait/2 {
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

// saying calls a function for each message that is logged.
type saying struct {
	slog.Handler
	said func(string)
}

func (saying) Enabled(context.Context, slog.Level) bool { return true }

func (h saying) Handle(_ context.Context, r slog.Record) error {
	h.said(r.Message)
	return nil
}

// A client turns from a member without a leader, and keeps the connection for want of another one. When that member then
// ends the connection's streams in good order, the client does not hold on to it: the member's next process serves.
func TestAvoidedThenDrained(t *testing.T) {
	t.Parallel()
	trust, m := servertest.NewTrust(t), servertest.NewMember()
	s := servertest.Start(t, trust, m, nil)
	address := servertest.Endpoint(s)
	turned := make(chan struct{})
	once := sync.OnceFunc(func() { close(turned) })
	c, err := client.Open(ctxOf(t, wait), client.Config{
		Endpoints: []string{address, blackhole(t)}, InOrder: true, Credentials: trust.Client,
		Logger: slog.New(saying{slog.DiscardHandler, func(message string) {
			if message == "switching to another member" {
				once()
			}
		}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Range(t.Context(), kv.Range{Key: []byte("a"), End: client.From}); err != nil { // both streams are there
		t.Fatal(err)
	}
	m.SetBefore(func(int, int) *kv.Error { return kv.Errorf(kv.Unavailable, "there is no leader") })
	put := make(chan error)
	go func() {
		_, err := c.Put(ctxOf(t, wait), []byte("a"), []byte("b"))
		put <- err
	}()
	<-turned
	s.Drain(ctxOf(t, wait)) // the other endpoint answers nothing for two seconds, and this one refuses meanwhile
	_ = s.Close()
	m.SetBefore(nil)
	servertest.Start(t, trust, m, func(c *server.Config) { c.Address = address })
	if err := <-put; err != nil {
		t.Error(err)
	}
}

// Close ends calls that wait for their next attempt, too.
func TestCloseEndsDelayedCalls(t *testing.T) {
	t.Parallel()
	c := newCluster(t, nil)
	var refused atomic.Int64
	c.member.SetBefore(func(int, int) *kv.Error {
		refused.Add(1)
		return &kv.Error{Code: kv.Unavailable, Message: "there is no leader"}
	})
	const calls = 20
	ended := make(chan error, calls)
	for i := range calls {
		go func() {
			_, err := c.Put(context.Background(), fmt.Appendf(nil, "k%d", i), []byte("v"))
			ended <- err
		}()
	}
	for refused.Load() < 8*calls { // then the pauses are much longer than the attempts
		time.Sleep(time.Millisecond)
	}
	_ = c.Close()
	for range calls {
		select {
		case err := <-ended:
			if !errors.Is(err, client.ErrClosed) {
				t.Errorf("a write of a closed client: %v", err)
			}
		case <-time.After(wait):
			t.Fatal("a call does not end with its client")
		}
	}
}
