package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/figures"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
	"qkv/net/server/servertest"
)

// threeMembers is a cluster of n1, n2 and n3 whose answers a test decides.
func threeMembers(t *testing.T) *rig {
	t.Helper()
	b := &rig{member: servertest.NewCluster(map[string]uint64{"n1": 1, "n2": 2, "n3": 3}), trust: servertest.NewTrust(t)}
	s := servertest.Start(t, b.trust, b.member, nil)
	for id := range uint64(3) {
		b.member.Announce(announcement(id+1, fmt.Sprintf("n%d", id+1)))
	}
	b.member.SetStatus(kv.Status{Name: "n1", ID: 1, Role: "leader", Leader: 1})
	b.flags = []string{"--endpoints", servertest.Endpoint(s), "--no-discovery", "--certs-dir", b.trust.Dir, "--home", t.TempDir()}
	return b
}

// announcement is what a member says of itself at its first start.
func announcement(id uint64, name string) kv.Member {
	return kv.Member{
		ID: id, Name: name, Peers: []string{fmt.Sprintf("10.0.0.%d:2380", id)}, Clients: []string{fmt.Sprintf("10.0.0.%d:2379", id)},
		Version: "0.1.0", Level: 1, Folder: [16]byte{byte(id)}, Boot: 1, Process: [16]byte{byte(id)},
	}
}

// list returns the members by name.
func (b *rig) list(t *testing.T) map[string]memberRecord {
	t.Helper()
	code, out, stderr := b.qkv(t, "", "member", "list", "-w", "json")
	var answer struct{ Members []memberRecord }
	if err := json.Unmarshal([]byte(out), &answer); err != nil || code != 0 {
		t.Fatalf("%d %q %q: %v", code, out, stderr, err)
	}
	all := map[string]memberRecord{}
	for _, m := range answer.Members {
		all[m.Name] = m
	}
	return all
}

// TestMembers is the life of a member, by name and by id.
func TestMembers(t *testing.T) {
	b := threeMembers(t)
	command := "qkv serve --name n4 --data-dir /var/lib/qkv --listen 10.0.0.4:2379 --listen-peer 10.0.0.4:2380 --certs-dir certs --join 10.0.0.1:2380,10.0.0.2:2380,10.0.0.3:2380\n"
	code, out, stderr := b.qkv(t, "", "member", "add", "n4", "--peer", "10.0.0.4:2380", "--learner")
	id := b.list(t)["n4"].ID
	files := "on its host, with an empty data folder, and ca.crt, member-n4.crt and member-n4.key in the folder certs:\n"
	if want := "n4 (" + id + ") is added: a learner now, and a voter by `qkv member promote n4`\n" + files + command; code != 0 || out != want {
		t.Errorf("%d %q %q, wanted\n%s", code, out, stderr, want)
	}
	b.expect(t, 0, "n4 ("+id+") was added before, and has not been started\n"+files+command, "", "member", "add", "n4", "--peer", "10.0.0.4:2380", "--learner")
	record := `{"name":"n4","id":"` + id + `","manual":true,"added_before":true,"peers":["10.0.0.4:2380"],"command":"` + strings.TrimSuffix(command, "\n") + "\"}\n"
	b.expect(t, 0, record, "", "member", "add", "n4", "--peer", "10.0.0.4:2380", "--learner", "-w", "json")
	b.expect(t, 4, "", "there is a member n4 already", "member", "add", "n4", "--peer", "10.0.0.5:2380")
	b.expect(t, 4, "", "the member n4 has the peer address 10.0.0.4:2380 already", "member", "add", "n5", "--peer", "10.0.0.4:2380")
	if m := b.list(t)["n4"]; !m.Learner || !m.Manual || m.Status != "unstarted" || m.Since == "" {
		t.Errorf("%+v", m)
	}
	b.expect(t, 4, "", "n4 is a learner: only a voter can lead", "member", "lead", "n4")
	b.expect(t, 0, "n4 ("+id+") is reached at 10.0.0.9:2380\n", "", "member", "update", "n4", "--peer", "10.0.0.9:2380")
	b.expect(t, 0, "n4 ("+id+") is a voter\n", "", "member", "promote", id)
	b.expect(t, 4, "", "n4 is a voter already", "member", "promote", "n4")
	b.expect(t, 0, "n4 leads\n", "", "member", "lead", "n4")
	moves := b.member.Moves.Load()
	b.expect(t, 0, "n4 leads\n", "", "member", "lead", id)
	if b.member.Moves.Load() != moves {
		t.Error("the leader was moved to where it was")
	}
	b.expect(t, 0, "n1 leads\n", "", "member", "lead")
	b.expect(t, 0, "n4 ("+id+") is no member any more\n", "", "member", "remove", "n4")
	b.expect(t, 3, "", "no member is called n4: they are n1, n2, n3; nothing was changed", "member", "remove", "n4")
	b.expect(t, 3, "", "no member is called 0000000000000009", "member", "lead", "0000000000000009")
	for _, line := range []string{"member add n\x015 --peer h:1", "member add n5", "member add n5 --peer h", "member add n5 --peer 0.0.0.0:2380", "member update n1", "member remove", "member list x", "member lead a b"} {
		if code, _, stderr := b.qkv(t, "", strings.Fields(line)...); code != form.ExitUsage {
			t.Errorf("qkv %s: %d %s", line, code, stderr)
		}
	}
	for code, exit := range map[kv.Code]int{kv.QuorumAtRisk: 4, kv.LearnerBehind: 4, kv.TooManyMembers: 4, kv.Unknown: 7, kv.Internal: 7, kv.Removed: 5} {
		b.member.SetBefore(func(writes, _ int) *kv.Error {
			if writes == 0 {
				return nil
			}
			return kv.Errorf(code, "so it is")
		})
		testretry.Longer(t, 300*time.Millisecond, func(t testing.TB, limit time.Duration) {
			if got, _, stderr := b.qkv(t, "", "member", "remove", "n3", "--timeout", limit.String()); got != exit || !strings.Contains(stderr, "so it is") {
				t.Errorf("%v: %d %s", code, got, stderr)
			}
		})
	}
}

