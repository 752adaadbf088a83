package index

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/cockroachdb/datadriven" // has -rewrite
	"github.com/vmihailenco/msgpack/v5"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// The formats as msgpack's library knows them.
type (
	msgEnvelope struct {
		Version, Level, Member, Incarnation, First uint64
		Wall                                       int64
		Commands                                   []msgCommand
	}
	msgCommand struct {
		Kind, Version uint64
		Principal     string
		Auth          uint64
		Session       any
		Sequence      uint64
		Body          any
	}
	msgOnce struct {
		Session, Window uint64
		Opened          int64
	}
	msgPut struct {
		Key, Value []byte
		Lease      int64
		Flags      uint64
	}
	msgTxn struct {
		Txn struct {
			Compares         []any
			Success, Failure []any
		}
	}
	msgGrant struct {
		Lease, TTL int64
	}
	msgAlarm struct {
		Raise  bool
		Member uint64
		Name   string
	}
	msgRevoke struct {
		Lease         int64
		Term, Granted uint64
	}
	msgCompact struct {
		Revision int64
	}
	msgDelete struct {
		Key, End []byte
		PrevKV   bool
	}
	msgLevel struct {
		Level uint64
	}
	msgRefused struct {
		Code    uint64
		Message string
	}
	msgCheck  struct{}
	msgDigest struct {
		Member, Entry, Digest uint64
	}
)

