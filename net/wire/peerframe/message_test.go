package peerframe

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/index/kv"
	"qkv/internal/buffers"
	"qkv/internal/limits"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

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

// array is what the library is to encode: the elements of one frame.
type array []any

var yes = true

// messages are the frames of each kind, beside what they say by the package's page.
var messages = []struct {
	name    string
	message Message
	class   Class
	fields  array
}{
	{
		"append",
		Raft{Message: message(raftpb.MsgApp, func(m *raftpb.Message) {
			m.Index, m.LogTerm, m.Commit = ptr(41), ptr(5), ptr(40)
			m.Entries = []*raftpb.Entry{entry(42, 5, "one"), entry(43, 7, ""), entry(44, 7, "three")}
		}), Durable: 39},
		Append,
		array{1, 3, 7, 5, 41, 40, 39, false, 0, []byte{}, array{array{5, 0, []byte("one")}, array{7, 0, []byte{}}, array{7, 0, []byte("three")}}, array{}},
	},
	{
		"append response",
		Raft{Message: message(raftpb.MsgAppResp, func(m *raftpb.Message) { m.Index, m.Reject, m.RejectHint = ptr(1<<40), &yes, ptr(9) })},
		Append,
		array{1, 4, 7, 0, uint64(1 << 40), 0, 0, true, 9, []byte{}, array{}, array{}},
	},
	{
		"vote that a transfer asked for",
		Raft{Message: message(raftpb.MsgVote, func(m *raftpb.Message) { m.Context = []byte(campaignTransfer) }), Folders: []Bound{{7, id('f')}, {1 << 63, id('g')}}},
		Urgent,
		array{1, 5, 7, 0, 0, 0, 0, false, 0, []byte(campaignTransfer), array{}, array{array{7, bytes.Repeat([]byte("f"), 16)}, array{uint64(1 << 63), bytes.Repeat([]byte("g"), 16)}}},
	},
	{
		"heartbeat with a read",
		Raft{Message: message(raftpb.MsgHeartbeat, func(m *raftpb.Message) { m.Context = []byte("12345678") })},
		Urgent,
		array{1, 8, 7, 0, 0, 0, 0, false, 0, []byte("12345678"), array{}, array{}},
	},
	{"election at once", Raft{Message: message(raftpb.MsgTimeoutNow, nil)}, Urgent, array{1, 14, 7, 0, 0, 0, 0, false, 0, []byte{}, array{}, array{}}},
	{
		"read",
		Raft{Message: message(raftpb.MsgReadIndex, func(m *raftpb.Message) { m.Term = nil; m.Entries = []*raftpb.Entry{{Data: []byte("87654321")}} })},
		Append,
		array{1, 15, 0, 0, 0, 0, 0, false, 0, []byte{}, array{array{0, 0, []byte("87654321")}}, array{}},
	},
	{
		"read response",
		Raft{Message: message(raftpb.MsgReadIndexResp, func(m *raftpb.Message) { m.Entries = []*raftpb.Entry{{Data: []byte("87654321")}} })},
		Append,
		array{1, 16, 7, 0, 0, 0, 0, false, 0, []byte{}, array{array{0, 0, []byte("87654321")}}, array{}},
	},
	{"forward", Forward{Term: 3, Oldest: 7, Envelope: []byte("envelope")}, Append, array{2, 3, 7, []byte("envelope")}},
	{
		"offer",
		SnapshotOffer{Index: 9, Term: 2, Size: 1 << 33, SHA: [32]byte{1, 2, 3}, MessageTerm: 4, ConfState: []byte("conf"), Parts: []SnapshotPart{{Number: 3, From: 70, To: 77, SHA: [32]byte{4}, Bytes: 1 << 24}}},
		Bulk,
		nil,
	},
	{"progress", SnapshotProgress{Index: 9, Term: 2}, Bulk, nil},
	{"result", SnapshotResult{Index: 9, Term: 2, Installed: true}, Bulk, nil},
	{"accused", Accused{By: 9}, Urgent, nil},
	{"committed", Committed{Index: 300, Term: 4}, Urgent, nil},
	{"copied", Copied{Why: "two"}, Urgent, nil},
	{"suspects", Suspects{Leader: 9, Term: 4}, Urgent, nil},
	{"accepted", Accepted{Term: 3, Incarnation: 1 << 63, Next: 12, Commit: 300, Lost: true}, Append, array{8, 3, uint64(1 << 63), 12, 300, true}},
	{
		"asks",
		LeaseAsks{[]LeaseAsk{{1 << 63, kv.LeaseAsk{Lease: -7, Renew: true}}, {9, kv.LeaseAsk{Lease: 1 << 40}}}},
		Urgent,
		array{10, array{array{uint64(1 << 63), -7, true}, array{9, int64(1 << 40), false}}},
	},
	{"told", LeaseTimes{300, []LeaseTime{{12, kv.LeaseTime{TTL: 59, Granted: 60}}, {13, kv.LeaseTime{TTL: -1}}}}, Urgent, array{11, 300, array{array{12, 59, 60}, array{13, -1, 0}}}},
	{"room", DiskSpace{Own: 2, Cluster: 1, Why: "full", Holds: 1 << 27, Free: 7, Wall: 1 << 60, HoldsNow: 1 << 26}, Urgent, nil},
}