// The list needs a quorum unless it is serializable, and so do other reads: who has none is told of the flag that it can do with,
// and nobody else is.
func TestMemberListWithoutQuorum(t *testing.T) {
	b := threeMembers(t)
	b.member.SetBefore(func(int, int) *kv.Error { return kv.Errorf(kv.Unavailable, "no quorum") })
	hint := "; --serializable reads from one member, also without a leader\n"
	for line, named := range map[string]bool{"member list": true, "get key": true, "get key --prefix": true, "history key": false} {
		testretry.Longer(t, 300*time.Millisecond, func(t testing.TB, limit time.Duration) {
			code, out, stderr := b.qkv(t, "", append(strings.Fields(line), "--timeout", limit.String())...)
			if code != form.ExitUnavailable || out != "" || !strings.Contains(stderr, "no quorum") || strings.HasSuffix(stderr, hint) != named {
				t.Errorf("qkv %s: %d %q %q", line, code, out, stderr)
			}
		})
	}
	b.member.SetBefore(func(int, int) *kv.Error { return kv.Errorf(kv.Amnesia, "it takes no part") })
	testretry.Longer(t, 300*time.Millisecond, func(t testing.TB, limit time.Duration) {
		b.expect(t, form.ExitUnavailable, "", "it takes no part\n", "member", "list", "--timeout", limit.String())
	})
	if code, out, _ := b.qkv(t, "", "member", "list", "--serializable"); code != 0 || strings.Count(out, "voter") != 3 {
		t.Errorf("%d %q", code, out)
	}
}

// replace runs `member replace` until it ends, or until it has printed some words.
func (b *rig) replace(t *testing.T, until string, words ...string) (code int, out, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return b.replaceThen(ctx, until, cancel, words...)
}

// replaceThen runs `member replace` until it ends, and does something once it has printed some words.
func (b *rig) replaceThen(ctx context.Context, until string, then func(), words ...string) (code int, out, stderr string) {
	w := &stopAt{until: until, stop: sync.OnceFunc(then)}
	var messages bytes.Buffer
	args := append(append([]string{"qkv", "member", "replace"}, words...), b.flags...)
	code = execute(ctx, args, strings.NewReader(""), w, &messages)
	return code, w.String(), messages.String()
}

// stopAt keeps what is written, and calls stop when some words are there.
type stopAt struct {
	bytes.Buffer
	until string
	stop  func()
}

