package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
	"qkv/net/client"
	"qkv/net/server"
	"qkv/net/server/servertest"
)

// pair is two members over one store, with sessions, and a client that begins with the first.
type pair struct {
	a, b    *servertest.Member
	trust   servertest.Trust
	servers [2]*server.Server
	*client.Client
}

func newPair(t testing.TB, timeout time.Duration) *pair {
	t.Helper()
	p := &pair{a: servertest.NewMember()}
	p.b = servertest.NewMember(p.a)
	trust := servertest.NewTrust(t)
	p.trust = trust
	var endpoints []string
	for i, m := range []*servertest.Member{p.a, p.b} {
		m.Sessions.Store(true)
		p.servers[i] = servertest.Start(t, trust, m, nil)
		endpoints = append(endpoints, servertest.Endpoint(p.servers[i]))
	}
	var err error
	p.Client, err = client.Open(ctxOf(t, wait), client.Config{Endpoints: endpoints, InOrder: true, Credentials: trust.Client, Timeout: timeout, DialStagger: wait})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// version is that of a key, without a client.
func (p *pair) version(key string) int64 {
	pair, _, _ := p.a.View().Get([]byte(key), 0)
	return pair.Version
}

// noLeader is the status of a member that was cut off from the others.
var noLeader = kv.Status{Name: "test", ID: 1, Role: "candidate"}

// What a member applied and did not answer is asked of another one, and answered as it was when it was applied.
func TestWritesAreSentAgain(t *testing.T) {
	t.Parallel()
	p := newPair(t, wait)
	ctx := t.Context()
	b := func(s string) []byte { return []byte(s) }
	must[client.Written](t)(p.Put(ctx, b("first"), b("1")))
	lease := must[client.Lease](t)(p.Grant(ctx, 60*time.Second, client.GrantOptions{ID: 9}))
	p.a.Lose.Store(true)
	p.a.SetStatus(noLeader)
	var all sync.WaitGroup
	for what, f := range map[string]func() error{
		"put": func() error {
			w, err := p.PutWith(ctx, kv.Put{Key: b("first"), Value: b("2"), PrevKV: true})
			if err == nil && (len(w.Previous) != 1 || string(w.Previous[0].Value) != "1" || w.Previous[0].ModRevision >= w.Revision) {
				err = fmt.Errorf("the key before was %+v", w)
			}
			return err
		},
		"delete": func() error {
			w, err := p.Delete(ctx, b("none"))
			if err == nil && w.Deleted != 0 {
				err = fmt.Errorf("deleted %d", w.Deleted)
			}
			return err
		},
		"transaction": func() error {
			r, err := p.Txn(ctx, kv.Txn{
				Compares: []kv.Compare{{Key: b("t"), Target: kv.CompareVersion, Number: 0}},
				Success:  []kv.Op{{Put: &kv.Put{Key: b("t"), Value: b("1")}}, {Range: &kv.Range{Key: b("t")}}},
			})
			if err == nil && (!r.Succeeded || len(r.Answers) != 2 || len(r.Answers[1].Range.KVs) != 1 || r.Answers[1].Range.KVs[0].ModRevision != r.Revision) {
				err = fmt.Errorf("the transaction did %+v", r)
			}
			return err
		},
		"grant": func() error {
			l, err := p.Grant(ctx, 60*time.Second, client.GrantOptions{})
			if _, there := p.a.View().Lease(l.ID); err == nil && (!there || p.a.View().LeaseCount() > 2) {
				err = fmt.Errorf("lease %x of %d", l.ID, p.a.View().LeaseCount())
			}
			return err
		},
		"revoke": func() error {
			_, err := p.Revoke(ctx, lease.ID)
			return err
		},
		"refused": func() error {
			_, err := p.PutWith(ctx, kv.Put{Key: b("none"), IgnoreValue: true})
			if codeOf(err) != kv.KeyNotFound || errors.Is(err, client.ErrOutcomeUnknown) {
				return fmt.Errorf("refused as %w", err)
			}
			return nil
		},
	} {
		all.Go(func() {
			if err := f(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	all.Wait()
	for key, want := range map[string]int64{"first": 2, "t": 1, "none": 0} {
		if got := p.version(key); got != want {
			t.Errorf("%s has version %d, want %d", key, got, want)
		}
	}
	if n := p.a.View().Sessions(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// The members lose what they applied, say that they do not know, and reset connections: every write is made once all the same.
func TestWritesAreMadeOnce(t *testing.T) {
	t.Parallel()
	p := newPair(t, wait)
	var calls atomic.Int64
	for _, m := range []*servertest.Member{p.a, p.b} {
		m.SetBefore(func(int, int) *kv.Error {
			switch calls.Add(1) % 5 {
			case 1:
				return &kv.Error{Code: kv.Unavailable, Message: "not now"}
			case 3:
				return &kv.Error{Code: kv.Unknown, Message: "who knows"}
			}
			return nil
		})
	}
	var all sync.WaitGroup
	const writers, writes = 16, 20
	for n := range writers {
		all.Go(func() {
			for i := range writes {
				if _, err := p.Put(t.Context(), fmt.Appendf(nil, "k%d", n), fmt.Append(nil, i)); err != nil {
					t.Errorf("write %d of %d: %v", i, n, err)
					return
				}
			}
		})
	}
	all.Wait()
	for n := range writers {
		if v := p.version(fmt.Sprint("k", n)); v != writes {
			t.Errorf("k%d has version %d, want %d", n, v, writes)
		}
	}
}

// When a session has ended, the next write begins another one, and nobody notices. A write of which a member may have lost the
// answer has an unknown outcome then.
func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	p := newPair(t, wait)
	must[client.Written](t)(p.Put(t.Context(), []byte("a"), nil))
	p.a.Pass(limits.SessionTTL + limits.SessionPause)
	if n := p.a.View().Sessions(); n != 0 {
		t.Fatalf("%d sessions", n)
	}
	must[client.Written](t)(p.Put(t.Context(), []byte("a"), nil))
	if v, n := p.version("a"), p.a.View().Sessions(); v != 2 || n != 1 {
		t.Fatalf("version %d, %d sessions", v, n)
	}
	p.b.SetBefore(func(writes, _ int) *kv.Error {
		if writes > 0 {
			p.a.Pass(limits.SessionTTL + limits.SessionPause)
		}
		return nil
	})
	p.a.Lose.Store(true)
	p.a.SetStatus(noLeader)
	_, err := p.Put(t.Context(), []byte("a"), nil)
	if !errors.Is(err, client.ErrOutcomeUnknown) || codeOf(err) != kv.NameEnded {
		t.Errorf("a write of an ended session: %v", err)
	}
	if v := p.version("a"); v != 3 {
		t.Errorf("version %d", v)
	}
}

// Nobody who can be reached knows: only then is an outcome unknown, at the deadline.
func TestOutcomeUnknownAtTheEnd(t *testing.T) {
	t.Parallel()
	testretry.Longer(t, 2*time.Second, func(t testing.TB, limit time.Duration) {
		p := newPair(t, wait)
		p.a.Lose.Store(true)
		p.b.Lose.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		begun := time.Now()
		_, err := p.Put(ctx, []byte("a"), nil)
		if !errors.Is(err, client.ErrOutcomeUnknown) || time.Since(begun) < limit*3/4 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if v := p.version("a"); v != 1 || p.a.Proposals.Load()+p.b.Proposals.Load() < 2 {
			t.Errorf("version %d after %d proposals", v, p.a.Proposals.Load()+p.b.Proposals.Load())
		}
	})
}

// A member that refuses it for itself says nothing of the copy that another one took.
func TestRefusalOfACopy(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	for _, code := range []kv.Code{kv.NoSpace, kv.TooManyOperations} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			p := newPair(t, wait)
			p.a.Lose.Store(true)
			p.b.SetRefuse(&kv.Error{Code: code, Message: "not here"})
			var asked atomic.Bool
			go func() {
				for !asked.Load() && p.version("a") == 0 {
					time.Sleep(time.Millisecond)
				}
				time.Sleep(100 * time.Millisecond)
				p.a.Lose.Store(false)
			}()
			defer asked.Store(true)
			if _, err := p.Put(t.Context(), []byte("a"), nil); err != nil {
				t.Error(err)
			}
			if v := p.version("a"); v != 1 {
				t.Errorf("version %d", v)
			}
		})
	}
}
