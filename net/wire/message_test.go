package wire

import (
	"bytes"
	"encoding/binary"
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
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

var exampleStatus = kv.Status{
	Name: "n1", ID: 0x8e9e05c52164694d, Cluster: 0xc0ffee, Version: "0.1.0", Role: "leader", Leader: 0x8e9e05c52164694d, Digest: math.MaxUint64,
	Stage: Starting, Interface: "eth0", Backup: "/backup/n1",
	Alarms: []kv.Alarm{{Name: "CORRUPT", Member: 7, Text: "a file is damaged"}},
	Members: []kv.Member{
		{ID: 0x8e9e05c52164694d, Name: "n1", Clients: []string{"10.0.0.1:2379", "[::1]:2379"}, Role: kv.Voter, Version: "0.1.0", Level: 5},
		{ID: 7, Name: "n2"},
	},
	Links:  []kv.Link{{Member: 7, Connected: true, RTT: 1234 * time.Microsecond}, {Member: 8, Error: "not reached yet"}},
	Values: figures.Values{int64(figures.Applied), 9, int64(figures.SyncP99), int64(2500 * time.Microsecond), int64(figures.Host), math.MinInt64, 1 << 40, -1},
}

var examplePairs = []kv.KeyValue{
	{Key: []byte("greeting"), Value: []byte("hello"), CreateRevision: 2, ModRevision: 9, Version: 3},
	{Key: []byte{0, 0xff}, Value: []byte{}, CreateRevision: math.MaxInt64, ModRevision: math.MaxInt64, Version: 1, Lease: 0x1234},
}

var exampleTxn = &kv.Txn{
	Compares: []kv.Compare{{Key: []byte("k"), Target: kv.CompareValue, Result: kv.Greater, Value: []byte("v")}},
	Success: []kv.Op{
		{Put: &kv.Put{Key: []byte("k"), Value: []byte("w"), PrevKV: true}},
		{Txn: &kv.Txn{Success: []kv.Op{{Delete: &kv.Delete{Key: []byte("a"), End: []byte{0}, PrevKV: true}}}}},
	},
	Failure: []kv.Op{{Range: &kv.Range{Key: []byte("k"), Serializable: true}}},
}

var exampleTxnResult = &kv.TxnResult{Revision: 12, Succeeded: true, Answers: []kv.Answer{
	{Put: &kv.PutResult{Revision: 12, Prev: &examplePairs[0]}},
	{Txn: &kv.TxnResult{Answers: []kv.Answer{
		{Delete: &kv.DeleteResult{Revision: 12, Deleted: 1, Prev: examplePairs[1:]}},
		{Put: &kv.PutResult{Revision: 12}},
	}}},
	{Range: &kv.RangeResult{Revision: 12, Count: 7, More: true, KVs: examplePairs[:1]}},
}}

var exampleMembers = []kv.Member{
	{ID: 7, Name: "n2", Role: kv.Learner, Manual: true, Since: 1_790_000_000_000_000_000, Peers: []string{"10.0.0.2:2380"}},
	{
		ID: 0x8e9e05c52164694d, Name: "n1", Role: kv.Voter,
		Peers: []string{"10.0.0.1:2380", "[::1]:2380"}, Clients: []string{"10.0.0.1:2379"}, Web: []string{"https://10.0.0.1:2381"},
		Version: "0.1.0", Level: 1, Folder: [16]byte{1, 15: 2}, Boot: 3, Process: [16]byte{4, 15: 5},
	},
}

// askFrame is a request with an Ask.
func askFrame(id uint64, op Op, a Ask) []byte {
	return AppendRequest(nil, id, op, time.Second, AppendAsk(nil, &a))
}

func appendPage(dst []byte, id uint64, revision, count int64, more bool, pairs []kv.KeyValue) []byte {
	bytes := 0
	for _, pair := range pairs {
		bytes += PairBytes(len(pair.Key), len(pair.Value))
	}
	dst, page := BeginPage(dst, id, revision, count, more, len(pairs), bytes)
	for i := range pairs {
		dst = AppendPair(dst, &pairs[i])
	}
	return EndPage(dst, page)
}

var exampleCanceled = kv.WatchDelivery{
	Kind: kv.WatchCanceled, IDs: []uint64{1}, Revision: 4, Err: &kv.Error{Code: kv.Compacted, Message: "gone"}, Compacted: 70000,
}

var exampleEvents = kv.WatchDelivery{
	Kind: kv.WatchEvents, IDs: []uint64{1, 300}, Revision: 9, Fragment: true, Count: 2,
	Events: appendEvent(
		appendEvent(nil, &kv.Event{KV: examplePairs[0]}, nil),
		&kv.Event{Deleted: true, KV: kv.KeyValue{Key: []byte("greeting"), ModRevision: 9}}, &examplePairs[1]),
}

func appendDelivery(d kv.WatchDelivery) []byte {
	return append(AppendWatchDelivery(nil, &d), d.Events...)
}

// array is what the library is to encode: the elements of one frame.
type array []any

// examples are one or more frames of each kind, beside what they say.
var examples = []struct {
	name   string
	frame  []byte
	fields array
}{
	{
		"put", AppendRequest(nil, 1, OpPut, 5*time.Second, kv.AppendPut(nil, &kv.Put{Key: []byte("greeting"), Value: []byte("hello")})),
		array{1, 1, 5000, 0, 0, 0, 0, []byte("greeting"), []byte("hello"), 0, 0},
	},
	{
		"put in a session", AppendWrite(nil, 1, OpPut, 5*time.Second, &kv.WriteName{Session: 0x8e9e05c52164694d, Sequence: 300, Window: 9, Opened: 1 << 40},
			kv.AppendPut(nil, &kv.Put{Key: []byte("greeting"), Value: []byte("hello")})),
		array{1, 1, 5000, uint64(0x8e9e05c52164694d), 300, 9, 1 << 40, []byte("greeting"), []byte("hello"), 0, 0},
	},
	{
		"put of much", AppendRequest(nil, 1<<40, OpPut, 50*time.Microsecond, kv.AppendPut(nil, &kv.Put{Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 300), Lease: 77, PrevKV: true})),
		array{1 << 40, 1, 1, 0, 0, 0, 0, []byte("k"), bytes.Repeat([]byte("v"), 300), 77, 1},
	},
	{
		"delete", AppendRequest(nil, 300, OpDelete, time.Minute, kv.AppendDelete(nil, &kv.Delete{Key: []byte("a"), End: []byte("b"), PrevKV: true})),
		array{300, 2, 60000, 0, 0, 0, 0, []byte("a"), []byte("b"), 1},
	},
	{
		"range", AppendRequest(nil, 2, OpRange, time.Second, kv.AppendRange(nil, &kv.Range{Key: []byte("a"), Revision: 7, Limit: 100, Serializable: true, Continued: true})),
		array{2, 3, 1000, []byte("a"), []byte{}, 7, 100, 9, 0, 0, 0, 0, 0, 0},
	},
	{
		"sorted range", AppendRequest(nil, 2, OpRange, time.Second, kv.AppendRange(nil, &kv.Range{Key: []byte("a"), End: []byte("b"), Sort: kv.SortByMod, Order: kv.SortDescend, MinMod: 1, MaxMod: 2, MinCreate: 3, MaxCreate: 4})),
		array{2, 3, 1000, []byte("a"), []byte("b"), 0, 0, 0, 3, 2, 1, 2, 3, 4},
	},
	{
		"transaction", AppendRequest(nil, 11, OpTxn, time.Second, kv.AppendTxn(nil, exampleTxn)),
		array{11, 9, 1000, 0, 0, 0, 0, array{
			array{array{[]byte("k"), []byte{}, 3, 1, 0, []byte("v")}},
			array{
				array{1, []byte("k"), []byte("w"), 0, 1},
				array{4, array{array{}, array{array{2, []byte("a"), []byte{0}, 1}}, array{}}},
			},
			array{array{3, []byte("k"), []byte{}, 0, 0, 1, 0, 0, 0, 0, 0, 0}},
		}},
	},
	{"compact", askFrame(12, OpCompact, Ask{Revision: 300}), array{12, 10, 1000, 0, 0, 0, 0, &Ask{Revision: 300}}},
	{
		"revision at a time", askFrame(13, OpRevisionAt, Ask{Wall: 1_790_000_000_000_000_000, Serializable: true}),
		array{13, 11, 1000, &Ask{Wall: 1_790_000_000_000_000_000, Serializable: true}},
	},
	{
		"pages", AppendRequest(nil, 2, OpPages, time.Second, AppendPagesBody(nil, &kv.Range{Key: []byte("a"), End: []byte("b"), Revision: 7, Continued: true})),
		array{2, 13, 1000, []byte("a"), []byte("b"), 7, 0, 8, 0, 0, 0, 0, 0, 0, false},
	},
	{
		"usage", AppendRequest(nil, 2, OpPages, time.Second, AppendPagesBody(nil, &kv.Range{Key: []byte("a"), End: []byte("b"), Serializable: true, Usage: true})),
		array{2, 13, 1000, []byte("a"), []byte("b"), 0, 0, 1, 0, 0, 0, 0, 0, 0, true},
	},
	{
		"times of revisions", askFrame(13, OpTimesOf, Ask{Revisions: []int64{2, 300}, Serializable: true}),
		array{13, 12, 1000, &Ask{Revisions: []int64{2, 300}, Serializable: true}},
	},
	{
		"written with", AppendWrittenWith(nil, 1, 12, 2, examplePairs[:1]),
		array{1, 0, 12, 2, array{array{[]byte("greeting"), []byte("hello"), 2, 9, 3, 0}}},
	},
	{
		"transaction answer", AppendTxnResult(nil, 11, exampleTxnResult),
		array{11, 0, 12, true, array{
			array{1, 12, array{array{[]byte("greeting"), []byte("hello"), 2, 9, 3, 0}}},
			array{4, false, array{array{2, 12, 1, array{array{[]byte{0, 0xff}, []byte{}, math.MaxInt64, math.MaxInt64, 1, 0x1234}}}, array{1, 12, array{}}}},
			array{3, 12, 7, true, array{array{[]byte("greeting"), []byte("hello"), 2, 9, 3, 0}}},
		}},
	},
	{"status", AppendRequest(nil, 3, OpStatus, time.Second, nil), array{3, 4, 1000}},
	{"readmit", askFrame(6, OpReadmit, Ask{Member: 0x8e9e05c52164694d}), array{6, 5, 1000, &Ask{Member: 0x8e9e05c52164694d}}},
	{"members", askFrame(7, OpMembers, Ask{Serializable: true}), array{7, 6, 1000, &Ask{Serializable: true}}},
	{
		"add a member", askFrame(8, OpChangeMember, Ask{Change: kv.MemberChange{Kind: kv.AddLearner, ID: 7, Name: "n2", Peers: []string{"10.0.0.2:2380"}, Manual: true, Instead: 300}}),
		array{8, 7, 1000, &Ask{Change: kv.MemberChange{Kind: kv.AddLearner, ID: 7, Name: "n2", Peers: []string{"10.0.0.2:2380"}, Manual: true, Instead: 300}}},
	},
	{
		"watch", AppendWatch(nil, 300, &kv.Watch{Key: []byte("a"), End: []byte("b"), Revision: 7, PrevKV: true, NoDelete: true}),
		array{300, 20, 0, []byte("a"), []byte("b"), 7, 9},
	},
	{"cancel a watch", AppendCancelWatch(nil, 300), array{300, 21, 0}},
	{"progress of watches", AppendWatchProgress(nil), array{0, 22, 0}},
	{"watch created", appendDelivery(kv.WatchDelivery{Kind: kv.WatchCreated, IDs: []uint64{300}, Revision: 6}), array{0, array{300}, 6}},
	{
		"watch events", appendDelivery(exampleEvents),
		array{
			1,
			array{1, 300},
			9, 1,
			array{
				array{0, []byte("greeting"), []byte("hello"), 2, 9, 3, 0},
				array{1, []byte("greeting"), 9, array{[]byte{}, math.MaxInt64, math.MaxInt64, 1, 0x1234}},
			},
		},
	},
	{"watch progress", appendDelivery(kv.WatchDelivery{Kind: kv.WatchProgressed, Revision: 9}), array{2, array{}, 9}},
	{"watch canceled", appendDelivery(exampleCanceled), array{3, array{1}, 4, 4, "gone", 70000}},
	{
		"watches ended", appendDelivery(kv.WatchDelivery{Kind: kv.WatchEnded, Revision: 4, Err: &kv.Error{Code: kv.Unavailable, Message: "no leader"}}),
		array{4, array{}, 4, 6, "no leader"},
	},
	{"move leader", askFrame(10, OpMoveLeader, Ask{Member: 300}), array{10, 8, 1000, &Ask{Member: 300}}},
	{"done", AppendDone(nil, 6), array{6, 0}},
	{"written", AppendWritten(nil, 1, 2, 0), array{1, 0, 2, 0}},
	{"written large", AppendWritten(nil, math.MaxUint64, math.MaxInt64, 1000), array{uint64(math.MaxUint64), 0, math.MaxInt64, 1000}},
	{
		"page", appendPage(nil, 2, 9, 5, true, examplePairs),
		array{
			2, 0, 9, 5, true,
			array{
				array{[]byte("greeting"), []byte("hello"), 2, 9, 3, 0},
				array{[]byte{0, 0xff}, []byte{}, math.MaxInt64, math.MaxInt64, 1, 0x1234},
			},
		},
	},
	{"empty page", appendPage(nil, 2, 9, 0, false, nil), array{2, 0, 9, 0, false, array{}}},
	{"error", AppendError(nil, 4, kv.Unavailable, "no leader"), array{4, 6, "no leader"}},
	{
		"change of users", askFrame(14, OpAuthChange, Ask{Auth: kv.AuthChange{Kind: kv.UserAdd, User: "ci", Role: "app1", Permission: examplePermission, NoPassword: true, Strict: true}, Password: []byte("secret")}),
		array{14, 50, 1000, 0, 0, 0, 0, &Ask{Auth: kv.AuthChange{Kind: kv.UserAdd, User: "ci", Role: "app1", Permission: examplePermission, NoPassword: true, Strict: true}, Password: []byte("secret")}},
	},
	{"roles", askFrame(16, OpRoles, Ask{Name: "app1", From: "a", Skip: 300}), array{16, 52, 1000, &Ask{Name: "app1", From: "a", Skip: 300}}},
	{"status of authentication", askFrame(17, OpAuthStatus, Ask{}), array{17, 53, 1000, &Ask{}}},
	{
		"authors of changes", askFrame(19, OpAuthorsOf, Ask{Changes: []kv.Change{{Key: []byte("k"), Revision: 300}, {Key: []byte("l"), Revision: 2}}}),
		array{19, 55, 1000, &Ask{Changes: []kv.Change{{Key: []byte("k"), Revision: 300}, {Key: []byte("l"), Revision: 2}}}},
	},
	{"login", askFrame(20, OpLogin, Ask{Name: "ci", Password: []byte("secret"), Token: "token"}), array{20, 56, 1000, &Ask{Name: "ci", Password: []byte("secret"), Token: "token"}}},
	{"question for a permission", askFrame(21, OpAuthCheck, Ask{Name: "ci", Permission: examplePermission}), array{21, 57, 1000, &Ask{Name: "ci", Permission: examplePermission}}},
	{"leases", askFrame(26, OpLeases, Ask{Lease: LeaseRequest{ID: 300}}), array{26, 34, 1000, &Ask{Lease: LeaseRequest{ID: 300}}}},
	{"users", askFrame(15, OpUsers, Ask{Name: "ci", From: "a"}), array{15, 51, 1000, &Ask{Name: "ci", From: "a"}}},
	{"question for the backup", askFrame(22, OpBackUpNow, Ask{Entry: 300}), array{22, 60, 1000, &Ask{Entry: 300}}},
	{"the own user", askFrame(18, OpWhoAmI, Ask{Serializable: true}), array{18, 54, 1000, &Ask{Serializable: true}}},
}