func (s *stopAt) Write(b []byte) (int, error) {
	n, err := s.Buffer.Write(b)
	if s.until != "" && strings.Contains(s.String(), s.until) {
		s.stop()
	}
	return n, err
}

// leads makes n1 the leader, with a connection to these members.
func (b *rig) leads(connected ...uint64) {
	s := kv.Status{Name: "n1", ID: 1, Role: "leader", Leader: 1}
	for _, m := range b.member.View().Members().All() {
		s.Links = append(s.Links, kv.Link{Member: m.ID, Connected: slices.Contains(connected, m.ID)})
	}
	b.member.SetStatus(s)
}

// number is the id of a listed member.
func (b *rig) number(t *testing.T, name string) (id uint64) {
	t.Helper()
	_, err := fmt.Sscanf(b.list(t)[name].ID, "%x", &id)
	must(t, err)
	return id
}

// starts announces a new member.
func (b *rig) starts(t *testing.T, name, peer string) uint64 {
	t.Helper()
	one := announcement(4, name)
	one.ID, one.Peers = b.number(t, name), []string{peer}
	b.member.Announce(one)
	return one.ID
}

// The command adds the change, prints the command for the host, and then shows what the leader does. It shows it again when it is run again.
func TestMemberReplace(t *testing.T) {
	b := threeMembers(t)
	peer := []string{"n3", "--peer", "10.0.0.4:2380"}
	b.expect(t, 3, "", "no member is called n9", "member", "replace", "n9", "--peer", "10.0.0.4:2380")
	b.expect(t, 4, "", "there is a member n1 already", "member", "replace", "n3", "--peer", "10.0.0.4:2380", "--name", "n1")
	b.expect(t, 2, "", "the new member's name: ", "member", "replace", "n3", "--peer", "10.0.0.4:2380", "--name", "a\nb")

	command := "qkv serve --name n3-2 --data-dir /var/lib/qkv --listen 10.0.0.4:2379 --listen-peer 10.0.0.4:2380 --certs-dir certs --join 10.0.0.1:2380,10.0.0.2:2380\n"
	_, out, stderr := b.replace(t, "2 of 3: waiting until n3-2 is started", peer...)
	id := b.list(t)["n3-2"].ID
	if !strings.HasPrefix(out, "1 of 3: n3-2 ("+id+") is added at 10.0.0.4:2380, in the place of n3 (0000000000000003)\n") || strings.Count(out, command) != 1 {
		t.Fatalf("%q %q", out, stderr)
	}
	for _, words := range [][]string{peer, {"n3"}, {"0000000000000003", "--peer", "10.0.0.4:2380"}, {"n3", "--name", "n3-2"}} {
		_, out, stderr = b.replace(t, "2 of 3: waiting until n3-2 is started", words...)
		if !strings.HasPrefix(out, "1 of 3: n3-2 ("+id+") was added before\n") || strings.Count(out, command) != 1 || b.list(t)["n3-2"].ID != id {
			t.Fatalf("%q again: %q %q", words, out, stderr)
		}
	}
	if m := b.list(t)["n3-2"]; m.Replaces != "n3" || m.Manual || m.Role != "learner" {
		t.Errorf("%+v", m)
	}
	for _, other := range [][]string{{"--peer", "10.0.0.5:2380"}, {"--name", "n4"}} {
		b.expect(t, 4, "", "n3 is being replaced already, by n3-2: `qkv member remove n3-2` ends that", append([]string{"member", "replace", "n3"}, other...)...)
	}
	number := b.number(t, "n3-2")
	b.leads(number)
	if _, out, stderr = b.replace(t, "2 of 3: n3-2 runs, and gets the data\n", peer...); strings.Contains(out, "waiting") {
		t.Fatalf("it has not announced itself yet: %q %q", out, stderr)
	}
	b.starts(t, "n3-2", "10.0.0.4:2380")
	b.leads()
	if _, out, stderr = b.replace(t, "2 of 3: n3-2 was started, and does not answer n1 now\n", peer...); strings.Contains(out, "runs") || strings.Contains(out, "qkv serve") {
		t.Fatalf("it has died: %q %q", out, stderr)
	}
	b.leads(number)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	walk := func() { // the leader exchanges the voters
		b.member.ChangeMembers(&kv.MemberChange{Kind: kv.PromoteMember, ID: number, Instead: 3})
	}
	code, out, stderr := b.replaceThen(ctx, "2 of 3: n3-2 runs, and gets the data\n", walk, peer...)
	if code != 0 || !strings.HasSuffix(out, "3 of 3: n3-2 votes, and n3 is no member any more\n") {
		t.Errorf("%d %q %q", code, out, stderr)
	}
	b.expect(t, 0, "3 of 3: n3-2 votes, and n3 is no member any more\n", "", "member", "replace", "n3", "--peer", "10.0.0.4:2380")
	if m := b.list(t); len(m) != 3 || m["n3-2"].Role != "voter" || m["n3-2"].ID != id || m["n3-2"].Replaces != "" {
		t.Errorf("%+v", m)
	}
}

