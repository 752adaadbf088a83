package client_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"qkv/index/kv"
	"qkv/internal/testlong"
	"qkv/net/client"
	"qkv/net/server"
	"qkv/net/server/servertest"
)

// watchTime is more than any test of watches needs.
const watchTime = time.Minute

// told reads so many events.
func told(t *testing.T, w *client.Watcher, n int) (events []kv.WatchEvent) {
	t.Helper()
	for len(events) < n {
		response, err := w.Next()
		if err != nil {
			t.Fatalf("after %d of %d events: %v", len(events), n, err)
		}
		events = append(events, response.Events...)
	}
	return events
}

func show(e kv.WatchEvent) string {
	s := fmt.Sprintf("put %s %s %d", e.KV.Key, e.KV.Value, e.KV.Version)
	if e.Deleted {
		s = "delete " + string(e.KV.Key)
	}
	if e.Before != nil {
		s += " was " + string(e.Before.Value)
	}
	return fmt.Sprintf("%d %s", e.KV.ModRevision, s)
}

func wanted(t *testing.T, events []kv.WatchEvent, want ...string) {
	t.Helper()
	var got []string
	for _, e := range events {
		got = append(got, show(e))
	}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestWatch(t *testing.T) {
	c := dialed(t, servertest.NewMember())
	ctx, cancel := context.WithTimeout(t.Context(), watchTime)
	defer cancel()
	put := func(key, value string) {
		t.Helper()
		if _, err := c.Put(ctx, []byte(key), []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	put("a", "1")
	begin := func(q kv.Watch) *client.Watcher {
		t.Helper()
		w, err := c.Watch(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	all := begin(kv.Watch{Key: []byte("a"), End: client.From, PrevKV: true})
	past := begin(kv.Watch{Key: []byte("a"), Revision: 1})
	deletes := begin(kv.Watch{Key: []byte("a"), End: []byte("c"), NoPut: true})
	later := begin(kv.Watch{Key: []byte("a"), Revision: 4})
	if all.Revision() != 2 {
		t.Errorf("begun at revision %d, want 2", all.Revision())
	}
	put("a", "2")
	put("b", "3")
	if _, err := c.DeleteRange(ctx, []byte("a"), client.From); err != nil {
		t.Fatal(err)
	}
	wanted(t, told(t, all, 4), "3 put a 2 2 was 1", "4 put b 3 1", "5 delete a was 2", "5 delete b was 3")
	wanted(t, told(t, past, 3), "2 put a 1 1", "3 put a 2 2", "5 delete a")
	wanted(t, told(t, deletes, 2), "5 delete a", "5 delete b")
	wanted(t, told(t, later, 1), "5 delete a")

	c.RequestProgress()
	for _, w := range []*client.Watcher{all, past, deletes, later} {
		if response, err := w.Next(); err != nil || len(response.Events) > 0 || response.Revision != 5 {
			t.Errorf("progress: %+v, %v", response, err)
		}
	}
	past.Close()
	if _, err := past.Next(); !errors.Is(err, client.ErrWatchClosed) {
		t.Errorf("closed: %v", err)
	}
	ended, stop := context.WithCancel(ctx)
	one, err := c.Watch(ended, kv.Watch{Key: []byte("z")})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := one.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	var refused *kv.Error
	if _, err := c.Watch(ctx, kv.Watch{Key: []byte("b"), End: []byte("a")}); !errors.As(err, &refused) || refused.Code != kv.BadRequest {
		t.Errorf("an empty range: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := all.Next(); !errors.Is(err, client.ErrClosed) {
		t.Errorf("the client is closed: %v", err)
	}
	if _, err := c.Watch(ctx, kv.Watch{Key: []byte("b")}); !errors.Is(err, client.ErrClosed) {
		t.Errorf("the client was closed: %v", err)
	}
}

func dialed(t *testing.T, m server.Member) *client.Client {
	t.Helper()
	trust := servertest.NewTrust(t)
	s := servertest.Start(t, trust, m, nil)
	c, err := client.Open(t.Context(), client.Config{Endpoints: []string{servertest.Endpoint(s)}, Credentials: trust.Client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Each event comes once and in order, whatever becomes of connections and members.
func TestWatchResumes(t *testing.T) {
	trust := servertest.NewTrust(t)
	m := servertest.NewMember()
	var servers []*server.Server
	var endpoints []string
	for range 3 {
		s := servertest.Start(t, trust, servertest.NewMember(m), nil)
		servers = append(servers, s)
		endpoints = append(endpoints, servertest.Endpoint(s))
	}
	open := func(endpoints ...string) *client.Client {
		c, err := client.Open(t.Context(), client.Config{Endpoints: endpoints, Credentials: trust.Client, InOrder: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	c, writer := open(endpoints...), open(endpoints[2])
	ctx, cancel := context.WithTimeout(t.Context(), watchTime)
	defer cancel()
	const n = 3000
	var watchers []*client.Watcher
	for i := range 20 {
		w, err := c.Watch(ctx, kv.Watch{Key: []byte("k"), End: client.Prefix([]byte("k")), PrevKV: i%2 == 0})
		if err != nil {
			t.Fatal(err)
		}
		watchers = append(watchers, w)
	}
	var reading sync.WaitGroup
	for _, w := range watchers {
		reading.Go(func() {
			for i := 0; i < n; {
				response, err := w.Next()
				if err != nil {
					t.Errorf("after %d events: %v", i, err)
					return
				}
				for _, e := range response.Events {
					if want := fmt.Sprint(i); string(e.KV.Value) != want {
						t.Errorf("event %d is %s", i, show(e))
						return
					}
					i++
				}
			}
		})
	}
	for i := range n {
		switch i {
		case n / 4:
			m.EndWatches(kv.Errorf(kv.Unavailable, "no leader"))
		case n / 2:
			_ = servers[0].Close()
		case n * 3 / 4:
			servers[1].Drain(ctx)
			_ = servers[1].Close()
		}
		if _, err := writer.Put(ctx, fmt.Appendf(nil, "k%d", i%7), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	reading.Wait()
}

// Who does not read holds up nobody, and misses nothing.
func TestWatchNotRead(t *testing.T) {
	testlong.Skip(t)
	m := servertest.NewMember()
	c := dialed(t, m)
	ctx, cancel := context.WithTimeout(t.Context(), watchTime)
	defer cancel()
	begin := func() *client.Watcher {
		w, err := c.Watch(ctx, kv.Watch{Key: []byte("k")})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	idle, busy := begin(), begin()
	const n, size = 100, 50_000
	for i := range n {
		if _, err := c.Put(ctx, []byte("k"), []byte(fmt.Sprint(i)+strings.Repeat("x", size))); err != nil {
			t.Fatal(err)
		}
		told(t, busy, 1)
	}
	if kept := client.WatchWaits(idle); kept > 2<<20 {
		t.Errorf("%d bytes wait for who does not read", kept)
	}
	for i, e := range told(t, idle, n) {
		if !strings.HasPrefix(string(e.KV.Value), fmt.Sprint(i)+"x") {
			t.Fatalf("event %d is %.10s", i, e.KV.Value)
		}
	}
}

// What is past the limit is refused by name, and changes nothing for the others.
func TestTooManyWatches(t *testing.T) {
	trust := servertest.NewTrust(t)
	m := servertest.NewMember()
	s := servertest.Start(t, trust, m, func(c *server.Config) { c.Limits.Watches = 50 })
	c, err := client.Open(t.Context(), client.Config{Endpoints: []string{servertest.Endpoint(s)}, Credentials: trust.Client})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), watchTime)
	defer cancel()
	var watchers []*client.Watcher
	for range 50 {
		w, err := c.Watch(ctx, kv.Watch{Key: []byte("k")})
		if err != nil {
			t.Fatal(err)
		}
		watchers = append(watchers, w)
	}
	var refused *kv.Error
	if _, err := c.Watch(ctx, kv.Watch{Key: []byte("k")}); !errors.As(err, &refused) || refused.Code != kv.Overloaded || !strings.Contains(err.Error(), "this connection has 50, the limit") {
		t.Errorf("one watch more: %v", err)
	}
	if _, err := c.Put(ctx, []byte("k"), nil); err != nil {
		t.Fatal(err)
	}
	for _, w := range watchers {
		told(t, w, 1)
	}
	watchers[0].Close()
	for m.Watches() == 50 {
		time.Sleep(time.Millisecond)
	}
	for { // its place is free when its end was written
		_, err := c.Watch(ctx, kv.Watch{Key: []byte("k")})
		if err == nil {
			break
		} else if !errors.As(err, &refused) || refused.Code != kv.Overloaded {
			t.Fatal(err)
		}
	}
}

// A watch that was closed is not kept by its context, which may be that of a whole program.
func TestClosedWatchIsForgotten(t *testing.T) {
	c := dialed(t, servertest.NewMember())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begin := func() weak.Pointer[client.Watcher] {
		w, err := c.Watch(ctx, kv.Watch{Key: []byte("k")})
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		return weak.Make(w)
	}
	closed := begin()
	for begun := time.Now(); closed.Value() != nil; time.Sleep(time.Millisecond) {
		if runtime.GC(); time.Since(begun) > 10*time.Second {
			t.Fatal("it is still there")
		}
	}
}