var examplePermission = kv.Permission{Key: []byte("app1/"), End: []byte("app10"), Type: kv.PermitReadWrite}

// The hand-written bytes are those of the library, and its bytes are read back.
func TestSameBytesAsLibrary(t *testing.T) {
	for _, x := range examples {
		var b bytes.Buffer
		e := msgpack.NewEncoder(&b)
		e.UseCompactInts(true)
		e.SetOmitEmpty(true)
		if err := e.Encode(x.fields); err != nil {
			t.Fatal(err)
		}
		want := appendFrame(nil, b.Bytes())
		if !bytes.Equal(x.frame, want) {
			t.Errorf("%s:\n% x, the library\n% x", x.name, x.frame, want)
		}
	}
}

// TestGoldenOps: each op has a request among the golden ones.
func TestGoldenOps(t *testing.T) {
	have := map[Op]bool{}
	for _, x := range examples {
		var q Request
		var w kv.WatchRequest
		switch {
		case ReadRequest(frameOf(t, x.frame), &q) == nil:
			have[q.Op] = true
		case strings.Contains(x.name, "watch") && ReadWatchRequest(frameOf(t, x.frame), &w) == nil:
			have[Op(x.fields[1].(int))] = true
		}
	}
	for op := range ops {
		if declared(uint64(op)) && !have[Op(op)] {
			t.Errorf("op %d, %s, has no golden request", op, Op(op))
		}
	}
}