// library encodes with vmihailenco/msgpack.
func library(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.UseCompactInts(true)
	e.UseArrayEncodedStructs(true)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func testMember() *kv.Member {
	return &kv.Member{
		ID: 0x8e9e05c52164694d, Name: "n1", Role: kv.Voter, Since: 9, Peers: []string{"10.0.0.1:2380"},
		Clients: []string{"10.0.0.1:2379", ""}, Web: []string{"https://10.0.0.1:2379"}, Version: "0.1.0", Level: 1,
		Folder: [16]byte{1, 2, 3}, Boot: 300, Process: [16]byte{15: 9},
	}
}

// founded is the state of a cluster whose member is testMember.
func founded() *State {
	s := NewState(limits.Defaults().Index)
	s.Found(Founders(map[string]uint64{"n1": testMember().ID}))
	return s
}

// samples are commands of every kind, with the same as the library writes them.
func samples() (names []string, commands [][]byte, same []msgCommand) {
	add := func(name string, b []byte, kind uint64, body any) {
		names = append(names, name)
		commands = append(commands, b)
		same = append(same, msgCommand{Kind: kind, Version: 1, Session: 0, Body: body})
	}
	head := Head{Once: kv.WriteName{Session: 0x8e9e05c52164694d, Sequence: 300, Window: 9, Opened: 1 << 40}}
	inSession := func(name string, b []byte, kind uint64, body any) {
		add(name, b, kind, body)
		same[len(same)-1].Session, same[len(same)-1].Sequence = msgOnce{head.Once.Session, 9, 1 << 40}, 300
	}
	for _, n := range []int{0, 1, 255, 256, 65536} {
		value := bytes.Repeat([]byte{'v'}, n)
		add(fmt.Sprintf("put of %d", n), new(Head).AppendPut(nil, &kv.Put{Key: []byte("key"), Value: value}).Bytes, 1, msgPut{Key: []byte("key"), Value: value})
	}
	add("put with lease", new(Head).AppendPut(nil, &kv.Put{Key: []byte{0}, Lease: 1 << 40}).Bytes, 1, msgPut{Key: []byte{0}, Value: []byte{}, Lease: 1 << 40})
	add("put with flags", new(Head).AppendPut(nil, &kv.Put{Key: []byte{0}, PrevKV: true, IgnoreLease: true}).Bytes, 1, msgPut{Key: []byte{0}, Value: []byte{}, Flags: 5})
	txn, name, all := msgTxn{}, []byte("key"), []byte{0}
	txn.Txn.Compares = []any{[]any{name, all, 2, 3, 300, []byte{}}, []any{name, []byte{}, 3, 0, 0, []byte("v")}}
	txn.Txn.Success = []any{
		[]any{1, name, []byte("v"), 0, 0},
		[]any{2, name, all, 1},
		[]any{3, name, all, 9, 2, 1, 3, 2, 1, 2, 3, 4},
		[]any{4, []any{[]any{}, []any{}, []any{}}},
	}
	txn.Txn.Failure = []any{}
	add("transaction", new(Head).AppendTxn(nil, &kv.Txn{
		Compares: []kv.Compare{
			{Key: name, End: all, Target: kv.CompareMod, Result: kv.NotEqual, Number: 300}, {Key: name, Target: kv.CompareValue, Value: []byte("v")},
		},
		Success: []kv.Op{
			{Put: &kv.Put{Key: name, Value: []byte("v")}},
			{Delete: &kv.Delete{Key: name, End: all, PrevKV: true}},
			{Range: &kv.Range{
				Key: name, End: all, Revision: 9, Limit: 2, Serializable: true, Sort: kv.SortByMod, Order: kv.SortDescend,
				MinMod: 1, MaxMod: 2, MinCreate: 3, MaxCreate: 4,
			}},
			{Txn: &kv.Txn{}},
		},
	}).Bytes,

		10, txn)
	add("compact", new(Head).AppendCompact(nil, 300).Bytes, 11, msgCompact{Revision: 300})
	add("grant", new(Head).AppendGrant(nil, kv.Lease{ID: -1, TTL: 60}).Bytes, 12, msgGrant{-1, 60})
	add("revoke", AppendRevoke(nil, 1<<40, 7, 9).Bytes, 13, msgRevoke{1 << 40, 7, 9})
	add("checkpoint", AppendCheckpoint(nil, []kv.Lease{{ID: 300, Remaining: 9, Granted: 5}, {ID: -1, Remaining: 1}}, 7).Bytes, 14, []any{7, []any{[]any{300, 9, 5}, []any{-1, 1, 0}}})
	inSession("put in a session", head.AppendPut(nil, &kv.Put{Key: name, Value: []byte("v")}).Bytes, 1, msgPut{Key: name, Value: []byte("v")})
	inSession("delete in a session", head.AppendDelete(nil, &kv.Delete{Key: name}).Bytes, 2, msgDelete{Key: name, End: []byte{}})
	inSession("compact in a session", head.AppendCompact(nil, 300).Bytes, 11, msgCompact{Revision: 300})
	inSession("grant in a session", head.AppendGrant(nil, kv.Lease{ID: -1, TTL: 60}).Bytes, 12, msgGrant{-1, 60})
	inSession("revoke in a session", head.AppendRevoke(nil, 1<<40).Bytes, 13, msgRevoke{1 << 40, 0, 0})
	var empty msgTxn
	empty.Txn.Compares, empty.Txn.Success, empty.Txn.Failure = []any{}, []any{}, []any{}
	inSession("transaction in a session", head.AppendTxn(nil, &kv.Txn{}).Bytes, 10, empty)
	add("alarm", new(Head).AppendAlarm(nil, kv.AlarmChange{Raise: true, Member: 300, Name: kv.NoSpaceAlarm}).Bytes, 15, msgAlarm{true, 300, "NOSPACE"})
	add("disarm", new(Head).AppendAlarm(nil, kv.AlarmChange{}).Bytes, 15, msgAlarm{})
	add("delete", new(Head).AppendDelete(nil, &kv.Delete{Key: []byte("key"), End: nil}).Bytes, 2, msgDelete{Key: []byte("key"), End: []byte{}})
	add("delete range", new(Head).AppendDelete(nil, &kv.Delete{Key: []byte("key"), End: []byte{0}}).Bytes, 2, msgDelete{Key: []byte("key"), End: []byte{0}})
	add("announce", AppendAnnounce(nil, testMember()).Bytes, 3, testMember())
	add("announce nothing", AppendAnnounce(nil, &kv.Member{ID: testMember().ID}).Bytes, 3, &kv.Member{ID: testMember().ID, Peers: []string{}, Clients: []string{}, Web: []string{}})
	change := &kv.MemberChange{Kind: kv.AddLearner, ID: 7, Name: "n2", Peers: []string{"10.0.0.2:2380"}, Manual: true}
	add("add a member", new(Head).AppendMemberChange(nil, change).Bytes, 8, change)
	change = &kv.MemberChange{Kind: kv.PromoteMember, ID: 7, Peers: []string{}, Instead: 8}
	add("promote a member", new(Head).AppendMemberChange(nil, change).Bytes, 8, change)
	add("end of an exchange", AppendEndExchange(nil).Bytes, 9, struct{}{})
	add("level", AppendFeatureLevel(nil, 1).Bytes, 4, msgLevel{Level: 1})
	add("base", AppendRebase(nil, 300).Bytes, 17, msgCompact{Revision: 300})
	key := make([]byte, kv.BackupKeyBytes)
	add("key of backups", AppendBackupKey(nil, key).Bytes, 18, []any{key})
	add("refused", appendRefused(nil, kv.Errorf(kv.FeatureLevel, "no")), 5, msgRefused{Code: 13, Message: "no"})
	add("check", AppendCheck(nil).Bytes, 6, msgCheck{})
	by := Head{By: kv.Principal{Name: "ci", Auth: 300}}
	byUser := func(name string, b []byte, kind uint64, body any) {
		add(name, b, kind, body)
		same[len(same)-1].Principal, same[len(same)-1].Auth = "ci", 300
	}
	byUser("put by a user", by.AppendPut(nil, &kv.Put{Key: name, Value: []byte("v")}).Bytes, 1, msgPut{Key: name, Value: []byte("v")})
	byUser("delete by a user", by.AppendDelete(nil, &kv.Delete{Key: name}).Bytes, 2, msgDelete{Key: name, End: []byte{}})
	byUser("delete with the previous value", by.AppendDelete(nil, &kv.Delete{Key: name, PrevKV: true}).Bytes, 2, msgDelete{Key: name, End: []byte{}, PrevKV: true})
	add("compact by a member", (&Head{By: kv.Principal{Auth: kv.AuthOwn}}).AppendCompact(nil, 300).Bytes, 11, msgCompact{Revision: 300})
	same[len(same)-1].Auth = kv.AuthOwn
	byUser("change of users", by.AppendAuthChange(nil, &kv.AuthChange{
		Kind: kv.RoleGrantPermission, User: "u", Role: "r", Password: []byte("hash"), NoPassword: true, Strict: true,
		Permission: kv.Permission{Key: name, End: all, Type: kv.PermitReadWrite}, Secret: []byte("secret"),
	}).Bytes, 16, []any{10, "u", "r", []byte("hash"), 3, name, all, 2, []byte("secret")})
	add("digest", AppendDigest(nil, testMember().ID, 300, 1<<63).Bytes, 7, msgDigest{Member: testMember().ID, Entry: 300, Digest: 1 << 63})
	return names, commands, same
}

// checkEnvelope is CheckEnvelope without the change of the membership.
func checkEnvelope(b []byte) error {
	_, err := CheckEnvelope(b)
	return err
}

// TestSameBytesAsLibrary compares the hand-written encoding with the library's, and reads the library's output back.
func TestSameBytesAsLibrary(t *testing.T) {
	names, commands, same := samples()
	for i, name := range names {
		want := library(t, same[i])
		if !bytes.Equal(commands[i], want) {
			t.Errorf("%s:\n% x, library\n% x", name, commands[i], want)
		}
		var c command
		r := pack.NewExactReader(want)
		if err := errors.Join(c.read(&r), r.Done()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	e := Envelope{Level: 1, Member: 0x8e9e05c52164694d, Incarnation: 1<<64 - 1, First: 70_000, Wall: 1_795_000_000_000_000_000}
	got := AppendEnvelope([]byte("before"), e, commands)[len("before"):]
	want := library(t, msgEnvelope{Version: 1, Level: 1, Member: e.Member, Incarnation: e.Incarnation, First: e.First, Wall: e.Wall, Commands: same})
	if !bytes.Equal(got, want) {
		t.Errorf("envelope:\n% x, library\n% x", got, want)
	}
	back, err := ReadEnvelope(want)
	if err != nil || back.Count != len(commands) || !bytes.Equal(back.Commands, bytes.Join(commands, nil)) {
		t.Fatalf("read back as %+v: %v", back, err)
	}
	back.Commands, back.Count, back.Version = nil, 0, 0
	if fmt.Sprint(back) != fmt.Sprint(e) {
		t.Errorf("read back as %+v, want %+v", back, e)
	}
	if err := checkEnvelope(want); !errors.Is(err, errNotAlone) { // all that it holds before the first change of the membership can be read
		t.Error(err)
	}
	for i, c := range commands {
		if err := checkEnvelope(AppendEnvelope(nil, e, [][]byte{c})); err != nil && !errors.Is(err, errNotOfItself) {
			t.Errorf("command %d: %v", i, err)
		}
	}
}

// TestGolden holds the bytes that were once released, and opens them.
func TestGolden(t *testing.T) {
	names, commands, _ := samples()
	var text strings.Builder
	for i, name := range names {
		if len(commands[i]) < 1000 {
			fmt.Fprintf(&text, "%s\n%s", name, hex.Dump(commands[i]))
		}
	}
	envelope := AppendEnvelope(nil, Envelope{Level: 1, Member: 2, Incarnation: 3, First: 4, Wall: 5}, [][]byte{put("a", "b"), del("a", "")})
	fmt.Fprintf(&text, "envelope\n%s", hex.Dump(envelope))
	s := founded()
	batch(t, s, 5e9, AppendAnnounce(nil, testMember()).Bytes, put("a", "1"), put("b", "2"), del("a", "c"), put("c", "3"))
	batch(t, s, 7e9, put("c", "4"))
	fmt.Fprintf(&text, "meta\n%s", hex.Dump(s.ViewToSave().AppendMeta(nil)))
	fmt.Fprintf(&text, "digest\n%016x\n", s.View().Digest())
	golden(t, "bytes.golden", text.String())
}

// golden compares with a file of testdata, which -rewrite writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if rewriting() {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; what was released must stay readable for ever:\n%s", path, got)
	}
}

// rewriting says whether the flag of datadriven is set.
func rewriting() bool { return flag.Lookup("rewrite").Value.String() == "true" }

func TestRefusals(t *testing.T) {
	long := bytes.Repeat([]byte{'v'}, limits.ValueBytes+1)
	for _, c := range []struct {
		name    string
		command []byte
		code    kv.Code
		want    string
	}{
		{"empty key", put("", "v"), kv.EmptyKey, "the key is empty"},
		{"no key to delete", del("", "x"), kv.EmptyKey, "the key is empty"},
		{"long key", put(string(tooLong), ""), kv.KeyTooLarge, "the key has 32769 bytes, over the limit of 32768"},
		{"long key to delete", del(string(tooLong), ""), kv.KeyTooLarge, "the key has 32769 bytes, over the limit of 32768"},
		{"long end", del("a", string(tooLong)+"x"), kv.KeyTooLarge, "the end of the range has 32770 bytes, over the limit of 32769"},
		{"long value", new(Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: long}).Bytes, kv.ValueTooLarge, "the value has 16711681 bytes, over the limit of 16711680"},
		{"level 0", AppendFeatureLevel(nil, 0).Bytes, kv.FeatureLevel, "there is no feature level 0, the first one is 1"},
		{
			"long address", AppendAnnounce(nil, &kv.Member{ID: 7, Name: "n1", Peers: []string{strings.Repeat("h", limits.AddressBytes+1)}}).Bytes, kv.BadRequest,
			"more than 16 addresses of one kind, or one of more than 259 bytes",
		},
		{"no lease", new(Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Lease: 7}).Bytes, kv.LeaseNotFound, "there is no lease 0000000000000007"},
		{"long lease", new(Head).AppendGrant(nil, kv.Lease{ID: 1, TTL: limits.LeaseSeconds + 1}).Bytes, kv.LeaseTooLong, "a lease of 9000000001 seconds, over the limit of 9000000000"},
		{
			"long announcement", AppendAnnounce(nil, &kv.Member{Name: strings.Repeat("n", memberBytes)}).Bytes, kv.BadRequest,
			"16435 bytes about members, the limit is 16384",
		},
	} {
		s := NewState(limits.Defaults().Index)
		batch(t, s, 1, put("a", "b"))
		before := contents(s.View())
		results := batch(t, s, 1, c.command)
		if r := results[0]; r.Err == nil || r.Err.Code != c.code || r.Err.Message != c.want || !r.Err.Certain() || r.Revision != 2 {
			t.Errorf("%s is applied as %+v", c.name, r)
		}
		if contents(s.View()) != before {
			t.Errorf("%s changed the state", c.name)
		}
	}
	for _, ok := range [][]byte{
		put("k", ""), put(string(tooLong[1:]), string(long[1:])), del("k", string(tooLong)), AppendFeatureLevel(nil, MaxLevel).Bytes,
	} {
		if results := batch(t, NewState(limits.Defaults().Index), 1, ok); results[0].Err != nil {
			t.Errorf("refused: %v", results[0].Err)
		}
	}
}

