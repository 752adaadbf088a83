package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/cli/form/formtest"
	"qkv/cli/run"
	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/internal/testretry"
	"qkv/net/server"
	"qkv/net/server/servertest"
)

// rig is one member whose answers a test decides, and the flags that reach it.
type rig struct {
	member *servertest.Member
	trust  servertest.Trust
	flags  []string
}

func newRig(t *testing.T, change func(*server.Config)) *rig {
	t.Helper()
	b := &rig{member: servertest.NewMember(), trust: servertest.NewTrust(t)}
	s := servertest.Start(t, b.trust, b.member, change)
	b.flags = []string{"--endpoints", servertest.Endpoint(s), "--certs-dir", b.trust.Dir, "--home", t.TempDir()}
	return b
}

// qkv runs a command line as it is, with the flags that reach the member behind it.
func (b *rig) qkv(t testing.TB, stdin string, words ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, messages bytes.Buffer
	args := append([]string{"qkv"}, words...)
	if i := slices.Index(args, "--"); i >= 0 {
		args = slices.Insert(args, i, b.flags...)
	} else {
		args = append(args, b.flags...)
	}
	code = execute(t.Context(), args, strings.NewReader(stdin), &out, &messages)
	return code, out.String(), messages.String()
}

// expect runs a command line that must end with a code and print certain words.
func (b *rig) expect(t testing.TB, code int, stdout, stderr string, words ...string) {
	t.Helper()
	gotCode, gotOut, gotErr := b.qkv(t, "", words...)
	if gotCode != code || gotOut != stdout || !strings.Contains(gotErr, stderr) || stderr == "" && gotErr != "" {
		t.Errorf("qkv %s:\n got %d %q %q\nwant %d %q %q", strings.Join(words, " "), gotCode, gotOut, gotErr, code, stdout, stderr)
	}
}

// TestKeys is the life of a few keys.
func TestKeys(t *testing.T) {
	b := newRig(t, nil)
	b.expect(t, 3, "", `key "greeting" not found`, "get", "greeting")
	b.expect(t, 0, "OK\n", "", "put", "greeting", "hello")
	b.expect(t, 0, "hello\n", "", "get", "greeting")
	b.expect(t, 0, "hello\n", "", "get", "greeting", "--serializable")
	b.expect(t, 0, "hello\n", "", "--serializable", "get", "greeting", "--limit=1")
	b.expect(t, 0, "OK\n", "", "put", "--", "-dash", "--value")
	b.expect(t, 0, "--value\n", "", "get", "--", "-dash")
	b.expect(t, 0, "OK\n", "", "put", "limit", "a key that is also a flag's name")
	b.expect(t, 0, "a key that is also a flag's name\n", "", "get", "--limit", "3", "limit")
	b.expect(t, 0, "OK\n", "", "put", "help", "")
	b.expect(t, 0, "\n", "", "get", "help")
	b.expect(t, 0, "-dash\n--value\ngreeting\nhello\nhelp\n\nlimit\na key that is also a flag's name\n", "", "get", "", "--prefix")
	b.expect(t, 0, "greeting\nhelp\n", "", "get", "g", "--from-key", "--keys-only", "--limit", "2")
	b.expect(t, 0, "4\n", "", "get", "", "--from-key", "--count-only")
	b.expect(t, 0, "", "", "get", "nothing", "--prefix")
	b.expect(t, 0, "0\n", "", "get", "nothing", "--prefix", "--count-only")
	b.expect(t, 3, "0\n", "not found", "get", "nothing", "--count-only")
	b.expect(t, 0, `{"revision":5,"count":1,"more":false,"kvs":[{"key":"greeting","value":"hello","create_revision":2,"mod_revision":2,"version":1,"lease":0}]}`+"\n", "", "get", "greeting", "-w", "json")
	b.expect(t, 3, `{"revision":5,"count":0,"more":false,"kvs":[]}`+"\n", "not found", "get", "nothing", "-w", "json")
	b.expect(t, 0, "1\n", "", "del", "greeting")
	b.expect(t, 0, "0\n", "", "del", "greeting")
	b.expect(t, 0, "hello\n", "", "get", "greeting", "--rev", "5")
	b.expect(t, 1, "", "revision", "get", "greeting", "--rev", "500")
	b.expect(t, 0, `{"revision":7,"deleted":2}`+"\n", "", "del", "h", "--from-key", "-w", "json")
	b.expect(t, 2, "", "pass --all to confirm; nothing was deleted", "del", "", "--prefix")
	b.expect(t, 2, "", "pass --all to confirm", "del", "", "--from-key")
	b.expect(t, 2, "", "the key is empty", "del", "", "--all")
	b.expect(t, 0, "1\n", "", "del", "", "--prefix", "--all")
}

