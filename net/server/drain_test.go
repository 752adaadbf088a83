package server_test

import (
	"context"
	"io"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/net/server"
	"qkv/net/server/servertest"
)

// A member that drains answers what it took, and then ends the stream: what comes after is not taken.
func TestDrainEndsStreams(t *testing.T) {
	trust, slow := servertest.NewTrust(t), &slowMember{Member: servertest.NewMember()}
	e := &endpoint{trust: trust, member: slow.Member}
	e.server = servertest.Start(t, trust, slow, func(*server.Config) {})
	busy, idle := e.raw(t), e.raw(t)
	idle.send(getSerializable(1, "k"))
	idle.want(1, kv.OK)
	busy.send(put(1, "k", "v"))
	slow.await(1)

	drained := make(chan struct{})
	go func() {
		defer close(drained)
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		e.server.Drain(ctx)
	}()
	if _, err := idle.next(); err != io.EOF {
		t.Errorf("a stream without requests: %v", err)
	}
	busy.send(put(2, "k", "v"))
	busy.want(2, kv.Unavailable)
	released := time.Now()
	slow.release(1)
	busy.want(1, kv.OK)
	if _, err := busy.next(); err != io.EOF {
		t.Errorf("a stream whose requests are answered: %v", err)
	}
	late := rawOf(t, busy.conn)
	late.send(put(3, "k", "v"))
	for {
		p, err := late.next()
		if err == io.EOF {
			break
		}
		if err != nil || p.Failed() == nil || !p.Failed().Certain() {
			t.Fatalf("a stream that came late: %v %v", p, err)
		}
	}
	select {
	case <-drained:
		if took := time.Since(released); took < time.Second { // for which it waits for them
			t.Errorf("drained before the clients had gone, after %v", took)
		}
	case <-time.After(50 * time.Millisecond):
	}
	_ = busy.conn.CloseWithError(0, "")
	_ = idle.conn.CloseWithError(0, "")
	<-drained
	if revision := slow.Member.View().Revision(); revision != 2 {
		t.Errorf("revision %d: more than one write happened", revision)
	}
}

// A client that sends nothing more, and whose requests the member never answers, does not hold up the end.
func TestCloseBesideAHalfClosedStream(t *testing.T) {
	e := newEndpoint(t, nil)
	e.member.Lose.Store(true)
	r := e.raw(t)
	r.send(put(1, "k", "v"))
	_ = r.stream.Close()
	for e.server.Stats().Requests < 1 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // until the member has read the end of the stream
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		e.server.Drain(ctx)
		_ = e.server.Close()
	}()
	select {
	case <-closed:
	case <-time.After(wait):
		t.Fatal("Close waits for an answer that will never come")
	}
}
