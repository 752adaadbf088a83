package client_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/client"
	"qkv/net/server"
	"qkv/net/server/servertest"
)

// A lease is granted, listed, renewed and revoked, with more keys than a page has.
func TestLeases(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	m := servertest.NewCluster(map[string]uint64{"n1": 1})
	c := open(t, trust, servertest.Endpoint(servertest.Start(t, trust, m, func(c *server.Config) { c.LeaseLeast = 2 })))
	ctx := t.Context()
	l := must[client.Lease](t)(c.Grant(ctx, 1*time.Second, client.GrantOptions{}))
	if l.ID <= 0 || l.TTL != 2*time.Second {
		t.Fatalf("granted %+v", l)
	}
	for i := range limits.LeaseKeys + 1 {
		must[client.Written](t)(c.PutWith(ctx, kv.Put{Key: fmt.Appendf(nil, "k%06d", i), Lease: l.ID}))
	}
	left := must[client.LeaseTime](t)(c.TimeToLive(ctx, l.ID, client.LeaseOptions{Keys: true}))
	if left.TTL != 2*time.Second || left.Granted != 2*time.Second || len(left.Keys) != limits.LeaseKeys+1 || string(left.Keys[limits.LeaseKeys]) != fmt.Sprintf("k%06d", limits.LeaseKeys) {
		t.Errorf("time to live %v of %v, %d keys", left.TTL, left.Granted, len(left.Keys))
	}
	for i := range limits.LeaseKeys + 10 {
		must[client.Lease](t)(c.Grant(ctx, 60*time.Second, client.GrantOptions{ID: int64(-1 - i)}))
	}
	if all := must[[]int64](t)(c.Leases(ctx)); len(all) != limits.LeaseKeys+11 || all[0] != -limits.LeaseKeys-10 || all[len(all)-1] != l.ID {
		t.Errorf("%d leases", len(all))
	}
	if ttl := must[time.Duration](t)(c.Renew(ctx, l.ID)); ttl != 2*time.Second {
		t.Errorf("renewed for %v", ttl)
	}
	long := must[client.Lease](t)(c.Grant(ctx, 3600*time.Second, client.GrantOptions{}))
	k := c.KeepAlive(long.ID, long.TTL, time.Now().Add(-50*time.Minute)) // it is due at once, and again in 20 minutes
	for begun := k.Until(); !k.Until().After(begun); {
		time.Sleep(time.Millisecond)
	}
	k.Stop()
	must[client.Written](t)(c.Revoke(ctx, long.ID))
	k = c.KeepAlive(long.ID, long.TTL, time.Now().Add(-50*time.Minute))
	<-k.Lost()
	var answer *kv.Error
	if err := k.Err(); !errors.As(err, &answer) || answer.Code != kv.LeaseNotFound {
		t.Errorf("lost: %v", err)
	}
	k.Stop()
	if w := must[client.Written](t)(c.Revoke(ctx, l.ID)); w.Deleted != limits.LeaseKeys+1 {
		t.Errorf("%d keys were deleted", w.Deleted)
	}
	if _, err := c.Renew(ctx, l.ID); !errors.As(err, &answer) || answer.Code != kv.LeaseNotFound {
		t.Errorf("a lease that is gone is renewed: %v", err)
	}
	if left := must[client.LeaseTime](t)(c.TimeToLive(ctx, l.ID, client.LeaseOptions{Keys: true})); left.TTL != -time.Second || len(left.Keys) != 0 {
		t.Errorf("a lease that is gone: %+v", left)
	}
	stopped := c.KeepAlive(-1, time.Minute, time.Now())
	stopped.Stop()
	select {
	case <-stopped.Lost():
		t.Error("a lease is lost because its renewals were stopped")
	default:
	}
}

// slowLeases is a member that answers for leases when it is told to.
type slowLeases struct {
	*servertest.Member
	came chan time.Time
	goOn chan struct{}
}

