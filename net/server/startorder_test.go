package server

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// proposals is a member that notes the order of proposed commands.
type proposals struct {
	Member
	view     *index.View
	commands [][]byte
}

func (m *proposals) Refuse() *kv.Error { return nil }
func (m *proposals) View() *index.View { return m.view }
func (m *proposals) Propose(p kv.Proposal) {
	for _, c := range p.Commands {
		m.commands = append(m.commands, bytes.Clone(c.Bytes))
	}
}

// A write that arrives when the member has just started does not overtake a write of its stream that has waited for the start.
func TestWaitingWriteIsNotOvertaken(t *testing.T) {
	start := &wire.Start{}
	start.Raise(wire.StageReplayed)
	m := &proposals{view: index.NewState(limits.Defaults().Index).View()}
	server := &Server{
		config: Config{Member: m, Start: start, MaxRequestBytes: limits.RequestBytesWritten, Limits: limits.Defaults().Clients},
		memory: newMemoryBudget(1 << 20),
	}
	c := &conn{server: server, share: server.memory.child()}
	s := newStream(c, nil)
	r := newReader(s)
	s.waiting.waking = true // the test itself wakes the reader
	keys := []string{"first", "second", "third"}
	for i, key := range keys {
		if i == 1 {
			start.Raise(wire.StageCurrent)
		}
		frame := wire.AppendRequest(nil, uint64(i+1), wire.OpPut, time.Minute, kv.AppendPut(nil, &kv.Put{Key: []byte(key)}))
		r.frames = wire.NewFrameReader(bytes.NewReader(frame), limits.RequestBytes)
		if err := r.frames.Fill(); err != nil {
			t.Fatal(err)
		}
		if err := r.handleAll(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.resumeWaiting(); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, command := range m.commands {
		i := slices.IndexFunc(keys, func(key string) bool { return bytes.Contains(command, []byte(key)) })
		order = append(order, keys[i])
	}
	if !slices.Equal(order, keys) {
		t.Errorf("proposed in the order %q, want %q", order, keys)
	}
}