// The new member votes beside the only voter for a moment; and it is removed by somebody, which ends the replacement.
func TestMemberReplaceShowsTheLeadersSteps(t *testing.T) {
	b := threeMembers(t)
	peer := []string{"n3", "--peer", "10.0.0.4:2380", "--name", "n4"}
	b.replace(t, "2 of 3: waiting until n4 is started", peer...)
	remove := func() { b.member.ChangeMembers(&kv.MemberChange{Kind: kv.RemoveMember, ID: b.number(t, "n4")}) }
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	code, out, stderr := b.replaceThen(ctx, "2 of 3: waiting until n4 is started", remove, peer...)
	if code != form.ExitNotFound || !strings.Contains(stderr, "was removed from the cluster meanwhile: the replacement has ended") || len(b.list(t)) != 3 {
		t.Errorf("%d %q %q", code, out, stderr)
	}

	b.replace(t, "2 of 3: waiting until n4 is started", peer...)
	number := b.starts(t, "n4", "10.0.0.4:2380")
	b.member.ChangeMembers(&kv.MemberChange{Kind: kv.PromoteMember, ID: number})
	steps := func() { b.member.ChangeMembers(&kv.MemberChange{Kind: kv.RemoveMember, ID: 3}) }
	code, out, stderr = b.replaceThen(ctx, "2 of 3: n4 votes, and n3 is removed next\n", steps, peer...)
	if code != 0 || !strings.HasSuffix(out, "3 of 3: n4 votes, and n3 is no member any more\n") {
		t.Errorf("%d %q %q", code, out, stderr)
	}
}

// An answer is lost, and the leader goes: the list of members shows what has happened. A refusal ends the command.
func TestMemberReplaceRefused(t *testing.T) {
	b := threeMembers(t)
	var writes atomic.Int64
	b.member.SetBefore(func(n, reads int) *kv.Error {
		switch writes.Add(int64(n)); {
		case reads > 0:
			return nil
		case writes.Load() == 1:
			return kv.Errorf(kv.Unknown, "the leader went")
		}
		return kv.Errorf(kv.QuorumAtRisk, "n2 does not answer")
	})
	code, out, stderr := b.replace(t, "", "n3", "--peer", "10.0.0.4:2380")
	if code != form.ExitCondition || !strings.Contains(out, "trying again: the outcome of the change of the members is unknown") || !strings.Contains(stderr, "n2 does not answer") {
		t.Errorf("%d %q %q", code, out, stderr)
	}
	b.member.SetBefore(nil)
	b.qkv(t, "", "member", "add", "n5", "--peer", "10.0.0.5:2380")
	b.expect(t, 4, "", "n5 is a learner, and has no vote to hand over", "member", "replace", "n5", "--peer", "10.0.0.6:2380")
}

// Without a quorum a replacement ends within its timeout, before it has begun and later, and names the page.
func TestMemberReplaceWithoutQuorum(t *testing.T) {
	for _, begun := range []bool{false, true} {
		b := threeMembers(t)
		if begun {
			b.qkv(t, "", "member", "add", "n4", "--peer", "10.0.0.4:2380")
		}
		b.member.SetBefore(func(int, int) *kv.Error { return kv.Errorf(kv.Unavailable, "there is no leader") })
		testretry.Longer(t, 300*time.Millisecond, func(t testing.TB, limit time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			code, out, stderr := b.replaceThen(ctx, "", cancel, "n3", "--peer", "10.0.0.4:2380", "--timeout", limit.String())
			if code != form.ExitUnavailable || out != "" || !strings.Contains(stderr, "there is no leader") || !strings.HasSuffix(stderr, "docs/emergencies.md, A lost quorum\n") {
				t.Errorf("begun %v: %d %q %q", begun, code, out, stderr)
			}
		})
	}
}

