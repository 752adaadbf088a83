package actor

import (
	"bytes"
	"reflect"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/log/limits"
)

func entry(at, term uint64, data string) *raftpb.Entry {
	kind := raftpb.EntryNormal
	e := &raftpb.Entry{Index: &at, Term: &term, Type: &kind}
	if data != "" {
		e.Data = []byte(data)
	}
	return e
}

func message(t raftpb.MessageType, change func(m *raftpb.Message)) *raftpb.Message {
	from, to, term, zero, no := uint64(1), uint64(2), uint64(7), uint64(0), false
	m := &raftpb.Message{
		Type: &t, From: &from, To: &to, Term: &term, LogTerm: &zero, Index: &zero, Commit: &zero, Reject: &no, RejectHint: &zero,
	}
	if change != nil {
		change(m)
	}
	return m
}

func ptr(n uint64) *uint64 { return &n }

func TestRaftMessagesSurviveTheWire(t *testing.T) {
	yes := true
	for _, m := range []*raftpb.Message{
		message(raftpb.MsgApp, func(m *raftpb.Message) {
			m.Index, m.LogTerm, m.Commit = ptr(41), ptr(5), ptr(40)
			m.Entries = []*raftpb.Entry{entry(42, 5, "one"), entry(43, 7, ""), entry(44, 7, "three")}
		}),
		message(raftpb.MsgAppResp, func(m *raftpb.Message) { m.Index, m.Reject, m.RejectHint = ptr(1<<40), &yes, ptr(9) }),
		message(raftpb.MsgVote, func(m *raftpb.Message) { m.Context = []byte(campaignTransfer) }),
		message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Context = []byte("12345678") }),
		message(raftpb.MsgTimeoutNow, nil),
		message(raftpb.MsgReadIndex, func(m *raftpb.Message) { m.Term = nil; m.Entries = []*raftpb.Entry{{Data: []byte("87654321")}} }),
		message(raftpb.MsgReadIndexResp, func(m *raftpb.Message) { m.Entries = []*raftpb.Entry{{Data: []byte("87654321")}} }),
	} {
		frame := appendRaftMessage(nil, m)
		if len(frame) > raftMessageBytes(m) {
			t.Errorf("%v: %d bytes, the bound said %d", m.GetType(), len(frame), raftMessageBytes(m))
		}
		back, err := DecodePeerMessage(frame, 1, 2)
		if err != nil {
			t.Fatalf("%v: %v", m.GetType(), err)
		}
		if got := back.(RaftMessage).Message; !proto.Equal(got, m) {
			t.Errorf("%v came back as %v", m, got)
		}
	}
}

func TestOtherMessagesSurviveTheWire(t *testing.T) {
	for _, m := range []PeerMessage{
		Forward{Term: 3, Oldest: 7, Envelope: []byte("envelope")},
		Offer{Index: 9, Term: 2, Size: 1 << 33, SHA: [32]byte{1, 2, 3}, MessageTerm: 4, ConfState: []byte("conf")},
		Want{Index: 9, Term: 2, Offset: 77},
		Chunk{Index: 9, Term: 2, Offset: 77, Bytes: []byte("piece")},
		SnapshotResult{Index: 9, Term: 2, Installed: true},
	} {
		back, err := DecodePeerMessage(AppendPeerMessage(nil, m), 1, 2)
		if err != nil || !reflect.DeepEqual(back, m) {
			t.Errorf("%#v came back as %#v, %v", m, back, err)
		}
	}
}

// raft trusts its input: what would panic in it, or corrupt it, must not get past the decoder.
func TestHostileRaftMessages(t *testing.T) {
	for name, m := range map[string]*raftpb.Message{
		"local message":           message(raftpb.MsgHup, nil),
		"storage message":         message(raftpb.MsgStorageAppendResp, nil),
		"proposal":                message(raftpb.MsgProp, nil),
		"snapshot":                message(raftpb.MsgSnap, nil),
		"unreachable":             message(raftpb.MsgUnreachable, nil),
		"short heartbeat context": message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Context = []byte("123") }),
		"context on an append":    message(raftpb.MsgApp, func(m *raftpb.Message) { m.Context = []byte("12345678") }),
		"read without an id":      message(raftpb.MsgReadIndex, nil),
		"read with a short id":    message(raftpb.MsgReadIndex, func(m *raftpb.Message) { m.Entries = []*raftpb.Entry{{Data: []byte("1")}} }),
		"no term":                 message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Term = ptr(0) }),
		"entries on a vote":       message(raftpb.MsgVote, func(m *raftpb.Message) { m.Entries = []*raftpb.Entry{entry(1, 1, "x")} }),
		"falling terms": message(raftpb.MsgApp, func(m *raftpb.Message) {
			m.Index, m.LogTerm = ptr(1), ptr(1)
			m.Entries = []*raftpb.Entry{entry(2, 5, ""), entry(3, 4, "")}
		}),
		"term of the future":        message(raftpb.MsgApp, func(m *raftpb.Message) { m.Entries = []*raftpb.Entry{entry(1, 8, "")} }),
		"term below the one before": message(raftpb.MsgApp, func(m *raftpb.Message) { m.LogTerm = ptr(6); m.Entries = []*raftpb.Entry{entry(1, 5, "")} }),
		"entry larger than its limit": message(raftpb.MsgApp, func(m *raftpb.Message) {
			m.Entries = []*raftpb.Entry{entry(1, 5, string(bytes.Repeat([]byte{'x'}, limits.EnvelopeBytes+1)))}
		}),
	} {
		if back, err := DecodePeerMessage(appendRaftMessage(nil, m), 1, 2); err == nil {
			t.Errorf("%s was let through as %v", name, back)
		}
	}
	frame := AppendPeerMessage(nil, RaftMessage{message(raftpb.MsgAppResp, nil)})
	for n := range frame {
		if back, err := DecodePeerMessage(frame[:n], 1, 2); err == nil {
			t.Errorf("%d of %d bytes were read as %v", n, len(frame), back)
		}
	}
}

func TestSenderIsWhoTheCertificateSays(t *testing.T) {
	m := message(raftpb.MsgAppResp, func(m *raftpb.Message) { m.From, m.To = ptr(99), ptr(98) })
	back, err := DecodePeerMessage(appendRaftMessage(nil, m), 5, 6)
	if err != nil {
		t.Fatal(err)
	}
	if got := back.(RaftMessage); got.GetFrom() != 5 || got.GetTo() != 6 {
		t.Fatalf("from %d to %d", got.GetFrom(), got.GetTo())
	}
}

func FuzzDecodePeerMessage(f *testing.F) {
	f.Add(appendRaftMessage(nil, message(raftpb.MsgApp, func(m *raftpb.Message) { m.Entries = []*raftpb.Entry{entry(1, 5, "x")} })))
	f.Add(AppendPeerMessage(nil, Offer{Index: 1, Term: 1, Size: 1}))
	f.Add(AppendPeerMessage(nil, Chunk{Bytes: []byte("x")}))
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := DecodePeerMessage(frame, 1, 2)
		if err != nil {
			return
		}
		again, err := DecodePeerMessage(AppendPeerMessage(nil, m), 1, 2)
		if err != nil {
			t.Fatalf("%v does not survive: %v", m, err)
		}
		if r, ok := m.(RaftMessage); ok {
			if !proto.Equal(r.Message, again.(RaftMessage).Message) {
				t.Fatalf("%v became %v", m, again)
			}
		} else if !reflect.DeepEqual(m, again) {
			t.Fatalf("%v became %v", m, again)
		}
	})
}
