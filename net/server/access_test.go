package server_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/server"
	"qkv/net/wire"
)

// withUsers enables authentication: root and the client test are administrators, ci may read and write below app1/, reader may only read
// there, and lonely is a user without roles.
func (e *endpoint) withUsers() {
	e.member.ChangeAuth(
		kv.AuthChange{Kind: kv.UserAdd, User: kv.Root}, kv.AuthChange{Kind: kv.UserGrantRole, User: kv.Root, Role: kv.Root},
		kv.AuthChange{Kind: kv.UserAdd, User: "test"}, kv.AuthChange{Kind: kv.UserGrantRole, User: "test", Role: kv.Root},
		kv.AuthChange{Kind: kv.RoleAdd, Role: "app1"}, grant("app1", "app1/", "app10", kv.PermitReadWrite),
		kv.AuthChange{Kind: kv.RoleAdd, Role: "reads"}, grant("reads", "app1/", "app10", kv.PermitRead),
		kv.AuthChange{Kind: kv.UserAdd, User: "ci"}, kv.AuthChange{Kind: kv.UserGrantRole, User: "ci", Role: "app1"},
		kv.AuthChange{Kind: kv.UserAdd, User: "reader"}, kv.AuthChange{Kind: kv.UserGrantRole, User: "reader", Role: "reads"},
		kv.AuthChange{Kind: kv.UserAdd, User: "lonely"},
		kv.AuthChange{Kind: kv.AuthEnable},
	)
}

func grant(role, key, end string, t kv.PermissionType) kv.AuthChange {
	return kv.AuthChange{Kind: kv.RoleGrantPermission, Role: role, Permission: kv.Permission{Key: []byte(key), End: []byte(end), Type: t}}
}