func (m slowLeases) AskLeases(to kv.ReplyTo, requests []uint64, asks []kv.LeaseAsk, timeout time.Duration) {
	m.came <- time.Now()
	go func() {
		<-m.goOn
		m.Member.AskLeases(to, requests, asks, timeout)
	}()
}

// A lease lives from when its renewal was asked for, not from when that was answered: what it protects must be over by then.
func TestKeepAliveCountsFromTheQuestion(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	m := slowLeases{servertest.NewCluster(map[string]uint64{"n1": 1}), make(chan time.Time, 100), make(chan struct{}, 100)}
	c := open(t, trust, servertest.Endpoint(servertest.Start(t, trust, m, nil)))
	l := must[client.Lease](t)(c.Grant(t.Context(), 3600*time.Second, client.GrantOptions{}))
	k := c.KeepAlive(l.ID, l.TTL, time.Now().Add(-50*time.Minute)) // it is due at once
	defer k.Stop()
	begun := k.Until()
	came := <-m.came
	time.Sleep(50 * time.Millisecond)
	m.goOn <- struct{}{}
	await(t, "the lease is renewed", func() bool { return k.Until().After(begun) })
	if until := k.Until(); until.After(came.Add(time.Hour)) {
		t.Errorf("renewed %v before the end that is told, and lives for an hour", until.Sub(came))
	}
}

// A lease is lost when its time is over, although a renewal of it is still not answered: what it protects may be another one's.
func TestKeepAliveIsLostInTime(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	m := slowLeases{servertest.NewCluster(map[string]uint64{"n1": 1}), make(chan time.Time, 100), make(chan struct{})}
	c := open(t, trust, servertest.Endpoint(servertest.Start(t, trust, m, nil)))
	l := must[client.Lease](t)(c.Grant(t.Context(), 3600*time.Second, client.GrantOptions{}))
	k := c.KeepAlive(l.ID, l.TTL, time.Now().Add(time.Second-time.Hour)) // it ends in a second
	defer k.Stop()
	<-m.came
	select {
	case <-k.Lost():
	case <-time.After(wait / 2):
		t.Errorf("not lost %v after its end", time.Since(k.Until()))
	}
	close(m.goOn)
}

// A keep-alive waits for no write, also of the kinds whose answers may be large: a member that takes no writes for a while answers it.
func TestKeepAliveWaitsForNoWrite(t *testing.T) {
	t.Parallel()
	all := kv.Range{Key: []byte{0}, End: []byte{0}}
	for name, write := range map[string]func(*client.Client) error{
		"put": func(c *client.Client) error {
			_, err := c.Put(ctxOf(t, wait), []byte("k"), nil)
			return err
		},
		"deletion with previous pairs": func(c *client.Client) error {
			_, err := c.DeleteWith(ctxOf(t, wait), kv.Delete{Key: all.Key, End: all.End, PrevKV: true})
			return err
		},
		"transaction with ranges": func(c *client.Client) error {
			_, err := c.Txn(ctxOf(t, wait), kv.Txn{Success: []kv.Op{{Put: &kv.Put{Key: []byte("k")}}, {Range: &all}}})
			return err
		},
	} {
		trust := servertest.NewTrust(t)
		m := servertest.NewMember()
		c := open(t, trust, servertest.Endpoint(servertest.Start(t, trust, m, nil)))
		l := must[client.Lease](t)(c.Grant(t.Context(), time.Hour, client.GrantOptions{}))
		came, goOn, done := make(chan struct{}, 1), make(chan struct{}), make(chan error, 1)
		m.SetBefore(func(writes, _ int) *kv.Error {
			if writes > 0 {
				came <- struct{}{}
				<-goOn
			}
			return nil
		})
		go func() { done <- write(c) }()
		<-came
		if _, err := c.Renew(ctxOf(t, wait/6), l.ID); err != nil {
			t.Errorf("a keep-alive behind a %s: %v", name, err)
		}
		close(goOn)
		if err := <-done; err != nil {
			t.Errorf("the %s: %v", name, err)
		}
	}
}