var handshakes = []struct {
	name      string
	handshake Handshake
}{
	{
		"handshake of a new member",
		Handshake{Cluster: 0xc0ffee, From: 1, To: 2, Dial: 1, MemberIdentity: MemberIdentity{Folder: id('f'), Boot: 1, Process: id('p'), Past: []byte("pppppppp"), Last: 1, LastTerm: 1}},
	},
	{
		"answer",
		Handshake{
			Cluster: 0xc0ffee, From: 2, To: 1, Seen: Mark{id('p'), 3},
			MemberIdentity: MemberIdentity{Folder: id('g'), Boot: 2, Process: id('q'), Past: []byte("oooooooopppppppp"), Last: 1 << 40, LastTerm: 7, HardTerm: 8},
		},
	},
}

var joins = []struct {
	name    string
	request JoinRequest
	welcome Welcome
}{
	{
		"alone with the one that was asked",
		JoinRequest{Name: "n2", Folder: [16]byte{1}},
		Welcome{Cluster: 0xc0ffee, ID: 1 << 63, Members: []kv.Member{{ID: 1, Name: "n1", Peers: []string{"10.0.0.1:2380"}}, {ID: 1 << 63, Name: "n2", Peers: []string{"n2.example:2380"}}}},
	},
	{
		"several addresses and none",
		JoinRequest{Name: strings.Repeat("n", limits.NameBytes), Addresses: []string{"[::1]:7"}, ID: 3, Folder: [16]byte{1, 2}},
		Welcome{Cluster: 1, ID: 3, Members: []kv.Member{{ID: 2}, {ID: 3, Name: strings.Repeat("n", limits.NameBytes), Peers: []string{"[::1]:7", strings.Repeat("h", limits.AddressBytes)}}}},
	},
}

// codes are those that stand on the page.
var codes = map[RefusalCode]uint64{Refused: 2, Forgot: 4, ForgotByLeader: 5, Removed: 6, RemovedByLeader: 7, ForgotBySuspended: 8, Taken: 9, Behind: 10}

func TestRefusalCodes(t *testing.T) {
	known := map[uint64]bool{}
	for code, number := range codes {
		if uint64(code) != number {
			t.Errorf("the code %d is %d by the page", code, number)
		}
		known[number] = true
	}
	for n := range uint64(20) {
		if RefusalCode(n).Known() != known[n] {
			t.Errorf("%d is known: %v", n, !known[n])
		}
	}
}

func id(b byte) (id [16]byte) {
	copy(id[:], bytes.Repeat([]byte{b}, 16))
	return id
}

// What people are told is as long as it is: the memory of a frame is asked for once.
func TestBoundCountsText(t *testing.T) {
	why := strings.Repeat("w", limits.PeerReasonBytes)
	for _, m := range []Message{
		DiskSpace{Own: 2, Cluster: 2, Why: why, Holds: math.MaxInt64, Free: math.MaxInt64, Wall: math.MaxInt64, HoldsNow: math.MaxInt64}, Copied{Why: why},
	} {
		if frame := Encode(m); len(frame) > bound(m) || cap(frame) != bound(m) {
			t.Errorf("%T: %d bytes in %d, the bound said %d", m, len(frame), cap(frame), bound(m))
		}
	}
}