// as returns a stream of the client with this name; an empty name is a member's certificate.
func (e *endpoint) as(t testing.TB, name string) *raw {
	t.Helper()
	other := *e
	if other.trust.Client = e.trust.Member; name != "" && name != "test" {
		m := wire.Maker{Now: time.Now, Rand: rand.Reader}
		if _, err := m.CreateClient(e.trust.Dir, name); err != nil && !strings.Contains(err.Error(), "exist") {
			t.Fatal(err)
		}
	}
	if name != "" {
		credentials, err := wire.LoadClient(e.trust.Dir, name, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		other.trust.Client = credentials
	}
	return other.raw(t)
}

// do sends a request, and returns the answer.
func (r *raw) do(op wire.Op, body []byte) wire.Response {
	r.t.Helper()
	id := uint64(mrand.Uint32())
	r.send(wire.AppendRequest(nil, id, op, wait, body))
	p, err := r.next()
	if err != nil || p.ID != id {
		r.t.Fatalf("%s: answer %d, %v", op, p.ID, err)
	}
	return p
}

// refused fails unless a request is answered with an error; the message contains the text.
func (r *raw) refused(code kv.Code, text string, op wire.Op, body []byte) {
	r.t.Helper()
	p := r.do(op, body)
	if failed := p.Failed(); failed == nil || p.Code != code || !strings.Contains(failed.Message, text) {
		r.t.Errorf("%s: %v %v, wanted %v %q", op, p.Code, failed, code, text)
	}
}

func (r *raw) allowed(op wire.Op, body []byte) *wire.Response {
	r.t.Helper()
	p := r.do(op, body)
	if failed := p.Failed(); failed != nil {
		r.t.Errorf("%s: %v", op, failed)
	}
	return &p
}

const leaseOfTest = 77

// bodies are a request of each op, and of some ops several, for the keys below a prefix.
func bodies(prefix string) map[string]struct {
	op   wire.Op
	body []byte
} {
	key, end := []byte(prefix+"k"), []byte(prefix+"z")
	usage := (&kv.Usage{Prefix: []byte(prefix)}).Range()
	type request = struct {
		op   wire.Op
		body []byte
	}
	txn := func(t *kv.Txn) request { return request{wire.OpTxn, kv.AppendTxn(nil, t)} }
	own := &kv.Put{Key: []byte(prefix + "own"), Value: []byte("v")}
	return map[string]request{
		"put":              {wire.OpPut, kv.AppendPut(nil, own)},
		"put with lease":   {wire.OpPut, kv.AppendPut(nil, &kv.Put{Key: own.Key, Lease: leaseOfTest})},
		"put and read":     {wire.OpPut, kv.AppendPut(nil, &kv.Put{Key: own.Key, PrevKV: true})},
		"delete":           {wire.OpDelete, kv.AppendDelete(nil, &kv.Delete{Key: own.Key})},
		"delete range":     {wire.OpDelete, kv.AppendDelete(nil, &kv.Delete{Key: []byte(prefix + "x"), End: end, PrevKV: true})},
		"get":              {wire.OpRange, kv.AppendRange(nil, &kv.Range{Key: key})},
		"local get":        {wire.OpRange, kv.AppendRange(nil, &kv.Range{Key: key, Serializable: true})},
		"get of the past":  {wire.OpRange, kv.AppendRange(nil, &kv.Range{Key: key, Revision: 2})},
		"count":            {wire.OpRange, kv.AppendRange(nil, &kv.Range{Key: key, End: end, CountOnly: true})},
		"range":            {wire.OpRange, kv.AppendRange(nil, &kv.Range{Key: key, End: end})},
		"local range":      {wire.OpRange, kv.AppendRange(nil, &kv.Range{Key: key, End: end, Serializable: true})},
		"sorted range":     {wire.OpRange, kv.AppendRange(nil, &kv.Range{Key: key, End: end, Sort: kv.SortByMod, Order: kv.SortDescend})},
		"pages":            {wire.OpPages, wire.AppendPagesBody(nil, &kv.Range{Key: key, End: end})},
		"usage":            {wire.OpPages, wire.AppendPagesBody(nil, &usage)},
		"sorted pages":     {wire.OpPages, wire.AppendPagesBody(nil, &kv.Range{Key: key, End: end, Sort: kv.SortByMod})},
		"txn that writes":  txn(&kv.Txn{Success: []kv.Op{{Put: own}}}),
		"txn that reads":   txn(&kv.Txn{Success: []kv.Op{{Range: &kv.Range{Key: key}}}}),
		"local txn":        txn(&kv.Txn{Success: []kv.Op{{Range: &kv.Range{Key: key, Serializable: true}}}}),
		"txn that looks":   txn(&kv.Txn{Compares: []kv.Compare{{Key: key, Target: kv.CompareVersion}}}),
		"txn in a txn":     txn(&kv.Txn{Failure: []kv.Op{{Txn: &kv.Txn{Failure: []kv.Op{{Put: own}}}}}}),
		"txn of ranges":    txn(&kv.Txn{Success: []kv.Op{{Put: own}, {Range: &kv.Range{Key: key, End: end}}}}),
		"revoke":           {wire.OpRevoke, wire.AppendLeaseBody(nil, wire.OpRevoke, &wire.LeaseRequest{ID: 78})},
		"keep alive":       {wire.OpKeepAlive, wire.AppendLeaseBody(nil, wire.OpKeepAlive, &wire.LeaseRequest{ID: leaseOfTest})},
		"keys of a lease":  {wire.OpTimeToLive, ask(wire.Ask{Lease: wire.LeaseRequest{ID: leaseOfTest, Keys: true}})},
		"leases":           {wire.OpLeases, ask(wire.Ask{})},
		"authors":          {wire.OpAuthorsOf, ask(wire.Ask{Changes: []kv.Change{{Key: key, Revision: 2}}})},
		"local authors":    {wire.OpAuthorsOf, ask(wire.Ask{Changes: []kv.Change{{Key: key, Revision: 2}}, Serializable: true})},
		"time to live":     {wire.OpTimeToLive, ask(wire.Ask{Lease: wire.LeaseRequest{ID: leaseOfTest}})},
		"grant":            {wire.OpGrant, wire.AppendLeaseBody(nil, wire.OpGrant, &wire.LeaseRequest{TTL: 60})},
		"members":          {wire.OpMembers, ask(wire.Ask{})},
		"local members":    {wire.OpMembers, ask(wire.Ask{Serializable: true})},
		"revision at":      {wire.OpRevisionAt, ask(wire.Ask{Wall: 1})},
		"times":            {wire.OpTimesOf, ask(wire.Ask{Revisions: []int64{2}})},
		"users":            {wire.OpUsers, ask(wire.Ask{})},
		"own user":         {wire.OpUsers, ask(wire.Ask{Name: "ci", Serializable: true})},
		"roles":            {wire.OpRoles, ask(wire.Ask{})},
		"own role":         {wire.OpRoles, ask(wire.Ask{Name: "app1", Serializable: true})},
		"check of another": {wire.OpAuthCheck, ask(wire.Ask{Name: "reader", Permission: kv.Permission{Key: key}})},
		"check":            {wire.OpAuthCheck, ask(wire.Ask{Name: "ci", Permission: kv.Permission{Key: key}})},
		"readmit":          {wire.OpReadmit, ask(wire.Ask{Member: 1})},
		"move leader":      {wire.OpMoveLeader, ask(wire.Ask{Member: 1})},
		"compact":          {wire.OpCompact, ask(wire.Ask{Revision: 1})},
		"change members":   {wire.OpChangeMember, ask(wire.Ask{Change: kv.MemberChange{Kind: kv.UpdateMember, ID: 1, Peers: []string{"h:1"}}})},
		"change users":     {wire.OpAuthChange, ask(wire.Ask{Auth: kv.AuthChange{Kind: kv.RoleAdd, Role: fmt.Sprint(prefix, mrand.Uint64())}})},
		"add with word":    {wire.OpAuthChange, ask(wire.Ask{Auth: kv.AuthChange{Kind: kv.UserAdd, User: fmt.Sprint(prefix, mrand.Uint64())}, Password: []byte("secret")})},
		"backup now":       {wire.OpBackUpNow, ask(wire.Ask{})},
		"status":           {wire.OpStatus, nil},
		"auth status":      {wire.OpAuthStatus, ask(wire.Ask{})},
		"who am I":         {wire.OpWhoAmI, ask(wire.Ask{})},
		"login":            {wire.OpLogin, ask(wire.Ask{Name: "nobody", Password: []byte("wrong")})},
	}
}

// withKeys puts a key below each of two prefixes, and attaches it to a lease of its own; the lease of the tests has keys of app1.
func (e *endpoint) withKeys(t *testing.T) {
	t.Helper()
	r := e.as(t, "test")
	for lease := int64(leaseOfTest); lease <= leaseOfTest+1; lease++ {
		r.allowed(wire.OpGrant, wire.AppendLeaseBody(nil, wire.OpGrant, &wire.LeaseRequest{ID: lease, TTL: 600}))
	}
	r.allowed(wire.OpPut, kv.AppendPut(nil, &kv.Put{Key: []byte("app1/k"), Lease: leaseOfTest}))
	r.allowed(wire.OpPut, kv.AppendPut(nil, &kv.Put{Key: []byte("app2/k")}))
}

// With authentication on, every op of the table is refused without a user, and to a certificate whose name is no user, except the ops that
// need none.
func TestEveryOpNeedsAUser(t *testing.T) {
	e := newEndpoint(t, nil)
	e.withKeys(t)
	e.withUsers()
	all := bodies("app1/")
	tried := map[wire.Op]bool{wire.OpWatch: true, wire.OpCancelWatch: true, wire.OpWatchProgress: true} // below, and no watch without a watch
	member, stranger := e.as(t, ""), e.as(t, "stranger")
	proposals := e.member.Proposals.Load()
	for name, x := range all {
		tried[x.op] = true
		wantMember, wantStranger := kv.UserEmpty, kv.NotAllowed
		if x.op.Access() == kv.AccessAnyone {
			wantMember = kv.OK
			if x.op == wire.OpLogin {
				wantMember = kv.AuthFailed
			}
			wantStranger = wantMember
		}
		if got := member.do(x.op, x.body).Code; got != wantMember {
			t.Errorf("%s, without a user: %v, want %v", name, got, wantMember)
		}
		if got := stranger.do(x.op, x.body).Code; got != wantStranger {
			t.Errorf("%s, of a stranger: %v, want %v", name, got, wantStranger)
		}
	}
	for number := range 256 {
		if op := wire.Op(number); !strings.HasPrefix(op.String(), "op ") && !tried[op] {
			t.Errorf("the test has no request of op %d, %s", number, op)
		}
	}
	if keys := e.member.View().Keys(); keys != 2 {
		t.Errorf("%d keys: a refused request has changed something", keys)
	}
	if n := e.member.Proposals.Load() - proposals; n == 0 {
		t.Error("no write was refused where it is applied")
	}
	for name, code := range map[string]kv.Code{"": kv.UserEmpty, "stranger": kv.NotAllowed} {
		r := e.as(t, name)
		r.send(watchOf(1, "app1/k"))
		if f := r.delivered(kv.WatchCanceled); f.Err == nil || f.Err.Code != code {
			t.Errorf("a watch of %q: %+v", name, f)
		}
	}
}

// What a user may do follows from its roles, for each op.
func TestRolesDecide(t *testing.T) {
	e := newEndpoint(t, nil)
	e.withKeys(t)
	e.withUsers()
	ci, reader, lonely, root := e.as(t, "ci"), e.as(t, "reader"), e.as(t, "lonely"), e.as(t, "test")
	// Requests that are not about keys: for root only, or, with a second user, for that user as well, or for every user.
	rootOnly := []string{"users", "clients", "roles", "readmit", "move leader", "compact", "change members", "change users", "add with word", "backup now"}
	everyUser := []string{"time to live", "grant", "members", "local members", "leases", "revision at", "times", "status", "auth status", "who am I"}
	ofCI := []string{"own user", "own role", "check"}
	writes := []string{"put", "put with lease", "put and read", "delete", "delete range", "txn that writes", "txn in a txn", "txn of ranges", "keep alive"}
	for name, x := range bodies("app1/") {
		may := map[*raw]bool{root: true}
		switch {
		case name == "login":
			continue
		case slices.Contains(everyUser, name):
			may[ci], may[reader], may[lonely] = true, true, true
		case slices.Contains(ofCI, name):
			may[ci] = true
		case slices.Contains(rootOnly, name):
		case slices.Contains(writes, name):
			may[ci] = true
		case name == "check of another": // the reader
			may[reader] = true
		case name == "revoke": // a lease without keys, which only its granter and root may end
		default:
			may[ci], may[reader] = true, true
		}
		for i, r := range []*raw{ci, reader, lonely, root} { // root is last: what it removes could not be refused to others
			p := r.do(x.op, x.body)
			if denied := p.Code == kv.NotAllowed; denied == may[r] {
				t.Errorf("%s of %s: %v", name, []string{"ci", "reader", "lonely", "test"}[i], p.Failed())
			}
		}
	}
	for name, x := range bodies("app2/") { // where only root may do anything
		if slices.Contains(rootOnly, name) || name == "check of another" || slices.Contains(everyUser, name) || slices.Contains(ofCI, name) || name == "login" || name == "revoke" || strings.Contains(name, "lease") || name == "keep alive" {
			continue
		}
		for _, r := range []*raw{ci, reader, lonely} {
			r.refused(kv.NotAllowed, "permission denied", x.op, x.body)
		}
		root.allowed(x.op, x.body)
	}
	e.idle(t)
}

// A lease whose keys a user may not touch is not renewed for it, not shown to it, and not taken over by its puts.
// Neither is a lease without keys that another user has granted. A list has the user's own leases, and leases with a
// key that the user may read.
func TestLeasesOfOthers(t *testing.T) {
	e := newEndpoint(t, nil)
	e.withKeys(t)
	e.withUsers()
	ci, root := e.as(t, "ci"), e.as(t, "test")
	other := func(op wire.Op, keys bool) []byte {
		return leaseBody(op, wire.LeaseRequest{ID: leaseOfTest + 1, Keys: keys})
	}
	listed := func(r *raw, from int64, want ...int64) {
		t.Helper()
		page, err := wire.ReadAnswer[wire.List[int64]](r.allowed(wire.OpLeases, ask(wire.Ask{Lease: wire.LeaseRequest{ID: from}})))
		if err != nil || page.More || !slices.Equal(page.All, want) {
			t.Errorf("the leases from %d on: %d, more %v, %v; want %d", from, page.All, page.More, err, want)
		}
	}
	listed(ci, 0, leaseOfTest)
	listed(ci, leaseOfTest+1)
	listed(root, 0, leaseOfTest, leaseOfTest+1)
	ci.refused(kv.NotAllowed, "a lease without keys", wire.OpPut, kv.AppendPut(nil, &kv.Put{Key: []byte("app1/first"), Lease: leaseOfTest + 1}))
	ci.refused(kv.NotAllowed, "a lease without keys", wire.OpTxn, kv.AppendTxn(nil, &kv.Txn{Success: []kv.Op{{Put: &kv.Put{Key: []byte("app1/first"), Lease: leaseOfTest + 1}}}}))
	ci.refused(kv.NotAllowed, "a lease without keys", wire.OpKeepAlive, other(wire.OpKeepAlive, false))
	ci.refused(kv.NotAllowed, "a lease without keys", wire.OpRevoke, other(wire.OpRevoke, false))
	ci.allowed(wire.OpGrant, leaseBody(wire.OpGrant, wire.LeaseRequest{ID: leaseOfTest + 2, TTL: 60}))
	ci.allowed(wire.OpKeepAlive, leaseBody(wire.OpKeepAlive, wire.LeaseRequest{ID: leaseOfTest + 2}))
	listed(ci, 0, leaseOfTest, leaseOfTest+2)
	ci.allowed(wire.OpPut, kv.AppendPut(nil, &kv.Put{Key: []byte("app1/first"), Lease: leaseOfTest + 2}))
	root.allowed(wire.OpPut, kv.AppendPut(nil, &kv.Put{Key: []byte("app2/k"), Lease: leaseOfTest + 1}))
	ci.refused(kv.NotAllowed, "the lease", wire.OpKeepAlive, other(wire.OpKeepAlive, false))
	ci.refused(kv.NotAllowed, "the lease", wire.OpRevoke, other(wire.OpRevoke, false))
	ci.refused(kv.NotAllowed, "the lease", wire.OpTimeToLive, other(wire.OpTimeToLive, true))
	ci.refused(kv.NotAllowed, "the lease", wire.OpPut, kv.AppendPut(nil, &kv.Put{Key: []byte("app1/k"), Lease: leaseOfTest + 1}))
	listed(ci, 0, leaseOfTest, leaseOfTest+2)
	listed(e.as(t, "lonely"), 0)
	ci.allowed(wire.OpTimeToLive, other(wire.OpTimeToLive, false))

	reader := e.as(t, "reader") // of app1, whose key has the lease of the tests
	own := func(op wire.Op) []byte {
		return leaseBody(op, wire.LeaseRequest{ID: leaseOfTest, Keys: op == wire.OpTimeToLive})
	}
	reader.allowed(wire.OpTimeToLive, own(wire.OpTimeToLive))
	reader.refused(kv.NotAllowed, "the lease", wire.OpKeepAlive, own(wire.OpKeepAlive))
	reader.refused(kv.NotAllowed, "the lease", wire.OpRevoke, own(wire.OpRevoke))
	ci.allowed(wire.OpKeepAlive, own(wire.OpKeepAlive))
	ci.allowed(wire.OpRevoke, own(wire.OpRevoke))
}

// A page of leases is full of leases that the user may see, also behind any number of hidden ones, and says whether
// there are more.
func TestPageOfLeases(t *testing.T) {
	e := newEndpoint(t, nil)
	e.withUsers()
	ci, root := e.as(t, "ci"), e.as(t, "test")
	grant := func(r *raw, id int64) {
		r.allowed(wire.OpGrant, wire.AppendLeaseBody(nil, wire.OpGrant, &wire.LeaseRequest{ID: id, TTL: 60}))
	}
	list := func(from, first, last int64, more bool) {
		t.Helper()
		page, err := wire.ReadAnswer[wire.List[int64]](ci.allowed(wire.OpLeases, ask(wire.Ask{Lease: wire.LeaseRequest{ID: from}})))
		if n := int64(len(page.All)); err != nil || page.More != more || n != last-first+1 || n > 0 && (page.All[0] != first || page.All[n-1] != last) {
			t.Fatalf("from %d on: %d leases, more %v, %v; want %d to %d, more %v", from, n, page.More, err, first, last, more)
		}
	}
	const hidden = limits.LeaseKeys + 1
	for id := range int64(hidden) {
		grant(root, 1+id)
	}
	before := e.server.Stats().RangeRows
	list(0, 1, 0, false)
	if steps := (e.server.Stats().RangeRows - before) / limits.RangeRows; steps < 2 {
		t.Errorf("%d leases of others were looked at in %d steps", hidden, steps)
	}
	for id := range int64(limits.LeaseKeys) {
		grant(ci, hidden+1+id)
	}
	const last = hidden + limits.LeaseKeys
	list(0, hidden+1, last, false)
	grant(root, last+1)
	list(0, hidden+1, last, false)
	grant(ci, last+2)
	list(0, hidden+1, last, true)
	list(last+1, last+2, last+2, false)
}

// The keys of a lease are listed by the roles at the time of the answer, and not by those from before the leader's clock was asked.
func TestRolesChangeUnderLease(t *testing.T) {
	e := newEndpoint(t, nil)
	e.withKeys(t)
	e.withUsers()
	ci := e.as(t, "ci")
	own := ask(wire.Ask{Lease: wire.LeaseRequest{ID: leaseOfTest, Keys: true}})
	ci.allowed(wire.OpTimeToLive, own)
	e.member.SetBefore(func(_, reads int) *kv.Error {
		if reads > 0 {
			e.member.SetBefore(nil)
			e.member.ChangeAuth(kv.AuthChange{Kind: kv.UserRevokeRole, User: "ci", Role: "app1"})
		}
		return nil
	})
	ci.refused(kv.NotAllowed, "the lease", wire.OpTimeToLive, own)
}

// A refusal does not tell how many keys there are, and is given before anything is counted.
func TestRefusalTellsNoCount(t *testing.T) {
	e := newEndpoint(t, nil)
	e.withUsers()
	root := e.as(t, "test")
	big := &kv.Txn{}
	for i := range limits.TxnOperations {
		big.Success = append(big.Success, kv.Op{Put: &kv.Put{Key: fmt.Appendf(nil, "app2/%d", i)}})
	}
	for n := 0; n <= limits.LongWriteRows; n += limits.TxnOperations {
		for i := range big.Success {
			big.Success[i].Put.Key = fmt.Appendf(nil, "app2/%d", n+i)
		}
		root.allowed(wire.OpTxn, kv.AppendTxn(nil, big))
	}
	ci := e.as(t, "ci")
	proposals := e.member.Proposals.Load()
	all := &kv.Delete{Key: []byte("app2/"), End: []byte("app20")}
	for range 3 { // of which one alone would be under way
		ci.refused(kv.NotAllowed, "app2/", wire.OpDelete, kv.AppendDelete(nil, all))
		ci.refused(kv.NotAllowed, "app2/", wire.OpTxn, kv.AppendTxn(nil, &kv.Txn{Success: []kv.Op{{Delete: all}, {Range: &kv.Range{Key: []byte("app2/"), End: []byte("b")}}}}))
	}
	if n := e.member.Proposals.Load() - proposals; n != 0 {
		t.Errorf("%d proposals of refused ranges", n)
	}
	root.allowed(wire.OpDelete, kv.AppendDelete(nil, all))
}

// A write whose user was judged by older users and roles is refused, and may be sent again. It certainly did not happen.
func TestWriteOfAnOldAuthRevision(t *testing.T) {
	e := newEndpoint(t, nil)
	e.withUsers()
	ci := e.as(t, "ci")
	var once atomic.Bool
	e.member.SetBefore(func(writes, _ int) *kv.Error {
		if writes > 0 && once.CompareAndSwap(false, true) {
			e.member.ChangeAuth(kv.AuthChange{Kind: kv.RoleAdd, Role: "meanwhile"})
		}
		return nil
	})
	put := kv.AppendPut(nil, &kv.Put{Key: []byte("app1/k")})
	p := ci.do(wire.OpPut, put)
	if failed := p.Failed(); p.Code != kv.AuthOld || !failed.Retryable() || !failed.Certain() || e.member.View().Keys() != 0 {
		t.Errorf("%v: %v", p.Code, failed)
	}
	ci.allowed(wire.OpPut, put)
}

// The roles at the time of a read count, not those of the revision that it reads; a read in steps ends when they change.
func TestRolesChangeUnderRead(t *testing.T) {
	testlong.Skip(t)
	e := newEndpoint(t, nil)
	e.withUsers()
	root := e.as(t, "test")
	value := bytes.Repeat([]byte("v"), 100<<10)
	const keys = 4 * limits.ClientStreamWindow / (100 << 10) // more than the client takes unread
	for i := range keys {
		root.allowed(wire.OpPut, kv.AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "app1/%03d", i), Value: value}))
	}
	reader := e.as(t, "reader")
	q := kv.Range{Key: []byte("app1/"), End: []byte("app10")}
	reader.send(wire.AppendRequest(nil, 1, wire.OpPages, wait, wire.AppendPagesBody(nil, &q)))
	reader.want(1, kv.OK)
	e.member.ChangeAuth(kv.AuthChange{Kind: kv.UserRevokeRole, User: "reader", Role: "reads"})
	for pages := 1; ; pages++ {
		p, err := reader.next()
		if err != nil {
			t.Fatal(pages, err)
		}
		if p.Code == kv.NotAllowed {
			break
		}
		var page kv.RangeResult
		if err := p.Range(&page); err != nil || !page.More {
			t.Fatalf("page %d, the last: %v, %v", pages, p.Code, err)
		}
	}
	reader.refused(kv.NotAllowed, "may not read", wire.OpRange, kv.AppendRange(nil, &kv.Range{Key: []byte("app1/001"), Revision: 5}))
	e.member.ChangeAuth(kv.AuthChange{Kind: kv.UserGrantRole, User: "reader", Role: "reads"})
	reader.allowed(wire.OpRange, kv.AppendRange(nil, &kv.Range{Key: []byte("app1/001"), Revision: 5}))
	e.idle(t)
}