// TestStdin: a value comes back byte for byte, up to the limit and not beyond.
func TestStdin(t *testing.T) {
	b := newRig(t, nil)
	large := strings.Repeat("\x00\xff\n", (limits.RequestBytesWritten-64)/3)
	for _, value := range []string{"no newline", "two\nlines\n", "\x00\xff", large} {
		if code, _, stderr := b.qkv(t, value, "put", "key"); code != 0 {
			t.Fatalf("%d: %s", code, stderr)
		}
		if _, stdout, _ := b.qkv(t, "", "get", "key"); stdout != value+"\n" {
			t.Errorf("%d bytes came back as %d", len(value), len(stdout)-1)
		}
		// Any number of times round.
		for _, key := range []string{"second", "third"} {
			_, raw, _ := b.qkv(t, "", "get", "key", "--raw", "-w", "json")
			b.qkv(t, raw, "put", key, "-")
			if _, stdout, _ := b.qkv(t, "", "get", key, "--raw"); stdout != value {
				t.Errorf("%d bytes are %d in the %s key", len(value), len(stdout), key)
			}
		}
	}
	b.expect(t, 2, "", "stdin is empty; nothing was written", "put", "key")
	b.expect(t, 2, "", "stdin is empty; nothing was written", "put", "key", "-")
	b.expect(t, 0, "OK\n", "", "put", "key", "")
	b.expect(t, 0, "\n", "", "get", "key")
	b.expect(t, 2, "", "--raw prints the value of one key", "get", "key", "--raw", "--prefix")
	b.expect(t, 3, "", "not found", "get", "nothing", "--raw")
	if code, _, stderr := b.qkv(t, large+strings.Repeat("1", 64), "put", "key"); code != form.ExitFailed || !strings.Contains(stderr, "over the limit of 1572864 (--max-request-bytes") {
		t.Errorf("one byte too many: %d %s", code, stderr)
	}
}

// TestFileValue: @FILE is the content of a file, and that is said.
func TestFileValue(t *testing.T) {
	b := newRig(t, nil)
	file := filepath.Join(tree(t, map[string]string{"value": "two\nlines\n", "empty": ""}), "value")
	b.expect(t, 0, "OK\n", "the value is the content of "+file+", 10 bytes", "put", "key", "@"+file)
	b.expect(t, 0, "two\nlines\n", "", "get", "key", "--raw")
	b.expect(t, 0, "OK\n", "empty, 0 bytes", "put", "key", "@"+filepath.Dir(file)+"/empty")
	b.expect(t, 2, "", "stores a text that begins with @", "put", "key", "@daily")
	if code, _, stderr := b.qkv(t, "@daily", "put", "key"); code != 0 {
		t.Errorf("%d %s", code, stderr)
	}
	b.expect(t, 0, "@daily", "", "get", "key", "--raw")
}

// TestMemberLimit: a member's own limit is named.
func TestMemberLimit(t *testing.T) {
	b := newRig(t, func(c *server.Config) { c.MaxRequestBytes = 70 })
	b.expect(t, 1, "", "over the limit of 70", "put", "key", strings.Repeat("v", 70))
}

// TestOneThing: an answer that is one thing has all formats, too.
func TestOneThing(t *testing.T) {
	b := newRig(t, nil)
	for range 4 {
		b.expect(t, 0, "OK\n", "", "put", "key", "value")
	}
	b.expect(t, 0, "compacted revision 2\n", "", "compact", "2")
	b.expect(t, 0, `{"compacted":3}`+"\n", "", "compact", "3", "-w", "json")
	b.expect(t, 0, "COMPACTED\n        5\n", "", "compact", "5", "-w", "table")
	var out, stderr bytes.Buffer
	code := execute(t.Context(), []string{"qkv", "version", "-w", "json"}, strings.NewReader(""), &out, &stderr)
	var version map[string]string
	if err := json.Unmarshal(out.Bytes(), &version); err != nil || code != 0 || version["version"] != form.Version || version["go"] != runtime.Version() || version["commit"] == "" || version["platform"] == "" {
		t.Errorf("%d %q %q: %v", code, out.String(), stderr.String(), err)
	}
}