// The bytes are those of the first release, for ever.
func TestGolden(t *testing.T) {
	const file = "testdata/frames.txt"
	var b strings.Builder
	for _, x := range examples {
		fmt.Fprintf(&b, "%s\n%s", x.name, hex.Dump(x.frame))
	}
	for _, value := range []any{
		&exampleStatus, &List[kv.ClientLoad]{All: []kv.ClientLoad{{Name: "client ci", API: "qkv", Connections: 2, Requests: 7, Watches: 300, Bytes: 1 << 20}}},
		&List[kv.User]{9, true, []kv.User{{Name: "ci", Roles: []string{"app1", "app2"}, HasPassword: true, NoPassword: true, Epoch: 300}}},
		&List[kv.UserRole]{All: []kv.UserRole{{Name: "app1", Permissions: []kv.Permission{examplePermission}}}}, &List[kv.Member]{All: exampleMembers},
		&List[int64]{More: true, All: []int64{-7, 0, 1_790_000_000_000_000_000}}, &LeaseKeys{59, 60, true, [][]byte{[]byte("a"), {0}}},
		&kv.AuthStatus{Enabled: true, Revision: 300},
		&kv.Self{Name: "admin", Proof: kv.ProofCertificate, Known: true, Roles: []string{"root"}, Root: true, Enabled: true, Revision: 12},
		&List[string]{All: []string{"ci", ""}}, &Login{"token.7"}, &kv.AuthCheck{Allowed: true, Root: true, Grants: []kv.Grant{{Role: "app1", Permission: examplePermission}}}, &kv.BackedUp{Place: "/backup", Entry: 300, Revision: 9, Wall: 1_790_000_000_000_000_000, Done: true, Problem: "full"},
	} {
		fmt.Fprintf(&b, "%T\n%s", value, hex.Dump(AppendAnswer(nil, 3, value)))
	}
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
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

func frameOf(t testing.TB, b []byte) []byte {
	t.Helper()
	frame, rest, ok, err := SplitFrame(b, limits.ResponseBytes)
	if !ok || err != nil || len(rest) != 0 {
		t.Fatalf("no frame: %v, %d bytes left", err, len(rest))
	}
	return frame
}

func TestRequestsReadBack(t *testing.T) {
	var q Request
	read := func(b []byte) Request {
		t.Helper()
		if err := ReadRequest(frameOf(t, b), &q); err != nil {
			t.Fatal(err)
		}
		return q
	}
	same := func(got, want Request) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, wrote %+v", got, want)
		}
	}
	key, value, end := []byte("key"), []byte("value"), []byte("kez")
	p := kv.Put{Key: key, Value: value, Lease: -3}
	same(read(AppendRequest(nil, 9, OpPut, time.Second, kv.AppendPut(nil, &p))), Request{ID: 9, Op: OpPut, Timeout: time.Second, Put: p})
	once := kv.WriteName{Session: math.MaxUint64, Sequence: 1 << 40, Window: 1 << 20, Opened: math.MaxInt64}
	same(read(AppendWrite(nil, 9, OpPut, time.Second, &once, kv.AppendPut(nil, &p))), Request{ID: 9, Op: OpPut, Timeout: time.Second, Once: once, Put: p})
	d := kv.Delete{Key: key, End: end}
	same(read(AppendRequest(nil, 9, OpDelete, time.Second, kv.AppendDelete(nil, &d))), Request{ID: 9, Op: OpDelete, Timeout: time.Second, Delete: d})
	for flags := range 16 {
		r := kv.Range{
			Key: key, End: end, Revision: -1, Limit: math.MaxInt64,
			Serializable: flags&1 != 0, KeysOnly: flags&2 != 0, CountOnly: flags&4 != 0, Continued: flags&8 != 0,
		}
		same(read(AppendRequest(nil, 9, OpRange, time.Second, kv.AppendRange(nil, &r))), Request{ID: 9, Op: OpRange, Timeout: time.Second, Range: r})
	}
	same(read(AppendRequest(nil, 9, OpStatus, time.Second, nil)), Request{ID: 9, Op: OpStatus, Timeout: time.Second})
	every := Ask{
		Serializable: true, Member: math.MaxUint64, Lease: LeaseRequest{ID: -9, Keys: true, From: []byte("from")},
		Change:   kv.MemberChange{Kind: kv.PromoteMember, ID: math.MaxUint64, Name: "n", Peers: []string{"a:1", "b:2"}, Manual: true, Instead: 8, Folder: [16]byte{1, 2}},
		Revision: 7, Wall: -7, Revisions: []int64{-1, 7}, Changes: []kv.Change{{Key: []byte("k"), Revision: math.MaxInt64}, {Key: []byte{0}, Revision: -1}},
		Auth:     kv.AuthChange{Kind: kv.RoleGrantPermission, User: "u", Role: "r", NoPassword: true, Permission: examplePermission, Strict: true},
		Password: []byte("clear"), Token: "token", Name: "ci", From: "a", Skip: 300, Permission: kv.Permission{Key: []byte{0}, Type: kv.PermitWrite},
		Entry: 1 << 50,
	}
	for op := range ops {
		if declared(uint64(op)) && reflect.ValueOf(ops[op].read).Pointer() == reflect.ValueOf(readAsk).Pointer() {
			for _, want := range []Ask{{}, every} {
				same(read(askFrame(9, Op(op), want)), Request{ID: 9, Op: Op(op), Timeout: time.Second, Ask: &want})
			}
		}
	}
	sent := every
	sent.Auth.Password, sent.Auth.Secret, sent.Lease.TTL = []byte("hash"), []byte("secret"), 5 // a client sets none of them
	same(read(askFrame(9, OpAuthChange, sent)), Request{ID: 9, Op: OpAuthChange, Timeout: time.Second, Ask: &every})
	txn := read(AppendRequest(nil, 9, OpTxn, time.Second, kv.AppendTxn(nil, exampleTxn)))
	if got := kv.AppendTxn(nil, txn.Txn); !bytes.Equal(got, kv.AppendTxn(nil, exampleTxn)) {
		t.Errorf("a transaction is read as % x", got)
	}
	for ms, want := range map[uint64]time.Duration{
		0: limits.RequestTimeout, 1: time.Millisecond, 59_999: 59_999 * time.Millisecond, 60_001: limits.RequestTimeout, math.MaxUint64: limits.RequestTimeout,
	} {
		b := pack.AppendUint(pack.AppendUint(pack.AppendUint(pack.AppendArray(nil, 3), 1), uint64(OpStatus)), ms)
		if err := ReadRequest(b, &q); err != nil || q.Timeout != want {
			t.Errorf("timeout_ms %d: %v, %v", ms, q.Timeout, err)
		}
	}
}

