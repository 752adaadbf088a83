package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/client"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// secured is a cluster with authentication, of two members over one store. Its client test is an administrator; ci has the password sesame,
// and may read and write below app1/.
type secured struct {
	*pair
	trust servertest.Trust
}

func newSecured(t testing.TB) *secured {
	t.Helper()
	c := &secured{pair: newPair(t, wait)}
	c.trust = c.pair.trust
	ctx := ctxOf(t, wait)
	for _, err := range []error{
		c.Admin().AddUser(ctx, client.RootRole, ""), c.Admin().GrantRole(ctx, client.RootRole, client.RootRole),
		c.Admin().AddUser(ctx, "test", ""), c.Admin().GrantRole(ctx, "test", client.RootRole),
		c.Admin().AddRole(ctx, "app1"), c.Admin().GrantPermission(ctx, "app1", kv.Permission{Key: []byte("app1/"), End: client.Prefix([]byte("app1/")), Type: kv.PermitReadWrite}),
		c.Admin().AddUser(ctx, "ci", "sesame"), c.Admin().GrantRole(ctx, "ci", "app1"),
		c.Admin().EnableAuth(ctx),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// as opens a client with the certificate of a name; an empty password does not log in.
func (c *secured) as(t testing.TB, certificate, user, password string) (*client.Client, error) {
	t.Helper()
	m := wire.Maker{Now: time.Now, Rand: rand.Reader}
	if _, err := m.CreateClient(c.trust.Dir, certificate); err != nil && !strings.Contains(err.Error(), "exist") {
		t.Fatal(err)
	}
	credentials, err := wire.LoadClient(c.trust.Dir, certificate, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := client.Open(ctxOf(t, wait), client.Config{
		Endpoints: c.Endpoints()[:2], InOrder: true, Credentials: credentials, User: user, Password: password, Timeout: wait, DialStagger: wait,
	})
	if err == nil {
		t.Cleanup(func() { _ = other.Close() })
	}
	return other, err
}

// Everything about users and roles through the client, in the order in which an administrator needs it.
func TestUsersAndRoles(t *testing.T) {
	t.Parallel()
	c := newSecured(t)
	ctx := ctxOf(t, wait)
	if self := must[kv.Self](t)(c.WhoAmI(ctx)); self.Name != "test" || !self.Root || !self.Enabled || self.Proof != kv.ProofCertificate {
		t.Errorf("%+v", self)
	}
	if s := must[kv.AuthStatus](t)(c.Admin().AuthStatus(ctx)); !s.Enabled || s.Revision < 8 {
		t.Errorf("%+v", s)
	}
	users := must[[]kv.User](t)(c.Admin().Users(ctx))
	var names []string
	for _, u := range users {
		names = append(names, fmt.Sprint(u.Name, u.Roles, u.HasPassword, u.NoPassword))
	}
	if want := []string{"ci[app1] true false", "root[root] false false", "test[root] false false"}; !slices.Equal(names, want) {
		t.Errorf("%v", names)
	}
	key, end := []byte("app1/"), client.Prefix([]byte("app1/"))
	role := must[kv.UserRole](t)(c.Admin().Role(ctx, "app1"))
	if want := (kv.UserRole{Name: "app1", Permissions: []kv.Permission{{Key: key, End: end, Type: kv.PermitReadWrite}}}); !reflect.DeepEqual(role, want) {
		t.Errorf("%+v", role)
	}
	if all := must[[]kv.UserRole](t)(c.Admin().Roles(ctx)); len(all) != 1 || !reflect.DeepEqual(all[0], role) {
		t.Errorf("%+v", all)
	}
	if check := must[kv.AuthCheck](t)(c.Admin().CheckPermission(ctx, "ci", kv.Permission{Key: []byte("app1/k"), Type: kv.PermitWrite})); !check.Allowed || len(check.Grants) != 1 || check.Grants[0].Role != "app1" {
		t.Errorf("%+v", check)
	}
	for _, x := range []struct {
		err  error
		want kv.Code
	}{
		{c.Admin().AddUser(ctx, "ci", ""), kv.UserExists},
		{c.Admin().AddUser(ctx, "", ""), kv.UserEmpty},
		{c.Admin().SetPassword(ctx, "ghost", "x"), kv.UserNotFound},
		{c.Admin().SetPassword(ctx, "ci", ""), kv.BadRequest},
		{c.Admin().GrantRole(ctx, "ci", "ghost"), kv.RoleNotFound},
		{c.Admin().RevokeRole(ctx, "ci", "root"), kv.RoleNotGranted},
		{c.Admin().AddRole(ctx, "app1"), kv.RoleExists},
		{c.Admin().RevokePermission(ctx, "app1", key, nil), kv.PermissionNotGranted},
		{c.Admin().DeleteUser(ctx, "root"), kv.AuthManagement},
		{c.Admin().RevokePermission(ctx, "app1", key, end), kv.OK},
		{c.Admin().RevokeRole(ctx, "ci", "app1"), kv.OK},
		{c.Admin().DeleteRole(ctx, "app1"), kv.OK},
		{c.Admin().DeleteUser(ctx, "ci"), kv.OK},
		{c.Admin().DisableAuth(ctx), kv.OK},
	} {
		if got := codeOf(x.err); got != x.want || x.want == kv.OK && x.err != nil {
			t.Errorf("%v, want %v", x.err, x.want)
		}
	}
	if _, err := c.Admin().User(ctx, "ci"); codeOf(err) != kv.UserNotFound {
		t.Error(err)
	}
}

// Long lists come in pages, and a role with many permissions in several; if roles change meanwhile, the list is that of one moment.
func TestLongListsOfRoles(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := newCluster(t, nil)
	ctx := ctxOf(t, wait)
	key := func(i int) []byte {
		return append(bytes.Repeat([]byte("k"), limits.KeyBytes-4), fmt.Sprintf("%04d", i)...)
	}
	most := 100
	if raceEnabled { // a change copies all of them, byte by byte
		most = 20
	}
	for r := range 3 {
		name := fmt.Sprint("role", r)
		if err := c.Admin().AddRole(ctx, name); err != nil {
			t.Fatal(err)
		}
		for i := range most {
			c.member.ChangeAuth(kv.AuthChange{Kind: kv.RoleGrantPermission, Role: name, Permission: kv.Permission{Key: key(i), Type: kv.PermitWrite}})
		}
	}
	done := make(chan struct{})
	var changing sync.WaitGroup
	changing.Go(func() {
		for i := 0; i < 20; i++ {
			c.member.ChangeAuth(kv.AuthChange{Kind: kv.RoleAdd, Role: fmt.Sprint("another", i)})
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	all := must[[]kv.UserRole](t)(c.Admin().Roles(ctx))
	close(done)
	changing.Wait()
	whole := 0
	for i := range all {
		if strings.HasPrefix(all[i].Name, "role") {
			whole++
			if len(all[i].Permissions) != most || !bytes.Equal(all[i].Permissions[most-1].Key, key(most-1)) {
				t.Errorf("%s has %d permissions", all[i].Name, len(all[i].Permissions))
			}
		}
	}
	if whole != 3 || !slices.IsSortedFunc(all, func(a, b kv.UserRole) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("%d roles", len(all))
	}
	if one := must[kv.UserRole](t)(c.Admin().Role(ctx, "role1")); len(one.Permissions) != most {
		t.Errorf("%d permissions", len(one.Permissions))
	}
}

// A client with a user logs in on each connection, also after a failover, with the token of the first login; all its calls are that user's.
func TestLoginOnEachConnection(t *testing.T) {
	t.Parallel()
	c := newSecured(t)
	ctx := ctxOf(t, wait)
	ci := must[*client.Client](t)(c.as(t, "stranger", "ci", "sesame"))
	key := []byte("app1/k")
	put := func() {
		t.Helper()
		w := must[client.Written](t)(ci.Put(ctx, key, nil))
		if got := must[[]string](t)(ci.AuthorsOf(ctx, []kv.Change{{Key: key, Revision: w.Revision}})); got[0] != "ci" {
			t.Errorf("the author is %q", got)
		}
	}
	put()
	before := c.servers[1].Stats().Accepted
	_ = c.servers[0].Close()
	put()
	if c.servers[1].Stats().Accepted == before {
		t.Error("the client has not changed its member")
	}
	if _, err := ci.Put(ctx, []byte("app2/k"), nil); codeOf(err) != kv.NotAllowed {
		t.Error(err)
	}
	if self := must[kv.Self](t)(ci.WhoAmI(ctx)); self.Name != "ci" || self.Proof != kv.ProofToken {
		t.Errorf("%+v", self)
	}
}

// A client that returns to the member that it began with is the configured user there, and not that of its certificate.
func TestLoginAfterFailBack(t *testing.T) {
	t.Parallel()
	c := newSecured(t)
	ctx := ctxOf(t, wait)
	m := wire.Maker{Now: time.Now, Rand: rand.Reader}
	if _, err := m.CreateClient(c.trust.Dir, "stranger"); err != nil {
		t.Fatal(err)
	}
	credentials, err := wire.LoadClient(c.trust.Dir, "stranger", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := servertest.Endpoint(c.servers[0])
	ci := must[*client.Client](t)(client.Open(ctx, client.Config{
		Endpoints: []string{endpoint, servertest.Endpoint(c.servers[1])}, InOrder: true, Credentials: credentials, User: "ci", Password: "sesame", Timeout: wait,
		ReturnAfter: 20 * time.Millisecond, DialStagger: wait,
	}))
	defer ci.Close()
	self := func() {
		t.Helper()
		s := must[kv.Self](t)(ci.WhoAmI(ctx))
		if s.Name != "ci" {
			t.Fatalf("%+v", s)
		}
		time.Sleep(5 * time.Millisecond)
	}
	self()
	c.servers[0].Drain(ctx)
	_ = c.servers[0].Close()
	self()
	first := servertest.Start(t, c.trust, c.a, func(c *server.Config) { c.Address = endpoint })
	for begun := time.Now(); c.servers[1].Stats().Connections > 1 || first.Stats().Connections == 0; self() { // the administrator's client stays
		if time.Since(begun) > wait {
			t.Fatalf("the client stays away: %d connections at the second member", c.servers[1].Stats().Connections)
		}
	}
	self()
}

// A wrong password is an error at once, and names what is wrong; a cluster without authentication asks for none.
func TestLoginRefused(t *testing.T) {
	t.Parallel()
	c := newSecured(t)
	begun := time.Now()
	_, err := c.as(t, "stranger", "ci", "sesam")
	if errors.Is(err, client.ErrUnavailable) || codeOf(err) != kv.AuthFailed || time.Since(begun) > wait/2 {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
	if err := c.Admin().DisableAuth(t.Context()); err != nil {
		t.Fatal(err)
	}
	off := must[*client.Client](t)(c.as(t, "stranger", "ghost", "x"))
	must[client.Written](t)(off.Put(t.Context(), []byte("k"), nil))
}

// When authentication is enabled under a client that has a user, it logs in and goes on as that user, not as its certificate's.
func TestAuthIsEnabledUnderAClient(t *testing.T) {
	t.Parallel()
	c := newSecured(t)
	ctx := ctxOf(t, wait)
	if err := c.Admin().DisableAuth(ctx); err != nil {
		t.Fatal(err)
	}
	ci := must[*client.Client](t)(c.as(t, "test", "ci", "sesame"))
	must[client.Written](t)(ci.Put(ctx, []byte("app2/k"), nil))
	if err := c.Admin().EnableAuth(ctx); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 50 { // of many calls at a time, one logs in
		all.Go(func() {
			if _, err := ci.Put(ctx, fmt.Appendf(nil, "app1/%d", i), nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if _, err := ci.Put(ctx, []byte("app2/k"), nil); codeOf(err) != kv.NotAllowed {
		t.Errorf("the client goes on as the user of its certificate: %v", err)
	}
}

// A login that has ended is made anew, for calls, watches and streams of pages. If the password is another one now, they end with that error.
func TestLoginIsRenewed(t *testing.T) {
	t.Parallel()
	c := newSecured(t)
	ctx := ctxOf(t, wait)
	ci := must[*client.Client](t)(c.as(t, "stranger", "ci", "sesame"))
	key := []byte("app1/k")
	must[client.Written](t)(ci.Put(ctx, key, nil))
	if err := c.Admin().SetPassword(ctx, "ci", "sesame"); err != nil { // the same again: the login has ended all the same
		t.Fatal(err)
	}
	w := must[*client.Watcher](t)(ci.Watch(ctx, kv.Watch{Key: key}))
	must[client.Written](t)(ci.Put(ctx, key, []byte("new")))
	if r := must[client.WatchResponse](t)(w.Next()); string(r.Events[0].KV.Value) != "new" {
		t.Errorf("%+v", r)
	}
	if err := c.Admin().SetPassword(ctx, "ci", "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := ci.Put(ctx, key, nil); codeOf(err) != kv.AuthFailed {
		t.Error(err)
	}
	if _, err := ci.Watch(ctx, kv.Watch{Key: key}); codeOf(err) != kv.AuthFailed {
		t.Error(err)
	}
	if err := c.Admin().DeleteUser(ctx, "ci"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Next(); codeOf(err) != kv.AuthFailed {
		t.Errorf("the watch of a login whose password was changed: %v", err)
	}
}

// A range that comes as a stream of pages goes on after a new login.
func TestPagesAfterNewLogin(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := newSecured(t)
	ctx := ctxOf(t, wait)
	const keys = 80
	for i := range keys { // 8 MiB
		must[client.Written](t)(c.Put(ctx, fmt.Appendf(nil, "app1/%03d", i), bytes.Repeat([]byte("v"), 100<<10)))
	}
	ci := must[*client.Client](t)(c.as(t, "stranger", "ci", "sesame"))
	for _, q := range []kv.Range{{}, {Sort: kv.SortByMod, Order: kv.SortDescend}} {
		q.Key, q.End = []byte("app1/"), client.Prefix([]byte("app1/"))
		got := 0
		for page, err := range ci.Pages(ctx, q) {
			if err != nil {
				t.Fatal(err)
			}
			if got == 0 {
				if err := c.Admin().SetPassword(ctx, "ci", "sesame"); err != nil {
					t.Fatal(err)
				}
			}
			got += len(page.KVs)
		}
		if got != keys {
			t.Errorf("%d keys of %d", got, keys)
		}
	}
}

// What was refused because users or roles changed meanwhile is sent again by itself.
func TestAuthOldIsSentAgain(t *testing.T) {
	t.Parallel()
	c := newSecured(t)
	ctx := ctxOf(t, wait)
	ci := must[*client.Client](t)(c.as(t, "ci", "", ""))
	var changes atomic.Int64
	change := func(writes, _ int) *kv.Error {
		if writes > 0 && changes.Load() < 5 {
			c.a.ChangeAuth(kv.AuthChange{Kind: kv.RoleAdd, Role: fmt.Sprint("new", changes.Add(1))})
		}
		return nil
	}
	c.a.SetBefore(change)
	must[client.Written](t)(ci.Put(ctx, []byte("app1/k"), nil))
	if got := c.version("app1/k"); changes.Load() != 5 || got != 1 {
		t.Errorf("%d changes, version %d", changes.Load(), got)
	}
}

// A session belongs to its author. When authentication is enabled, the session of before has none: its writes go on in a new one.
func TestSessionOfBeforeAuth(t *testing.T) {
	t.Parallel()
	c := newSecured(t)
	ctx := ctxOf(t, wait)
	if err := c.Admin().DisableAuth(ctx); err != nil {
		t.Fatal(err)
	}
	ci := must[*client.Client](t)(c.as(t, "stranger", "ci", "sesame"))
	must[client.Written](t)(ci.Put(ctx, []byte("app1/k"), nil)) // the session of the certificate stranger
	if err := c.Admin().EnableAuth(ctx); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		must[client.Written](t)(ci.Put(ctx, []byte("app1/k"), nil))
	}
	if got := c.version("app1/k"); got != 4 {
		t.Errorf("version %d, want 4", got)
	}
}

// A write that may have happened, and whose session is not its user's any more, is not made once more: its outcome is unknown.
func TestDoubtAcrossEnabling(t *testing.T) {
	t.Parallel()
	c := newSecured(t)
	ctx := ctxOf(t, wait)
	if err := c.Admin().DisableAuth(ctx); err != nil {
		t.Fatal(err)
	}
	ci := must[*client.Client](t)(c.as(t, "stranger", "ci", "sesame"))
	must[client.Written](t)(ci.Put(ctx, []byte("app1/k"), nil))
	c.a.Lose.Store(true)
	outcome := make(chan error)
	go func() {
		_, err := ci.Put(ctx, []byte("app1/k"), nil)
		outcome <- err
	}()
	await(t, "the write is applied", func() bool { return c.version("app1/k") == 2 })
	c.b.ChangeAuth(kv.AuthChange{Kind: kv.AuthEnable})
	_ = c.servers[0].Close()
	if err := <-outcome; !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("%v", err)
	}
	if got := c.version("app1/k"); got != 2 {
		t.Errorf("version %d: it was applied twice", got)
	}
}

// A lease that the user may not renew any more is lost at once, and says why.
func TestKeepAliveIsDenied(t *testing.T) {
	t.Parallel()
	c := newSecured(t)
	ctx := ctxOf(t, wait)
	ci := must[*client.Client](t)(c.as(t, "ci", "", ""))
	begun := time.Now()
	lease := must[client.Lease](t)(ci.Grant(ctx, 3*time.Second, client.GrantOptions{}))
	must[client.Written](t)(ci.PutWith(ctx, kv.Put{Key: []byte("app1/k"), Lease: lease.ID}))
	k := ci.KeepAlive(lease.ID, lease.TTL, begun)
	defer k.Stop()
	time.Sleep(1500 * time.Millisecond) // it is renewed at least once
	select {
	case <-k.Lost():
		t.Fatal(k.Err())
	default:
	}
	if err := c.Admin().RevokeRole(ctx, "ci", "app1"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-k.Lost():
		if codeOf(k.Err()) != kv.NotAllowed || !time.Now().Before(k.Until()) {
			t.Errorf("%v, %v before the lease's end", k.Err(), time.Until(k.Until()))
		}
	case <-time.After(wait):
		t.Error("the lease is not lost")
	}
}

// Authors come for any number of changes, of keys of any size.
func TestAuthorsOfMany(t *testing.T) {
	t.Parallel()
	c := newCluster(t, nil)
	ctx := ctxOf(t, wait)
	large := bytes.Repeat([]byte("k"), limits.KeyBytes)
	w := must[client.Written](t)(c.Put(ctx, large, nil))
	var changes []kv.Change
	for i := range 2*limits.AuthorsAsked + 1 {
		key := large
		if i%50 > 0 {
			key = []byte("none")
		}
		changes = append(changes, kv.Change{Key: key, Revision: w.Revision})
	}
	got := must[[]string](t)(c.AuthorsOf(ctx, changes))
	for i := range got {
		if want := map[bool]string{true: "test"}[i%50 == 0]; got[i] != want {
			t.Fatalf("change %d is of %q, want %q", i, got[i], want)
		}
	}
	if len(got) != len(changes) || len(must[[]string](t)(c.AuthorsOf(ctx, nil))) != 0 {
		t.Errorf("%d authors of %d changes", len(got), len(changes))
	}
}

// Many clients log in at a time: each gets in, however long that takes, and a login that is refused for now is repeated.
func TestManyLogins(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := newSecured(t)
	var all sync.WaitGroup
	const clients = 60
	if _, err := c.as(t, "stranger", "ci", "sesame"); err != nil { // makes the certificate
		t.Fatal(err)
	}
	for range clients {
		all.Go(func() {
			ci, err := c.as(t, "stranger", "ci", "sesame")
			if err != nil {
				t.Error(err)
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), wait)
			defer cancel()
			if _, err := ci.Put(ctx, []byte("app1/k"), nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
