package node_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/testretry"
	"qkv/net/client"
)

// A member that has lost its folder answers nothing from its empty state, neither before it is refused nor after, and a
// client goes on to the others.
func TestRefusedMemberAnswersNothing(t *testing.T) { withCluster(t, 3, refusedMember) }

func refusedMember(t testing.TB, c *cluster) {
	ctx := context.Background()
	if _, err := c.client(0, 1, 2).Put(ctx, []byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	lost := (c.leader() + 1) % 3
	others := []int{(lost + 1) % 3, (lost + 2) % 3}
	for deadline := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) { // until all know each other
		if known := c.nodes[others[0]].Status().Members; len(known) == 3 && len(known[0].Clients)+len(known[1].Clients)+len(known[2].Clients) == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the members do not come to know each other")
		}
	}
	c.stop(lost)
	if err := os.RemoveAll(c.configs[lost].DataDir); err != nil {
		t.Fatal(err)
	}
	c.start(lost)
	alone := c.client(lost)
	read := func(cl *client.Client, limit time.Duration) (string, error) {
		short, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		got, err := cl.Range(short, kv.Range{Key: []byte("k"), Serializable: true})
		switch {
		case err != nil:
			return "", err
		case len(got.KVs) == 0:
			return "nothing", nil
		default:
			return string(got.KVs[0].Value), nil
		}
	}
	for deadline := time.Now().Add(wait); c.nodes[lost].Status().Role != "suspended"; {
		if got, err := read(alone, time.Second); err == nil {
			t.Fatalf("it answered %q before it was refused", got)
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is not refused: %+v", c.nodes[lost].Status())
		}
	}
	testretry.Longer(t, time.Second, func(t testing.TB, limit time.Duration) {
		got, err := read(alone, limit)
		var refusal *kv.Error
		if !errors.As(err, &refusal) || refusal.Code != kv.Amnesia || !strings.Contains(err.Error(), "takes no part in the cluster") {
			t.Errorf("refused, it answers %q, %v", got, err)
		}
		short, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if _, err := alone.Put(short, []byte("k"), []byte("other")); !errors.As(err, &refusal) || refusal.Code != kv.Amnesia || !refusal.Certain() {
			t.Errorf("refused, it answers a put with %v", err)
		}
	})
	if got, err := read(c.client(append([]int{lost}, others...)...), wait); err != nil || got != "v" {
		t.Errorf("with the others in the list: %q, %v", got, err)
	}
}

// A member that was never in a quorum has no state that could be read.
func TestNothingIsReadBeforeTheFirstLeader(t *testing.T) {
	c := newCluster(t, 3, 500*time.Millisecond)
	c.stop(0)
	c.stop(1)
	c.stop(2)
	if err := os.RemoveAll(c.configs[0].DataDir); err != nil {
		t.Fatal(err)
	}
	c.start(0)
	cl := c.client(0)
	testretry.Longer(t, time.Second, func(t testing.TB, limit time.Duration) {
		short, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if got, err := cl.Range(short, kv.Range{Key: []byte("k"), Serializable: true}); err == nil || !strings.Contains(err.Error(), "is starting") {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
