package node_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
)

// TestLargestRequest writes what is as large as can be, through a follower, and reads it in every way in which it comes back:
// from the log, from a peer, as the value before, in a transaction, by a watch, also of a member that lets only the usual
// be written.
func TestLargestRequest(t *testing.T) {
	testlong.Skip(t)
	testretry.Longer(t, time.Second, largestRequest)
}

func largestRequest(t testing.TB, election time.Duration) {
	c := planCluster(t, 3, election)
	const usual = 2
	for i := range c.configs {
		c.configs[i].MaxRequestBytes = limits.RequestBytes
	}
	c.configs[usual].MaxRequestBytes = limits.RequestBytesWritten
	for i := range c.configs {
		c.start(i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	largest := func(n byte) []byte { return bytes.Repeat([]byte{n}, limits.ValueBytes) }
	key := bytes.Repeat([]byte("k"), limits.KeyBytes)
	follower := 0
	if c.leader() == 0 {
		follower = 1
	}
	written := c.client(follower)
	watch, err := c.client(usual).Watch(ctx, kv.Watch{Key: key, PrevKV: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range byte(2) {
		w, err := written.PutWith(ctx, kv.Put{Key: key, Value: largest(i), PrevKV: true})
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 && (len(w.Previous) != 1 || !bytes.Equal(w.Previous[0].Value, largest(0))) {
			t.Error("the put does not tell the value before")
		}
	}
	if _, err := written.PutWith(ctx, kv.Put{Key: []byte("k"), Value: make([]byte, limits.RequestBytes-8)}); codeOf(err) != kv.ValueTooLarge {
		t.Errorf("more than any request: %v", err)
	}
	if _, err := c.client(usual).Put(ctx, []byte("k"), make([]byte, limits.RequestBytesWritten)); codeOf(err) != kv.ValueTooLarge {
		t.Errorf("more than a member takes: %v", err)
	}
	for seen := 0; seen < 2; {
		r, err := watch.Next()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range r.Events {
			if !bytes.Equal(e.KV.Value, largest(byte(seen))) || (e.Before != nil) != (seen == 1) {
				t.Errorf("event %d: %d bytes, the value before: %v", seen, len(e.KV.Value), e.Before != nil)
			}
			seen++
		}
	}
	watch.Close()
	c.stop(usual)
	c.start(usual)
	for i := range c.configs {
		found, _, err := c.client(i).Get(ctx, key)
		if err != nil || !bytes.Equal(found.Value, largest(1)) {
			t.Errorf("member %d: %d bytes, %v", i, len(found.Value), err)
		}
	}
	r, err := written.Txn(ctx, kv.Txn{
		Compares: []kv.Compare{{Key: key, Target: kv.CompareVersion, Number: 2}},
		Success:  []kv.Op{{Range: &kv.Range{Key: key}}, {Delete: &kv.Delete{Key: key}}},
	})
	if err != nil || !r.Succeeded || !bytes.Equal(r.Answers[0].Range.KVs[0].Value, largest(1)) {
		t.Errorf("a transaction: %v", err)
	}
}

func codeOf(err error) kv.Code {
	var answer *kv.Error
	if !errors.As(err, &answer) {
		return kv.OK
	}
	return answer.Code
}
