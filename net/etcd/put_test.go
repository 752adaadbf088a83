package etcd

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/buffers"
	"qkv/internal/limits"
)

// holdingMember keeps proposals, and answers none.
type holdingMember struct {
	Member
	proposed chan kv.Proposal
}

func (m *holdingMember) Propose(p kv.Proposal) { m.proposed <- p }

func (m *holdingMember) View() *index.View { return index.NewState(limits.Defaults().Index).View() }

// TestCommandOfAPutThatNobodyWaitsFor: a member may propose a command after its client has gone. Its memory is not another
// request's before the member has answered.
func TestCommandOfAPutThatNobodyWaitsFor(t *testing.T) {
	m := &holdingMember{proposed: make(chan kv.Proposal, 1)}
	s := &core{config: Config{Member: m, MaxRequestBytes: limits.RequestBytes}, calls: newCalls(m, time.Minute, 10)}
	var running sync.WaitGroup
	s.calls.run(&running)
	defer running.Wait()
	defer s.calls.stop()
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	value := bytes.Repeat([]byte{7}, 64<<10)
	go func() {
		_, err := kvService{s}.put(ctx, &putRequest{PutRequest: pb.PutRequest{Key: []byte("k"), Value: value}})
		answered <- err
	}()
	command := (<-m.proposed).Commands[0].Bytes
	want := bytes.Clone(command)
	cancel()
	if err := <-answered; err == nil {
		t.Fatal("a put that the member has not answered has succeeded")
	}
	for range 100 {
		other := buffers.Get(cap(command))
		clear(other[:cap(other)])
	}
	if !bytes.Equal(command, want) {
		t.Error("the command was overwritten while the member had it")
	}
}

// TestOutcomeBeforeTheEnd: an outcome that has come is not given up for the end of its request: a change that has happened is recorded.
func TestOutcomeBeforeTheEnd(t *testing.T) {
	c := newCalls(nil, time.Minute, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		one := &call{}
		if err := c.register(one); err != nil {
			t.Fatal(err)
		}
		c.Complete([]kv.Completion{{Request: one.number}})
		if _, err := c.wait(ctx, one); err != nil {
			t.Fatal(err)
		}
	}
}
