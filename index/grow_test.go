package index

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
	"qkv/internal/pack/packtest"
)

// Every command of a newer qkv with a field more is refused and named as such, never skipped and never malformed; one of an older qkv
// with a field less has that field zero.
func TestCommandsGrow(t *testing.T) {
	decode := func(b []byte) (command, error) {
		r := pack.NewExactReader(b)
		var c command
		err := c.read(&r)
		if err == nil {
			err = r.Done()
		}
		c.size = 0
		return c, err
	}
	names, commands, same := samples()
	seen := map[uint64]bool{}
	for i, name := range names {
		if len(commands[i]) > 1000 {
			continue
		}
		kind := same[i].Kind
		seen[kind] = true
		packtest.Grows(t, name, commands[i], decode, true, commandFields)
		if r := pack.NewReader(commands[i]); kind != kindDelete || bodyFields(&r) == len(kinds[kindDelete].fields) {
			packtest.Grows(t, name, commands[i], decode, true, 0, 6)
		}
		if same[i].Session != 0 {
			packtest.Grows(t, name, commands[i], decode, true, 1, 4)
		}
	}
	for kind := uint64(1); declared(kind); kind++ {
		if !seen[kind] {
			t.Errorf("no command of kind %d was looked at", kind)
		}
	}
	for name, path := range map[string][]int{"checkpoint": {6, 1, 0}, "transaction": {6, 0}} {
		for i := range names {
			if names[i] == name {
				packtest.Grows(t, name, commands[i], decode, true, 0, path...)
			}
		}
	}
	for path, least := range map[string]int{"0 0": 0, "1 0": 1, "1 1": 1, "1 2": 1, "1 3": 1} {
		for i := range names {
			if names[i] == "transaction" {
				var list, at int
				fmt.Sscan(path, &list, &at)
				packtest.Grows(t, "transaction", commands[i], decode, true, least, 6, 0, list, at)
			}
		}
	}
	long := AppendEnvelope(nil, Envelope{Level: 1}, [][]byte{put("a", "b")})
	long[0]++
	if _, err := ReadEnvelope(append(long, 0)); !errors.Is(err, pack.ErrNewer) {
		t.Errorf("an envelope with a field more: %v", err)
	}
}

// bodyFields returns the number of fields of a command's body.
func bodyFields(r *pack.Reader) int {
	r.Array()
	for range commandFields - 1 {
		r.Skip()
	}
	return r.Array()
}

// The state of an older qkv, which has fewer fields, is built; that of a newer one is refused as such.
func TestMetaGrows(t *testing.T) {
	s := founded()
	s.limits.ExtentBytes = 100
	batch(t, s, 5e9, AppendFeatureLevel(nil, MaxLevel).Bytes)
	batch(t, s, 5e9, AppendAnnounce(nil, testMember()).Bytes, put("a", "1"), put("b", "2"), del("a", "c"), AppendCheck(nil).Bytes, new(Head).AppendGrant(nil, kv.Lease{ID: 7, TTL: 60}).Bytes)
	batch(t, s, 7e9, AppendDigest(nil, testMember().ID, 2, 9).Bytes, new(Head).AppendAlarm(nil, kv.AlarmChange{Raise: true, Member: testMember().ID, Name: kv.NoSpaceAlarm}).Bytes)
	head := Head{Once: kv.WriteName{Session: 9, Sequence: 1, Window: 1, Opened: 1}, By: s.View().By("ci")}
	batch(t, s, 8e9, head.AppendDelete(nil, &kv.Delete{Key: []byte("b")}).Bytes)
	as := Head{By: s.View().By("ci")}
	batch(t, s, 9e9, as.AppendPut(nil, &kv.Put{Key: []byte("c"), Value: []byte("1")}).Bytes, as.AppendAuthChange(nil, &kv.AuthChange{Kind: kv.UserAdd, User: "ci", Password: []byte("hash")}).Bytes,
		as.AppendAuthChange(nil, &kv.AuthChange{Kind: kv.RoleAdd, Role: "app"}).Bytes,
		as.AppendAuthChange(nil, &kv.AuthChange{Kind: kv.RoleGrantPermission, Role: "app", Permission: kv.Permission{Key: []byte("a"), End: []byte("b"), Type: kv.PermitWrite}}).Bytes)
	s.SkipRevisions(0)
	meta := s.ViewToSave().AppendMeta(nil)
	read := func(b []byte) (string, error) {
		s := newState(NewReserve().ledger, limits.Defaults().Index)
		err := (&metaReader{s: s}).read(b)
		forgetShare(s)
		return fmt.Sprintf("%+v %v %v %v %x", s.members, s.check, s.alarms, s.sessions.newest, s.appendAuth(nil)), err
	}
	packtest.Grows(t, "meta", meta, read, true, 2)
	for section := range sections - 1 {
		packtest.Grows(t, fmt.Sprint("section ", section+1), meta, read, true, 3, 1, section)
	}
	// Of what a section holds, itself a binary.
	contents := map[uint64][]byte{}
	r := pack.NewReader(meta)
	r.Array()
	r.Uint()
	for range r.Array() {
		r.Array()
		kind := r.Uint()
		r.Uint()
		contents[kind] = r.Bytes()
	}
	for _, x := range []struct {
		kind  uint64
		least int
		path  []int
	}{
		{sectionNumbers, 10, nil},
		{sectionLayout, 4, nil},
		{sectionMembers, 2, nil},
		{sectionMembers, 3, []int{0, 0}},
		{sectionTimes, 1, nil},
		{sectionTimes, 3, []int{1, 0}},
		{sectionCheck, 0, nil},
		{sectionCheck, 0, []int{1, 0}},
		{sectionLeases, 2, []int{0}},
		{sectionClients, 3, nil},
		{sectionClients, 2, []int{1, 0}},
		{sectionClients, 3, []int{3, 0}},
		{sectionClients, 5, []int{3, 0, 4, 0}},
		{sectionAlarms, 2, []int{0}},
		{sectionBackup, 0, nil},
		{sectionAuth, 5, nil},
		{sectionAuth, 2, []int{3, 0}},
		{sectionAuth, 1, []int{4, 0}},
		{sectionAuth, 2, []int{4, 0, 1, 0}},
		{sectionExtents, 5, nil},
		{sectionExtents, 5, []int{3}},
		{sectionExtents, 5, []int{4, 0}},
	} {
		packtest.Grows(t, fmt.Sprint("content of section ", x.kind), contents[x.kind], func(b []byte) (string, error) {
			s := newState(NewReserve().ledger, limits.Defaults().Index)
			m := metaReader{s: s}
			err := m.section(x.kind, b)
			forgetShare(s)
			return fmt.Sprintf("%+v %+v %v %v %v %v %x", m.want, s.replicated.numbers, s.members, s.check, s.alarms, s.sessions.newest, s.appendAuth(nil)), err
		}, true, x.least, x.path...)
	}
	if _, err := read(appendSection(append([]byte{0x92, metaVersion, 0x90 | sections}, meta[3:]...), sections, nil)); err == nil || !strings.Contains(err.Error(), "written by a newer qkv") {
		t.Errorf("a section more: %v", err)
	}
}

// forgetShare removes the pointer in the newest session, which two states do not have in common.
func forgetShare(s *State) {
	if s.sessions.newest != nil {
		s.sessions.newest.user = nil
	}
}
