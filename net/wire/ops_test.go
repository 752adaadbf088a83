package wire

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"qkv/index/kv"
)

// Each op is declared as a whole, under a name of its own, and drawn in doc.go, or in ops.go if its body is an Ask.
func TestOps(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("ops.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]Op{}
	for number := range ops {
		o := &ops[number]
		if o.path == 0 {
			if o.name != "" || Op(number).Access() != kv.AccessAdmin {
				t.Errorf("op %d is declared without a path: %+v", number, o)
			}
			continue
		}
		if other, taken := names[o.name]; taken || o.name == "" {
			t.Errorf("op %d has the name %q of op %d", number, o.name, other)
		}
		names[o.name] = Op(number)
		if (o.read != nil) != (o.fields > 0 && o.path != pathWatch) {
			t.Errorf("%s has %d fields, and a function that reads them: %v", o.name, o.fields, o.read != nil)
		}
		if o.once && o.path != PathLog {
			t.Errorf("%s is idempotent, and is no entry of the log", o.name)
		}
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^//\t%d [a-z]+ `, number)).Match(text) && !regexp.MustCompile(fmt.Sprintf(`(?m) Op = %d +// \w`, number)).Match(table) {
			t.Errorf("doc.go draws no body of op %d, %s, and ops.go names no fields of its Ask", number, o.name)
		}
	}
}

// What each op permits is decided on purpose: an op is in this list too.
func TestAccess(t *testing.T) {
	got := map[kv.Access][]string{}
	for number := range ops {
		if declared(uint64(number)) {
			got[Op(number).Access()] = append(got[Op(number).Access()], Op(number).String())
		}
	}
	want := map[kv.Access][]string{
		kv.AccessWrite: {"put", "delete", "transaction", "revocation of a lease", "keep-alive"},
		kv.AccessRead:  {"range", "streamed range", "watch", "time to live", "question for the authors of changes"},
		kv.AccessAdmin: {
			"readmit", "change of the members", "move of the leader", "compaction", "change of users",
			"question for the backup",
		},
		kv.AccessSelf: {"list of users", "list of roles", "question for a permission"},
		kv.AccessNone: {
			"list of members", "question for the revision of a time", "question for the times of revisions", "grant of a lease", "list of leases",
		},
		kv.AccessAnyone: {
			"status", "cancellation of a watch", "question for the progress of watches", "status of authentication", "question for the own user",
			"login",
		},
	}
	for number := range ops {
		o := &ops[number]
		if needs := o.access == kv.AccessRead || o.access == kv.AccessWrite; o.path != 0 && (o.touches != nil) != (needs && o.path != pathWatch) {
			t.Errorf("%s has the access %s, and a list of the keys that it touches: %v", o.name, o.access, o.touches != nil)
		}
	}
	for _, access := range slices.Sorted(maps.Keys(got)) {
		if slices.Sort(want[access]); !slices.Equal(slices.Sorted(slices.Values(got[access])), want[access]) {
			t.Errorf("%s is the access of %s", access, strings.Join(got[access], ", "))
		}
	}
}

// A request takes the path of its op, except for transactions without writes and serializable reads.
func TestPath(t *testing.T) {
	read := func(serializable bool) *kv.Txn {
		return &kv.Txn{Success: []kv.Op{{Range: &kv.Range{Key: []byte("k"), Serializable: serializable}}}}
	}
	for _, x := range []struct {
		request Request
		want    Path
	}{
		{Request{Op: OpPut}, PathLog},
		{Request{Op: OpRange}, PathRead},
		{Request{Op: OpRange, Range: kv.Range{Serializable: true}}, PathLocal},
		{Request{Op: OpPages, Range: kv.Range{Serializable: true}}, PathLocal},
		{Request{Op: OpTxn, Txn: &kv.Txn{Success: []kv.Op{{Put: &kv.Put{Key: []byte("k")}}}}}, PathLog},
		{Request{Op: OpTxn, Txn: read(false)}, PathRead},
		{Request{Op: OpTxn, Txn: read(true)}, PathLocal},
		{Request{Op: OpTxn, Txn: &kv.Txn{}}, PathRead},
		{Request{Op: OpMembers}, PathRead},
		{Request{Op: OpMembers, Ask: &Ask{Serializable: true}}, PathLocal},
		{Request{Op: OpLeases}, PathLocal},
		{Request{Op: OpKeepAlive}, PathClock},
		{Request{Op: OpMoveLeader}, PathLeader},
		{Request{Op: OpStatus}, PathMember},
		{Request{Op: OpReadmit}, PathMember},
		{Request{Op: OpWatch}, pathWatch},
		{Request{Op: OpBackUpNow}, PathBackup},
	} {
		if got := x.request.Path(); got != x.want {
			t.Errorf("%s takes path %d, want %d", x.request.Op, got, x.want)
		}
	}
}

// An op that declares no accesses touches every key.
func TestTouches(t *testing.T) {
	touched := func(q *Request) string {
		var all []string
		q.Touches(func(touch kv.Touch) bool {
			all = append(all, fmt.Sprintf("%q %q %d %v", touch.Key, touch.End, touch.Lease, touch.Write))
			return true
		})
		return strings.Join(all, ", ")
	}
	key := []byte("k")
	for _, x := range []struct {
		request Request
		want    string
	}{
		{Request{Op: OpPut, Put: kv.Put{Key: key, PrevKV: true, Lease: 7}}, `"k" "" 0 true, "k" "" 0 false, "" "" 7 true`},
		{Request{Op: OpDelete, Delete: kv.Delete{Key: key, End: []byte("l")}}, `"k" "l" 0 true`},
		{Request{Op: OpRange, Range: kv.Range{Key: key}}, `"k" "" 0 false`},
		{Request{Op: OpPages, Range: kv.Range{Key: key, End: []byte{0}}}, `"k" "\x00" 0 false`},
		{Request{Op: OpTxn, Txn: exampleTxn}, `"k" "" 0 false, "k" "" 0 true, "k" "" 0 false, "a" "\x00" 0 true, "a" "\x00" 0 false, "k" "" 0 false`},
		{Request{Op: OpRevoke, Lease: LeaseRequest{ID: 7}}, `"" "" 7 true`},
		{Request{Op: OpKeepAlive, Lease: LeaseRequest{ID: 7}}, `"" "" 7 true`},
		{Request{Op: OpTimeToLive, Ask: &Ask{Lease: LeaseRequest{ID: 7}}}, ``},
		{Request{Op: OpTimeToLive, Ask: &Ask{Lease: LeaseRequest{ID: 7, Keys: true}}}, `"" "" 7 false`},
		{Request{Op: OpAuthorsOf, Ask: &Ask{Changes: []kv.Change{{Key: key}, {Key: []byte("m")}}}}, `"k" "" 0 false, "m" "" 0 false`},
		{Request{Op: OpCompact}, `"\x00" "\x00" 0 true`},
	} {
		if got := touched(&x.request); got != x.want {
			t.Errorf("%s touches %s, want %s", x.request.Op, got, x.want)
		}
		if seen := 0; x.want != "" && (x.request.Touches(func(kv.Touch) bool { seen++; return false }) || seen != 1) {
			t.Errorf("%s lists %d accesses after the first was refused", x.request.Op, seen-1)
		}
	}
}