// TestOutcomes: what is known of a write decides the exit code.
func TestOutcomes(t *testing.T) {
	b := newRig(t, nil)
	for _, tt := range []struct {
		code kv.Code
		put  int
		get  int
	}{
		{kv.Unknown, form.ExitUnknown, form.ExitUnavailable},
		{kv.Internal, form.ExitUnknown, form.ExitFailed},
		{kv.NoSpace, form.ExitFailed, form.ExitFailed},
		{kv.NotAllowed, form.ExitNotAllowed, form.ExitNotAllowed},
		{kv.Unavailable, form.ExitUnavailable, form.ExitUnavailable},
	} {
		b.member.SetBefore(func(int, int) *kv.Error { return &kv.Error{Code: tt.code, Message: "injected"} })
		testretry.Longer(t, 400*time.Millisecond, func(t testing.TB, limit time.Duration) {
			b.expect(t, tt.put, "", "injected", "put", "key", "value", "--timeout", limit.String())
			b.expect(t, tt.get, "", "injected", "get", "key", "--timeout", limit.String())
		})
	}
	b.member.SetBefore(nil)
	b.member.Lose.Store(true)
	testretry.Longer(t, 400*time.Millisecond, func(t testing.TB, limit time.Duration) {
		b.expect(t, form.ExitUnknown, "", "may have happened", "put", "key", "lost", "--timeout", limit.String())
	})
	b.member.Lose.Store(false)
	b.expect(t, 0, "lost\n", "", "get", "key")
}

// TestNotAllowed: a certificate of another CA is refused at once, whatever the timeout.
func TestNotAllowed(t *testing.T) {
	b := newRig(t, nil)
	other := servertest.NewTrust(t)
	begun := time.Now()
	b.flags[3] = other.Dir
	b.expect(t, form.ExitNotAllowed, "", "another CA", "get", "key", "--timeout", "1h")
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it took %v", took)
	}
	b.flags[3] = t.TempDir()
	b.expect(t, form.ExitUsage, "", "qkv cert client", "get", "key")
}

// TestStatus: members that answer, members that do not, and an endpoint where nobody is.
func TestStatus(t *testing.T) {
	b := newRig(t, nil)
	dead, nobody := deadEndpoint(t), deadEndpoint(t)
	here := b.flags[1]
	b.member.SetStatus(kv.Status{
		Name: "n1", ID: 1, Role: "leader", Leader: 1, Version: "0.1.0", Values: figures.Values{int64(figures.Term), 3, int64(figures.Commit), 9, int64(figures.Applied), 9},
		Members: []kv.Member{{ID: 1, Name: "n1", Clients: []string{here}, Role: kv.Voter}, {ID: 2, Name: "n2", Clients: []string{dead}}, {ID: 3, Name: "n3", Replaces: 2}},
	})
	code, stdout, stderr := b.qkv(t, "", "status", "-w", "json")
	if code != 0 || stderr != "" {
		t.Fatalf("%d %s", code, stderr)
	}
	for _, want := range []string{
		`{"members":[{"name":"n1","id":"0000000000000001","cluster":"0000000000000000","version":"0.1.0","role":"leader","vote":"voter","replaces":"","leader":"n1","stage":"",`, `"interface":"","backup":"","term":3,"commit_index":9,"applied_index":9,"revision":1,"keys":0,`,
		`{"name":"n2","id":"0000000000000002","cluster":"","version":"","role":"unknown",`, `"vote":"learner","replaces":"n2",`,
		`"error":"it has not told the others its client address: it has never started, or no UDP packets get through between its peer port and theirs","digest":"","interface":"","backup":"","term":0,`,
		`"path_stalls":0,"alarms":[],"links":[]}],"verdict":"DEGRADED","why":"the only voter's loss stops writes: of the learners, n2 and n3 do not answer","next":"start n2 again; `,
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("status lacks %s:\n%s", want, stdout)
		}
	}
	now := kv.Status{Name: "n1", ID: 1, Role: "leader", Leader: 1, Members: []kv.Member{{ID: 1, Name: "n1", Clients: []string{here}, Role: kv.Voter}, {ID: 3, Name: "n3"}}, Links: []kv.Link{{Member: 3, Connected: true}}}
	before := b.member.Status()
	b.member.SetStatus(now) // a learner that has been getting the data for long
	if code, stdout, _ = b.qkv(t, "", "status", "-w", "json"); code != 0 || !strings.Contains(stdout, `"error":"it runs and gets the data, and reports its client address afterwards`) {
		t.Errorf("status of one that gets the data:\n%d\n%s", code, stdout)
	}
	b.member.SetStatus(before)
	b.flags[1] = dead + "," + here
	code, stdout, _ = b.qkv(t, "", "status")
	if n := strings.Count(stdout, " unknown\n"); code != 0 || n != 2 || !strings.Contains(stdout, "\nn2 does not answer:") || !strings.Contains(stdout, "\nn3 replaces n2\n") {
		t.Errorf("an endpoint that is a member's own is not counted twice:\n%d\n%s", code, stdout)
	}
	b.flags[1] = nobody + "," + here
	code, stdout, _ = b.qkv(t, "", "status")
	if n := strings.Count(stdout, " unknown\n"); code != 0 || n != 3 || !strings.Contains(stdout, "\n"+nobody+" does not answer:") {
		t.Errorf("an endpoint where nobody is has a line of its own:\n%d\n%s", code, stdout)
	}
}