// A command above the cluster's feature level is refused before it is proposed.
func TestCheckLevel(t *testing.T) {
	for kind := uint8(1); kind < uint8(len(kinds)); kind++ {
		c := new(Head).command(kind, false, nil)
		if err := CheckLevel(&c, MaxLevel); err != nil {
			t.Errorf("%s: %v", kinds[kind].name, err)
		}
		if err := CheckLevel(&c, FirstLevel-1); err == nil || err.Code != kv.FeatureLevel || !err.Certain() {
			t.Errorf("%s at level %d: %v", kinds[kind].name, FirstLevel-1, err)
		}
	}
}

// One member cannot make the others believe what another one never said of itself.
func TestEnvelopeSpeaksOfItsOwnMember(t *testing.T) {
	for name, of := range map[string]func(member uint64) []byte{
		"announcement": func(member uint64) []byte { return AppendAnnounce(nil, &kv.Member{ID: member}).Bytes },
		"digest":       func(member uint64) []byte { return AppendDigest(nil, member, 1, 2).Bytes },
	} {
		const self = 1<<63 + 7
		own := AppendEnvelope(nil, Envelope{Level: 1, Member: self}, [][]byte{put("a", "b"), of(self)})
		if err := checkEnvelope(own); err != nil {
			t.Errorf("the own %s: %v", name, err)
		}
		others := AppendEnvelope(nil, Envelope{Level: 1, Member: self}, [][]byte{of(self), of(8)})
		if err := checkEnvelope(others); !errors.Is(err, errNotOfItself) {
			t.Errorf("the %s of another one: %v", name, err)
		}
	}
}

