package node

import (
	"strings"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// entries are those of a small log with users, and their results.
type entries struct {
	state   *index.State
	data    [][]byte
	results [][]kv.Result
}

func (e *entries) add(t *testing.T, commands ...[]byte) {
	applied, _ := e.state.Applied()
	data := index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 1, Wall: 1}, commands)
	results, err := e.state.Apply(applied+1, 1, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.data, e.results = append(e.data, data), append(e.results, results)
}

// someEntries are a log in which u1 may write k1 and u2 may not. The writes are those from the entry put on.
func someEntries(t *testing.T) (e *entries, put int) {
	e = &entries{state: index.NewState(limits.Defaults().Index)}
	if _, err := e.state.Apply(foundingIndex, 1, nil, nil); err != nil {
		t.Fatal(err)
	}
	by := func(name string) *index.Head { return &index.Head{By: e.state.View().By(name)} }
	e.add(t, index.AppendFeatureLevel(nil, index.MaxLevel).Bytes)
	for _, c := range []kv.AuthChange{
		{Kind: kv.UserAdd, User: kv.Root},
		{Kind: kv.UserGrantRole, User: kv.Root, Role: kv.Root},
		{Kind: kv.UserAdd, User: "u1"},
		{Kind: kv.UserAdd, User: "u2"},
		{Kind: kv.RoleAdd, Role: "r"},
		granted("r", kv.PermitReadWrite, "k1", ""),
		{Kind: kv.UserGrantRole, User: "u1", Role: "r"},
		{Kind: kv.AuthEnable, Secret: make([]byte, limits.AuthSecretBytes)},
	} {
		e.add(t, by(kv.Root).AppendAuthChange(nil, &c).Bytes)
	}
	put = len(e.data)
	k1 := &kv.Put{Key: []byte("k1"), Value: []byte("v")}
	once := index.Head{Once: kv.WriteName{Session: 9, Sequence: 1, Window: 1, Opened: 1}, By: e.state.View().By("u1")}
	e.add(t, by("u1").AppendPut(nil, k1).Bytes, by("u2").AppendPut(nil, k1).Bytes, by("").AppendPut(nil, k1).Bytes)
	e.add(t, once.AppendPut(nil, k1).Bytes)
	once.Once.Opened = 0
	e.add(t, once.AppendPut(nil, k1).Bytes)
	e.add(t, index.Own().AppendCompact(nil, 2).Bytes)
	return e, put
}

// TestJudgeOfVerdicts: the judge takes a log as it is, and knows each result that cannot be right.
func TestJudgeOfVerdicts(t *testing.T) {
	denied := kv.Errorf(kv.NotAllowed, "denied")
	for name, c := range map[string]struct {
		change func(e *entries, put int)
		want   string
	}{
		"as it is":                    {func(*entries, int) {}, ""},
		"a write that is not allowed": {func(e *entries, put int) { e.results[put][1] = kv.Result{Revision: 3} }, "its result is"},
		"another refusal":             {func(e *entries, put int) { e.results[put][2].Err = denied }, "its result is"},
		"a permitted write":           {func(e *entries, put int) { e.results[put][0] = kv.Result{Revision: 1, Err: denied} }, "which may do it"},
		"a member's own command":      {func(e *entries, put int) { e.results[put+3][0].Err = denied }, "which may do it"},
		"a change of users":           {func(e *entries, _ int) { e.results[3][0].Err = kv.Errorf(kv.UserExists, "there") }, "add user u1"},
		"a write twice":               {func(e *entries, put int) { e.results[put+2][0].Resent = false }, "once more"},
		"an outcome for another user": {func(e *entries, put int) {
			other := index.Head{Once: kv.WriteName{Session: 9, Sequence: 1, Window: 1}, By: kv.Principal{Name: kv.Root, Auth: 1 << 20}}
			e.data[put+2] = index.AppendEnvelope(nil, index.Envelope{Level: 1}, [][]byte{other.AppendPut(nil, &kv.Put{Key: []byte("k1")}).Bytes})
		}, "gives the outcome"},
		"a role that was not granted": {func(e *entries, _ int) { e.data[7], e.results[7] = nil, nil }, "its result is"},
	} {
		e, put := someEntries(t)
		c.change(e, put)
		w := newWorld(1, shape{members: 1, limits: limits.Defaults()}, nil)
		v := newVerdicts(w)
		for i := range e.data {
			v.applied(w.hosts[0], uint64(foundingIndex+1+i), e.data[i], e.results[i])
		}
		if (w.failure == "") != (c.want == "") || !strings.Contains(w.failure, c.want) {
			t.Errorf("%s: the judge says %q, want %q", name, w.failure, c.want)
		}
	}
	e, put := someEntries(t)
	w := newWorld(1, shape{members: 1, limits: limits.Defaults()}, nil)
	v := newVerdicts(w)
	for i := range e.data {
		v.applied(w.hosts[0], uint64(foundingIndex+1+i), e.data[i], e.results[i])
	}
	for revision, want := range map[int64]string{2: "u1", 3: "u1", 4: ""} {
		if got := v.authors[revision]; got != want {
			t.Errorf("revision %d is by %q, want %q", revision, got, want)
		}
	}
	if may, later := v.behind(uint64(put)), v.behind(v.at); may.Enabled || !later.Enabled || later.Verdict(kv.Principal{Name: "u2", Auth: 99}, kv.AccessRead, accessOf([]byte("k1"), nil)) != kv.NotAllowed {
		t.Errorf("users and roles behind entry %d: enabled %v, and in the end %v", put, may.Enabled, later.Enabled)
	}
	e.results[put][0].Revision++
	if v.applied(w.hosts[0], uint64(foundingIndex+1+put), e.data[put], e.results[put]); !strings.Contains(w.failure, "not those of another member") {
		t.Errorf("results that differ: %q", w.failure)
	}
	w.failure = ""
	if v.applied(w.hosts[0], v.at+2, nil, nil); !strings.Contains(w.failure, "no member has applied") {
		t.Errorf("an entry before its time: %q", w.failure)
	}
}