// A watch ends when its user loses the permission to read; other watches of the stream go on.
func TestRolesChangeUnderWatch(t *testing.T) {
	e := newEndpoint(t, nil)
	e.withUsers()
	e.member.ChangeAuth(kv.AuthChange{Kind: kv.RoleAdd, Role: "more"}, grant("more", "more/", "more0", kv.PermitRead), kv.AuthChange{Kind: kv.UserGrantRole, User: "reader", Role: "more"})
	reader, root := e.as(t, "reader"), e.as(t, "test")
	reader.send(append(watchOf(1, "app1/k"), watchOf(2, "more/k")...))
	reader.delivered(kv.WatchCreated)
	reader.delivered(kv.WatchCreated)
	reader.send(watchOf(3, "app2/k"))
	if f := reader.delivered(kv.WatchCanceled); f.Err == nil || f.Err.Code != kv.NotAllowed || f.IDs[0] != 3 {
		t.Fatalf("%+v", f)
	}
	e.member.ChangeAuth(kv.AuthChange{Kind: kv.UserRevokeRole, User: "reader", Role: "reads"})
	if f := reader.delivered(kv.WatchCanceled); f.Err == nil || f.Err.Code != kv.NotAllowed || f.IDs[0] != 1 {
		t.Fatalf("%+v", f)
	}
	for _, key := range []string{"app1/k", "more/k"} {
		root.allowed(wire.OpPut, kv.AppendPut(nil, &kv.Put{Key: []byte(key)}))
	}
	if f := reader.delivered(kv.WatchEvents); string(f.Events[0].KV.Key) != "more/k" {
		t.Errorf("%+v", f)
	}
}