// A reason is as long as a refusal's at most.
func TestReasonOfACopyIsBounded(t *testing.T) {
	for n, ok := range map[int]bool{limits.PeerReasonBytes: true, limits.PeerReasonBytes + 1: false} {
		if _, err := Read(Encode(Copied{Why: strings.Repeat("w", n)}), 1, 2); (err == nil) != ok {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// The bytes are those of the page, as a library writes them, and do not change unnoticed.
func TestGolden(t *testing.T) {
	const file = "testdata/frames.txt"
	var b strings.Builder
	add := func(name string, frame []byte, fields array) {
		var library bytes.Buffer
		e := msgpack.NewEncoder(&library)
		e.UseCompactInts(true)
		if err := e.Encode(fields); err != nil {
			t.Fatal(err)
		}
		if fields != nil && !bytes.Equal(frame, library.Bytes()) {
			t.Errorf("%s:\n%s, and by the page:\n%s", name, hex.Dump(frame), hex.Dump(library.Bytes()))
		}
		fmt.Fprintf(&b, "%s\n%s", name, hex.Dump(frame))
	}
	for _, x := range messages {
		add(x.name, Encode(x.message), x.fields)
	}
	for _, x := range handshakes {
		add(x.name, AppendFirst(nil, &x.handshake), nil)
	}
	for _, x := range joins {
		add("request to join: "+x.name, AppendFirst(nil, &x.request), nil)
		add("welcome: "+x.name, AppendFirst(nil, &x.welcome), nil)
	}
	for _, x := range parts {
		add("request for a part: "+x.request.Part, AppendFirst(nil, &x.request), nil)
		add("answer before a part: "+x.request.Part, AppendFirst(nil, &x.answer), nil)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("frames are not those of %s any more:\n%s", file, b.String())
	}
}

// same tells whether two messages say the same.
func same(a, b Message) bool {
	if r, ok := a.(Raft); ok {
		other, ok := b.(Raft)
		return ok && proto.Equal(r.Message, other.Message)
	}
	return reflect.DeepEqual(a, b)
}

func TestMessagesReadBack(t *testing.T) {
	for _, x := range messages {
		frame := Encode(x.message)
		if most := bound(x.message); len(frame) > most {
			t.Errorf("%s: %d bytes, the bound said %d", x.name, len(frame), most)
		}
		if back, err := Read(frame, 1, 2); err != nil || !same(back, x.message) {
			t.Errorf("%s: %v came back as %v, %v", x.name, x.message, back, err)
		}
		if class := ClassOf(x.message); class != x.class {
			t.Errorf("%s is of %v, want %v", x.name, class, x.class)
		}
		for n := range frame {
			if back, err := Read(frame[:n], 1, 2); err == nil {
				t.Errorf("%s: %d of %d bytes were read as %v", x.name, n, len(frame), back)
			}
		}
	}
}

func TestFramesOfOtherVersions(t *testing.T) {
	for name, frame := range map[string][]byte{
		"an unknown kind": {0x92, byte(len(elements)), 1},
		"kind 0":          {0x92, 0, 1},
		"no kind":         {0x90, 4, 9, 2, 77},
		"no array":        {0xc4, 0},
	} {
		if m, err := Read(frame, 1, 2); err == nil {
			t.Errorf("%s was read as %v", name, m)
		}
	}
}

// A frame has as many questions for leases, or answers, as it may, and no more.
func TestFramesFullOfLeases(t *testing.T) {
	for n, want := range map[int]bool{limits.LeaseAsks: true, limits.LeaseAsks + 1: false} {
		for _, m := range []Message{LeaseAsks{Asks: make([]LeaseAsk, n)}, LeaseTimes{Times: make([]LeaseTime, n)}} {
			if _, err := Read(Encode(m), 1, 2); (err == nil) != want {
				t.Errorf("%T of %d leases: %v", m, n, err)
			}
		}
	}
}

// An offer of a snapshot is as long as its head at most: decoded, it takes up to sixteen times as much.
func TestLongOffer(t *testing.T) {
	for n, ok := range map[int]bool{peerValueBytes - 100: true, peerValueBytes: false} {
		if _, err := Read(Encode(SnapshotOffer{Index: 1, Term: 1, Size: 1, ConfState: make([]byte, n)}), 1, 2); (err == nil) != ok {
			t.Errorf("an offer of %d bytes: %v", n, err)
		}
	}
}

// A number that is none must not be taken for more room than there is.
func TestHostileRooms(t *testing.T) {
	for _, m := range []DiskSpace{{Own: spaceMost + 1}, {Own: 1 << 63}, {Cluster: spaceMost + 1}, {Holds: -1}, {HoldsNow: -1}, {Free: -1}} {
		if back, err := Read(Encode(m), 1, 2); err == nil {
			t.Errorf("%+v was read as %+v", m, back)
		}
	}
}

func TestHandshakesReadBack(t *testing.T) {
	for _, x := range handshakes {
		frame := AppendFirst(nil, &x.handshake)
		if back, err := ReadHandshake(frame); err != nil || !reflect.DeepEqual(back, x.handshake) {
			t.Errorf("%s: %+v came back as %+v, %v", x.name, x.handshake, back, err)
		}
		for n := range frame {
			if back, err := ReadHandshake(frame[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes were read as %+v", x.name, n, len(frame), back)
			}
		}
		if _, err := ReadHandshake(append(frame, 0xc0)); err == nil {
			t.Errorf("%s: a byte more was read", x.name)
		}
	}
}

func TestJoinsReadBack(t *testing.T) {
	for _, x := range joins {
		asked, told := AppendFirst(nil, &x.request), AppendFirst(nil, &x.welcome)
		if back, err := ReadJoinRequest(asked); err != nil || !reflect.DeepEqual(back, x.request) {
			t.Errorf("%s: %+v came back as %+v, %v", x.name, x.request, back, err)
		}
		if back, err := ReadWelcome(told); err != nil || !reflect.DeepEqual(back, x.welcome) {
			t.Errorf("%s: %+v came back as %+v, %v", x.name, x.welcome, back, err)
		}
		for n := range asked {
			if back, err := ReadJoinRequest(asked[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes were read as %+v", x.name, n, len(asked), back)
			}
		}
		for n := range told {
			if back, err := ReadWelcome(told[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes were read as %+v", x.name, n, len(told), back)
			}
		}
	}
}

func TestHostileJoins(t *testing.T) {
	for name, j := range map[string]JoinRequest{
		"no name": {Folder: [16]byte{1}}, "a long name": {Name: strings.Repeat("n", limits.NameBytes+1), Folder: [16]byte{1}},
	} {
		if _, err := ReadJoinRequest(AppendFirst(nil, &j)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	for name, change := range map[string]func(w *Welcome){
		"the asking member is missing": func(w *Welcome) { w.ID = 77 },
		"no members":                   func(w *Welcome) { w.Members = nil },
		"a member without an id":       func(w *Welcome) { w.Members[0].ID = 0 },
		"a long name":                  func(w *Welcome) { w.Members[0].Name = strings.Repeat("n", limits.NameBytes+1) },
		"an empty address":             func(w *Welcome) { w.Members[0].Peers = []string{"a:1", ""} },
		"a long address":               func(w *Welcome) { w.Members[0].Peers = []string{strings.Repeat("h", limits.AddressBytes+1)} },
	} {
		w := joins[0].welcome
		w.Members = slices.Clone(w.Members)
		change(&w)
		if back, err := ReadWelcome(AppendFirst(nil, &w)); err == nil {
			t.Errorf("%s was read as %+v", name, back)
		}
	}
}

func TestHandshakesAreChecked(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Handshake)
		want   string
	}{
		{"the right one", func(*Handshake) {}, ""},
		{"another cluster", func(h *Handshake) { h.Cluster = 5 }, "belongs to 0000000000000005"},
		{"a cluster that was founded in place of joining", func(h *Handshake) { h.Cluster = 5 }, "run `qkv member replace NAME` in the other cluster (`qkv member add` if that does not know it), and start it with --join"},
		{"a cluster that was recovered", func(h *Handshake) { h.Cluster = 5 }, "`qkv recover` makes a new cluster"},
		{"another sender", func(h *Handshake) { h.From = 9 }, "the sender has 0000000000000009"},
		{"for another member", func(h *Handshake) { h.To = 9 }, "the sender expects 0000000000000009"},
	} {
		h := handshakes[0].handshake
		c.change(&h)
		switch err := errors.Join(h.CheckCluster(0xc0ffee), h.CheckMembers(2, 1)); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if no, ok := errors.AsType[*Refusal](h.CheckMembers(2, 1)); ok && no.Code != Behind {
			t.Errorf("%s: the code is %d: the sender may only lag, and asks again", c.name, no.Code)
		}
	}
	for name, change := range map[string]func(*Handshake){
		"a past of half a start":  func(h *Handshake) { h.Past = make([]byte, 12) },
		"a past that is too long": func(h *Handshake) { h.Past = make([]byte, limits.PeerPastBytes+8) },
	} {
		h := handshakes[0].handshake
		change(&h)
		if _, err := ReadHandshake(AppendFirst(nil, &h)); err == nil {
			t.Errorf("%s was read", name)
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
		if back, err := Read(Encode(Raft{Message: m}), 1, 2); err == nil {
			t.Errorf("%s was let through as %v", name, back)
		}
	}
}

// Only a leader tells how far its disk is, with what only a leader sends.
func TestOnlyALeaderTellsItsDisk(t *testing.T) {
	for kind, tells := range map[raftpb.MessageType]bool{
		raftpb.MsgApp: true, raftpb.MsgHeartbeat: true, raftpb.MsgAppResp: false, raftpb.MsgHeartbeatResp: false, raftpb.MsgVote: false, raftpb.MsgTimeoutNow: false,
	} {
		back, err := Read(Encode(Raft{message(kind, nil), 1 << 50, nil}), 1, 2)
		if (err == nil) != tells {
			t.Errorf("%v: %v", kind, err)
		}
		if m, _ := back.(Raft); tells && m.Durable != 1<<50 {
			t.Errorf("%v was read as %v", kind, back)
		}
	}
}

func TestSenderIsWhoTheCertificateSays(t *testing.T) {
	m := message(raftpb.MsgAppResp, func(m *raftpb.Message) { m.From, m.To = ptr(99), ptr(98) })
	back, err := Read(Encode(Raft{Message: m}), 5, 6)
	if err != nil {
		t.Fatal(err)
	}
	if got := back.(Raft); got.GetFrom() != 5 || got.GetTo() != 6 {
		t.Fatalf("from %d to %d", got.GetFrom(), got.GetTo())
	}
}

func FuzzMessages(f *testing.F) {
	for _, x := range messages {
		f.Add(Encode(x.message))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := Read(frame, 1, 2)
		if err != nil {
			return
		}
		if again, err := Read(Encode(m), 1, 2); err != nil || !same(m, again) {
			t.Fatalf("%v became %v, %v", m, again, err)
		}
	})
}

func FuzzJoin(f *testing.F) {
	for _, x := range joins {
		f.Add(AppendFirst(nil, &x.request))
		f.Add(AppendFirst(nil, &x.welcome))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if j, err := ReadJoinRequest(frame); err == nil {
			if again, err := ReadJoinRequest(AppendFirst(nil, &j)); err != nil || !reflect.DeepEqual(again, j) {
				t.Fatalf("%+v became %+v, %v", j, again, err)
			}
		}
		if w, err := ReadWelcome(frame); err == nil {
			if again, err := ReadWelcome(AppendFirst(nil, &w)); err != nil || !reflect.DeepEqual(w, again) {
				t.Fatalf("%+v became %+v, %v", w, again, err)
			}
		}
	})
}

func FuzzHandshake(f *testing.F) {
	for _, x := range handshakes {
		f.Add(AppendFirst(nil, &x.handshake))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, err := ReadHandshake(frame)
		if err != nil {
			return
		}
		if again, err := ReadHandshake(AppendFirst(nil, &h)); err != nil || !reflect.DeepEqual(h, again) {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}

// The memory of a large frame that was written is that of another one later.
func TestLargeFramesAreUsedAgain(t *testing.T) {
	kind, to := raftpb.MsgApp, uint64(2)
	for _, m := range []Message{
		SnapshotOffer{Index: 1, Term: 1, Size: 1, ConfState: make([]byte, 256<<10)},
		Raft{Message: &raftpb.Message{Type: &kind, To: &to, Entries: []*raftpb.Entry{{Data: make([]byte, 900<<10)}}}},
	} {
		where := map[*byte]bool{}
		want := Encode(m)
		for range 100 {
			frame := Encode(m)
			if !bytes.Equal(frame, want) {
				t.Fatalf("%T is another frame the next time", m)
			}
			where[&frame[0]] = true
			Free(frame)
		}
		if len(where) > 60 { // under the race detector a pool forgets a quarter
			t.Errorf("100 frames of %T had %d places", m, len(where))
		}
	}
}

// A frame takes no more memory than it needs, or a step more where that is used again: a queue is bounded by the bytes of its frames.
func TestFramesTakeWhatTheyNeed(t *testing.T) {
	for _, n := range []int{0, 1, 1000, buffers.Least - 100, buffers.Least, 60 << 10, 300 << 10, limits.EnvelopeBytes, limits.PeerFrameBytes - 100} {
		most := 100
		if n > buffers.Least-100 {
			most += min(n/4, 64<<10)
		}
		frame := Encode(Forward{Term: 1, Oldest: 1, Envelope: make([]byte, n)})
		if cap(frame)-n > most {
			t.Errorf("a frame of %d bytes takes %d", n, cap(frame))
		}
	}
}