// What is not understood is answered, and only what has no id is not.
func TestRequestsRefused(t *testing.T) {
	raw := func(fields ...any) []byte {
		var b bytes.Buffer
		e := msgpack.NewEncoder(&b)
		e.UseCompactInts(true)
		if err := e.Encode(fields); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		frame []byte
		want  string
	}{
		"unknown op":        {raw(5, 99, 1), "op 99 is not known here: another version of qkv may know it"},
		"op 0":              {raw(5, 0, 1), "op 0 is not known here"},
		"op of 64 bits":     {raw(5, uint64(math.MaxUint64), 1), "is not known here"},
		"op 257":            {raw(5, 257, 1), "op 257 is not known here"},
		"no timeout":        {raw(5, 1), "without op and timeout"},
		"only an id":        {raw(5), "without op and timeout"},
		"a string as a key": {raw(5, 2, 1, 0, 0, 0, 0, "k", []byte{}, 0), "a delete that cannot be read"},
		"unknown flag":      {raw(5, 3, 1, []byte("k"), []byte{}, 0, 0, 16, 0, 0, 0, 0, 0, 0), "flags 0x10, of which 0xf are known here"},
		"no body":           {raw(5, 6, 1), "a list of members that cannot be read"},
		"an array as a map": {raw(5, 6, 1, array{1}), "a list of members that cannot be read"},
		"a long body":       {raw(5, 6, 1, map[string]any{"new": make([]byte, limits.AskBytes)}), "its body has more than 1048576 bytes"},
		"kind 256":          {raw(5, 5, 1, map[string]any{"change": map[string]any{"k": 256}}), "256 is too large"},
		"a flag of a put":   {raw(5, 1, 1, 0, 0, 0, 0, []byte("k"), []byte("v"), 0, 8), "flags 0x8, of which 0x7 are known here"},
		"no transaction":    {raw(5, 9, 1, 0, 0, 0, 0, 7), "a transaction that cannot be read"},
		"an operation":      {raw(5, 9, 1, 0, 0, 0, 0, array{array{}, array{array{9}}, array{}}), "an operation of kind 9"},
		"nested":            {append(raw(5, 9, 1, 0, 0, 0, 0, array{})[:8], nestedTxn(limits.TxnDepth+1)...), "nested more than"},
		"bytes behind":      {append(raw(5, 4, 1), 0), "1 bytes are left over"},
	} {
		var q Request
		err := ReadRequest(c.frame, &q)
		var answer *kv.Error
		if !errors.As(err, &answer) || answer.Code != kv.BadRequest || q.ID != 5 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: id %d, %v, wanted %q", name, q.ID, err, c.want)
		}
	}
	for name, b := range map[string][]byte{
		"empty": {}, "a map": {0x81, 1, 1}, "no id": {0x90}, "id of another kind": {0x91, 0xa0}, "huge array": {0xdd, 0xff, 0xff, 0xff, 0xff},
	} {
		var q Request
		if err := ReadRequest(b, &q); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// nestedTxn is a transaction in a transaction, so many deep.
func nestedTxn(depth int) []byte {
	t := &kv.Txn{}
	for range depth - 1 {
		t = &kv.Txn{Success: []kv.Op{{Txn: t}}}
	}
	return kv.AppendTxn(nil, t)
}

// Each op's own fields are checked.
func TestCheck(t *testing.T) {
	bounds := kv.Bounds{Key: 2, Value: 2}
	long := []byte("long")
	for _, q := range []Request{
		{Op: OpPut},
		{Op: OpDelete},
		{Op: OpRange},
		{Op: OpPut, Put: kv.Put{Key: long}},
		{Op: OpPut, Put: kv.Put{Key: []byte("k"), Value: long}},
		{Op: OpDelete, Delete: kv.Delete{Key: []byte("k"), End: long}},
		{Op: OpRange, Range: kv.Range{Key: []byte("k"), Limit: -1}},
		{Op: OpTxn, Txn: &kv.Txn{Success: []kv.Op{{}}}},
		{Op: OpTxn, Txn: &kv.Txn{Compares: make([]kv.Compare, limits.TxnOperations+1)}},
		{Op: OpTxn, Txn: &kv.Txn{Success: []kv.Op{{Put: &kv.Put{Key: []byte("k")}}, {Put: &kv.Put{Key: []byte("k")}}}}},
		{Op: OpChangeMember, Ask: &Ask{}},
		{Op: OpTimesOf, Ask: &Ask{Revisions: make([]int64, limits.TimesAsked+1)}},
		{Op: OpAuthorsOf, Ask: &Ask{Changes: slices.Repeat([]kv.Change{{Key: []byte("k")}}, limits.AuthorsAsked+1)}},
		{Op: OpReadmit, Ask: &Ask{Revisions: make([]int64, limits.TimesAsked+1)}},
		{Op: OpChangeMember, Ask: &Ask{Change: kv.MemberChange{Kind: 200, ID: 7}}},
		{Op: OpChangeMember, Ask: &Ask{Change: kv.MemberChange{Kind: kv.AddLearner, ID: 7, Name: "n\t2", Peers: []string{"h:1"}}}},
		{Op: OpChangeMember, Ask: &Ask{Change: kv.MemberChange{Kind: kv.AddLearner, ID: 7, Name: strings.Repeat("n", limits.NameBytes+1), Peers: []string{"h:1"}}}},
		{Op: OpChangeMember, Ask: &Ask{Change: kv.MemberChange{Kind: kv.AddLearner, ID: 7, Name: "n2", Peers: []string{"h"}}}},
		{Op: OpChangeMember, Ask: &Ask{Change: kv.MemberChange{Kind: kv.UpdateMember, ID: 7, Peers: []string{":1"}}}},
		{Op: OpChangeMember, Ask: &Ask{Change: kv.MemberChange{Kind: kv.UpdateMember, ID: 7, Peers: []string{"h:0"}}}},
		{Op: OpChangeMember, Ask: &Ask{Change: kv.MemberChange{Kind: kv.UpdateMember, ID: 7, Peers: []string{"[::]:1"}}}},
		{Op: OpChangeMember, Ask: &Ask{Change: kv.MemberChange{Kind: kv.UpdateMember, ID: 7, Peers: []string{strings.Repeat("h", limits.AddressBytes) + ":1"}}}},
		{Op: OpChangeMember, Ask: &Ask{Change: kv.MemberChange{Kind: kv.UpdateMember, ID: 7, Peers: slices.Repeat([]string{"h:1"}, limits.MemberAddresses+1)}}},
	} {
		if q.Check(bounds) == nil {
			t.Errorf("%+v is served", q)
		}
	}
	for _, q := range []Request{
		{Op: OpStatus},
		{Op: OpMembers, Ask: &Ask{}},
		{Op: OpTimesOf, Ask: &Ask{Revisions: make([]int64, limits.TimesAsked)}},
		{Op: OpChangeMember, Ask: &Ask{Change: kv.MemberChange{Kind: kv.AddLearner, ID: 7, Name: "n2", Peers: []string{"h:1", "[::1]:2380"}}}},
		{Op: OpChangeMember, Ask: &Ask{Change: kv.MemberChange{Kind: kv.RemoveMember, ID: 7}}},
		{Op: OpPut, Put: kv.Put{Key: []byte("k")}},
		{Op: OpRange, Range: kv.Range{Key: []byte("k")}},
	} {
		if err := q.Check(bounds); err != nil {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func TestAnswersReadBack(t *testing.T) {
	read := func(b []byte, id uint64, code kv.Code) *Response {
		t.Helper()
		p, err := ReadResponse(frameOf(t, b))
		if err != nil || p.ID != id || p.Code != code {
			t.Fatalf("answer %d %v, wanted %d %v: %v", p.ID, p.Code, id, code, err)
		}
		return &p
	}
	if revision, deleted, previous, err := read(AppendWritten(nil, 7, 12, 3), 7, kv.OK).Written(); err != nil || revision != 12 || deleted != 3 || previous != nil {
		t.Errorf("written %d %d %v %v", revision, deleted, previous, err)
	}
	if revision, deleted, previous, err := read(AppendWrittenWith(nil, 7, 12, 3, examplePairs), 7, kv.OK).Written(); err != nil || revision != 12 || deleted != 3 || !reflect.DeepEqual(previous, examplePairs) {
		t.Errorf("written %d %d %v %v", revision, deleted, previous, err)
	}
	if got, err := read(AppendTxnResult(nil, 7, exampleTxnResult), 7, kv.OK).Txn(); err != nil || !reflect.DeepEqual(got, exampleTxnResult) {
		t.Errorf("transaction %+v, %v", got, err)
	}
	if got, most := len(AppendTxnResult(nil, math.MaxUint64, exampleTxnResult)), TxnResultBytes(exampleTxnResult); got > most {
		t.Errorf("an answer of %d bytes, and at most %d were announced", got, most)
	}
	if err := read(AppendError(nil, 8, kv.Unknown, "perhaps"), 8, kv.Unknown).Failed(); err == nil || err.Message != "perhaps" || err.Certain() {
		t.Errorf("error %v", err)
	}
	var page kv.RangeResult
	if err := read(appendPage(nil, 9, 4, 2, true, examplePairs), 9, kv.OK).Range(&page); err != nil {
		t.Fatal(err)
	}
	if want := (kv.RangeResult{Revision: 4, Count: 2, More: true, KVs: examplePairs}); !reflect.DeepEqual(page, want) {
		t.Errorf("page %+v, wanted %+v", page, want)
	}
	if got, err := ReadAnswer[List[kv.Member]](read(AppendAnswer(nil, 7, &List[kv.Member]{All: exampleMembers}), 7, kv.OK)); err != nil || !reflect.DeepEqual(got.All, exampleMembers) {
		t.Errorf("members %+v, %v", got, err)
	}
	if s, err := ReadAnswer[kv.Status](read(AppendAnswer(nil, 10, &exampleStatus), 10, kv.OK)); err != nil || !reflect.DeepEqual(s, exampleStatus) {
		t.Errorf("status %+v, %v", s, err)
	}
}

// A member, and its client, may be newer or older: what comes of codes and kinds that are not known.
func TestUnknownAnswers(t *testing.T) {
	answer := func(fields ...any) *Response {
		var b bytes.Buffer
		if err := msgpack.NewEncoder(&b).Encode(array(fields)); err != nil {
			t.Fatal(err)
		}
		p, err := ReadResponse(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return &p
	}
	if err := answer(1, 200, "of the future").Failed(); err == nil || err.Certain() || err.Retryable() || err.Code.String() != "code 200" {
		t.Errorf("code 200: %v", err)
	}
	member := map[string]any{"i": 7, "r": 200, "f": make([]byte, 16), "new": array{1}}
	if got, err := ReadAnswer[List[kv.Member]](answer(1, 0, map[string]any{"a": array{member}})); err != nil || got.All[0].Role.String() != "role 200" {
		t.Errorf("members: %+v, %v", got, err)
	}
	member["f"] = make([]byte, 15)
	if _, err := ReadAnswer[List[kv.Member]](answer(1, 0, map[string]any{"a": array{member}})); !errors.Is(err, ErrFrame) {
		t.Errorf("a short folder id: %v", err)
	}
	if _, err := answer(1, 0, 5, true, array{array{9, 5, 1}}).Txn(); !errors.Is(err, ErrFrame) {
		t.Errorf("an operation's answer of kind 9: %v", err)
	}
}

// Hostile lengths at each place where a length stands.
func TestHostileLengths(t *testing.T) {
	for _, evil := range [][]byte{
		{0xdd, 0xff, 0xff, 0xff, 0xff},
		{0xdf, 0xff, 0xff, 0xff, 0xff},
		{0xc6, 0xff, 0xff, 0xff, 0xff},
		{0xdb, 0xff, 0xff, 0xff, 0xff},
		{0xc9, 0xff, 0xff, 0xff, 0xff},
	} {
		for _, x := range examples {
			frame := frameOf(t, x.frame)
			for at := range frame {
				decodeAll(append(append([]byte{}, frame[:at]...), evil...))
			}
		}
	}
}

// decodeAll reads bytes as everything that they may be.
func decodeAll(frame []byte) {
	var q Request
	if ReadRequest(frame, &q) == nil {
		_ = q.Check(kv.Bounds{Key: limits.KeyBytes, Value: limits.ValueBytes})
	}
	p, err := ReadResponse(frame)
	if err != nil {
		return
	}
	_ = p.Failed()
	_, _, _, _ = p.Written()
	_, _ = p.Txn()
	_ = p.Range(&kv.RangeResult{})
	_, _ = ReadAnswer[kv.Status](&p)
	_, _, _ = p.Granted()
	_, _ = p.LeaseTime()
	_, _ = ReadAnswer[List[kv.Member]](&p)
	_, _ = ReadAnswer[kv.BackedUp](&p)
}

func FuzzMessages(f *testing.F) {
	for _, x := range examples {
		f.Add(frameOf(f, x.frame))
	}
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeAll(b)
		var q Request
		if ReadRequest(b, &q) != nil {
			return
		}
		// What is read is written the same way, but for how it was spelled.
		var body []byte
		switch q.Op {
		case OpPut:
			body = kv.AppendPut(nil, &q.Put)
		case OpDelete:
			body = kv.AppendDelete(nil, &q.Delete)
		case OpRange:
			body = kv.AppendRange(nil, &q.Range)
		case OpPages:
			body = AppendPagesBody(nil, &q.Range)
		case OpGrant, OpRevoke, OpKeepAlive:
			body = AppendLeaseBody(nil, q.Op, &q.Lease)
		case OpTxn:
			body = kv.AppendTxn(nil, q.Txn)
		case OpStatus:
		default:
			body = AppendAsk(nil, q.Ask)
		}
		var again Request
		if err := ReadRequest(frameOf(t, AppendWrite(nil, q.ID, q.Op, q.Timeout, &q.Once, body)), &again); err != nil {
			t.Fatal(err)
		}
		if q.Op == OpTxn {
			if !bytes.Equal(kv.AppendTxn(nil, again.Txn), kv.AppendTxn(nil, q.Txn)) {
				t.Fatalf("%+v was written as %+v", q.Txn, again.Txn)
			}
			q.Txn, again.Txn = nil, nil
		}
		if q.Ask != nil {
			if fmt.Sprint(*q.Ask) != fmt.Sprint(*again.Ask) {
				t.Fatalf("%+v was written as %+v", *q.Ask, *again.Ask)
			}
			q.Ask, again.Ask = nil, nil
		}
		if fmt.Sprint(q) != fmt.Sprint(again) {
			t.Fatalf("%+v was written as %+v", q, again)
		}
	})
}

// Nothing is allocated for the requests that come by the hundred thousand.
func TestReadingTakesNoMemory(t *testing.T) {
	key := []byte("key")
	q := new(Request)
	for op, body := range map[Op][]byte{
		OpPut:    kv.AppendPut(nil, &kv.Put{Key: key, Value: make([]byte, 256), Lease: 1 << 40}),
		OpDelete: kv.AppendDelete(nil, &kv.Delete{Key: key}),
		OpRange:  kv.AppendRange(nil, &kv.Range{Key: key, Revision: 1 << 40}),
	} {
		frame := frameOf(t, AppendRequest(nil, 1<<40, op, time.Second, body))
		if n := testing.AllocsPerRun(100, func() {
			if err := ReadRequest(frame, q); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("a %v: %v allocations", op, n)
		}
	}
}

// A request that is read shows nothing of the one that was read before it.
func TestReadingOneAfterAnother(t *testing.T) {
	key := []byte("key")
	ops := map[Op][]byte{
		OpPut:          kv.AppendPut(nil, &kv.Put{Key: key, Value: key, Lease: 1, PrevKV: true}),
		OpDelete:       kv.AppendDelete(nil, &kv.Delete{Key: key, End: key, PrevKV: true}),
		OpRange:        kv.AppendRange(nil, &kv.Range{Key: key, End: key, Revision: 2, Serializable: true}),
		OpPages:        AppendPagesBody(nil, &kv.Range{Key: key, End: key, Serializable: true, Usage: true}),
		OpMembers:      AppendAsk(nil, &Ask{Serializable: true}),
		OpChangeMember: AppendAsk(nil, &Ask{Change: kv.MemberChange{Kind: kv.UpdateMember, Peers: []string{"a"}}}),
		OpTxn:          kv.AppendTxn(nil, &kv.Txn{Success: []kv.Op{{Put: &kv.Put{Key: key}}}}),
		OpLogin:        AppendAsk(nil, &Ask{Name: "user", Password: key}),
	}
	for before, first := range ops {
		for op, body := range ops {
			var q, fresh Request
			for _, err := range []error{
				ReadRequest(frameOf(t, AppendWrite(nil, 1, before, time.Second, &kv.WriteName{Session: 7, Sequence: 2, Window: 3, Opened: 4}, first)), &q),
				ReadRequest(frameOf(t, AppendRequest(nil, 2, op, time.Minute, body)), &q),
				ReadRequest(frameOf(t, AppendRequest(nil, 2, op, time.Minute, body)), &fresh),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if !reflect.DeepEqual(q, fresh) {
				t.Errorf("a %v after a %v: %+v, alone %+v", op, before, q, fresh)
			}
		}
	}
}

// BenchmarkReadRequest is what a member pays for each request before it knows what it is.
func BenchmarkReadRequest(b *testing.B) {
	key, value := []byte("key/0000001234"), make([]byte, 256)
	for op, body := range map[Op][]byte{
		OpPut:   kv.AppendPut(nil, &kv.Put{Key: key, Value: value}),
		OpRange: kv.AppendRange(nil, &kv.Range{Key: key}),
	} {
		b.Run(op.String(), func(b *testing.B) {
			frame := AppendRequest(nil, 1234, op, 5*time.Second, body)
			_, header := binary.Uvarint(frame)
			q := new(Request)
			b.ReportAllocs()
			for b.Loop() {
				if err := ReadRequest(frame[header:], q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	key, value := []byte("key/0000001234"), make([]byte, 256)
	buf, body := make([]byte, 0, 1024), make([]byte, 0, 1024)
	var q Request
	b.ReportAllocs()
	for b.Loop() {
		body = kv.AppendPut(body[:0], &kv.Put{Key: key, Value: value})
		buf = AppendRequest(buf[:0], 1234, OpPut, time.Second, body)
		n, header := binary.Uvarint(buf)
		if err := ReadRequest(buf[header:header+int(n)], &q); err != nil {
			b.Fatal(err)
		}
		buf = AppendWritten(buf[:0], q.ID, 12345, 0)
	}
}