// A change of the membership is never one of several commands, whichever form its header has.
func TestChangeOfMembersIsAlone(t *testing.T) {
	change := new(Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.RemoveMember, ID: 2})
	long := append([]byte{0xdc, 0, commandFields}, change.Bytes[1:]...)
	for name, c := range map[string][]byte{"change": change.Bytes, "change with a long header": long, "end of an exchange": AppendEndExchange(nil).Bytes} {
		got, err := CheckEnvelope(AppendEnvelope(nil, Envelope{Level: 1}, [][]byte{c}))
		if want := *change.Change; err != nil || got == nil || fmt.Sprint(*got) != fmt.Sprint(want) && (name != "end of an exchange" || got.Kind != 0) {
			t.Errorf("a %s alone: %+v, %v", name, got, err)
		}
		for _, commands := range [][][]byte{{c, put("a", "b")}, {put("a", "b"), c}} {
			if err := checkEnvelope(AppendEnvelope(nil, Envelope{Level: 1}, commands)); !errors.Is(err, errNotAlone) {
				t.Errorf("a %s beside a put: %v", name, err)
			}
		}
	}
	if got, err := CheckEnvelope(AppendEnvelope(nil, Envelope{Level: 1}, [][]byte{put("a", "b")})); got != nil || err != nil {
		t.Errorf("a put changes the membership: %+v, %v", got, err)
	}
	if got, err := CheckEnvelope(append(AppendEnvelope(nil, Envelope{Level: 1}, [][]byte{change.Bytes}), 0)); got != nil || err == nil {
		t.Errorf("an envelope with a byte at its end changes the membership: %+v, %v", got, err)
	}
}