// Users and roles come in pages of bounded size, and each page says whether another one follows.
func TestUsersAndRolesInPages(t *testing.T) {
	testlong.Skip(t)
	e := newEndpoint(t, nil)
	e.withUsers()
	const users = 3000
	long := strings.Repeat("n", limits.AuthNameBytes-4)
	for i := range users {
		e.member.ChangeAuth(kv.AuthChange{Kind: kv.UserAdd, User: fmt.Sprintf("%s%04d", long, i), Password: []byte("hash")})
	}
	const permissions = 100
	for i := range permissions {
		key := append(bytes.Repeat([]byte("k"), limits.KeyBytes-4), fmt.Sprintf("%04d", i)...)
		e.member.ChangeAuth(kv.AuthChange{Kind: kv.RoleGrantPermission, Role: "app1", Permission: kv.Permission{Key: key, Type: kv.PermitWrite}})
	}
	root := e.as(t, "test")
	var names []string
	pages := 0
	for from, more := "", true; more; pages++ {
		answer, err := wire.ReadAnswer[wire.List[kv.User]](root.allowed(wire.OpUsers, ask(wire.Ask{From: from})))
		page := answer.All
		if err != nil || len(page) == 0 {
			t.Fatal(err, len(page))
		}
		for _, u := range page {
			if u.HasPassword != strings.HasPrefix(u.Name, "nnn") {
				t.Fatalf("%+v", u)
			}
			names = append(names, u.Name)
		}
		more, from = answer.More, page[len(page)-1].Name+"\x00"
	}
	if len(names) != users+5 || !slices.IsSorted(names) || pages < 2 {
		t.Errorf("%d users in %d pages", len(names), pages)
	}
	got, pages := map[string][]kv.Permission{}, 0
	for from, skip, more := "", int64(0), true; more; pages++ {
		answer, err := wire.ReadAnswer[wire.List[kv.UserRole]](root.allowed(wire.OpRoles, ask(wire.Ask{From: from, Skip: skip})))
		page := answer.All
		if err != nil || len(page) == 0 || pages > 10 {
			t.Fatal(err, len(page), pages)
		}
		for _, r := range page {
			for _, p := range r.Permissions {
				got[r.Name] = append(got[r.Name], kv.Permission{Key: bytes.Clone(p.Key), Type: p.Type})
			}
			from = r.Name
		}
		more, skip = answer.More, int64(len(got[from]))
	}
	if len(got["app1"]) != permissions+1 || len(got["reads"]) != 1 || pages < 2 {
		t.Errorf("%d and %d permissions in %d pages", len(got["app1"]), len(got["reads"]), pages)
	}
	root.refused(kv.UserNotFound, `no user "ghost"`, wire.OpUsers, ask(wire.Ask{Name: "ghost"}))
	root.refused(kv.RoleNotFound, `no role "ghost"`, wire.OpRoles, ask(wire.Ask{Name: "ghost"}))
	if answer, err := wire.ReadAnswer[wire.List[kv.UserRole]](root.allowed(wire.OpRoles, ask(wire.Ask{Name: kv.Root, Skip: -9}))); err != nil || len(answer.All[0].Permissions) != 1 {
		t.Error(answer, err)
	}
	e.idle(t)
}

