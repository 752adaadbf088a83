package node

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// What is wrong is said once, with its name and of the member that it is about, and not any more when it is over.
func TestAlarms(t *testing.T) {
	m := &member{status: statusOf(t, 3), failed: func(error) {}, folder: &folder{identity: identity{Member: 1}}}
	is := func(want ...string) {
		t.Helper()
		var got []string
		for _, a := range m.alarms() {
			got = append(got, fmt.Sprintf("%s %d %s", a.Name, a.Member, a.Text))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q, not %q", got, want)
		}
	}
	is()
	m.status.Refuse(2, &actor.Refusal{Text: "n2 is another's"})
	m.status.Refuse(2, &actor.Refusal{Text: "n2 is another's"})
	is("REFUSED 2 n2 is another's")
	m.status.Refuse(2, &actor.Refusal{Forgot: true, Text: "AMNESIA: n2 forgot"})
	is("AMNESIA 2 AMNESIA: n2 forgot")
	m.status.Refuse(2, nil)
	is()
	m.status.Alarm(kv.Alarm{Name: kv.CorruptAlarm, Subject: "b.snap", Text: "b"})
	m.status.Alarm(kv.Alarm{Name: kv.CorruptAlarm, Subject: "a.snap", Text: "a"})
	m.status.Alarm(kv.Alarm{Name: kv.NoSpaceAlarm, Text: "10 MiB are free"})
	m.status.Alarm(kv.Alarm{Name: kv.NoSpaceAlarm, Text: "9 MiB are free"})
	is("CORRUPT 1 a", "CORRUPT 1 b", "NOSPACE 1 9 MiB are free")
	m.status.Alarm(kv.Alarm{Name: kv.CorruptAlarm, Subject: "a.snap"})
	m.status.Alarm(kv.Alarm{Name: kv.NoSpaceAlarm})
	is("CORRUPT 1 b")
	m.fail(errors.New("a sync failed"))
	is("FAILED 1 a sync failed")
}

// What was wrong with a member that has been removed is over, and what was wrong with this one by its word: a member of its
// name is another one.
func TestAlarmsOfTheRemoved(t *testing.T) {
	members := index.Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3})
	left, refused := members.Change(&kv.MemberChange{Kind: kv.RemoveMember, ID: 2}, 1)
	if refused != nil {
		t.Fatal(refused)
	}
	for want, status := range map[int]*actor.Status{2: statusWith(members), 1: statusWith(left)} {
		m := &member{status: status, folder: &folder{identity: identity{Member: 1}}}
		m.status.Refuse(2, &actor.Refusal{Forgot: true, Text: "AMNESIA: n2 forgot"})
		m.status.Refuse(3, &actor.Refusal{Text: "n3 is another's"})
		if alarms := m.alarms(); len(alarms) != want {
			t.Errorf("%+v: not %d alarms", alarms, want)
		}
		refusals := []kv.Alarm{{Name: kv.RefusedAlarm, Member: 2, Text: "another id"}, {Name: kv.RefusedAlarm, Member: 3, Text: "another cluster"}}
		if alarms := m.refusers(refusals); len(alarms) != want {
			t.Errorf("%+v: not %d who refuse", alarms, want)
		}
	}
}

// Members that refuse this one for the same reason say so together.
func TestRefusers(t *testing.T) {
	m := &member{status: statusOf(t, 4)}
	got := m.refusers([]kv.Alarm{
		{Name: kv.RefusedAlarm, Member: 3, Text: "another cluster"},
		{Name: kv.AmnesiaAlarm, Member: 4, Text: "forgot"},
		{Name: kv.RefusedAlarm, Member: 2, Text: "another cluster"},
	})
	want := []kv.Alarm{
		{Name: kv.RefusedAlarm, Text: "n2 and n3 refuse this member: another cluster"},
		{Name: kv.AmnesiaAlarm, Text: "n4 refuses this member: forgot"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, not %+v", got, want)
	}
}

// A refusal is logged once as long as its reason is the same, and again after it was over.
func TestRefusalsAreLoggedOnce(t *testing.T) {
	var logged bytes.Buffer
	m := &member{
		logger: slog.New(slog.NewTextHandler(&logged, nil)), status: statusOf(t, 3),
	}
	for range 3 {
		peerHandler{m}.once(&m.peers.refused, 2, "refused", "forgot")
		peerHandler{m}.once(&m.peers.refused, 3, "refused", "forgot")
		peerHandler{m}.once(&m.peers.refusing, 2, "refuses", "forgot")
	}
	peerHandler{m}.once(&m.peers.refused, 2, "refused", "copied")
	m.peers.refused.Delete(uint64(3))
	peerHandler{m}.once(&m.peers.refused, 3, "refused", "forgot")
	if got := strings.Count(logged.String(), "\n"); got != 5 {
		t.Errorf("%d lines, not 5:\n%s", got, &logged)
	}
}

// A refusal that asking again may end, as that of a member that lags behind the log, is no error.
func TestRefusalOfALagIsNoError(t *testing.T) {
	var logged bytes.Buffer
	m := &member{logger: slog.New(slog.NewTextHandler(&logged, nil)), status: statusOf(t, 2)}
	m.actors.consensus = actor.NewMailbox[actor.ConsensusMessage]("consensus", actor.Capacity{Offer: 4, MustPost: 4})
	lag := (&peerframe.Handshake{From: 9, To: 1}).CheckMembers(1, 2)
	no, ok := errors.AsType[*peerframe.Refusal](lag)
	if !ok {
		t.Fatalf("%v is no refusal", lag)
	}
	peerHandler{m}.Refused(2, *no)
	if logged.Len() > 0 {
		t.Errorf("a lag is logged: %s", &logged)
	}
	peerHandler{m}.Refused(2, peerframe.Refusal{Code: peerframe.Refused, Text: "another cluster"})
	if !strings.Contains(logged.String(), "level=ERROR") {
		t.Errorf("a refusal is logged as %q", &logged)
	}
}

func hasAlarm(m *member, name kv.AlarmName) bool {
	return slices.ContainsFunc(m.alarms(), func(a kv.Alarm) bool { return a.Name == name })
}

// statusOf is the status of a member of a cluster of so many: n1, which has the id 1, and so on.
func statusOf(t *testing.T, members int) *actor.Status {
	t.Helper()
	ids := map[string]uint64{}
	for i := range members {
		ids[fmt.Sprintf("n%d", i+1)] = uint64(i + 1)
	}
	return statusWith(index.Founders(ids))
}

func statusWith(members index.Members) *actor.Status {
	status, state := &actor.Status{}, index.NewState(limits.Defaults().Index)
	state.Found(members)
	actor.NewApplier(actor.ApplierConfig{State: state, Status: status}) // publishes it
	return status
}