// TestStatusOfEndpointsThatAreNoMembers: a member that was removed stays in the list of endpoints until somebody is told that it is to
// be taken out.
func TestStatusOfEndpointsThatAreNoMembers(t *testing.T) {
	b := newRig(t, nil)
	here, dead, old := b.flags[1], deadEndpoint(t), servertest.NewMember()
	there := servertest.Endpoint(servertest.Start(t, b.trust, old, nil))
	now := []kv.Member{{ID: 1, Name: "n1", Clients: []string{here}}}
	b.member.SetStatus(kv.Status{Name: "n1", ID: 1, Role: "leader", Leader: 1, Values: figures.Values{int64(figures.Applied), 20}, Members: now})
	removed := kv.Status{Name: "n3", ID: 3, Role: "follower", Leader: 1, Values: figures.Values{int64(figures.Applied), 9}, Members: append(now, kv.Member{ID: 3, Name: "n3", Clients: []string{there}})}
	oneLine := func(text string) string { return strings.Join(strings.Fields(text), " ") }

	b.flags[1] = here + "," + dead
	code, out, stderr := b.qkv(t, "", "status", "--check")
	hint := "no member says that it serves clients there: if that was removed, take it out of --endpoints or QKV_ENDPOINTS"
	if !strings.Contains(oneLine(out), "no process listens there; "+hint) || !strings.HasPrefix(out, "HEALTHY") || code != form.ExitOK || stderr != "" {
		t.Errorf("nobody is there: %d %s%s", code, out, stderr)
	}

	b.flags[1] = here + "," + there
	hint = "n3 is none of the members that the others know, at " + there + ": if that was removed, take it out of --endpoints or QKV_ENDPOINTS"
	old.SetStatus(removed)
	if code, out, stderr = b.qkv(t, "", "status", "--check"); !strings.Contains(oneLine(out), hint) || code != form.ExitOK || stderr != "" {
		t.Errorf("it goes on: %d %s%s", code, out, stderr)
	}
	removed.Alarms = []kv.Alarm{{Name: "REFUSED", Member: 3, Text: "n1 refuses it"}}
	old.SetStatus(removed)
	if code, _, stderr = b.qkv(t, "", "status", "--check"); code != form.ExitFailed || stderr != "qkv: not healthy: REFUSED of n3\n" {
		t.Errorf("it raises an alarm: %d %s", code, stderr)
	}

	removed.Cluster = 99
	old.SetStatus(removed)
	if code, out, stderr = b.qkv(t, "", "status", "--check"); code != form.ExitUsage || strings.Contains(oneLine(out), hint) {
		t.Errorf("it is of another cluster: %d %s%s", code, out, stderr)
	}
}

// TestStatusOfAMemberThatHasJustDied: its silence takes a while, and the others were connected to it when they were asked.
func TestStatusOfAMemberThatHasJustDied(t *testing.T) {
	b := newRig(t, nil)
	socket := listenAt(t, freeAddresses(t, 1)[0]) // nobody reads it
	defer func() { _ = socket.Close() }()
	status := kv.Status{
		Name: "n1", ID: 1, Role: "leader", Leader: 1, Links: []kv.Link{{Member: 2, Connected: true}},
		Members: []kv.Member{{ID: 1, Name: "n1", Clients: []string{b.flags[1]}, Role: kv.Voter}, {ID: 2, Name: "n2", Clients: []string{socket.LocalAddr().String()}, Role: kv.Voter}},
	}
	b.member.SetStatus(status)
	lost := time.AfterFunc(cluster.MemberTimeout/2, func() {
		status.Links = []kv.Link{{Member: 2, Error: "timeout"}}
		b.member.SetStatus(status)
	})
	defer lost.Stop()
	if _, stdout, stderr := b.qkv(t, "", "status", "-w", "json"); !strings.Contains(stdout, `"verdict":"NO QUORUM"`) {
		t.Errorf("one of two voters has died: %s%s", stdout, stderr)
	}
}

