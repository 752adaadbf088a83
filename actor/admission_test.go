package actor

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// idOf makes an id of a letter.
func idOf(letter byte) (id [16]byte) {
	for i := range id {
		id[i] = letter
	}
	return id
}

// past is what an identity tells of its last starts, a letter each.
func past(letters string) (b []byte) {
	for _, letter := range []byte(letters) {
		id := idOf(letter)
		b = append(b, id[:8]...)
	}
	return b
}

// What shows that a member has forgotten, beside what is known of its third start, by the process c.
func TestAdmission(t *testing.T) {
	known := Known{Member: 2, Folder: idOf('F'), Boot: 3, Process: idOf('c')}
	type world struct {
		leads            bool
		match, minMatch  uint64
		end              leaderPosition
		announced, knows bool // what is known stands in the log, or was remembered
	}
	same := peerframe.MemberIdentity{Folder: idOf('F'), Boot: 3, Process: idOf('c'), Past: past("abc"), Last: 10, HardTerm: 5}
	next := peerframe.MemberIdentity{Folder: idOf('F'), Boot: 4, Process: idOf('d'), Past: past("abcd"), Last: 10, HardTerm: 5}
	with := func(i peerframe.MemberIdentity, change func(*peerframe.MemberIdentity)) peerframe.MemberIdentity {
		change(&i)
		return i
	}
	for _, c := range []struct {
		name  string
		world world
		its   peerframe.MemberIdentity
		want  string // part of the refusal
	}{
		{"the same process", world{knows: true}, same, ""},
		{"its next start", world{knows: true}, next, ""},
		{"a member that nobody knows", world{}, same, ""},
		{"another folder", world{knows: true}, with(next, func(i *peerframe.MemberIdentity) { i.Folder = idOf('G') }), "its data folder is another one"},
		{"another folder, by the log", world{announced: true}, with(next, func(i *peerframe.MemberIdentity) { i.Folder = idOf('G') }), "its data folder is another one"},
		{"an older start", world{knows: true}, with(next, func(i *peerframe.MemberIdentity) { i.Boot, i.Past = 2, past("ad") }), "started 2 times, known are 3"},
		{"two of one start", world{knows: true}, with(next, func(i *peerframe.MemberIdentity) { i.Boot, i.Past = 3, past("abd") }), "two processes claim start 3"},
		{"a copy that was started since", world{knows: true}, with(next, func(i *peerframe.MemberIdentity) { i.Past = past("abxd") }), "start 3 of its data folder is known to be another process's"},
		{"too many starts to tell", world{knows: true}, with(next, func(i *peerframe.MemberIdentity) { i.Boot, i.Past = 9, past("wxyd") }), ""},
		{"an end before what a leader counts", world{knows: true, leads: true, match: 11}, next, "it had acknowledged entry 11, but its log ends at 10"},
		{"an end at what a leader counts", world{knows: true, leads: true, match: 10}, next, ""},
		{"an end that a later leader has cut", world{knows: true, leads: true, match: 11}, with(next, func(i *peerframe.MemberIdentity) { i.HardTerm = 6 }), ""},
		{"an end before what it told as a leader", world{knows: true, end: leaderPosition{term: 5, durable: 11, committed: 9}}, next, "it had entry 11 on its disk when it led in term 5, but its log ends at 10"},
		{"an end before what it told as a leader of a later term", world{knows: true, end: leaderPosition{term: 6, durable: 11}}, next, "it had entry 11 on its disk when it led in term 6"},
		{"an end at what it told as a leader", world{knows: true, end: leaderPosition{term: 5, durable: 10, committed: 10}}, next, ""},
		{"an end before what it told, that a later leader has cut", world{knows: true, end: leaderPosition{term: 4, durable: 11, committed: 10}}, next, ""},
		{"an end before what it told, and was committed", world{knows: true, end: leaderPosition{term: 4, durable: 11, committed: 11}}, next, "the committed entry 11, but its log ends at 10"},
		{"an end before what was committed", world{knows: true, minMatch: 11}, next, "the committed entry 11, but its log ends at 10"},
		{"an end before what was committed, of the process that the log tells of", world{announced: true, minMatch: 11}, same, "the committed entry 11, but its log ends at 10"},
		{"an end before what was committed, of the process that an earlier one remembered", world{knows: true, minMatch: 11}, same, "the committed entry 11, but its log ends at 10"},
	} {
		state := index.NewState(limits.Defaults().Index)
		if c.world.announced {
			announce(t, state, &kv.Member{ID: 2, Name: "n2", Folder: known.Folder, Boot: known.Boot, Process: known.Process})
		}
		status := &Status{}
		status.view.Store(state.View())
		role := "follower"
		if c.world.leads {
			role = "leader"
		}
		status.consensus.Store(&RaftStatus{Role: role, Term: 5})
		status.matches.Store(&map[uint64]uint64{2: c.world.match})
		status.minMatches.Store(&map[uint64]uint64{2: c.world.minMatch})
		status.leaderPositions.Store(&map[uint64]leaderPosition{2: c.world.end})
		var remembered []Known
		if c.world.knows {
			remembered = append(remembered, known)
		}
		var written []Known
		a := NewAdmission(&Admission{
			Self: 1, Status: status,
			Remember: func(all []Known) error { written = slices.Clone(all); return nil },
		}, remembered)
		restarted := with(c.its, func(i *peerframe.MemberIdentity) {
			i.Boot, i.Process, i.Past = i.Boot+1, idOf('e'), append(slices.Clone(i.Past), past("e")...)
		})
		// A refused member asks again, and after its restart.
		for _, ask := range []struct {
			when string
			its  peerframe.MemberIdentity
		}{{"first", c.its}, {"again", c.its}, {"after its restart", restarted}, {"again after its restart", restarted}, {"as before", c.its}} {
			err := a.Admit(2, ask.its)
			if c.want == "" {
				if err != nil {
					t.Errorf("%s, %s: %v", c.name, ask.when, err)
				}
				if len(written) == 0 && (!c.world.knows || c.its.Process != known.Process) {
					t.Errorf("%s, %s: the member is admitted, and not remembered", c.name, ask.when)
				}
				if ask.when == "again" {
					break // the next start is another row
				}
				continue
			}
			refusal, ok := errors.AsType[*Refusal](err)
			if !ok || !refusal.Forgot || refusal.Leads != c.world.leads || !strings.Contains(refusal.Text, "while there is a leader") ||
				ask.its.Boot == c.its.Boot && !strings.Contains(refusal.Text, c.want) {
				t.Errorf("%s, %s: %+v, want %q", c.name, ask.when, err, c.want)
			}
			if now := a.Knows(2); now.Folder != known.Folder || now.Boot != known.Boot || now.Process != known.Process || a.End(2) != 0 {
				t.Errorf("%s, %s: the member is refused, but remembered: %+v, with the end %d", c.name, ask.when, now, a.End(2))
			}
		}
	}
}

