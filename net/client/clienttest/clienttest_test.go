package clienttest

import (
	"errors"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/net/client"
)

// TestStart: a lease expires by the clock unless it is renewed, and its key goes with it; errors are a member's.
func TestStart(t *testing.T) {
	c, ctx := Start(t), t.Context()
	lease, err := c.Grant(ctx, time.Nanosecond, client.GrantOptions{})
	if err != nil || lease.TTL != leaseLeast*time.Second {
		t.Fatal(lease, err)
	}
	renewed, err := c.Grant(ctx, lease.TTL, client.GrantOptions{ID: 7})
	if err != nil {
		t.Fatal(err)
	}
	alive := c.KeepAlive(renewed.ID, renewed.TTL, time.Now())
	defer alive.Stop()
	w, err := c.Watch(ctx, kv.Watch{Key: []byte("a"), End: client.Prefix([]byte("a"))})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for key, id := range map[string]int64{"a/mortal": lease.ID, "a/renewed": renewed.ID} {
		if _, err := c.PutWith(ctx, kv.Put{Key: []byte(key), Lease: id}); err != nil {
			t.Fatal(err)
		}
	}
	for deleted := false; !deleted; {
		response, err := w.Next()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range response.Events {
			if deleted = e.Deleted; deleted && string(e.KV.Key) != "a/mortal" {
				t.Errorf("%q is deleted", e.KV.Key)
			}
		}
	}
	if lived := time.Since(begun); lived < lease.TTL-500*time.Millisecond || lived > 30*time.Second {
		t.Errorf("the lease of %v ended after %v", lease.TTL, lived)
	}
	if left, err := c.TimeToLive(ctx, renewed.ID, client.LeaseOptions{Keys: true}); err != nil || left.TTL <= 0 || len(left.Keys) != 1 {
		t.Errorf("of the renewed lease is left: %+v, %v", left, err)
	}
	if _, err := c.Renew(ctx, lease.ID); codeOf(err) != kv.LeaseNotFound {
		t.Errorf("the renewal of the ended lease: %v", err)
	}
	if _, err := c.Put(ctx, nil, nil); codeOf(err) != kv.EmptyKey {
		t.Errorf("a put without a key: %v", err)
	}
}

func codeOf(err error) kv.Code {
	if answer, ok := errors.AsType[*kv.Error](err); ok {
		return answer.Code
	}
	return kv.OK
}