// Under the name of the lost member, the command waits until the leader has removed that one, and then prints the command for the host.
func TestMemberReplaceInPlace(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	b := threeMembers(t)
	peer := []string{"n3", "--peer", "10.0.0.3:2380"}
	var answers atomic.Bool
	answers.Store(true)
	b.member.SetBefore(func(writes, _ int) *kv.Error {
		if writes > 0 && answers.Load() {
			return kv.Errorf(kv.MemberRuns, "n3 runs, and answers the leader, n1: it is not lost")
		}
		return nil
	})
	code, out, stderr := b.replace(t, "", peer...)
	if code != form.ExitCondition || out != "trying again: n3 runs, and answers the leader, n1: it is not lost\n" || !strings.Contains(stderr, "it is not lost") || len(b.list(t)) != 3 {
		t.Fatalf("%d %q %q", code, out, stderr)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &stopAt{until: "trying again", stop: func() { answers.Store(false) }}
	var messages bytes.Buffer
	until := &stopAt{until: "is removed once", stop: cancel}
	execute(ctx, append(append([]string{"qkv", "member", "replace"}, peer...), b.flags...), strings.NewReader(""), io.MultiWriter(w, until), &messages)
	id := b.list(t)[""].ID
	added := "1 of 3: a learner (" + id + ") is added at 10.0.0.3:2380, in the place of n3 (0000000000000003)\n"
	waits := "1 of 3: n3 (0000000000000003) is removed once it has had no connection to the leader for 3s: stop it if it runs\n"
	if !strings.HasSuffix(w.String(), added+waits) || b.list(t)[""].Replaces != "n3" {
		t.Fatalf("%q %q", w, &messages)
	}
	b.member.SetBefore(nil)

	before := "1 of 3: a learner (" + id + ") was added before\n"
	remove := func() { b.member.ChangeMembers(&kv.MemberChange{Kind: kv.RemoveMember, ID: 3}) }
	command := "qkv serve --name n3 --data-dir /var/lib/qkv --listen 10.0.0.3:2379 --listen-peer 10.0.0.3:2380 --certs-dir certs --join 10.0.0.1:2380,10.0.0.2:2380\n"
	w = &stopAt{until: "is removed once", stop: sync.OnceFunc(remove)}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	until = &stopAt{until: "2 of 3", stop: cancel}
	execute(ctx, append([]string{"qkv", "member", "replace", "n3"}, b.flags...), strings.NewReader(""), io.MultiWriter(w, until), &messages) // without --peer
	out = w.String()
	if !strings.HasPrefix(out, before+waits+"2 of 3: waiting until n3 is started\n") || strings.Count(out, command) != 1 || !strings.HasSuffix(out, command) {
		t.Fatalf("%q %q", out, &messages)
	}
	number := b.starts(t, "n3", "10.0.0.3:2380")
	b.leads(number)
	promote := func() { b.member.ChangeMembers(&kv.MemberChange{Kind: kv.PromoteMember, ID: number}) }
	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	code, out, stderr = b.replaceThen(ctx, "2 of 3: n3 runs, and gets the data\n", promote, peer...)
	if code != 0 || out != "1 of 3: n3 ("+id+") was added before\n2 of 3: n3 runs, and gets the data\n3 of 3: n3 votes, in the place of the lost one\n" {
		t.Errorf("%d %q %q", code, out, stderr)
	}
}

// Another name at the same address: the new member has the address at once, and a name of its own.
func TestMemberReplaceAtTheSameAddress(t *testing.T) {
	b := threeMembers(t)
	_, out, stderr := b.replace(t, "2 of 3: waiting until n2b is started", "n2", "--name", "n2b")
	if m := b.list(t); len(m) != 4 || m["n2b"].Replaces != "n2" || !slices.Equal(m["n2b"].Peers, []string{"10.0.0.2:2380"}) || len(m["n2"].Peers) != 0 {
		t.Errorf("%q %q %+v", out, stderr, m)
	}
	b.replace(t, "was added before", "n2", "--name", "n2b")
}

// One that is to keep to its endpoints asks nobody else, and says so.
func TestStatusNoDiscovery(t *testing.T) {
	b := threeMembers(t)
	b.member.SetStatus(kv.Status{Name: "n1", ID: 1, Role: "leader", Leader: 1, Members: []kv.Member{{ID: 1, Name: "n1"}, {ID: 2, Name: "n2", Clients: []string{"192.0.2.1:2379"}}}, Links: []kv.Link{{Member: 2, Connected: true}}})
	testretry.Again(t, 5, func(t testing.TB) {
		begun := time.Now()
		code, out, _ := b.qkv(t, "", "status")
		if code != 0 || !strings.Contains(out, "--no-discovery asks only these") || time.Since(begun) > cluster.MemberTimeout {
			t.Errorf("%d %q after %v", code, out, time.Since(begun))
		}
	})
}

func TestServeJoin(t *testing.T) {
	for line, want := range map[string]string{
		"--join 10.0.0.1:":                    "HOST:PORT",
		"--join [::]":                         "no member can be reached at [::]:2380",
		"--join ,":                            "names no member",
		"--join 10.0.0.1:2380 --found":        "give only one of them",
		"--join 10.0.0.1:2380,0.0.0.0:2380":   "no member can be reached at 0.0.0.0:2380",
		"--found=perhaps":                     "found",
		"--initial-cluster-state existing --": "--join makes the member one of a cluster that runs",
	} {
		var out, messages bytes.Buffer
		code := execute(t.Context(), append([]string{"qkv", "serve"}, strings.Fields(line)...), strings.NewReader(""), &out, &messages)
		if code != form.ExitUsage || !strings.Contains(messages.String(), want) {
			t.Errorf("qkv serve %s: %d %s", line, code, &messages)
		}
	}
}

// Who is asked first may be a member with a new folder, which knows no more than who founded the cluster: the list is that
// of those who are further.
func TestStatusAsksTheFurthest(t *testing.T) {
	b := threeMembers(t)
	endpoints, members := map[string]string{}, map[string]*servertest.Member{"n3": b.member}
	for _, name := range []string{"n1", "n2"} {
		members[name] = servertest.NewMember()
	}
	for name, m := range members {
		endpoints[name] = servertest.Endpoint(servertest.Start(t, b.trust, m, nil))
	}
	now := []kv.Member{
		{ID: 1, Name: "n1", Clients: []string{endpoints["n1"]}},
		{ID: 2, Name: "n2", Clients: []string{endpoints["n2"]}},
		{ID: 3, Name: "n3", Clients: []string{endpoints["n3"]}},
	}
	founders := []kv.Member{now[0], {ID: 12, Name: "n2"}, now[2]}
	members["n1"].SetStatus(kv.Status{Name: "n1", ID: 1, Role: "leader", Leader: 1, Values: figures.Values{int64(figures.Applied), 20}, Members: now})
	members["n2"].SetStatus(kv.Status{Name: "n2", ID: 2, Role: "follower", Leader: 1, Values: figures.Values{int64(figures.Applied), 20}, Members: now})
	members["n3"].SetStatus(kv.Status{Name: "n3", ID: 3, Role: cluster.RoleSuspended, Values: figures.Values{int64(figures.Applied), 1}, Members: founders})
	b.flags = []string{"--endpoints", endpoints["n3"], "--certs-dir", b.trust.Dir, "--home", t.TempDir()}
	code, out, stderr := b.qkv(t, "", "status")
	if code != 0 || strings.Contains(out, checks.StateUnknown) || strings.Count(out, "\nn2 ") != 1 {
		t.Errorf("%d %s%s", code, out, stderr)
	}
}

// memberRecord is a member in the list as programs read it.
type memberRecord struct {
	Name     string   `json:"name"`
	ID       string   `json:"id"`
	Status   string   `json:"status"`
	Role     string   `json:"role"`
	Learner  bool     `json:"learner"`
	Manual   bool     `json:"manual"`
	Peers    []string `json:"peers"`
	Clients  []string `json:"clients"`
	Version  string   `json:"version"`
	Since    string   `json:"since"`
	Replaces string   `json:"replaces"`
}