// A process's later handshake may have been made before what it acknowledged since.
func TestLaterHandshakeOfTheSameProcess(t *testing.T) {
	status := &Status{}
	status.view.Store(index.NewState(limits.Defaults().Index).View())
	a := NewAdmission(&Admission{Self: 1, Status: status, Remember: func([]Known) error { return nil }}, nil)
	its := peerframe.MemberIdentity{Folder: idOf('F'), Boot: 1, Process: idOf('a'), Past: past("a"), Last: 10}
	if err := a.Admit(2, its); err != nil {
		t.Fatal(err)
	}
	status.minMatches.Store(&map[uint64]uint64{2: 12})
	if err := a.Admit(2, its); err != nil {
		t.Errorf("refused though it forgot nothing: %v", err)
	}
}

// What a member had acknowledged of what is committed is remembered by who refuses it, across restarts, until its log has
// it: a leader that begins anew would not know otherwise, and its admission would end the suspension.
func TestWhatIsOwedIsRemembered(t *testing.T) {
	var written []Known
	begin := func(minMatch uint64, remembered []Known) *Admission {
		status := &Status{}
		status.view.Store(index.NewState(limits.Defaults().Index).View())
		status.minMatches.Store(&map[uint64]uint64{2: minMatch})
		return NewAdmission(&Admission{Self: 1, Status: status, Remember: func(all []Known) error {
			written = slices.Clone(all)
			return nil
		}}, remembered)
	}
	whole := peerframe.MemberIdentity{Folder: idOf('F'), Boot: 1, Process: idOf('a'), Past: past("a"), Last: 12}
	if err := begin(0, nil).Admit(2, whole); err != nil {
		t.Fatal(err)
	}
	restored := peerframe.MemberIdentity{Folder: idOf('F'), Boot: 2, Process: idOf('b'), Past: past("ab"), Last: 11}
	for range 3 { // once by the leader that knows, and then by its later processes
		var refusal *Refusal
		if err := begin(map[bool]uint64{true: 12}[written[0].Owed == 0], written).Admit(2, restored); !errors.As(err, &refusal) || !refusal.Forgot || written[0].Owed != 12 {
			t.Fatalf("%v, remembered are %+v", err, written)
		}
	}
	putBack := peerframe.MemberIdentity{Folder: idOf('F'), Boot: 2, Process: idOf('c'), Past: past("ac"), Last: 12}
	if err := begin(0, written).Admit(2, putBack); err != nil || written[0].Owed != 0 || written[0].Boot != 2 {
		t.Fatalf("%v, remembered are %+v", err, written)
	}
	if err := begin(0, written).Admit(2, peerframe.MemberIdentity{Folder: idOf('F'), Boot: 3, Process: idOf('d'), Past: past("acd"), Last: 11}); err != nil {
		t.Errorf("what a later leader has cut is owed by nobody: %v", err)
	}
}

// A peer is not admitted before what it says is remembered.
func TestAdmissionRemembersFirst(t *testing.T) {
	status := &Status{}
	status.view.Store(index.NewState(limits.Defaults().Index).View())
	full := errors.New("no space")
	a := NewAdmission(&Admission{Self: 1, Status: status, Remember: func([]Known) error { return full }}, nil)
	its := peerframe.MemberIdentity{Folder: idOf('F'), Boot: 1, Process: idOf('a'), Past: past("a")}
	for range 2 {
		if err := a.Admit(2, its); !errors.Is(err, full) {
			t.Errorf("admitted: %v", err)
		}
	}
	full = nil
	if err := a.Admit(2, its); err != nil {
		t.Error(err)
	}
}

func announce(t *testing.T, s *index.State, a *kv.Member) {
	t.Helper()
	s.Found(index.Founders(map[string]uint64{a.Name: a.ID}))
	entry := index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 9, Incarnation: 1, First: 1}, [][]byte{index.AppendAnnounce(nil, a).Bytes})
	if _, err := s.Apply(1, 1, entry, nil); err != nil {
		t.Fatal(err)
	}
}
