package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/client"
	"qkv/net/server/servertest"
)

// What a key was, when that was, and all changes up to now are told, and then it ends.
func TestHistory(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	m := servertest.NewMember()
	c := open(t, trust, servertest.Endpoint(servertest.Start(t, trust, m, nil)))
	ctx := t.Context()
	begun := time.Now().Add(-time.Millisecond)
	revisions := []int64{1, 0, 99999}
	for i := range limits.TimesAsked + 10 {
		written := must[client.Written](t)(c.Put(ctx, fmt.Appendf(nil, "k%d", i%3), fmt.Append(nil, i)))
		revisions = append(revisions, written.Revision)
	}
	must[client.Written](t)(c.Delete(ctx, []byte("k0")))
	last := must[client.Written](t)(c.Put(ctx, []byte("k0"), nil)).Revision

	times := must[[]time.Time](t)(c.TimesOf(ctx, revisions))
	for i, at := range times {
		if i < 3 != at.IsZero() || i >= 3 && (at.Before(begun) || at.After(time.Now())) || i > 3 && at.Before(times[i-1]) {
			t.Fatalf("revision %d is of %v", revisions[i], at)
		}
	}
	next := int64(1)
	for response, err := range c.Changes(ctx, kv.Watch{Key: []byte{0}, End: client.From, Revision: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range response.Events {
			if next++; e.KV.ModRevision != next {
				t.Fatalf("revision %d comes behind %d", e.KV.ModRevision, next-1)
			}
		}
	}
	if next != last {
		t.Errorf("changes up to %d, of %d", next, last)
	}
	for range c.Changes(ctx, kv.Watch{Key: []byte("other"), Revision: 1}) {
		t.Error("a change of a key that was never there")
	}
	for range c.Changes(ctx, kv.Watch{Key: []byte("k0"), Revision: last + 1}) {
		t.Error("a change that is yet to come")
	}
	versions := func(key string) (n, deleted int, first int64) {
		t.Helper()
		for e, err := range c.Versions(ctx, []byte(key)) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 1 {
				first = e.KV.ModRevision
			}
			if e.Deleted {
				deleted++
			}
		}
		return n, deleted, first
	}
	if n, deleted, first := versions("k0"); n != (limits.TimesAsked+10+2)/3+2 || deleted != 1 || first != 2 {
		t.Errorf("%d versions from %d, %d deletions", n, first, deleted)
	}
	if n, _, _ := versions("other"); n != 0 {
		t.Errorf("%d versions of nothing", n)
	}
	must[client.Written](t)(c.Put(ctx, []byte("old"), nil))
	if err := c.Admin().Compact(ctx, last+1); err != nil {
		t.Fatal(err)
	}
	if n, _, first := versions("k0"); n != 1 || first != last {
		t.Errorf("%d versions from %d behind the compaction", n, first)
	}
	if n, _, first := versions("old"); n != 1 || first != last+1 {
		t.Errorf("%d versions from %d, of one at the compaction", n, first)
	}
	var answer *kv.Error
	for _, err := range c.Changes(ctx, kv.Watch{Key: []byte("k0"), Revision: 1}) {
		if !errors.As(err, &answer) || answer.Code != kv.Compacted {
			t.Errorf("changes that are compacted: %v", err)
		}
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range c.Versions(over, []byte("k0")) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
	}
}

// Changes has each write that was acknowledged before its call, although the member of the watch had not applied it when the watch began.
func TestChangesAreLinearizable(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	m := servertest.NewMember()
	c := open(t, trust, servertest.Endpoint(servertest.Start(t, trust, m, nil)))
	other := open(t, trust, servertest.Endpoint(servertest.Start(t, trust, servertest.NewMember(m), nil)))
	first := must[client.Written](t)(c.Put(t.Context(), []byte("k"), []byte("1")))
	var late atomic.Bool
	m.SetBefore(func(_, reads int) *kv.Error {
		if reads > 0 && !late.Swap(true) { // the member catches up only when it confirms a read
			if _, err := other.Put(t.Context(), []byte("k"), []byte("2")); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	var values []string
	for response, err := range c.Changes(t.Context(), kv.Watch{Key: []byte("k"), Revision: first.Revision}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range response.Events {
			values = append(values, string(e.KV.Value))
		}
	}
	if !slices.Equal(values, []string{"1", "2"}) {
		t.Errorf("the changes are %q", values)
	}
}