// A batch that its leader refuses has the same number of results, all equal, for its own proposer only.
func TestRefuseEnvelope(t *testing.T) {
	later := put("k", "v")
	later[1] = byte(len(kinds))
	data := AppendEnvelope(nil, Envelope{Level: 1, Member: 7, Incarnation: 8, First: 9, Wall: 5}, [][]byte{put("a", "b"), later})
	if checkEnvelope(data) == nil {
		t.Fatal("it may be proposed")
	}
	instead := RefuseEnvelope(data, kv.Errorf(kv.FeatureLevel, "not yet"))
	if err := checkEnvelope(instead); err != nil {
		t.Fatal(err)
	}
	if again, _ := ReadEnvelope(instead); again.Member != 7 || again.Incarnation != 8 || again.First != 9 || again.Wall != 5 || again.Count != 2 {
		t.Errorf("%+v", again)
	}
	s := NewState(limits.Defaults().Index)
	results, err := s.Apply(1, 1, instead, nil)
	if err != nil || len(results) != 2 || s.View().Revision() != 1 {
		t.Fatalf("%+v, %v", results, err)
	}
	for _, r := range results {
		if r.Err == nil || r.Err.Code != kv.FeatureLevel || r.Err.Message != "not yet" || r.Revision != 1 {
			t.Errorf("%+v", r)
		}
	}
}