// TestStatusNamesWhoIsKnown: members say their links by ids, and may not know whose these are, as one that has joined and got nothing
// yet. They are shown by the names that any member knows, and by ids where nobody does.
func TestStatusNamesWhoIsKnown(t *testing.T) {
	b := newRig(t, nil)
	joiner := servertest.NewMember()
	there := servertest.Endpoint(servertest.Start(t, b.trust, joiner, nil))
	b.member.SetStatus(kv.Status{
		Name: "n1", ID: 1, Role: "leader", Leader: 1, Values: figures.Values{int64(figures.Applied), 20},
		Members: []kv.Member{{ID: 1, Name: "n1", Clients: []string{b.flags[1]}, Role: kv.Voter}, {ID: 2, Name: "n2", Clients: []string{there}}, {ID: 3}},
		Links:   []kv.Link{{Member: 2, Connected: true, RTT: time.Millisecond}, {Member: 3}, {Member: 4}},
	})
	joiner.SetStatus(kv.Status{
		Name: "n2", ID: 2, Role: "follower", Leader: 1, Members: []kv.Member{{ID: 4, Name: "n4"}},
		Links: []kv.Link{{Member: 1, Connected: true, RTT: time.Millisecond}, {Member: 3}}, Alarms: []kv.Alarm{{Name: "REFUSED", Member: 1, Text: "so it is"}},
	})
	code, out, stderr := b.qkv(t, "", "status")
	for _, want := range []string{"\n0000000000000003 does not answer: ", "\nREFUSED of n1: ", "\nlinks 0000000000000003–n1 none, n1–n2 1.00 ms, n1–n4 none, 0000000000000003–n2 none\n"} {
		if code != 0 || !strings.Contains(strings.ReplaceAll(out, "\n     ", " "), want) {
			t.Errorf("%d, and no %q:\n%s%s", code, want, out, stderr)
		}
	}
	if code, out, _ = b.qkv(t, "", "status", "-w", "json"); code != 0 || strings.Contains(out, `"leader":"0`) || strings.Contains(out, `"member":"0000000000000001"`) {
		t.Errorf("%d %s", code, out)
	}
}

// deadEndpoint is an address at which nobody listens.
func deadEndpoint(t *testing.T) string {
	t.Helper()
	port, err := freePorts(1)
	must(t, err)
	return run.Loopback(port)
}

// TestEndpointsFile: what demo writes is found, and the command line and the variable go before it.
func TestEndpointsFile(t *testing.T) {
	b := newRig(t, nil)
	home := b.flags[5]
	must(t, os.WriteFile(filepath.Join(home, form.EndpointsFile), []byte("# comment\n"+b.flags[1]+"\n"), 0o600))
	here := b.flags[1]
	b.flags = b.flags[2:]
	b.expect(t, 0, "OK\n", "", "put", "key", "value")
	dead := deadEndpoint(t)
	t.Setenv("QKV_ENDPOINTS", dead)
	b.expect(t, form.ExitUnavailable, "", dead, "get", "key", "--timeout", "300ms")
	b.expect(t, 0, "value\n", "", "get", "key", "--endpoints", here)
}

// TestRemoteNeedsCertificates: the local CA is for loopback only.
func TestRemoteNeedsCertificates(t *testing.T) {
	var out, messages bytes.Buffer
	code := execute(t.Context(), []string{"qkv", "get", "k", "--endpoints", "192.0.2.1:2379", "--home", t.TempDir()}, nil, &out, &messages)
	if code != form.ExitUsage || !strings.Contains(messages.String(), "--certs-dir") {
		t.Errorf("%d %s", code, &messages)
	}
}

// TestWriteFails: an answer that cannot be printed is no success.
func TestWriteFails(t *testing.T) {
	b := newRig(t, nil)
	var messages bytes.Buffer
	for _, words := range [][]string{{"put", "k", "v"}, {"get", "k"}, {"del", "k"}, {"status"}, {"version"}} {
		code := execute(t.Context(), append(append([]string{"qkv"}, words...), flagsFor(words, b.flags)...), nil, full{}, &messages)
		if code != form.ExitFailed {
			t.Errorf("%v to a full disk ends with %d", words, code)
		}
	}
}

func flagsFor(words, flags []string) []string {
	if words[0] == "version" {
		return nil
	}
	return flags
}

// full is an output on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// tree makes the files of a map below a new folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// contents is the inverse of tree.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		relative, _ := filepath.Rel(dir, name)
		files[relative] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var must = formtest.Must
