package client_test

import (
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
)

// A member that is well and slow, as on a slow disk, has its writes for as long as half of their time: what would be sent again
// elsewhere goes to all disks once more. One that has lost its leader meanwhile does not.
func TestSlowWritesAreNotSentAgain(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	for what, becomes := range map[string]*kv.Status{
		"slow":    nil,
		"cut off": &noLeader,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			testretry.Again(t, 3, func(t testing.TB) { slowWrites(t, becomes) }) // a busy host is silent now and then
		})
	}
}

func slowWrites(t testing.TB, becomes *kv.Status) {
	const writes = 20
	p := newPair(t, wait)
	goOn := make(chan struct{})
	if _, err := p.Put(t.Context(), []byte("first"), nil); err != nil {
		t.Fatal(err)
	}
	var came, elsewhere atomic.Int64
	p.a.SetBefore(func(writes, _ int) *kv.Error {
		if came.Add(int64(writes)); writes > 0 {
			<-goOn
		}
		return nil
	})
	p.b.SetBefore(func(writes, _ int) *kv.Error {
		elsewhere.Add(int64(writes))
		return nil
	})
	done := make(chan error, writes)
	for range writes {
		go func() {
			_, err := p.Put(t.Context(), []byte("k"), nil)
			done <- err
		}()
	}
	for deadline := time.Now().Add(wait); came.Load() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(5 * time.Second) // it is asked each second, from the second one on
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d of %d writes were sent again while their member was well", n, writes)
	}
	if becomes != nil {
		p.a.SetStatus(*becomes)
		for deadline := time.Now().Add(wait / 3); elsewhere.Load() < writes && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		if n := elsewhere.Load(); n < writes {
			t.Errorf("%d of %d writes were sent again when their member was not well any more", n, writes)
		}
	}
	close(goOn)
	for range writes {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if v := p.version("k"); v != writes {
		t.Errorf("%d writes were made %d times", writes, v)
	}
}