// A member says who the client is, also while authentication is off, and changes are recorded with their author.
func TestWhoAmI(t *testing.T) {
	e := newEndpoint(t, nil)
	who := func(r *raw) kv.Self {
		t.Helper()
		self, err := wire.ReadAnswer[kv.Self](r.allowed(wire.OpWhoAmI, ask(wire.Ask{Serializable: true})))
		if err != nil {
			t.Fatal(err)
		}
		return self
	}
	ci, member := e.as(t, "ci"), e.as(t, "")
	if self := who(ci); self.Name != "ci" || self.Proof != kv.ProofCertificate || self.Known || self.Enabled || self.Revision != 1 {
		t.Errorf("%+v", self)
	}
	key := []byte("app1/k")
	ci.allowed(wire.OpPut, kv.AppendPut(nil, &kv.Put{Key: key}))
	member.allowed(wire.OpPut, kv.AppendPut(nil, &kv.Put{Key: key}))
	e.withUsers()
	if self := who(ci); !self.Known || self.Root || !slices.Equal(self.Roles, []string{"app1"}) || !self.Enabled {
		t.Errorf("%+v", self)
	}
	if self := who(e.as(t, "test")); !self.Root || self.Name != "test" {
		t.Errorf("%+v", self)
	}
	if self := who(member); self.Name != "" || self.Proof != kv.ProofNone {
		t.Errorf("%+v", self)
	}
	ci.allowed(wire.OpDelete, kv.AppendDelete(nil, &kv.Delete{Key: key}))
	changes := []kv.Change{{Key: []byte("app1/other"), Revision: 2}}
	for _, revision := range []int64{4, 3, 2, 5, -1} {
		changes = append(changes, kv.Change{Key: key, Revision: revision})
	}
	body := ask(wire.Ask{Changes: changes})
	if got, err := wire.ReadAnswer[wire.List[string]](ci.allowed(wire.OpAuthorsOf, body)); err != nil || fmt.Sprintf("%q", got.All) != `["" "ci" "" "ci" "" ""]` {
		t.Errorf("%q, %v", got.All, err)
	}
	if s, err := wire.ReadAnswer[kv.AuthStatus](member.allowed(wire.OpAuthStatus, ask(wire.Ask{}))); err != nil || !s.Enabled || s.Revision != e.member.View().Auth().Revision() {
		t.Errorf("%+v, %v", s, err)
	}
}

