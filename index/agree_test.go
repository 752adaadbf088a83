package index

import (
	"math"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// A list of peer addresses with one address twice is refused in words, whoever sends it, and the state can be loaded.
func TestRepeatedPeerAddressIsRefused(t *testing.T) {
	same := []string{"h:1", "h:1"}
	s := founded()
	id := s.Members().All()[0].ID
	for what, command := range map[string][]byte{
		"update":       new(Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.UpdateMember, ID: id, Peers: same}).Bytes,
		"add":          new(Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 99, Name: "n99", Peers: same}).Bytes,
		"announcement": AppendAnnounce(nil, &kv.Member{ID: id, Name: s.Members().All()[0].Name, Peers: same, Boot: 1}).Bytes,
	} {
		before := s.View().Members()
		applied, _ := s.Applied()
		results, err := s.ApplyChange(applied+1, 1, AppendEnvelope(nil, Envelope{Level: 1, Member: id}, [][]byte{command}), nil)
		if err != nil || results[0].Err == nil || !strings.Contains(results[0].Err.Message, `"h:1" is listed twice`) || !before.Same(s.Members()) {
			t.Errorf("%s: %v, %+v", what, err, results)
		}
		restored(t, s.ViewToSave())
	}
}

// Members that break an invariant are refused whichever change makes them: the last check is that of a load.
func TestChangeOfMembersIsCheckedAsALoadDoes(t *testing.T) {
	s := founded()
	next := Members{records: append([]kv.Member(nil), s.Members().All()...)}
	next.records[0].Peers = []string{"h:1", "h:1"}
	if r := s.changeMembers(next, nil); r.Err == nil || !strings.Contains(r.Err.Message, "h:1") || next.Same(s.Members()) {
		t.Errorf("%+v", r.Err)
	}
}

// A sequence near the end of its range is refused in words. No sum of a sequence and a window overflows.
func TestSequencesAreBounded(t *testing.T) {
	s := founded()
	write := func(sequence uint64) *kv.Error {
		h := Head{Once: kv.WriteName{Session: sequence, Sequence: sequence, Window: 3, Opened: 1}}
		return batch(t, s, 1, h.AppendPut(nil, &kv.Put{Key: []byte("k")}).Bytes)[0].Err
	}
	for _, sequence := range []uint64{limits.SessionSequence + 1, math.MaxInt64, 1 << 63, math.MaxUint64 - 4, math.MaxUint64} {
		if err := write(sequence); err == nil || err.Code != kv.BadRequest || !strings.Contains(err.Message, "over the limit of 4611686018427387904") {
			t.Errorf("sequence %d: %v", sequence, err)
		}
	}
	if err := write(limits.SessionSequence); err != nil {
		t.Errorf("the highest sequence: %v", err)
	}
	restored(t, s.ViewToSave())
	batch(t, s, 1e9) // the session clock passes the session's last write
	s.sessions.end(s.sessions.oldest)
	if n := s.numbers; n.sessions != 0 || n.outcomes != 0 || n.sessionSum != 0 {
		t.Errorf("after the end of the only session: %+v", n)
	}
	restored(t, s.ViewToSave())
}