// unknown are entries that this qkv must not apply, and must not skip.
func unknown() map[string][]byte {
	envelope := func(commands ...[]byte) []byte { return AppendEnvelope(nil, Envelope{Level: 1}, commands) }
	with := func(at int, b byte) []byte {
		c := put("key", "value")
		c[at] = b
		return envelope(put("a", "b"), c)
	}
	version2 := envelope()
	version2[1] = 2
	return map[string][]byte{
		"kind 8":              with(1, 8),
		"kind 19":             with(1, 19),
		"kind 0":              with(1, 0),
		"command version 2":   with(2, 2),
		"a principal":         with(3, 0xa1),
		"a sequence":          with(6, 1),
		"more fields":         with(0, 0x98),
		"level 4":             envelope(AppendFeatureLevel(nil, 4).Bytes),
		"proposed at level 4": AppendEnvelope(nil, Envelope{Level: 4}, nil),
		"envelope version 2":  version2,
		"a short envelope":    {0x96, 1, 1, 1, 1, 1, 1},
		"left over bytes":     append(envelope(put("a", "b")), 0),
		"a command missing":   envelope(put("a", "b"))[:20],
		"no envelope":         {0xc0},
		"a long id":           envelope(longID()),
	}
}

func longID() []byte {
	b := AppendAnnounce(nil, &kv.Member{Process: [16]byte{2}}).Bytes
	return append(append(b[:len(b)-18], 0xc4, 17), make([]byte, 17)...)
}

func TestUnknownStopsTheMember(t *testing.T) {
	for name, data := range unknown() {
		s := NewState(limits.Defaults().Index)
		batch(t, s, 1, put("a", "b"))
		before := s.View()
		results, err := s.Apply(2, 1, data, nil)
		if err == nil || len(results) > 0 {
			t.Errorf("%s was applied: %v", name, results)
			continue
		}
		after := s.View()
		applied, _ := after.Applied()
		if after.Digest() != before.Digest() || applied != 1 || s.Check() != nil {
			t.Errorf("%s had an effect", name)
		}
		if checkEnvelope(data) == nil {
			t.Errorf("%s may be proposed", name)
		}
		batch(t, s, 1, put("a", "c")) // the state is not spoilt
	}
	if checkEnvelope(make([]byte, limits.EnvelopeBytes+1)) == nil {
		t.Error("an envelope over the limit may be proposed")
	}
}

func FuzzEnvelope(f *testing.F) {
	_, commands, _ := samples()
	f.Add(AppendEnvelope(nil, Envelope{Level: 1, Wall: 3}, commands[:2]))
	f.Add(AppendEnvelope(nil, Envelope{Level: 1}, commands[5:]))
	f.Add(AppendEnvelope(nil, Envelope{Level: 1}, [][]byte{put("a", "b"), put("b", ""), del("a", "\x00"), put("a", "")}))
	for _, b := range unknown() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		e, headErr := ReadEnvelope(b)
		checkErr := checkEnvelope(b)
		if headErr != nil && checkErr == nil || e.Count > len(b) {
			t.Fatalf("head %+v: %v, all of it: %v", e, headErr, checkErr)
		}
		s := NewState(limits.Defaults().Index)
		results, err := s.Apply(1, 1, b, nil)
		if (err == nil) != (checkErr == nil) && e.Level <= MaxLevel && !errors.Is(checkErr, errNotOfItself) && !errors.Is(checkErr, errNotAlone) {
			t.Fatalf("checked as %v, applied as %v", checkErr, err)
		}
		if err == nil && len(results) != e.Count {
			t.Fatalf("%d results of %d commands", len(results), e.Count)
		}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			v := s.ViewToSave()
			if restored(t, v).View().Digest() != v.Digest() {
				t.Fatal("another digest after a restore")
			}
		}
	})
}

func FuzzCommand(f *testing.F) {
	_, commands, _ := samples()
	for _, c := range commands {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c command
		r := pack.NewExactReader(b)
		if c.read(&r) != nil || r.Done() != nil {
			return
		}
		want := c.refusal()
		results := batch(t, NewState(limits.Defaults().Index), 1, b)
		known := c.once.Session == 0 && (c.kind == kindPut && !c.put.IgnoreValue && !c.put.IgnoreLease && c.put.Lease == 0 || c.kind == kindDelete) // of the others the state decides
		if refused := results[0].Err != nil; refused != (want != nil) && (known || want != nil) {
			t.Fatalf("%v, but applied as %+v", want, results[0])
		}
	})
}