// The explanation of a permission agrees with the verdict on the request, for random roles and ranges.
func TestExplanationAgreesWithVerdict(t *testing.T) {
	random := mrand.New(mrand.NewPCG(1, 2))
	key := func() []byte {
		b := make([]byte, 1+random.IntN(2))
		for i := range b {
			b[i] = "\x00ab\xff"[random.IntN(4)]
		}
		return b
	}
	span := func() (from, end []byte) {
		for {
			p := kv.Permission{Key: key()}
			switch random.IntN(4) {
			case 0:
			case 1:
				p.End = []byte{0}
			default:
				p.End = key()
			}
			if p.Check(kv.Bounds{Key: 10, Value: 10}) == nil {
				return p.Key, p.End
			}
		}
	}
	e := newEndpoint(t, nil)
	e.withUsers()
	var verdicts [2]int
	for round := range 300 {
		user := fmt.Sprint("user", round)
		e.member.ChangeAuth(kv.AuthChange{Kind: kv.UserAdd, User: user})
		for i := range random.IntN(4) {
			role := fmt.Sprint(user, "role", i)
			e.member.ChangeAuth(kv.AuthChange{Kind: kv.RoleAdd, Role: role}, kv.AuthChange{Kind: kv.UserGrantRole, User: user, Role: role})
			for range random.IntN(4) {
				from, end := span()
				e.member.ChangeAuth(grant(role, string(from), string(end), kv.PermissionType(random.IntN(3))))
			}
		}
		v := e.member.View()
		u, _ := v.Auth().User(user)
		for range 30 {
			p := kv.Permission{Type: kv.PermissionType(random.IntN(3))}
			p.Key, p.End = span()
			allowed := true
			if p.Type.Reads() {
				allowed = v.Permits(v.By(user), kv.AccessRead, &kv.Range{Key: p.Key, End: p.End}) == nil
			}
			if p.Type.Writes() {
				allowed = allowed && v.Permits(v.By(user), kv.AccessWrite, &kv.Delete{Key: p.Key, End: p.End}) == nil
			}
			got := server.CheckPermission(v.Auth(), &u, &p)
			if got.Allowed != allowed || allowed && len(got.Grants) == 0 || got.Root {
				t.Fatalf("%s %q %q: allowed %v, explained as %+v; roles %v", p.Type, p.Key, p.End, allowed, got, u.Roles)
			}
			if allowed {
				verdicts[1]++
			} else {
				verdicts[0]++
			}
		}
	}
	if verdicts[0] < 1000 || verdicts[1] < 1000 {
		t.Errorf("%d denied, %d allowed", verdicts[0], verdicts[1])
	}
}

// The explanation names the fewest permissions that make up the range, or, if it is denied, those that overlap it.
func TestExplanation(t *testing.T) {
	e := newEndpoint(t, nil)
	e.withUsers()
	e.member.ChangeAuth(
		kv.AuthChange{Kind: kv.RoleAdd, Role: "left"}, grant("left", "a", "c", kv.PermitRead), grant("left", "a", "b", kv.PermitReadWrite),
		kv.AuthChange{Kind: kv.RoleAdd, Role: "right"}, grant("right", "b", "m", kv.PermitRead), grant("right", "z", "\x00", kv.PermitWrite),
		kv.AuthChange{Kind: kv.UserGrantRole, User: "lonely", Role: "left"}, kv.AuthChange{Kind: kv.UserGrantRole, User: "lonely", Role: "right"},
	)
	auth := e.member.View().Auth()
	explain := func(user, key, end string, kind kv.PermissionType) string {
		u, _ := auth.User(user)
		got := server.CheckPermission(auth, &u, &kv.Permission{Key: []byte(key), End: []byte(end), Type: kind})
		text := fmt.Sprint(got.Allowed, got.Root)
		for _, g := range got.Grants {
			text += fmt.Sprintf(" %s:%s-%s", g.Role, g.Key, g.End)
		}
		return text
	}
	for _, x := range [][5]string{
		{"test", "a", "\x00", "2", "true true"},
		{"lonely", "a", "", "0", "true false left:a-c"},
		{"lonely", "a", "m", "0", "true false left:a-c right:b-m"},
		{"lonely", "a", "n", "0", "false false left:a-b left:a-c right:b-m"},
		{"lonely", "b", "d", "0", "true false right:b-m"},
		{"lonely", "a", "", "2", "true false left:a-c left:a-b"},
		{"lonely", "zz", "\x00", "1", "true false right:z-\x00"},
		{"lonely", "y", "\x00", "1", "false false right:z-\x00"},
		{"lonely", "n", "", "0", "false false"},
	} {
		if got := explain(x[0], x[1], x[2], kv.PermissionType(x[3][0]-'0')); got != x[4] {
			t.Errorf("%q: %s, want %s", x[:4], got, x[4])
		}
	}
	if _, ok := auth.User("ghost"); ok {
		t.Fatal("a ghost")
	}
	root := e.as(t, "test")
	root.refused(kv.UserNotFound, `no user "ghost"`, wire.OpAuthCheck, ask(wire.Ask{Name: "ghost", Permission: kv.Permission{Key: []byte("k")}}))
}

// Authentication that is off costs no memory.
func TestAccessTakesNoMemory(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	r.allowed(wire.OpStatus, nil)
	check := e.server.Checks(t, r.conn.LocalAddr().(*net.UDPAddr).Port)
	v := e.member.View()
	q := &kv.Range{Key: []byte("k")}
	if n := testing.AllocsPerRun(100, func() { check(v, q) }); n > 0 {
		t.Errorf("%v allocations for the check of a request while authentication is off", n)
	}
}
